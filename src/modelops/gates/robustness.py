"""How many answers change when every number is measured a little wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from modelops.artifacts.pandas_columns import feature_columns
from modelops.gates import Answers, Need, Subject, Verdict
from modelops.gates._findings import at_most, no_data, weighed
from modelops.spec.kinds.model import Feature
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.intervals import ratio_interval, student, wilson
from modelops.statistics.weighted import trials, worth

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDS", "Params", "evaluate"]

NEEDS: tuple[Need, ...] = ("rows", "predictor")

Array = np.ndarray[Any, np.dtype[np.float64]]
_MOST_ALONE = 50  # features that are disturbed alone too, in the order of the spec


class Params(Strict):
    """The largest change allowed when normal noise is added to the features of type number and integer.

    The standard deviation of the noise is ``noise`` times that of the feature in the training rows; what is missing
    stays missing, and integers stay whole. For classification ``maximum`` bounds the share of test rows whose label
    changes; for regression the mean absolute change of the answer, as a share of the standard deviation of the answers.
    ``columns`` limits the features, empty means all that are numbers. ``level`` is that of the two-sided interval;
    ``minimumRows`` is the least number of test rows.
    """

    maximum: OpenShare
    noise: OpenShare = 0.05
    columns: tuple[str, ...] = ()
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=2)] = 50


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Ask the served artifact about the test rows as they are and disturbed, and judge how many answers differ."""
    n = len(subject.test)
    features = _disturbed(params, subject)
    if isinstance(features, str):
        return no_data(features, n)
    if n < params.minimum_rows:
        return no_data(f"{n} test rows are fewer than {params.minimum_rows}", n)
    noise = _noise(params, subject, features)
    plain = subject.predict(subject.test)
    disturbed = subject.predict(_with(subject.test, noise))
    if not (np.isfinite(plain.scores).all() and np.isfinite(disturbed.scores).all()):
        return no_data("some answers are not finite numbers", n)
    changes = _changes(subject, plain, disturbed)
    if changes is None:
        return no_data("the answers to all test rows are the same", n)
    details: dict[str, object] = {"noise": params.noise, "alone": _alone(subject, plain, noise)}
    what = "mean change of the answer" if subject.model.task == "regression" else "share of labels that change"
    weight, column = _weights(subject), subject.model.data.weight
    if weight is not None and len(np.unique(weight[weight > 0])) > 1:
        changes, weight = changes[weight > 0], weight[weight > 0]
        value, size = trials(changes, weight)
        if subject.model.task == "regression":
            lower, upper = ratio_interval(weight * changes, weight, params.level)
        else:
            lower, upper = wilson(value * size, size, params.level)
        rows = int(worth(weight))
        found = weighed(at_most(what, value, max(0.0, lower), upper, params.maximum, n), column, rows)
    elif subject.model.task == "regression":
        value = float(changes.mean())
        lower, upper = student(changes, params.level)
        found = at_most(what, value, max(0.0, lower), upper, params.maximum, n)
    else:
        value = float(changes.mean())
        lower, upper = wilson(float(changes.sum()), n, params.level)
        found = at_most(what, value, lower, upper, params.maximum, n)
    return Verdict(found.verdict, found.reason, value, found.lower, found.upper, params.maximum, n, details)


def _weights(subject: Subject) -> Array | None:
    """Return what each test row counts for, None where the model has no weight column."""
    name = subject.model.data.weight
    return None if name is None else subject.test[name].to_numpy(dtype=np.float64)


def _disturbed(params: Params, subject: Subject) -> list[Feature] | str:
    """Return the features that get noise, or why there are none."""
    numbers = [feature for feature in subject.model.data.features if feature.type in ("number", "integer")]
    absent = sorted(set(params.columns) - {feature.name for feature in numbers})
    if absent:
        return f"the model has no number or integer named {', '.join(absent)}"
    return [one for one in numbers if not params.columns or one.name in params.columns] or "no feature is a number"


def _noise(params: Params, subject: Subject, features: list[Feature]) -> dict[str, Array]:
    """Return the values of each feature in the test rows with noise, shape (n,), NaN where they are missing."""
    generator = np.random.default_rng(subject.seed)
    train, test = feature_columns(subject.train, features), feature_columns(subject.test, features)
    found: dict[str, Array] = {}
    for feature in features:
        present = train[feature.name][np.isfinite(train[feature.name])]
        spread = float(present.std()) if len(present) else 0.0
        noisy = test[feature.name] + params.noise * spread * generator.standard_normal(len(subject.test))
        found[feature.name] = np.rint(noisy) if feature.type == "integer" else noisy
    return found


def _with(test: pd.DataFrame, noise: dict[str, Array]) -> pd.DataFrame:
    return test.assign(**noise)


def _changes(subject: Subject, plain: Answers, disturbed: Answers) -> Array | None:
    """Return the change of each row, shape (n,): 0 or 1 for labels; None where a regression answers but one value."""
    if subject.model.task != "regression":
        return np.asarray(plain.labels != disturbed.labels, dtype=np.float64)
    spread = float(plain.scores.std())
    return np.abs(disturbed.scores - plain.scores) / spread if spread > 0 else None


def _alone(subject: Subject, plain: Answers, noise: dict[str, Array]) -> list[dict[str, object]]:
    """Return how much each feature changes when it alone is disturbed, the most telling first."""
    found: list[tuple[float, str]] = []
    for name, values in list(noise.items())[:_MOST_ALONE]:
        changes = _changes(subject, plain, subject.predict(_with(subject.test, {name: values})))
        assert changes is not None
        found.append((float(changes.mean()), name))
    return [{"feature": name, "change": change} for change, name in sorted(found, key=lambda one: (-one[0], one[1]))]
