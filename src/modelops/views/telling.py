"""How telling stands: what is open and untold, which ways take nothing, what is silenced, whom nobody hears of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from modelops.markup import plain
from modelops.monitoring.telling import Standing

__all__ = ["data", "lines"]


def lines(found: Standing) -> Iterator[str]:
    """Yield a line for each thing that somebody may have to do something about; nothing where all were told."""
    for one in found.open:
        if one.told is None:
            why = one.why or "no way has taken it"
            yield f"untold: {one.event} of {plain(one.seat)} ({plain(one.code)}) since {one.since}: {plain(why)}"
    for failing in found.failing:
        trouble = failing.trouble
        times = f"{trouble.tries} time{'' if trouble.tries == 1 else 's'} since {trouble.since}"
        waiting = f", {trouble.waiting} wait for it" if trouble.waiting else ""
        said = f"route {failing.route + 1} ({plain(failing.type)}) failed {times}: {plain(trouble.said)}"
        yield f"alerts: {said}; tried again from {trouble.again}{waiting}"
    for silence in found.silences:
        until = "in force" if silence.counts else f"from {silence.spec.begins}"
        yield f"silence {silence.name}: {until} until {silence.spec.expires}: {plain(silence.spec.reason)}"
    if found.unheard:
        owners = ", ".join(map(plain, found.unheard))
        yield f"alerts: no route tells of the pages of {owners}: add one to policies/alerting.yaml"


def data(found: Standing | None) -> dict[str, Any] | None:
    """Return how telling stands, None where there is no policy by which people are told."""
    if found is None:
        return None
    return {
        "open": [
            {
                "event": one.event,
                "model": one.seat.model,
                "code": one.code,
                "since": one.since,
                "told": one.told,
                "untold": one.why or None,
            }
            for one in found.open
        ],
        "failing": [{"route": one.route, "type": one.type, **asdict(one.trouble)} for one in found.failing],
        "silences": [
            {"name": one.name, "inForce": one.counts, **one.spec.model_dump(mode="json", by_alias=True)}
            for one in found.silences
        ],
        "unheard": list(found.unheard),
    }
