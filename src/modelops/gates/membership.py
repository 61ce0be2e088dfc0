"""Whether answers give away which rows the model was trained on, by the loss of each row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.asking import some_rows, steady
from modelops.gates._parts.findings import at_most, no_data
from modelops.gates._parts.labels import coded
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics import auc
from modelops.statistics.intervals import exact_proportion

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("rows", "predictions", "predictor")

Array = np.ndarray[Any, np.dtype[np.float64]]
_FALSE_ALARMS = 0.01


class Params(Strict):
    """How well an attacker may tell rows that trained the model from test rows by how well it answers them.

    The attack ranks rows by the score of their true class, or by minus the absolute error of a regression; ``maximum``
    bounds the area under its ROC curve, which is 0.5 for guessing. The upper bound decides; ``level`` is that of the
    two-sided interval. Each part needs ``minimumRows`` rows, and at most ``maximumRows`` of each are asked.

    It is a simple attack, and so a lower bound of what leaks: one that knows the model's kind may do better. Whatever
    else makes test rows harder than training rows, such as the months between them in a split by time, counts too.
    """

    maximum: Annotated[float, Field(gt=0.5, le=1)] = 0.6
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=20)] = 200
    maximum_rows: Annotated[int, Field(ge=200)] = 20_000


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the maximum if no attack can exceed it."""
    if params.maximum >= 1:
        yield "maximum", "it cannot fail, as no area under a ROC curve is above 1"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Ask about rows of both parts, and judge the upper bound of the area under the attack's ROC curve."""
    asked = [some_rows(rows, params.maximum_rows, subject.seed) for rows in (subject.train, subject.test)]
    n = sum(map(len, asked))
    confidence = []
    for what, rows in zip(("training", "test"), asked, strict=True):
        known = _confidence(subject, rows) if len(rows) else np.empty(0)
        if isinstance(known, str):
            return no_data(known, n)
        if len(known) < params.minimum_rows:
            return no_data(f"{len(known)} {what} rows with a label are fewer than {params.minimum_rows}", n)
        confidence.append(known)
    inside, outside = confidence
    member = np.repeat([1.0, 0.0], [len(inside), len(outside)])
    value, lower, upper, method = auc.interval(member, np.concatenate([inside, outside]), params.level)
    what = "area under the ROC curve of the attack"
    found = at_most(what, value, lower, upper, params.maximum, len(member))
    by_time = subject.model.training.split.type == "time"
    reason = found.reason + ("; the parts are split by time, and what changed meanwhile counts too" if by_time else "")
    details = {
        "trainingRows": len(inside),
        "testRows": len(outside),
        "method": method,
        **_at_few_false_alarms(inside, outside, params.level),
    }
    return Verdict(found.verdict, reason, value, lower, upper, params.maximum, len(member), details)


def _confidence(subject: Subject, rows: pd.DataFrame) -> Array | str:
    """Return how well the model answers each row with a label, shape (n,), larger for better."""
    answers = steady(subject, rows)
    if isinstance(answers, str):
        return answers
    task = subject.model.task
    truth = coded(rows[subject.model.data.target], task, subject.holdout.classes)
    known = np.isfinite(truth)
    if task == "regression":
        return np.asarray(-np.abs(truth - answers.scores)[known])
    if task == "binary-classification":
        return np.asarray(np.where(truth == 1, answers.scores, 1 - answers.scores)[known])
    places = truth[known].astype(np.intp)
    return np.asarray(answers.scores[known][np.arange(len(places)), places])


def _at_few_false_alarms(inside: Array, outside: Array, level: float) -> dict[str, object]:
    """Return which share of the training rows is told where one in a hundred of the others is taken for one."""
    threshold = float(np.quantile(outside, 1 - _FALSE_ALARMS, method="higher"))
    told = int((inside > threshold).sum())
    lower, upper = exact_proportion(told, len(inside), level)
    return {
        "falseAlarms": float((outside > threshold).mean()),
        "told": told / len(inside),
        "toldLower": lower,
        "toldUpper": upper,
    }
