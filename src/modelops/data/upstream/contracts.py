"""Today's data of a source, held against what it promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelops.data.acquire import Place
from modelops.data.manifest import Progress
from modelops.data.placing import materialise
from modelops.data.reading import batches
from modelops.data.snapshot import Wanted, take
from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, Source
from modelops.spec.kinds.data_source import DataSourceSpec, Promised, Reading
from modelops.spec.kinds.model import READABLE
from modelops.spec.meta import Scalar
from modelops.spec.resource import Resource

__all__ = ["Checked", "check_source", "fetch_source"]

_SHOWN = 5
"""Values of a column that a breach quotes."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at a source found; ``newest`` is the time of its newest row, where freshness is promised.

    ``breaches`` are sentences, none where the contract holds. ``columns`` counts those that were promised.
    """

    name: str
    owner: str
    contact: str
    rows: int
    columns: int
    newest: datetime | None
    breaches: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the source is as it promises."""
        return not self.breaches


@dataclass
class _Seen:
    """What the rows of a column were: bounds of numbers, values beyond those that are promised, and the newest time."""

    least: float | None = None
    most: float | None = None
    newest: datetime | None = None
    others: dict[str, None] | None = None


def check_source(
    source: Resource[DataSourceSpec], place: Place, now: datetime, progress: Progress | None = None
) -> Checked:
    """Get today's data of a source and hold them against its contract and its freshness.

    Parameters
    ----------
    source : Resource
        With ``spec.read``; of one without, nobody but its owner can say what it has.
    place : Place
        Where things are; the folder of the model is that of the data sources.
    now : datetime
        Against which freshness is measured.
    progress : callable, optional
        Called with numbers of hashed bytes.

    Raises
    ------
    ModelOpsError
        Exit 2 where nothing says how to read it, 4 where it cannot be reached, 3 where its files are no data.
    """
    spec = source.spec
    promised = spec.contract.columns if spec.contract is not None else ()

    def checked(rows: int, newest: datetime | None, breaches: tuple[str, ...]) -> Checked:
        return Checked(source.name, spec.owner, spec.contact, rows, len(promised), newest, breaches)

    try:
        folder, taken = fetch_source(source, place, progress)
    except ModelOpsError as error:
        if error.first.code == "data-empty":
            return checked(0, None, ("it has no row",))
        raise
    seen = _looked(folder, taken, spec)
    fresh = spec.freshness
    newest = seen[fresh.column].newest if fresh is not None and fresh.column in seen else None
    found = [*_rows(taken, spec), *(said for each in promised for said in _column(each, taken, seen))]
    return checked(taken.rows, newest, (*found, *_age(spec, taken, newest, now)))


def fetch_source(
    source: Resource[DataSourceSpec], place: Place, progress: Progress | None = None
) -> tuple[Path, DataSnapshotSpec]:
    """Get today's data of a source; return the folder that they lie in, and what they are as a snapshot.

    Raises
    ------
    ModelOpsError
        As ``check_source`` does, and ``data-empty`` where there is no row.
    """
    spec = source.spec
    if spec.read is None:
        said = f"nothing says how the data source {source.name!r} is read"
        raise failure("source-unread", said, exit=Exit.USAGE, hint=f"add spec.read to {source.path}")
    try:
        taken = _taken(source.name, spec.read, spec, place, progress)
    except ModelOpsError as error:
        if error.first.code == "data-missing":
            said = f"the data source {source.name!r} cannot be reached: {error.first.message}"
            hint = f"ask {spec.owner}: {spec.contact}"
            where = source.where("spec.read")
            raise failure(
                "source-unreachable", said, exit=Exit.WORLD, location=where, hint=hint, retryable=True
            ) from None
        # Of several sources that are looked at in one go, each says which one it is.
        told = (each if each.location else replace(each, location=source.where("spec.read")) for each in error.problems)
        raise ModelOpsError(*told, exit=error.exit, retryable=error.retryable) from error
    folder = materialise(
        taken, repository_root=place.repository_root, model_folder=place.model_folder, cache=place.cache,
        locations=place.locations, terms=place.terms,
    )  # fmt: skip
    return folder, taken


def _taken(name: str, read: Reading, spec: DataSourceSpec, place: Place, progress: Progress | None) -> DataSnapshotSpec:
    """Get and measure the data as a snapshot that is not kept."""
    whole = Source(
        type=read.type, location=read.location, command=read.command, network=read.network, owner=spec.owner,
        files=read.files if read.type == "command" else (), upstream=(name,),
    )  # fmt: skip
    return take(
        whole,
        repository_root=place.repository_root,
        model_folder=place.model_folder,
        cache=place.cache,
        paths=read.files if read.type == "files" else (),
        wanted=Wanted(features=()),
        limits=place.limits,
        locations=place.locations,
        terms=place.terms,
        progress=progress,
    )


