"""Taking a snapshot: get the files, pin them, measure them, write the datasheet."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelops.data.acquire import (
    Limits,
    Place,
    check_url,
    confine,
    download,
    file_url,
    local_folder,
    run_command,
    scratch,
)
from modelops.data.columns import ColumnForm
from modelops.data.datasheet import datasheet
from modelops.data.manifest import (
    Found,
    Progress,
    check_path,
    digests_of,
    found,
    hash_files,
    pinned_root,
    root_of,
    walk,
)
from modelops.data.measuring import Measured, measure
from modelops.data.placing import adopt
from modelops.data.tables import RawTable, format_of, infer, open_table
from modelops.drift import psi
from modelops.errors import Exit, Location, failure
from modelops.spec.data import DataSnapshotSpec, SnapshotFile, Source
from modelops.spec.model import FeatureType, ModelSpec
from modelops.stores import Store

__all__ = ["Wanted", "path_source", "pin", "take", "take_rows", "url_source", "wanted_by"]


@dataclass(frozen=True)
class Wanted:
    """What a model says about its data: the label, the event time, the features, and types that are declared.

    ``features`` None means every column but the target; they are the columns that drift is scored for.
    """

    target: str | None = None
    time: str | None = None
    features: tuple[str, ...] | None = None
    types: Mapping[str, FeatureType] | None = None


def wanted_by(model: ModelSpec) -> Wanted:
    """Return what a model file says about its data."""
    data = model.data
    names = dict.fromkeys([*(feature.name for feature in data.features), *data.sensitive])
    return Wanted(data.target, data.time, tuple(names), {feature.name: feature.type for feature in data.features})


def path_source(
    path: Path, repository_root: Path, *, owner: str, upstream: Sequence[str] = ()
) -> tuple[Source, tuple[str, ...]]:
    """Return the source of a file or folder, and the paths in it; below the repository the location is relative."""
    resolved = path.resolve()
    if not resolved.exists():
        raise failure("data-missing", f"{path} does not exist", location=Location(str(path)))
    folder, paths = (resolved, ()) if resolved.is_dir() else (resolved.parent, (resolved.name,))
    root = repository_root.resolve()
    location = folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.as_posix()
    return Source(type="files", location=location, owner=owner, upstream=tuple(upstream)), paths


def url_source(url: str, *, owner: str, upstream: Sequence[str] = ()) -> tuple[Source, tuple[str, ...]]:
    """Return the source of one file behind a URL, and its path."""
    check_url(url)
    location, _, name = url.rpartition("/")
    if not name or location.endswith("/"):
        raise failure("bad-url", f"{url} names no file", exit=Exit.USAGE)
    return Source(type="files", location=location, owner=owner, upstream=tuple(upstream)), (name,)


def pin(source: Source, place: Place, paths: Sequence[str] = (), progress: Progress | None = None) -> str | None:
    """Return the root that a snapshot of files on this machine would have; None when they must be fetched first."""
    folder = local_folder(source, place)
    if folder is None:
        return None
    files = _listed(folder, paths)
    confine(folder, (file.path for file in files), place)
    return pinned_root(files, digests_of(folder, files, place.cache, progress))


def take(
    source: Source,
    *,
    repository_root: Path,
    model_folder: Path,
    cache: Path,
    store: Store | None = None,
    paths: Sequence[str] = (),
    wanted: Wanted = Wanted(),
    previous: DataSnapshotSpec | None = None,
    reason: str = "",
    params: psi.Params | None = None,
    limits: Limits | None = None,
    locations: Sequence[str] = (),
    progress: Progress | None = None,
) -> DataSnapshotSpec:
    """Take a snapshot: pin every file of the source, measure the rows, and fill in the datasheet.

    Parameters
    ----------
    source : Source
        For ``store`` the files lie in ``model_folder`` and are put into the store.
    repository_root, model_folder, cache, store
        Where things are; downloads and the output of commands stay in the cache, verified, under their root digest.
    paths : sequence of str
        Which files below the source's location; empty means every CSV and Parquet file. A URL needs them.
    wanted : Wanted
        What the model says about its columns.
    previous : DataSnapshotSpec, optional
        Answers of its datasheet are kept.
    reason : str
        Why the snapshot was taken.
    params : psi.Params, optional
        How the profile is binned.
    limits : Limits, optional
        Bounds on downloads and commands.
    locations : sequence of str
        Prefixes outside of the repository that the Project allows.
    progress : callable, optional
        Called with numbers of hashed bytes.

    Raises
    ------
    ModelOpsError
        Exit 3 with file, row and column for whatever is wrong with the data; exit 4 when it cannot be reached.
    """
    place = Place(repository_root, model_folder, cache, store, limits or Limits(), tuple(locations))
    with _gathered(source, place, paths) as (folder, files):
        manifest = hash_files(folder, files, cache, progress)
        table = open_table(folder, tuple((file.path, file.size) for file in manifest))
        spec, measured = _described(source, manifest, table, wanted, reason, params or psi.Params())
        _still_the_same(folder, files)
        table.release()
        if source.type == "store":
            for file in manifest:
                place.required_store().put_file(folder / file.path)
        elif local_folder(source, place) is None:
            adopt(folder, spec.root, cache)
    sheet = datasheet(
        spec,
        duplicates=measured.duplicates,
        infinite=measured.infinite,
        previous=previous.datasheet if previous is not None else {},
    )
    return spec.model_copy(update={"datasheet": sheet})


def take_rows(
    data: bytes,
    name: str,
    old: DataSnapshotSpec,
    model: ModelSpec,
    *,
    store: Store,
    reason: str,
    upstream: Sequence[str] = ("prediction log",),
) -> DataSnapshotSpec:
    """Put a Parquet file of new rows into the store and return its snapshot, with owner and datasheet of an old one."""
    wanted = wanted_by(model)
    types = {column.name: column.type for column in old.columns} | dict(wanted.types or {})
    source = Source(
        type="store", owner=old.source.owner, upstream=tuple(dict.fromkeys((*old.source.upstream, *upstream)))
    )
    with tempfile.TemporaryDirectory(prefix="modelops-") as folder:
        (Path(folder) / name).write_bytes(data)
        return take(
            source,
            repository_root=Path(folder),
            model_folder=Path(folder),
            cache=Path(folder) / ".cache",
            store=store,
            paths=(name,),
            wanted=Wanted(wanted.target, wanted.time, wanted.features, types),
            previous=old,
            reason=reason,
        )


def _listed(folder: Path, paths: Sequence[str]) -> list[Found]:
    """Return the files that were named, or every CSV and Parquet file of the folder."""
    if not folder.is_dir():
        raise failure("data-missing", f"the folder {folder} does not exist", location=Location(str(folder)))
    if not paths:
        files = walk(folder, lambda name: format_of(name) is not None)
        if not files:
            raise failure("data-missing", f"{folder} holds no CSV or Parquet file", location=Location(str(folder)))
        return files
    files = []
    for path in sorted(set(paths)):
        check_path(path)
        try:
            files.append(found(path, (folder / path).stat()))
        except FileNotFoundError:
            raise failure("data-missing", f"{folder / path} does not exist", location=Location(path)) from None
    return files


@contextmanager
def _gathered(source: Source, place: Place, paths: Sequence[str]) -> Iterator[tuple[Path, list[Found]]]:
    """Yield a folder on this machine that holds the source's files, and what is in it."""
    folder = place.model_folder if source.type == "store" else local_folder(source, place)
    if folder is not None:
        files = _listed(folder, paths)
        if source.type == "files":
            confine(folder, (file.path for file in files), place)
        yield folder, files
        return
    with scratch(place.cache, "taking") as work:
        output = work / "output"
        if source.type == "command":
            run_command(source.command, place.model_folder, output, place.limits)
        else:
            if not paths:
                raise failure("source-location", f"{source.location} is a URL, so its files must be named")
            for path in paths:
                check_path(path)
                download(file_url(source.location or "", path), output / path, place.limits)
        yield output, _listed(output, paths)


