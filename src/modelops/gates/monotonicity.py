"""Whether answers move the way that they are declared to when one feature alone is raised."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from modelops.artifacts.pandas_columns import feature_columns
from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.asking import some_rows, steady, weights
from modelops.gates._parts.findings import bounds_of, no_data, none_above, weighed
from modelops.spec.kinds.model import Feature
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.intervals import exact_proportion
from modelops.statistics.parts.worst import Part, part, shared_level
from modelops.statistics.weighted import trials, worth

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDS", "Params", "evaluate"]

NEEDS: tuple[Need, ...] = ("rows", "predictor")

Array = np.ndarray[Any, np.dtype[np.float64]]
Direction = Literal["increasing", "decreasing"]
_ORDERED = ("number", "integer", "boolean")


class Params(Strict):
    """The largest share of pairs of rows, by feature, whose answers contradict its declared direction.

    ``directions`` names features and how the answer moves when they rise: ``increasing`` or ``decreasing``. The answer
    is the score of the positive class, or the value of a regression. A pair is a test row and the same row with the
    value that another row, drawn from the training rows, has of the feature; nothing else changes. Pairs of equal or
    missing values are no pairs. An answer contradicts the direction if it moves the other way by more than
    ``tolerance``, in the unit of the answer. The gate passes when no feature has a larger share than ``maximum``: the
    bound of the worst one decides. ``level`` is that of the two-sided interval of the worst; a feature needs
    ``minimumRows`` pairs, and at most ``maximumRows`` test rows are asked.
    """

    directions: dict[Annotated[str, Field(min_length=1)], Direction] = Field(min_length=1)
    maximum: OpenShare
    tolerance: Annotated[float, Field(ge=0)] = 1e-6
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=2)] = 50
    maximum_rows: Annotated[int, Field(ge=50)] = 20_000


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Ask about every test row as it is and with one feature exchanged, and judge the worst feature's share."""
    test = some_rows(subject.test, params.maximum_rows, subject.seed)
    n = len(test)
    features = _declared(params, subject)
    if isinstance(features, str):
        return no_data(features, n)
    if n < params.minimum_rows:
        return no_data(f"{n} test rows are fewer than {params.minimum_rows}", n)
    plain = steady(subject, test)
    if isinstance(plain, str):
        return no_data(plain, n)
    weight = weights(subject, test)
    found: list[tuple[Part, dict[str, object]]] = []
    few = []
    for place, feature in enumerate(features):
        pairs, moved = _pairs(subject, test, feature, plain.scores, place)
        if not np.isfinite(moved).all():
            return no_data(f"some answers are not finite numbers when {feature.name} is exchanged", n)
        against = -moved if params.directions[feature.name] == "increasing" else moved
        counted = pairs if weight is None else pairs & (weight > 0)
        against, own = against[counted[pairs]], None if weight is None else weight[counted]
        size = len(against) if own is None or not len(own) else worth(own)
        if size < params.minimum_rows:
            few.append(f"{feature.name} ({int(size)})")
            continue
        one = _measured(params, feature.name, against > params.tolerance, own, len(features))
        said = {"feature": feature.name, "direction": params.directions[feature.name]}
        found.append((one, {**said, **bounds_of(one), "largest": float(max(0.0, against.max()))}))
    if not found:
        return no_data(f"too few pairs of different values to judge: {', '.join(few)}", n)
    return _verdict(params, subject, found, few, n, weight)


def _declared(params: Params, subject: Subject) -> list[Feature] | str:
    """Return the features with a direction, or why they can have none."""
    if subject.model.task == "multiclass-classification":
        return "a direction is one of a single score, and a multiclass model has one for each class"
    known = {feature.name: feature for feature in subject.model.data.features}
    absent = [name for name in params.directions if name not in known]
    if absent:
        return f"the model has no feature named {', '.join(absent)}"
    unordered = [name for name in params.directions if known[name].type not in _ORDERED]
    if unordered:
        return f"{', '.join(unordered)} is no number, integer or boolean, and so has no direction"
    return [known[name] for name in params.directions]


def _pairs(
    subject: Subject, test: pd.DataFrame, feature: Feature, plain: Array, place: int
) -> tuple[np.ndarray[Any, np.dtype[np.bool_]], Array]:
    """Return which rows make a pair, shape (n,), and by how much the answer of each pair rises with the feature."""
    generator = np.random.default_rng([subject.seed, place])
    (train,), (own,) = (feature_columns(rows, [feature]).values() for rows in (subject.train, test))
    known = np.flatnonzero(np.isfinite(train))
    if not len(known):
        return np.zeros(len(test), dtype=bool), np.empty(0)
    drawn = generator.choice(known, size=len(test))
    other = train[drawn]
    pairs = np.isfinite(own) & (own != other)
    if not pairs.any():
        return pairs, np.empty(0)
    # The other row's value as it was read: no other type, no other rounding.
    values = subject.train[feature.name].to_numpy()[drawn][pairs]
    asked = test[pairs].assign(**{feature.name: values})
    rise = subject.predict(asked).scores - plain[pairs]
    return pairs, np.where(other[pairs] > own[pairs], rise, -rise)


def _measured(params: Params, name: str, hits: Array, weight: Array | None, parts: int) -> Part:
    counted = hits.astype(np.float64)
    share, size = (float(counted.mean()), float(len(counted))) if weight is None else trials(counted, weight)
    return part(name, len(counted), share, partial(exact_proportion, share * size, size), params.level, parts)


def _verdict(
    params: Params,
    subject: Subject,
    found: list[tuple[Part, dict[str, object]]],
    few: list[str],
    n: int,
    weight: Array | None,
) -> Verdict:
    verdict = none_above("share of pairs against the direction", [one for one, _ in found], params.maximum, n)
    verdict = weighed(verdict, subject.model.data.weight, None if weight is None else int(worth(weight[weight > 0])))
    word, reason = verdict.verdict, verdict.reason
    if few and word == "pass":
        word, reason = "inconclusive", f"too few pairs of different values to judge: {', '.join(few)}; {reason}"
    details = {
        "features": [row for _, row in sorted(found, key=lambda each: -each[0].value)],
        "level": params.level,
        "sharedLevel": shared_level(params.level, len(params.directions)),
        "tolerance": params.tolerance,
    }
    return Verdict(word, reason, verdict.value, verdict.lower, verdict.upper, params.maximum, n, details)
