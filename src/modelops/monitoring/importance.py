"""What a feature's drift matters: how much of the model it carries, by what its release measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelops.drift import Score
from modelops.monitoring.report import FeatureReport
from modelops.spec.kinds.release import Importance

__all__ = ["Weight", "ranked", "weighed", "weights"]

CARRIED = 0.8
"""The features that carry a model are the first ones that together are worth this part of all, three to five."""
FEWEST, MOST = 3, 5
IDLE = 0.01
"""A feature that is worth less than this part of all, beyond doubt, raises no alert alone."""


@dataclass(frozen=True, slots=True)
class Weight:
    """The share of a feature in what all are worth; whether it is among those that carry the model, or idle."""

    share: float
    carries: bool
    idle: bool


def weights(importance: Importance | None) -> dict[str, Weight]:
    """Return the weight of each feature that a release knows something of, nothing where none is worth anything.

    A value counts as far as it is above zero. One is idle where two standard errors above it are not a hundredth of
    all; features that were constant in the test rows are not listed and keep their say.
    """
    if importance is None:
        return {}
    total = sum(max(0.0, each.value) for each in importance.features)
    if total <= 0:
        return {}
    found, before = {}, 0.0
    for place, each in enumerate(sorted(importance.features, key=lambda one: -one.value)):
        share = max(0.0, each.value) / total
        carries = each.value > 2 * each.error and place < MOST and (before < CARRIED or place < FEWEST)
        found[each.name] = Weight(share, carries, each.value + 2 * each.error < IDLE * total)
        before += share
    return found


def weighed(feature: FeatureReport, weight: Weight | None) -> FeatureReport:
    """Return the report of a feature with its weight; of an idle one an alert is a warning."""
    if weight is None:
        return feature
    scores = {key: _softer(score) for key, score in feature.scores.items()} if weight.idle else feature.scores
    return replace(feature, scores=scores, share=weight.share, carries=weight.carries)


def _softer(score: Score) -> Score:
    if score.level != "alert":
        return score
    return replace(score, level="warn", reason=f"{score.reason}; it carries less than {IDLE:.0%} of the model")


def ranked(features: Sequence[FeatureReport]) -> list[FeatureReport]:
    """Return features in the order in which they are told: those that carry the model first, each part by strength."""
    return sorted(features, key=lambda each: (not each.carries, -each.strength))
