"""What the runtime directory remembers of rollouts, and the lease of a model: one reconciler at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from modelops.reconcile.rollout import RolloutState, from_plain, to_plain
from modelops.reconcile.workspace import slug
from modelops.targets import Site
from modelops.targets._files import unwritable, write_atomically


def _rollout_path(site: Site, model: str) -> Path:
    return site.runtime / "rollouts" / f"{slug(model)}.json"


def read_rollout(site: Site, model: str) -> RolloutState | None:
    """Return the remembered rollout of a model; an unreadable one counts as forgotten."""
    try:
        return from_plain(json.loads(_rollout_path(site, model).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_rollout(site: Site, model: str, state: RolloutState) -> None:
    """Remember a rollout before anything acts on it."""
    write_atomically(_rollout_path(site, model), json.dumps(to_plain(state), indent=2, sort_keys=True).encode())


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
