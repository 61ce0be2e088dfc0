"""What is wrong with the files of a repository."""

from __future__ import annotations

from typing import Any

from modelops.errors import Location, Problem
from modelops.spec.sweep import Findings


def text(findings: Findings) -> str:
    """Return how much was found to be in order."""
    return f"{_count(findings.files, 'file')}, {_count(findings.models, 'model')}: ok"


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def data(findings: Findings) -> dict[str, Any]:
    """Return the findings as they are printed in JSON."""
    return {
        "files": findings.files,
        "models": findings.models,
        "ok": not findings.problems,
        "problems": [_problem_data(problem) for problem in findings.problems],
        "warnings": [_problem_data(problem) for problem in findings.warnings],
    }


def _problem_data(problem: Problem) -> dict[str, Any]:
    where = problem.location or Location("")
    return {
        "code": problem.code,
        "message": problem.message,
        "path": where.path,
        "line": where.line,
        "column": where.column,
        "dotted": problem.dotted,
        "hint": problem.hint,
    }
