"""The page about threats: what each one is met by, the tests that show it, and what remains, from threats.yaml."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
VERDICTS = ("defended", "partly", "open")
KEYS = {"number", "threat", "verdict", "defence", "tests", "remains"}
INTRODUCTION = """# Threats

Who may push to a repository, open a pull request, run code in a build or write to a store can try to make modelops
believe something that nobody approved. Each row is such an attempt, what it is met by, and the tests that carry it out
against a real repository: run one with `python -m pytest tests/threats/FILE.py::NAME`. What remains is what a team has
to see to by other means. The documentation promises this much and no more.
"""


def threats() -> list[Mapping[str, Any]]:
    """Return the rows; one that is not whole, or that names a test that does not exist, is an error."""
    rows: list[Mapping[str, Any]] = yaml.safe_load((DOCS / "threats.yaml").read_text(encoding="utf-8"))
    wrong = [problem for row in rows for problem in _problems(row)]
    numbers = [row.get("number") for row in rows]
    if numbers != list(range(1, len(rows) + 1)):
        wrong.append(f"the numbers are {numbers}")
    shown = {name.partition("::")[0] for row in rows for name in row.get("tests", ())}
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "threats").glob("test_*.py")}
    wrong += [f"{path} is named by no threat" for path in sorted(files - shown)]
    if wrong:
        raise SystemExit("docs/threats.yaml: " + "; ".join(wrong))
    return rows


def _problems(row: Mapping[str, Any]) -> list[str]:
    where = f"threat {row.get('number')}"
    if set(row) != KEYS:
        return [f"{where}: its keys are {', '.join(sorted(row))}"]
    found = [f"{where}: there is no test {name}" for name in row["tests"] if not _is_test(name)]
    if row["verdict"] not in VERDICTS:
        found.append(f"{where}: the verdict {row['verdict']!r} is none of {', '.join(VERDICTS)}")
    if row["verdict"] != "open" and not row["tests"]:
        found.append(f"{where}: no test shows it")
    if row["verdict"] != "defended" and not row["remains"]:
        found.append(f"{where}: what remains is not said")
    return found


def _is_test(name: str) -> bool:
    path, _, function = name.partition("::")
    return function in _tests(path)


@cache
def _tests(path: str) -> frozenset[str]:
    """Return the names of a file's tests."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = (node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in found if name.startswith("test_"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def threats_page() -> str:
    """Return the page."""
    rows = threats()
    counts = ", ".join(f"{sum(row['verdict'] == word for row in rows)} {word}" for word in VERDICTS)
    lines = ["| # | threat | verdict | defended by | what remains |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| {row['number']} | {_cell(row['threat'])} | {row['verdict']} | {_cell(row['defence'])} "
        f"| {_cell(row['remains'] or 'nothing known')} |"
        for row in rows
    ]
    shown = [_shown(row) for row in rows]
    return "\n".join(
        [INTRODUCTION, f"Of {len(rows)} threats: {counts}.", "", *lines, "", "## Shown by", "", *shown, ""]
    )


def _shown(row: Mapping[str, Any]) -> str:
    tests: Sequence[str] = row["tests"]
    by_file: dict[str, list[str]] = {}
    for name in tests:
        path, _, function = name.partition("::")
        by_file.setdefault(path, []).append(function)
    said = [f"`{path}`: " + ", ".join(f"`{name}`" for name in names) for path, names in by_file.items()]
    return f"{row['number']}. " + ("; ".join(said) or "no test")
