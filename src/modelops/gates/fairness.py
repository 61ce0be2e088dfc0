"""The gap between groups of people: in decisions, in errors by true label, or in error size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from modelops.artifacts import columns
from modelops.gates import Subject, Verdict
from modelops.gates._disparity import Gap, GroupRate, largest_gap, mean, proportion
from modelops.gates._findings import no_data
from modelops.gates._rows import raw_values
from modelops.metrics import Predictions
from modelops.spec.meta import OpenShare, Strict
from modelops.spec.model import Feature

__all__ = ["Params", "evaluate"]

Array = np.ndarray[Any, Any]
MISSING = "(missing)"
_MOST_GROUPS = 50
_MOST_VALUES = 10  # a numeric column with more distinct values is cut into bins
_DISCLOSURE = 10  # rates of groups smaller than this are not written down

FairnessMetric = Literal[
    "demographic-parity",
    "equal-opportunity",
    "equalized-odds",
    "accuracy-difference",
    "mean-difference",
    "mae-difference",
]
_REGRESSION = ("mean-difference", "mae-difference")


class Params(Strict):
    """The largest gap allowed between any two groups of ``column``.

    ``demographic-parity`` compares selection rates, ``equal-opportunity`` true positive rates, ``equalized-odds`` both
    true and false positive rates, ``accuracy-difference`` accuracies; for regression ``mean-difference`` compares mean
    predictions and ``mae-difference`` mean absolute errors, in the unit of the target.

    ``column`` is a sensitive column or a feature; a numeric one with more than 10 values is cut at ``bins``, or at its
    quartiles in the training rows. A group needs ``minimumGroup`` rows, and ``minimumLabels`` rows of the true label
    that a rate is conditioned on; with less the verdict is inconclusive, unless the group is listed under ``waive``:
    then it is reported but not judged.
    """

    metric: FairnessMetric
    column: str = Field(min_length=1)
    maximum: Annotated[float, Field(ge=0)]
    level: OpenShare = 0.95
    minimum_group: Annotated[int, Field(ge=2)] = 30
    minimum_labels: Annotated[int, Field(ge=2)] = 10
    bins: tuple[float, ...] = ()
    waive: tuple[str, ...] = ()
    threshold: OpenShare | None = None


@dataclass(frozen=True)
class _Quantity:
    """One thing that is compared: ``of`` are its values, shape (n,), on the rows where ``counted`` holds."""

    name: str
    counted: Array
    of: Array
    is_proportion: bool = True


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Pass when the simultaneous upper bound of the largest gap is within the maximum, fail when the lower is not."""
    problem = _unusable(params, subject)
    if problem:
        return no_data(problem, len(subject.holdout))
    predictions = subject.holdout.at(params.threshold)
    labels = _groups(params, subject)
    groups = sorted(set(labels.tolist()))
    if len(groups) < 2:
        return no_data(f"all rows have the same {params.column}: {', '.join(groups)}", len(labels))
    if len(groups) > _MOST_GROUPS:
        return no_data(
            f"{params.column} has {len(groups)} values, more than {_MOST_GROUPS}: group it first", len(labels)
        )
    quantities = _quantities(params, predictions)
    members = {group: labels == group for group in groups}
    small = {group: why for group in groups if (why := _too_small(params, quantities, members[group]))}
    judged = [group for group in groups if group not in small and group not in params.waive]
    generator = np.random.default_rng(subject.seed)
    families = [[_rate(quantity, group, members[group], generator) for group in judged] for quantity in quantities]
    gap = largest_gap(families, params.level) if len(judged) >= 2 else None
    unjudged = {group: why for group, why in small.items() if group not in params.waive}
    table = _table(params, quantities, members, small)
    return _verdict(params, gap, unjudged, table, len(labels))


def _unusable(params: Params, subject: Subject) -> str | None:
    task, predictions = subject.holdout.task, subject.holdout
    right_task = {
        "regression": params.metric in _REGRESSION,
        "binary-classification": params.metric not in _REGRESSION,
        "multiclass-classification": params.metric == "accuracy-difference",
    }[task]
    if not right_task:
        return f"{params.metric} is not defined for {task}"
    if params.column not in subject.test.columns:
        return f"the test rows have no column {params.column!r}"
    if len(predictions) == 0:
        return "there are no test rows"
    if len(predictions) != len(subject.test):
        return f"{len(predictions)} predictions for {len(subject.test)} test rows"
    if not (np.isfinite(predictions.y_pred).all() and np.isfinite(predictions.y_true).all()):
        return "some predictions or labels are not finite numbers"
    return None


