"""What people read of an incident: one headline, and its fields in words."""

from __future__ import annotations

from modelops.alerts import Incident
from modelops.markup import plain

__all__ = ["fields", "headline"]


def headline(incident: Incident) -> str:
    """Return one line: how urgent, what happened, where."""
    where = plain(incident.seat) if incident.seat.model != "*" else plain(incident.seat.environment)
    if incident.over:
        return f"[over] {incident.happening or incident.code}: {where}"
    return f"[{incident.tier}] {incident.event}: {where}"


def fields(incident: Incident) -> dict[str, str]:
    """Return every field that says something, as text, in the order in which people ask."""
    data = incident.data()
    order = ("summary", "next", "model", "environment", "release", "owner", "risk", "tier", "since", "opened")
    told = {name: data[name] for name in (*order, *sorted(data.keys() - set(order)))}
    told["held"] = None
    found = {name: plain(value) for name, value in told.items() if value is not None}
    return found | ({"held": "\n".join(map(plain, incident.held))} if incident.held else {})
