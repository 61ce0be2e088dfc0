"""modelops serve: answer the Open Inference Protocol for an environment."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("environment", metavar="ENV")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 picks a free port.")
@click.option(
    "--runtime", type=click.Path(path_type=Path), help="Folder of routes.json and the log; .modelops/runtime/ENV."
)
@click.option(
    "--table",
    "table_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The routing table, where it is not in the runtime folder: a ConfigMap, or a file of the image.",
)
@click.option("--store", type=click.Path(path_type=Path), help="Folder of the OCI layout; .modelops/store.")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the port."
)
@click.option(
    "--admin-port",
    type=click.IntRange(0, 65535),
    help="Also answer metrics and status on this port of 127.0.0.1, where no API key is asked for.",
)
@click.option("--worker", type=int, hidden=True)
@click.option("--peers", type=click.Path(path_type=Path), hidden=True)
def command(
    environment: str,
    host: str,
    port: int,
    runtime: Path | None,
    table_file: Path | None,
    store: Path | None,
    workers: int,
    admin_port: int | None,
    worker: int | None,
    peers: Path | None,
) -> None:
    """Answer the Open Inference Protocol v2 for what the routing table of ENV names.

    The routing table is watched: a new one is taken up without a lost request. SIGTERM drains.
    """
    from modelops.cli.output import note
    from modelops.clock import clock_from
    from modelops.errors import Exit, failure
    from modelops.plugins import load
    from modelops.predictions import DIRECTORY
    from modelops.serving import Peers, Service
    from modelops.spec.routing import FILE_NAME

    folder = runtime or Path(".modelops/runtime") / environment
    table = table_file or folder / FILE_NAME
    if not table.is_file():
        raise failure(
            "no-routing-table",
            f"there is no routing table {table}",
            exit=Exit.FILES,
            hint=f"`modelops reconcile {environment}` writes it",
        )
    store = (store or Path(".modelops/store")).resolve()
    if workers > 1 and worker is None:
        arguments = [environment, "--runtime", str(folder), "--table", str(table), "--store", str(store)]
        _share(arguments, host, port, workers, admin_port)
        return
    layout = load("stores", "oci-layout")
    blobs = layout.open(layout.Params(path=str(store)), Path.cwd())
    found = None if worker is None or peers is None else Peers(peers, worker)
    service = Service(
        table, blobs, folder / DIRECTORY, host=host, port=port, clock=clock_from(), peers=found, admin_port=admin_port
    )
    service.run(lambda: None if found else note(f"serving {environment} on http://{host}:{service.port}"))


def _share(arguments: list[str], host: str, port: int, workers: int, admin_port: int | None) -> None:
    """Run worker processes that answer on one port until this process is told to end."""
    import contextlib
    import sys
    import tempfile

    from modelops.cli.output import note
    from modelops.serving import reserved, supervise

    with contextlib.ExitStack() as held:
        shared = held.enter_context(reserved(host, port))
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="modelops-"))
        command = [sys.executable, "-m", "modelops", "serve", *arguments, "--host", host, "--port", str(shared)]
        if admin_port is not None:
            command += ["--admin-port", str(held.enter_context(reserved("127.0.0.1", admin_port)))]
        command += ["--workers", str(workers), "--peers", folder, "--worker"]
        supervise(
            lambda worker: [*command, str(worker)],
            workers,
            Path(folder),
            lambda: note(f"serving {arguments[0]} on http://{host}:{shared}"),
        )
