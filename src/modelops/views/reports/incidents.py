"""The incidents of a model in an environment, and how far the month's budget of retrainings is spent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelops.changes.postmortems import Filed
from modelops.markup import plain
from modelops.monitoring.objectives import sentence
from modelops.monitoring.triage import Incident, Kept, Spent

__all__ = ["brief", "budget_line", "data", "filed", "filed_line", "line", "lines", "told_of"]

_CLOSED, _NEWEST = 20, 5
"""So many closed incidents are told to machines, and to people on a page."""


def line(one: Incident) -> str:
    """Return an incident in one line: since when, what it is, and why."""
    likely = f"; likely cause: {one.cause}" if one.cause else ""
    state = f"open since {one.opened}" if one.open else f"closed {one.closed}, open since {one.opened}"
    return plain(f"incident {one.id} ({one.event}), {state}: {one.said}{likely}")


def lines(kept: Kept) -> Iterator[str]:
    """Yield what is open, what is suspected, what the last look closed, and how the budget stands."""
    for one in kept.incidents:
        if one.open:
            yield line(one)
            yield from (f"  {plain(said)}" for said in one.evidence)
        elif one.opened is None:
            yield plain(f"suspected since {one.first} ({one.event}), in {one.bad} look(s) so far: {one.said}")
        elif one.closed == kept.at:
            yield line(one)
    yield from (plain(f"objective {sentence(one)}") for one in kept.budgets)
    yield from (plain(f"unusual hours: {one.said}") for one in kept.anomalies)
    if kept.unjudged:
        yield plain(f"hours are not judged: {kept.unjudged}")
    if kept.spent is not None:
        yield budget_line(kept.spent)


def told_of(kept: Kept) -> list[tuple[str, tuple[str, ...]]]:
    """Return what is open, the newest that closed, the objectives and the budget: a line each, with its evidence."""
    going = [one for one in kept.incidents if one.open]
    closed = [one for one in kept.incidents if one.closed is not None][-_NEWEST:]
    found = [(line(one), one.evidence if one.open else ()) for one in (*going, *reversed(closed))]
    found += [(f"objective {sentence(one)}", ()) for one in kept.budgets]
    found += [(f"unusual hours: {one.said}", ()) for one in kept.anomalies]
    found += [(f"hours are not judged: {kept.unjudged}", ())] if kept.unjudged else []
    return [*found, *([(budget_line(kept.spent), ())] if kept.spent is not None else [])]


def brief(kept: Kept) -> Iterator[str]:
    """Yield what is open, and how the budget stands, a line each."""
    yield from (line(one) for one in kept.incidents if one.open)
    yield from (plain(f"objective {sentence(one)}") for one in kept.budgets)
    if kept.spent is not None and (kept.spent.runs or kept.spent.limit is not None):
        yield budget_line(kept.spent)


def budget_line(spent: Spent) -> str:
    """Return how many retrainings a month has had, of how many, and until when the next one waits."""
    of = f" of {spent.limit}" if spent.limit is not None else ""
    waits = f", none before {spent.waits_until}" if spent.waits_until is not None else ""
    rejected = f" ({spent.rejected} rejected in a row)" if spent.rejected else ""
    return f"retrainings in {spent.month}: {spent.runs}{of}{waits}{rejected}"


def data(kept: Kept) -> dict[str, Any]:
    """Return the incidents, the open ones first, and the budget."""
    going = [one for one in kept.incidents if one.closed is None]
    closed = [one for one in kept.incidents if one.closed is not None][-_CLOSED:]
    return {
        "incidents": [_one(one) for one in (*going, *reversed(closed))],
        "objectives": [one.model_dump(mode="json", by_alias=True) for one in kept.budgets],
        "anomalies": [one.model_dump(mode="json", by_alias=True) for one in kept.anomalies],
        "unjudged": kept.unjudged or None,
        "retrainings": None if kept.spent is None else kept.spent.model_dump(by_alias=True),
    }


def _one(one: Incident) -> dict[str, Any]:
    state = "closed" if one.closed is not None else "open" if one.open else "suspected"
    return {"state": state, **one.model_dump(mode="json", by_alias=True, exclude={"counted"})}


def filed_line(one: Filed) -> str:
    """Return what became of a postmortem."""
    if one.lacks:
        return plain(f"postmortem of {one.incident}: not proposed, {one.lacks}; the next look tries again")
    where = f"pull request {one.pull}" if one.pull is not None else f"{one.path} is there already"
    return plain(f"postmortem of {one.incident}: {where}")


def filed(one: Filed) -> dict[str, Any]:
    """Return what became of a postmortem."""
    return {"incident": one.incident, "path": one.path, "pullRequest": one.pull, "lacks": one.lacks or None}
