"""The candidate's training data against the data the stable release was trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field, field_validator

from modelops import drift, summaries
from modelops.artifacts.pandas_columns import feature_columns
from modelops.drift import Drift, Score
from modelops.errors import ModelOpsError
from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import no_data
from modelops.plugins import Bound
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.model import Feature
from modelops.spec.meta import OpenShare, Plugin, Strict

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("rows", "profile")


class Params(Strict):
    """The largest score a feature may have; ``columns`` limits the features, empty means all.

    ``score`` is a drift score with its parameters, and ``maximum`` its limit: without one, the score's own limit for an
    alert. ``significance`` is the chance, over all features together, to fail when nothing changed.
    """

    score: Plugin = Plugin(type="psi")
    maximum: Annotated[float, Field(gt=0)] | None = None
    columns: tuple[str, ...] = ()
    significance: OpenShare = 0.05
    minimum_rows: Annotated[int, Field(ge=1)] = 100
    when_absent: Literal["pass", "no-data"] = "pass"

    @field_validator("score")
    @classmethod
    def _known(cls, score: Plugin) -> Plugin:
        try:
            drift.bind(score)
        except ModelOpsError as error:
            raise ValueError("; ".join(problem.message for problem in error.problems)) from None
        return score


_WITHIN_ONE = frozenset(
    {
        "cramers-v", "hellinger", "jensen-shannon", "kolmogorov-smirnov", "new-and-missing-categories",
        "total-variation",
    }
)  # fmt: skip
"""Scores that are never above 1."""


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the maximum if no score of its kind exceeds it."""
    if params.score.type in _WITHIN_ONE and params.maximum is not None and params.maximum >= 1:
        yield "maximum", f"it cannot fail, as {params.score.type} is never above 1"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Count the candidate's training rows as the stable release's profile is counted, and judge the largest score.

    Counting in the same bins is what makes the two comparable; the candidate's own profile has other bins. A score
    above the maximum that chance alone can give at these sizes is inconclusive.
    """
    profile = subject.champion_profile
    if profile is None:
        return Verdict(params.when_absent, "there is no stable release whose data could be compared")
    wanted = [f for f in subject.model.data.features if not params.columns or f.name in params.columns]
    shared = [feature for feature in wanted if feature.name in profile]
    n = len(subject.train)
    if not shared:
        return no_data("no feature occurs in the profile of the stable release", n)
    if n < params.minimum_rows:
        return no_data(f"{n} training rows are fewer than {params.minimum_rows}", n)
    bound = drift.bind(params.score)
    arrays = feature_columns(subject.train, shared)
    compared = [feature for feature in shared if _comparable(bound, feature, profile[feature.name])]
    names = {feature.name for feature in compared}
    scores = {
        feature.name: _score(params, bound, profile[feature.name], feature, arrays[feature.name], len(compared))
        for feature in compared
    }
    return _judge(params, scores, sorted(feature.name for feature in wanted if feature.name not in names), n)


def _comparable(bound: Bound[Drift], feature: Feature, reference: Summary) -> bool:
    same_kind = summaries.kind_of(feature.type) == reference.kind
    return same_kind and reference.kind in bound.module.KINDS and summaries.rows(reference) > 0


def _score(
    params: Params,
    bound: Bound[Drift],
    reference: Summary,
    feature: Feature,
    values: np.ndarray[Any, Any],
    comparisons: int,
) -> Score:
    kind = pa.string() if feature.type == "category" else pa.float64()
    sketch = bound.module.fit(bound.params, reference)
    window = bound.module.count(sketch, pa.chunked_array([pa.array(values, kind)]))
    return bound.module.score(bound.params, sketch, window, params.significance / comparisons)


def _judge(params: Params, scores: dict[str, Score], skipped: list[str], n: int) -> Verdict:
    details: dict[str, object] = {
        "score": params.score.type,
        "features": [
            {"feature": name, "value": score.value, "critical": score.critical, "level": score.level}
            for name, score in scores.items()
        ],
        "notComparable": skipped,
    }
    known = {name: score for name, score in scores.items() if score.window_n and score.reference_n}
    if not known:
        what = f"changed type, had no rows, or {params.score.type} cannot score them"
        return no_data(f"no feature can be compared: {', '.join([*scores, *skipped])} {what}", n)
    ranked = sorted(known.items(), key=lambda item: -item[1].value)
    limit = ranked[0][1].alert if params.maximum is None else params.maximum
    above = [(name, score) for name, score in ranked if score.value > limit]
    beyond_chance = [(name, score) for name, score in above if score.value > score.critical]
    name, score = (beyond_chance or above or ranked)[0]
    if beyond_chance:
        names = ", ".join(f"{each} {its.value:.3f}" for each, its in beyond_chance[:5])
        reason = f"{score.name} above {limit:g}: {names}"
        return Verdict("fail", reason, score.value, limit=limit, n=n, details=details)
    if above:
        reason = f"{score.name} of {name} is {score.value:.3f}, but chance alone can give that with {n} rows"
        return Verdict("inconclusive", reason, score.value, limit=limit, n=n, details=details)
    if skipped:
        details["note"] = "features without counterpart in the stable release's profile were not compared"
    reason = f"the largest {score.name} is {score.value:.3f} ({name}), not above {limit:g}"
    return Verdict("pass", reason, score.value, limit=limit, n=n, details=details)
