"""How far a model's objective is reached: the KPI of the business, held against its target, with what is not known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from modelops.clock import end_of_day
from modelops.spec.graph import Graph
from modelops.spec.kinds.outcomes import BusinessObjective, Figure

__all__ = ["Aim", "State", "aim_of", "aims_of", "data", "sentences", "told"]

State = Literal["reached", "not-reached", "uncertain", "not-measured", "not-stated"]


@dataclass(frozen=True, slots=True)
class Aim:
    """What a model is for, what that came to last, and what is to be said of it loudly.

    ``reached`` and ``not-reached`` are of the last value's whole interval, or of the value alone where its interval is
    not known; ``uncertain`` is an interval on both sides of the target. ``progress`` is the share of the way from
    the baseline to the target, None without a baseline that differs from it. ``late`` says that values are missing
    which should be there, ``over`` that the day has passed by which the target was to be reached.
    """

    model: str
    objective: BusinessObjective | None
    last: Figure | None
    state: State
    progress: float | None = None
    late: str = ""
    over: bool = False

    @property
    def loud(self) -> bool:
        """Whether a person has to hear of it: nothing is stated or measured, or the target was missed."""
        return self.state == "not-stated" or bool(self.late) or (self.over and self.state != "reached")


def aim_of(model: str, objective: BusinessObjective | None, values: Sequence[Figure], now: datetime | None) -> Aim:
    """Return how far an objective is reached.

    Parameters
    ----------
    model : str
        The model's name.
    objective : BusinessObjective or None
        What it is for, if that is stated.
    values : sequence of Figure
        What was entered so far, the oldest first.
    now : datetime or None
        When that is asked. Without it nothing is said of what time has passed, as in a text that is kept.
    """
    if objective is None:
        return Aim(model, None, None, "not-stated")
    last = values[-1] if values else None
    over = now is not None and now >= end_of_day(objective.target.by)
    late = _late(objective, last, over, now)
    if last is None:
        return Aim(model, objective, None, "not-measured", None, late, over)
    base, goal = objective.baseline, objective.goal
    way = goal - base.value if base is not None else 0.0
    progress = (last.value - base.value) / way if base is not None and way else None
    return Aim(model, objective, last, _state(objective, last), progress, late, over)


def aims_of(graph: Graph, models: Iterable[str], now: datetime | None) -> tuple[Aim, ...]:
    """Return how far the objectives of some models are reached, as the files of a repository say, by name."""
    found = []
    for name in sorted(set(models) & set(graph.models)):
        entry = graph.models[name]
        found.append(aim_of(name, entry.model.spec.objective, entry.outcomes, now))
    return tuple(found)


def _state(objective: BusinessObjective, last: Figure) -> State:
    ends = (last.value, last.value) if last.lower is None or last.upper is None else (last.lower, last.upper)
    sign = 1.0 if objective.better == "higher" else -1.0
    best, worst = max(sign * end for end in ends), min(sign * end for end in ends)
    if worst >= sign * objective.goal:
        return "reached"
    return "uncertain" if best >= sign * objective.goal else "not-reached"


def _late(objective: BusinessObjective, last: Figure | None, over: bool, now: datetime | None) -> str:
    """Say that no value is as new as it should be."""
    known = last or objective.baseline
    if now is None:
        return ""
    if known is None:
        return "NEVER MEASURED: neither a baseline nor a value was entered"
    age = now - end_of_day(known.until)
    if age < timedelta(0):
        return f"THE VALUE IS OF A PERIOD THAT IS NOT OVER: it ends on {known.until}"
    if age > timedelta(days=objective.every_days):
        which = "" if last is not None else ", which is the baseline: nothing was measured with the model"
        every = f"a value is due every {objective.every_days:g} days"
        return f"NOT MEASURED SINCE {known.until}, {age / timedelta(days=1):.0f} days ago{which}; {every}"
    if last is not None and over and last.until < objective.target.by:
        return f"NOT MEASURED UP TO {objective.target.by}, by when it was to be reached: the last value is older"
    return ""


def sentences(aim: Aim) -> Iterator[str]:
    """Yield what a model is for, what that came to, and what is not known of it."""
    objective = aim.objective
    if objective is None:
        yield "NO OBJECTIVE: nothing says what the model is for in the terms of the business (spec.objective)"
        return
    yield f"question: {objective.question}"
    base = f"without the model {told(objective, objective.baseline)}" if objective.baseline else "NO BASELINE is known"
    target = f"target {_number(objective, objective.goal)} by {objective.target.by}"
    if objective.target.change is not None:
        target += f", {objective.target.change:+.3g} of the baseline"
    yield f"{objective.kpi} ({objective.better} is better): {target}; {base}"
    if aim.last is not None:
        yield f"{_reached(aim)}: {told(objective, aim.last)}"
    elif not aim.late:
        yield "not measured yet with the model"
    if aim.late:
        yield aim.late
    if aim.over and aim.state != "reached":
        yield f"THE DAY HAS PASSED by which it was to be reached: {objective.target.by}"


def _reached(aim: Aim) -> str:
    if aim.state == "reached":
        return "reached"
    way = f", {aim.progress:.0%} of the way from the baseline" if aim.progress is not None else ""
    if aim.state == "uncertain":
        return f"may be reached or not, its interval holds the target{way}"
    return f"not reached{'' if aim.over else ' yet'}{way}"


def _number(objective: BusinessObjective, value: float) -> str:
    return f"{value:,.6g} {objective.unit}".rstrip() if abs(value) < 1e6 else f"{value:,.0f} {objective.unit}".rstrip()


def told(objective: BusinessObjective, figure: Figure) -> str:
    """Return a number with its period, its interval and the number of cases; what is not known is said."""
    period = f"{figure.since} to {figure.until}" if figure.since is not None else f"until {figure.until}, since unknown"
    n = f"n = {figure.n:,}" if figure.n is not None else "n is not known"
    if figure.lower is None or figure.upper is None:
        interval = "no interval is known"
    else:
        level = f"{figure.level:.0%}" if figure.level is not None else "of a level that is not known"
        interval = f"interval {figure.lower:,.6g} to {figure.upper:,.6g} ({level})"
    note = f"; {figure.note}" if figure.note else ""
    return f"{_number(objective, figure.value)} ({period}; {n}; {interval}{note})"


def data(aim: Aim) -> dict[str, Any]:
    """Return how far an objective is reached, with every number that the sentences are made of."""
    objective = aim.objective
    found: dict[str, Any] = {"model": aim.model, "state": aim.state, "loud": aim.loud, "told": list(sentences(aim))}
    if objective is None:
        return found
    return found | {
        "question": objective.question,
        "kpi": objective.kpi,
        "unit": objective.unit or None,
        "better": objective.better,
        "target": objective.goal,
        "by": objective.target.by,
        "baseline": _figure(objective.baseline),
        "last": _figure(aim.last),
        "progress": aim.progress,
        "late": aim.late or None,
        "over": aim.over,
    }


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    return None if figure is None else figure.model_dump(by_alias=True)
