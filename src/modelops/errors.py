"""The one exception of the package and the facts it carries."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line."""

    OK = 0
    NO = 1
    USAGE = 2
    FILES = 3
    WORLD = 4
    BUG = 70
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """Where in a file something was found; line and column count from 1, 0 means the whole file."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.path
        return f"{self.path}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: what happened, where, and what to do next.

    ``code`` is a stable kebab-case slug documented in the error reference; ``message`` is one sentence that holds the
    offending value; ``dotted`` is the path inside the document (``spec.training.seed``); ``hint`` names the next step.
    Secrets never enter a Problem.
    """

    code: str
    message: str
    location: Location | None = None
    dotted: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        where = f"{self.location}: " if self.location else ""
        dotted = f"{self.dotted}: " if self.dotted else ""
        hint = f"\n  hint: {self.hint}" if self.hint else ""
        return f"{where}{dotted}{self.message} [{self.code}]{hint}"


class ModelOpsError(Exception):
    """Every failure that modelops expects, as one or more Problems and the exit code they deserve."""

    def __init__(self, *problems: Problem, exit: Exit = Exit.FILES, retryable: bool = False) -> None:
        if not problems:
            raise ValueError("a ModelOpsError carries at least one Problem")
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.exit = exit
        self.retryable = retryable

    @property
    def first(self) -> Problem:
        """The problem that stands for all, where there is room for one."""
        return self.problems[0]


def failure(
    code: str,
    message: str,
    *,
    exit: Exit = Exit.FILES,
    location: Location | None = None,
    dotted: str | None = None,
    hint: str | None = None,
    retryable: bool = False,
) -> ModelOpsError:
    """Return the error for a single Problem, to be raised by the caller."""
    return ModelOpsError(Problem(code, message, location, dotted, hint), exit=exit, retryable=retryable)
