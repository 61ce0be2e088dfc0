"""What each step of a rollout needs to see the effect it guards against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modelops.markup import plain
from modelops.rollouts.forecasts import Planned
from modelops.strategies import Forecast
from modelops.views.terminal import table

HEADERS = ("rollout", "to see", "requests", "one look", "time", "deadline", "chance at minimum", "so far", "in time")


def text(planned: Sequence[Planned]) -> str:
    """Return a row for each step: what it is to see, requests, a single look's, time, deadline, chance."""
    rows = [row(one.model, step) for one in planned if one.stated for step in one.steps]
    said = [told for one in planned for told in sees(one)]
    return "\n".join([*([table(HEADERS, rows)] if rows else []), *said])


def sees(one: Planned) -> list[str]:
    """Return what a whole plan sees of what it guards against, where it is known."""
    chance, expect = one.chance, one.expect
    if chance is None:
        return []
    assumed = "" if one.stated else "; rollout.yaml says no `expect`, so this is assumed"
    effect = f"errors of {expect.error_rate:.3g} times {expect.effect:g}"
    said = f"{one.model}: {effect} are seen in {chance:.0%} of rollouts that take the fewest requests{assumed}"
    if chance >= expect.power:
        return [plain(said)]
    hint = f"promoted in the others: raise minRequests until it is {expect.power:.0%}, or expect a larger effect"
    return [plain(f"{said}; {hint}")]


def row(model: str, step: Forecast) -> list[str]:
    """Return a step as the table of ``HEADERS`` has it."""
    return [
        plain(f"{model} step {step.step}"),
        plain(step.what),
        "never" if step.requests is None else f"{step.requests:,}",
        "" if step.fixed is None else f"{step.fixed:,}",
        _time(step.minutes),
        _time(step.deadline_minutes),
        "" if step.chance is None else f"{step.chance:.0%}",
        "" if step.so_far is None else f"{step.so_far:.0%}",
        "yes" if step.sees else "NO",
    ]


def _time(minutes: float | None) -> str:
    if minutes is None:
        return ""
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 4320 else f"{minutes / 1440:.1f} d"


def line(step: Forecast) -> str:
    """Return what one step needs, for a list of a single rollout's steps."""
    need = f"{step.requests} requests" if step.requests is not None else "no traffic would be enough"
    time = f", {step.minutes:.0f} minutes" if step.minutes is not None else ""
    late = "" if step.sees else ": not before its deadline"
    return plain(f"forecast, step {step.step}: {step.what}: {need}{time}{late}")


def data(planned: Sequence[Planned]) -> list[dict[str, Any]]:
    """Return the forecasts by model."""
    return [
        {
            "model": one.model,
            "strategy": one.strategy,
            "requestsPerHour": one.requests_per_hour,
            "stated": one.stated,
            "chance": one.chance,
            "steps": [asdict(step) for step in one.steps],
        }
        for one in planned
    ]
