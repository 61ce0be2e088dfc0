"""Several processes that share a port: starts them, replaces one that dies, and ends them together."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from modelops.errors import Exit, failure

__all__ = ["DRAIN_SECONDS", "supervise"]

DRAIN_SECONDS = 30.0
"""How long a server that is told to end goes on answering what it has begun."""
REST_SECONDS = 1.0
"""A worker that dies sooner than this after its start is replaced only after as long a rest."""
START_SECONDS = 60.0
_POLL = 0.05


def supervise(
    command: Callable[[int], list[str]], count: int, folder: Path, started: Callable[[], None], notice: float = 0.0
) -> None:
    """Run ``count`` workers until SIGTERM or SIGINT; each has a socket in ``folder`` as soon as it answers.

    Each drains after the seconds of ``notice`` that it was started with.

    A worker sees the end of its standard input when this process dies, and drains. Workers that cannot start raise
    ``workers-failed``; what is wrong with them they have said themselves.
    """
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    running = {worker: _start(command(worker)) for worker in range(count)}
    try:
        _await_all(running, folder, stopping)
        if not stopping.is_set():
            started()
        since = dict.fromkeys(running, time.monotonic())
        while not stopping.wait(_POLL):
            for worker, process in running.items():
                now = time.monotonic()
                if process.poll() is not None and now - since[worker] > REST_SECONDS:
                    running[worker], since[worker] = _start(command(worker)), now
    finally:
        _end(list(running.values()), notice)
    failed = [process.returncode for process in running.values() if process.returncode == Exit.WORLD]
    if failed:
        raise failure("workers-failed", f"a worker ended with {failed[0]}", exit=Exit.WORLD)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def _await_all(running: dict[int, subprocess.Popen[bytes]], folder: Path, stopping: threading.Event) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not stopping.wait(_POLL):
        if all((folder / f"{worker}.sock").exists() for worker in running):
            return
        dead = [process.returncode for process in running.values() if process.poll() is not None]
        if dead or time.monotonic() > deadline:
            what = f"ended with {dead[0]}" if dead else f"did not answer within {START_SECONDS:g} seconds"
            raise failure("workers-failed", f"a worker {what}", exit=Exit.WORLD)


def _end(processes: list[subprocess.Popen[bytes]], notice: float) -> None:
    """Let all workers drain; kill what is still there long after."""
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + notice + DRAIN_SECONDS + 5
    for process in processes:
        try:
            process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
