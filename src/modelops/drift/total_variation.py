"""Total variation distance of one column, from mergeable counts.

    TV = sum(|q - p|) / 2

is the share of rows that would have to change their bin: the easiest score to explain. The default limits are about
what a shift of a normal feature gives whose PSI is 0.1 and 0.25. By the inequality of Cauchy and Schwarz it is at most
half the square root of Pearson's divergence, whose law without drift is known, so the critical value is on the safe
side, the more so the more bins there are. Bins are those of the PSI.

References
----------
Tsybakov, A. B. (2009). Introduction to Nonparametric Estimation, section 2.4. Springer.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._bins import BinnedParams, all_counts, count, fit, merge, require_same_bins
from modelops.drift._directions import of_bins
from modelops.drift._levels import judged, significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.chance import Chance, total_variation_chance
from modelops.statistics.distances import total_variation
from modelops.summaries import rows

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "total variation"
KINDS: tuple[Kind, ...] = ("number", "category")


class Params(BinnedParams):
    """Bins as for the other scores; the limits are of a distance, which is at most 1."""

    warn: Annotated[float, Field(gt=0, le=1)] = 0.12
    alert: Annotated[float, Field(gt=0, le=1)] = 0.2


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""

    def measured() -> tuple[float, Chance]:
        x, y = all_counts(reference), all_counts(window)
        return total_variation(x, y), total_variation_chance(x, y, significance)

    require_same_bins(reference, window)
    return judged(NAME, params, rows(reference), rows(window), measured, lambda: of_bins(reference, window))
