"""A metric on the holdout rows against a fixed limit, judged by its confidence bound."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from modelops.gates import Subject, Verdict
from modelops.gates._findings import at_least, at_most, no_data
from modelops.metrics import MetricName, measure, undefined
from modelops.spec.meta import OpenShare, Strict

__all__ = ["Params", "evaluate"]


class Params(Strict):
    """Exactly one of ``minimum`` and ``maximum``, in the metric's unit.

    ``level`` is that of the two-sided interval, so the bound that decides holds with confidence (1 + level) / 2.
    ``minimumRows`` is the least n of the metric (for recall the positives, for roc-auc the rarer class) below which
    there is no verdict. ``threshold`` replaces the model's own for binary labels.
    """

    metric: MetricName
    minimum: float | None = None
    maximum: float | None = None
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=2)] = 20
    threshold: OpenShare | None = None

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.minimum is None) == (self.maximum is None):
            raise ValueError("give exactly one of minimum and maximum")
        return self


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Pass when the whole interval is on the right side, fail when it is on the wrong one, else inconclusive."""
    holdout = subject.holdout.at(params.threshold)
    why_not = undefined(params.metric, holdout)
    measured = None if why_not else measure(params.metric, holdout, level=params.level, seed=subject.seed)
    if measured is None:
        return no_data(why_not or f"{params.metric} is undefined", len(holdout))
    if measured.n < params.minimum_rows:
        return no_data(f"{params.metric} rests on {measured.n} rows, fewer than {params.minimum_rows}", measured.n)
    interval = (measured.value, measured.lower, measured.upper)
    if params.minimum is not None:
        return at_least(params.metric, *interval, params.minimum, measured.n)
    assert params.maximum is not None
    return at_most(params.metric, *interval, params.maximum, measured.n)
