"""modelops serve: answer the Open Inference Protocol for an environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli._names import environments

if TYPE_CHECKING:
    from modelops.stores import Store


def _origin(text: str) -> str:
    """Return an origin as browsers spell it, or say what is wrong with it."""
    if text == "*" or re.fullmatch(r"https?://[a-z0-9.\[\]:-]*[a-z0-9\]]", text):
        return text
    raise click.BadParameter(f"{text!r} is not an origin: write https://HOST or https://HOST:PORT, in lower case")


@click.command()
@click.argument("environment", metavar="ENV", shell_complete=environments)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 picks a free port.")
@click.option(
    "--runtime",
    type=click.Path(path_type=Path),
    help="Folder of routes.json and the log; by default that of ENV in the repository around this folder.",
)
@click.option(
    "--table",
    "table_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The routing table, where it is not in the runtime folder: a ConfigMap, or a file of the image.",
)
@click.option(
    "--store", metavar="ADDRESS", help="Where the artifacts are, as KEY:REST; by default the project's store."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the port."
)
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    help="Also answer metrics and status on this port of 127.0.0.1, where no API key is asked for.",
)
@click.option(
    "--grpc-port", type=click.IntRange(0, 65535), help="Also answer the protocol over gRPC on this port; 0 picks one."
)
@click.option(
    "--cors",
    multiple=True,
    metavar="ORIGIN",
    callback=lambda _, __, value: tuple(map(_origin, value)),
    help="Let pages of this origin, such as https://app.example, ask from a browser; may be repeated, * are all.",
)
@click.option(
    "--notice",
    type=click.FloatRange(0, 600),
    default=0.0,
    show_default=True,
    metavar="SECONDS",
    help="How long after SIGTERM new connections are still taken, while readiness is false.",
)
@click.option(
    "--log-name",
    default="",
    metavar="NAME",
    help="What tells the files of this server's log from those of others, where all are read as one.",
)
@click.option("--worker", type=int, hidden=True)
@click.option("--peers", type=click.Path(path_type=Path), hidden=True)
def command(
    environment: str,
    host: str,
    port: int,
    runtime: Path | None,
    table_file: Path | None,
    store: str | None,
    workers: int,
    admin_port: int | None,
    grpc_port: int | None,
    cors: tuple[str, ...],
    notice: float,
    log_name: str,
    worker: int | None,
    peers: Path | None,
) -> None:
    """Answer the Open Inference Protocol v2 for what the routing table of ENV names.

    The routing table is watched: a new one is taken up without a lost request. SIGTERM drains.
    """
    from modelops.cli.output import note
    from modelops.clock import clock_from
    from modelops.errors import Exit, failure
    from modelops.serving import Peers, Service
    from modelops.spec.layout import PREDICTIONS
    from modelops.spec.routing import FILE_NAME

    folder = runtime or _runtime(environment)
    table = table_file or folder / FILE_NAME
    if not table.is_file():
        raise failure(
            "no-routing-table",
            f"there is no routing table {table}",
            exit=Exit.FILES,
            hint=_tables(folder.parent, environment),
        )
    blobs = _store(store)
    grpc_port = _grpc_port(grpc_port)
    if workers > 1 and worker is None:
        arguments = [environment, "--runtime", str(folder), "--table", str(table), "--store", blobs.address.text]
        arguments += [each for origin in cors for each in ("--cors", origin)]
        arguments += ["--log-name", log_name] if log_name else []
        _share(arguments, host, port, workers, {"--admin-port": admin_port, "--grpc-port": grpc_port}, notice)
        return
    found = None if worker is None or peers is None else Peers(peers, worker)
    service = Service(
        table,
        blobs,
        folder / PREDICTIONS,
        host=host,
        port=port,
        clock=clock_from(),
        peers=found,
        admin_port=admin_port,
        grpc_port=grpc_port,
        origins=cors,
        notice_seconds=notice,
        log_name=log_name,
    )
    said = _addresses(environment, host, service.port, service.grpc_port)
    service.run(lambda: None if found else note(said))


def _tables(runtime: Path, environment: str) -> str:
    """Return which environments have a routing table here, and what writes one."""
    from modelops.spec.routing import FILE_NAME

    known = ", ".join(sorted(each.parent.name for each in runtime.glob(f"*/{FILE_NAME}")))
    here = f"there are tables of: {known}; " if known else ""
    return f"{here}`modelops reconcile {environment}` writes this one, if it is an environment"


def _grpc_port(wanted: int | None) -> int | None:
    """Return the port for gRPC; none, and say why, where its library is not installed."""
    import contextlib
    from importlib.util import find_spec

    from modelops.cli.output import note

    with contextlib.suppress(ImportError, ValueError):
        if wanted is None or find_spec("grpc") is not None:
            return wanted
    note("gRPC is off: its library, grpcio, is not installed; the extra grpc of modelops brings it")
    return None


def _addresses(environment: str, host: str, port: int, grpc_port: int | None) -> str:
    over_grpc = f" and over gRPC on {host}:{grpc_port}" if grpc_port is not None else ""
    return f"serving {environment} on http://{host}:{port}{over_grpc}"


def _runtime(environment: str) -> Path:
    """Return the folder that the loop writes for an environment: of the repository around us, or of this folder."""
    from modelops.errors import ModelOpsError
    from modelops.project.state import runtime_in, state_of
    from modelops.repository import Repository
    from modelops.spec.layout import STATE

    try:
        state = state_of(Repository.discover())
    except ModelOpsError as error:
        if error.problems[0].code != "not-a-repository":
            raise
        state = Path(STATE)
    return runtime_in(state, environment)


def _store(address: str | None) -> Store:
    """Open the store at an address, or the one of the repository around us."""
    import os

    from modelops.stores import open_at

    if address is not None:
        return open_at(address, Path.cwd(), os.environ)
    from modelops.project.workspace import open_workspace

    return open_workspace().store


def _share(
    arguments: list[str], host: str, port: int, workers: int, beside: Mapping[str, int | None], notice: float
) -> None:
    """Run worker processes that answer on one port until this process is told to end; so on the ports ``beside``."""
    import contextlib
    import sys
    import tempfile

    from modelops.cli.output import note
    from modelops.serving import reserved, supervise

    with contextlib.ExitStack() as held:
        shared = held.enter_context(reserved(host, port))
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="modelops-"))
        command = [sys.executable, "-m", "modelops", "serve", *arguments, "--host", host, "--port", str(shared)]
        ports: dict[str, int] = {}
        for option, wanted in beside.items():
            if wanted is not None:
                at = "127.0.0.1" if option == "--admin-port" else host
                ports[option] = held.enter_context(reserved(at, wanted))
                command += [option, str(ports[option])]
        command += ["--notice", str(notice), "--workers", str(workers), "--peers", folder, "--worker"]
        supervise(
            lambda worker: [*command, str(worker)],
            workers,
            Path(folder),
            lambda: note(_addresses(arguments[0], host, shared, ports.get("--grpc-port"))),
            notice,
        )
