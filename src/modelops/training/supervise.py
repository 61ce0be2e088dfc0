"""Running one build in a process of its own: a clean environment, a deadline, a capped log, and errors as Problems."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.fence import Held, Terms
from modelops.fence.program import end, guard_environment
from modelops.fence.text import one_line, printable

__all__ = ["LOG_LIMIT", "Crew", "clean_environment", "run_worker"]

LOG_LIMIT = 128 << 10
"""Bytes kept of the start and of the end of what a build prints."""

EVALUATION_SECONDS = 900
"""Time for export and evaluation on top of the training limit."""

_CORE_TYPES = {"x86_64": "Haswell", "AMD64": "Haswell", "aarch64": "ARMV8", "arm64": "ARMV8"}


def clean_environment(scratch: Path, threads: int, machine: str) -> dict[str, str]:
    """Return the whole environment of a build: nothing of ours but what makes its arithmetic the same everywhere."""
    count = str(threads)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "JOBLIB_TEMP_FOLDER": str(scratch),
        "LOKY_MAX_CPU_COUNT": count,
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if machine in _CORE_TYPES:
        environment["OPENBLAS_CORETYPE"] = _CORE_TYPES[machine]
    return environment


class Crew:
    """Builds that threads of this process wait for, so that they end together.

    Signals come to the main thread alone; who waits in another is interrupted as if one had come there.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = False
        self._working: set[subprocess.Popen[bytes]] = set()

    def joined(self, process: subprocess.Popen[bytes]) -> None:
        """Count a build in; it ends at once where all do."""
        with self._lock:
            self._working.add(process)
            over = self._over
        if over:
            end(process)

    def left(self, process: subprocess.Popen[bytes]) -> None:
        """Count a build out; who waited for it is interrupted where all were ended."""
        with self._lock:
            self._working.discard(process)
        if self._over:
            raise KeyboardInterrupt

    def end(self) -> None:
        """End every build, and each that begins later."""
        with self._lock:
            self._over = True
            working = tuple(self._working)
        for process in working:
            end(process)


@dataclass
class _Log:
    """The first and the last bytes of a stream."""

    start: bytearray = field(default_factory=bytearray)
    end: bytearray = field(default_factory=bytearray)
    dropped: int = 0

    def drain(self, stream: IO[bytes]) -> None:
        while chunk := os.read(stream.fileno(), 65536):
            room = LOG_LIMIT - len(self.start)
            self.start += chunk[:room] if room > 0 else b""
            self.end += chunk[room:] if room > 0 else chunk
            if len(self.end) > 2 * LOG_LIMIT:
                self.dropped += len(self.end) - LOG_LIMIT
                del self.end[:-LOG_LIMIT]

    def text(self) -> bytes:
        excess = max(0, len(self.end) - LOG_LIMIT)
        gap = f"\n[{self.dropped + excess} bytes left out]\n".encode() if self.dropped + excess else b""
        return bytes(self.start) + gap + bytes(self.end[excess:])


def run_worker(
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
    entrypoint: str,
    terms: Terms = Terms(),
    crew: Crew | None = None,
) -> bytes:
    """Run the worker over a prepared folder and return what it printed; its failure is raised as a ModelOpsError.

    The worker is the guard of the training code: when it ends, nothing of that code is left. Whoever waits for several
    at once has them in one ``crew``.
    """
    crew = crew or Crew()
    process = subprocess.Popen(
        [sys.executable, "-s", "-P", "-m", "modelops.training.worker", str(folder), str(os.getpid())],
        # What is not as installed, as our own code in development, must be found in the same place.
        env={name: value for name, value in guard_environment().items() if name == "PYTHONPATH"} | dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    log = _Log()
    stream = process.stdout
    if stream is None:
        raise ValueError("the worker was started without a pipe")
    reader = threading.Thread(target=log.drain, args=(stream,), daemon=True)
    reader.start()
    crew.joined(process)
    try:
        code = process.wait(timeout + EVALUATION_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        end(process)
        reader.join(timeout=5)
        stream.close()
    crew.left(process)
    output = log.text()
    (folder / "output.log").write_bytes(output)
    if (folder / "held.json").is_file():
        terms.heard(Held.parse(json.loads((folder / "held.json").read_bytes())))
    if (folder / "error.json").is_file():
        raise _reported((folder / "error.json").read_bytes(), entrypoint)
    if code is None:
        raise failure("evaluation-timeout", f"export and evaluation took more than {EVALUATION_SECONDS} seconds")
    if code != 0 or not (folder / "result.json").is_file():
        raise failure(
            "build-process-failed",
            f"the build's process ended with code {code} and no result",
            exit=Exit.WORLD,
            hint=_tail(output),
        )
    return output


def _reported(data: bytes, entrypoint: str) -> ModelOpsError:
    """Return the error that the worker wrote; the training code could have written it, so nothing in it is trusted."""
    try:
        entries = json.loads(data)
        problems = [_problem(entry, entrypoint) for entry in entries]
    except (ValueError, TypeError, AttributeError):
        return failure("training-failed", f"{entrypoint} failed and left an unreadable report")
    if not problems:
        return failure("training-failed", f"{entrypoint} failed and left an empty report")
    return ModelOpsError(*problems, exit=Exit.WORLD if problems[0].code.startswith("fence-") else Exit.FILES)


def _problem(entry: Mapping[str, Any], entrypoint: str) -> Problem:
    def text(name: str) -> str | None:
        value = entry.get(name)
        return printable(str(value)[:4000])[:4000] if value is not None else None

    file, line = entry.get("file"), entry.get("line")
    location = None
    if file:
        folder, file = entrypoint.rpartition("/")[0], one_line(str(file), 400)
        location = Location(f"{folder}/{file}" if folder else file, line if isinstance(line, int) else 0, 1)
    return Problem(
        one_line(str(entry.get("code") or "training-failed"), 60),
        text("message") or "",
        location,
        text("dotted"),
        text("hint"),
    )


def _tail(output: bytes) -> str:
    return printable(output.decode("utf-8", "replace")).strip()[-800:] or "it printed nothing"
