"""A function of the model's code in a process of its own, behind the fence: asked through a pipe, ended when it hangs.

``python -m modelops.runtimes._function FOLDER PARENT`` is its guard. It reads what the function may use as the first
message on its standard input; the function itself reads the others. Each message is its length and then its bytes.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from modelops.errors import ModelOpsError, failure
from modelops.fence import Bounds
from modelops.fence.guard import start
from modelops.fence.program import end, guard_environment

__all__ = ["Function"]

Array = np.ndarray[Any, Any]

START_SECONDS = 60.0
"""How long importing the code and reading the state may take."""

_ANSWER_BYTES = 1 << 28
_LENGTH = 8
_PATIENCE = 0.5
_STATE, _CODE = "state.json", "code"


class Function:
    """A function that is asked about rows; safe to call from several threads, one call at a time."""

    def __init__(self, code: Mapping[str, bytes], state: bytes, facts: Mapping[str, Any]) -> None:
        self._facts = dict(facts)
        self._lock = threading.Lock()
        self._folder = tempfile.mkdtemp(prefix="modelops-function-")
        self._processes: list[subprocess.Popen[bytes]] = []
        weakref.finalize(self, _finish, self._processes, self._folder)
        inside = Path(self._folder)
        for path, data in code.items():
            target = inside / _CODE / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        (inside / _STATE).write_bytes(state)
        self._start()

    def __call__(self, columns: Mapping[str, Array], rows: int) -> Array:
        """Return what the function answers, float64; what it raises is ``prediction-failed``."""
        message = {
            "rows": rows,
            "columns": [
                (name, values.tolist() if values.dtype == object else values.astype(np.float64).tobytes())
                for name, values in columns.items()
            ],
        }
        with self._lock:
            if not self._processes or _is_gone(self._processes[0]):
                self._end()
                self._start()
            answer = self._asked(msgspec.msgpack.encode(message), float(self._facts["seconds"]))
            if "ended" in answer:
                self._end()
        if "error" in answer:
            raise failure("prediction-failed", f"{self._facts['predict']} failed: {answer['error']}")
        found: Array = np.frombuffer(answer["values"], dtype=np.float64).reshape(answer["shape"])
        return found

    def _start(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", __name__, self._folder, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=guard_environment() | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,
        )
        self._processes.append(process)
        bounds = Bounds(self._folder, programs=False, memory=int(self._facts["memory"]) << 20, cores=1)
        order = {"bounds": bounds.dump(), "facts": self._facts}
        answer = self._asked(json.dumps(order).encode(), START_SECONDS)
        if "error" in answer:
            self._end()
            raise failure("bad-model", f"the function {self._facts['predict']} cannot be loaded: {answer['error']}")

    def _asked(self, message: bytes, seconds: float) -> dict[str, Any]:
        """Send a message and return its answer; a process that ends or takes too long is an error of the model."""
        process = self._processes[0]
        assert process.stdin is not None
        assert process.stdout is not None
        deadline = time.monotonic() + seconds
        try:
            _send(process.stdin.fileno(), len(message).to_bytes(_LENGTH, "big") + message, deadline)
            size = int.from_bytes(_exactly(process.stdout.fileno(), _LENGTH, deadline), "big")
            if size > _ANSWER_BYTES:
                raise ValueError("its answer is too long")
            answer: dict[str, Any] = msgspec.msgpack.decode(_exactly(process.stdout.fileno(), size, deadline))
        except (EOFError, OSError, TimeoutError, ValueError, msgspec.DecodeError) as error:
            self._end()
            said = f"took more than {seconds:g} seconds" if isinstance(error, TimeoutError) else f"ended: {error}"
            raise failure("prediction-failed", f"the process of {self._facts['predict']} {said}") from None
        return answer

    def _end(self) -> None:
        while self._processes:
            _ended(self._processes.pop())


def _is_gone(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a process has ended; its end of the pipe is closed before its guard has seen that."""
    if process.poll() is not None or process.stdout is None:
        return True
    waiting = select.poll()
    waiting.register(process.stdout.fileno(), 0)
    return bool(waiting.poll(0))


def _ended(process: subprocess.Popen[bytes]) -> None:
    """End a process: without its input the function ends, and its guard with it; one that does not is killed."""
    for stream in (process.stdin, process.stdout):
        # What was not yet written is of no use any more.
        with contextlib.suppress(OSError):
            stream.close()  # type: ignore[union-attr]
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
        return
    with contextlib.suppress(PermissionError):
        end(process)


