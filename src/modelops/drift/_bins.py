"""Bins for the scores that compare shares of bins: equal-frequency bins of numbers, listed categories.

Missing values, and categories that the reference does not list, are bins of their own.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelops.drift import Score
from modelops.drift._directions import of_bins
from modelops.drift._levels import Limits, judged
from modelops.errors import failure
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.chance import Chance, divergence_chance
from modelops.statistics.distances import Terms, divergence
from modelops.summaries import coarser, count, merge, rows, same_bins

__all__ = ["BinnedParams", "all_counts", "count", "divergence_score", "fit", "merge", "require_same_bins"]


class BinnedParams(Limits):
    """How a column is binned, and from which score on a window counts as drifted.

    ``bins``: equal-frequency bins of a number. ``categories``: the most frequent categories that get a bin of their
    own.
    """

    bins: Annotated[int, Field(ge=2, le=50)] = 10
    categories: Annotated[int, Field(ge=1, le=200)] = 30
    warn: Annotated[float, Field(gt=0)] = 0.1
    alert: Annotated[float, Field(gt=0)] = 0.25


def fit(params: BinnedParams, summary: Summary) -> Summary:
    """Return a summary with fewer bins: about ``bins`` of equal frequency, or the most frequent ``categories``."""
    return coarser(summary, params.bins, params.categories)


def require_same_bins(first: Summary, second: Summary) -> None:
    """Refuse to compare counts of different bins."""
    if not same_bins(first, second):
        raise failure("sketch-mismatch", "the two sketches have different bins, so their counts cannot be compared")


def all_counts(sketch: Summary) -> list[int]:
    """Return the counts of every bin, that of other categories and that of missing values included."""
    return [*sketch.counts, sketch.other, sketch.missing]


def divergence_score(
    name: str,
    limits: Limits,
    reference: Summary,
    window: Summary,
    significance: float,
    *,
    terms: Terms,
    curvature: float,
    root: bool = False,
) -> Score:
    """Score a window by a divergence that is a sum over the bins; ``root``: by its square root."""

    def measured() -> tuple[float, Chance]:
        x, y = all_counts(reference), all_counts(window)
        value = divergence(terms, x, y)
        chance = divergence_chance(terms, curvature, x, y, significance)
        if not root:
            return value, chance
        return value**0.5, chance.root()

    require_same_bins(reference, window)
    return judged(name, limits, rows(reference), rows(window), measured, lambda: of_bins(reference, window))
