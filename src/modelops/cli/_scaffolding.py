"""What `modelops init` does: puts scaffolded files, snapshots, keys and schemas together in a repository."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from modelops import plugins
from modelops.cli.output import note
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.repository import Repository
from modelops.scaffold.files import make_folder, refuse_existing, write_new
from modelops.scaffold.repository import IGNORED, example_files, repository_files, schema_files
from modelops.spec.data import DataSnapshotSpec, Source
from modelops.spec.dump import dump
from modelops.spec.edit import append
from modelops.spec.kinds import place
from modelops.spec.load import load_resource
from modelops.spec.locations import folder, refusal
from modelops.spec.meta import Risk
from modelops.spec.model import ModelSpec, Task
from modelops.spec.policy import EnvironmentSpec, ProjectSpec
from modelops.stores import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from modelops.data import Wanted
    from modelops.scaffold.columns import Finding
    from modelops.scaffold.model import Draft

SNAPSHOT = "initial"
_PROJECT = "policies/project.yaml"
_KEPT = (".gitignore", "README.md", "requirements.lock")
"""Files that many repositories have already; they stay as they are."""


@dataclass(frozen=True)
class Site:
    """The repository that is scaffolded; ``undo`` takes back what was made in it, should the rest fail."""

    root: Path
    undo: ExitStack

    @property
    def initialised(self) -> bool:
        """Whether modelops has policies here."""
        return (self.root / "policies" / "project.yaml").exists()

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return self.root / ".modelops" / "cache"


@dataclass(frozen=True)
class Order:
    """What the command line said about a model to be."""

    model: str
    data: str
    target: str
    time: str | None
    id: str | None
    task: str | None
    positive: str | None
    risk: str
    owner: str | None


@dataclass
class Result:
    """What was done: files by path, what was found, and what to do next."""

    root: str
    files: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    model: str | None = None
    task: str | None = None
    features: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    next: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return asdict(self)

    def text(self) -> str:
        """Return the result for people."""
        lines = [f"wrote {path}" for path in self.files]
        lines += [f"kept {path} as it is" for path in self.kept]
        if self.task is not None:
            lines.append(f"\n{self.model}: {self.task} from {len(self.features)} columns")
            lines += [f"  left out {name}: {reason}" for name, reason in list(self.left_out.items())[:20]]
            if len(self.left_out) > 20:
                lines.append(f"  and {len(self.left_out) - 20} more, listed in model.yaml")
        return "\n".join([*lines, "\nnext:", *(f"  {step}" for step in self.next)])


def open_site(directory: Path | None, undo: ExitStack) -> Site:
    """Find the repository of the current folder, or of a folder that is made if it is not there; git init if needed.

    Closing ``undo`` removes all that was made since; whoever succeeds has it forget that.
    """
    start = (directory or Path.cwd()).absolute()
    try:
        make_folder(start, undo)
    except OSError as error:
        raise failure("cannot-write", f"{start} cannot be made: {error.strerror}", exit=Exit.WORLD) from None
    return _tidy(Site(_repository_at(start, directory is None, undo).root, undo))


def _repository_at(start: Path, above: bool, undo: ExitStack) -> Repository:
    try:
        repository = Repository.discover(start)
        if above or repository.root.samefile(start):
            return repository
    except ModelOpsError as error:
        if error.problems[0].code != "not-a-repository":
            raise
    if not (start / ".git").exists():
        undo.callback(shutil.rmtree, start / ".git", ignore_errors=True)
    return Repository.create(start)


def _tidy(site: Site) -> Site:
    """Have caches, schemas and keys undone too, where this is the first run."""
    if not (site.root / ".modelops").exists():
        site.undo.callback(shutil.rmtree, site.root / ".modelops", ignore_errors=True)
    return site


def already_initialised(site: Site) -> ModelOpsError:
    """Return the error for a second plain init."""
    return failure(
        "already-initialised", f"{site.root} has policies/project.yaml already", exit=Exit.NO,
        hint="add a model: modelops init --model NAME --data FILE --target COLUMN, or --example fraud-detection",
    )  # fmt: skip


def require_new_model(site: Site, name: str) -> None:
    """Refuse a name that is no model name, or that a model has already."""
    found = place(f"models/{name}/model.yaml")
    if found is None or not all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", part) for part in name.split("/")):
        raise click.BadParameter(f"{name!r} is not a name: kebab-case, such as churn or payments/churn")
    if (site.root / "models" / name).exists():
        refuse_existing(site.root, [f"models/{name}"])


def add_repository(site: Site, approvers: Sequence[str], result: Result) -> None:
    """Write policies, workflows, lock, key and schemas; a file that many repositories have already is kept."""
    from modelops.evidence import generate_key

    logins = tuple(approvers) or (_identity(site)[1],)
    # Checked with a stand-in first, so that no key is made for a repository that is refused.
    planned = [path for path in repository_files("", logins) if path not in _KEPT]
    refuse_existing(site.root, planned)
    key = site.root / ".modelops" / "keys" / "local.pem"
    public = generate_key(key)
    site.undo.callback(key.unlink, missing_ok=True)
    files = repository_files(public, logins)
    for path in _KEPT:
        if (site.root / path).exists():
            result.kept.append(path)
            del files[path]
    write_new(site.root, files, site.undo)
    _ignore(site, result)
    schemas = {path: data for path, data in schema_files().items() if not (site.root / path).exists()}
    write_new(site.root, schemas, site.undo)
    result.files += sorted(files)
    result.next += [
        *(
            []
            if approvers
            else [f"add reviewers to policies/approvals.yaml beside {logins[0]}: nobody approves own changes"]
        ),
        "keep .modelops/keys/local.pem safe: it signs releases and is not in git",
        f"{_COMMIT} 'Begin with modelops'",
        _SUGGESTED,
    ]


_COMMIT = "git add -A && git commit -m"
_SUGGESTED = "modelops init --model NAME --data FILE --target COLUMN, or modelops init --example fraud-detection"


def _before_a_model(result: Result) -> list[str]:
    """Return the steps that still hold when a model was scaffolded too: it has its own commit."""
    return [step for step in result.next if step != _SUGGESTED and not step.startswith(_COMMIT)]


def _ignore(site: Site, result: Result) -> None:
    """Add what must never be in git to an existing .gitignore; its own lines stay."""
    if ".gitignore" not in result.kept:
        return
    path = site.root / ".gitignore"
    before = path.read_bytes()
    text = before.decode("utf-8")
    if not any(line.strip().strip("/") == ".modelops" for line in text.splitlines()):
        site.undo.callback(path.write_bytes, before)
        path.write_text(text + ("" if text.endswith("\n") or not text else "\n") + IGNORED.splitlines()[0] + "\n")
        result.kept[result.kept.index(".gitignore")] = ".gitignore, with .modelops/ added,"


def add_example(site: Site, name: str, result: Result) -> None:
    """Write an example model, and take its snapshot again: here and now is what the model will be trained on."""
    from modelops import data as snapshots

    files = example_files(name)
    taken = {path: data for path, data in files.items() if (found := place(path)) and found[0] == "DataSnapshot"}
    policies = _missing_policies(site, files)
    write_new(site.root, {path: data for path, data in files.items() if path not in taken} | policies, site.undo)
    model: ModelSpec = load_resource(files[f"models/{name}/model.yaml"], f"models/{name}/model.yaml").spec
    for path, data in taken.items():
        old: DataSnapshotSpec = load_resource(data, path).spec
        note(f"generating the data of {path}")
        spec = snapshots.take(
            old.source,
            repository_root=site.root,
            model_folder=site.root / "models" / name,
            cache=site.cache,
            wanted=snapshots.wanted_by(model),
            previous=old,
            reason=old.reason,
        )
        write_new(
            site.root,
            {path: data if spec.root == old.root else dump("DataSnapshot", Path(path).stem, spec, None, path)},
            site.undo,
        )
    result.model = name
    result.files += sorted([*files, *policies])
    result.next = [*_before_a_model(result), *_steps(name)]


def _missing_policies(site: Site, files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the gate policies that an example names and this repository lacks."""
    model: ModelSpec = next(
        load_resource(data, path).spec for path, data in files.items() if path.endswith("/model.yaml")
    )
    packaged = repository_files("", ())
    paths = [f"policies/gates/{gate}.yaml" for gate in model.gates]
    return {path: packaged[path] for path in paths if not (site.root / path).exists()}


