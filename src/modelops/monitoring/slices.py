"""The watched metric in declared parts of the traffic, each with its own counts and interval."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.monitoring.performance import Look, performance_of
from modelops.monitoring.report import SliceReport
from modelops.predictions import feature_columns
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import Performance, Slice
from modelops.spec.texts.reading import TextReading

__all__ = ["slices_of"]

MOST = 10
"""So many values of a feature are parts of their own, the most frequent ones; the rest is one more."""
RARER, MISSING = "(rarer)", "(missing)"


def slices_of(
    slices: Sequence[Slice],
    watched: Performance | None,
    model: ModelSpec,
    table: pa.Table,
    rows: pa.Table,
    reading: TextReading | None,
    before: Look | None,
) -> tuple[SliceReport, ...]:
    """Count the answers in each part, and measure the metric where labels have arrived.

    ``table`` are all answers of the release, ``rows`` those that are old enough to be judged. The error rate of the
    metric's level is shared among the parts (Bonferroni), and each is judged by the labels that the whole needs.
    """
    found = [(each, *part) for each in slices for part in _parts(each, model, table, rows, reading)]
    reports = []
    for each, name, mine, judged in found:
        performance = None
        if watched is not None:
            level = 1 - (1 - watched.level) / len(found)
            performance = performance_of(watched.model_copy(update={"level": level}), model, judged, before=before)
        reports.append(SliceReport(f"{each.feature} {name}", mine, mine / max(1, table.num_rows), performance))
    return tuple(reports)


def _parts(
    each: Slice, model: ModelSpec, table: pa.Table, rows: pa.Table, reading: TextReading | None
) -> Iterator[tuple[str, int, pa.Table]]:
    feature = next((one for one in model.data.features if one.name == each.feature), None)
    if feature is None or not table.num_rows:
        return
    names, codes = _coded(feature_columns(table, [feature], reading).column(0), each.edges)
    judged = rows.append_column("slice", pa.array(_coded_as(names, rows, model, each, reading)))
    for place, name in enumerate(names):
        count = int((codes == place).sum())
        if count:
            yield name, count, judged.filter(pc.equal(judged.column("slice"), place)).drop_columns(["slice"])


def _coded_as(
    names: list[str], rows: pa.Table, model: ModelSpec, each: Slice, reading: TextReading | None
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the parts of other rows, by the names that the whole gave."""
    feature = next(one for one in model.data.features if one.name == each.feature)
    values = feature_columns(rows, [feature], reading).column(0)
    own, codes = _coded(values, each.edges, names)
    places = {name: place for place, name in enumerate(names)}
    moved = np.array([places.get(name, places.get(RARER, -1)) for name in own], dtype=np.int64)
    return moved[codes] if len(codes) else codes


def _coded(
    values: pa.ChunkedArray, edges: Sequence[float], listed: Sequence[str] = ()
) -> tuple[list[str], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the names of the parts, and the part of each value."""
    if edges:
        found = values.cast(pa.float64()).to_numpy().astype(np.float64)
        codes = np.where(np.isnan(found), len(edges) + 1, np.searchsorted(np.asarray(edges), found, side="right"))
        between = [f"from {_number(low)} to below {_number(high)}" for low, high in pairwise(edges)]
        names = [f"below {_number(edges[0])}", *between, f"from {_number(edges[-1])}", MISSING]
        return names, codes.astype(np.int64)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.string())
    texts = [MISSING if value in (None, "") else str(value) for value in values.to_pylist()]
    counted: dict[str, int] = {}
    for text in texts:
        counted[text] = counted.get(text, 0) + 1
    names = list(listed) or sorted(counted, key=lambda name: (-counted[name], name))[:MOST]
    names = [*names, *([RARER] if RARER not in names and len(counted.keys() - set(names)) else [])]
    places = {name: place for place, name in enumerate(names)}
    return names, np.array([places.get(text, places.get(RARER, 0)) for text in texts], dtype=np.int64)


def _number(edge: float) -> str:
    """Return an edge so that no other one is written alike: instants differ in their last digits."""
    short = f"{edge:g}"
    return short if float(short) == edge else repr(edge).removesuffix(".0")
