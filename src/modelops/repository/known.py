"""What has been learnt of commits: a commit never changes, so nothing about one is asked of git twice."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from modelops.repository.inside import Inside
from modelops.repository.line import Line, read_line
from modelops.repository.process import Git

T = TypeVar("T")
_LINES = 4
"""How many lines of commits are kept; a branch that grows needs one."""
_ANSWERS = 4096
"""How many answers about two commits are kept."""


class Known:
    """The lines of commits that were read last, and the last answers about pairs of commits."""

    def __init__(self, git: Git, inside: Inside = Inside()) -> None:
        self._git, self._inside = git, inside
        self._lines: OrderedDict[tuple[str, str], Line] = OrderedDict()
        self._answers: OrderedDict[tuple[str, str, str], Any] = OrderedDict()

    def line(self, commit: str, folder: str) -> Line:
        """Return the line of a commit: from a line that is known already, or by reading what that one lacks."""
        known = [(key, line) for key, line in reversed(self._lines.items()) if key[0] == folder]
        for key, line in known:
            earlier = line.to(commit)
            if earlier is not None:
                self._lines.move_to_end(key)
                return earlier
        found = read_line(self._git, commit, folder, known[0][1] if known else None, self._inside)
        self._lines[folder, commit] = found
        if len(self._lines) > _LINES:
            self._lines.popitem(last=False)
        return found

    def once(self, question: str, one: str, other: str, answer: Callable[[Git, str, str], T]) -> T:
        """Return the answer to a question about two commits whose history is here."""
        key = (question, one, other)
        if key not in self._answers:
            self._answers[key] = answer(self._git, one, other)
            if len(self._answers) > _ANSWERS:
                self._answers.popitem(last=False)
        found: T = self._answers[key]
        return found
