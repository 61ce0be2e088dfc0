"""The gap between groups of people: in decisions, in errors by true label, or in error size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import no_data, weighed
from modelops.gates._parts.groups import DISCLOSURE, groups_by, unnamed
from modelops.metrics import Predictions
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.disparity import Gap, GroupRate, largest_gap, mean, proportion
from modelops.statistics.weighted import trials, worth

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("rows", "predictions")

Array = np.ndarray[Any, Any]
_MOST_GROUPS = 50

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
    """The largest gap allowed between any two groups of ``column``, or of ``columns`` taken together.

    ``demographic-parity`` compares selection rates, ``equal-opportunity`` true positive rates, ``equalized-odds`` both
    true and false positive rates, ``accuracy-difference`` accuracies; for regression ``mean-difference`` compares mean
    predictions and ``mae-difference`` mean absolute errors, in the unit of the target.

    ``column`` is a sensitive column or a feature; a numeric one with more than 10 values is cut at ``bins``, or at its
    quartiles in the training rows. With ``columns`` the groups are those of every column alone and of all of them
    crossed: a model can treat each sex and each age alike, and young women unlike everybody else. A group needs
    ``minimumGroup`` rows, and ``minimumLabels`` rows of the true label that a rate is conditioned on; with less the
    verdict is inconclusive, unless the group is listed under ``waive``: then it is reported but not judged. A group
    below 10 rows is nowhere named, unless the policy waives it by name. Where rows have weights, rates and means are
    weighted, and a group has as many rows as its are worth.
    """

    metric: FairnessMetric
    column: str = ""
    columns: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    maximum: Annotated[float, Field(ge=0)]
    level: OpenShare = 0.95
    minimum_group: Annotated[int, Field(ge=2)] = 30
    minimum_labels: Annotated[int, Field(ge=2)] = 10
    bins: tuple[float, ...] = ()
    waive: tuple[str, ...] = ()
    threshold: OpenShare | None = None

    @model_validator(mode="after")
    def _some_column(self) -> Self:
        if bool(self.column) == bool(self.columns):
            raise ValueError("give exactly one of column and columns")
        if len(set(self.columns)) < len(self.columns) or len(self.columns) == 1:
            raise ValueError("columns names two or more, each once; one alone is column")
        if self.columns and self.bins:
            raise ValueError("bins cut the one number of column; numbers of columns are cut at their quartiles")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that make the groups."""
        return self.columns or (self.column,)

    @property
    def by(self) -> str:
        """What the groups are made by."""
        return " and ".join(self.names)


@dataclass(frozen=True)
class _Quantity:
    """One thing that is compared: ``of`` are its values, shape (n,), on the rows where ``counted`` holds."""

    name: str
    counted: Array
    of: Array
    is_proportion: bool = True
    weight: Array | None = None

    def rows(self, member: Array) -> Array:
        """Return which rows of a group count."""
        counted: Array = member & self.counted
        return counted if self.weight is None else counted & (self.weight > 0)

    def size(self, member: Array) -> int:
        """Return how many rows of a group count, and of weighted ones how many they are worth."""
        rows = self.rows(member)
        return int(rows.sum()) if self.weight is None or not rows.any() else int(worth(self.weight[rows]))

    def mean(self, member: Array) -> float:
        """Return the mean of a group, each row counted for its weight."""
        rows = self.rows(member)
        return float(np.average(self.of[rows], weights=None if self.weight is None else self.weight[rows]))


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the maximum if no two rates can be so far apart."""
    if params.metric not in _REGRESSION and params.maximum >= 1:
        yield "maximum", f"it cannot fail, as no two rates are further apart than 1 ({params.metric})"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Pass when the simultaneous upper bound of the largest gap is within the maximum, fail when the lower is not."""
    problem = _unusable(params, subject)
    if problem:
        return no_data(problem, len(subject.holdout))
    predictions = subject.holdout.at(params.threshold)
    families = _families(params, subject)
    labels = families[-1]
    groups = sorted({group for one in families for group in one.tolist()})
    if len(set(labels.tolist())) < 2:
        return no_data(f"all rows have the same {params.by}", len(labels))
    if len(set(labels.tolist())) > _MOST_GROUPS:
        count = len(set(labels.tolist()))
        return no_data(f"{params.by} has {count} values, more than {_MOST_GROUPS}: group it first", len(labels))
    weight = None if predictions.counted().sample_weight is None else predictions.sample_weight
    quantities = tuple(replace(one, weight=weight) for one in _quantities(params, predictions))
    members = {group: np.any([one == group for one in families], axis=0) for group in groups}
    small = {group: why for group in groups if (why := _too_small(params, quantities, members[group]))}
    judged = [group for group in groups if group not in small and group not in params.waive]
    generator = np.random.default_rng(subject.seed)
    within = [[group for group in judged if group in set(one.tolist())] for one in families]
    compared = [
        [_rate(quantity, group, members[group], generator) for group in some]
        for some in within
        if len(some) >= 2
        for quantity in quantities
    ]
    gap = largest_gap(compared, params.level) if compared else None
    table = _table(params, quantities, members, small)
    unjudged = _listed({group: why for group, why in small.items() if group not in params.waive}, members)
    found = _verdict(params, gap, unjudged, table, len(labels))
    return found if weight is None else weighed(found, subject.model.data.weight, int(worth(weight[weight > 0])))


