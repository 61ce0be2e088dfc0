"""`modelops data`: take, verify, compare and show snapshots."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelops.cli.output import emit, note, output_option, table
from modelops.errors import Exit, Location, failure

if TYPE_CHECKING:
    from modelops.data import Wanted
    from modelops.data.manifest import Progress
    from modelops.spec.data import DataSnapshotSpec, Source
    from modelops.spec.model import ModelSpec
    from modelops.spec.policy import ProjectSpec
    from modelops.stores import Store


@dataclass(frozen=True)
class _Site:
    """Where a model's snapshots are; read without the rest of the repository, which may not be valid yet."""

    root: Path
    model: str

    @property
    def folder(self) -> Path:
        return self.root / "models" / self.model

    @property
    def cache(self) -> Path:
        return self.root / ".modelops" / "cache"

    def path(self, name: str) -> str:
        return f"models/{self.model}/data/{name}.yaml"

    def model_spec(self) -> ModelSpec | None:
        from modelops.spec.load import load_resource

        path = f"models/{self.model}/model.yaml"
        file = self.root / path
        spec: ModelSpec | None = load_resource(file.read_bytes(), path).spec if file.is_file() else None
        return spec

    def snapshot(self, name: str) -> DataSnapshotSpec | None:
        from modelops.spec.load import load_resource

        file = self.root / self.path(name)
        spec: DataSnapshotSpec | None = (
            load_resource(file.read_bytes(), self.path(name)).spec if file.is_file() else None
        )
        return spec

    def named(self, name: str | None) -> tuple[str, DataSnapshotSpec]:
        """Return a snapshot by name, or the one that the model is trained on."""
        if name is None:
            model = self.model_spec()
            if model is None:
                raise failure("unknown-model", f"there is no models/{self.model}/model.yaml", exit=Exit.USAGE)
            name = model.data.snapshot
        found = self.snapshot(name)
        if found is None:
            known = ", ".join(sorted(file.stem for file in self.folder.glob("data/*.yaml"))) or "none"
            said = f"{self.model} has no snapshot {name!r}"
            raise failure("unknown-snapshot", said, exit=Exit.USAGE, hint=f"snapshots here: {known}")
        return name, found

    @property
    def locations(self) -> tuple[str, ...]:
        """Where data may lie outside of the repository, as the Project of the work tree says."""
        from modelops.spec.load import load_resource

        path = "policies/project.yaml"
        file = self.root / path
        project: ProjectSpec | None = load_resource(file.read_bytes(), path).spec if file.is_file() else None
        return project.data_locations if project is not None else ()

    def store(self) -> Store:
        from modelops.reconcile.workspace import open_workspace

        return open_workspace(self.root).store

    def places(self, spec: DataSnapshotSpec) -> dict[str, Any]:
        """Return where things are, as the data functions take it; the store only where it is needed."""
        return {
            "repository_root": self.root,
            "model_folder": self.folder,
            "cache": self.cache,
            "store": self.store() if spec.source.type == "store" else None,
            "locations": self.locations,
        }


def _site(model: str) -> _Site:
    from modelops.repository import Repository

    site = _Site(Repository.discover(Path.cwd()).root, model)
    if not site.folder.is_dir():
        known = ", ".join(sorted(folder.name for folder in (site.root / "models").glob("*/"))) or "none"
        raise failure(
            "unknown-model", f"there is no folder models/{model}", exit=Exit.USAGE, hint=f"models here: {known}"
        )
    return site


@contextmanager
def _hashing() -> Iterator[Progress | None]:
    """Show hashed bytes on a terminal once that takes longer than a second."""
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
            click.echo(f"\rhashed {total / 1e6:,.0f} MB", err=True, nl=False)

    yield advance
    if shown:
        click.echo("\r\033[K", err=True, nl=False)


@click.group("data")
def command() -> None:
    """Take, verify, compare and show data snapshots."""


