"""Getting the bytes: local files, downloads with limits, and commands that write files."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from modelops.data.making import of_command
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.fence import Bounds, Terms
from modelops.fence.program import Ended, run_program
from modelops.fence.written import not_plain, remove
from modelops.repository.checkout import read_regular, walk
from modelops.spec.kinds.data_snapshot import Source
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
_CODE_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What getting data may cost: bytes and seconds of a download, seconds of a command and bytes of memory of each of
    its processes.
    """

    download_bytes: int = 64 << 30
    download_seconds: float = 3600.0
    silence_seconds: float = 30.0
    command_seconds: float = 1800.0
    command_memory: int = 16 << 30


@dataclass(frozen=True)
class Place:
    """Where things are on this machine; ``store`` is needed only for snapshots whose files are blobs of the store.

    ``locations`` are the prefixes outside of the repository that sources may name, as the Project lists them; ``terms``
    say what the fence around a command must keep.
    """

    repository_root: Path
    model_folder: Path
    cache: Path
    store: Store | None = None
    limits: Limits = Limits()
    locations: tuple[str, ...] = ()
    terms: Terms = field(default_factory=Terms)

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


def clean_environment(home: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment of a data command: where programs and temporary files are, and nothing secret."""
    kept = {key: environment[key] for key in ("PATH", "LANG") if key in environment}
    own = {"HOME": str(home), "TMPDIR": str(home), "USER": "modelops", "LOGNAME": "modelops"}
    return kept | own | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def run_command(source: Source, place: Place, output: Path) -> None:
    """Run the command of a source behind the fence, in a copy of the model's folder; it fills the folder ``output``.

    That folder replaces ``{output}`` in its arguments; ``python`` as first item is the interpreter that runs modelops.
    """
    shown = " ".join(source.command)
    if not any("{output}" in item for item in source.command):
        raise failure("source-command", f"the command {shown!r} has no {{output}} to write to")
    output.parent.mkdir(parents=True, exist_ok=True)
    inside = Path(tempfile.mkdtemp(prefix=".command-", dir=output.parent))
    try:
        for name in ("code", "home", "output"):
            (inside / name).mkdir()
        _copy_code(source, place, inside / "code")
        arguments = [item.replace("{output}", str(inside / "output")) for item in source.command]
        if arguments[0] in ("python", "python3"):
            arguments[0] = sys.executable
        bounds = Bounds(
            str(inside), programs=True, network=source.network, memory=place.limits.command_memory, terms=place.terms
        )
        environment = clean_environment(inside / "home")
        try:
            ended = run_program(arguments, environment, bounds, inside / "code", place.limits.command_seconds)
        except OSError as error:
            raise failure("source-command", f"the command {shown!r} cannot be started: {error.strerror}") from None
        place.terms.heard(ended.held)
        _require_success(source, shown, ended, place.limits)
        _require_plain(inside / "output", shown)
        shutil.rmtree(output, ignore_errors=True)
        (inside / "output").rename(output)
    finally:
        remove(inside)


def _require_plain(output: Path, shown: str) -> None:
    try:
        strange = next(not_plain(output), None)
    except OSError as error:
        raise failure("source-command", f"the command {shown!r} left what cannot be read: {error.strerror}") from None
    if strange is not None:
        raise failure("source-command", f"the command {shown!r} left {strange}, which is no plain file")


def _require_success(source: Source, shown: str, ended: Ended, limits: Limits) -> None:
    if ended.code is None:
        raise failure("source-command", f"the command {shown!r} ran longer than {limits.command_seconds:g} s")
    if ended.code != 0:
        tail = ended.output.strip().splitlines()[-20:]
        hint = "it runs behind a fence: of the files of this machine it reads Python's, the system's and its own copy"
        if not source.network:
            hint += "; the network only where `network: true` is declared, which `data snapshot --network` does"
        said = ":\n" + "\n".join(tail)[-4000:] if tail else " and said nothing"
        raise failure("source-command", f"the command {shown!r} ended with {ended.code}{said}", hint=hint)


def _copy_code(source: Source, place: Place, folder: Path) -> None:
    """Copy what the command may read: the files that its source lists and names, or the whole folder of the model."""
    root, below = Path(os.path.realpath(place.model_folder)), ""
    top = Path(os.path.realpath(place.repository_root))
    if root.is_relative_to(top):
        root, below = top, root.relative_to(top).as_posix()
    problems: list[Problem] = []
    prefix = f"{below}/" if below not in ("", ".") else ""
    paths = {path.removeprefix(prefix): path for path in walk(root, prefix.rstrip("/"), problems)}
    if source.files:
        chosen = of_command(source, dict.fromkeys(paths, b""))
        absent = [entry for entry in source.files if not any(_is_at(path, entry) for path in chosen)]
        if absent:
            raise failure("source-command", f"the source lists {absent[0]!r}, which the model's folder does not hold")
        paths = {path: paths[path] for path in chosen}
        problems = [problem for problem in problems if str(problem.location).removeprefix(prefix) in paths]
    if problems:
        raise ModelOpsError(*problems)
    for path, place_of in paths.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(read_regular(str(root), place_of, _CODE_BYTES))


def _is_at(path: str, entry: str) -> bool:
    return f"{path}/".startswith(f"{entry.rstrip('/')}/")


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
