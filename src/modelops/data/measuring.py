"""Measuring a table in one stream of batches: columns, labels, time span, duplicates, and what drift is scored with."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops import summaries
from modelops.clock import parse_instant
from modelops.data.columns import ColumnForm, converted
from modelops.data.tables import Chunk, RawTable, typed
from modelops.spec.kinds.data_snapshot import RARER, Column, Summary, TimeSpan
from modelops.spec.meta import Scalar

__all__ = ["Measured", "label_of", "measure", "unquoted"]

_LARGE = r"(?i)^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)e[+]?[0-9]{3,}$"

HashArray = np.ndarray[Any, np.dtype[np.uint64]]

DISTINCT_CAP = 100_000
TOP = 50
LABELS = 100
SAMPLE_ROWS = 1 << 18
SAMPLE_CELLS = 16_000_000
DUPLICATES_UP_TO = 20_000_000


@dataclass(frozen=True)
class Measured:
    """What was found in a table; ``duplicates`` is None when there were too many rows to compare."""

    rows: int
    columns: tuple[Column, ...]
    balance: dict[str, int]
    time_span: TimeSpan | None
    profile: dict[str, Summary]
    duplicates: int | None
    infinite: dict[str, int]
    stood_in: dict[str, dict[str, int]]


def label_of(value: Any) -> str:
    """Return a label as the text it is counted under."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


@dataclass
class _Running:
    """Statistics of one column over the batches seen so far."""

    form: ColumnForm
    counted: bool
    rows: int = 0
    missing: int = 0
    total: float = 0.0
    low: Any = None
    high: Any = None
    at_low: int = 0
    at_high: int = 0
    distinct: pa.Array | None = None
    distinct_full: bool = False
    counts: Counter[Any] = field(default_factory=Counter)

    def see(self, values: pa.Array) -> None:
        self.rows += len(values)
        self.missing += values.null_count
        if values.null_count == len(values):
            return
        if self.form.type != "category":
            self._see_range(values)
        if not self.counted:
            self._see_distinct(values)
        elif not self.distinct_full:
            found = pc.value_counts(values.drop_null())
            self.counts.update(dict(zip(found.field(0).to_pylist(), found.field(1).to_pylist(), strict=True)))
            self.distinct_full = len(self.counts) >= DISTINCT_CAP

    def _see_range(self, values: pa.Array) -> None:
        if self.form.type in ("number", "integer", "boolean"):
            self.total += pc.sum(values.cast(pa.float64(), safe=False)).as_py()
        ends = pc.min_max(values)
        low, high = ends["min"].as_py(), ends["max"].as_py()
        if self.low is None or low < self.low:
            self.low, self.at_low = low, 0
        if self.high is None or high > self.high:
            self.high, self.at_high = high, 0
        self.at_low += _equal(values, ends["min"]) if low == self.low else 0
        self.at_high += _equal(values, ends["max"]) if high == self.high else 0

    def _see_distinct(self, values: pa.Array) -> None:
        if self.distinct_full:
            return
        fresh = pc.unique(values.drop_null())
        self.distinct = fresh if self.distinct is None else pc.unique(pa.concat_arrays([self.distinct, fresh]))
        if len(self.distinct) >= DISTINCT_CAP:
            self.distinct, self.distinct_full = None, True

    @property
    def distinct_count(self) -> int:
        if self.distinct_full:
            return DISTINCT_CAP
        return min(DISTINCT_CAP, max(len(self.counts), 0 if self.distinct is None else len(self.distinct)))

    @property
    def like_identifier(self) -> bool:
        """Whether a text occurs in few rows on average, so that values say little and may name people."""
        distinct = self.distinct_count
        return self.form.type == "category" and distinct > TOP and self.rows - self.missing < 20 * distinct

    def ends(self, *, events: bool) -> tuple[Scalar, Scalar]:
        """Return the least and the largest value as they may be quoted; of ``events`` the days are."""
        if self.low is None or self.form.type not in ("number", "integer", "datetime"):
            return None, None
        if self.form.type == "datetime":
            return tuple(map(_plain, summaries.outward_instants(self.low, self.high, events=events)))  # type: ignore[return-value]
        found = summaries.outward(self.low, self.high, self.at_low, self.at_high)
        if found is None:
            return None, None
        whole = int if self.form.type == "integer" else float
        return tuple(whole(end) if math.isfinite(end) else None for end in found)  # type: ignore[return-value]

    def column(self, name: str, *, quoted: bool, events: bool) -> Column:
        """Return what is written of a column: of one that is not ``quoted`` how many values, and none of them."""
        present = self.rows - self.missing
        numeric = self.form.type in ("number", "integer", "boolean") and present > 0 and quoted
        low, high = self.ends(events=events) if quoted or events else (None, None)
        top: dict[str, int] = {}
        if self.form.type == "category" and quoted and not self.like_identifier and not self.distinct_full:
            ranked = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
            top = {value: count for value, count in ranked[:TOP] if count >= summaries.SHARED}
        return Column(
            name=name,
            type=self.form.type,
            format=self.form.format,
            true=self.form.true,
            false=self.form.false,
            missing=self.missing,
            distinct=self.distinct_count,
            minimum=low,
            maximum=high,
            # Ten digits do not depend on how the rows were batched.
            mean=float(f"{self.total / present:.10g}") if numeric else None,
            top=top,
        )


