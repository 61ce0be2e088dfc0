"""The log `docker`: what servers write to the volume of an environment on an engine, of which a copy is kept here.

Whoever opens it copies what is new: files that are closed once, the one that grows each time, as one moment of it.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from modelops.errors import Exit, failure
from modelops.files import write_atomically
from modelops.logs.folder import Folder
from modelops.spec.layout import PREDICTIONS
from modelops.spec.meta import Strict
from modelops.targets.docker.engine import connected, gone
from modelops.targets.docker.image import STATE
from modelops.targets.docker.inside import ask, files_in
from modelops.targets.docker.params import Params as Engine

KNOWN = "known.json"
_NAME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}-w[0-9]+-[0-9]+\.sqlite(-wal|-shm)?")
_EXPORT = """
import io, json, pathlib, sqlite3, sys, tarfile, tempfile
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
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
    for file in sorted(log.glob("*.sqlite")):
        now = mark(file)
        if known.get(file.name) == now:
            continue
        with tempfile.TemporaryDirectory(dir=log.parent) as folder:
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
    """The container that has the volume, the context of the engine if one is named, and the folder of the copy."""

    container: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    path: str
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Carried(Folder):
    """The copy; what is dropped is dropped in the volume first."""

    params: Params

    @property
    def place(self) -> str:
        """The folder of the copy, and where it comes from."""
        return f"{self.path} (of {self.params.container})"

    def retain(self, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
        """Drop the files of days older than both numbers, there and here."""
        names = self.expired(now, days=days, needed_days=needed_days)
        if names:
            with connected(_engine(self.params)) as client:
                container = client.containers.get(self.params.container)
                if ask(container, _DROP, f"{STATE}/{PREDICTIONS}", json.dumps(names)) is None:
                    raise _not_copied(self.params, "nothing was dropped")
        return Folder.retain(self, now, days=days, needed_days=needed_days)


def open(params: Params) -> Carried:
    """Copy what is new, and return the copy; a container that was never made has logged nothing."""
    folder = Path(params.path)
    with connected(_engine(params)) as client:
        try:
            container = client.containers.get(params.container)
        except gone():
            return Carried(folder, params)
        if container.status == "running":
            _copy(container, params, folder)
        else:
            # Nobody writes where nobody answers, so the files are whole as they lie there.
            for name, data in files_in(container, f"{STATE}/{PREDICTIONS}").items():
                if _NAME.fullmatch(name) and not name.endswith("-shm"):
                    write_atomically(folder / name, data)
    return Carried(folder, params)


def _engine(params: Params) -> Engine:
    return Engine(context=params.context)


def _copy(container: Any, params: Params, folder: Path) -> None:
    known = _known(folder)
    api = container.client.api
    words = ["python", "-I", "-c", _EXPORT, f"{STATE}/{PREDICTIONS}", json.dumps(known)]
    made = api.exec_create(container.id, words)
    out, err = api.exec_start(made["Id"], demux=True)
    if api.exec_inspect(made["Id"])["ExitCode"] != 0:
        last = ((err or b"").decode("utf-8", "replace").strip().splitlines() or ["it says nothing"])[-1]
        raise _not_copied(params, last)
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(out or b""), mode="r|") as archive:
        for member in archive:
            file = archive.extractfile(member)
            name = member.name.removesuffix(".mark")
            if file is None or not _NAME.fullmatch(name):
                continue
            if name == member.name:
                found[name] = file.read()
                continue
            # The file first: what is written down as known is here.
            for suffix in ("-wal", "-shm"):
                (folder / f"{name}{suffix}").unlink(missing_ok=True)
            write_atomically(folder / name, found.pop(name))
            known[name] = json.loads(file.read())
            write_atomically(folder / KNOWN, json.dumps(known, sort_keys=True).encode())


def _known(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / KNOWN).read_bytes())
    except (OSError, ValueError):
        return {}
    return {name: mark for name, mark in found.items() if (folder / name).is_file()} if isinstance(found, dict) else {}


def _not_copied(params: Params, why: str) -> Exception:
    return failure(
        "engine-refused",
        f"the log of {params.container} cannot be copied: {why}",
        exit=Exit.WORLD,
        retryable=True,
        hint="what was copied before is kept; the next look goes on from there",
    )
