"""Which rows of the log a model is trained on again: answered, labelled, and not in the snapshot yet."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelops.errors import failure
from modelops.monitoring.feedback.exploration import weights_of
from modelops.predictions import feature_columns, spellings
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.model import Feature, ModelSpec
from modelops.spec.meta import FeatureType
from modelops.spec.texts.reading import TextReading

__all__ = ["NewRows", "Span", "labelled_rows", "new_rows", "time_column"]

_ARROW: dict[FeatureType, pa.DataType] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "datetime": pa.timestamp("us", "UTC"),
}
_DIGIT = {"true": "1", "false": "0"}
"""A label of 0 and 1 may be sent as a boolean."""
_SERVED_AT = ("served_at", "served_time", "prediction_time")
"""Names for the time of served rows where the model declares no column for it; the first that is free is taken."""
_TELLING = 0.95
"""Rows are known by their values alone if so many of the snapshot's differ from all others."""
_ENOUGH = 50
"""So few rows do not show whether values tell rows apart."""
_BLOCK = 1 << 15


@dataclass(frozen=True, slots=True)
class Span:
    """Rows with ``since <= time < until``; None is an end that is not known, of ``until`` because it lasts."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class NewRows:
    """The rows of a new snapshot, those of the old one first.

    Of ``labelled`` rows of the log ``fresh`` are new: ``repeated`` were delivered before, and ``known`` are in the old
    snapshot, ``corrected`` of them with another truth, which they have now. ``unweighted`` have no weight, where the
    model has a column of weights, and ``quarantined`` were served while the data were broken.
    """

    table: pa.Table
    labelled: int
    fresh: int
    repeated: int = 0
    known: int = 0
    corrected: int = 0
    unweighted: int = 0
    quarantined: int = 0


def labelled_rows(
    table: pa.Table,
    model: ModelSpec,
    old: DataSnapshotSpec,
    previous: pa.Table | None = None,
    reading: TextReading | None = None,
) -> pa.Table:
    """Return the rows of the new snapshot; see ``new_rows``."""
    return new_rows(table, model, old, previous, reading).table


def new_rows(
    table: pa.Table,
    model: ModelSpec,
    old: DataSnapshotSpec,
    previous: pa.Table | None = None,
    reading: TextReading | None = None,
    broken: Sequence[Span] = (),
) -> NewRows:
    """Return training rows from the answered rows whose truth has arrived, after the rows of ``previous`` if given.

    Columns and types are those of the old snapshot, and texts are read as its texts were. Features come from the log,
    the target from feedback, the event time from the time of the prediction, the column that traffic is assigned by
    from the logged entity, and a row's id that is not that column from the prediction's id; other columns are null
    unless the caller sent them. Where the model has a column of weights, it holds one by the chance of the label, where
    that was logged, and rows without one are left out: what they count for is known to nobody. Where the model declares
    no time, a column for that of the prediction is added. A truth that is no value of the target's type is left out, as
    is every row that was delivered twice or that ``previous`` holds, and every row that was served while the data were
    ``broken``.
    """
    target = model.data.target
    kinds = {column.name: column.type for column in old.columns}
    if target not in kinds:
        raise failure("target-absent", f"the snapshot has no column {target!r}, so new rows cannot join it")
    timed = time_column(model, kinds)
    kinds.setdefault(timed, "datetime")
    rows = table.filter(pc.and_(pc.is_valid(table.column("truth")), pc.less(table.column("status"), 500)))
    whole = _whole(rows, broken)
    kept_out, rows = rows.num_rows - int(whole.sum()), rows.filter(pa.array(whole))
    read = reading.read if reading is not None else str
    found = [_truth(read(text), kinds[target]) for text in rows.column("truth").to_pylist()]
    truth = pa.array(found, _ARROW[kinds[target]])
    known = pc.is_valid(truth)
    rows, truth = rows.filter(known), truth.filter(known)
    wanted = [Feature(name=name, type=kind) for name, kind in kinds.items() if name != target]
    logged = feature_columns(rows, wanted, reading)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for name, kind in kinds.items():
        columns[name] = truth if name == target else _filled(logged.column(name), name, kind, model, rows, timed)
    schema = pa.schema([pa.field(name, _ARROW[kind]) for name, kind in kinds.items()])
    fresh = pa.table(columns).cast(schema)
    weighed, labelled = _weighed(fresh, model), fresh.num_rows
    fresh, rows, logged = (each.filter(weighed) for each in (fresh, rows, logged))
    held = None if previous is None else _with_columns(previous, schema)
    joined = _joined(fresh, rows, held, model, logged, timed)
    unweighted = labelled - fresh.num_rows
    return replace(joined, labelled=labelled + kept_out, unweighted=unweighted, quarantined=kept_out)


def _whole(rows: pa.Table, broken: Sequence[Span]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which rows were served while no data were broken."""
    times = rows.column("time").to_numpy().astype(np.float64)
    found = np.ones(rows.num_rows, dtype=np.bool_)
    for span in broken:
        low = -np.inf if span.since is None else span.since.timestamp()
        high = np.inf if span.until is None else span.until.timestamp()
        found &= (times < low) | (times >= high)
    return found


