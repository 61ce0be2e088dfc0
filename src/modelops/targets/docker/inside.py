"""What is asked of containers from within: programs for their Python, and files that go in and out as archives."""

from __future__ import annotations

import contextlib
import io
import json
import secrets
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from modelops.errors import Exit, ModelOpsError, failure
from modelops.targets import ObservedArm, Running
from modelops.targets.docker.engine import api_errors, gone, refused
from modelops.targets.docker.image import USER

__all__ = ["Program", "ask", "carried_in", "copied_in", "files_in", "read_status", "started", "unpacked", "whole"]

KNOCK = """
import socket, sys
socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=3).close()
"""
STATUS = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=3)
connection.request("GET", "/modelops/status")
answer = connection.getresponse()
body = answer.read()
sys.exit(1) if answer.status != 200 else sys.stdout.write(body.decode())
"""
"""A program for the container's Python; its argument is the port for who looks after the server."""
COMMIT = """
import hashlib, json, os, pathlib, shutil, sys, time
top = pathlib.Path("/srv/modelops")
incoming, blobs, said = top / sys.argv[1], top / "store/blobs/sha256", json.loads(sys.argv[2])
for folder in (blobs, top / "routes"):
    folder.mkdir(parents=True, exist_ok=True)
def place(source, target):
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    os.replace(source, target)
    folder = os.open(target.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
# Manifests sort last: where one is, everything is that it names.
for file in sorted(incoming.glob("*-" + "?" * 64)) if incoming.is_dir() else ():
    hexadecimal = file.name[-64:]
    if hashlib.file_digest(open(file, "rb"), "sha256").hexdigest() == hexadecimal:
        place(file, blobs / hexadecimal)
if not (top / "store/oci-layout").exists():
    (top / "store/index.json").write_text('{"schemaVersion": 2, "manifests": []}')
    (top / "store/oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
lacks = [one for one in said["needs"] if not (blobs / one).is_file()]
for name in () if lacks else said["places"]:
    place(incoming / name, top / "routes" / name)
shutil.rmtree(incoming, ignore_errors=True)
# What others left behind who were killed; who copies right now is younger.
for folder in top.glob("incoming-*"):
    try:
        old = time.time() - folder.stat().st_ctime > 3600
    except FileNotFoundError:
        continue
    if old:
        shutil.rmtree(folder, ignore_errors=True)
kept = set(said["keeps"])
for file in blobs.iterdir() if kept else ():
    if file.name not in kept:
        file.unlink()
print(json.dumps({"lacks": lacks}))
"""
"""Puts what was copied in where it belongs: artifacts by their digests, then files, each whole or not at all."""
HELD = """
import hashlib, json, pathlib, sys
blobs, found = pathlib.Path("/srv/modelops/store/blobs/sha256"), {}
def whole(name):
    try:
        with open(blobs / name, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == name
    except FileNotFoundError:
        return False
for name in json.loads(sys.argv[1]):
    if whole(name):
        manifest = json.loads((blobs / name).read_bytes())
        parts = [manifest["config"], *manifest["layers"]]
        named = [name, *(part["digest"].partition(":")[2] for part in parts)]
        if all(map(whole, named[1:])):
            found[name] = named
print(json.dumps(found))
"""
"""Tells which artifacts a volume holds whole, to the last byte, and the blobs that each is made of."""

DISCARD = """
import shutil, sys
shutil.rmtree("/srv/modelops/" + sys.argv[1], ignore_errors=True)
"""
EMPTY = """
import pathlib, sys
sys.exit(any(pathlib.Path(sys.argv[1]).glob("*.sqlite")))
"""
TAKE_BACK = """
import pathlib, shutil, sys
log, copied = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
if not any(log.glob("*.sqlite")):
    shutil.rmtree(log, ignore_errors=True)
    copied.rename(log)
"""
"""Makes a copied folder the log, in one step, where there is none."""


MOST_BYTES = 32 << 20
"""More than any answer has: the status of a hundred thousand arms."""


def whole(parts: Iterable[bytes]) -> str | None:
    """Return all that a program prints as text; None where it is more than anybody waits for an answer of."""
    found = bytearray()
    for part in parts:
        found += part
        if len(found) > MOST_BYTES:
            return None
    return found.decode("utf-8", "replace")


@dataclass(slots=True)
class Program:
    """A program that runs in a container: what it prints, to be read once and to the end, and then how it ended."""

    _api: Any
    _id: str
    _stream: Any
    complaint: bytes = b""

    def out(self) -> Iterator[bytes]:
        """Yield what it prints, as it comes; the last of what it complains of is kept."""
        for data, said in self._stream:
            self.complaint = (self.complaint + (said or b""))[-2000:]
            yield data or b""

    def succeeded(self) -> bool:
        """Tell whether it ended, and ended well."""
        return bool(self._api.exec_inspect(self._id)["ExitCode"] == 0)


