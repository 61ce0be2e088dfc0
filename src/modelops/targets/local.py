"""The target `local`: one supervised server process per environment on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import Field, ValidationError

from modelops.errors import Exit, failure
from modelops.files import identity, unwritable, write_atomically
from modelops.spec.layout import PREDICTIONS
from modelops.spec.meta import Origin, Plugin, Strict
from modelops.spec.routing import FILE_NAME, RoutingTable, table_digest, table_text
from modelops.targets import Deployable, ObservedArm, Place, Running, Site

LOOPBACK = "127.0.0.1"
STARTUP_SECONDS = 60.0
DRAIN_SECONDS = 40.0
"""How long a server that was told to end may go on answering; longer than it gives its own requests."""
START_TRIES = 3
"""How often a server is started whose ports are taken by others before it has them."""
RELEASE_SECONDS = 1.0
"""How long a port that a server was just killed on is waited for."""
PATIENCE_SECONDS = 10.0
"""How long a server that lives but does not answer is waited for before it is replaced: it may only be busy."""
_children: dict[int, subprocess.Popen[bytes]] = {}
"""The servers that this process started, by process id, so that the ended ones do not stay as zombies."""
_KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "MODELOPS_CLOCK", "SYSTEMROOT")
_NETWORK_VARIABLES = (
    *("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "DOCKER_CONFIG"),
)
"""What a server gets as well whose store is reached by network."""


class Params(Strict):
    """Where the server listens; port 0 picks a free one and keeps it. ``workers`` processes share the port.

    Metrics and status are also answered on ``adminPort`` of 127.0.0.1, where no API key is asked for. The protocol is
    answered over gRPC on ``grpcPort``, where one is given. Pages of ``corsOrigins`` may ask from a browser.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    admin_port: Annotated[int, Field(ge=0, le=65535)] = 0
    grpc_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    cors_origins: tuple[Origin, ...] = ()
    workers: Annotated[int, Field(ge=1, le=64)] = 1


