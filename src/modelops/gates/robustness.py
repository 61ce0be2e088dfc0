"""What answers, or a metric, lose when values arrive a little wrong: noisy, missing, in other units, clipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from pydantic import Field, model_validator

from modelops.gates import Answers, Need, Subject, Verdict
from modelops.gates._parts.asking import steady, weights
from modelops.gates._parts.faults import Fault, disturbed, hit
from modelops.gates._parts.findings import at_most, no_data, weighed
from modelops.metrics import ComparableMetricName, greater_is_better, paired_difference, undefined, unsettled
from modelops.metrics.catalog import metric as metric_of
from modelops.spec.kinds.model import Feature
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.intervals import ratio_interval, student, wilson
from modelops.statistics.weighted import trials, worth

if TYPE_CHECKING:
    pass

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("rows", "predictions", "predictor")

Array = np.ndarray[Any, np.dtype[np.float64]]
_MOST_ALONE = 50  # features that are disturbed alone too, in the order of the spec
_OWN: dict[str, Fault] = {"noise": "noise", "factor": "units", "clip": "clip"}
_STRENGTHS = (0.5, 1.0, 2.0)


class Params(Strict):
    """The largest loss allowed when a ``fault`` meets the features that it can meet.

    ``noise`` adds normal noise to numbers and integers, with ``noise`` times the standard deviation of the training
    rows; ``missing`` takes values of nullable features away; ``units`` multiplies numbers by ``factor``, as where one
    caller sends metres and another one kilometres; ``categories`` takes the category of another row; ``clip`` cuts
    numbers at the quantiles ``clip`` and 1 - ``clip`` of the training rows, as a sensor does at its ends. ``share`` of
    the values of each feature are hit: all by noise and clipping, one in ten by the others, unless given. What is
    missing stays missing, integers stay whole.

    Without a ``metric``, ``maximum`` bounds the share of test rows whose label changes; for regression the mean
    absolute change of the answer, as a share of the standard deviation of the answers. With one it bounds by how much
    the metric gets worse on the same rows, in its unit. ``columns`` limits the features, empty means all that the fault
    can meet. ``level`` is that of the two-sided interval; ``minimumRows`` is the least that it rests on.
    """

    maximum: Annotated[float, Field(gt=0)]
    fault: Fault = "noise"
    metric: ComparableMetricName | None = None
    noise: OpenShare = 0.05
    factor: Annotated[float, Field(gt=0)] = 1000.0
    clip: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    columns: tuple[str, ...] = ()
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=2)] = 50

    @model_validator(mode="after")
    def _one_fault(self) -> Self:
        for name, fault in _OWN.items():
            if name in self.model_fields_set and fault != self.fault:
                raise ValueError(f"{name} is how strong the fault {fault} is, and the fault is {self.fault}")
        if self.factor == 1:
            raise ValueError("a factor of 1 changes no unit")
        if self.metric is None and self.maximum >= 1:
            raise ValueError("without a metric, maximum is a share below 1")
        return self

    @property
    def hits(self) -> float:
        """The share of values that are hit."""
        return self.share if self.share is not None else 1.0 if self.fault in ("noise", "clip") else 0.1

    @property
    def strength(self) -> float:
        """How strong the fault is, in its own unit; 1 for those that only have a share."""
        return {"noise": self.noise, "units": self.factor, "clip": self.clip}.get(self.fault, 1.0)


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the maximum if no metric of its kind can get so much worse."""
    if params.metric is not None:
        found = metric_of(params.metric)
        if params.maximum >= found.most - found.least:
            widest = found.most - found.least
            yield "maximum", f"it cannot fail, as no two values of {params.metric} are further apart than {widest:g}"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Ask the served artifact about the test rows as they are and disturbed, and judge what that costs."""
    n = len(subject.test)
    features = _met(params, subject)
    if isinstance(features, str):
        return no_data(features, n)
    if n < params.minimum_rows:
        return no_data(f"{n} test rows are fewer than {params.minimum_rows}", n)
    plain = steady(subject, subject.test)
    if isinstance(plain, str):
        return no_data(plain, n)
    values = _values(params, subject, features, 1.0)
    found = _judged(params, subject, plain, subject.predict(subject.test.assign(**values)))
    if found.verdict == "no-data":
        return found
    details: dict[str, object] = {"fault": params.fault, "share": params.hits, "curve": []}
    details |= {name: getattr(params, name) for name, fault in _OWN.items() if fault == params.fault}
    details["curve"] = [_point(params, subject, plain, features, strength) for strength in _STRENGTHS]
    details["alone"] = _alone(params, subject, plain, values)
    return replace(found, details=details)


def _met(params: Params, subject: Subject) -> list[Feature] | str:
    """Return the features that the fault meets, or why there are none."""
    every = [feature for feature in subject.model.data.features if hit(params.fault, feature)]
    kind = {"missing": "nullable feature", "categories": "category"}.get(params.fault, "number or integer")
    absent = sorted(set(params.columns) - {feature.name for feature in every})
    if absent:
        return f"the model has no {kind} named {', '.join(absent)}"
    none = {"missing": "no feature is nullable, so missing values are refused before the model is asked"}
    chosen = [one for one in every if not params.columns or one.name in params.columns]
    return chosen or none.get(params.fault, f"no feature is a {kind}")


def _values(params: Params, subject: Subject, features: list[Feature], times: float) -> dict[str, Any]:
    """Return the disturbed values of each feature, with a fault so many times as strong, or as frequent, as asked."""
    strength, share = params.strength, params.hits
    if params.fault == "noise":
        strength *= times
    elif params.fault == "clip":
        strength = min(0.49, strength * times)
    else:
        share = min(1.0, share * times)
    return {
        feature.name: disturbed(params.fault, strength, share, subject, subject.test, feature) for feature in features
    }


def _point(
    params: Params, subject: Subject, plain: Answers, features: list[Feature], times: float
) -> dict[str, object]:
    values = _values(params, subject, features, times)
    found = _judged(params, subject, plain, subject.predict(subject.test.assign(**values)))
    return {"times": times, "loss": found.value, "lower": found.lower, "upper": found.upper}


def _judged(params: Params, subject: Subject, plain: Answers, other: Answers) -> Verdict:
    """Judge what is lost between two sets of answers to the test rows."""
    if not (np.isfinite(other.scores).all() and np.isfinite(other.labels).all()):
        return no_data(f"some answers are not finite numbers under {params.fault}", len(subject.test))
    if params.metric is not None:
        return _worse(params, params.metric, subject, plain, other)
    return _changed(params, subject, plain, other)


def _worse(params: Params, metric: str, subject: Subject, plain: Answers, other: Answers) -> Verdict:
    """Judge by how much a metric gets worse on the same rows."""
    if len(subject.holdout) != len(subject.test):
        return no_data(f"{len(subject.holdout)} predictions for {len(subject.test)} test rows", len(subject.test))
    before, after = (replace(subject.holdout, y_pred=one.labels, y_score=one.scores) for one in (plain, other))
    for predictions in (before, after):
        why = undefined(metric, predictions)
        if why is not None:
            return no_data(why, len(before))
    pair = (before, after) if greater_is_better(metric) else (after, before)
    found = paired_difference(metric, *pair, level=params.level, seed=subject.seed)
    assert found is not None
    if found.rests_on < params.minimum_rows:
        return no_data(f"{metric} is compared on {found.rests_on} rows, fewer than {params.minimum_rows}", found.n)
    small = unsettled(metric, *pair, limit=params.maximum)
    if small is not None:
        return no_data(small, found.n)
    what = f"loss of {metric} under {params.fault}"
    verdict = at_most(what, found.value, found.lower, found.upper, params.maximum, found.n)
    return weighed(verdict, subject.model.data.weight, None if found.effective is None else found.rests_on)


def _changed(params: Params, subject: Subject, plain: Answers, other: Answers) -> Verdict:
    """Judge how many labels, or how far answers, change."""
    n, regression = len(subject.test), subject.model.task == "regression"
    changes = _changes(subject, plain, other)
    if changes is None:
        return no_data("the answers to all test rows are the same", n)
    what = "mean change of the answer" if regression else "share of labels that change"
    what += "" if params.fault == "noise" else f" under {params.fault}"
    weight = weights(subject, subject.test)
    if weight is None:
        value = float(changes.mean())
        lower, upper = student(changes, params.level) if regression else wilson(float(changes.sum()), n, params.level)
        return at_most(what, value, max(0.0, lower), upper, params.maximum, n)
    changes, weight = changes[weight > 0], weight[weight > 0]
    value, size = trials(changes, weight)
    if regression:
        lower, upper = ratio_interval(weight * changes, weight, params.level)
    else:
        lower, upper = wilson(value * size, size, params.level)
    found = at_most(what, value, max(0.0, lower), upper, params.maximum, n)
    return weighed(found, subject.model.data.weight, int(worth(weight)))


def _changes(subject: Subject, plain: Answers, other: Answers) -> Array | None:
    """Return the change of each row, shape (n,): 0 or 1 for labels; None where a regression answers but one value."""
    if subject.model.task != "regression":
        return np.asarray(plain.labels != other.labels, dtype=np.float64)
    spread = float(plain.scores.std())
    return np.abs(other.scores - plain.scores) / spread if spread > 0 else None


def _alone(params: Params, subject: Subject, plain: Answers, values: Mapping[str, Any]) -> list[dict[str, object]]:
    """Return how much each feature changes answers when it alone is disturbed, the most telling first."""
    found: list[tuple[float, str]] = []
    for name, changed in list(values.items())[:_MOST_ALONE]:
        changes = _changes(subject, plain, subject.predict(subject.test.assign(**{name: changed})))
        found.append((float(changes.mean()) if changes is not None else 0.0, name))
    return [{"feature": name, "change": change} for change, name in sorted(found, key=lambda one: (-one[0], one[1]))]
