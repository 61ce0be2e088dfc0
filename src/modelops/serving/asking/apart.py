"""Large texts are read in a process of their own: a decoder of JSON keeps the interpreter to itself until it is done.

It reads requests on its standard input, one after the other, and ends with it. Values come back in parts, so that the
server does something else between two of them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import msgspec

from modelops.errors import ModelOpsError, failure
from modelops.fence.program import guard_environment
from modelops.serving.asking.later import defect
from modelops.serving.forms import Form, Takes, body_of
from modelops.serving.http import Request
from modelops.serving.protocol import STEP, InferRequest, RequestedOutput, Tensor, header_length

__all__ = ["APART_BYTES", "BEHIND", "Reader"]

APART_BYTES = 256 << 10
"""So much text is read in about a millisecond; more is read apart."""
BEHIND = 10
"""By how much the process that reads is nicer than the server."""
_MEANT = (b"content-encoding", b"inference-header-content-length")
_LENGTH = 8
_UP = b"up"

_encode, _decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Reader:
    """Reads the bodies of requests; used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._up = False

    def read(self, form: Form, request: Request, model: Takes) -> InferRequest:
        """Return what a request asks, as its form reads it; where no other process can be had, by this one."""
        if b"content-encoding" in request.headers:
            headers = {name: value for name, value in request.headers.items() if name != b"content-encoding"}
            request = request._replace(body=body_of(request), headers=headers)
        size = header_length(request.headers) if form.apart == "tensors" else None
        if not form.apart or (len(request.body) if size is None else size) < APART_BYTES:
            return form.read(request, model)
        try:
            process = self._process or self._begin()
            if not self._up and not _has_spoken(process):
                # On a busy machine it takes seconds to begin. Others wait for the decoder here, once or twice.
                return form.read(request, model)
            return self._asked(process, form, request, model)
        except (OSError, EOFError, msgspec.DecodeError):
            # It was ended, or could not begin.
            self.close()
            return form.read(request, model)

    def close(self) -> None:
        """End the process."""
        process, self._process, self._up = self._process, None, False
        if process is not None:
            process.kill()
            # What it has not taken is still to be sent, and cannot be.
            with contextlib.suppress(BrokenPipeError), process:
                pass

    def _begin(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-s", "-P", "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=-1,
            env=guard_environment(),
            # A signal from the terminal is not for it. A session of its own could be scheduled as a group of its own,
            # in which it comes after nobody.
            process_group=0,
        )
        _step_back(self._process.pid)
        return self._process

    def _asked(self, process: subprocess.Popen[bytes], form: Form, request: Request, model: Takes) -> InferRequest:
        assert process.stdin is not None
        assert process.stdout is not None
        if not self._up:
            self._up = _message(process.stdout) == _UP
        headers = {name: request.headers[name] for name in _MEANT if name in request.headers}
        order = (form.apart, headers, dict(model.declared), list(model.known))
        _send(process.stdin, (_encode(order), request.body))
        found = _decode(_message(process.stdout))
        if "code" in found:
            raise failure(found["code"], found["message"], hint=found["hint"])
        tensors = [
            Tensor(name, shape, datatype, _joined(process.stdout, parts), parameters)
            for name, shape, datatype, parameters, parts in found["tensors"]
        ]
        outputs = found["outputs"]
        asked = None if outputs is None else [RequestedOutput(*each) for each in outputs]
        return InferRequest(tensors, found["id"], found["parameters"], asked)


def _step_back(pid: int) -> None:
    """Let a process come after the server, which answers single rows meanwhile, from its imports on."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, min(19, os.getpriority(os.PRIO_PROCESS, 0) + BEHIND))
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))


def _has_spoken(process: subprocess.Popen[bytes]) -> bool:
    """Tell whether a process has said that it can read, or has ended."""
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    return bool(poll.poll(0))


def _joined(stream: IO[bytes], parts: int) -> list[Any]:
    values: list[Any] = []
    for _ in range(parts):
        values += _decode(_message(stream))
    return values


def _send(stream: IO[bytes], messages: Iterable[bytes]) -> None:
    for message in messages:
        stream.write(len(message).to_bytes(_LENGTH, "big"))
        stream.write(message)
    stream.flush()


def _message(stream: IO[bytes]) -> bytes:
    size = int.from_bytes(_exactly(stream, _LENGTH), "big")
    return _exactly(stream, size)


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the process that reads has ended")
    return data


@dataclass(frozen=True, slots=True)
class _Taken:
    """What is known here of the model that is asked."""

    declared: Mapping[str, str]
    known: Collection[str]


def main() -> None:
    """Read one request after the other until there are no more."""
    from modelops.serving.forms import TENSORS
    from modelops.serving.offers.records import RECORDS

    for number in (signal.SIGINT, signal.SIGTERM):
        # The server drains; its end is the end of the standard input.
        signal.signal(number, signal.SIG_IGN)
    forms = {form.apart: form for form in (TENSORS, RECORDS)}
    with contextlib.suppress(EOFError, BrokenPipeError):
        _send(sys.stdout.buffer, [_UP])
        while True:
            name, headers, declared, known = _decode(
                _message(sys.stdin.buffer), type=tuple[str, dict[bytes, bytes], dict[str, str], list[str]]
            )
            request = Request(b"POST", b"", headers, _message(sys.stdin.buffer))
            try:
                # All of it before the first byte is sent: half an answer could be followed by no other.
                answer = list(_parts_of(forms[name].read(request, _Taken(declared, frozenset(known)))))
            except ModelOpsError as error:
                answer = [_refusal(error)]
            except Exception:
                # One request that nobody thought of is no reason to make the next ones wait for a new process.
                traceback.print_exc()
                answer = [_refusal(defect())]
            _send(sys.stdout.buffer, answer)


def _refusal(error: ModelOpsError) -> bytes:
    told = error.first
    return _encode({"code": told.code, "message": told.message, "hint": told.hint})


def _parts_of(request: InferRequest) -> Iterator[bytes]:
    tensors, values = [], []
    for each in request.inputs:
        data = each.data or []
        parts = [data[start : start + STEP] for start in range(0, len(data), STEP)]
        tensors.append((each.name, each.shape, each.datatype, each.parameters, len(parts)))
        values += parts
    outputs = None if request.outputs is None else [(each.name, each.parameters) for each in request.outputs]
    yield _encode({"id": request.id, "parameters": request.parameters, "outputs": outputs, "tensors": tensors})
    yield from map(_encode, values)
