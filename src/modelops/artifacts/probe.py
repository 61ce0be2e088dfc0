"""Rows on which two implementations of one model are compared: ordinary ones and those at which they tend to part."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.artifacts.frame import to_frame
from modelops.artifacts.signature import Input
from modelops.artifacts.trees import split_thresholds

__all__ = ["Probe", "probes"]

Array = np.ndarray[Any, Any]
Columns = Mapping[str, Array]

MAXIMUM_ROWS = 2000
MAXIMUM_THRESHOLDS = 120
"""Thresholds probed per feature, evenly chosen; each gives three rows."""

UNSEEN = "\u2603 unseen category"
_EXTREMES = (0.0, -1.0, 16_777_217.0, 1e9 + 0.1, -1e15, 3e38, 1e300)


@dataclass(frozen=True, slots=True)
class Probe:
    """Some rows of one kind, as frame columns; those that ``must_accept`` may not be refused by the estimator."""

    kind: str
    columns: dict[str, Array]
    must_accept: bool = False


def probes(estimator: Any, features: tuple[Input, ...], rows: Columns) -> Iterator[Probe]:
    """Yield the probes of a fitted estimator: holdout rows, split thresholds, missing, unseen and extreme values."""
    count = len(next(iter(rows.values())))
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAXIMUM_ROWS)).astype(int))
    base = {name: values[chosen] for name, values in rows.items()}
    yield Probe("holdout rows", base, must_accept=True)
    numeric = [feature for feature in features if feature.type != "category"]
    for feature, values in _thresholds(estimator, numeric, base):
        yield Probe(f"split thresholds of {feature.name!r}", _with(base, feature.name, values))
    for feature in features:
        if feature.nullable:
            gap: Any = "" if feature.type == "category" else math.nan
            yield Probe(f"missing {feature.name!r}", _with(base, feature.name, _repeat(gap, 8)))
        if feature.type == "category":
            yield Probe(f"an unseen category of {feature.name!r}", _with(base, feature.name, _repeat(UNSEEN, 8)))
    nullable = [feature for feature in features if feature.nullable]
    if nullable:
        empty = {name: values[:1] for name, values in base.items()}
        for feature in nullable:
            empty[feature.name] = _repeat("" if feature.type == "category" else math.nan, 1)
        yield Probe("all missing", empty)
    for value in _EXTREMES:
        for feature in numeric:
            if feature.type != "boolean":
                yield Probe(f"{feature.name!r} = {value:g}", _with(base, feature.name, np.array([value, -value])))


def _repeat(value: Any, count: int) -> Array:
    if isinstance(value, str):
        result = np.empty(count, dtype=object)
        result[:] = value
        return result
    return np.full(count, value, dtype=np.float64)


def _with(base: Columns, name: str, values: Array) -> dict[str, Array]:
    """Return base rows, repeated as often as needed, with one column replaced."""
    count = len(next(iter(base.values())))
    rows = np.arange(len(values)) % count
    return {**{key: column[rows] for key, column in base.items()}, name: values}


def _thresholds(estimator: Any, numeric: list[Input], base: Columns) -> Iterator[tuple[Input, Array]]:
    """Yield, per numeric feature, values on and one step beside the thresholds of the trees that split on it."""
    steps = getattr(estimator, "steps", None)
    before, final = (estimator[:-1], steps[-1][1]) if steps and len(steps) > 1 else (None, estimator)
    splits = split_thresholds(final)
    if not splits:
        return
    positions = {name: index for index, name in enumerate(base)}
    for feature in numeric:
        maps = [(positions[feature.name], 1.0, 0.0)] if before is None else _affine(before, feature.name, base)
        values: list[float] = []
        for column, slope, offset in maps:
            found = np.unique(splits.get(column, np.empty(0)))
            found = found[np.isfinite(found)]
            picked = found[np.unique(np.linspace(0, len(found) - 1, min(len(found), MAXIMUM_THRESHOLDS)).astype(int))]
            values += ((picked - offset) / slope).tolist()
        if values:
            exact = np.array(values, dtype=np.float64)
            single = exact.astype(np.float32).astype(np.float64)
            yield feature, np.concatenate([exact, np.nextafter(exact, -np.inf), np.nextafter(exact, np.inf), single])


def _affine(before: Any, name: str, base: Columns) -> list[tuple[int, float, float]]:
    """Return (column, slope, offset) of the transformed columns that are affine in one feature, found by trying it."""
    known = base[name][np.isfinite(base[name])]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if not low < high:
        high = low + 1.0
    points = np.array([low, high, low + (high - low) / 3])
    rows = {key: np.repeat(column[:1], 3) for key, column in base.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            output = before.transform(to_frame({**rows, name: points}))
        except (ValueError, TypeError):
            return []
    dense = np.asarray(output.todense() if hasattr(output, "todense") else output)
    if dense.dtype.kind != "f":
        return []
    slopes = (dense[1] - dense[0]) / (high - low)
    offsets = dense[0] - slopes * low
    fits = np.isclose(dense[2], slopes * points[2] + offsets, rtol=1e-9, atol=1e-12) & (slopes != 0)
    return [(int(i), float(slopes[i]), float(offsets[i])) for i in np.flatnonzero(fits)]
