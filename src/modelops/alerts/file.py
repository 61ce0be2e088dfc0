"""Appends each incident as one line of JSON to a file, for log shippers and for tests.

A line is there whole, and on disk, before it counts as told. What a killed writer left of a line is closed by the next.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from typing import IO

from pydantic import Field

from modelops.alerts import Incident, Sending
from modelops.errors import Exit, failure
from modelops.files import advice, sync
from modelops.spec.layout import STATE
from modelops.spec.meta import Strict

__all__ = ["Params", "send"]


class Params(Strict):
    """Where the lines go."""

    path: str = Field(
        default=f"{STATE}/alerts.jsonl",
        pattern=r"^[^\x00]+$",
        description="the file, relative to the repository's root unless absolute",
    )


def send(params: Params, incident: Incident, sending: Sending) -> None:
    """Append one line."""
    line = json.dumps(incident.data(), sort_keys=True).encode() + b"\n"
    path = sending.root / params.path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A pipe that nobody reads must not block.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(path, flags, 0o666), "r+b", buffering=0) as file:  # noqa: PTH123 - a descriptor
            _lock(file, sending.seconds)
            size = os.fstat(file.fileno()).st_size
            torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
            line = b"\n" + line if torn else line
            if file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        sync(path.parent)
    except OSError as error:
        raise failure(
            "alert-unwritable",
            f"cannot write {path}: {error.strerror}",
            exit=Exit.WORLD,
            hint=advice(error, "the next pass tells it again"),
            retryable=True,
        ) from None


def _lock(file: IO[bytes], seconds: float) -> None:
    """Wait until no other writer is in the middle of a line, which looks like a torn one."""
    end = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.01)
        else:
            return
