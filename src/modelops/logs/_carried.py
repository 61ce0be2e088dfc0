"""A copy of a log that lies elsewhere: each file once, the one that grows as one moment of it."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Protocol

from modelops.files import replacing, sweep, write_atomically
from modelops.logs.folder import Folder
from modelops.predictions.segments import first_number, segment_of
from modelops.targets.docker.inside import unpacked

__all__ = ["DROP", "EXPORT", "Carried", "Copy", "words_of"]

KNOWN = "known.json"
"""Of each file that was copied: the volume that it is of, and how it was marked there."""
EARLIER = "earlier"
"""The folder for files of a volume that is no more, whose names are used again by the one that took its place."""
_WORD_LENGTH = 100_000
_MARK_BYTES = 200
"""More than the sizes and the times of two files take."""
EXPORT = """
import io, json, pathlib, shutil, sqlite3, sys, tarfile, tempfile, time
log, known = pathlib.Path(sys.argv[1]), json.loads("".join(sys.argv[2:]))
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
DROP = """
import json, pathlib, sys
for name in json.loads("".join(sys.argv[2:])):
    for suffix in ("", "-wal", "-shm"):
        (pathlib.Path(sys.argv[1]) / (name + suffix)).unlink(missing_ok=True)
"""


def words_of(told: object) -> list[str]:
    """Return what one of the programs is told, as words that it joins: Linux takes none of 128 KiB or more."""
    text = json.dumps(told)
    return [text[start : start + _WORD_LENGTH] for start in range(0, len(text), _WORD_LENGTH)]


@dataclass(frozen=True, slots=True)
class Carried(Folder):
    """The folder of a copy: what it is a copy of, and how files are dropped there, which raises where they are not."""

    of: str
    drop: Callable[[Sequence[str]], None]

    @property
    def place(self) -> str:
        """The folder of the copy, and where it comes from."""
        return f"{self.path} (of {self.of})"

    def retain(self, now: datetime, *, days: float, needed_days: float = 0.0) -> tuple[str, ...]:
        """Drop the files of days older than both numbers, there first, then here."""
        if names := self.expired(now, days=days, needed_days=needed_days):
            self.drop(names)
        return Folder.retain(self, now, days=days, needed_days=needed_days)


class Running(Protocol):
    """``EXPORT`` as it runs elsewhere."""

    complaint: bytes

    def out(self) -> Iterator[bytes]:
        """Yield what it writes."""
        ...

    def succeeded(self) -> bool:
        """Tell whether it ended well."""
        ...


@dataclass(frozen=True, slots=True)
class Copy:
    """The folder of the copy, and the volume that is copied now.

    ``names`` are those that its writers have been given: files of other writers are not taken from it. Without any all
    are, as those of a volume that no other one lies beside.
    """

    folder: Path
    volume: str
    names: Collection[str] = ()

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

    def take_from(self, running: Running) -> str | None:
        """Take over what arrives; return why not all of it could be had, in the words of the program if it has some."""
        cut = self.take_all(running.out())
        if cut is None and running.succeeded():
            return None
        said = running.complaint.decode("utf-8", "replace").strip().splitlines()
        return said[-1] if said else cut or "it says nothing"

    def take_all(self, parts: Iterable[bytes]) -> str | None:
        """Take over what arrives as ``EXPORT`` writes it, whole files alone; return why it was cut off, if it was.

        Whoever writes it is believed in nothing: what is not named as a file of its own is passed over.
        """
        try:
            for path, file in unpacked(parts):
                name = path.removesuffix(".mark")
                if not self._is_own(name):
                    continue
                if name == path:
                    self.take(name, file)
                else:
                    # The file first: what is written down as known is here.
                    self.mark(name, _mark_of(file))
        except tarfile.TarError as error:
            return str(error)
        return None

    def _is_own(self, name: str) -> bool:
        segment = segment_of(name)
        if segment is None or not self.names:
            return segment is not None
        # Writers without a name share a volume, which is told from others by itself.
        return segment.writer >> 8 in {first_number(each) >> 8 for each in ("", *self.names)}


def _mark_of(file: IO[bytes]) -> list[int]:
    try:
        found = json.loads(file.read(_MARK_BYTES))
    except ValueError as error:
        raise tarfile.ReadError(f"a mark cannot be read: {error}") from None
    if not isinstance(found, list) or not all(type(each) is int for each in found):
        raise tarfile.ReadError("a mark is no list of numbers")
    return found
