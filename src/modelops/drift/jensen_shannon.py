"""Jensen-Shannon distance of one column, from mergeable counts.

The square root of the Jensen-Shannon divergence in bits: how much better than chance one row tells from which of the
two samples it is. It is a metric, 0 for equal shares and 1 where no bin is shared, and needs no floor for empty bins.
The default limits are what a shift of a normal feature gives whose PSI is 0.1 and 0.25. Under no drift the divergence
is distributed like (1/n + 1/m) / (8 ln 2) times a chi-square variable with B - 1 degrees of freedom. Bins are those of
the PSI.

References
----------
Lin, J. (1991). Divergence measures based on the Shannon entropy. IEEE Transactions on Information Theory 37, 145-151.
Endres, D. M. and Schindelin, J. E. (2003). A new metric for probability distributions. The same 49, 1858-1860.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._bins import BinnedParams, count, divergence_score, fit, merge
from modelops.drift._levels import significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.distances import jensen_shannon_terms

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "Jensen-Shannon"
KINDS: tuple[Kind, ...] = ("number", "category")


class Params(BinnedParams):
    """Bins as for the other scores; the limits are of a distance, which is at most 1."""

    warn: Annotated[float, Field(gt=0, le=1)] = 0.13
    alert: Annotated[float, Field(gt=0, le=1)] = 0.21


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""
    return divergence_score(
        NAME,
        params,
        reference,
        window,
        significance,
        terms=jensen_shannon_terms,
        curvature=1 / (8 * math.log(2)),
        root=True,
    )
