"""Rows on which two implementations of one model are compared: ordinary ones and those at which they tend to part."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.artifacts.frame import to_frame
from modelops.artifacts.signature import Input
from modelops.artifacts.trees import split_thresholds

__all__ = ["OUTSIDE", "WITHIN", "Probe", "probes", "scored"]

Array = np.ndarray[Any, Any]
Columns = Mapping[str, Array]

MAXIMUM_ROWS = 2000
MAXIMUM_THRESHOLDS = 120
"""Thresholds probed per feature, evenly chosen; each gives three rows."""

MAXIMUM_CELLS = 4_000_000
"""Values in one call of an implementation: probes are answered together, as a call costs far more than a row."""

UNSEEN = "\u2603 unseen category"
_EXTREMES = (0.0, -1.0, 5e-324, 1e-42, 1e-30, 16_777_217.0, 1e9 + 0.1, -1e15, 3e38, 1e300)
"""Values at which float32 and float64 part: what float32 makes 0, rounds, or makes infinite."""
WITHIN, OUTSIDE = "made rows in range", "made rows out of range"
WITHIN_ROWS, OUTSIDE_ROWS = 1000, 500
"""Rows made inside and outside of what the test rows cover: of 1000, one kind in 300 is missed by 4 % of builds."""
_MAGNITUDES = (1e-300, 1e-30, 1e-6, 1.0, 1e3, 1e9)

_WHAT = (
    ("holdout", "test rows"),
    ("split", "split thresholds"),
    ("missing", "missing values"),
    ("all missing", "missing values"),
    ("an unseen", "unseen categories"),
    (WITHIN, WITHIN),
    (OUTSIDE, OUTSIDE),
)


@dataclass(frozen=True, slots=True)
class Probe:
    """Some rows of one kind: rows of ``base`` with some columns replaced, kept apart because probes are many.

    Those that ``must_accept`` may not be refused by the estimator. Probes of one ``family`` are likely to be refused
    all or none.
    """

    kind: str
    base: Columns
    rows: Array
    changes: dict[str, Array]
    must_accept: bool = False
    family: str = ""

    @property
    def columns(self) -> dict[str, Array]:
        """The rows as frame columns."""
        return _together([self])

    @property
    def what(self) -> str:
        """What its rows are, in a word that many probes share."""
        return next((word for start, word in _WHAT if self.kind.startswith(start)), "extreme values")


def probes(estimator: Any, features: tuple[Input, ...], rows: Columns) -> Iterator[Probe]:
    """Yield the probes of a fitted estimator: test rows, made ones around them, thresholds, and odd values."""
    count = len(next(iter(rows.values())))
    chosen = np.unique(np.linspace(0, count - 1, min(count, MAXIMUM_ROWS)).astype(int))
    base = {name: values[chosen] for name, values in rows.items()}
    yield Probe("holdout rows", base, np.arange(len(chosen)), {}, must_accept=True)
    numeric = [feature for feature in features if feature.type != "category"]
    yield from _neighbours(features, base)
    for feature, values in _thresholds(estimator, numeric, base):
        yield _with(base, f"split thresholds of {feature.name!r}", feature.name, values)
    for feature in features:
        if feature.nullable:
            gap: Any = "" if feature.type == "category" else math.nan
            yield _with(base, f"missing {feature.name!r}", feature.name, _repeat(gap, 8), "missing")
        if feature.type == "category":
            yield _with(base, f"an unseen category of {feature.name!r}", feature.name, _repeat(UNSEEN, 8))
    nullable = [feature for feature in features if feature.nullable]
    if nullable:
        gaps = {each.name: _repeat("" if each.type == "category" else math.nan, 1) for each in nullable}
        yield Probe("all missing", base, np.zeros(1, dtype=int), gaps)
    for value in _EXTREMES:
        for feature in numeric:
            if feature.type != "boolean":
                yield _with(
                    base, f"{feature.name!r} = {value:g}", feature.name, np.array([value, -value]), f"{value:g}"
                )


def _neighbours(features: Sequence[Input], base: Columns) -> Iterator[Probe]:
    """Yield rows that nobody has seen: what holds on the test rows alone holds by chance.

    Every second value is that of another row, or for a number lies between two rows, is rounded to float32, or is the
    next one that float64 has; out of range it lies beyond the ends, or is of another magnitude.
    """
    random = np.random.default_rng(0)
    count = len(next(iter(base.values())))
    for kind, rows in ((WITHIN, WITHIN_ROWS), (OUTSIDE, OUTSIDE_ROWS)):
        chosen = random.integers(0, count, rows)
        changes = {}
        for feature in features:
            values = base[feature.name]
            one, other, share = values[random.integers(0, count, rows)], values[chosen], random.random(rows)
            if feature.type in ("category", "boolean"):
                changes[feature.name] = np.where(share < 0.5, one, other)
                continue
            known = values[np.isfinite(values)]
            low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
            span, away = max(high - low, 1.0), random.exponential(size=rows)
            if kind == WITHIN:
                ways = (one, one + (other - one) * random.random(rows), other.astype(np.float32).astype(np.float64),
                        np.nextafter(other, np.where(share < 0.45, np.inf, -np.inf)))  # fmt: skip
            else:
                far = random.normal(size=rows) * random.choice(_MAGNITUDES, rows)
                ways = (high + span * away, low - span * away, far, far)
            made = np.choose(np.minimum((share * 8).astype(int), 4), (*ways, other))
            changes[feature.name] = np.round(made) if feature.type == "integer" else made
        yield Probe(kind, base, chosen, changes)


def scored(score: Callable[[Columns], Array], asked: Sequence[Probe]) -> Iterator[tuple[Probe, Array | None]]:
    """Yield each probe with its scores, or None where the implementation refuses its rows or answers no number.

    Probes are put into one call as long as all of them are answered; a call that fails is repeated probe by probe, so
    that it is known which of them it was.
    """
    for batch in _batches(asked):
        scores = _answer(score, _together(batch))
        if scores is None:
            yield from ((probe, _answer(score, probe.columns)) for probe in batch)
            continue
        ends = np.cumsum([len(probe.rows) for probe in batch])
        yield from zip(batch, np.split(scores, ends[:-1]), strict=True)


def _batches(asked: Sequence[Probe]) -> Iterator[list[Probe]]:
    batch: list[Probe] = []
    cells = 0
    for probe in asked:
        size = len(probe.rows) * len(probe.base)
        if batch and (cells + size > MAXIMUM_CELLS or probe.family != batch[0].family):
            yield batch
            batch, cells = [], 0
        batch.append(probe)
        cells += size
    if batch:
        yield batch


def _together(batch: Sequence[Probe]) -> dict[str, Array]:
    """Return the rows of some probes over one base as frame columns, one probe after the other."""
    rows = np.concatenate([probe.rows for probe in batch])
    columns = {name: values[rows] for name, values in batch[0].base.items()}
    start = 0
    for probe in batch:
        for name, values in probe.changes.items():
            columns[name][start : start + len(values)] = values
        start += len(probe.rows)
    return columns


def _answer(score: Callable[[Columns], Array], columns: Columns) -> Array | None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            scores = score(columns)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
            return None
    return scores if np.isfinite(scores).all() else None


def _repeat(value: Any, count: int) -> Array:
    if isinstance(value, str):
        result = np.empty(count, dtype=object)
        result[:] = value
        return result
    return np.full(count, value, dtype=np.float64)


def _with(base: Columns, kind: str, name: str, values: Array, family: str = "") -> Probe:
    """Return base rows, repeated as often as needed, with one column replaced."""
    count = len(next(iter(base.values())))
    return Probe(kind, base, np.arange(len(values)) % count, {name: values}, family=family)


def _thresholds(estimator: Any, numeric: list[Input], base: Columns) -> Iterator[tuple[Input, Array]]:
    """Yield, per numeric feature, values on and one step beside the thresholds of the trees that split on it."""
    steps = getattr(estimator, "steps", None)
    before, final = (estimator[:-1], steps[-1][1]) if steps and len(steps) > 1 else (None, estimator)
    splits = split_thresholds(final)
    if not splits:
        return
    positions = {name: index for index, name in enumerate(base)}
    known = {} if before is None else _affine(before, [feature.name for feature in numeric], base)
    for feature in numeric:
        maps = [(positions[feature.name], 1.0, 0.0)] if before is None else known.get(feature.name, [])
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


def _points(name: str, base: Columns) -> Array:
    """Return three values inside the range of a column: its ends, and a third of the way between them."""
    known = base[name][np.isfinite(base[name])]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if not low < high:
        high = low + 1.0
    return np.array([low, high, low + (high - low) / 3])


def _affine(before: Any, names: Sequence[str], base: Columns) -> dict[str, list[tuple[int, float, float]]]:
    """Return, per feature, (column, slope, offset) of the transformed columns that are affine in it, found by trying.

    A transform that refuses some feature's points is asked again in halves, until only that feature is left out.
    """
    if not names:
        return {}
    points = {name: _points(name, base) for name in names}
    rows = {key: np.repeat(column[:1], 3 * len(names)) for key, column in base.items()}
    for place, name in enumerate(names):
        rows[name] = rows[name].copy()
        rows[name][3 * place : 3 * place + 3] = points[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            output = before.transform(to_frame(rows))
        except (ValueError, TypeError):
            half = len(names) // 2
            return {} if half == 0 else _affine(before, names[:half], base) | _affine(before, names[half:], base)
    dense = np.asarray(output.todense() if hasattr(output, "todense") else output)
    if dense.dtype.kind != "f":
        return {}
    return {name: _fits(dense[3 * place : 3 * place + 3], points[name]) for place, name in enumerate(names)}


def _fits(output: Array, points: Array) -> list[tuple[int, float, float]]:
    low, high, between = points
    slopes = (output[1] - output[0]) / (high - low)
    offsets = output[0] - slopes * low
    fits = np.isclose(output[2], slopes * between + offsets, rtol=1e-9, atol=1e-12) & (slopes != 0)
    return [(int(i), float(slopes[i]), float(offsets[i])) for i in np.flatnonzero(fits)]