def _steps(name: str) -> list[str]:
    return [
        f"read models/{name}/model.yaml",
        f"{_COMMIT} 'Propose {name}'",
        f"modelops build {name}",
    ]


def add_model(site: Site, order: Order, result: Result) -> None:
    """Take a snapshot of the user's data, draft a model from it, and write both."""
    from modelops import data as snapshots
    from modelops.scaffold.model import Wish, draft_model
    from modelops.scaffold.target import require_column

    owner = order.owner or re.sub(r"[^a-z0-9]+", "-", _identity(site)[0].lower()).strip("-") or "unknown"
    with tempfile.TemporaryDirectory(prefix="modelops-") as scratch:
        opened = _open_data(site, order, owner, Path(scratch))
        if opened.names is not None:
            require_column(order.target, opened.names, "--target")
        _allow(site, opened.source, result)
        first = _take(site, opened, snapshots.Wanted(order.target, order.time))
        table = _read(site, opened, first)
        wish = Wish(
            name=order.model, target=order.target, snapshot=SNAPSHOT, owner=owner, source=opened.label,
            risk=cast("Risk", order.risk), id=order.id, time=order.time, task=cast("Task | None", order.task),
            positive=order.positive,
        )  # fmt: skip
        draft = draft_model(table, wish, _environments(site), unreadable=opened.left_out)
        spec = _for_the_features(first, draft) or _take(site, opened, snapshots.wanted_by(draft.spec))
    path = f"models/{order.model}/data/{SNAPSHOT}.yaml"
    files = {**draft.files, path: dump("DataSnapshot", SNAPSHOT, spec, None, path)}
    write_new(site.root, files, site.undo)
    _report(order, draft, opened, files, result)


