"""What is installed here, and the lock of what a package needs of it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions

from packaging.requirements import InvalidRequirement, Requirement

from modelops.locks.pins import compare_lock, normal_name, pins_of

__all__ = ["environment_lock", "extras_of", "installed_packages", "needs"]


def installed_packages() -> dict[str, str]:
    """Return the version of every installed distribution by its normalised name, as Python would import it."""
    found: dict[str, str] = {}
    for one in distributions():
        name = one.metadata["Name"]
        if name:
            # The first one on the path is the one that is imported.
            found.setdefault(normal_name(name), one.version)
    return dict(sorted(found.items()))


def _found(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def needs(package: str, extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """Return what a package asks for on this Python and machine, with the extras that are named."""
    found = _found(package)
    asked = []
    for text in (found.requires or ()) if found is not None else ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        chosen = extras or {""}
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in chosen | {""}):
            asked.append(requirement)
    return asked


def extras_of(package: str) -> tuple[str, ...]:
    """Return the extras that an installed package has, sorted."""
    found = _found(package)
    return tuple(sorted(found.metadata.get_all("Provides-Extra") or ())) if found is not None else ()


def _closure(package: str) -> dict[str, str]:
    """Return the versions of everything that a package needs and that is installed here, without itself.

    Optional extras are left out: what is not needed to train and serve must not cause a retraining.
    """
    found: dict[str, str] = {}
    waiting: list[tuple[str, frozenset[str]]] = [(package, frozenset())]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        here = _found(one[0])
        if here is None or one in seen:
            continue
        seen.add(one)
        found[normal_name(one[0])] = here.version
        waiting += [(each.name, frozenset(each.extras)) for each in needs(*one)]
    found.pop(normal_name(package), None)
    return found


def environment_lock(shipped: bytes, package: str = "modelops") -> bytes:
    """Return pinned requirements for everything that a package needs and that is installed here, without itself.

    ``shipped`` is the lock that this version was tested with. Where just that is installed it is the answer, whole:
    with hashes, for every Python and machine. Any other version is pinned without a hash, which only the index knows.
    """
    installed = _closure(package)
    fits = compare_lock(shipped, installed)
    if fits.pins and not fits.other and not fits.unpinned:
        return shipped
    return _partly(shipped, installed)


def _partly(lock: bytes, installed: Mapping[str, str]) -> bytes:
    known = {(pin.name, pin.version): pin.text for pin in pins_of(lock) if pin.counts and pin.hashed}
    lines = [known.get(one, "==".join(one)) for one in sorted(installed.items())]
    head = f"# What models are trained and served with, on Python {sys.version_info.major}.{sys.version_info.minor}."
    bare = len(installed) - sum(one in known for one in installed.items())
    if bare:
        head += f"\n# {bare} pins have no hash, as another version is installed than modelops ships: modelops lock"
    return "\n".join([head, *lines, ""]).encode()
