"""How a column of the window is spread beside the reference's: for people, who believe a score when they see it."""

from __future__ import annotations

import pyarrow as pa

from modelops import summaries
from modelops.monitoring.report import Distribution
from modelops.spec.kinds.data_snapshot import Summary

__all__ = ["BINS", "CATEGORIES", "distribution"]

BINS, CATEGORIES = 10, 12
"""So many bins of numbers, or most frequent categories, are told: the tenths that the PSI compares, and a screenful."""


def distribution(reference: Summary, values: pa.ChunkedArray) -> Distribution:
    """Count the values of a window in a few bins of what a column looks like in the reference."""
    few = summaries.coarser(reference, BINS, CATEGORIES)
    return Distribution(few, summaries.count(few, values))
