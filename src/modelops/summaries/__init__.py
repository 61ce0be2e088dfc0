"""Summaries: what a column looks like, neutral to any score, small, and mergeable.

Numbers are summarised by about a hundred bins of equal frequency with their means, finer in the tails; categories by
the counts of the most frequent ones. Every drift score makes its own sketch from a summary.
"""

from modelops.summaries.columns import numbers, tally, texts
from modelops.summaries.counting import absence, borders, count, count_numbers, merge, rows, rows_like, same_bins
from modelops.summaries.disclosure import SHARED, outward, outward_instants, shareable
from modelops.summaries.fitting import closed, completed, edge_above, edge_below, kind_of, summarise
from modelops.summaries.joining import coarser
from modelops.summaries.matrix import alike, frequent, is_text, matrix

__all__ = [
    "SHARED",
    "absence",
    "alike",
    "borders",
    "closed",
    "coarser",
    "completed",
    "count",
    "count_numbers",
    "edge_above",
    "edge_below",
    "frequent",
    "is_text",
    "kind_of",
    "matrix",
    "merge",
    "numbers",
    "outward",
    "outward_instants",
    "rows",
    "rows_like",
    "same_bins",
    "shareable",
    "summarise",
    "tally",
    "texts",
]
