"""Categories that came and categories that went, from mergeable counts: how large a part of a sample they are.

The score is the larger of two shares: of the window's values, those that the reference does not list, as far as they
exceed the reference's own unlisted ones; and of the reference's values, those whose category no row of the window has.
Shares that merely moved are another score's. Missing values are no category and are left out.

Given that so many values of both samples are unlisted, those of the window are binomial without drift. A category of
share p stays away from m values with the chance (1 - p)^m; the share of all that stay away exceeds its mean by e with
a chance of at most exp(-m e^2). Each of the two shares has half of the significance, and ``critical`` is the larger
limit, on the safe side. A number is not scored.

References
----------
McAllester, D. and Ortiz, L. (2003). Concentration inequalities for the missing mass and for histogram rule error.
Journal of Machine Learning Research 4, 895-911.
"""

from __future__ import annotations

import math
from typing import Annotated

import numpy as np
import scipy
from pydantic import Field

from modelops.drift import Kind, Score
from modelops.drift._bins import require_same_bins
from modelops.drift._levels import Limits, judged, significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.chance import Chance
from modelops.summaries import count, merge

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "categories"
KINDS: tuple[Kind, ...] = ("category",)


class Params(Limits):
    """From which share of new or of missing categories on a window counts as drifted."""

    warn: Annotated[float, Field(gt=0, lt=1)] = 0.01
    alert: Annotated[float, Field(gt=0, lt=1)] = 0.05


def fit(params: Params, summary: Summary) -> Summary:
    """Return the summary itself: all of its categories are looked for."""
    return summary


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference whose categories were looked for in it."""
    require_same_bins(reference, window)
    n, m = (sum(each.counts) + each.other for each in (reference, window))

    def measured() -> tuple[float, Chance]:
        came, went = _came(reference, window, n, m), _went(reference, window, n)
        pooled = (np.asarray(reference.counts) + np.asarray(window.counts)) / (n + m)
        away = float(np.sum(pooled * (1 - pooled) ** m))
        part = significance / 2
        limits = (_came_seldom(reference.other + window.other, n, m, part), away + math.sqrt(-math.log(part) / m))
        return max(came, went), Chance(away, max(limits))

    def direction() -> str:
        came, went = _came(reference, window, n, m), _went(reference, window, n)
        if max(came, went) <= 0:
            return ""
        return "new categories" if came >= went else f"no {_gone(reference, window)}"

    return judged(NAME, params, n, m, measured, direction)


def _came(reference: Summary, window: Summary, n: int, m: int) -> float:
    return max(0.0, window.other / m - reference.other / n)


def _went(reference: Summary, window: Summary, n: int) -> float:
    return sum(a for a, b in zip(reference.counts, window.counts, strict=True) if not b) / n


def _gone(reference: Summary, window: Summary) -> str:
    """Name the most frequent category that went, and say how many others did."""
    pairs = zip(reference.categories, reference.counts, window.counts, strict=True)
    gone = sorted(((a, name) for name, a, b in pairs if a and not b), reverse=True)
    more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
    return f"{gone[0][1][:40]!r}{more}"


def _came_seldom(unlisted: int, n: int, m: int, part: float) -> float:
    """Return the excess of the window's share of unlisted values that chance exceeds with at most this probability."""
    if not unlisted:
        return 0.0
    most = int(scipy.stats.binom.isf(part, unlisted, m / (n + m)))
    return max(0.0, most / m - (unlisted - most) / n)
