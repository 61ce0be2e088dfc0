"""The shares of a feature's values that are missing, unseen or out of range, held against those of the reference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from modelops import summaries
from modelops.drift import Kind
from modelops.monitoring.entities import Worth, worth_of
from modelops.monitoring.report import Rate
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.model import Feature
from modelops.statistics.clusters import Codes

__all__ = ["FEWEST", "RATES", "RISE", "Flags", "missing", "out_of_range", "rate_of", "unseen"]

RISE = 0.05
"""A share of missing, unseen or out-of-range values is a finding only when it rose by more than this."""
FEWEST = 5.0
"""Rows worth fewer entities than this say nothing of chance."""
RATES = 2
"""How many shares of a feature are compared: missing values, and unseen or out-of-range ones."""

Flags = np.ndarray[Any, np.dtype[np.bool_]]


def rate_of(
    n: int, significance: float, entities: Codes | None, known: int | None, found: Flags, reference_hits: int
) -> Rate:
    """Compare two shares by the one-sided two-sample z test with pooled variance, of what the rows are worth."""
    m = len(found)
    value, reference = (np.count_nonzero(found) / m if m else 0.0), (reference_hits / n if n else 0.0)
    if value - reference <= RISE:
        return Rate(value, reference, False)
    worth = Worth(n, m)
    if entities is not None or known is not None:
        shares = np.array([1 - reference, reference])
        worth = worth_of(found.astype(np.int64), shares, entities, n, known, significance, drawn=True)
    if worth.window < FEWEST:
        return Rate(value, reference, False)
    of_window, of_reference = max(1.0, worth.window), max(1.0, worth.reference)
    pooled = (value * of_window + reference * of_reference) / (of_window + of_reference)
    error = (pooled * (1 - pooled) * (1 / of_window + 1 / of_reference)) ** 0.5
    return Rate(value, reference, value - reference > -float(scipy.special.ndtri(significance)) * error)


def _flags(found: pa.ChunkedArray) -> Flags:
    return np.asarray(pc.fill_null(found, False).to_numpy(), dtype=np.bool_)


def _numbers(values: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.concatenate([np.empty(0), *summaries.numbers(values)])


def missing(values: pa.ChunkedArray, kind: Kind) -> Flags:
    """Return which values are missing: null, the empty text of a category, not a number."""
    if kind == "category":
        return _flags(pc.or_(pc.is_null(values), pc.fill_null(pc.equal(values.cast(pa.string()), ""), False)))
    absent: Flags = np.isnan(_numbers(values))
    return absent


def unseen(values: pa.ChunkedArray, reference: Summary) -> Flags:
    """Return which values are there and are none of the categories of the reference."""
    listed = pc.is_in(values.cast(pa.string()), value_set=pa.array(reference.categories, pa.string()))
    return ~_flags(listed) & ~missing(values, "category")


def out_of_range(
    feature: Feature, values: pa.ChunkedArray, reference: Summary, rate: Callable[[Flags, int], Rate]
) -> Rate | None:
    """Return the share outside of what the reference holds, None where that has no extremes."""
    if feature.type not in ("number", "integer") or reference.minimum is None or reference.maximum is None:
        return None
    low, high = summaries.edge_below(reference.minimum), summaries.edge_above(reference.maximum)
    found = _numbers(values)
    outside: Flags = (found < low) | (found >= high)
    return rate(outside, 0)
