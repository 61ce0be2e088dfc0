"""The target `local`: one supervised server process per environment on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field

from modelops.errors import Exit, failure
from modelops.spec.meta import Strict
from modelops.spec.routing import FILE_NAME, RoutingTable
from modelops.targets import Desired, Observed, ObservedArm, Site
from modelops.targets._files import unwritable, write_atomically

LOOPBACK = "127.0.0.1"
STARTUP_SECONDS = 60.0
DRAIN_SECONDS = 40.0
"""How long a server that was told to end may go on answering; longer than it gives its own requests."""
RELEASE_SECONDS = 1.0
"""How long a port that a server was just killed on is waited for."""
PATIENCE_SECONDS = 10.0
"""How long a server that lives but does not answer is waited for before it is replaced: it may only be busy."""
_children: dict[int, subprocess.Popen[bytes]] = {}
"""The servers that this process started, by process id, so that the ended ones do not stay as zombies."""
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "MODELOPS_CLOCK", "SYSTEMROOT")


class Params(Strict):
    """Where the server listens; port 0 picks a free one and keeps it. ``workers`` processes share the port.

    Metrics and status are also answered on ``adminPort`` of 127.0.0.1, where no API key is asked for.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    admin_port: Annotated[int, Field(ge=0, le=65535)] = 0
    workers: Annotated[int, Field(ge=1, le=64)] = 1


def table_bytes(table: RoutingTable) -> bytes:
    """Return the routing table's one spelling on disk."""
    data = table.model_dump(by_alias=True, mode="json")
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def table_digest(table: RoutingTable) -> str:
    """Return the digest by which server and reconciler name a routing table."""
    return "sha256:" + hashlib.sha256(table_bytes(table)).hexdigest()


