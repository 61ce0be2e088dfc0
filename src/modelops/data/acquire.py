"""Getting the bytes: local files, downloads with limits, and commands that write files."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from modelops.errors import Exit, Location, failure
from modelops.spec.data import Source
from modelops.spec.locations import PRIVATE, folder, refusal
from modelops.stores import Store

__all__ = [
    "Limits",
    "Place",
    "confine",
    "download",
    "file_url",
    "is_url",
    "local_folder",
    "lock",
    "run_command",
    "scratch",
]

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """What getting data may cost: bytes of one download, seconds of a download, seconds of a command."""

    download_bytes: int = 64 << 30
    download_seconds: float = 3600.0
    silence_seconds: float = 30.0
    command_seconds: float = 1800.0


@dataclass(frozen=True)
class Place:
    """Where things are on this machine; ``store`` is needed only for snapshots whose files are blobs of the store.

    ``locations`` are the prefixes outside of the repository that sources may name, as the Project lists them.
    """

    repository_root: Path
    model_folder: Path
    cache: Path
    store: Store | None = None
    limits: Limits = Limits()
    locations: tuple[str, ...] = ()

    def required_store(self) -> Store:
        """Return the store, or say that this snapshot needs one."""
        if self.store is None:
            raise failure("store-needed", "the snapshot's files are in the project's store, and none was given")
        return self.store


def is_url(location: str) -> bool:
    """Tell a URL from a folder."""
    return "://" in location


def check_url(url: str) -> None:
    """Accept http, https and file URLs that carry no secret."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https", "file"):
        raise failure(
            "bad-url", f"{parts.scheme}:// is not read; http, https and file are", hint="use a command as source"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise failure(
            "bad-url",
            f"the URL of {parts.hostname or parts.path} has a user, a query or a fragment, which would be kept in git",
            hint="use a command as source, with the secret where the command runs",
        )


def file_url(location: str, path: str) -> str:
    """Return the URL of one file of a snapshot whose location is a URL prefix."""
    return f"{location.rstrip('/')}/{urllib.parse.quote(path)}"


def local_folder(source: Source, place: Place) -> Path | None:
    """Return the folder of a source whose files are on this machine, None when they must be fetched.

    Raises ``data-location`` for a place that is neither in the repository, nor https, nor listed by the Project.
    """
    if source.type != "files":
        return None
    if not source.location:
        raise failure("source-location", "a source of type files needs a location")
    refused = refusal(source.location, place.locations)
    if refused is not None:
        raise failure("data-location", refused[0], hint=refused[1])
    if is_url(source.location):
        check_url(source.location)
        parts = urllib.parse.urlsplit(source.location)
        return Path(urllib.request.url2pathname(parts.path)) if parts.scheme == "file" else None
    return place.repository_root / PurePosixPath(source.location)


def confine(top: Path, paths: Iterable[str], place: Place) -> None:
    """Refuse files below a source's folder that links lead out of the repository and the listed locations."""
    files = list(paths)
    linked = [path for path in files if os.path.islink(f"{top}/{path}")]  # noqa: PTH114 - very many files
    root = folder(os.path.realpath(place.repository_root))
    local = [folder(prefix) for prefix in place.locations]
    allowed = [root, *(folder(os.path.realpath(prefix)) for prefix in local if prefix.startswith("/"))]
    for path in sorted({"", *(path.rpartition("/")[0] for path in files), *linked}):
        real = folder(os.path.realpath(top / path))
        if not real.startswith(tuple(allowed)) or real.startswith(tuple(f"{root}{name}/" for name in PRIVATE)):
            raise failure(
                "data-location",
                f"{top / path} is a link that leads to {real.rstrip('/')}, where no data may lie",
                location=Location(path or str(top)),
                hint="put the files themselves into the repository, or list their folder in `dataLocations`",
            )


def download(url: str, destination: Path, limits: Limits, expected: int | None = None) -> None:
    """Stream a URL into a file.

    A body shorter than announced is ``data-truncated``, one longer than ``expected`` bytes ``data-changed``, and a
    server that cannot be reached ``data-unreachable``, which may be retried.
    """
    check_url(url)
    limit = limits.download_bytes if expected is None else expected
    began = time.monotonic()
    destination.parent.mkdir(parents=True, exist_ok=True)
    request = urllib.request.Request(url, headers={"User-Agent": "modelops", "Accept-Encoding": "identity"})  # noqa: S310 - checked above
    try:
        with (
            urllib.request.urlopen(request, timeout=limits.silence_seconds) as answer,  # noqa: S310
            destination.open("wb") as file,
        ):
            length = answer.headers.get("Content-Length") or ""
            announced = int(length) if length.isdecimal() else -1
            size = 0
            while data := answer.read(_CHUNK):
                size += len(data)
                if size > limit:
                    code = "data-too-large" if expected is None else "data-changed"
                    raise failure(code, f"{url} holds more than {limit:,} bytes")
                if time.monotonic() - began > limits.download_seconds:
                    raise failure(
                        "data-unreachable", f"{url} took longer than {limits.download_seconds:g} s", exit=Exit.WORLD
                    )
                file.write(data)
    except urllib.error.HTTPError as error:
        error.close()
        missing = error.code in (404, 410)
        raise failure(
            "data-missing" if missing else "data-unreachable",
            f"{url} answered {error.code} {error.reason}",
            exit=Exit.FILES if missing else Exit.WORLD,
            retryable=not missing,
        ) from None
    except (urllib.error.URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise failure("data-unreachable", f"{url}: {reason}", exit=Exit.WORLD, retryable=True) from None
    if 0 <= size < announced:
        raise failure(
            "data-truncated", f"{url} ended after {size:,} of {announced:,} bytes", exit=Exit.WORLD, retryable=True
        )


def clean_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a data command: where programs and temporary files are, and nothing secret."""
    kept = {key: environment[key] for key in ("PATH", "LANG", "TMPDIR") if key in environment}
    return kept | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def run_command(command: Sequence[str], model_folder: Path, output: Path, limits: Limits) -> None:
    """Run a command in the model's folder; it fills the folder that replaces ``{output}`` in its arguments.

    ``python`` as first item is the interpreter that runs modelops.
    """
    if not any("{output}" in item for item in command):
        raise failure("source-command", f"the command {' '.join(command)!r} has no {{output}} to write to")
    arguments = [item.replace("{output}", str(output)) for item in command]
    if arguments[0] in ("python", "python3"):
        arguments[0] = sys.executable
    output.mkdir(parents=True, exist_ok=True)
    shown = " ".join(command)
    with tempfile.TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                arguments,
                cwd=model_folder,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise failure("source-command", f"the command {shown!r} cannot be started: {error.strerror}") from None
        try:
            code = process.wait(timeout=limits.command_seconds)
        except subprocess.TimeoutExpired:
            raise failure(
                "source-command", f"the command {shown!r} ran longer than {limits.command_seconds:g} s"
            ) from None
        finally:
            _end_group(process)
        if code != 0:
            size = said.seek(0, os.SEEK_END)
            said.seek(max(0, size - 4000))
            tail = said.read().decode(errors="replace").strip().splitlines()[-20:]
            raise failure("source-command", f"the command {shown!r} ended with {code}:\n" + "\n".join(tail))


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing running: the command may have started others in its group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


@contextmanager
def lock(file: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system releases it when the process ends, however it ends."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle = file.open("a")
    except OSError as error:
        raise failure(
            "cache-unwritable", f"{file.parent} cannot be written: {error.strerror}", exit=Exit.WORLD
        ) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def scratch(cache: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder in the cache under a lock; what a killed run left in it is removed first."""
    folder = cache / "data" / f".{name}"
    with lock(cache / "data" / f".{name}.lock"):
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir(parents=True)
            yield folder
        except OSError as error:
            raise failure(
                "cache-unwritable", f"{error.filename or folder}: {error.strerror}", exit=Exit.WORLD, retryable=True
            ) from None
        finally:
            shutil.rmtree(folder, ignore_errors=True)
