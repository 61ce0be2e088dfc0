"""Kullback-Leibler divergence of the reference from the window, of one column, from mergeable counts.

    KL = sum(p * ln(p / q)), in nats

is what coding reference rows by the window's shares costs. It is not symmetric: values that vanish weigh more than new
ones. Shares are floored as those of the PSI, which is the sum of both directions. The default limits are half of the
PSI's. Under no drift it is distributed like (1/n + 1/m) / 2 times a chi-square variable with B - 1 degrees of freedom.
Bins are those of the PSI.

References
----------
Kullback, S. and Leibler, R. A. (1951). On information and sufficiency. Annals of Mathematical Statistics 22, 79-86.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._bins import BinnedParams, count, divergence_score, fit, merge
from modelops.drift._levels import significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.distances import kullback_leibler_terms

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "Kullback-Leibler"
KINDS: tuple[Kind, ...] = ("number", "category")


class Params(BinnedParams):
    """Bins as for the other scores; the limits are in nats, about half of those of the PSI."""

    warn: Annotated[float, Field(gt=0)] = 0.05
    alert: Annotated[float, Field(gt=0)] = 0.125


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""
    return divergence_score(NAME, params, reference, window, significance, terms=kullback_leibler_terms, curvature=0.5)