def _append(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def _supervising(site: Site) -> Iterator[None]:
    """Hold the right to start and stop this environment's server; the kernel frees it when its holder dies."""
    with _append(site.runtime / "server.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _record(site: Site) -> Mapping[str, object]:
    try:
        record = json.loads((site.runtime / "server.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _status(host: str, port: int, timeout: float) -> Mapping[str, object] | None:
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", "/modelops/status")
        response = connection.getresponse()
        data = json.loads(response.read())
        return data if response.status == 200 and isinstance(data, dict) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


def observe(params: Params, site: Site, timeout: float = 2.0) -> Observed:
    """Ask the server what it serves; a server that does not answer, or answers for another site, is not running."""
    record = _record(site)
    port, admin = record.get("port"), record.get("adminPort")
    if not isinstance(port, int):
        return Observed(False, None, None, (), "no server was started yet")
    # A server that was started before there was an admin port tells its status where it predicts.
    status = _status(LOOPBACK, admin, timeout) if isinstance(admin, int) else _status(params.host, port, timeout)
    if status is None:
        return Observed(False, None, None, (), f"nothing answers on {params.host}:{port}")
    if status.get("runtime") != str(site.runtime.resolve()):
        return Observed(False, None, None, (), f"another program answers on {params.host}:{port}")
    rows = status.get("arms")
    arms = tuple(
        ObservedArm(a["model"], a["arm"], a["release"], a["digest"], a["ready"], a.get("error"))
        for a in (rows if isinstance(rows, list) else [])
    )
    table = status.get("table")
    return Observed(
        True,
        f"http://{params.host}:{port}",
        table if isinstance(table, str) else None,
        arms,
        str(status.get("error") or ""),
    )


def _bindable(host: str, port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    return True


def _choose_port(host: str, fixed: int, known: object) -> int:
    """Return the fixed port, the one that was picked before if it is free by now, or another free one."""
    port = fixed or (known if isinstance(known, int) else 0)
    # A server that was just killed holds its port a moment longer than its name in the list of processes.
    deadline = time.monotonic() + RELEASE_SECONDS
    while port and not _bindable(host, port) and time.monotonic() < deadline:
        time.sleep(0.02)
    if fixed or (port and _bindable(host, port)):
        return port
    with socket.socket() as listener:
        listener.bind((host, 0))
        free: int = listener.getsockname()[1]
        return free


def _spawn(params: Params, site: Site, table: RoutingTable) -> subprocess.Popen[bytes]:
    record = _record(site)
    port = _choose_port(params.host, params.port, record.get("port"))
    admin = _choose_port(LOOPBACK, params.admin_port, record.get("adminPort"))
    while admin == port:
        admin = _choose_port(LOOPBACK, 0, 0)
    ports = {"port": port, "adminPort": admin}
    secrets = tuple(key.variable for key in table.keys or () if key.variable is not None)
    environment = {name: os.environ[name] for name in (*_KEPT_VARIABLES, *secrets) if name in os.environ}
    command = [sys.executable, "-m", "modelops", "serve", site.environment]
    command += ["--runtime", str(site.runtime), "--store", str(site.store), "--host", params.host, "--port", str(port)]
    command += ["--admin-port", str(admin), "--workers", str(params.workers)]
    # The ports are known to whoever comes next even if we are killed before the process id is.
    write_atomically(site.runtime / "server.json", json.dumps(ports).encode())
    with _append(site.runtime / "server.log") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=environment,
            cwd=site.runtime,
        )
    _children[process.pid] = process
    write_atomically(site.runtime / "server.json", json.dumps({"pid": process.pid, **ports}).encode())
    return process


def _start(params: Params, site: Site, table: RoutingTable) -> None:
    """Start a server and wait until it answers; it gets only the variables it needs, those of API keys among them."""
    process = _spawn(params, site, table)
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise failure(
                "server-died",
                f"the server of {site.environment} ended with {process.returncode}: {_last_words(site)}",
                exit=Exit.WORLD,
                retryable=True,
                hint=f"read {site.runtime / 'server.log'}",
            )
        if observe(params, site).running:
            return
        time.sleep(0.03)
    process.kill()
    raise failure(
        "server-silent",
        f"the server of {site.environment} did not answer within {STARTUP_SECONDS:.0f} s",
        exit=Exit.WORLD,
        retryable=True,
        hint=f"read {site.runtime / 'server.log'}",
    )


def _last_words(site: Site) -> str:
    lines = (site.runtime / "server.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " / ".join(lines[-3:])


def apply(params: Params, site: Site, table: RoutingTable) -> Observed:
    """Write the routing table and see that a server answers with it; an artifact it refuses is named."""
    wanted = table_digest(table)
    with _supervising(site):
        path = site.runtime / FILE_NAME
        data = table_bytes(table)
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
        if not observe(params, site, PATIENCE_SECONDS if servers(site) else 2.0).running:
            _end(site)
            _start(params, site, table)
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        observed = observe(params, site)
        if observed.running and observed.table == wanted:
            return observed
        if observed.message and observed.running:
            raise failure(
                "table-refused",
                f"the server of {site.environment} keeps its old routes: {observed.message}",
                exit=Exit.WORLD,
                hint="what it refuses is named above; traffic goes on with the old routes",
            )
        if time.monotonic() > deadline:
            raise failure(
                "server-silent",
                f"the server of {site.environment} did not take up its routes: {observed.message}",
                exit=Exit.WORLD,
                retryable=True,
                hint=f"read {site.runtime / 'server.log'}",
            )
        time.sleep(0.02)


def command_lines(proc: Path = Path("/proc")) -> Iterator[tuple[int, str]]:
    """Yield every process that can be seen, with its command line; from /proc, or from ps where there is none."""
    if (proc / "self" / "cmdline").exists():
        for folder in proc.iterdir():
            # A process that ends meanwhile, and a zombie, have no command line.
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and (line := (folder / "cmdline").read_bytes()):
                    yield int(folder.name), os.fsdecode(line.rstrip(b"\0").replace(b"\0", b" "))
        return
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, check=False)
    for row in os.fsdecode(listed.stdout).splitlines():
        pid, _, text = row.strip().partition(" ")
        yield int(pid), text.strip()


def servers(site: Site) -> list[int]:
    """Return the processes that serve this site, found by what they run, so that a reused process id is never killed.

    A server whose starter was killed before it could write the process id down is found as well.
    """
    for process in list(_children.values()):
        if process.poll() is not None:
            del _children[process.pid]
    words = f" modelops serve {site.environment} --runtime {site.runtime} "
    return [pid for pid, line in command_lines() if words in line]


def _end(site: Site) -> None:
    for number, patience in ((signal.SIGTERM, DRAIN_SECONDS), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        for pid in servers(site):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while servers(site):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return


def stop(site: Site) -> None:
    """End this environment's server, letting it drain first."""
    with _supervising(site):
        _end(site)


def render(params: Params, desired: Desired) -> Mapping[str, str]:
    """Return the routing table, the only file that this target reads."""
    return {FILE_NAME: table_bytes(desired.table).decode()}
