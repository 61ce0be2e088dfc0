"""The log `docker`: what servers write to the volume of an environment on an engine, of which a copy is kept here.

Whoever opens it copies what is new: files that are closed once, the one that grows each time, as one moment of it.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sqlite3
import tarfile
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from modelops.errors import Exit, failure
from modelops.files import replacing, sweep, unwritable, write_atomically
from modelops.logs.folder import Folder
from modelops.spec.layout import PREDICTIONS
from modelops.spec.meta import Name, Strict
from modelops.targets.docker.containers import MADE, Names, found, servers
from modelops.targets.docker.engine import connected, gone
from modelops.targets.docker.image import STATE
from modelops.targets.docker.inside import ask, started, unpacked
from modelops.targets.docker.params import Params as Engine

KNOWN = "known.json"
"""Of each file that was copied: the volume that it is of, and how it was marked there."""
EARLIER = "earlier"
"""The folder for files of a volume that is no more, whose names are used again by the one that took its place."""
_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-w[0-9]+-[0-9]+\.sqlite(-wal|-shm)?")
_EXPORT = """
import io, json, pathlib, shutil, sqlite3, sys, tarfile, tempfile, time
log, known = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2])
def mark(file):
    found = []
    for each in (file, file.with_name(file.name + "-wal")):
        try:
            stat = each.stat()
        except FileNotFoundError:
            found += [0, 0]
        else:
            found += [stat.st_size, stat.st_mtime_ns]
    return found
# Left behind by who was killed while copying.
for folder in log.parent.glob("copying-*"):
    if time.time() - folder.stat().st_ctime > 3600:
        shutil.rmtree(folder, ignore_errors=True)
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
    for file in sorted(log.glob("*.sqlite")):
        now = mark(file)
        if known.get(file.name) == now:
            continue
        with tempfile.TemporaryDirectory(dir=log.parent, prefix="copying-") as folder:
            copy = pathlib.Path(folder) / file.name
            source, target = sqlite3.connect(file.as_uri() + "?mode=ro", uri=True), sqlite3.connect(copy)
            with target:
                source.backup(target)
            target.close()
            source.close()
            archive.add(copy, file.name)
        said = json.dumps(now).encode()
        member = tarfile.TarInfo(file.name + ".mark")
        member.size = len(said)
        archive.addfile(member, io.BytesIO(said))
"""
_DROP = """
import json, pathlib, sys
for name in json.loads(sys.argv[2]):
    for suffix in ("", "-wal", "-shm"):
        (pathlib.Path(sys.argv[1]) / (name + suffix)).unlink(missing_ok=True)
"""


class Params(Strict):
    """The environment whose volume it is, the context of the engine if one is named, and the folder of the copy.

    ``repository`` tells whose environment of that name it is.
    """

    prefix: Name
    environment: Name
    path: str
    repository: str = ""
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Carried(Folder):
    """The copy; what is dropped is dropped in the volume first."""

    params: Params

    @property
    def place(self) -> str:
        """The folder of the copy, and where it comes from."""
        return f"{self.path} (of {_names(self.params).stem})"

    def retain(self, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
        """Drop the files of days older than both numbers, there and here."""
        names = self.expired(now, days=days, needed_days=needed_days)
        if names:
            with connected(_engine(self.params)) as client:
                running = [each for each in _containers(client, self.params) if each.status == "running"]
                if not running or ask(running[0], _DROP, f"{STATE}/{PREDICTIONS}", json.dumps(names)) is None:
                    raise _not_copied(self.params, "nothing was dropped" if running else "no container of it runs")
        return Folder.retain(self, now, days=days, needed_days=needed_days)


def open(params: Params) -> Carried:
    """Copy what is new, and return the copy; an environment that was never run has logged nothing."""
    folder = Path(params.path)
    with connected(_engine(params)) as client:
        containers = _containers(client, params)
        running = [each for each in containers if each.status == "running"]
        try:
            if running:
                _copy(running[0], params, _Copy(folder, _volume(client, running[0])))
            elif containers:
                _copy_stopped(containers[0], params, _Copy(folder, _volume(client, containers[0])))
        except OSError as error:
            raise unwritable(folder, error) from error
    return Carried(folder, params)


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


@dataclass(frozen=True, slots=True)
class _Copy:
    """The folder of the copy, and the volume that is copied now."""

    folder: Path
    volume: str

    def marks(self) -> dict[str, Any]:
        """Return how the files are marked that are here whole."""
        return {name: mark for name, (volume, mark) in self._known().items() if volume == self.volume}

    def _known(self) -> dict[str, tuple[str, Any]]:
        try:
            said = json.loads((self.folder / KNOWN).read_bytes())
            return {name: (volume, mark) for name, (volume, mark) in said.items() if (self.folder / name).is_file()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def take(self, name: str, file: IO[bytes]) -> None:
        """Take a file over, whole or not at all; one of a volume that is no more is put aside, not written over."""
        before = self._known().get(name)
        if before is not None and before[0] != self.volume:
            aside = self.folder / EARLIER / re.sub(r"[^0-9A-Za-z]", "", before[0])
            aside.mkdir(parents=True, exist_ok=True)
            (self.folder / name).replace(aside / name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder, name) as (into, commit):
            shutil.copyfileobj(file, into)
            for suffix in ("-wal", "-shm"):
                (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
            commit(self.folder / name)
        sweep(self.folder, name)

    def mark(self, name: str, mark: Any) -> None:
        """Write down that a file is here, as it was marked there."""
        known = {**self._known(), name: (self.volume, mark)}
        write_atomically(self.folder / KNOWN, json.dumps(known, sort_keys=True).encode())


def _copy(container: Any, params: Params, copy: _Copy) -> None:
    """Copy what has another mark by now, as one moment of each file."""
    cut = None
    with started(container, _EXPORT, f"{STATE}/{PREDICTIONS}", json.dumps(copy.marks())) as running:
        try:
            for path, file in unpacked(running.out()):
                name = path.removesuffix(".mark")
                if _NAME.fullmatch(name) and name == path:
                    copy.take(name, file)
                elif _NAME.fullmatch(name):
                    # The file first: what is written down as known is here.
                    copy.mark(name, json.loads(file.read()))
        except tarfile.TarError as error:
            cut = str(error)
    if cut is not None or not running.succeeded():
        last = running.complaint.decode("utf-8", "replace").strip().splitlines() or [cut or "it says nothing"]
        raise _not_copied(params, last[-1])


def _copy_stopped(container: Any, params: Params, copy: _Copy) -> None:
    """Copy the files as they lie there, each with what was not yet written into it: nobody writes where nobody runs."""
    copy.folder.mkdir(parents=True, exist_ok=True)
    try:
        parts, _ = container.get_archive(f"{STATE}/{PREDICTIONS}")
    except gone():
        return
    with tempfile.TemporaryDirectory(dir=copy.folder, prefix=".stopped-") as place:
        try:
            for path, file in unpacked(parts):
                if _NAME.fullmatch(path) and not path.endswith("-shm"):
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
