"""The incidents of a model in an environment, as this machine remembers them, and what else a look left to be shown."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from modelops.errors import Exit, ModelOpsError, failure
from modelops.files import unwritable, write_atomically
from modelops.monitoring.anomalies import Anomaly
from modelops.monitoring.objectives import Budget
from modelops.monitoring.triage.incidents import Incident
from modelops.spec.layout import slug
from modelops.spec.meta import Strict

__all__ = ["NOTHING", "Kept", "Spent", "held", "peeked", "read_kept", "write_kept"]


class Spent(Strict):
    """The retrainings that were opened in a month, of how many that may be, and until when none is opened."""

    month: str
    runs: int
    limit: int | None = None
    rejected: int = 0
    waits_until: str | None = None


class Kept(Strict):
    """What is remembered between looks at one model; ``at`` is the end of the last window.

    ``anomalies`` are the unusual hours of its last week, and ``unjudged`` says why hours are not judged.
    """

    at: str = ""
    incidents: tuple[Incident, ...] = ()
    spent: Spent | None = None
    budgets: tuple[Budget, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    unjudged: str = ""


NOTHING = Kept()
"""What is remembered of a model that nobody looked at yet."""


def _path(runtime: Path, model: str) -> Path:
    return runtime / "incidents" / f"{slug(model)}.json"


def read_kept(runtime: Path, model: str) -> Kept:
    """Return what is remembered of a model, nothing of one that nobody looked at yet.

    Raises
    ------
    ModelOpsError
        ``memory-unreadable`` where there is a file that says nothing: it may say which rows must not be trained on.
    """
    path = _path(runtime, model)
    try:
        return Kept.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return NOTHING
    except (OSError, ValidationError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is torn, or another modelops wrote it"
        raise failure(
            "memory-unreadable",
            f"what is remembered of the incidents of {model} cannot be read from {path}: {said}",
            exit=Exit.WORLD,
            hint="use the modelops that wrote it, or move the file away: rows that were served with broken data are "
            "then no longer kept from training",
        ) from None


def peeked(runtime: Path, model: str) -> Kept:
    """Return the same to who only shows it, and nothing where it cannot be read: the next look at it says so."""
    try:
        return read_kept(runtime, model)
    except ModelOpsError:
        return NOTHING


def unusual_elsewhere(runtime: Path, model: str) -> dict[str, str]:
    """Return the other models of an environment that had unusual hours at their last look, and since when."""
    found = {}
    for file in sorted((runtime / "incidents").glob("*.json")):
        name = file.stem.replace("__", "/")
        begun = [one.began for one in peeked(runtime, name).anomalies if one.until is None] if name != model else []
        if begun:
            found[name] = min(begun)
    return found


def write_kept(runtime: Path, model: str, kept: Kept) -> None:
    """Remember it, whole or not at all."""
    write_atomically(_path(runtime, model), kept.model_dump_json(by_alias=True, indent=1).encode())


@contextlib.contextmanager
def held(runtime: Path, model: str) -> Iterator[None]:
    """Keep other monitors from changing what is remembered of a model, until the end of the block."""
    path = _path(runtime, model).with_suffix(".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        # A file system without locks has one machine that monitors.
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