def _looked(folder: Path, taken: DataSnapshotSpec, spec: DataSourceSpec) -> dict[str, _Seen]:
    """Go through the rows once, batch by batch: a snapshot's own bounds are rounded where few rows have them."""
    promised = {each.name: each for each in (spec.contract.columns if spec.contract is not None else ())}
    fresh = spec.freshness.column if spec.freshness is not None else None
    types = {column.name: column.type for column in taken.columns}
    found = {name: _Seen() for name in (*promised, *([fresh] if fresh is not None else [])) if name in types}
    for batch in batches(folder, taken):
        for name, seen in found.items():
            values = batch.column(name)
            if types[name] in ("number", "integer"):
                ends = pc.min_max(pc.drop_null(values)).as_py()
                seen.least = _end(min, seen.least, ends["min"])
                seen.most = _end(max, seen.most, ends["max"])
            elif types[name] == "datetime":
                seen.newest = _end(max, seen.newest, pc.max(values).as_py())
            if name in promised and promised[name].values:
                _add_others(seen, values, promised[name].values)
    return found


def _end(choose: Any, known: Any, value: Any) -> Any:
    return known if value is None else value if known is None else choose(known, value)


def _add_others(seen: _Seen, values: pa.Array, allowed: tuple[Scalar, ...]) -> None:
    spelt = {_text(each) for each in allowed}
    others = seen.others = seen.others or {}
    for value in pc.unique(pc.drop_null(values)).to_pylist():
        if _text(value) not in spelt and len(others) <= _SHOWN:
            others[_text(value)] = None


def _text(value: object) -> str:
    """Return the one spelling of a value: what a file has as true, a contract may write as 1."""
    if value is True or str(value).lower() == "true":
        return "1"
    return "0" if value is False or str(value).lower() == "false" else str(value)


def _rows(taken: DataSnapshotSpec, spec: DataSourceSpec) -> Iterator[str]:
    if spec.contract is not None and taken.rows < spec.contract.rows:
        yield f"it has {taken.rows:,} rows, and at least {spec.contract.rows:,} are promised"


def _column(promised: Promised, taken: DataSnapshotSpec, seen: dict[str, _Seen]) -> Iterator[str]:
    name = promised.name
    column = next((each for each in taken.columns if each.name == name), None)
    if column is None:
        yield f"it has no column {name!r}"
        return
    share = column.missing / taken.rows
    if share > promised.missing:
        yield f"{name!r} is missing in {share:.2%} of its rows, and at most {promised.missing:.2%} are promised"
    if column.missing == taken.rows:
        return
    if not _readable(column, promised):
        yield f"{name!r} is {column.type}, and {promised.type} is promised"
        return
    found = seen[name]
    if promised.minimum is not None and found.least is not None and found.least < promised.minimum:
        yield f"{name!r} goes down to {found.least:.15g}, and nothing below {promised.minimum:.15g} is promised"
    if promised.maximum is not None and found.most is not None and found.most > promised.maximum:
        yield f"{name!r} goes up to {found.most:.15g}, and nothing above {promised.maximum:.15g} is promised"
    if found.others:
        quoted = ", ".join(repr(value) for value in list(found.others)[:_SHOWN])
        more = " and others" if len(found.others) > _SHOWN else ""
        yield f"{name!r} has values that are not promised: {quoted}{more}"


def _readable(column: Column, promised: Promised) -> bool:
    zero_or_one = column.type in ("integer", "number") and (column.minimum, column.maximum) == (0, 1)
    return column.type in READABLE[promised.type] or (promised.type == "boolean" and zero_or_one)


def _age(spec: DataSourceSpec, taken: DataSnapshotSpec, newest: datetime | None, now: datetime) -> Iterator[str]:
    fresh = spec.freshness
    if fresh is None:
        return
    column = next((each for each in taken.columns if each.name == fresh.column), None)
    if column is None or column.type != "datetime":
        said = "is not there" if column is None else f"is {column.type}"
        yield f"how old it is cannot be told: the column {fresh.column!r} {said}"
    elif newest is None:
        yield f"how old it is cannot be told: {fresh.column!r} is missing in every row"
    elif now - newest > timedelta(hours=fresh.hours):
        age = (now - newest) / timedelta(hours=1)
        yield f"its newest row is {age:,.1f} hours old, and at most {fresh.hours:g} are promised"
    elif newest - now > timedelta(hours=fresh.hours):
        yield f"its newest row lies {(newest - now) / timedelta(hours=1):,.1f} hours ahead: clocks differ"
