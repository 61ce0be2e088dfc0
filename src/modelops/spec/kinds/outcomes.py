"""kind: Outcomes — what a model's objective came to, period by period; each number is entered by a reviewed change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.meta import LONGEST_DAYS, Name, OpenShare, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.OUTCOMES
STALLS = False


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError(f"{text!r} is no day: write 2026-04-30")


Day = Annotated[str, AfterValidator(_day)]
Column = Annotated[str, Field(min_length=1)]


class Figure(Strict):
    """A number of a period, from its first day to the end of its last one, ``until``; in UTC.

    ``n`` is how many cases it was measured on, and ``lower`` and ``upper`` are the interval that holds the true value
    with the confidence ``level``. What is not known of them is said wherever the number is.
    """

    since: Day | None = None
    until: Day
    value: float
    lower: float | None = None
    upper: float | None = None
    level: OpenShare | None = None
    n: Annotated[int, Field(ge=1)] | None = None
    note: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.since is not None and self.since > self.until:
            raise ValueError(f"its period begins on {self.since}, after it ends on {self.until}")
        if (self.lower is None) != (self.upper is None):
            raise ValueError("an interval has a lower and an upper end: write both, or neither")
        if self.lower is not None and self.upper is not None and not self.lower <= self.value <= self.upper:
            raise ValueError(f"the value {self.value:g} is not within its interval [{self.lower:g}, {self.upper:g}]")
        if self.level is not None and self.lower is None:
            raise ValueError("the level is that of an interval, and there is none: write lower and upper")
        return self


class Target(Strict):
    """What is to be reached by the end of a day: a ``value``, or a ``change`` as a share of the baseline's (-0.3)."""

    value: float | None = None
    change: float | None = None
    by: Day

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.value is None) == (self.change is None):
            raise ValueError("write either value or change")
        return self


class Series(Strict):
    """Where `modelops data outcomes` reads the numbers: a DataSource with a row for each period, by its columns."""

    name: Name
    value: Column
    until: Column
    since: Column | None = None
    lower: Column | None = None
    upper: Column | None = None
    n: Column | None = None
    level: OpenShare | None = Field(default=None, description="the confidence of the intervals, where there are any")


class BusinessObjective(Strict):
    """What a model is for, in the terms of the business: no metric of its answers, but what they are to bring about.

    ``question`` is the one that the model helps to answer, ``kpi`` the number by which the business knows, in ``unit``.
    ``baseline`` is that number without the model. Values are entered in `outcomes.yaml` of the model by pull request,
    at least every ``everyDays``: by hand, or by `modelops data outcomes` from a ``source``.
    """

    question: str = Field(min_length=1)
    kpi: str = Field(min_length=1)
    unit: str = ""
    better: Literal["lower", "higher"]
    baseline: Figure | None = None
    target: Target
    every_days: Annotated[float, Field(gt=0, le=LONGEST_DAYS)] = 31.0
    source: Series | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        base, change = self.baseline, self.target.change
        if change is not None and (base is None or base.value == 0):
            raise ValueError("a change is a share of the baseline: write a baseline that is not 0, or a target value")
        if base is not None and (self.goal > base.value if self.better == "lower" else self.goal < base.value):
            raise ValueError(f"{self.better} is better, and the target {self.goal:g} is worse than {base.value:g}")
        return self

    @property
    def goal(self) -> float:
        """The value that is to be reached, in the unit of the KPI."""
        if self.target.value is not None:
            return self.target.value
        assert self.baseline is not None
        assert self.target.change is not None
        return self.baseline.value + self.target.change * abs(self.baseline.value)


class OutcomesSpec(Strict):
    """The spec of Outcomes: the values of the KPI that `spec.objective` of the model names, the oldest first."""

    values: tuple[Figure, ...] = Field(min_length=1)


def problems(outcomes: Resource[OutcomesSpec], around: Around) -> Iterator[Problem]:
    """Yield values that are of no objective, and periods that are not one after the other."""
    model = around.folder.only("Model")
    if model is not None and model.spec.objective is None:
        said = f"the model {model.name!r} states no objective that these values are of"
        yield at(outcomes, "spec.values", "no-objective", said, f"add spec.objective to {model.path}")
    for index, (before, after) in enumerate(pairwise(outcomes.spec.values), start=1):
        where = f"spec.values[{index}]"
        if after.until <= before.until:
            said = f"the period until {after.until} comes after the one until {before.until}"
            yield at(outcomes, f"{where}.until", "outcomes-order", said, "write each period once, the oldest first")
        elif after.since is not None and after.since <= before.until:
            said = f"the period since {after.since} shares days with the one until {before.until}"
            yield at(outcomes, f"{where}.since", "outcomes-order", said, "a day belongs to one period")
