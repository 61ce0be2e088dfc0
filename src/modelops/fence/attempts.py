"""What the doctor has tried behind the fence: it is started as a program, tries every way out, and prints what led out.

It imports nothing of modelops, as it runs where a program of the repository would. Its argument is a JSON object.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

_UNSHARE_USERS = 0x10000000
_SEIZE = 0x4206
_KEYCTL = {"x86_64": 250, "aarch64": 219}

Attempt = tuple[str, str, Callable[[], object]]


def _libc(name: str, *arguments: Any) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result = int(getattr(libc, name)(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), name)
    return result


def _connect(family: int, kind: int, address: Any) -> None:
    with socket.socket(family, kind) as one:
        one.settimeout(2)
        one.connect(address)
        one.send(b"x")


def _leave_a_process(alive: str) -> None:
    """Leave a process behind, twice removed and in a session of its own, that goes on writing."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            with open(alive, "ab", buffering=0) as file:  # noqa: PTH123 - as little as can be
                for _ in range(3000):
                    file.write(b"x")
                    time.sleep(0.01)
        os._exit(0)


def _looked_at(path: Path) -> None:
    if path.is_dir():
        next(path.iterdir(), None)
    else:
        path.open("rb").close()


def _attempts(world: dict[str, Any]) -> Iterator[Attempt]:
    victim = world["victim"]
    yield "files", "writing a file outside", lambda: Path(world["outside"]).write_text("x")
    for path in world["private"]:
        yield "files", f"reading {path}", partial(_looked_at, Path(path))
    yield "files", "changing the mode of a file outside", lambda: _changed_mode(world["secret"])
    yield "secrets", "the environment of another process", lambda: Path(f"/proc/{victim}/environ").read_bytes()[0]
    yield "secrets", "the memory of another process", lambda: Path(f"/proc/{victim}/mem").open("rb").close()
    yield "network", "a connection by TCP", lambda: _connect(socket.AF_INET, socket.SOCK_STREAM, tuple(world["tcp"]))
    yield "network", "a datagram", lambda: _connect(socket.AF_INET, socket.SOCK_DGRAM, tuple(world["udp"]))
    yield "sockets", "a Unix socket by its path", lambda: _connect(socket.AF_UNIX, socket.SOCK_STREAM, world["unix"])
    abstract = "\0" + world["abstract"]
    yield "sockets", "an abstract Unix socket", lambda: _connect(socket.AF_UNIX, socket.SOCK_STREAM, abstract)
    yield "sockets", "a socket of the kernel", lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()
    yield "rights", "tracing another process", lambda: _libc("ptrace", _SEIZE, victim, None, None)
    yield "signals", "a signal to another process", lambda: os.kill(victim, signal.SIGTERM)
    yield "rights", "a namespace of users", lambda: _libc("unshare", _UNSHARE_USERS)
    number = _KEYCTL.get(platform.machine())
    if number is not None:
        yield "rights", "the keys that the kernel holds", lambda: _libc("syscall", number, 0, -3, 1)


def _changed_mode(path: str) -> None:
    os.chmod(path, 0o640)  # noqa: PTH101 - as little as can be
    if os.stat(path).st_mode & 0o777 != 0o640:  # noqa: PTH116
        raise PermissionError(path)


def main() -> None:
    """Try everything, and print by promise what got through."""
    world = json.loads(sys.argv[1])
    got: dict[str, list[str]] = {}
    for promise, what, attempt in _attempts(world):
        try:
            attempt()
        except (OSError, AttributeError, IndexError, ValueError):
            continue
        got.setdefault(promise, []).append(what)
    try:
        _leave_a_process(world["alive"])
        time.sleep(0.05)
    except OSError:
        got.setdefault("tried", []).append("no process could be left")
    sys.stdout.write("\n" + json.dumps(got) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
