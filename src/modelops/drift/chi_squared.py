"""Pearson's chi-squared of one column, per row, from mergeable counts.

The two-sample chi-squared grows with the number of rows whatever the effect. Times (1/n + 1/m) it is an effect:

    sum((q - p)^2 / r), r the shares of both samples together,

on the scale of the PSI for small changes, and never infinite. Under no drift it is distributed like (1/n + 1/m) times
a chi-square variable with B - 1 degrees of freedom, so that with many rows in every bin exceeding ``critical`` is the
textbook test. Bins are those of the PSI.

References
----------
Pearson, K. (1900). On the criterion that a given system of deviations ... Philosophical Magazine 50, 157-175.
"""

from __future__ import annotations

from modelops.drift import Kind, Score
from modelops.drift._bins import BinnedParams, count, divergence_score, fit, merge
from modelops.drift._levels import significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.distances import chi_squared_terms

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "chi-squared"
KINDS: tuple[Kind, ...] = ("number", "category")
Params = BinnedParams


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""
    return divergence_score(NAME, params, reference, window, significance, terms=chi_squared_terms, curvature=1.0)
