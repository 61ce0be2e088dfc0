"""Hellinger distance of one column, from mergeable counts.

    H = sqrt(sum((sqrt(p) - sqrt(q))^2) / 2)

is a metric, 0 for equal shares and 1 where no bin is shared, and needs no floor for empty bins. The default limits are
what a shift of a normal feature gives whose PSI is 0.1 and 0.25. Under no drift its square is distributed like
(1/n + 1/m) / 8 times a chi-square variable with B - 1 degrees of freedom. Bins are those of the PSI.

References
----------
Hellinger, E. (1909). Neue Begruendung der Theorie quadratischer Formen ... Journal fuer die reine und angewandte
Mathematik 136, 210-271.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._bins import BinnedParams, count, divergence_score, fit, merge
from modelops.drift._levels import significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.distances import hellinger_terms

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "Hellinger"
KINDS: tuple[Kind, ...] = ("number", "category")


class Params(BinnedParams):
    """Bins as for the other scores; the limits are of a distance, which is at most 1."""

    warn: Annotated[float, Field(gt=0, le=1)] = 0.11
    alert: Annotated[float, Field(gt=0, le=1)] = 0.18


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""
    return divergence_score(
        NAME, params, reference, window, significance, terms=hellinger_terms, curvature=0.125, root=True
    )