def _finish(processes: list[subprocess.Popen[bytes]], folder: str) -> None:
    """Leave no process and no folder behind."""
    while processes:
        _ended(processes.pop())
    shutil.rmtree(folder, ignore_errors=True)


def _exactly(descriptor: int, size: int, deadline: float | None = None) -> bytes:
    """Return so many bytes of a pipe; EOFError where it ends before, TimeoutError at the deadline."""
    parts, missing = [], size
    while missing:
        if deadline is not None:
            _await(descriptor, select.POLLIN, deadline)
        part = os.read(descriptor, min(missing, 1 << 20))
        if not part:
            raise EOFError("without an answer")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _send(descriptor: int, data: bytes, deadline: float) -> None:
    """Write all bytes to a pipe; TimeoutError where nobody has read them at the deadline."""
    os.set_blocking(descriptor, False)
    rest = memoryview(data)
    while rest:
        _await(descriptor, select.POLLOUT, deadline)
        with contextlib.suppress(BlockingIOError):
            rest = rest[os.write(descriptor, rest[: 1 << 16]) :]


def _await(descriptor: int, event: int, deadline: float) -> None:
    waiting = select.poll()
    waiting.register(descriptor, event)
    if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise TimeoutError


def main() -> None:
    """Guard the function: read what it may use, start it behind the fence, and end with it or with who asks."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    order = json.loads(_message(0))
    try:
        running = start(Bounds.parse(order["bounds"]))
    except ModelOpsError as error:
        _tell(1, {"error": error.first.message})
        return
    if running is None:
        _serve(folder, order["facts"])
        os._exit(0)
    # The pipes are the function's alone: they close with it.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    while running.poll() is None:
        if os.getppid() != parent:
            running.end()
        time.sleep(0.1)
    if os.getppid() != parent:
        # Who asked was killed, and cannot clear away what it made.
        shutil.rmtree(folder, ignore_errors=True)


def _message(descriptor: int) -> bytes:
    return _exactly(descriptor, int.from_bytes(_exactly(descriptor, _LENGTH), "big"))


def _tell(descriptor: int, answer: Mapping[str, Any]) -> None:
    data = msgspec.msgpack.encode(answer)
    message = len(data).to_bytes(_LENGTH, "big") + data
    while message:
        message = message[os.write(descriptor, message) :]


def _serve(folder: Path, facts: Mapping[str, Any]) -> None:
    """Answer messages with what the function returns, until there are no more."""
    asked, answers = os.dup(0), os.dup(1)
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    # What the code prints goes where the guard's errors go, never between the answers.
    os.dup2(2, 1)

    def hook(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        _tell(answers, {"error": _said(error), "ended": True})
        os._exit(1)

    sys.excepthook = hook
    # What a frame is made of is imported before the first call, whose time is counted.
    import pandas  # noqa: F401

    from modelops.artifacts.frame import to_frame
    from modelops.runtimes._state import state_of

    os.chdir(folder)
    sys.path.insert(0, str(folder / _CODE))
    function = _loaded(folder / _CODE / str(facts["entrypoint"]), str(facts["predict"]))
    state = state_of((folder / _STATE).read_bytes())
    _tell(answers, {"ready": True})
    while True:
        try:
            message = msgspec.msgpack.decode(_message(asked))
        except EOFError:
            return
        try:
            columns = {name: _column(values) for name, values in message["columns"]}
            found = np.asarray(function(state, to_frame(columns)), dtype=np.float64)
        except Exception as error:
            # Whatever the code raises is the failure of this call; only what ends a program ends it.
            _tell(answers, {"error": _said(error)})
        else:
            _tell(answers, {"values": found.tobytes(), "shape": list(found.shape)})


def _column(values: Any) -> Array:
    if isinstance(values, bytes):
        return np.frombuffer(values, dtype=np.float64).copy()
    texts = np.empty(len(values), dtype=object)
    texts[:] = values
    return texts


def _loaded(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location("modelops_model_code", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise ValueError(f"{path.name} defines no function {name}")
    return function


def _said(error: BaseException) -> str:
    """Return what an error says, without the paths and values of a traceback."""
    last = traceback.format_exception_only(error)[-1].strip()
    return " ".join(last.split())[:300].encode(errors="replace").decode()


if __name__ == "__main__":
    main()
