"""Population stability index (PSI) of one column, from mergeable counts.

Numbers are counted in equal-frequency bins of the reference, categories by value; missing values and categories that
the reference does not list are bins of their own. With shares p (reference, n rows) and q (window, m rows) over B bins

    PSI = sum((q - p) * ln(q / p)).

A share is taken as at least half a row of the smaller sample and at least 0.0001, so an empty bin has a finite score
and no rare value alone makes an alert. Under no drift PSI is distributed like (1/n + 1/m) times a chi-square variable
with B - 1 degrees of freedom, so its mean is (B - 1)(1/n + 1/m): small windows look drifted to a fixed threshold. A
level is therefore given only when the effect is large (``warn``, ``alert``) *and* PSI lies above the
(1 - significance) quantile of that law, which is corrected where bins expect few rows.

References
----------
Yurdakul, B. and Naranjo, J. (2020). Statistical properties of the population stability index. Journal of Risk Model
Validation 14(4), 89-100.
"""

from __future__ import annotations

from modelops.drift import Kind, Score
from modelops.drift._bins import BinnedParams, count, divergence_score, fit, merge
from modelops.drift._levels import significance
from modelops.spec.kinds.data_snapshot import Summary
from modelops.statistics.distances import stability_terms

__all__ = ["KINDS", "NAME", "Params", "count", "fit", "merge", "score", "significance"]

NAME = "PSI"
KINDS: tuple[Kind, ...] = ("number", "category")
Params = BinnedParams


def score(params: Params, reference: Summary, window: Summary, significance: float) -> Score:
    """Score a window against the reference in whose bins it was counted."""
    return divergence_score(NAME, params, reference, window, significance, terms=stability_terms, curvature=1.0)