def _weighed(fresh: pa.Table, model: ModelSpec) -> pa.Array:
    """Tell which rows count for something that is known."""
    name = model.data.weight
    if name is None or name not in fresh.column_names:
        return pa.array(np.ones(fresh.num_rows, dtype=np.bool_))
    values = fresh.column(name).to_numpy(zero_copy_only=False).astype(np.float64)
    return pa.array(np.isfinite(values) & (values >= 0))


def time_column(model: ModelSpec, kinds: Mapping[str, FeatureType]) -> str:
    """Return the column that holds when a row was served, which may have to be added."""
    if model.data.time is not None and kinds.get(model.data.time) == "datetime":
        return model.data.time
    free = (name for name in _SERVED_AT if kinds.get(name, "datetime") == "datetime")
    return next(free, _SERVED_AT[0])


def _with_columns(previous: pa.Table, schema: pa.Schema) -> pa.Table:
    for name in schema.names:
        if name not in previous.column_names:
            previous = previous.append_column(name, pa.nulls(previous.num_rows, schema.field(name).type))
    return previous.select(schema.names).cast(schema)


def _joined(
    fresh: pa.Table, rows: pa.Table, previous: pa.Table | None, model: ModelSpec, logged: pa.Table, timed: str
) -> NewRows:
    """Leave out what was delivered twice or is in ``previous``, and correct there what is known better now."""
    labelled = fresh.num_rows
    delivery = _deliveries(rows)
    known = np.zeros(labelled, dtype=np.bool_)
    corrected = 0
    identity = _identity(model, fresh, previous, logged)
    if identity is not None:
        delivery = _same(delivery, fresh.column(identity))
    if previous is not None and previous.num_rows:
        if identity is not None:
            known |= _is_in(fresh.column(identity), previous.column(identity))
            previous, corrected = _corrected(previous, fresh.filter(pa.array(known)), identity, model.data.target)
        known |= _seen(fresh, previous, model, logged, timed)
    # One delivery that the snapshot holds makes every other delivery of it known.
    known = np.isin(delivery, delivery[known])
    first = np.zeros(labelled, dtype=np.bool_)
    first[np.unique(delivery, return_index=True)[1]] = True
    kept = fresh.filter(pa.array(first & ~known))
    joined = kept if previous is None else pa.concat_tables([previous, kept])
    return NewRows(joined, labelled, kept.num_rows, int((~first & ~known).sum()), int(known.sum()), corrected)


