"""Expressions in CEL, the Common Expression Language: compiled once, evaluated to true or false, errors in one form."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from modelops.errors import Exit, failure

_ERRORS = (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError, IndexError, AttributeError)


_COMPILED = "cel.cel"


@cache
def _engine() -> ModuleType:
    """Load the compiled CEL engine alone; its package also imports a terminal program, ten times the cost.

    A process can load it once: it is shared with whoever imports the package.
    """
    if _COMPILED in sys.modules:
        return sys.modules[_COMPILED]
    package = importlib.util.find_spec("cel")
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        for file in sorted(Path(folder).glob("cel.*")):
            spec = importlib.util.spec_from_file_location("cel", file) if file.suffix in (".so", ".pyd") else None
            if spec is not None and spec.loader is not None:
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                return sys.modules.setdefault(_COMPILED, module)
    raise failure(
        "cel-missing",
        "the package common-expression-language is not installed",
        exit=Exit.WORLD,
        hint="reinstall modelops",
    )


@cache
def _program(expression: str) -> Any:
    return _engine().compile(expression)


def compile_error(expression: str) -> str | None:
    """Return what is wrong with an expression, or None when it compiles."""
    try:
        _program(expression)
    except _ERRORS as error:
        lines = [line.strip() for line in str(error).splitlines() if "ERROR" in line or "error" in line]
        said = lines[0].partition("Syntax error:")[2] or lines[0] if lines else str(error)
        return said.strip()[:300]
    return None


@cache
def always_true(expression: str) -> bool:
    """Tell whether an expression is true without a look at ``resource``: a constant, or an alternative that is one."""
    try:
        return _program(expression).execute({}) is True
    except _ERRORS:
        return False


_RESOURCE = re.compile(r"\bresource\b")
_MEMBER = re.compile(r"\bresource\.(?:spec\.([A-Za-z_][A-Za-z0-9_]*)|(?:metadata|kind|apiVersion)\b)")


@cache
def _members(expression: str) -> frozenset[str] | None:
    """Return the keys of ``resource.spec`` that an expression reads, or None when it may look at all of them."""
    if len(_RESOURCE.findall(expression)) != len(members := _MEMBER.findall(expression)):
        return None
    return frozenset(filter(None, members))


def _needed(expression: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a document that an expression reads; handing over all of it costs most of the time."""
    members, spec = _members(expression), document.get("spec")
    if members is None or not isinstance(spec, Mapping):
        return document
    return {**document, "spec": {key: value for key, value in spec.items() if key in members}}


def _execute(expression: str, document: Mapping[str, Any]) -> object:
    try:
        return _program(expression).execute({"resource": _needed(expression, document)})
    except KeyError as error:
        key = str(error.args[0]) if error.args else "?"
        raise failure(
            "rule-error",
            f"the expression reads {key!r}, which is not there",
            hint="guard it: has(resource.spec.x) && …",
        ) from None
    except _ERRORS as error:
        said = str(error).partition(". ")[0]
        raise failure(
            "rule-error", f"the expression cannot be evaluated: {said}", hint="compare values of one type"
        ) from None


def evaluate(expression: str, document: Mapping[str, Any]) -> bool:
    """Return whether an expression holds for ``resource``, a whole document; anything but true or false is an error."""
    result = _execute(expression, document)
    if not isinstance(result, bool):
        raise failure(
            "rule-not-boolean",
            f"the expression gives {str(result)[:40]!r} instead of true or false",
            hint="end in a comparison",
        )
    return result
