"""The examples of the statistics are true, every function has one, and the package stands on arrays alone."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

import modelops.statistics

MODULES = sorted(path.stem for path in Path(modelops.statistics.__path__[0]).glob("*.py") if path.stem != "__init__")
ALLOWED = {"errors", "digests", "statistics"}
NO_SOURCE = {
    "Determined.where",
    "bisect",
    "filled",
    "is_binary",
    "Need.times",
    "clusters_of",
    "tallied",
}  # definitions, not results


def source(name: str) -> ast.Module:
    module = importlib.import_module(f"modelops.statistics.{name}")
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))


def public(tree: ast.Module) -> list[tuple[str, ast.FunctionDef]]:
    found: list[tuple[str, ast.FunctionDef]] = []
    for node in tree.body:
        members = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        found += [(prefix + one.name, one) for one in members if isinstance(one, ast.FunctionDef)]
    return [(name, node) for name, node in found if not node.name.startswith("_")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_say_what_the_functions_return(name: str) -> None:
    """Every example of a module is run and gives what is written below it."""
    module = importlib.import_module(f"modelops.statistics.{name}")
    found = doctest.testmod(module, report=True)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_functions_name_their_arguments_their_result_and_their_source(name: str) -> None:
    """Every public function has its numpydoc sections, with each parameter in them and an example."""
    for function, node in public(source(name)):
        text = ast.get_docstring(node) or ""
        sections = set(re.findall(r"^(\w+)\n-+$", text, re.M))
        asked = [arg.arg for arg in (*node.args.args, *node.args.kwonlyargs) if arg.arg != "self"]
        wanted = {"Examples"} | ({"Parameters"} if asked else set())
        wanted |= set() if function in NO_SOURCE else {"References"}
        assert wanted <= sections, f"{function}: {wanted - sections}"
        assert sections & {"Returns", "Yields"}, f"{function} does not say what it returns"
        described = re.search(r"^Parameters\n-+\n(.*?)(?=^\w+\n-+$|\Z)", text, re.M | re.S)
        named = " ".join(re.findall(r"^(\w[^:\n]*)", described[1], re.M)) if described else ""
        assert set(asked) <= set(re.findall(r"\w+", named)), f"{function} leaves out some of {asked}"


@pytest.mark.parametrize("name", MODULES)
def test_numbers_know_nothing_of_models(name: str) -> None:
    """A module imports numpy, scipy, the standard library, its neighbours and the errors; nothing else of modelops."""
    for node in ast.walk(source(name)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for full in names:
                parts = full.split(".")
                assert parts[0] != "modelops" or parts[1] in ALLOWED, f"{name} imports {full}"
                assert parts[0] not in {"pandas", "pyarrow", "sklearn", "pydantic"}, f"{name} imports {full}"