@command.command("snapshot")
@click.argument("model")
@click.option("--name", required=True, help="Name of the snapshot, for example 2026-q2.")
@click.option("--path", type=click.Path(path_type=Path), help="A CSV or Parquet file, or a folder of them.")
@click.option("--url", help="An http, https or file URL of one file.")
@click.option("--command", "program", help="A command that writes the files into {output}; it runs in MODEL's folder.")
@click.option("--owner", required=True, help="Who answers for the data.")
@click.option("--upstream", multiple=True, help="A system that the data comes from; may be repeated.")
@click.option("--target", help="The label column, when there is no model.yaml that says it.")
@click.option("--time", "time_column", help="The event time column, when there is no model.yaml that says it.")
@click.option("--reason", default="", help="Why the snapshot is taken.")
@click.option("--set-model", is_flag=True, help="Also make it the snapshot that MODEL is trained on.")
@output_option
def snapshot(
    model: str,
    name: str,
    path: Path | None,
    url: str | None,
    program: str | None,
    owner: str,
    upstream: tuple[str, ...],
    target: str | None,
    time_column: str | None,
    reason: str,
    set_model: bool,
    output: str,
) -> None:
    """Pin and measure the data of MODEL under a name that never changes its meaning."""
    if sum(choice is not None for choice in (path, url, program)) != 1:
        raise click.UsageError("name one source: --path, --url or --command")
    site = _site(model)
    source, paths = _source(site, path, url, program, owner, upstream)
    spec = site.model_spec()
    wanted = _wanted(spec, target, time_column)
    existing = site.snapshot(name)
    with _hashing() as progress:
        if existing is not None and _unchanged(site, existing, source, paths, wanted, progress):
            note(f"{site.path(name)} says exactly this already")
            taken = existing
        else:
            taken = _take(site, name, source, paths, wanted, reason, existing, spec, progress)
    if set_model and spec is not None and spec.data.snapshot != name:
        _set_model(site, name)
    record = _record(site, name, taken)
    emit(output, record, lambda: f"{name}: {taken.rows} rows, {len(taken.columns)} columns, {taken.root}")


def _source(
    site: _Site, path: Path | None, url: str | None, program: str | None, owner: str, upstream: tuple[str, ...]
) -> tuple[Source, tuple[str, ...]]:
    from modelops.data import path_source, url_source
    from modelops.spec.data import Source

    if path is not None:
        return path_source(path, site.root, owner=owner, upstream=upstream)
    if url is not None:
        return url_source(url, owner=owner, upstream=upstream)
    return Source(type="command", command=tuple(shlex.split(program or "")), owner=owner, upstream=upstream), ()


def _wanted(spec: ModelSpec | None, target: str | None, time_column: str | None) -> Wanted:
    from modelops.data import Wanted, wanted_by

    return wanted_by(spec) if spec is not None else Wanted(target=target, time=time_column)


def _unchanged(
    site: _Site,
    existing: DataSnapshotSpec,
    source: Source,
    paths: tuple[str, ...],
    wanted: Wanted,
    progress: Progress | None,
) -> bool:
    """Tell without measuring whether local files are what the snapshot pins already."""
    from modelops.data import Place, pin

    if (existing.source, existing.target) != (source, wanted.target):
        return False
    place = Place(site.root, site.folder, site.cache, locations=site.locations)
    return pin(source, place, paths, progress) == existing.root


def _take(
    site: _Site,
    name: str,
    source: Source,
    paths: tuple[str, ...],
    wanted: Wanted,
    reason: str,
    existing: DataSnapshotSpec | None,
    model: ModelSpec | None,
    progress: Progress | None,
) -> DataSnapshotSpec:
    from modelops.data import take
    from modelops.spec.dump import dump

    previous = existing or (site.snapshot(model.data.snapshot) if model is not None else None)
    taken = take(
        source,
        repository_root=site.root,
        model_folder=site.folder,
        cache=site.cache,
        paths=paths,
        wanted=wanted,
        previous=previous,
        reason=reason or (existing.reason if existing is not None else ""),
        locations=site.locations,
        progress=progress,
    )
    if existing == taken:
        note(f"{site.path(name)} says exactly this already")
        return taken
    if existing is not None:
        raise failure(
            "immutable-changed",
            f"the snapshot {name!r} exists and pins other data ({existing.root}, now {taken.root})"
            if existing.root != taken.root
            else f"the snapshot {name!r} exists and describes the same data differently",
            location=Location(site.path(name)),
            hint="a snapshot never changes: choose another --name",
        )
    file = site.root / site.path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dump("DataSnapshot", name, taken, path=site.path(name)))
    note(f"wrote {site.path(name)}")
    return taken


