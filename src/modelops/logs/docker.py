"""The log `docker`: what servers write to the volume of an environment on an engine, of which a copy is kept here.

Whoever opens it copies what is new: files that are closed once, the one that grows each time, as one moment of it.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from modelops.errors import Exit, failure
from modelops.files import unwritable
from modelops.logs._carried import DROP, EXPORT, Carried, Copy, words_of
from modelops.predictions.segments import segment_of
from modelops.spec.layout import PREDICTIONS
from modelops.spec.meta import Name, Strict
from modelops.targets.docker.containers import MADE, Names, found, servers
from modelops.targets.docker.engine import connected, gone
from modelops.targets.docker.image import STATE
from modelops.targets.docker.inside import ask, started, unpacked
from modelops.targets.docker.params import Params as Engine


class Params(Strict):
    """The environment whose volume it is, the context of the engine if one is named, and the folder of the copy.

    ``repository`` tells whose environment of that name it is.
    """

    prefix: Name
    environment: Name
    path: str
    repository: str = ""
    context: str | None = None


def open(params: Params) -> Carried:
    """Copy what is new, and return the copy; an environment that was never run has logged nothing."""
    folder = Path(params.path)
    with connected(_engine(params)) as client:
        containers = _containers(client, params)
        running = [each for each in containers if each.status == "running"]
        try:
            if running:
                _copy(running[0], params, Copy(folder, _volume(client, running[0])))
            elif containers:
                _copy_stopped(containers[0], params, Copy(folder, _volume(client, containers[0])))
        except OSError as error:
            raise unwritable(folder, error) from error
    return Carried(folder, _names(params).stem, partial(_drop, params))


def _drop(params: Params, names: Sequence[str]) -> None:
    with connected(_engine(params)) as client:
        running = [each for each in _containers(client, params) if each.status == "running"]
        if not running or ask(running[0], DROP, f"{STATE}/{PREDICTIONS}", *words_of(names)) is None:
            raise _not_copied(params, "nothing was dropped" if running else "no container of it runs")


def _engine(params: Params) -> Engine:
    return Engine(context=params.context)


def _names(params: Params) -> Names:
    return Names(params.prefix, params.environment, params.repository)


def _containers(client: Any, params: Params) -> list[Any]:
    """Return what has the volume: the container with the ports if there is one, then all servers."""
    names = _names(params)
    ahead = found(client, names, names.front)
    return [*([ahead] if ahead is not None else []), *servers(client, names)]


def _volume(client: Any, container: Any) -> str:
    """Return what tells a volume from another one that had its name before; empty where it was not made by us."""
    (name,) = (each["Name"] for each in container.attrs["Mounts"] if each["Destination"] == STATE)
    try:
        return str((client.volumes.get(name).attrs.get("Labels") or {}).get(MADE, ""))
    except gone():
        return ""


def _copy(container: Any, params: Params, copy: Copy) -> None:
    """Copy what has another mark by now, as one moment of each file."""
    with started(container, EXPORT, f"{STATE}/{PREDICTIONS}", *words_of(copy.marks())) as running:
        lacking = copy.take_from(running)
    if lacking is not None:
        raise _not_copied(params, lacking)


def _copy_stopped(container: Any, params: Params, copy: Copy) -> None:
    """Copy the files as they lie there, each with what was not yet written into it: nobody writes where nobody runs."""
    copy.folder.mkdir(parents=True, exist_ok=True)
    try:
        parts, _ = container.get_archive(f"{STATE}/{PREDICTIONS}")
    except gone():
        return
    with tempfile.TemporaryDirectory(dir=copy.folder, prefix=".stopped-") as place:
        try:
            for path, file in unpacked(parts):
                if segment_of(path.removesuffix("-wal")) is not None:
                    with (Path(place) / path).open("wb") as into:
                        shutil.copyfileobj(file, into)
            for source in sorted(Path(place).glob("*.sqlite")):
                whole = source.with_suffix(".whole")
                with (
                    contextlib.closing(sqlite3.connect(source)) as one,
                    contextlib.closing(sqlite3.connect(whole)) as other,
                ):
                    one.backup(other)
                with whole.open("rb") as file:
                    copy.take(source.name, file)
                copy.mark(source.name, None)
        except (tarfile.TarError, sqlite3.Error) as error:
            raise _not_copied(params, str(error)) from None


def _not_copied(params: Params, why: str) -> Exception:
    return failure(
        "engine-refused",
        f"the log of {_names(params).stem} cannot be copied: {why}",
        exit=Exit.WORLD,
        retryable=True,
        hint="what was copied before is kept; the next look goes on from there",
    )
