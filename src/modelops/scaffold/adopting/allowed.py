"""What training code may name and call: the public estimators of libraries that an artifact keeps, and little more."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import math
from functools import cache
from keyword import iskeyword
from typing import Any

from modelops.errors import Exit, failure

__all__ = ["LIBRARIES", "UFUNCS", "is_option", "loaded", "require_plain", "why_not_call", "why_not_value"]

LIBRARIES = ("sklearn", "xgboost", "lightgbm", "catboost")
"""Libraries whose models an artifact keeps."""
UFUNCS = frozenset(["log1p", "log", "log2", "log10", "sqrt", "square", "cbrt", "exp", "expm1", "abs"])
_NUMPY = frozenset(["nan", "inf", "number", "float64", "float32", "int64", "int32", "object_"])
_ARRAYS = frozenset(["arange", "linspace", "logspace", "geomspace", "array", "float64", "float32", "int64", "int32"])
_TYPES = frozenset(["object", "str", "int", "float", "bool"])
_NUMBERS = frozenset(["range", "float", "int"])
_MAKERS = frozenset(["make_pipeline", "make_union", "make_column_transformer", "make_column_selector", "make_scorer"])
_MEASURING = ("sklearn.metrics.", "sklearn.feature_selection.")
"""Modules whose functions estimators are given to call: scores, distances, and measures of features."""
_BY_NAME = ("Classifier", "Regressor", "Ranker")
_PLAIN = (
    ast.Name, ast.Constant, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.Call, ast.keyword, ast.UnaryOp, ast.USub,
    ast.UAdd, ast.Load,
)  # fmt: skip
_KEPT_BETWEEN = frozenset(["memory"])
_NO_LOADING = (OSError, ImportError, ValueError, RuntimeError, AttributeError, TypeError, LookupError)


def is_option(name: object) -> bool:
    """Whether a name can stand before ``=`` in a call: any other one would be printed as code."""
    return isinstance(name, str) and name.isidentifier() and not iskeyword(name)


@cache
def loaded(name: str) -> Any:
    """Return what a public name of a library stands for, None where there is no such thing.

    Errors: ``library-not-loaded`` where the library is installed and importing it fails.
    """
    module, _, last = name.rpartition(".")
    if module.partition(".")[0] not in LIBRARIES or not all(map(_public, name.split("."))):
        return None
    try:
        return getattr(importlib.import_module(module), last, None)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in LIBRARIES:
            return None
        raise _not_loaded(module, error) from None
    except _NO_LOADING as error:
        raise _not_loaded(module, error) from None


def _public(part: str) -> bool:
    return is_option(part) and not part.startswith("_")


def _not_loaded(module: str, error: Exception) -> Exception:
    library = module.partition(".")[0]
    lines = str(error).splitlines() or [type(error).__name__]
    return failure(
        "library-not-loaded", f"{library} is installed and cannot be loaded: {lines[0][:200]}", exit=Exit.WORLD,
        hint=f"python -c 'import {library}' shows why; install it anew, or what it needs of the system",
    )  # fmt: skip


@cache
def _absent(library: str) -> bool:
    return importlib.util.find_spec(library) is None


def why_not_value(name: str) -> str | None:
    """Return why a name of a library cannot stand in training code as a value, None where it can."""
    library, _, rest = name.partition(".")
    if library == "builtins":
        return None if rest in _TYPES else f"{rest} is no type of values"
    if library == "numpy":
        return None if rest in _NUMPY | UFUNCS else f"{name} is not carried over"
    if library in LIBRARIES:
        found = loaded(name)
        if inspect.isroutine(found) and _own(found) and f"{found.__module__}.".startswith(_MEASURING):
            return None
        return None if _makes(name, found) else f"{name} is neither an estimator nor a score of {library}"
    return f"{name} is of a library that no artifact keeps"


def why_not_call(name: str) -> str | None:
    """Return why a call of a library cannot stand in training code, None where it can."""
    library, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    if library == "builtins":
        return None if rest in _NUMBERS else f"{rest} is not carried over"
    if library == "numpy":
        return None if rest in _ARRAYS else f"{name} is not carried over"
    if library in LIBRARIES:
        found = loaded(name)
        made = _makes(name, found) or (last in _MAKERS and callable(found) and _own(found))
        return None if made else f"{name} is no public estimator of {library}"
    return f"{name} is of a library that no artifact keeps"


def _own(found: Any) -> bool:
    """Whether a library defines what it offers: what it imports from elsewhere is not its own."""
    return str(getattr(found, "__module__", "")).partition(".")[0] in LIBRARIES


def _makes(name: str, found: Any) -> bool:
    """Whether a name is a class of estimators, transformers, kernels or splitters."""
    library = name.partition(".")[0]
    if found is None and _absent(library):
        return all(map(_public, name.split("."))) and name.count(".") == 1 and name.endswith(_BY_NAME)
    if not isinstance(found, type) or not _own(found):
        return False
    return hasattr(found, "get_params") or (hasattr(found, "split") and hasattr(found, "get_n_splits"))


def require_plain(node: ast.expr) -> ast.expr:
    """Return a construction as it is written; refuse whatever is no plain one.

    Errors: ``code-in-model`` for anything but calls of full names with literals and options.
    """
    for each in ast.walk(node):
        plain = isinstance(each, _PLAIN)
        if isinstance(each, ast.keyword):
            plain = each.arg is None or is_option(each.arg)
        elif isinstance(each, ast.Name):
            plain = all(map(is_option, each.id.split(".")))
        if not plain:
            raise failure(
                "code-in-model", "a parameter is no literal, and no training code is written of it",
                hint="name the options of the estimator plainly",
            )  # fmt: skip
    found: ast.expr = _Written().visit(node)
    return found


class _Written(ast.NodeTransformer):
    """What is written of a construction: the same model, without what only another machine has."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Leave out where fitted steps are kept in between: it changes no result, and what lies there is unpickled."""
        self.generic_visit(node)
        return ast.Call(node.func, node.args, [each for each in node.keywords if each.arg not in _KEPT_BETWEEN])

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """Write infinity and what is no number by numpy's names, as Python has no literals of them."""
        if isinstance(node.value, float) and not math.isfinite(node.value):
            name = ast.Name(id="numpy.nan" if math.isnan(node.value) else "numpy.inf")
            return ast.UnaryOp(ast.USub(), name) if node.value < 0 else name
        return node
