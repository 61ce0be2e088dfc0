"""The environment lock: the exact versions of what a model is trained and served with."""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _found(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def environment_lock(package: str = "modelops") -> bytes:
    """Return pinned requirements for everything that a package needs and that is installed here, without itself.

    Optional extras are left out: what is not needed to train and serve must not cause a retraining.
    """
    pins: dict[str, str] = {}
    waiting = [package]
    while waiting:
        name = waiting.pop()
        found = _found(name)
        if found is None or _normal(name) in pins:
            continue
        pins[_normal(name)] = found.version
        for requirement in found.requires or ():
            match = _NAME.match(requirement)
            if match and "extra ==" not in requirement.replace('"', "'").partition(";")[2]:
                waiting.append(match.group())
    pins.pop(_normal(package), None)
    head = f"# What models are trained and served with, on Python {sys.version_info.major}.{sys.version_info.minor}."
    return "\n".join([head, *(f"{name}=={version}" for name, version in sorted(pins.items())), ""]).encode()
