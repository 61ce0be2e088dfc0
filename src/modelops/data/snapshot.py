"""Taking a snapshot: get the files, pin them, measure them, write the datasheet."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import cast

from modelops.data.acquire import (
    Limits,
    Place,
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
)
from modelops.data.measuring import Measured, measure
from modelops.data.numbers import Decimal
from modelops.data.placing import adopt
from modelops.data.sources import MOST_BESIDE, beside, listed
from modelops.data.tables import Asked, Opening, RawTable, infer, open_table
from modelops.data.texts import USUAL, reading_of
from modelops.data.travelling import push
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.fence import Terms
from modelops.spec.explain import show
from modelops.spec.kinds.data_snapshot import (
    INFINITE,
    Column,
    DataSnapshotSpec,
    Encoding,
    SnapshotFile,
    Source,
)
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.meta import FeatureType
from modelops.spec.texts.reading import ColumnReading, TextReading
from modelops.stores import Store

__all__ = ["Wanted", "pin", "take", "take_rows", "wanted_by"]


@dataclass(frozen=True)
class Wanted:
    """What a model says about its data: the label, the event time, the features, and types that are declared.

    ``features`` None means every column but the target; they are the columns that drift is scored for. Where a person
    says them, ``decimal`` is the decimal mark of CSV files, ``encoding`` that of text, ``sheet`` the one of a workbook,
    and ``missing`` are the words for a missing value: of all columns, or, as ``COLUMN=WORD``, of one.
    """

    target: str | None = None
    time: str | None = None
    features: tuple[str, ...] | None = None
    types: Mapping[str, FeatureType] | None = None
    decimal: Decimal | None = None
    missing: tuple[str, ...] | None = None
    encoding: str | None = None
    sheet: str | None = None


def wanted_by(model: ModelSpec) -> Wanted:
    """Return what a model file says about its data."""
    data = model.data
    names = dict.fromkeys([*(feature.name for feature in data.features), *data.sensitive])
    types: dict[str, FeatureType] = {feature.name: feature.type for feature in data.features}
    # Weights of 0 and 1 alone would be taken for a boolean.
    types |= {data.weight: "number"} if data.weight is not None else {}
    return Wanted(data.target, data.time, tuple(names), types)


def pin(source: Source, place: Place, paths: Sequence[str] = (), progress: Progress | None = None) -> str | None:
    """Return the root that a snapshot of files on this machine would have; None when they must be fetched first."""
    folder = local_folder(source, place)
    if folder is None:
        return None
    files = listed(folder, paths)
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
    limits: Limits | None = None,
    locations: Sequence[str] = (),
    terms: Terms = Terms(),
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
        Which files below the source's location; empty means every file of data. A URL needs them.
    wanted : Wanted
        What the model says about its columns.
    previous : DataSnapshotSpec, optional
        Answers of its datasheet are kept.
    reason : str
        Why the snapshot was taken.
    limits : Limits, optional
        Bounds on downloads and commands.
    locations : sequence of str
        Prefixes outside of the repository that the Project allows.
    terms : Terms
        What the fence around a command must keep.
    progress : callable, optional
        Called with numbers of hashed bytes.

    Raises
    ------
    ModelOpsError
        Exit 3 with file, row and column for whatever is wrong with the data; exit 4 when it cannot be reached.
    """
    place = Place(repository_root, model_folder, cache, store, limits or Limits(), tuple(locations), terms)
    with _gathered(source, place, paths) as (folder, files):
        manifest = hash_files(folder, files, cache, progress)
        opening = Opening(
            encoding=wanted.encoding,
            encoding_before=next(iter(previous.encodings.values()), None) if previous is not None else None,
            sheet=wanted.sheet or (previous.sheet if previous is not None else None),
        )
        table = open_table(folder, tuple((file.path, file.size) for file in manifest), opening)
        if wanted.sheet is not None and not table.sheets:
            said = f"--sheet {wanted.sheet!r}: {table.paths[0]} is no workbook"
            raise failure(
                "unknown-sheet", said, exit=Exit.USAGE, location=Location(table.paths[0]), hint="leave it out"
            )
        table.text = _text(wanted, previous, (*table.names, *table.unread))
        spec, measured = _described(source, manifest, table, wanted, reason, previous)
        others = (*([] if paths else beside(folder, source)), *table.others)
        _still_the_same(folder, files)
        table.release()
        if source.type == "store":
            push(place.required_store(), folder, spec.root, manifest)
        elif local_folder(source, place) is None:
            adopt(folder, spec.root, cache)
    sheet = datasheet(
        spec,
        duplicates=measured.duplicates,
        infinite=measured.infinite,
        previous=previous.datasheet if previous is not None else {},
    )
    return spec.model_copy(update={"datasheet": sheet, "beside": others[:MOST_BESIDE]})


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