def _quantities(params: Params, predictions: Predictions) -> tuple[_Quantity, ...]:
    true, chosen = predictions.y_true, predictions.y_pred
    every = np.ones(len(true), dtype=bool)
    match params.metric:
        case "demographic-parity":
            return (_Quantity("selectionRate", every, chosen == 1),)
        case "equal-opportunity":
            return (_Quantity("truePositiveRate", true == 1, chosen == 1),)
        case "equalized-odds":
            return (
                _Quantity("truePositiveRate", true == 1, chosen == 1),
                _Quantity("falsePositiveRate", true == 0, chosen == 1),
            )
        case "accuracy-difference":
            return (_Quantity("accuracy", every, chosen == true),)
        case "mean-difference":
            return (_Quantity("meanPrediction", every, chosen, is_proportion=False),)
        case "mae-difference":
            return (_Quantity("meanAbsoluteError", every, np.abs(chosen - true), is_proportion=False),)


def _groups(params: Params, subject: Subject) -> Array:
    """Return the group of every test row, shape (n,), as text."""
    values = raw_values(subject.test[params.column])
    numeric = values.dtype != object
    finite = values[np.isfinite(values)] if numeric else values[:0]
    if numeric and len(finite) and (params.bins or len(np.unique(finite)) > _MOST_VALUES):
        return _binned(values, np.array(params.bins or _quartiles(params.column, subject, finite)))
    text = columns({params.column: values}, [Feature(name=params.column, type="category")])[params.column]
    return np.where(text == "", MISSING, text)


def _quartiles(column: str, subject: Subject, fallback: Array) -> tuple[float, ...]:
    train = raw_values(subject.train[column]) if column in subject.train.columns else fallback
    train = train[np.isfinite(train)] if train.dtype != object else fallback
    return tuple(np.unique(np.quantile(train if len(train) else fallback, [0.25, 0.5, 0.75])).tolist())


def _binned(values: Array, edges: Array) -> Array:
    edges = np.unique(edges)
    names = [f"below {edges[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in pairwise(edges.tolist())]
    names.append(f"{edges[-1]:g} and above")
    binned = np.array([*names, MISSING], dtype=object)
    place = np.searchsorted(edges, values, side="right")
    chosen: Array = binned[np.where(np.isfinite(values), place, len(names))]
    return chosen


def _too_small(params: Params, quantities: tuple[_Quantity, ...], member: Array) -> str | None:
    n = int(member.sum())
    if n < params.minimum_group:
        return f"{n} rows"
    for quantity in quantities:
        counted = int((member & quantity.counted).sum())
        if counted < (n if quantity.counted.all() else params.minimum_labels):
            return f"{counted} rows for its {quantity.name}"
    return None


def _rate(quantity: _Quantity, group: str, member: Array, generator: np.random.Generator) -> GroupRate:
    values = quantity.of[member & quantity.counted]
    if quantity.is_proportion:
        return proportion(group, int(values.sum()), len(values), generator)
    return mean(group, values.astype(np.float64), generator)


def _table(
    params: Params, quantities: tuple[_Quantity, ...], members: Mapping[str, Array], small: Mapping[str, str]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for group, member in members.items():
        status = "waived" if group in params.waive else f"too small: {small[group]}" if group in small else "judged"
        row: dict[str, object] = {"group": group, "n": int(member.sum()), "status": status}
        for quantity in quantities:
            values = quantity.of[member & quantity.counted]
            row[quantity.name] = float(values.mean()) if len(values) >= _DISCLOSURE else None
            row[f"{quantity.name}Rows"] = len(values)
        rows.append(row)
    return rows


def _verdict(
    params: Params, gap: Gap | None, small: Mapping[str, str], table: list[dict[str, object]], n: int
) -> Verdict:
    details: dict[str, object] = {"groups": table}
    listed = ", ".join(f"{group} ({why})" for group, why in small.items())
    if gap is None:
        if small:
            return Verdict("inconclusive", f"groups too small to compare: {listed}", n=n, details=details)
        return no_data(f"fewer than two groups of {params.column} are judged", n)
    details |= {"between": list(gap.between), "gapUnderParity": gap.under_parity}
    upper = gap.upper if params.metric in _REGRESSION else min(1.0, gap.upper)
    what = f"{params.metric} gap {gap.value:.4g} [{gap.lower:.4g}, {upper:.4g}] by {params.column}"
    between = f"between {gap.between[0]} and {gap.between[1]}"
    numbers = {"value": gap.value, "lower": gap.lower, "upper": upper, "limit": params.maximum}
    if gap.lower > params.maximum:
        reason = f"{what} {between} is above {params.maximum:g}"
        return Verdict("fail", reason, **numbers, n=n, details=details)
    if small:
        return Verdict("inconclusive", f"groups too small to judge: {listed}", **numbers, n=n, details=details)
    if upper <= params.maximum:
        return Verdict("pass", f"{what} is at most {params.maximum:g}", **numbers, n=n, details=details)
    reason = f"{what} {between} is not shown to be at most {params.maximum:g}"
    return Verdict("inconclusive", reason, **numbers, n=n, details=details)
