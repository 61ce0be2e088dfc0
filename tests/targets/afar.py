"""A runner for tests that shares nothing with `local`: another machine, which keeps what it was given to itself.

The machine is a process with a disk of its own (``root``); nothing of it lies in the runtime directory of whoever asks.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from modelops.spec.meta import Plugin, Strict
from modelops.spec.routing import RoutingTable, table_digest, table_text
from modelops.targets import Deployable, ObservedArm, Place, Running, Site

_started: dict[Path, subprocess.Popen[bytes]] = {}


class Params(Strict):
    """The disk of the machine."""

    root: str


def _disk(params: Params, place: Place) -> Path:
    return Path(params.root) / place.environment


def _call(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=120) as response:
        found: bytes = response.read()
        return found


def observe(params: Params, place: Place) -> Running:
    """Ask the machine; one that is switched off still has its disk."""
    disk = _disk(params, place)
    kept = disk / "given"
    routes = RoutingTable.model_validate_json(kept.read_bytes()) if kept.exists() else None
    try:
        told = _call((disk / "address").read_text())
    except OSError as error:
        return Running(False, None, (), str(error), routes)
    table = RoutingTable.model_validate_json(told)
    arms = tuple(
        ObservedArm(model, arm.name, arm.release, arm.digest, True)
        for model, route in table.models.items()
        for arm in route.arms
    )
    return Running(True, table_digest(table), arms, "", routes)


def apply(params: Params, site: Site, table: RoutingTable) -> Running:
    """Hand the table over, to a machine that is switched on first."""
    disk = _disk(params, site)
    disk.mkdir(parents=True, exist_ok=True)
    if not observe(params, site).running:
        (disk / "address").unlink(missing_ok=True)
        process = _started[disk] = subprocess.Popen([sys.executable, __file__, str(disk)], start_new_session=True)
        while not (disk / "address").exists():
            assert process.poll() is None
            time.sleep(0.01)
    _call((disk / "address").read_text(), table_text(table).encode())
    return observe(params, site)


def stop(params: Params, place: Place) -> None:
    """Switch the machine off."""
    address = _disk(params, place) / "address"
    if address.exists():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int((address.parent / "pid").read_text()), signal.SIGKILL)
        if (process := _started.pop(address.parent, None)) is not None:
            process.wait()
        while observe(params, place).running:
            time.sleep(0.01)


def endpoint(params: Params, place: Place) -> str | None:
    """Return the address of the machine that was switched on last."""
    address = _disk(params, place) / "address"
    return address.read_text() if address.exists() else None


def logs(params: Params, place: Place) -> Plugin:
    """Return where it would log: it predicts nothing."""
    return Plugin(type="folder", params={"path": str(_disk(params, place) / "log")})


def durable(params: Params, environ: Mapping[str, str]) -> bool:
    """Tell that another machine outlives everybody here."""
    return True


def render(params: Params, desired: Deployable) -> Mapping[str, str]:
    """Return what the machine is given."""
    return {"given": table_text(desired.table)}


def _machine(disk: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say((disk / "given").read_bytes() if (disk / "given").exists() else b"{}")

        def do_POST(self) -> None:
            (disk / "new").write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            (disk / "new").replace(disk / "given")
            self._say(b"{}")

        def _say(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    (disk / "pid").write_text(str(os.getpid()))
    (disk / "new-address").write_text(f"http://127.0.0.1:{server.server_port}")
    (disk / "new-address").replace(disk / "address")
    server.serve_forever()


if __name__ == "__main__":
    _machine(Path(sys.argv[1]))