@contextmanager
def _gathered(source: Source, place: Place, paths: Sequence[str]) -> Iterator[tuple[Path, list[Found]]]:
    """Yield a folder on this machine that holds the source's files, and what is in it."""
    folder = place.model_folder if source.type == "store" else local_folder(source, place)
    if folder is not None:
        files = listed(folder, paths)
        if source.type == "files":
            confine(folder, (file.path for file in files), place)
        yield folder, files
        return
    with scratch(place.cache, "taking") as work:
        output = work / "output"
        if source.type == "command":
            run_command(source, place, output)
        else:
            if not paths:
                raise failure("source-location", f"{source.location} is a URL, so its files must be named")
            for path in paths:
                check_path(path)
                download(file_url(source.location or "", path), output / path, place.limits)
        yield output, listed(output, paths)


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
    previous: DataSnapshotSpec | None,
) -> tuple[DataSnapshotSpec, Measured]:
    _require_columns(table, wanted)
    formats = {column.name: column.format for column in previous.columns} if previous is not None else {}
    asked = Asked(wanted.types or {}, wanted.target, wanted.decimal, formats, wanted.time)
    forms = _as_before(infer(table, asked), table, previous)
    measured = measure(table, forms, target=wanted.target, time=wanted.time, features=wanted.features)
    first = table.paths[0]
    if measured.rows == 0:
        raise failure("data-empty", f"{first} has columns and no row", location=Location(first))
    _require_usable_target(measured, forms, wanted.target, first)
    spec = DataSnapshotSpec(
        format=table.format,
        delimiter=table.delimiter,
        text=table.text.model_copy(update={"columns": {}}),
        encodings=cast("dict[str, Encoding]", table.encodings),
        comment="#" if table.comments else None,
        sheet=next(iter(table.sheets.values()), None),
        unread=dict(table.unread),
        source=source,
        root=root_of(manifest),
        files=manifest,
        rows=measured.rows,
        columns=tuple(_with_words(column, table, measured) for column in measured.columns),
        target=wanted.target,
        balance=measured.balance,
        time_span=measured.time_span,
        reason=reason,
        profile=measured.profile,
    )
    return spec, measured


def _text(wanted: Wanted, previous: DataSnapshotSpec | None, names: Sequence[str]) -> TextReading:
    """Return how texts are read: as asked for, else as the snapshot before read them, whose values the model knows."""
    before = reading_of(previous) if previous is not None else USUAL
    if wanted.missing is None:
        return before
    own: dict[str, tuple[str, ...]] = {}
    words: list[str] = []
    for given in wanted.missing:
        # The longest one that fits: a column may have the mark in its name.
        name = max((name for name in names if given.startswith(f"{name}=")), key=len, default=None)
        if name is not None:
            word = given[len(name) + 1 :]
            own[name] = (*own.get(name, ()), *([word] if word else []))
        elif "=" in given[1:]:
            raise _no_column(given, names)
        elif given:
            words.append(given)
    # Words of single columns leave those of all the others as they were; saying none at all takes the usual ones away.
    others = before.missing if own and not words else tuple(words)
    columns = before.columns | {
        name: before.columns.get(name, ColumnReading()).model_copy(update={"missing": found})
        for name, found in own.items()
    }
    return TextReading(trim=True, missing=others, columns=columns)


def _no_column(given: str, names: Sequence[str]) -> ModelOpsError:
    column = given[:1] + given[1:].partition("=")[0]
    near = get_close_matches(column, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(names[:20])}"
    said = f"--missing {given!r}: {column!r} is not a column of the data"
    return failure("unknown-column", said, exit=Exit.USAGE, hint=hint)


def _as_before(
    forms: Mapping[str, ColumnForm], table: RawTable, previous: DataSnapshotSpec | None
) -> dict[str, ColumnForm]:
    """Return the forms with the spellings that an earlier snapshot knows of columns that have types in this file.

    Its rows need none, but what is asked of a model that is trained on them is still written as it was.
    """
    known = {column.name: column for column in previous.columns} if previous is not None else {}
    found = dict(forms)
    for name in table.declared:
        before = known.get(name)
        if before is not None and before.type == found[name].type and found[name].format is None:
            found[name] = replace(found[name], format=before.format, true=before.true, false=before.false)
    return found


def _with_words(column: Column, table: RawTable, measured: Measured) -> Column:
    found: dict[str, object] = {}
    words = Counter(table.missing_as.get(column.name)) + Counter(measured.stood_in.get(column.name))
    words += Counter({INFINITE: measured.infinite.get(column.name, 0)})
    if words:
        found["missing_as"] = dict(sorted(words.items()))
    own = table.text.columns.get(column.name)
    if own is not None and own.missing is not None:
        found["missing_words"] = own.missing
    return column.model_copy(update=found) if found else column


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
        rows = f"every row of {path}, from row 1 to row {measured.rows}"
        hint = "there is nothing to learn from one label"
        if column.missing:
            rows = f"{measured.rows - column.missing:,} rows of {path} and missing in the other {column.missing:,}"
            told = (
                "" if column.type != "category" else f", or say --missing '{target}=' if a word that stands there does"
            )
            hint = f"{hint}: if no label means another one, write a word there{told}"
        raise failure(
            "target-constant",
            f"the target {target!r} is {show(value)} in {rows}",
            location=Location(path),
            hint=hint,
        )
