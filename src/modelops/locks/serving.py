"""The part of a lock that serving needs: an image that answers has no use for what trains, builds and judges."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, requires

from packaging.requirements import InvalidRequirement, Requirement

from modelops.errors import Exit, failure
from modelops.locks.pins import normal_name, pins_of

__all__ = ["serving_part"]

ROOTS = (
    "click", "httptools", "httpx", "msgspec", "numpy", "onnxruntime", "orjson", "prometheus-client", "protobuf",
    "pydantic", "uvloop",
)  # fmt: skip
"""What a server of releases in ONNX imports, wherever its artifacts are."""
EXTRAS = ("grpcio",)
"""What it imports where it is pinned: modelops has it as an extra."""


def serving_part(lock: bytes, engines: Collection[str] = ("onnx",)) -> bytes:
    """Return those pins of a lock, with their hashes, that serve releases of these engines; the whole for others.

    What a package asks for is read where it is installed; a condition of a pin stays with it. Install the part with
    ``--no-deps``, as modelops itself: its metadata asks for all that any verb needs.
    """
    if set(engines) - {"onnx"}:
        return lock
    pins = pins_of(lock)
    pinned = {pin.name for pin in pins}
    absent = [name for name in ROOTS if name not in pinned]
    if absent:
        said = f"the lock pins no {', '.join(absent)}, which serving needs" if pins else "there is no lock yet"
        raise failure("lock-incomplete", said, exit=Exit.FILES, hint="`modelops lock` makes it anew")
    wanted: set[str] = set()
    waiting = [*ROOTS, *EXTRAS]
    while waiting:
        name = waiting.pop()
        if name in pinned and name not in wanted:
            wanted.add(name)
            waiting += _asked(name)
    head = "# What a server of releases in ONNX needs of requirements.lock; install it with --no-deps.\n"
    return (head + "".join(f"{pin.text}\n" for pin in pins if pin.name in wanted)).encode()


def _asked(name: str) -> list[str]:
    """Return what a package asks for on any machine, extras aside."""
    try:
        texts = requires(name) or []
    except PackageNotFoundError:
        return []
    found = []
    for text in texts:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker is None or "extra" not in str(requirement.marker):
            found.append(normal_name(requirement.name))
    return found