def _set_model(site: _Site, name: str) -> None:
    from modelops.spec.edit import set_value

    path = f"models/{site.model}/model.yaml"
    file = site.root / path
    file.write_bytes(set_value(file.read_bytes(), "spec.data.snapshot", name, path))
    note(f"{path} is trained on {name} now")


@command.command("verify")
@click.argument("model")
@click.argument("name", required=False)
@output_option
def verify(model: str, name: str | None, output: str) -> int:
    """Compare the source of a snapshot (the model's own without NAME) with what was pinned.

    Exits with 1 and names every file that changed, is missing or was truncated.
    """
    from modelops.cli import show_problems
    from modelops.data import verify as verify_snapshot

    site = _site(model)
    name, spec = site.named(name)
    with _hashing() as progress:
        problems = verify_snapshot(spec, **site.places(spec), progress=progress)
    show_problems(problems)
    record = {
        "snapshot": name,
        "root": spec.root,
        "files": len(spec.files),
        "problems": [{"code": each.code, "file": str(each.location), "message": each.message} for each in problems],
    }
    emit(output, record, lambda: _verdict(name, len(spec.files), len(problems)))
    return Exit.NO if problems else Exit.OK


def _verdict(name: str, files: int, problems: int) -> str:
    whole = "1 file is" if files == 1 else f"all {files} files are"
    return f"{name}: {problems} of {files} files differ" if problems else f"{name}: {whole} what was pinned"


@command.command("diff")
@click.argument("model")
@click.argument("old")
@click.argument("new")
@output_option
def diff(model: str, old: str, new: str, output: str) -> None:
    """Say what changed from snapshot OLD to snapshot NEW, in columns and in distribution."""
    from modelops.data import compare, comparison_json, comparison_text, materialise, read
    from modelops.errors import ModelOpsError

    site = _site(model)
    _, before = site.named(old)
    _, after = site.named(new)
    rows = None
    try:
        rows = read(materialise(after, **site.places(after)), after)
    except ModelOpsError as error:
        note(f"the rows of {new} are not at hand, so distributions are estimated: {error.problems[0].message}")
    found = compare(before, after, rows)
    emit(output, comparison_json(found), lambda: f"{old} -> {new}\n{comparison_text(found)}")


@command.command("show")
@click.argument("model")
@click.argument("name", required=False)
@output_option
def show(model: str, name: str | None, output: str) -> None:
    """Show a snapshot (the model's own without NAME): columns, labels, and what its datasheet leaves open."""
    site = _site(model)
    name, spec = site.named(name)
    emit(output, spec.model_dump(by_alias=True, mode="json"), lambda: _shown(name, spec))


def _shown(name: str, spec: DataSnapshotSpec) -> str:
    from modelops.data import unanswered

    gaps = {section: count for section, count in unanswered(spec.datasheet).items() if count}
    rows = [
        (c.name, c.type, c.missing, c.distinct, _cell(c.minimum), _cell(c.maximum), _cell(c.mean)) for c in spec.columns
    ]
    lines = [f"{name}: {spec.rows} rows in {len(spec.files)} {spec.format} files, {spec.root}"]
    lines.append(f"source: {' '.join(spec.source.command) or spec.source.location or 'the store'}")
    lines.append(f"owner: {spec.source.owner}; upstream: {', '.join(spec.source.upstream) or 'not declared'}")
    if spec.time_span is not None:
        lines.append(f"time: {spec.time_span.first} to {spec.time_span.last}")
    if spec.balance:
        total = sum(spec.balance.values())
        shares = ", ".join(f"{label} {count / total:.1%}" for label, count in list(spec.balance.items())[:10])
        lines.append(f"target {spec.target}: {shares}")
    lines += ["", table(("column", "type", "missing", "distinct", "minimum", "maximum", "mean"), rows)]
    if gaps:
        listed = ", ".join(f"{section} {count}" for section, count in gaps.items())
        lines += ["", f"datasheet questions not answered: {listed}"]
    return "\n".join(lines)


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _record(site: _Site, name: str, spec: DataSnapshotSpec) -> dict[str, Any]:
    return {
        "snapshot": name,
        "path": site.path(name),
        "root": spec.root,
        "rows": spec.rows,
        "columns": {column.name: column.type for column in spec.columns},
        "files": len(spec.files),
        "target": spec.target,
        "balance": spec.balance,
    }
