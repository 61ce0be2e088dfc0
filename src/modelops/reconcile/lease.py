"""The lease of a model in an environment: one reconciler at a time, freed by the kernel when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

from modelops.errors import Exit, ModelOpsError, failure
from modelops.files import unwritable
from modelops.targets import Site

__all__ = ["leases", "table_lock"]

_LOCK = struct.Struct("hhqqi4x")
"""struct flock of 64-bit Linux: type, whence, start, length, process."""
_SPAN = 1 << 62


@contextlib.contextmanager
def leases(site: Site, models: Iterable[str]) -> Iterator[dict[str, str]]:
    """Hold the leases of some models; yields who holds those that could not be had, by model.

    A lease is one byte of one file, at the place that the model's name stands for, locked as an open file description:
    a thousand leases cost one descriptor, threads exclude each other too, and nothing has to expire.
    """
    folder = site.runtime / "leases"
    descriptor = _open(folder / "locks")
    card = folder / f"{os.getpid()}-{descriptor}.json"
    try:
        try:
            taken = {model: _lock(descriptor, model) for model in models}
        except OSError as error:
            raise _unsupported(site, error) from error
        _tell(card, [model for model, ours in taken.items() if ours])
        told = dict(_told(folder)) if not all(taken.values()) else {}
        held = {model: told.get(model, "an unnamed process") for model, ours in taken.items() if not ours}
        yield held
    finally:
        card.unlink(missing_ok=True)
        os.close(descriptor)


@contextlib.contextmanager
def table_lock(site: Site) -> Iterator[None]:
    """Hold the right to write the routing table, which the holders of different leases share."""
    descriptor = _open(site.runtime / "leases" / "table")
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise _unsupported(site, error) from error
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise unwritable(path, error) from error


def _lock(descriptor: int, model: str) -> bool:
    """Lock the byte of a model; False when somebody else has it."""
    place = int.from_bytes(sha256(model.encode()).digest()[:8]) % _SPAN
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, place, 1, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def _unsupported(site: Site, error: OSError) -> ModelOpsError:
    """Return the error for a file system that gives no locks: without them two reconcilers would move one model."""
    return failure(
        "lease-unsupported",
        f"{site.runtime / 'leases'} cannot be locked: {error.strerror}",
        exit=Exit.WORLD,
        hint="put the checkout on a file system with locks: a local one, or NFS with its lock service",
    )


def _tell(card: Path, models: list[str]) -> None:
    """Write down who we are, for those who come second; it is the lock that counts."""
    if models:
        said = {"holder": f"process {os.getpid()} on {socket.gethostname()}", "pid": os.getpid(), "models": models}
        # A full disk keeps nobody from working: the card only names the holder.
        with contextlib.suppress(OSError):
            card.write_text(json.dumps(said), encoding="utf-8")


def _told(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield (model, holder) as living processes wrote it down; what the dead left behind is swept."""
    for card in sorted(folder.glob("*.json")):
        try:
            said = json.loads(card.read_text(encoding="utf-8"))
            pid, holder, models = int(said["pid"]), str(said["holder"]), list(said["models"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if Path(f"/proc/{pid}").exists():
            yield from ((str(model), holder) for model in models)
        else:
            card.unlink(missing_ok=True)
