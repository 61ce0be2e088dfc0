"""What the means that a machine offered amount to: which promises hold there, by what, and which do not, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modelops.fence.promises import PROMISES, Promise

__all__ = ["Held", "missing", "promises"]


@dataclass(frozen=True, slots=True)
class Held:
    """The means that closed around one run.

    ``user`` is the id it ran under when that is nobody else's, ``landlock`` the version that was applied, ``why`` says
    of each means that was not to be had what the kernel answered. ``plain`` is a system that is not Linux.
    """

    namespaces: bool = False
    own_proc: bool = False
    user: int | None = None
    landlock: int = 0
    seccomp: bool = False
    plain: bool = False
    why: tuple[tuple[str, str], ...] = ()

    def dump(self) -> dict[str, Any]:
        """Return what held as JSON has it."""
        return asdict(self)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Held:
        """Return what ``dump`` wrote."""
        return cls(**{**document, "why": tuple((means, text) for means, text in document["why"])})

    @property
    def signals_inside(self) -> bool:
        """Whether something other than the filter of system calls keeps signals from others."""
        return self.namespaces or self.user is not None or self.landlock >= 6

    @property
    def alone_with_files(self) -> bool:
        """Whether no file of the person who runs this is in reach, so that changing modes can hurt nobody."""
        return self.namespaces or self.user is not None


def promises(held: Held) -> dict[Promise, str]:
    """Return every promise that holds, with the means by which it does; what is not there does not hold."""
    said = {
        "namespaces": held.namespaces,
        "a user id of its own": held.user is not None,
        "Landlock": held.landlock >= 1,
        "a filter of system calls": held.seccomp,
    }

    def by(*means: str) -> str:
        return " and ".join(name for name in means if said[name])

    files = held.namespaces or (held.landlock >= 3 and (held.seccomp or held.user is not None))
    found: dict[Promise, str] = {
        "files": by("namespaces", "Landlock") if files else "",
        "secrets": by("namespaces", "a user id of its own", "Landlock"),
        "network": by("namespaces", "a filter of system calls"),
        "sockets": by("a filter of system calls"),
        "signals": by("namespaces", "a user id of its own", *(["Landlock"] if held.landlock >= 6 else []))
        or by("a filter of system calls"),
        "processes": "namespaces" if held.namespaces else "" if held.plain else "the adoption of orphans",
        "rights": by("a filter of system calls"),
    }
    return {promise: means for promise in PROMISES if (means := found[promise])}


def missing(held: Held, required: Iterable[Promise] = PROMISES) -> tuple[Promise, ...]:
    """Return the promises that are demanded and do not hold."""
    there = promises(held)
    return tuple(promise for promise in required if promise not in there)
