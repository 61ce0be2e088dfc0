"""Whether scores are the probabilities that they claim to be, and answers of a regression right on average."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import bounds_of, no_data, none_above, weighed
from modelops.metrics import Predictions
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.parts.reliability import Bin, apart, bins, by_noise
from modelops.statistics.parts.worst import Part, part, shared_level
from modelops.statistics.weighted import worth

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("predictions",)

Array = np.ndarray[Any, np.dtype[np.float64]]
_FEWEST_OF_CLASS = 5


class Params(Strict):
    """How far what comes true may be from what the scores promise, in each of several bins of equally many test rows.

    For binary classification that is the share of positives against the mean score; for several classes the share of
    right answers against the mean score of the answered class; for a regression the mean truth against the mean answer,
    in the unit of the target. The gate passes when the gap of no bin is above ``maximum``: the upper bound of the
    largest one decides, and it fails when some bin is beyond it at the level that all bins share. There are at most
    ``bins``, and fewer where one would have fewer than ``minimumRows`` rows; ``level`` is that of the two-sided
    interval of the largest gap. A gap within a bin, of too high scores and too low ones, is not seen.
    """

    maximum: Annotated[float, Field(gt=0)]
    bins: Annotated[int, Field(ge=1, le=50)] = 10
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=30)] = 50


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the maximum if no two probabilities can be so far apart."""
    if params.maximum >= 1:
        yield "maximum", "it cannot fail where scores are probabilities, as no two are further apart than 1"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Compare what was promised with what came true in every bin, and judge the largest gap."""
    predictions, n = subject.holdout.counted(), len(subject.holdout)
    promised = _promised(predictions)
    if isinstance(promised, str):
        return no_data(promised, n)
    values, scores = promised
    weight, size = predictions.sample_weight, len(predictions)
    left = size if weight is None or not size else int(worth(weight))
    if left < params.minimum_rows:
        return no_data(
            f"{'the worth of ' if weight is not None else ''}{left} rows are fewer than {params.minimum_rows}", n
        )
    shares = predictions.task != "regression"
    found = bins(values, scores, params.bins, params.minimum_rows, weight)
    parts = [_part(params, one, shares, len(found)) for one in found]
    verdict = none_above("gap between what is promised and what comes true", parts, params.maximum, n)
    verdict = weighed(verdict, subject.model.data.weight, None if weight is None else left)
    reason = verdict.reason
    details = {
        "bins": [
            {"scores": one.name, "promised": each.promised, "found": each.found, **bounds_of(one)}
            for one, each in zip(parts, found, strict=True)
        ],
        "level": params.level,
        "sharedLevel": shared_level(params.level, len(parts)),
        "expectedCalibrationError": _mean(found, [one.value for one in parts]),
        "underCalibration": _mean(found, [by_noise(one, shares=shares) for one in found]),
    }
    return Verdict(verdict.verdict, reason, verdict.value, verdict.lower, verdict.upper, params.maximum, n, details)


def _promised(predictions: Predictions) -> tuple[Array, Array] | str:
    """Return what came true of each row and what was promised, shape (n,), or why nothing can be compared."""
    true, scores = predictions.y_true, predictions.y_score
    if len(predictions) == 0:
        return "there are no test rows"
    if not (np.isfinite(true).all() and np.isfinite(scores).all()):
        return "some scores or labels are not finite numbers"
    if predictions.task == "regression":
        return true, predictions.y_pred
    if scores.min() < 0 or scores.max() > 1:
        return f"scores reach from {scores.min():.4g} to {scores.max():.4g}, and so are no probabilities"
    if predictions.task == "binary-classification":
        rarer = int(min((true == 1).sum(), (true == 0).sum()))
        if rarer < _FEWEST_OF_CLASS:
            return f"{rarer} rows of the rarer class are too few to see how often it comes true"
        return true, scores
    answered = scores[np.arange(len(true)), predictions.y_pred.astype(np.intp)]
    return (predictions.y_pred == true).astype(np.float64), answered


def _part(params: Params, one: Bin, shares: bool, count: int) -> Part:
    name = f"{one.scores.min():.4g} to {one.scores.max():.4g}"
    bounds = partial(apart, one, shares=shares)
    return part(name, len(one.scores), abs(one.found - one.promised), bounds, params.level, count)


def _mean(found: list[Bin], values: list[float]) -> float:
    """Return the mean of a value of each bin over all rows."""
    sizes = [len(one.scores) if one.weight is None else float(one.weight.sum()) for one in found]
    return float(np.average(values, weights=sizes))