def _append(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError as error:
        raise unwritable(path, error) from error


@contextlib.contextmanager
def _supervising(place: Place) -> Iterator[None]:
    """Hold the right to start and stop this environment's server; the kernel frees it when its holder dies."""
    with _append(place.runtime / "server.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _record(place: Place) -> Mapping[str, object]:
    try:
        record = json.loads((place.runtime / "server.json").read_text(encoding="utf-8"))
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


def observe(params: Params, place: Place, timeout: float = 2.0) -> Running:
    """Ask the server what it serves; a server that does not answer, or answers for another site, is not running."""
    return replace(_answer(params, place, timeout), routes=_given(place))


def _given(place: Place) -> RoutingTable | None:
    """Return the table that the server is to read; an unreadable one counts as none."""
    try:
        return RoutingTable.model_validate_json((place.runtime / FILE_NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def _answer(params: Params, place: Place, timeout: float) -> Running:
    record = _record(place)
    port, admin = record.get("port"), record.get("adminPort")
    if not isinstance(port, int):
        return Running(False, None, (), "no server was started yet")
    # A server that was started before there was an admin port tells its status where it predicts.
    status = _status(LOOPBACK, admin, timeout) if isinstance(admin, int) else _status(params.host, port, timeout)
    if status is None:
        return Running(False, None, (), f"nothing answers on {params.host}:{port}")
    if status.get("runtime") != identity(place.runtime):
        return Running(False, None, (), f"another program answers on {params.host}:{port}")
    rows = status.get("arms")
    arms = tuple(
        ObservedArm(a["model"], a["arm"], a["release"], a["digest"], a["ready"], a.get("error"))
        for a in (rows if isinstance(rows, list) else [])
    )
    table = status.get("table")
    return Running(
        True,
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
    place = {"port": port, "adminPort": admin, "store": site.store.text}
    secrets = tuple(key.variable for key in table.keys or () if key.variable is not None)
    network = (*_NETWORK_VARIABLES, *site.store.variables) if site.store.folder is None else ()
    kept = (*_KEPT_VARIABLES, *secrets, *network)
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    # Whatever encoding this process was given, the server and its workers spell paths and text in UTF-8.
    environment["PYTHONUTF8"] = "1"
    command = [sys.executable, "-m", "modelops", "serve", site.environment]
    command += ["--runtime", str(site.runtime), "--store", site.store.text, "--host", params.host, "--port", str(port)]
    command += ["--admin-port", str(admin), "--workers", str(params.workers)]
    if params.grpc_port is not None:
        command += ["--grpc-port", str(params.grpc_port)]
    command += [each for origin in params.cors_origins for each in ("--cors", origin)]
    # The ports are known to whoever comes next even if we are killed before the process id is.
    write_atomically(site.runtime / "server.json", json.dumps(place).encode())
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
    write_atomically(site.runtime / "server.json", json.dumps({"pid": process.pid, **place}).encode())
    return process


def _start(params: Params, site: Site, table: RoutingTable) -> None:
    """Start a server and wait until it answers; it gets only the variables it needs, secrets of keys and store too."""
    for left in reversed(range(START_TRIES)):
        process = _spawn(params, site, table)
        if _answers(params, site, process):
            return
        said = _last_words(site)
        chosen = [number for name, number in _record(site).items() if name in _free_to_choose(params)]
        # Between our choice of a port and the server's start another program may have taken it.
        if not left or not any(f"port {number} of " in said for number in chosen):
            raise failure(
                "server-died",
                f"the server of {site.environment} ended with {process.returncode}: {said}",
                exit=Exit.WORLD,
                retryable=True,
                hint=f"read {site.runtime / 'server.log'}",
            )


def _free_to_choose(params: Params) -> list[str]:
    return [name for name, fixed in (("port", params.port), ("adminPort", params.admin_port)) if not fixed]


def _answers(params: Params, site: Site, process: subprocess.Popen[bytes]) -> bool:
    """Wait until a server that was started answers; False when it has ended before."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return False
        if _answer(params, site, 2.0).running:
            return True
        time.sleep(0.03)
    process.kill()
    raise failure(
        "server-silent",
        f"the server of {site.environment} did not answer within {STARTUP_SECONDS:.0f} s",
        exit=Exit.WORLD,
        retryable=True,
        hint=f"read {site.runtime / 'server.log'}",
    )


def _last_words(place: Place) -> str:
    lines = (place.runtime / "server.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " / ".join(lines[-3:])


def apply(params: Params, site: Site, table: RoutingTable) -> Running:
    """Write the routing table and see that a server answers with it; an artifact it refuses is named."""
    wanted = table_digest(table)
    with _supervising(site):
        path = site.runtime / FILE_NAME
        data = table_text(table).encode()
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
        moved = _record(site).get("store", site.store.text) != site.store.text
        # A server that reads the store which the project had before does not find what is released from now on.
        if moved or not _answer(params, site, PATIENCE_SECONDS if servers(site) else 2.0).running:
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


def command_lines(proc: Path = Path("/proc")) -> Iterator[tuple[int, bytes]]:
    """Yield every process that can be seen, with its command line; from /proc, or from ps where there is none."""
    if (proc / "self" / "cmdline").exists():
        for folder in proc.iterdir():
            # A process that ends meanwhile, and a zombie, have no command line.
            with contextlib.suppress(OSError):
                if folder.name.isdigit() and (line := (folder / "cmdline").read_bytes()):
                    yield int(folder.name), line.rstrip(b"\0").replace(b"\0", b" ")
        return
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, check=False)
    for row in listed.stdout.splitlines():
        pid, _, text = row.strip().partition(b" ")
        yield int(pid), text.strip()


def servers(place: Place) -> list[int]:
    """Return the processes that serve this site, found by what they run, so that a reused process id is never killed.

    A server whose starter was killed before it could write the process id down is found as well.
    """
    for process in list(_children.values()):
        if process.poll() is not None:
            del _children[process.pid]
    words = os.fsencode(f" modelops serve {place.environment} --runtime {place.runtime} ")
    return [pid for pid, line in command_lines() if words in line]


def _end(place: Place) -> None:
    for number, patience in ((signal.SIGTERM, DRAIN_SECONDS), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + patience
        for pid in servers(place):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        while servers(place):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        else:
            return


def stop(params: Params, place: Place) -> None:
    """End this environment's server, letting it drain first."""
    with _supervising(place):
        _end(place)


def endpoint(params: Params, place: Place) -> str | None:
    """Return the address of the server that was started last."""
    port = _record(place).get("port")
    return f"http://{params.host}:{port}" if isinstance(port, int) else None


def logs(params: Params, place: Place) -> Plugin:
    """Return the folder that the server writes its predictions to."""
    return Plugin(type="folder", params={"path": str(place.runtime / PREDICTIONS)})


def durable(params: Params, environ: Mapping[str, str]) -> bool:
    """Tell that a server stays, but for a machine that is thrown away with the job: a hosted runner of GitHub's."""
    return environ.get("RUNNER_ENVIRONMENT") != "github-hosted"


def render(params: Params, desired: Deployable) -> Mapping[str, str]:
    """Return the routing table, the only file that this target reads."""
    return {FILE_NAME: table_text(desired.table)}
