"""Running a program of the repository: `python -m modelops.fence.program` is its guard, and is waited for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import site
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modelops.errors import Exit, ModelOpsError, failure
from modelops.fence.bounds import Bounds
from modelops.fence.guard import die_with, start
from modelops.fence.held import Held
from modelops.fence.text import printable

__all__ = ["Ended", "end", "guard_environment", "run_program"]

_KEPT = 64 << 10
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit code (a signal as a negative number, None at the deadline), and its last words."""

    code: int | None
    output: str
    held: Held


def guard_environment() -> dict[str, str]:
    """Return the whole environment of a guard: how Python starts, and where modelops is found if not as installed."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
    ours = str(Path(__file__).parents[2])
    if ours not in map(os.path.realpath, site.getsitepackages()):
        environment["PYTHONPATH"] = ours
    return environment


def run_program(
    arguments: Sequence[str], environment: Mapping[str, str], bounds: Bounds, place: Path, seconds: float
) -> Ended:
    """Run a program behind the fence, in the folder ``place`` of what it may write, and return how it ended.

    A program that is not there is a FileNotFoundError; what the fence refuses to begin with, its ModelOpsError.
    """
    named = "/" in arguments[0]
    program = arguments[0] if named else shutil.which(arguments[0], path=environment.get("PATH"))
    if program is None:
        raise FileNotFoundError(2, os.strerror(2), arguments[0])
    order = {
        "arguments": [program, *arguments[1:]],
        "environment": dict(environment),
        "place": str(place),
        "bounds": bounds.dump(),
        "seconds": seconds,
    }
    reading, writing = os.pipe()
    guard = subprocess.Popen(
        [sys.executable, "-s", "-P", "-m", "modelops.fence.program", str(writing), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=guard_environment(),
        pass_fds=(writing,),
        start_new_session=True,
    )
    os.close(writing)
    try:
        return _heard(guard, order, reading, seconds)
    finally:
        end(guard)


def _heard(guard: subprocess.Popen[bytes], order: Mapping[str, object], reading: int, seconds: float) -> Ended:
    last = bytearray()
    if guard.stdin is None or guard.stdout is None:
        raise ValueError("the guard was started without pipes")
    reader = threading.Thread(target=_drain, args=(guard.stdout, last), daemon=True)
    reader.start()
    with suppress(BrokenPipeError), guard.stdin as stream:
        stream.write(json.dumps(order).encode())
    with suppress(subprocess.TimeoutExpired):
        guard.wait(seconds + _PATIENCE)
    end(guard)
    reader.join(timeout=5)
    with os.fdopen(reading, "rb") as answer:
        said = answer.read()
    text = printable(last.decode("utf-8", "replace"))
    if not said:
        raise failure("fence-failed", "the guard of the fence ended without a word", exit=Exit.WORLD, hint=text[-800:])
    facts = json.loads(said)
    if "problem" in facts:
        raise failure(**{"hint": text[-800:] or None} | facts["problem"], exit=Exit.WORLD)
    return Ended(facts["code"], text, Held.parse(facts["held"]))


def _drain(stream: IO[bytes], last: bytearray) -> None:
    while chunk := os.read(stream.fileno(), 65536):
        last += chunk
        del last[:-_KEPT]
    stream.close()


def end(guard: subprocess.Popen[bytes]) -> None:
    """End a guard, which takes what it guards along; one that does not listen is killed."""
    if guard.poll() is not None:
        return
    guard.terminate()
    try:
        guard.wait(timeout=5)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(guard.pid, signal.SIGKILL)
        guard.wait()


def main() -> None:
    """Guard one program: read the order, run it, and write how it ended to the descriptor that was named."""
    answer = int(sys.argv[1])
    os.set_inheritable(answer, False)
    die_with(int(sys.argv[2]))
    order = json.loads(sys.stdin.buffer.read())
    try:
        running = start(Bounds.parse(order["bounds"]))
    except ModelOpsError as error:
        problem = error.first
        fields = ("code", "message", "dotted", "hint")
        said = {name: value for name in fields if (value := getattr(problem, name)) is not None}
        os.write(answer, json.dumps({"problem": said}).encode())
        return
    if running is None:
        _become(order)
        return
    status = running.wait(time.monotonic() + order["seconds"])
    code = None if status is None else os.waitstatus_to_exitcode(status)
    os.write(answer, json.dumps({"code": code, "held": running.held.dump()}).encode())


def _become(order: Mapping[str, object]) -> None:
    """Become the program, which has no input and our output."""
    arguments, environment = order["arguments"], order["environment"]
    if not isinstance(arguments, list) or not isinstance(environment, dict):
        raise TypeError("an order holds arguments and an environment")
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.close(silence)
    try:
        os.chdir(str(order["place"]))
        os.execve(arguments[0], arguments, environment)  # noqa: S606 - no shell
    except OSError as error:
        sys.stderr.write(f"{arguments[0]} cannot be started behind the fence: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(126)


if __name__ == "__main__":
    main()
