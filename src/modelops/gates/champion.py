"""The candidate is not worse than the stable release on the same rows, up to a margin (non-inferiority)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import isfinite
from typing import Annotated, Literal

from pydantic import Field

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import at_least, no_data, weighed
from modelops.metrics import (
    ComparableMetricName,
    Difference,
    Predictions,
    greater_is_better,
    paired_difference,
    undefined,
    unsettled,
)
from modelops.metrics.catalog import metric
from modelops.spec.meta import OpenShare, Strict

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("predictions", "champion")


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


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the margin if no two releases can be so far apart."""
    found = metric(params.metric)
    widest = found.most - found.least
    if isfinite(widest) and params.margin >= widest:
        yield "margin", f"it cannot fail, as no two values of {params.metric} are further apart than {widest:g}"
    elif isfinite(widest) and -params.margin > widest:
        yield "margin", f"it cannot pass, as no two values of {params.metric} are further apart than {widest:g}"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Judge the paired improvement (positive is better whatever the metric's direction) against minus the margin.

    Only rows count that neither of the two was trained on, and only if they are enough for the interval to hold.
    """
    if subject.champion is None and subject.incomparable:
        return no_data(f"release {subject.champion_release} cannot be compared: {subject.incomparable}", 0)
    if subject.champion is None:
        return Verdict(params.when_absent, "there is no stable release to compare with")
    candidate, champion = subject.holdout.at(params.threshold), subject.champion.at(params.threshold)
    stable = f"release {subject.champion_release}" if subject.champion_release is not None else "the stable release"
    rows, left_out = len(candidate), ""
    if subject.unseen is not None and not subject.unseen.all():
        candidate, champion = candidate.take(subject.unseen), champion.take(subject.unseen)
        left_out = (
            f"; {rows - len(candidate)} of {rows} test rows do not count, as they trained {stable} or the candidate"
        )
    details = {"testRows": rows, "unseenRows": len(candidate)}
    found = _compared(params, candidate, champion, subject.seed)
    if isinstance(found, Verdict):
        return replace(found, reason=found.reason + left_out, details=details)
    what = f"improvement of {params.metric} over {stable}"
    verdict = at_least(what, found.value, found.lower, found.upper, -params.margin, found.n)
    verdict = weighed(verdict, subject.model.data.weight, None if found.effective is None else found.rests_on)
    return replace(verdict, reason=verdict.reason + left_out, details=details)


def _compared(params: Params, candidate: Predictions, champion: Predictions, seed: int) -> Difference | Verdict:
    """Return the difference in the direction of better, or why there is none."""
    for who, predictions in (("candidate", candidate), ("stable release", champion)):
        why_not = undefined(params.metric, predictions)
        if why_not:
            return no_data(f"{who}: {why_not}", len(predictions))
    pair = (candidate, champion) if greater_is_better(params.metric) else (champion, candidate)
    found = paired_difference(params.metric, *pair, level=params.level, seed=seed)
    if found is None:
        return no_data("candidate and stable release were not measured on the same rows", len(candidate))
    if found.rests_on < params.minimum_rows:
        worth = "the worth of " if found.effective is not None else ""
        said = f"{params.metric} is compared on {worth}{found.rests_on} rows, fewer than {params.minimum_rows}"
        return no_data(said, found.n)
    small = unsettled(params.metric, *pair, limit=-params.margin)
    return found if small is None else no_data(small, found.n)
