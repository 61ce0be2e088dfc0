"""The candidate is not worse than the stable release on the same rows, up to a margin (non-inferiority)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelops.gates import Subject, Verdict
from modelops.gates._findings import at_least, no_data
from modelops.metrics import ComparableMetricName, greater_is_better, paired_difference, undefined
from modelops.spec.meta import OpenShare, Strict

__all__ = ["Params", "evaluate"]


class Params(Strict):
    """By how much the candidate may be worse, in the metric's unit; a negative margin demands an improvement.

    ``whenAbsent`` is the verdict where no release is stable yet: a first release has nothing to be compared with.
    """

    metric: ComparableMetricName
    margin: float
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=2)] = 20
    threshold: OpenShare | None = None
    when_absent: Literal["pass", "no-data"] = "pass"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Judge the paired improvement (positive is better whatever the metric's direction) against minus the margin."""
    if subject.champion is None and subject.incomparable:
        return no_data(f"release {subject.champion_release} cannot be compared: {subject.incomparable}", 0)
    if subject.champion is None:
        return Verdict(params.when_absent, "there is no stable release to compare with")
    candidate, champion = subject.holdout.at(params.threshold), subject.champion.at(params.threshold)
    for who, predictions in (("candidate", candidate), ("stable release", champion)):
        why_not = undefined(params.metric, predictions)
        if why_not:
            return no_data(f"{who}: {why_not}", len(predictions))
    pair = (candidate, champion) if greater_is_better(params.metric) else (champion, candidate)
    found = paired_difference(params.metric, *pair, level=params.level, seed=subject.seed)
    if found is None:
        return no_data("candidate and stable release were not measured on the same rows", len(candidate))
    if found.n < params.minimum_rows:
        return no_data(f"{params.metric} is compared on {found.n} rows, fewer than {params.minimum_rows}", found.n)
    stable = f"release {subject.champion_release}" if subject.champion_release is not None else "the stable release"
    what = f"improvement of {params.metric} over {stable}"
    return at_least(what, found.value, found.lower, found.upper, -params.margin, found.n)