def _for_the_features(snapshot: DataSnapshotSpec, draft: Draft) -> DataSnapshotSpec | None:
    """Return the snapshot with a profile of the features only, or None where a feature was read in another type."""
    read = {column.name: column.type for column in snapshot.columns}
    features = draft.spec.data.features
    if any(read[feature.name] != feature.type for feature in features):
        return None
    profile = {feature.name: snapshot.profile[feature.name] for feature in features if feature.name in snapshot.profile}
    return snapshot.model_copy(update={"profile": profile})


def _report(order: Order, draft: Draft, opened: Opened, files: dict[str, bytes], result: Result) -> None:
    result.model, result.task = order.model, draft.spec.task
    result.files += sorted(files)
    result.features = {feature.name: feature.type for feature in draft.spec.data.features}
    result.left_out = {finding.name: finding.remark for finding in draft.left_out}
    result.next = [*_before_a_model(result), *_steps(order.model)]


def _identity(site: Site) -> tuple[str, str]:
    """Return the user's name and login: from git, else from the machine."""
    try:
        user = Repository.discover(site.root).user()
    except ModelOpsError as error:
        if error.problems[0].code != "no-identity":
            raise
        name = os.environ.get("USER") or getpass.getuser()
        return name, name
    return user.name, user.email.partition("@")[0]


def _environments(site: Site) -> tuple[str, ...]:
    """Return the environments of the chain of promotion, in their order."""
    chain = []
    for path in sorted((site.root / "policies" / "environments").glob("*.yaml")):
        spec: EnvironmentSpec = load_resource(path.read_bytes(), f"policies/environments/{path.name}").spec
        if spec.order is not None:
            chain.append((spec.order, path.stem))
    return tuple(name for _, name in sorted(chain))


@dataclass(frozen=True)
class Opened:
    """The data as a snapshot source; ``folder`` holds the files that go into the store, if they had to be flattened."""

    source: Source
    paths: tuple[str, ...]
    label: str
    folder: Path | None = None
    names: tuple[str, ...] | None = None
    left_out: tuple[Finding, ...] = ()


