"""`modelops data`: take, verify, compare and show snapshots, and move their files to and from the store."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from modelops.cli._names import models
from modelops.cli._sources import check, impact, outcomes
from modelops.cli.output import emit, note, output_option, tell_fence
from modelops.errors import Exit

if TYPE_CHECKING:
    from modelops.data.manifest import Progress
    from modelops.data.named import ModelData
    from modelops.data.numbers import Decimal
    from modelops.project.snapshots import Seal
    from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Source
    from modelops.stores import Store


def _place(model: str) -> ModelData:
    from modelops.data.named import model_data
    from modelops.project.workspace import open_workspace
    from modelops.repository import Repository

    repository = Repository.discover(Path.cwd())

    def store() -> Store:
        return open_workspace(repository.root, dirty=True).store

    return model_data(repository, model, store, tell_fence())


@contextmanager
def _hashing(what: str = "hashed") -> Iterator[Progress | None]:
    """Show how many bytes are done on a terminal once that takes longer than a second."""
    if not sys.stderr.isatty():
        yield None
        return
    began, shown, total = time.monotonic(), 0.0, 0

    def advance(size: int) -> None:
        nonlocal shown, total
        total += size
        now = time.monotonic()
        if now - began > 1 and now - shown > 0.2:
            shown = now
            click.echo(f"\r{what} {total / 1e6:,.0f} MB", err=True, nl=False)

    yield advance
    if shown:
        click.echo("\r\033[K", err=True, nl=False)


@click.group("data")
def command() -> None:
    """Take, verify, compare, show, push and pull data snapshots; hold data sources against what they promise."""


command.add_command(impact)
command.add_command(check)
command.add_command(outcomes)


@command.command("snapshot")
@click.argument("model", shell_complete=models)
@click.option("--name", required=True, help="Name of the snapshot, for example 2026-q2.")
@click.option(
    "--path", type=click.Path(path_type=Path), help="A file of data, a folder of them, or a pattern such as 'd/*.csv'."
)
@click.option("--url", help="An http, https or file URL of one file.")
@click.option("--command", "program", help="A command that writes the files into {output}; it runs in MODEL's folder.")
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="PATH",
    help="A file or folder of MODEL's folder that the command may read, and nothing else of it; may be repeated.",
)
@click.option("--network", is_flag=True, help="Let the command reach the network.")
@click.option("--owner", required=True, help="Who answers for the data.")
@click.option("--upstream", multiple=True, help="A system that the data comes from; may be repeated.")
@click.option("--target", help="The label column, when there is no model.yaml that says it.")
@click.option("--time", "time_column", help="The event time column, when there is no model.yaml that says it.")
@click.option("--decimal", type=click.Choice([".", ","]), help="The decimal mark of CSV files, where two readings fit.")
@click.option(
    "--missing",
    multiple=True,
    metavar="WORD",
    help="A word for missing, not the usual ones; COLUMN=WORD for one column.",
)
@click.option("--encoding", metavar="NAME", help="The encoding of text files, where their bytes do not tell.")
@click.option("--sheet", metavar="NAME", help="The sheet of a workbook, where it has several.")
@click.option("--reason", default="", help="Why the snapshot is taken.")
@click.option("--set-model", is_flag=True, help="Also make it the snapshot that MODEL is trained on.")
@output_option
def snapshot(
    model: str,
    name: str,
    path: Path | None,
    url: str | None,
    program: str | None,
    files: tuple[str, ...],
    network: bool,
    owner: str,
    upstream: tuple[str, ...],
    target: str | None,
    time_column: str | None,
    decimal: str | None,
    missing: tuple[str, ...],
    encoding: str | None,
    sheet: str | None,
    reason: str,
    set_model: bool,
    output: str,
) -> None:
    """Pin and measure the data of MODEL under a name that never changes its meaning."""
    from modelops.data.named import Taking, set_snapshot, take_named
    from modelops.data.snapshot import Wanted
    from modelops.views.data import snapshot as view

    if sum(choice is not None for choice in (path, url, program)) != 1:
        raise click.UsageError("name one source: --path, --url or --command")
    if program is None and (files or network):
        raise click.UsageError("--file and --network are for a --command")
    mark = cast("Decimal | None", decimal)
    place = _place(model)
    source, paths = _source(place.root, path, url, program, owner, upstream)
    if source.type == "command":
        source = source.model_copy(update={"files": files, "network": network})
    with _hashing() as progress:
        wanted = Wanted(
            target=target, time=time_column, decimal=mark, missing=missing or None, encoding=encoding, sheet=sheet
        )
        taking = Taking(name, source, paths, wanted, reason)
        taken, written = take_named(place, taking, progress)
    note(f"wrote {place.path(name)}" if written else f"{place.path(name)} says exactly this already")
    _sign(place, name)
    if set_model and set_snapshot(place, name):
        note(f"{place.model_path} is trained on {name} now")
    emit(output, view.data(name, place.path(name), taken), lambda: view.line(name, taken))


def _sign(place: ModelData, name: str) -> None:
    """Sign a snapshot that is not signed yet, or say why this machine does not."""
    from modelops.errors import ModelOpsError
    from modelops.project.snapshots import seal_here, seal_path

    path = seal_path(place.model, name)
    if (place.root / path).exists():
        return
    try:
        key = seal_here(place.repository, os.environ, place.model, name)
    except ModelOpsError as error:
        note(f"{name} is not signed: {error.first.message}")
        return
    note(f"wrote {path}, signed by {key}")


def _source(
    root: Path, path: Path | None, url: str | None, program: str | None, owner: str, upstream: tuple[str, ...]
) -> tuple[Source, tuple[str, ...]]:
    from modelops.data import path_source, url_source
    from modelops.spec.kinds.data_snapshot import Source

    if path is not None:
        return path_source(path, root, owner=owner, upstream=upstream)
    if url is not None:
        return url_source(url, owner=owner, upstream=upstream)
    return Source(type="command", command=tuple(shlex.split(program or "")), owner=owner, upstream=upstream), ()


@command.command("verify")
@click.argument("model", shell_complete=models)
@click.argument("name", required=False)
@output_option
def verify(model: str, name: str | None, output: str) -> int:
    """Compare the source of a snapshot (the model's own without NAME) with what was pinned.

    Exits with 1 and names every file that changed, is missing or was truncated.
    """
    from modelops.cli import show_problems
    from modelops.data import verify as verify_snapshot
    from modelops.views.data import snapshot as view

    place = _place(model)
    name, spec = place.named(name)
    with _hashing() as progress:
        problems = verify_snapshot(spec, **place.places(spec), progress=progress)
    show_problems(problems)
    emit(
        output,
        view.verified_data(name, spec, problems),
        lambda: view.verified_text(name, len(spec.files), len(problems)),
    )
    return Exit.NO if problems else Exit.OK


@command.command("diff")
@click.argument("model", shell_complete=models)
@click.argument("old")
@click.argument("new")
@output_option
def diff(model: str, old: str, new: str, output: str) -> None:
    """Say what changed from snapshot OLD to snapshot NEW, in columns and in distribution."""
    from modelops.data import compare, materialise, read
    from modelops.errors import ModelOpsError
    from modelops.views.data import comparison as view

    place = _place(model)
    _, before = place.named(old)
    _, after = place.named(new)
    rows = None
    try:
        rows = read(materialise(after, **place.with_store(after)), after)
    except ModelOpsError as error:
        note(f"the rows of {new} are not at hand, so distributions are estimated: {error.first.message}")
    found = compare(before, after, rows)
    emit(output, view.data(found), lambda: f"{old} -> {new}\n{view.text(found)}")


@command.command("show")
@click.argument("model", shell_complete=models)
@click.argument("name", required=False)
@output_option
def show(model: str, name: str | None, output: str) -> int:
    """Show a snapshot (the model's own without NAME): columns, labels, what its datasheet leaves open, and who signed.

    Exits with 1 when its signature is not one over this snapshot by a key that counts.
    """
    from modelops.views.data import snapshot as view

    place = _place(model)
    name, spec = place.named(name)
    seal = _seal(place, name, spec)
    emit(output, spec.model_dump(by_alias=True, mode="json"), lambda: f"{view.text(name, spec)}\n\n{view.seal(seal)}")
    return Exit.OK if seal.problem is None else Exit.NO


def _seal(place: ModelData, name: str, spec: DataSnapshotSpec) -> Seal:
    """Tell by whom a snapshot of the work tree is signed, as far as somebody is trusted here."""
    from modelops.clock import clock_from
    from modelops.project.snapshots import Seal, keys_here, read_seal, seal_path

    keys = keys_here(place.repository, os.environ, clock_from()())
    file = place.root / seal_path(place.model, name)
    if keys is None or not file.is_file():
        return Seal()
    document = (place.root / place.path(name)).read_bytes()
    return read_seal(file.read_bytes(), keys, place.model, name, spec, document)


def _chosen(model: str | None, name: str | None, every: bool) -> list[tuple[ModelData, str, DataSnapshotSpec]]:
    """Return the snapshots that a command is about: of one model or of all, its own, another, or every one."""
    from modelops.data.named import models_with_data
    from modelops.repository import Repository

    models = [model] if model is not None else models_with_data(Repository.discover(Path.cwd()).root)
    found = []
    for one in models:
        place = _place(one)
        names = place.names() if every else [name]
        found += [(place, *place.named(each)) for each in names]
    return found


_every = click.option("--all", "every", is_flag=True, help="Every snapshot, not only the one a model is trained on.")


def _one_or_all(name: str | None, every: bool) -> None:
    if name is not None and every:
        raise click.UsageError("name a snapshot, or take --all of them")


@command.command("push")
@click.argument("model", required=False, shell_complete=models)
@click.argument("name", required=False)
@_every
@output_option
def push(model: str | None, name: str | None, every: bool, output: str) -> None:
    """Put the files of a snapshot into the project's store, so that every clone can train on them.

    Without NAME the snapshot that MODEL is trained on, without MODEL that of every model. What the store has already is
    not sent; a push that was broken off goes on where it was.
    """
    from modelops.data import materialise
    from modelops.data.travelling import push as push_files
    from modelops.views.data import travelling as view

    _one_or_all(name, every)
    done = []
    for place, called, spec in _chosen(model, name, every):
        where = place.with_store(spec)
        folder = materialise(spec, **where)
        with _hashing("sent") as progress:
            sent = push_files(where["store"], folder, spec.root, spec.files, progress)
        done.append(view.Sent(place.model, called, sent))
    emit(output, view.sent_data(done), lambda: view.sent_text(done))


@command.command("pull")
@click.argument("model", required=False, shell_complete=models)
@click.argument("name", required=False)
@_every
@output_option
def pull(model: str | None, name: str | None, every: bool, output: str) -> int:
    """Get the files of a snapshot from the store, or else from its source, verified, where builds find them.

    Files that their source has in this repository, and that are missing there, are put there too. What lies there and
    is something else stays, is named, and makes the exit code 1.
    """
    from modelops.cli import show_problems
    from modelops.data import Place, materialise
    from modelops.data.travelling import restore
    from modelops.views.data import travelling as view

    _one_or_all(name, every)
    done = []
    for place, called, spec in _chosen(model, name, every):
        where = place.with_store(spec)
        written, other = restore(spec, materialise(spec, **where), Place(**where))
        show_problems(other)
        done.append(view.Pulled(place.model, called, len(spec.files), written, other))
    emit(output, view.pulled_data(done), lambda: view.pulled_text(done))
    return Exit.NO if any(one.other for one in done) else Exit.OK


@command.command("status")
@click.argument("model", required=False, shell_complete=models)
@output_option
def status(model: str | None, output: str) -> None:
    """Say of every snapshot where its files are: at their source, in git, in the cache, in the store."""
    from modelops.data import Place
    from modelops.data.travelling import whereabouts
    from modelops.views.data import travelling as view

    found = []
    for place, name, spec in _chosen(model, None, every=True):
        own = place.model_spec()
        where = whereabouts(spec, Place(**place.with_store(spec)), place.committed)
        lost = tuple(os.path.relpath(path) for path in where.lost)
        found.append(view.Found(place.model, name, own is not None and own.data.snapshot == name, where, lost))
    emit(output, view.status_data(found), lambda: view.status_text(found))