def _equal(values: pa.Array, value: pa.Scalar) -> int:
    return int(pc.sum(pc.equal(values, value)).as_py() or 0)


def unquoted(column: Column) -> Column:
    """Return what is written of a column that the model does not use: that it is there, and no value of it."""
    return column.model_copy(update={"minimum": None, "maximum": None, "mean": None, "top": {}})


def _plain(value: Any) -> Scalar:
    if value is None or isinstance(value, (int, float, str)):
        return value
    return str(value.strftime("%Y-%m-%dT%H:%M:%SZ"))


class _Sample:
    """A sample of rows by the hash of their number: the same rows whatever the batches, all of them while they fit."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.limit = max(10_000, min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(names))))
        self.whole = True
        self._level = 0
        self._rows = 0
        self._hashes: list[HashArray] = []
        self._batches: list[pa.RecordBatch] = []

    def see(self, arrays: Mapping[str, pa.Array], rows: int) -> None:
        hashes = _mix(np.arange(self._rows, self._rows + rows, dtype=np.uint64))
        self._rows += rows
        batch = pa.RecordBatch.from_arrays([arrays[name] for name in self.names], names=list(self.names))
        self._keep(hashes, batch)
        while sum(map(len, self._hashes)) > self.limit:
            self.whole = False
            self._level += 1
            kept = list(zip(self._hashes, self._batches, strict=True))
            self._hashes, self._batches = [], []
            for old_hashes, old_batch in kept:
                self._keep(old_hashes, old_batch)

    def _keep(self, hashes: HashArray, batch: pa.RecordBatch) -> None:
        if self._level:
            mask = hashes < np.uint64(1 << (64 - self._level))
            hashes, batch = hashes[mask], batch.filter(pa.array(mask))
        self._hashes.append(hashes)
        self._batches.append(batch)

    def column(self, name: str) -> pa.ChunkedArray:
        return pa.chunked_array([batch.column(name) for batch in self._batches])


def _mix(values: HashArray) -> HashArray:
    """Return the splitmix64 finalizer of each value (Steele, Lea and Flood, OOPSLA 2014)."""
    with np.errstate(over="ignore"):
        values = values + np.uint64(0x9E3779B97F4A7C15)
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: HashArray = values ^ (values >> np.uint64(31))
    return mixed


def _row_hashes(arrays: Sequence[pa.Array]) -> HashArray:
    """Return one hash per row over all columns, for counting duplicates."""
    total = np.zeros(len(arrays[0]), dtype=np.uint64)
    for index, array in enumerate(arrays):
        if pa.types.is_string(array.type):
            encoded = array.dictionary_encode()
            words = [hash(word) & 0xFFFFFFFFFFFFFFFF for word in encoded.dictionary.to_pylist()]
            codes = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
            values = np.array([*words, 1], dtype=np.uint64)[codes]
        else:
            numbers = array.cast(pa.int64()) if pa.types.is_timestamp(array.type) else array
            floats = numbers.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) + 0.0
            values = floats.view(np.uint64)
        total = _mix(total ^ _mix(values + np.uint64(index)))
    return total


def measure(
    table: RawTable,
    forms: Mapping[str, ColumnForm],
    *,
    target: str | None,
    time: str | None,
    features: Sequence[str] | None,
) -> Measured:
    """Measure every column of a table in one pass; a second one only counts bins when there are very many rows.

    The profile holds ``features``; None means every column but the target and what looks like an identifier. No value
    is quoted of what the model does not use, nor of what it uses one that few rows have.
    """
    profiled = [name for name in forms if (features is None or name in features) and name != target]
    running = {name: _Running(form, name == target or form.type == "category") for name, form in forms.items()}
    sample = _Sample(profiled)
    hashes: list[HashArray] | None = []
    infinite: Counter[str] = Counter()
    stood_in: dict[str, Counter[str]] = defaultdict(Counter)
    for chunk in table.chunks():
        arrays = typed(chunk, forms)
        for (name, statistics), array in zip(running.items(), arrays, strict=True):
            statistics.see(array)
            lost = array.null_count - chunk.batch.column(name).null_count
            if lost and statistics.form.type in ("number", "integer"):
                infinite[name] += _infinite(chunk, name)
                stood_in[name] += _stood_in(chunk.batch.column(name), statistics.form)
        sample.see(dict(zip(forms, arrays, strict=True)), chunk.batch.num_rows)
        if hashes is not None:
            hashes.append(_row_hashes(arrays))
            hashes = None if sum(map(len, hashes)) > DUPLICATES_UP_TO else hashes
    rows = next(iter(running.values())).rows
    every = np.concatenate(hashes) if hashes else None
    return Measured(
        rows=rows,
        columns=tuple(
            statistics.column(name, quoted=features is None or name in (*features, target), events=name == time)
            for name, statistics in running.items()
        ),
        balance=_balance(running[target]) if target in running else {},
        time_span=_time_span(running, time),
        profile=_shareable(_profile(table, forms, sample, running, features or ()), running, time),
        duplicates=None if every is None else rows - len(np.unique(every)),
        infinite={name: count for name, count in infinite.items() if count},
        stood_in={name: dict(counts) for name, counts in stood_in.items() if counts},
    )


def _stood_in(values: pa.Array, form: ColumnForm) -> Counter[str]:
    """Count the numbers that were read as missing, by how they are written plainly."""
    read = converted(values, replace(form, missing=())) if form.missing else None
    if read is None:
        return Counter()
    numbers = read.cast(pa.float64(), safe=False)
    counts = {each: int(pc.sum(pc.equal(numbers, each)).as_py() or 0) for each in form.missing}
    return Counter({f"{each:.15g}": count for each, count in counts.items() if count})


def _shareable(profile: Mapping[str, Summary], running: Mapping[str, _Running], time: str | None) -> dict[str, Summary]:
    """Return a profile as it may be written down."""
    found = {}
    for name, summary in profile.items():
        ends = running[name].ends(events=name == time) if running[name].form.type != "boolean" else (0, 1)
        if running[name].form.type == "datetime":
            ends = tuple(None if end is None else parse_instant(str(end)).timestamp() for end in ends)  # type: ignore[assignment]
        found[name] = summaries.shareable(summary, *ends)
    return found


def _infinite(chunk: Chunk, name: str) -> int:
    values = chunk.batch.column(name)
    if pa.types.is_string(values.type):
        said = int(pc.sum(pc.match_substring_regex(values, r"(?i)^[+-]?inf(inity)?$")).as_py() or 0)
        large = values.filter(pc.match_substring_regex(values, _LARGE))
        return said + sum(math.isinf(float(text)) for text in large.to_pylist())
    return int(pc.sum(pc.is_inf(values)).as_py() or 0) if pa.types.is_floating(values.type) else 0


def _balance(target: _Running) -> dict[str, int]:
    """Return the counts of the labels; numbers of many values are no labels."""
    few = len(target.counts) <= (LABELS if target.form.type != "number" else 20)
    if not few or target.distinct_full or target.form.type == "datetime":
        return {}
    found = {label_of(value): target.counts[value] for value in sorted(target.counts, key=label_of)}
    if len(found) <= 2:
        return found
    rare = sum(count for count in found.values() if count < summaries.SHARED)
    kept = {label: count for label, count in found.items() if count >= summaries.SHARED}
    return kept | ({RARER: kept.get(RARER, 0) + rare} if rare else {})


def _time_span(running: Mapping[str, _Running], time: str | None) -> TimeSpan | None:
    declared = time
    if time is None:
        instants = [name for name, statistics in running.items() if statistics.form.type == "datetime"]
        time = instants[0] if len(instants) == 1 else None
    if time is None or time not in running or running[time].low is None:
        return None
    first, last = running[time].ends(events=time == declared)
    return TimeSpan(first=str(first), last=str(last)) if first is not None and last is not None else None


def _profile(
    table: RawTable,
    forms: Mapping[str, ColumnForm],
    sample: _Sample,
    running: Mapping[str, _Running],
    chosen: Sequence[str],
) -> dict[str, Summary]:
    names = [name for name in sample.names if name in chosen or not running[name].like_identifier]
    if not sample.names or not next(iter(running.values())).rows:
        return {}
    profile = {name: summaries.summarise(sample.column(name), summaries.kind_of(forms[name].type)) for name in names}
    if sample.whole or not profile:
        return profile
    wanted = {name: forms[name] for name in names}
    counted: dict[str, Summary] = {}
    for chunk in table.chunks(names):
        for (name, summary), array in zip(profile.items(), typed(chunk, wanted), strict=True):
            part = summaries.count(summary, pa.chunked_array([array]))
            counted[name] = summaries.merge(counted[name], part) if name in counted else part
    return counted