def _unusable(params: Params, subject: Subject) -> str | None:
    task, predictions = subject.holdout.task, subject.holdout
    right_task = {
        "regression": params.metric in _REGRESSION,
        "binary-classification": params.metric not in _REGRESSION,
        "multiclass-classification": params.metric == "accuracy-difference",
    }[task]
    if not right_task:
        return f"{params.metric} is not defined for {task}"
    absent = [name for name in params.names if name not in subject.test.columns]
    if absent:
        return f"the test rows have no column {absent[0]!r}"
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


def _families(params: Params, subject: Subject) -> list[Array]:
    """Return the group of every test row, shape (n,), as text: by each column alone, and last by all crossed."""
    alone = [groups_by(name, params.bins, subject) for name in params.names]
    if len(alone) == 1:
        return alone
    named = [
        np.array([f"{name} {_told_apart(group)}" for group in one], object)
        for name, one in zip(params.names, alone, strict=True)
    ]
    crossed = np.array([" & ".join(row) for row in zip(*named, strict=True)], dtype=object)
    return [*named, crossed]


def _told_apart(group: str) -> str:
    """Return a group's name as it stands beside others: in quotation marks where it could be taken for two."""
    return json.dumps(group, ensure_ascii=False) if "&" in group or '"' in group else group


def _too_small(params: Params, quantities: tuple[_Quantity, ...], member: Array) -> str | None:
    every = replace(quantities[0], counted=np.ones(len(member), dtype=bool))
    n, of = every.size(member), "rows" if every.weight is None else "rows' worth"
    if n < params.minimum_group:
        return f"{n} {of}"
    for quantity in quantities:
        counted = quantity.size(member)
        if counted < (n if quantity.counted.all() else params.minimum_labels):
            return f"{counted} {of} for its {quantity.name}"
    return None


def _rate(quantity: _Quantity, group: str, member: Array, generator: np.random.Generator) -> GroupRate:
    rows = quantity.rows(member)
    values, weight = quantity.of[rows].astype(np.float64), None if quantity.weight is None else quantity.weight[rows]
    if not quantity.is_proportion:
        return mean(group, values, generator, weight)
    if weight is None:
        return proportion(group, int(values.sum()), len(values), generator)
    share, size = trials(values, weight)
    return proportion(group, share * size, size, generator)


def _table(
    params: Params, quantities: tuple[_Quantity, ...], members: Mapping[str, Array], small: Mapping[str, str]
) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    hidden = [group for group in members if _hidden(group, params, members)]
    if hidden:
        n = int(sum(members[group].sum() for group in hidden))
        rows.append({"group": unnamed(len(hidden)), "n": n, "status": "too small"})
    for group, member in members.items():
        if group in hidden:
            continue
        status = "waived" if group in params.waive else f"too small: {small[group]}" if group in small else "judged"
        row: dict[str, object] = {"group": group, "n": int(member.sum()), "status": status}
        for quantity in quantities:
            rows_of = int(quantity.rows(member).sum())
            row[quantity.name] = quantity.mean(member) if rows_of >= DISCLOSURE else None
            row[f"{quantity.name}Rows"] = rows_of
            if quantity.weight is not None:
                row[f"{quantity.name}Worth"] = quantity.size(member)
        rows.append(row)
    return rows


def _hidden(group: str, params: Params, members: Mapping[str, Array]) -> bool:
    """Tell whether a group is so small that its label may point at a person; what the policy names is no secret."""
    return bool(members[group].sum() < DISCLOSURE) and group not in params.waive


def _listed(small: Mapping[str, str], members: Mapping[str, Array]) -> str:
    """Return the groups that cannot be judged, each with the reason; those below the least number are counted."""
    named = [f"{group} ({why})" for group, why in small.items() if members[group].sum() >= DISCLOSURE]
    hidden = len(small) - len(named)
    return ", ".join([*named, *([unnamed(hidden)] if hidden else [])])


def _verdict(params: Params, gap: Gap | None, listed: str, table: list[dict[str, object]], n: int) -> Verdict:
    details: dict[str, object] = {"groups": table}
    if gap is None:
        if listed:
            return Verdict("inconclusive", f"groups too small to compare: {listed}", n=n, details=details)
        return no_data(f"fewer than two groups of {params.by} are judged", n)
    details |= {"between": list(gap.between), "gapUnderParity": gap.under_parity}
    upper = gap.upper if params.metric in _REGRESSION else min(1.0, gap.upper)
    what = f"{params.metric} gap {gap.value:.4g} [{gap.lower:.4g}, {upper:.4g}] by {params.by}"
    between = f"between {gap.between[0]} and {gap.between[1]}"
    numbers = {"value": gap.value, "lower": gap.lower, "upper": upper, "limit": params.maximum}
    if gap.lower > params.maximum:
        reason = f"{what} {between} is above {params.maximum:g}"
        return Verdict("fail", reason, **numbers, n=n, details=details)
    if listed:
        return Verdict("inconclusive", f"groups too small to judge: {listed}", **numbers, n=n, details=details)
    if upper <= params.maximum:
        return Verdict("pass", f"{what} is at most {params.maximum:g}", **numbers, n=n, details=details)
    reason = f"{what} {between} is not shown to be at most {params.maximum:g}"
    return Verdict("inconclusive", reason, **numbers, n=n, details=details)
