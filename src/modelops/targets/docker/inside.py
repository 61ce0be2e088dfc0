"""What is asked of containers from within: programs for their Python, and files that go in and out as archives."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

from modelops.errors import Exit, failure
from modelops.targets.docker.engine import gone
from modelops.targets.docker.image import USER

__all__ = ["ask", "carried_in", "copied_in", "files_in"]

STATUS = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=3)
connection.request("GET", "/modelops/status")
answer = connection.getresponse()
body = answer.read()
sys.exit(1) if answer.status != 200 else sys.stdout.write(body.decode())
"""
COMMIT = """
import hashlib, json, os, pathlib, sys
top = pathlib.Path("/srv/modelops")
incoming, blobs, said = top / "incoming", top / "store/blobs/sha256", json.loads(sys.argv[1])
for folder in (blobs, top / "routes"):
    folder.mkdir(parents=True, exist_ok=True)
def place(source, target):
    with open(source, "rb") as file:
        os.fsync(file.fileno())
    os.replace(source, target)
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
for file in incoming.iterdir() if incoming.is_dir() else ():
    file.unlink()
kept = set(said["keeps"])
for file in blobs.iterdir() if kept else ():
    if file.name not in kept:
        file.unlink()
print(json.dumps({"lacks": lacks}))
"""
"""Puts what was copied in where it belongs: artifacts by their digests, then files, each whole or not at all."""
HELD = """
import json, pathlib, sys
blobs, found = pathlib.Path("/srv/modelops/store/blobs/sha256"), {}
for name in json.loads(sys.argv[1]):
    if (blobs / name).is_file():
        manifest = json.loads((blobs / name).read_bytes())
        parts = [manifest["config"], *manifest["layers"]]
        named = [name, *(part["digest"].partition(":")[2] for part in parts)]
        if all((blobs / one).is_file() for one in named):
            found[name] = named
print(json.dumps(found))
"""
"""Tells which artifacts a volume holds whole, and the blobs that each is made of."""

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


def ask(container: Any, program: str, *words: str) -> str | None:
    """Run a program with a container's Python, and return what it prints; None where it fails."""
    api = container.client.api
    made = api.exec_create(container.id, ["python", "-I", "-c", program, *words])
    out, err = api.exec_start(made["Id"], demux=True)
    if api.exec_inspect(made["Id"])["ExitCode"] == 0:
        return (out or b"").decode("utf-8", "replace")
    if b"No space left" in (err or b""):
        raise failure(
            "engine-refused",
            f"there is no space left for {container.name}",
            exit=Exit.WORLD,
            retryable=True,
            hint="free disk space on the engine's machine: docker system df",
        )
    return None


def copied_in(container: Any, place: str, name: str, files: Mapping[str, bytes]) -> None:
    """Copy files into a folder of a container's volume, as those of its user."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        folder = tarfile.TarInfo(name)
        folder.type, folder.mode, folder.uid, folder.gid = tarfile.DIRTYPE, 0o755, USER, USER
        archive.addfile(folder)
        for each, data in files.items():
            member = tarfile.TarInfo(f"{name}/{each}")
            member.size, member.mode, member.uid, member.gid = len(data), 0o644, USER, USER
            archive.addfile(member, io.BytesIO(data))
    container.put_archive(place, stream.getvalue())


def carried_in(container: Any, files: Mapping[str, bytes], program: str, **said: object) -> dict[str, Any]:
    """Copy files into a container's volume, and let a program there put them in their places."""
    copied_in(container, "/srv/modelops", "incoming", files)
    told = ask(container, program, json.dumps(said))
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


def files_in(container: Any, path: str) -> dict[str, bytes]:
    """Return the files of a folder of a container by their names, whether or not it runs; none where it has none."""
    try:
        parts, _ = container.get_archive(path)
    except gone():
        return {}
    stream = io.BytesIO(b"".join(parts))
    with tarfile.open(fileobj=stream) as archive:
        found = {}
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            if file is not None:
                found[member.name.rpartition("/")[2]] = file.read()
        return found