def _open_data(site: Site, order: Order, owner: str, scratch: Path) -> Opened:
    from modelops import data as snapshots

    if "://" in order.data:
        source, paths = snapshots.url_source(order.data, owner=owner)
        return Opened(source, paths, paths[0])
    path = Path(order.data)
    source, paths = snapshots.path_source(path, site.root, owner=owner)
    nested = _nested(path)
    if nested:
        _flatten(path, [finding.name for finding in nested], scratch)
        flat = Source(type="store", owner=owner, upstream=(f"{path.name} without {', '.join(f.name for f in nested)}",))
        return Opened(flat, (path.name,), path.name, scratch, None, nested)
    names = None
    if path.is_file():
        from modelops.data.tables import open_table

        names = open_table(path.parent, ((path.name, path.stat().st_size),)).names
    return Opened(source, paths, path.name, None, names)


def _nested(path: Path) -> tuple[Finding, ...]:
    """Return the columns of a Parquet file that no feature type can hold."""
    if not path.is_file():
        return ()
    with path.open("rb") as file:
        if file.read(4) != b"PAR1":
            return ()
    from modelops.data.columns import arrow_feature_type
    from modelops.data.tables import parquet_schema
    from modelops.scaffold.columns import Finding

    return tuple(
        Finding(column.name, None, column.nullable, f"values of type {column.type} are not flat")
        for column in parquet_schema(path, path.name)
        if arrow_feature_type(column.type) is None
    )


def _flatten(path: Path, without: Sequence[str], folder: Path) -> None:
    """Write the file again without some columns, row group by row group."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if name not in set(without)]
        if not names:
            raise failure("no-features", f"every column of {path.name} is nested", location=Location(path.name))
        schema = file.schema_arrow
        for name in without:
            schema = schema.remove(schema.get_field_index(name))
        with pq.ParquetWriter(folder / path.name, schema.remove_metadata()) as writer:
            for batch in file.iter_batches(columns=names):
                writer.write_batch(batch.select(names).cast(schema.remove_metadata()))


def _project(site: Site) -> ProjectSpec:
    project: ProjectSpec = load_resource((site.root / _PROJECT).read_bytes(), _PROJECT).spec
    return project


def _allow(site: Site, source: Source, result: Result) -> None:
    """List the place of the user's data in the Project's ``dataLocations``, where it lies outside of the repository."""
    if source.location is None or refusal(source.location, _project(site).data_locations) is None:
        return
    before = (site.root / _PROJECT).read_bytes()
    added = folder(source.location)
    after = append(before, "spec.dataLocations", added, _PROJECT)
    if refusal(source.location, load_resource(after, _PROJECT).spec.data_locations) is None:
        site.undo.callback((site.root / _PROJECT).write_bytes, before)
        (site.root / _PROJECT).write_bytes(after)
        result.next.append(f"{added} is now among the dataLocations of {_PROJECT}: other machines need the data there")


def _store(site: Site) -> Store:
    project = _project(site)
    module = plugins.load("stores", project.store.type)
    store: Store = module.open(module.Params.model_validate(project.store.params, strict=False), site.root)
    return store


def _take(site: Site, opened: Opened, wanted: Wanted) -> DataSnapshotSpec:
    from modelops import data as snapshots

    return snapshots.take(
        opened.source,
        repository_root=site.root,
        model_folder=opened.folder or site.root,
        cache=site.cache,
        store=_store(site) if opened.folder else None,
        paths=opened.paths,
        wanted=wanted,
        reason="The data that the model was scaffolded from.",
        locations=_project(site).data_locations,
    )


def _read(site: Site, opened: Opened, spec: DataSnapshotSpec) -> pa.Table:
    from modelops import data as snapshots

    folder = snapshots.materialise(
        spec,
        repository_root=site.root,
        model_folder=opened.folder or site.root,
        cache=site.cache,
        store=_store(site) if opened.folder else None,
        locations=_project(site).data_locations,
    )
    return snapshots.read(folder, spec)
