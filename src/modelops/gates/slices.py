"""A metric in every declared segment of the test rows and where two segments meet: the worst one decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, field_validator, model_validator

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import bounds_of, no_data, none_above, none_below, weighed
from modelops.gates._parts.groups import DISCLOSURE, groups_by, unnamed
from modelops.metrics import MetricName, Predictions, measure, undefined, unsettled
from modelops.metrics.catalog import metric
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics import Bounds
from modelops.statistics.parts.worst import Part, part, shared_level
from modelops.statistics.weighted import worth

__all__ = ["NEEDS", "Params", "evaluate", "vacuous"]

NEEDS: tuple[Need, ...] = ("rows", "predictions")

Mask = np.ndarray[Any, np.dtype[np.bool_]]
_MOST_VALUES = 50
_MOST_SLICES = 1000


class Params(Strict):
    """What the metric has to be in every slice: exactly one of ``minimum`` and ``maximum``, in the metric's unit.

    ``columns`` are sensitive columns, features or others of the test rows. The slices are the values of each, and with
    ``crossed`` every value of one together with every value of another. A number with more than 10 values is cut at its
    ``bins``, or at its quartiles in the training rows.

    The gate passes when the bound of each slice, at ``level``, is within the limit, and fails when that of some slice
    is beyond it at the level that all slices share (Bonferroni): a model that violates the limit in some slice passes,
    and one that keeps it in all fails, each with at most the chance that ``level`` leaves. A slice of one column with
    fewer than ``minimumRows`` rows, or in which the metric cannot be bounded, makes the verdict inconclusive unless it
    is listed under ``waive``; ``smallCrossed`` says whether one of two columns does too, or is only reported. Slices
    below 10 rows are nowhere named. ``threshold`` replaces the model's own for binary labels.
    """

    metric: MetricName
    columns: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=1)
    minimum: float | None = None
    maximum: float | None = None
    crossed: bool = True
    bins: dict[str, tuple[float, ...]] = {}
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=2)] = 50
    small_crossed: Literal["report", "inconclusive"] = "report"
    waive: tuple[str, ...] = ()
    threshold: OpenShare | None = None

    @field_validator("metric")
    @classmethod
    def _bounded(cls, name: str) -> str:
        if metric(name).interval == "cells":
            raise ValueError(f"the interval of {name} is drawn, and too coarse at the level that many slices share")
        return name

    @model_validator(mode="after")
    def _one_limit(self) -> Self:
        if (self.minimum is None) == (self.maximum is None):
            raise ValueError("give exactly one of minimum and maximum")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError("columns names each column once")
        unknown = sorted(set(self.bins) - set(self.columns))
        if unknown:
            raise ValueError(f"bins cut {', '.join(unknown)}, which columns does not name")
        return self


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the limit if every value of the metric meets it, or none does."""
    found = metric(params.metric)
    if params.minimum is not None:
        free, shut = params.minimum <= found.least, params.minimum > found.most
    else:
        assert params.maximum is not None
        free, shut = params.maximum >= found.most, params.maximum < found.least
    key = "minimum" if params.minimum is not None else "maximum"
    if free:
        yield key, f"it cannot fail, as {params.metric} is always between {found.least:g} and {found.most:g}"
    if shut:
        yield key, f"it cannot pass, as {params.metric} is always between {found.least:g} and {found.most:g}"


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Measure every slice, and judge the worst by bounds that count how many slices were looked at."""
    predictions, n = subject.holdout.at(params.threshold), len(subject.holdout)
    problem = _unusable(params, subject, predictions)
    if problem:
        return no_data(problem, n)
    found = _slices(params, subject)
    if isinstance(found, str):
        return no_data(found, n)
    slices, crossed = found
    small = {name: why for name, rows in slices.items() if (why := _too_small(params, predictions.take(rows)))}
    judged = [name for name in slices if name not in small and name not in params.waive]
    parts = [_part(params, name, predictions.take(slices[name]), subject.seed, len(judged)) for name in judged]
    blocking = [
        name
        for name in small
        if name not in params.waive and (name not in crossed or params.small_crossed == "inconclusive")
    ]
    unjudged = _listed(blocking, small, slices)
    reported = [name for name in small if name not in params.waive and name not in blocking]
    details = _details(params, slices, small, parts)
    if not parts:
        return Verdict(
            "no-data", f"no slice is large enough: {_listed(list(small), small, slices)}", n=n, details=details
        )
    limit = params.minimum if params.minimum is not None else params.maximum
    assert limit is not None
    judge = none_below if params.minimum is not None else none_above
    verdict = judge(f"{params.metric} by {' and '.join(params.columns)}", parts, limit, n)
    weight = predictions.counted().sample_weight
    verdict = weighed(verdict, subject.model.data.weight, None if weight is None else int(worth(weight)))
    word, reason = verdict.verdict, verdict.reason
    if unjudged and word == "pass":
        word, reason = "inconclusive", f"slices too small to judge: {unjudged}; {reason}"
    if reported:
        rows = int(np.any([slices[name] for name in reported], axis=0).sum())
        reason += f"; {len(reported)} crossed slices, of {rows} rows, are too small and were not judged"
    return Verdict(word, reason, verdict.value, verdict.lower, verdict.upper, limit, n, details)


def _unusable(params: Params, subject: Subject, predictions: Predictions) -> str | None:
    if len(predictions) == 0:
        return "there are no test rows"
    absent = [name for name in params.columns if name not in subject.test.columns]
    if absent:
        return f"the test rows have no column {absent[0]!r}"
    if len(predictions) != len(subject.test):
        return f"{len(predictions)} predictions for {len(subject.test)} test rows"
    return undefined(params.metric, predictions)


def _slices(params: Params, subject: Subject) -> tuple[dict[str, Mask], frozenset[str]] | str:
    """Return the rows of every slice, shape (n,), and which of them are of two columns; or why there are none."""
    alone: dict[str, dict[str, Mask]] = {}
    for column in params.columns:
        groups = groups_by(column, params.bins.get(column, ()), subject)
        values = sorted(set(groups.tolist()))
        if len(values) > _MOST_VALUES:
            return f"{column} has {len(values)} values, more than {_MOST_VALUES}: group it first"
        alone[column] = {f"{column} {value}": groups == value for value in values}
    if all(len(slices) < 2 for slices in alone.values()):
        return f"all rows have the same {' and '.join(params.columns)}"
    found = {name: rows for slices in alone.values() for name, rows in slices.items()}
    crossed: dict[str, Mask] = {}
    for one, other in combinations(alone.values(), 2) if params.crossed else ():
        both = ((f"{a} & {b}", rows & others) for a, rows in one.items() for b, others in other.items())
        crossed |= {name: rows for name, rows in both if rows.any()}
    # A value may be spelt as two are that meet, and is a slice of one column all the same.
    same = sorted(found.keys() & crossed.keys())
    if same:
        return f"{same[0]!r} is both a value and where two values meet: name the columns apart"
    if len(found) + len(crossed) > _MOST_SLICES:
        return f"there are {len(found) + len(crossed)} slices, more than {_MOST_SLICES}: name fewer columns"
    return found | crossed, frozenset(crossed)


def _too_small(params: Params, predictions: Predictions) -> str | None:
    if len(predictions.counted()) < params.minimum_rows:
        return f"{len(predictions.counted())} rows"
    why = undefined(params.metric, predictions)
    if why is not None:
        return why
    limit = params.minimum if params.minimum is not None else params.maximum
    measured = measure(params.metric, predictions, level=params.level)
    if measured is None or measured.rests_on < 2:
        return "nothing to measure"
    return unsettled(params.metric, predictions, limit=limit)


def _part(params: Params, name: str, predictions: Predictions, seed: int, slices: int) -> Part:
    def bounds(level: float) -> Bounds:
        found = measure(params.metric, predictions, level=level, seed=seed)
        assert found is not None
        return found.lower, found.upper

    value = measure(params.metric, predictions, level=params.level, seed=seed)
    assert value is not None
    return part(name, len(predictions), value.value, bounds, params.level, slices)


def _listed(names: list[str], small: Mapping[str, str], slices: Mapping[str, Mask]) -> str:
    """Return slices that cannot be judged, each with the reason; those that are too small to be named are counted."""
    named = [f"{name} ({small[name]})" for name in names if slices[name].sum() >= DISCLOSURE]
    hidden = len(names) - len(named)
    more = [f"and {len(named) - 5} more"] if len(named) > 5 else []
    return ", ".join([*named[:5], *more, *([unnamed(hidden)] if hidden else [])])


def _details(
    params: Params, slices: Mapping[str, Mask], small: Mapping[str, str], parts: list[Part]
) -> dict[str, object]:
    """Return the numbers of every slice, the worst first, and then those that were not judged."""
    worst_first = sorted(parts, key=lambda one: one.value, reverse=params.minimum is None)
    rows: list[dict[str, object]] = [{"slice": one.name, **bounds_of(one), "status": "judged"} for one in worst_first]
    rows += [
        {"slice": name, "n": int(slices[name].sum()), "status": "waived"}
        for name in params.waive
        if name in slices and name not in small
    ]
    named = [name for name in small if slices[name].sum() >= DISCLOSURE]
    rows += [{"slice": name, "n": int(slices[name].sum()), "status": f"too small: {small[name]}"} for name in named]
    hidden = [name for name in small if name not in named]
    if hidden:
        rows.append({"slice": unnamed(len(hidden)), "n": int(sum(slices[name].sum() for name in hidden))})
    shared = shared_level(params.level, max(1, len(parts)))
    return {"slices": rows, "level": params.level, "sharedLevel": shared, "judged": len(parts)}
