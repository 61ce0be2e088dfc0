"""What the runtime directory remembers of rollouts, and the lease of a model: one reconciler at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from modelops.errors import Exit, ModelOpsError, failure
from modelops.reconcile.plan import RolloutState, StepState
from modelops.reconcile.workspace import slug
from modelops.strategies import Smoke, Traffic
from modelops.targets import Site


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content so that a reader sees the old or the new one, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> ModelOpsError:
    """Return the error for a file of the runtime directory that could not be written."""
    return failure(
        "runtime-unwritable",
        f"cannot write {path}: {error.strerror}",
        exit=Exit.WORLD,
        retryable=True,
        hint="free disk space or repair the permissions; the next pass goes on from here",
    )


def _rollout_path(site: Site, model: str) -> Path:
    return site.runtime / "rollouts" / f"{slug(model)}.json"


def read_rollout(site: Site, model: str) -> RolloutState | None:
    """Return the remembered rollout of a model; an unreadable one counts as forgotten."""
    try:
        data = json.loads(_rollout_path(site, model).read_text(encoding="utf-8"))
        data["steps"] = tuple(StepState(Traffic(**step["traffic"]), step["started"]) for step in data["steps"])
        data["smoke"] = Smoke(**data["smoke"]) if data["smoke"] is not None else None
        data["checks"], data["failed"] = tuple(data["checks"]), tuple(data["failed"])
        return RolloutState(**data) if data["steps"] else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_rollout(site: Site, model: str, state: RolloutState) -> None:
    """Remember a rollout before anything acts on it."""
    write_atomically(_rollout_path(site, model), json.dumps(asdict(state), indent=2, sort_keys=True).encode())


def forget_rollout(site: Site, model: str) -> None:
    """Forget a rollout whose end is in git."""
    _rollout_path(site, model).unlink(missing_ok=True)


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def lease(site: Site, model: str) -> Iterator[str | None]:
    """Hold the lease of (model, environment); yields None when held, else who holds it.

    The lease is a lock of the kernel, which frees it the moment its holder dies, so that nothing has to expire.
    """
    path = site.runtime / "leases" / f"{slug(model)}.lock"
    with _opened(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            yield file.read().strip() or "an unnamed process"
            return
        try:
            # Unbuffered: what does not fit on the disk must not be tried again when the file is closed.
            os.ftruncate(file.fileno(), 0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
        except OSError as error:
            raise unwritable(path, error) from error
        yield None
