"""Cramer's V between a column's bins and the sample that a row is of, from mergeable counts.

    V = sqrt(sum((q - p)^2 / (p + q)) / 2)

is 0 for equal shares and 1 where no bin is shared. For samples of one size it is the textbook's sqrt(chi-squared / N);
the textbook's falls as the reference grows, whatever the effect, so samples of other sizes are taken as if they were
equal. The default limits are what a shift of a normal feature gives whose PSI is 0.1 and 0.25. Under no drift its
square is distributed like (1/n + 1/m) / 4 times a chi-square variable with B - 1 degrees of freedom. Bins are those of
the PSI.

References
----------
Cramer, H. (1946). Mathematical Methods of Statistics, section 21.9. Princeton University Press.
Bergsma, W. (2013). A bias-correction for Cramer's V and Tschuprow's T. Journal of the Korean Statistical Society 42,
323-328.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._bins import BinnedParams, count, divergence_score, fit, merge
from modelops.drift._levels import significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.distances import association_terms

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "Cramer's V"
KINDS: tuple[Kind, ...] = ("number", "category")


class Params(BinnedParams):
    """Bins as for the other scores; the limits are of a coefficient, which is at most 1."""

    warn: Annotated[float, Field(gt=0, le=1)] = 0.15
    alert: Annotated[float, Field(gt=0, le=1)] = 0.24


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""
    return divergence_score(
        NAME, params, reference, window, significance, terms=association_terms, curvature=0.25, root=True
    )
