"""Measuring the fence of this machine: a program behind it tries the ways out, and the world outside says what came."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelops.errors import Exit, failure
from modelops.fence import attempts
from modelops.fence.bounds import Bounds, Terms
from modelops.fence.held import Held, promises
from modelops.fence.program import Ended, run_program
from modelops.fence.promises import PROMISES, Promise

__all__ = ["Found", "measure"]

_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Found:
    """One promise on this machine: whether it holds, by what, and which attempts got through."""

    promise: Promise
    holds: bool
    by: str
    through: tuple[str, ...]


def measure(private: Sequence[Path], terms: Terms = Terms()) -> tuple[Held, tuple[Found, ...]]:
    """Try the fence of this machine, and return the means it has and every promise with what came of it.

    ``private`` are files and folders that no code of the repository may read; those that are not there are left out.
    """
    with tempfile.TemporaryDirectory(prefix="modelops-doctor-") as made, ExitStack() as open_now:
        folder = Path(made)
        inside = folder / "inside"
        inside.mkdir()
        world = _world(folder, inside, private, open_now)
        started = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", "import time; time.sleep(60)"], env={"SECRET": "trial"}
        )
        world["victim"] = started.pid
        try:
            ended = _tried(world, inside, terms)
            got = _said(ended)
            left = _grows(inside / "alive")
        finally:
            started.kill()
            started.wait()
        if left:
            got.setdefault("processes", []).append("a process that outlived the program")
        if (folder / "outside").exists():
            got.setdefault("files", []).append("a file outside is there")
    holding = promises(ended.held)
    return ended.held, tuple(
        Found(one, one in holding and not got.get(one), holding.get(one, ""), tuple(got.get(one, ())))
        for one in PROMISES
    )


def _world(folder: Path, inside: Path, private: Sequence[Path], open_now: ExitStack) -> dict[str, Any]:
    """Make what an attempt could reach: files, and sockets that listen."""
    secret = folder / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    tcp = open_now.enter_context(socket.create_server(("127.0.0.1", 0)))
    udp = open_now.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    udp.bind(("127.0.0.1", 0))
    world = {
        "outside": str(folder / "outside"),
        "secret": str(secret),
        "private": [str(path) for path in (secret, Path("/etc/shadow"), *private) if path.exists()],
        "alive": str(inside / "alive"),
        "tcp": tcp.getsockname(),
        "udp": udp.getsockname(),
        "unix": str(folder / "socket"),
        "abstract": f"modelops-doctor-{os.getpid()}",
    }
    names = [world["unix"], *(["\0" + str(world["abstract"])] if sys.platform == "linux" else [])]
    for name in names:
        listener = open_now.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(name))
        listener.listen(2)
    return world


def _tried(world: dict[str, Any], inside: Path, terms: Terms) -> Ended:
    script = inside / "attempts.py"
    script.write_bytes(Path(attempts.__file__).read_bytes())
    bounds = Bounds(str(inside), programs=True, terms=terms)
    arguments = [sys.executable, "-S", "-E", str(script), json.dumps(world)]
    return run_program(arguments, {"PATH": os.defpath}, bounds, inside, _SECONDS)


def _said(ended: Ended) -> dict[str, list[str]]:
    last = ended.output.strip().rpartition("\n")[2]
    try:
        found: dict[str, list[str]] = json.loads(last)
    except ValueError:
        raise failure(
            "fence-failed",
            f"the program that was to try the fence ended with {ended.code} and no report",
            exit=Exit.WORLD,
            hint=ended.output[-800:] or None,
        ) from None
    return found


def _grows(file: Path) -> bool:
    """Tell whether somebody still writes a file."""
    if not file.exists():
        return False
    before = file.stat().st_size
    time.sleep(0.1)
    return file.stat().st_size > before
