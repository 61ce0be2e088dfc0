"""Runs: what was built and tried on this machine, failed ones too, and those that are asked for side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelops import training
from modelops.changes.tries.comparing import Beside, beside
from modelops.dashboard.look import Look
from modelops.dashboard.pictures import Interval, intervals
from modelops.dashboard.rooms import Room
from modelops.metrics.measuring import Difference
from modelops.serving.guard.visible import Sight
from modelops.spec.kinds.release import MetricValue
from modelops.training import tracking
from modelops.views.trials.runs import differing, first_line

__all__ = ["runs"]

_NEWEST, _BESIDE = 200, 12


@dataclass(frozen=True, slots=True)
class Line:
    """One metric of the compared runs: each run's value, and its difference from the first run's."""

    name: str
    cells: Sequence[tuple[MetricValue | None, Difference | None]]
    picture: Markup


def runs(look: Look, sight: Sight, query: Mapping[str, str]) -> Room:
    """Return the page; ``query`` has ``model``, and ``run-N`` for each run to be held beside the others.

    The ledger is this machine's own, so a page that is of git alone has none.
    """
    model = query.get("model", "")
    every = training.runs(look.workspace.ledger, model or None, 100_000) if look.observed else ()
    seen = [one for one in every if sight.has(one.model)]
    asked = {key.removeprefix("run-") for key in query if key.startswith("run-")}
    chosen = sorted((one for one in seen if str(one.id) in asked), key=lambda one: one.id)[:_BESIDE]
    compared = beside(look.workspace.store, chosen) if len(chosen) > 1 else ()
    shown = {
        "runs": seen[:_NEWEST],
        "more": max(0, len(seen) - _NEWEST),
        "models": [name for name in look.names if sight.has(name)],
        "model": model,
        "chosen": {one.id for one in chosen},
        "compared": compared,
        "parameters": [(name, [one.run.parameters.get(name, "–") for one in compared]) for name in differing(compared)],
        "lines": _lines(compared),
        "other_data": len({one.run.data for one in compared}) > 1,
        "known": look.graph.models,
        "first_line": first_line,
        "tracked": tracking.configured(look.workspace.environ),
    }
    return Room("runs.html", "Runs", shown)


def _lines(compared: Sequence[Beside]) -> list[Line]:
    names = dict.fromkeys(name for one in compared for name in one.metrics)
    return [
        Line(name, [(one.metrics.get(name), one.differences.get(name)) for one in compared], _picture(name, compared))
        for name in names
    ]


def _picture(name: str, compared: Sequence[Beside]) -> Markup:
    rows = [
        Interval(f"run {one.run.id}", found.value, found.lower, found.upper, "candidate" if place else "stable")
        for place, one in enumerate(compared)
        if (found := one.metrics.get(name)) is not None
    ]
    return intervals(name, rows)
