"""What code of the repository may do, and which means the machine is asked for; both travel as JSON to the guard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from modelops.fence.held import Held
from modelops.fence.promises import Promise

__all__ = ["MEANS", "Bounds", "Means", "Terms"]

Means = Literal["namespaces", "stranger", "landlock", "seccomp"]
"""What the kernel may offer: namespaces, a user id of nobody else, Landlock, filters of system calls."""

MEANS: tuple[Means, ...] = get_args(Means)


def _unheard(held: Held) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What whoever runs code demands: promises that must hold, else nothing runs; ``without`` leaves means out.

    ``heard`` is told after each run what held.
    """

    require: tuple[Promise, ...] = ()
    without: tuple[Means, ...] = ()
    heard: Callable[[Held], None] = field(default=_unheard, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of one run: it reads the system, Python and ``folder``, and writes below ``folder`` only.

    ``programs`` says whether it may start processes (a data command may, training may not), ``network`` whether it may
    call others. ``memory`` and ``file_size`` are bytes for each process, ``cores`` 0 is all of them.
    """

    folder: str
    programs: bool
    network: bool = False
    memory: int = 16 << 30
    file_size: int = 64 << 30
    processes: int = 256
    cores: int = 0
    terms: Terms = Terms()

    def dump(self) -> dict[str, Any]:
        """Return the bounds as JSON has them."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return plain | {"terms": {"require": self.terms.require, "without": self.terms.without}}

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Bounds:
        """Return the bounds that ``dump`` wrote."""
        terms = document["terms"]
        return cls(**{**document, "terms": Terms(tuple(terms["require"]), tuple(terms["without"]))})

    def offers(self, means: Means) -> bool:
        """Tell whether a means may be used."""
        return means not in self.terms.without

    @property
    def inside(self) -> Path:
        """The one folder that may be written."""
        return Path(self.folder)
