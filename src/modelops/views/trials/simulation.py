"""How simulated rollouts ended: shares, times and the bad requests that were served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modelops.markup import plain
from modelops.rollouts.forecasts import Planned
from modelops.rollouts.simulation import ENDS, Simulation, World
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.views import forecasts
from modelops.views.terminal import table

Found = list[tuple[str, Simulation]]
_WAITS = 3
"""Reasons to hold that are told of a scenario."""


def text(model: str, plan: RolloutPlanSpec, world: World, found: Found, planned: Sequence[Planned] = ()) -> str:
    """Return a table for each scenario, and what the plan is forecast to see."""
    seen = [line for one in planned for line in forecasts.sees(one)]
    return "\n\n".join([head(model, plan, world), *(_scenario(name, one) for name, one in found), *seen])


def data(
    model: str, plan: RolloutPlanSpec, world: World, seed: int, found: Found, planned: Sequence[Planned] = ()
) -> dict[str, Any]:
    """Return every scenario with what repeats it."""
    return {
        "model": model,
        "strategy": plan.strategy.type,
        "requestsPerHour": world.requests_per_hour,
        "everyMinutes": world.every,
        "untilMinutes": world.until,
        "seed": seed,
        "forecasts": forecasts.data(planned),
        "scenarios": [{"name": name, **_summary(simulation)} for name, simulation in found],
    }


def _summary(found: Simulation) -> dict[str, Any]:
    decided = {
        name: {"median": found.quantile(name, 0.5), "p90": found.quantile(name, 0.9)}
        for name in ("minutes", "requests")
    }
    winners = sorted({run.winner for run in found.runs if run.end == "promote"})
    return {
        "runs": len(found.runs),
        "ends": {end: asdict(found.rate(end)) for end in ENDS},
        "holds": [{"runs": count, "reason": why} for count, why in found.waits[:_WAITS]],
        "winners": {arm: sum(run.end == "promote" and run.winner == arm for run in found.runs) for arm in winners},
        "decision": decided,
        "badRequests": dict(zip(("mean", "p90"), found.bad_requests, strict=True)),
    }


HEADERS = ("share", "95 % interval", "time (median, 90 %)", "requests")


def _scenario(name: str, found: Simulation) -> str:
    rows = [[f"  {end}", *cells] for end, *cells in ends(found)]
    return "\n".join([table([f"{name}:", *HEADERS], rows), *(f"  {line}" for line in lines(found))])


def ends(found: Simulation) -> list[list[str]]:
    """Return for each way to end: its name, and what ``HEADERS`` says."""
    rows = []
    for end in ENDS:
        rate = found.rate(end)
        if rate.count or end not in ("keep", "held"):
            minutes, requests = found.quantile("minutes", 0.5, end), found.quantile("requests", 0.5, end)
            rows.append(
                [
                    end,
                    f"{rate.share:.1%}",
                    f"{rate.lower:.1%} to {rate.upper:.1%}",
                    _span(minutes, found.quantile("minutes", 0.9, end)),
                    "" if requests is None else f"{requests:,.0f}",
                ]
            )
    return rows


def lines(found: Simulation) -> list[str]:
    """Return why runs were held, and the bad requests that were served."""
    mean, late = found.bad_requests
    held = [f"held in {count} of {len(found.runs)} runs: {plain(why)}" for count, why in found.waits[:_WAITS]]
    return [*held, f"bad requests served: {mean:.1f} on average, {late:.0f} or more in every tenth run"]


def head(model: str, plan: RolloutPlanSpec, world: World) -> str:
    """Return what was simulated, in one line."""
    rate, until = world.requests_per_hour, world.until
    told = f"{model}: {plan.strategy.type}, {rate:g} requests an hour, a look every {world.every:g} minutes, "
    return f"{told}{until / 1440:g} days"


def _span(median: float | None, late: float | None) -> str:
    if median is None or late is None:
        return ""
    unit, word = (60, "h") if median >= 120 else (1, "min")
    return f"{median / unit:,.1f} {word}, {late / unit:,.1f} {word}"
