"""What is said to a key that may see some models: no sentence that names another one, and none about all together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from markupsafe import Markup

from modelops.errors import Problem
from modelops.markup import plain
from modelops.serving.guard.visible import Sight, without_paths

__all__ = ["HIDDEN", "about_all", "clean", "hiding", "typed"]

HIDDEN = "There is something here that this key may not see: ask somebody who may see every model."
"""What stands for a sentence that is kept back."""


class _Names:
    """Finds the names of models in a text, and whether one of them is not for this caller."""

    def __init__(self, sight: Sight, names: Iterable[str]) -> None:
        self._sight = sight
        longest = sorted(names, key=len, reverse=True)
        self._found = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest)) or '(?!)'})(?![\w-])")

    def hides(self, text: str) -> bool:
        return any(not self._sight.has(found[0]) for found in self._found.finditer(text))


_NAMES: ContextVar[_Names | None] = ContextVar("names", default=None)


@contextmanager
def hiding(sight: Sight, names: Iterable[str]) -> Iterator[None]:
    """Keep back what names a model of these that a caller may not see, while a page is laid out."""
    token = _NAMES.set(None if sight.models is None else _Names(sight, names))
    try:
        yield
    finally:
        _NAMES.reset(token)


def clean(value: object) -> object:
    """Return what a value says on a page: one line that hides nothing, of no place of this machine nor hidden model."""
    if isinstance(value, Markup | bool):
        return value
    text = _line(value)
    names = _NAMES.get()
    return HIDDEN if names is not None and names.hides(text) else text


def _line(value: object) -> str:
    return without_paths(plain("–" if value is None else value))


def typed(value: object) -> Markup:
    """Return what the caller typed or sent: kept back it would tell that there is such a name."""
    return Markup.escape(_line(value))


def about_all(problems: Sequence[Problem], sight: Sight) -> tuple[Problem, ...]:
    """Return what is wrong with all models together as a caller may know it: that something is."""
    return tuple(problems) if sight.models is None else tuple(Problem(one.code, HIDDEN) for one in problems[:1])
