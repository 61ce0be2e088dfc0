"""A metric on the holdout rows against a fixed limit, judged by its confidence bound."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import at_least, at_most, no_data, weighed
from modelops.metrics import MetricName, measure, undefined, unsettled
from modelops.metrics.catalog import metric
from modelops.spec.meta import OpenShare, Strict

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("predictions",)


class Params(Strict):
    """Exactly one of ``minimum`` and ``maximum``, in the metric's unit.

    ``level`` is that of the two-sided interval, so the bound that decides holds with confidence (1 + level) / 2.
    ``minimumRows`` is the least n of the metric (for recall the positives, for roc-auc the rarer class) below which
    there is no verdict, and of weighted rows the least that they are worth; nor is there one where the rows are too
    few, or too unlike, for the interval to hold at all.
    ``threshold`` replaces the model's own for binary labels.
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


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the limit if every value of the metric meets it, or none does."""
    found = metric(params.metric)
    for key, limit, free, shut in (
        ("minimum", params.minimum, found.least, found.most),
        ("maximum", params.maximum, found.most, found.least),
    ):
        if limit is None:
            continue
        below = limit <= free if key == "minimum" else limit >= free
        beyond = limit > shut if key == "minimum" else limit < shut
        end = "least" if key == "minimum" else "most"
        if below and isfinite(free):
            yield key, f"it cannot fail, as {free:g} is the {end} that {params.metric} can be"
        elif beyond:
            yield key, f"it cannot pass, as {params.metric} is always between {found.least:g} and {found.most:g}"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Pass when the whole interval is on the right side, fail when it is on the wrong one, else inconclusive."""
    holdout = subject.holdout.at(params.threshold)
    why_not = undefined(params.metric, holdout)
    measured = None if why_not else measure(params.metric, holdout, level=params.level, seed=subject.seed)
    if measured is None:
        return no_data(why_not or f"{params.metric} is undefined", len(holdout))
    if measured.rests_on < params.minimum_rows:
        worth = "the worth of " if measured.effective is not None else ""
        said = f"{params.metric} rests on {worth}{measured.rests_on} rows, fewer than {params.minimum_rows}"
        return no_data(said, measured.n)
    limit = params.minimum if params.minimum is not None else params.maximum
    small = unsettled(params.metric, holdout, limit=limit)
    if small is not None:
        return no_data(small, measured.n)
    interval = (measured.value, measured.lower, measured.upper)
    rows = None if measured.effective is None else measured.rests_on
    if params.minimum is not None:
        found = at_least(params.metric, *interval, params.minimum, measured.n)
    else:
        assert params.maximum is not None
        found = at_most(params.metric, *interval, params.maximum, measured.n)
    return weighed(found, subject.model.data.weight, rows)