def _still_the_same(folder: Path, files: Sequence[Found]) -> None:
    for file in files:
        if found(file.path, (folder / file.path).stat()).signature != file.signature:
            raise failure(
                "data-changed",
                f"{folder / file.path} changed while it was being measured",
                hint="take the snapshot again",
            )


def _described(
    source: Source,
    manifest: tuple[SnapshotFile, ...],
    table: RawTable,
    wanted: Wanted,
    reason: str,
    params: psi.Params,
) -> tuple[DataSnapshotSpec, Measured]:
    _require_columns(table, wanted)
    forms = infer(table, wanted.types or {}, wanted.target)
    measured = measure(table, forms, target=wanted.target, time=wanted.time, features=wanted.features, params=params)
    first = table.paths[0]
    if measured.rows == 0:
        raise failure("data-empty", f"{first} has columns and no row", location=Location(first))
    _require_usable_target(measured, forms, wanted.target, first)
    spec = DataSnapshotSpec(
        format=table.format,
        delimiter=table.delimiter,
        source=source,
        root=root_of(manifest),
        files=manifest,
        rows=measured.rows,
        columns=measured.columns,
        target=wanted.target,
        balance=measured.balance,
        time_span=measured.time_span,
        reason=reason,
        profile=measured.profile,
    )
    return spec, measured


def _require_columns(table: RawTable, wanted: Wanted) -> None:
    needed = [name for name in (wanted.target, wanted.time, *(wanted.features or ())) if name is not None]
    absent = [name for name in dict.fromkeys(needed) if name not in table.names]
    if not absent:
        return
    what = "target" if absent[0] == wanted.target else "column"
    raise failure(
        "target-absent" if what == "target" else "column-absent",
        f"{table.paths[0]} has no {what} {', '.join(map(repr, absent[:5]))}",
        location=Location(table.paths[0], 1, 1),
        hint=f"it has: {', '.join(table.names[:20])}",
    )


def _require_usable_target(measured: Measured, forms: Mapping[str, ColumnForm], target: str | None, path: str) -> None:
    if target is None:
        return
    column = measured.columns[list(forms).index(target)]
    if column.missing == measured.rows:
        raise failure(
            "target-missing",
            f"all {measured.rows} rows of {path} miss the target {target!r}, from row 1 on",
            location=Location(path),
        )
    if column.distinct == 1:
        value = next(iter(measured.balance), column.minimum)
        raise failure(
            "target-constant",
            f"the target {target!r} is {value!r} in every row of {path}, from row 1 to row {measured.rows}",
            location=Location(path),
            hint="there is nothing to learn from one label",
        )
