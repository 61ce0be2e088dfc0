"""Kolmogorov-Smirnov distance of a number, from mergeable counts.

The largest difference of the two distribution functions: no bins to choose, and a unit that everybody knows, shares.
It is taken at the hundred-odd edges of the reference's summary and just outside its extremes, which makes it a function
of counts; it is the exact statistic for up to a hundred distinct values and else at most about 0.01 below it. A missing
value counts as smaller than every number, so that a rising share of them is a distance too.

The critical value is that of the Dvoretzky-Kiefer-Wolfowitz-Massart bound for two samples, which holds for every
distribution, ties included. The default limits are about what a shift of a normal feature gives whose PSI is 0.1 and
0.25. Categories have no order, so they are not scored.

References
----------
Massart, P. (1990). The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality. Annals of Probability 18,
1269-1283. Wei, F. and Dudley, R. M. (2012). Two-sample Dvoretzky-Kiefer-Wolfowitz inequalities. Statistics and
Probability Letters 82, 636-644.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._bins import require_same_bins
from modelops.drift._directions import of_bins
from modelops.drift._levels import Limits, judged, significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.chance import Chance, kolmogorov_chance
from modelops.statistics.distances import kolmogorov_smirnov
from modelops.summaries import closed, count, merge, rows

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "KS"
KINDS: tuple[Kind, ...] = ("number",)


class Params(Limits):
    """From which distance on a window counts as drifted."""

    warn: Annotated[float, Field(gt=0, le=1)] = 0.12
    alert: Annotated[float, Field(gt=0, le=1)] = 0.2


def fit(params: Params, summary: Summary) -> Summary:
    """Return the edges at which the distribution functions are compared, with the reference's counts between them."""
    return closed(summary)


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference between whose edges it was counted."""

    def measured() -> tuple[float, Chance]:
        value = kolmogorov_smirnov((reference.missing, *reference.counts), (window.missing, *window.counts))
        return value, kolmogorov_chance(rows(reference), rows(window), significance)

    require_same_bins(reference, window)
    return judged(NAME, params, rows(reference), rows(window), measured, lambda: of_bins(reference, window))
