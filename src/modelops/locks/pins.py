"""What a lock pins: names, versions, the conditions under which a pin counts, and whether it has hashes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

__all__ = ["HASH", "LockDifferences", "Pin", "compare_lock", "normal_name", "pins_of"]

HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
"""A hash of a pin's files."""

_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?\s*===?\s*(?P<version>[A-Za-z0-9.!+_-]+)\s*(?P<rest>.*)"
)


def normal_name(name: str) -> str:
    """Return the one spelling of a distribution's name."""
    return str(canonicalize_name(name))


@dataclass(frozen=True, slots=True)
class Pin:
    """One pin of a lock; ``text`` is what the lock says of it, ``counts`` whether it is for this Python and machine."""

    name: str
    version: str
    text: str
    hashed: bool
    counts: bool


def pins_of(lock: bytes) -> list[Pin]:
    """Return the pins of a lock, ``name==version`` lines with their hashes and conditions, in their order."""
    found = []
    text = lock.decode("utf-8", "replace").replace("\r\n", "\n")
    for line in re.split(r"(?<!\\)\n", text):
        whole = re.sub(r"\\\n", " ", line).strip()
        match = _PIN.match(whole)
        if match:
            counts = _counts(match["rest"])
            hashed = "--hash=" in match["rest"]
            found.append(Pin(normal_name(match["name"]), match["version"], line.strip(), hashed, counts))
    return found


def _counts(rest: str) -> bool:
    """Evaluate what stands behind a semicolon; a condition that cannot be read keeps nothing away."""
    condition = re.split(r"\s--hash=|\s#", f" {rest}", maxsplit=1)[0].strip()
    if not condition.startswith(";"):
        return True
    try:
        return Marker(condition.removeprefix(";").strip()).evaluate()
    except (InvalidMarker, UndefinedEnvironmentName):
        return True


@dataclass(frozen=True, slots=True)
class LockDifferences:
    """An environment lock beside what is installed.

    ``other`` are pins of another version than is installed, as (name, pinned, installed); ``absent`` pins of what is
    not installed; ``unpinned`` what is installed and in no pin. ``hashed`` counts the pins that have a hash. Pins for
    other Pythons and machines are not counted.
    """

    pins: int
    hashed: int
    other: tuple[tuple[str, str, str], ...]
    absent: tuple[str, ...]
    unpinned: tuple[str, ...]

    def recorded(self) -> dict[str, Any]:
        """Return the comparison as the evidence holds it."""
        return {
            "pins": self.pins,
            "hashed": self.hashed,
            "other": [{"name": name, "pinned": pin, "installed": found} for name, pin, found in self.other],
            "absent": list(self.absent),
            "unpinned": list(self.unpinned),
        }


def compare_lock(lock: bytes, packages: Mapping[str, str]) -> LockDifferences:
    """Compare the pins of a lock that count here with what is installed.

    A pin that is not installed may be an extra that nobody asked for: it is told apart from a pin of another version.
    """
    pins = {pin.name: pin for pin in pins_of(lock) if pin.counts}
    other = tuple(
        (name, pin.version, packages[name])
        for name, pin in sorted(pins.items())
        if name in packages and not _same_version(pin.version, packages[name])
    )
    absent = tuple(sorted(name for name in pins if name not in packages))
    unpinned = tuple(sorted(name for name in packages if name not in pins)) if pins else ()
    return LockDifferences(len(pins), sum(pin.hashed for pin in pins.values()), other, absent, unpinned)


def _same_version(pin: str, installed: str) -> bool:
    """Compare as PEP 440 does for ``==``: trailing zeros do not count, nor a local label that no pin asks for."""
    try:
        wanted, found = Version(pin), Version(installed)
    except InvalidVersion:
        return pin == installed
    return wanted == (found if wanted.local else Version(found.public))
