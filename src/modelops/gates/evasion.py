"""How far a row has to be moved until the answer changes, by who may change some features and not others."""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field
from scipy.stats import binom

from modelops.artifacts.frame import spelling
from modelops.artifacts.pandas_columns import feature_columns
from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.asking import some_rows, steady, weights
from modelops.gates._parts.findings import at_least, no_data
from modelops.spec.kinds.model import Feature
from modelops.spec.meta import OpenShare, Scalar, Strict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDS", "Params", "evaluate", "median_bounds"]

NEEDS: tuple[Need, ...] = ("rows", "predictions", "predictor")

Array = np.ndarray[Any, np.dtype[np.float64]]
_MOVED = ("number", "integer")
_NEIGHBOURS = 5
_STEPS = 12
_KNOWN = 5000  # training rows that are asked for the answer of their neighbours
_WITHIN = (0.1, 0.25, 0.5, 1.0)


class Params(Strict):
    """The least median change, in standard deviations, by which an attack has to move rows to change their label.

    The attack walks from a test row to the nearest training rows that get another label, and finds by bisection where
    on the way the label changes. It moves numbers and integers alone, integers by whole steps; categories, booleans,
    datetimes, missing values and what ``immutable`` names stay. The change is the Euclidean length of what was moved,
    each feature in standard deviations of the training rows. A row that none of its 5 nearest such rows leads to
    another label counts as never moved. ``label`` attacks only rows that get that label: what somebody wants to get
    away from.

    What the attack finds is an upper bound of the least change: another attack may need less, so that failing is
    proof, and passing says that this one needs so much. The gate passes when the lower bound of the median reaches
    ``minimum``; ``level`` is that of its two-sided interval, which holds for any distribution. At most ``maximumRows``
    rows are attacked, within ``seconds``, and it needs ``minimumRows``.
    """

    minimum: Annotated[float, Field(gt=0)]
    immutable: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    label: Scalar = None
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=10)] = 50
    maximum_rows: Annotated[int, Field(ge=10)] = 300
    seconds: Annotated[float, Field(gt=0)] = 60.0


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Attack some test rows with the served artifact as the judge, and judge the median change."""
    n = len(subject.test)
    features = _movable(params, subject)
    if isinstance(features, str):
        return no_data(features, n)
    known = some_rows(subject.train, _KNOWN, subject.seed)
    if not len(known) or n < params.minimum_rows:
        return no_data(f"{n} test rows and {len(known)} training rows are too few to attack", n)
    began = perf_counter()
    plain = steady(subject, subject.test)
    if isinstance(plain, str):
        return no_data(plain, n)
    calls = len(known) + params.maximum_rows * _NEIGHBOURS * (_STEPS + 1)
    ahead = (perf_counter() - began) / (n + min(n, 500)) * calls
    if ahead > params.seconds:
        said = f"the model would take about {ahead:.0f} s for {calls} answers, more than {params.seconds:g} s"
        return no_data(f"{said}: lower maximumRows, or give it more seconds", n)
    chosen = _chosen(params, subject, plain.labels)
    if isinstance(chosen, str) or len(chosen) < params.minimum_rows:
        return no_data(chosen if isinstance(chosen, str) else f"{len(chosen)} rows get the label to be attacked", n)
    rows, labels = subject.test.iloc[chosen], plain.labels[chosen]
    found = _attacked(subject, rows, labels, known, features)
    if isinstance(found, str):
        return no_data(found, n)
    return _judged(params, found, features)


def _movable(params: Params, subject: Subject) -> list[Feature] | str:
    """Return the features that the attack may move, or why there is no attack."""
    if subject.model.task == "regression":
        return "a regression answers no label that could change: judge it by robustness"
    every = subject.model.data.features
    absent = sorted(set(params.immutable) - {feature.name for feature in every})
    if absent:
        return f"the model has no feature named {', '.join(absent)}"
    found = [one for one in every if one.type in _MOVED and one.name not in params.immutable]
    return found or "every feature is immutable, or neither a number nor an integer"


def _chosen(params: Params, subject: Subject, labels: Array) -> np.ndarray[Any, np.dtype[np.intp]] | str:
    """Return the positions of the rows to attack: by their weights where rows have some, each maybe several times."""
    wanted, classes = np.ones(len(labels), dtype=bool), [spelling(one) for one in subject.holdout.classes]
    if params.label is not None:
        if spelling(params.label) not in classes:
            return f"the model has no label {params.label!r}; it has {', '.join(classes)}"
        wanted = labels == classes.index(spelling(params.label))
    weight = weights(subject, subject.test)
    places = np.flatnonzero(wanted)
    generator = np.random.default_rng(subject.seed)
    if weight is not None and weight[places].sum() > 0:
        share = weight[places] / weight[places].sum()
        return generator.choice(places, min(len(places), params.maximum_rows), p=share)
    if len(places) > params.maximum_rows:
        return np.sort(generator.choice(places, params.maximum_rows, replace=False))
    return places


def _attacked(
    subject: Subject, rows: pd.DataFrame, labels: Array, known: pd.DataFrame, features: list[Feature]
) -> Array | str:
    """Return the least change found for each row, shape (n,), infinite where none was, in standard deviations."""
    own, theirs = (np.column_stack(list(feature_columns(each, features).values())) for each in (rows, known))
    spread = np.nanstd(theirs, axis=0)
    if not (spread > 0).any():
        return "no feature that may be moved varies in the training rows"
    answered = subject.predict(known).labels
    best = np.full(len(rows), np.inf)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(spread > 0, theirs / spread, 0.0)
    whole = np.array([feature.type == "integer" for feature in features])
    nearest = _nearest(np.where(spread > 0, own / np.where(spread > 0, spread, 1.0), 0.0), scaled, labels, answered)
    for place in nearest.T:
        there = place >= 0
        ends = np.where(np.isnan(own) | np.isnan(theirs[place]), own, theirs[place])
        best[there] = np.minimum(
            best[there],
            _bisected(subject, rows[there], own[there], ends[there], labels[there], features, whole, spread),
        )
    return best


def _nearest(own: Array, theirs: Array, labels: Array, answered: Array) -> np.ndarray[Any, np.dtype[np.intp]]:
    """Return the nearest rows with another answer, shape (n, 5), -1 where there are fewer; missing values are near."""
    found = np.full((len(own), _NEIGHBOURS), -1)
    for at, (row, label) in enumerate(zip(own, labels, strict=True)):
        other = np.flatnonzero(answered != label)
        distance = np.nansum((theirs[other] - row) ** 2, axis=1)
        few = other[np.argsort(distance, kind="stable")[:_NEIGHBOURS]]
        found[at, : len(few)] = few
    return found


def _bisected(
    subject: Subject,
    rows: pd.DataFrame,
    start: Array,
    end: Array,
    labels: Array,
    features: list[Feature],
    whole: np.ndarray[Any, np.dtype[np.bool_]],
    spread: Array,
) -> Array:
    """Return the change at which each row gets another label on the way to its end, infinite where it keeps its own."""

    def moved(share: Array) -> Array:
        values = start + share[:, None] * (end - start)
        return np.where(whole & ~np.isnan(values), np.where(share[:, None] < 1, np.round(values), end), values)

    def changed(values: Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
        asked = rows.assign(**{one.name: values[:, at] for at, one in enumerate(features)})
        return np.asarray(subject.predict(asked).labels != labels)

    low, high = np.zeros(len(rows)), np.ones(len(rows))
    leads = changed(moved(high))
    for _ in range(_STEPS):
        middle = (low + high) / 2
        flips = changed(moved(middle))
        high, low = np.where(flips, middle, high), np.where(flips, low, middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        steps = np.where(spread > 0, (moved(high) - start) / spread, 0.0)
    found: Array = np.sqrt(np.nansum(steps**2, axis=1))
    return np.where(leads, found, np.inf)


def median_bounds(values: Array, level: float) -> tuple[float, float]:
    """Return a confidence interval of the median by order statistics, for any distribution (Hahn and Meeker 1991)."""
    n, ordered = len(values), np.sort(values)
    # The k-th smallest is above the median with the chance that fewer than k of n are below it.
    k = int(binom.ppf((1 - level) / 2, n, 0.5))
    if k < 1 or binom.cdf(k - 1, n, 0.5) > (1 - level) / 2:
        return 0.0, math.inf
    return float(ordered[k - 1]), float(ordered[n - k])


def _judged(params: Params, found: Array, features: list[Feature]) -> Verdict:
    n = len(found)
    lower, upper = median_bounds(found, params.level)
    median = float(np.median(found))
    moved = int(np.isfinite(found).sum())
    details: dict[str, object] = {
        "moved": [feature.name for feature in features],
        "immutable": list(params.immutable),
        "rows": n,
        "changed": moved,
        "level": params.level,
        "within": [{"deviations": within, "share": float((found <= within).mean())} for within in _WITHIN],
    }
    said = f"{moved} of {n} attacked rows get another label"
    if math.isinf(median):
        # More than half of the rows cannot be moved by this attack, so that there is no finite median.
        word = "pass" if lower >= params.minimum else "inconclusive"
        most = f"median change unbounded [{lower:.4g}, inf] is at least {params.minimum:.4g}"
        shown = most if word == "pass" else most.replace(" is ", " is not shown to be ")
        low = lower if math.isfinite(lower) else None
        return Verdict(word, f"{shown} (n {n}); {said}", None, low, None, params.minimum, n, details)  # type: ignore[arg-type]
    verdict = at_least("median change in standard deviations", median, lower, upper, params.minimum, n)
    top = upper if math.isfinite(upper) else None
    return Verdict(verdict.verdict, f"{verdict.reason}; {said}", median, lower, top, params.minimum, n, details)
