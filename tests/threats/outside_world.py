"""The world outside the fence: files, sockets that listen, a process with a secret; all must stay as it is."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECRET = "A-SECRET-OF-AN-ANCESTOR"


@dataclass
class Outside:
    """Where things are, as the attempts are told, and whether they are untouched."""

    told: dict[str, Any]
    folder: Path
    victim: subprocess.Popen[bytes]

    def untouched(self) -> bool:
        """Whether the files are as they were and the process lives."""
        secret = self.folder / "secret"
        status = secret.stat()
        return (
            sorted(path.name for path in self.folder.iterdir()) == ["secret", "socket"]
            and (secret.read_text(), status.st_mode & 0o777, int(status.st_mtime))
            == ("top secret", 0o600, 1_000_000_000)
            and self.victim.poll() is None
        )


@contextmanager
def outside_world(folder: Path, *private: Path) -> Iterator[Outside]:
    folder.mkdir()
    secret = folder / "secret"
    secret.write_text("top secret")
    secret.chmod(0o600)
    os.utime(secret, (1_000_000_000, 1_000_000_000))
    environment = {"MODELOPS_SIGNING_KEY": SECRET, "PATH": os.defpath}
    victim = subprocess.Popen([sys.executable, "-S", "-E", "-c", "import time; time.sleep(300)"], env=environment)
    with ExitStack() as stack:
        stack.callback(victim.wait)
        stack.callback(victim.kill)
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        abstract = f"modelops-threats-{os.getpid()}"
        for name in (str(folder / "socket"), f"\0{abstract}"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(name)
            listener.listen(5)
        told = {
            "secret": str(secret), "old": str(secret), "outside": str(folder), "victim": victim.pid,
            "home": str(Path.home()), "tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1],
            "unix": str(folder / "socket"), "abstract": abstract, "private": [str(path) for path in private],
        }  # fmt: skip
        yield Outside(told, folder, victim)


def processes_with(mark: str) -> list[int]:
    """Return the processes whose command line holds a mark."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in place.read_bytes() and int(place.parent.name) != os.getpid():
                found.append(int(place.parent.name))
        except OSError:
            continue
    return found
