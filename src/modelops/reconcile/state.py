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

from modelops.errors import Exit, failure
from modelops.reconcile.plan import RolloutState
from modelops.reconcile.workspace import slug
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
        raise failure(
            "runtime-unwritable",
            f"cannot write {path}: {error.strerror}",
            exit=Exit.WORLD,
            retryable=True,
            hint="free disk space or repair the permissions; the next pass goes on from here",
        ) from error


def _rollout_path(site: Site, model: str) -> Path:
    return site.runtime / "rollouts" / f"{slug(model)}.json"


def read_rollout(site: Site, model: str) -> RolloutState | None:
    """Return the remembered rollout of a model; an unreadable one counts as forgotten."""
    try:
        data = json.loads(_rollout_path(site, model).read_text(encoding="utf-8"))
        data["checks"] = tuple(data.get("checks", ()))
        return RolloutState(**data)
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write_rollout(site: Site, model: str, state: RolloutState) -> None:
    """Remember a rollout before anything acts on it."""
    write_atomically(_rollout_path(site, model), json.dumps(asdict(state), indent=2, sort_keys=True).encode())


def forget_rollout(site: Site, model: str) -> None:
    """Forget a rollout whose end is in git."""
    _rollout_path(site, model).unlink(missing_ok=True)


@contextlib.contextmanager
def lease(site: Site, model: str) -> Iterator[str | None]:
    """Hold the lease of (model, environment); yields None when held, else who holds it.

    The lease is a lock of the kernel, which frees it the moment its holder dies, so that nothing has to expire.
    """
    path = site.runtime / "leases" / f"{slug(model)}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            yield file.read().strip() or "an unnamed process"
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield None
