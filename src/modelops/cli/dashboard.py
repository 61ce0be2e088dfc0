"""`modelops dashboard`: the health of every model as pages, served here or written into a folder."""

from __future__ import annotations

from pathlib import Path

import click

from modelops.cli.output import emit, note, output_option


@click.command("dashboard")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 picks a free port.")
@click.option(
    "--access",
    metavar="NAME",
    help="Access policy whose keys with the scope admin may look; needed beyond this machine.",
)
@click.option(
    "--name", "names", multiple=True, metavar="HOST", help="Name by which it is called from elsewhere; may be repeated."
)
@click.option(
    "--export",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write what git says at the newest commit as a static site into DIR instead.",
)
@output_option
def command(host: str, port: int, access: str | None, names: tuple[str, ...], folder: Path | None, output: str) -> int:
    """Show every model in every environment: what hurts first, releases, rollouts, timelines and audits.

    Read-only, from git, evidence and targets. It is reached from this machine alone, unless an access policy says who
    may look. With --export nothing is observed: the same commit gives the same files, replaced as a whole.
    """
    from modelops.dashboard.look import House
    from modelops.dashboard.pages import Pages
    from modelops.project.workspace import open_workspace

    workspace = open_workspace()
    if folder is not None:
        from modelops.dashboard.export import export

        done = export(Pages(House(workspace, observed=False), static=True), folder)
        data = {"commit": done.commit, "pages": done.pages, "files": done.files, "bytes": done.bytes}
        said = f"{done.pages} pages of commit {done.commit[:10]} in {folder}, {done.files} files, {done.bytes:,} bytes"
        emit(output, data, said)
        return 0
    from modelops.dashboard.serving import LOCAL, is_local, listen, require_policy, serve

    pages = Pages(House(workspace))
    require_policy(pages, host, access)
    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    note(f"dashboard at http://{shown}:{listener.getsockname()[1]}/ (end it with Ctrl-C)")
    serve(pages, listener, {*LOCAL, *([] if is_local(host) else [host.lower()]), *map(str.lower, names)}, access)
    return 0