def _deliveries(rows: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Number the deliveries: rows that a caller sent again, under the same id and with the same content, are one."""
    if "request" not in rows.column_names:
        return np.arange(rows.num_rows)
    parts = rows.select([name for name in ("request", "row", "entity", "features") if name in rows.column_names])
    hashes = _hashes(parts)
    unnamed = np.asarray(pc.equal(pc.fill_null(rows.column("request"), ""), "").to_numpy(), dtype=np.bool_)
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = np.unique(hashes, return_inverse=True)[1].astype(np.int64)
    found[unnamed] = len(found) + np.flatnonzero(unnamed)
    return found


def _same(
    delivery: np.ndarray[tuple[int], np.dtype[np.int64]], ids: pa.ChunkedArray
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Join deliveries whose rows have one id; a row without an id stays what it is."""
    coded = np.asarray(pd.factorize(ids.to_pandas())[0], dtype=np.int64)
    found = delivery.copy()
    if len(found):
        leader = np.full(int(coded.max(initial=-1)) + 1, -1, dtype=np.int64)
        named = np.flatnonzero(coded >= 0)
        leader[coded[named][::-1]] = delivery[named][::-1]
        found[named] = leader[coded[named]]
    return found


def _identity(model: ModelSpec, fresh: pa.Table, previous: pa.Table | None, logged: pa.Table) -> str | None:
    """Return the column whose value is one row's alone, if there is one: an id that groups rows is none."""
    name = model.data.id
    if name is None or name not in fresh.column_names or name == model.serving.entity:
        return None
    ids = (previous if previous is not None and previous.num_rows else fresh).column(name).drop_null()
    if previous is None and name in logged.column_names and logged.column(name).null_count < len(fresh):
        return None  # sent by callers, and nothing shows whether it groups rows
    return name if len(ids) and pc.count_distinct(ids).as_py() == len(ids) else None


def _is_in(values: pa.ChunkedArray, known: pa.ChunkedArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = pc.is_in(values, value_set=known.drop_null().combine_chunks())
    return np.asarray(found.to_numpy(), dtype=np.bool_)


def _corrected(previous: pa.Table, again: pa.Table, identity: str, target: str) -> tuple[pa.Table, int]:
    """Return the rows with the truths that are known of them now, and how many of these are other ones."""
    truths = dict(zip(again.column(identity).to_pylist(), again.column(target).to_pylist(), strict=True))
    places = pc.index_in(
        previous.column(identity), value_set=pa.array(list(truths), previous.schema.field(identity).type)
    )
    newer = pa.array(list(truths.values()), previous.schema.field(target).type).take(places.combine_chunks())
    before = previous.column(target).combine_chunks()
    column = pc.coalesce(newer, before)
    changed = int(pc.sum(pc.fill_null(pc.not_equal(column, before), True)).as_py() or 0) if len(truths) else 0
    index = previous.schema.get_field_index(target)
    return (previous.set_column(index, previous.schema.field(target), column), changed) if changed else (previous, 0)


def _seen(
    fresh: pa.Table, previous: pa.Table, model: ModelSpec, logged: pa.Table, timed: str
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Tell which rows the snapshot holds value by value, their time included.

    Rows that were never served have no time where the model declares none. They are known by their features and target,
    unless many of them have equal ones.
    """
    given = [name for name in fresh.column_names if name != model.data.id or name in _sent(logged)]
    found = np.isin(_hashes(fresh.select(given)), _hashes(previous.select(given)))
    if timed == model.data.time:
        return found
    values = [f.name for f in model.data.features if f.name in fresh.column_names] + [model.data.target]
    held = _hashes(previous.filter(pc.is_null(previous.column(timed))).select(values))
    if len(held) >= _ENOUGH and len(np.unique(held)) >= _TELLING * len(held):
        found |= np.isin(_hashes(fresh.select(values)), held)
    return found


def _sent(logged: pa.Table) -> Collection[str]:
    return {name for name in logged.column_names if logged.column(name).null_count < logged.num_rows}


def _hashes(table: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Return 64 bits for each row; equal rows of one schema have equal ones."""
    found = [np.empty(0, dtype=np.uint64)]
    for start in range(0, table.num_rows, _BLOCK):
        block = table.slice(start, _BLOCK)
        texts = [pc.fill_null(_as_text(block.column(name)), "\0") for name in block.column_names]
        joined = pc.binary_join_element_wise(*texts, "\x1f")
        found.append(pd.util.hash_array(joined.to_numpy(), categorize=False))
    return np.concatenate(found)


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    return values.cast(pa.string())


def _filled(
    values: pa.ChunkedArray, name: str, kind: FeatureType, model: ModelSpec, rows: pa.Table, timed: str
) -> pa.ChunkedArray | pa.Array:
    """Fill what the caller did not send from what the log knows."""
    if name == timed:
        micros = [round(seconds * 1_000_000) for seconds in rows.column("time").to_pylist()]
        return pc.coalesce(values, pa.array(micros, pa.timestamp("us", "UTC")))
    # The entity first: where it is the row's id as well, a prediction's own id would put one customer's rows on both
    # sides of a split by hash.
    if name == model.serving.entity and kind in ("category", "integer"):
        entities = rows.column("entity").to_pylist()
        known = entities if kind == "category" else [_integer(text) for text in entities]
        return pc.coalesce(values, pa.array(known, _ARROW[kind]))
    if kind == "category" and name == model.data.id:
        return pc.coalesce(values, rows.column("id"))
    if name == model.data.weight:
        weights = [each if each is None or kind == "number" else round(each) for each in weights_of(model, rows)]
        return pc.coalesce(values, pa.array(weights, _ARROW[kind]))
    return values


def _truth(text: str, kind: FeatureType) -> object:
    """Return a logged truth in the target's type, None when it is no such value."""
    match kind:
        case "category":
            return text or None
        case "boolean":
            return True if text in spellings(True) else False if text in ("false", "0") else None
        case "integer":
            return _integer(_DIGIT.get(text, text))
        case _:
            return _finite(_DIGIT.get(text, text))


def _integer(text: str) -> int | None:
    number = _finite(text)
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**63 else None


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if abs(number) != float("inf") and number == number else None
