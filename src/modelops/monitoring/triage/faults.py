"""Faults of the data: a feature that is gone, constant, in other units or in other words, which nothing is trained on.

What is only another distribution is drift. A fault is told to who sends the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops import summaries
from modelops.monitoring.entities import cells
from modelops.monitoring.report import FeatureReport
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics import Array
from modelops.statistics.distances import divergence, stability_terms

__all__ = ["Fault", "What", "fault_of"]

What = Literal["gone", "missing", "constant", "units", "recoded", "unseen"]
_WHOLE = 0.99
"""From this share of missing values on a feature is gone."""
_MOST = 0.9
"""From this share of unseen values on it is another code and no new category."""
_CHANCE = 1e-6
"""A feature is constant where the reference gives its one value to all rows with at most this probability."""
_ALIKE, _UNLIKE = 0.05, 0.25
"""The PSI of values that were taken back into the reference's units, and that of the values as they came."""
_NEAR = 0.2
"""How far the ratio of the quantiles may be from that of the units; which of them fit best is said by the PSI."""
_FEWEST = 300
"""Fewer values show no units."""
# Smaller ratios, as of miles or pounds, cannot be told from a world that grew.
_RATIOS: tuple[tuple[float, str], ...] = (
    *((10.0**n, f"{10**n:,} to 1") for n in (1, 2, 3, 4, 6, 9)),
    (60.0, "60 to 1, as of minutes and seconds"),
    (3600.0, "3,600 to 1, as of hours and seconds"),
    (24.0, "24 to 1, as of days and hours"),
    (7.0, "7 to 1, as of weeks and days"),
    (12.0, "12 to 1, as of years and months"),
    (1024.0, "1,024 to 1"),
    (1048576.0, "1,048,576 to 1"),
)
_SCALES: tuple[tuple[float, float, str], ...] = (
    (-1.0, 0.0, "of the other sign"),
    (1.8, 32.0, "in degrees Fahrenheit where they were in Celsius"),
    (1 / 1.8, -32 / 1.8, "in degrees Celsius where they were in Fahrenheit"),
    (1.0, 273.15, "in kelvin where they were in Celsius"),
    (1.0, -273.15, "in degrees Celsius where they were in kelvin"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a feature; ``said`` goes on after its name.

    All but ``unseen`` keep its rows from being trained on: a category that is new may be there to stay.
    """

    feature: str
    what: What
    said: str

    @property
    def quarantines(self) -> bool:
        """Whether rows with the fault are never trained on."""
        return self.what != "unseen"


def fault_of(report: FeatureReport, values: pa.ChunkedArray, entities: int) -> Fault | None:
    """Return the fault of a feature of a window, None where it has none.

    Parameters
    ----------
    report : FeatureReport
        What was found of it; without its distribution only missing and unseen values are told.
    values : pa.ChunkedArray
        Its values in the window.
    entities : int
        How many entities the rows are of: rows of one entity may well have one value.
    """
    name, missing, unseen = report.name, report.missing, report.unseen
    was = f"it was {missing.reference:.1%}"
    if missing.raised and missing.value >= _WHOLE:
        return Fault(name, "gone", f"is missing in {missing.value:.1%} of rows, or of another type; {was}")
    if unseen is not None and unseen.raised and unseen.value >= _MOST * (1 - missing.value):
        return Fault(name, "recoded", f"has values in {unseen.value:.1%} of rows that the reference does not have")
    reference = report.distribution.reference if report.distribution is not None else None
    if reference is not None:
        said = _constant(reference, values, entities)
        if said:
            return Fault(name, "constant", said)
        said = _units(reference, values) if reference.kind == "number" else ""
        if said:
            return Fault(name, "units", said)
    if missing.raised:
        return Fault(name, "missing", f"is missing in {missing.value:.1%} of rows; {was}")
    if unseen is not None and unseen.raised:
        known = f"it was {unseen.reference:.1%}"
        return Fault(name, "unseen", f"has unseen values in {unseen.value:.1%} of rows; {known}")
    return None


def _constant(reference: Summary, values: pa.ChunkedArray, entities: int) -> str:
    """Say that all values are one which the reference has in some rows only; "" where they are not."""
    codes, shares = cells(values, reference)
    there = values.filter(pa.array(codes != len(shares) - 1))
    if not len(there) or pc.count_distinct(there).as_py() != 1:
        return ""
    share = float(shares[codes[codes != len(shares) - 1][0]])
    if share > 0 and min(len(there), entities) * math.log(share) > math.log(_CHANCE):
        return ""
    return f"has one value in all {len(there)} rows; the reference has it, or some near it, in {share:.1%}"


def _units(reference: Summary, values: pa.ChunkedArray) -> str:
    """Say in which other units the values are as those of the reference; "" where they are so in none."""
    found = np.concatenate([np.empty(0), *summaries.numbers(values)])
    found = found[np.isfinite(found)]
    if len(found) < _FEWEST or not reference.edges or _apart(reference, found) < _UNLIKE:
        return ""
    counts = np.asarray(reference.counts, dtype=np.float64)
    then = np.asarray(reference.edges, dtype=np.float64)
    now = np.quantile(found, np.cumsum(counts)[:-1] / counts.sum())
    alike = {said: _apart(reference, taken) for said, taken in _taken_back(found, then, now)}
    best = min(alike, key=lambda said: alike[said], default="")
    return f"is as if in other units: {best}" if best and alike[best] <= _ALIKE else ""


def _taken_back(found: Array, then: Array, now: Array) -> Iterator[tuple[str, Array]]:
    """Yield the values in each of the units in which they may have been before."""
    told = np.abs(then) > np.abs(then).max() * 1e-9
    ratio = float(np.median(now[told] / then[told])) if told.any() else math.nan
    for factor, said in _RATIOS:
        for by, way in ((factor, "larger"), (1 / factor, "smaller")):
            if abs(ratio / by - 1) <= _NEAR:
                yield f"values are {way}, {said}", found / by
    for slope, offset, said in _SCALES:
        yield f"values are {said}", (found - offset) / slope


def _apart(reference: Summary, found: Array) -> float:
    """Return the PSI of some numbers."""
    counted = summaries.count(reference, pa.chunked_array([pa.array(found)]))
    return divergence(stability_terms, reference.counts, counted.counts)