@contextlib.contextmanager
def started(container: Any, program: str, *words: str) -> Iterator[Program]:
    """Run a program with a container's Python."""
    api = container.client.api
    made = api.exec_create(container.id, ["python", "-I", "-c", program, *words])
    stream = api.exec_start(made["Id"], stream=True, demux=True)
    # The SDK's own close() ends the socket and leaves the answer that holds it open.
    with contextlib.closing(stream._response):
        yield Program(api, made["Id"], stream)


def ask(container: Any, program: str, *words: str) -> str | None:
    """Run a program with a container's Python, and return what it prints; None where it fails."""
    with started(container, program, *words) as running:
        out = whole(running.out())
    if out is not None and running.succeeded():
        return out
    if b"No space left" in running.complaint:
        raise failure(
            "engine-refused",
            f"there is no space left for {container.name}",
            exit=Exit.WORLD,
            retryable=True,
            hint="free disk space on the engine's machine: docker system df",
        )
    return None


def copied_in(container: Any, place: str, name: str, files: Mapping[str, bytes | Path]) -> None:
    """Copy files, or their bytes, into a folder of a container's volume, as those of its user."""
    with tempfile.TemporaryFile() as stream:
        with tarfile.open(fileobj=stream, mode="w") as archive:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, USER, USER
            archive.addfile(folder)
            for each, data in files.items():
                member = tarfile.TarInfo(f"{name}/{each}")
                member.mode, member.uid, member.gid = 0o644, USER, USER
                with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
                    member.size = file.seek(0, io.SEEK_END)
                    file.seek(0)
                    archive.addfile(member, file)
        stream.seek(0)
        container.put_archive(place, stream)


def carried_in(container: Any, files: Mapping[str, bytes], program: str, **said: object) -> dict[str, Any]:
    """Copy files into a container's volume, and let a program there put them in their places."""
    # A name of its own: somebody else may be copying at this moment.
    incoming = f"incoming-{secrets.token_hex(8)}"
    told = None
    try:
        copied_in(container, "/srv/modelops", incoming, files)
        told = ask(container, program, incoming, json.dumps(said))
    finally:
        if told is None:
            # A disk that was full for it would stay full by what is left of it.
            with contextlib.suppress(api_errors(), ModelOpsError):
                ask(container, DISCARD, incoming)
    if told is None:
        raise failure(
            "engine-refused",
            f"{container.name} did not take over what was copied into it",
            exit=Exit.WORLD,
            retryable=True,
            hint="the next pass goes on from here",
        )
    found: dict[str, Any] = json.loads(told)
    return found


class _Flow(io.RawIOBase):
    """What arrives in parts, as a file that is read once."""

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts, self._rest = iter(parts), b""

    def readable(self) -> bool:
        """Tell that it is."""
        return True

    def readinto(self, into: Any) -> int:
        """Hand over what is there, nothing at the end."""
        while not self._rest:
            try:
                self._rest = next(self._parts)
            except StopIteration:
                return 0
        many = min(len(into), len(self._rest))
        into[:many], self._rest = self._rest[:many], self._rest[many:]
        return many


def unpacked(parts: Iterable[bytes]) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the files of an archive that arrives in parts, each by its name without folders, to be read at once.

    Where it ends within a file, or is none, that and reading raise TarError. Links, and files that say of themselves
    that they are longer than what arrives of them, are passed over.
    """
    flow = io.BufferedReader(_Flow(parts))
    try:
        with tarfile.open(fileobj=flow, mode="r|") as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isreg() and not member.issparse() else None
                if file is not None:
                    yield member.name.rpartition("/")[2], file
    except (ValueError, OverflowError) as error:
        # Numbers in a header that are none.
        raise tarfile.ReadError(str(error)) from None
    # Who writes it ends when all of it has been taken, the padding too.
    while flow.read(1 << 16):
        pass


class _Arm(msgspec.Struct):
    model: str
    arm: str
    release: int
    digest: str
    ready: bool
    error: str | None = None


class _Status(msgspec.Struct):
    arms: tuple[_Arm, ...] = ()
    table: str | None = None
    error: str | None = None


def read_status(told: str | None) -> Running | None:
    """Return what a server says of itself, None where it says nothing, or what no server says."""
    if told is None:
        return None
    try:
        said = msgspec.json.decode(told, type=_Status)
    except (msgspec.DecodeError, RecursionError):
        return None
    arms = tuple(ObservedArm(a.model, a.arm, a.release, a.digest, a.ready, a.error) for a in said.arms)
    return Running(True, said.table, arms, said.error or "")


def files_in(container: Any, path: str) -> dict[str, bytes]:
    """Return the files of a folder of a container by their names, whether or not it runs; none where it has none."""
    try:
        parts, _ = container.get_archive(path)
    except gone():
        return {}
    try:
        return {name: file.read() for name, file in unpacked(parts)}
    except tarfile.TarError as error:
        raise refused(f"what {container.name} holds was cut off: {error}") from None
