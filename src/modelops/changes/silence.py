"""Traffic that should be there and is not: a monitor that sees nothing for long is blind, and says so by failing."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import takewhile

from modelops.clock import format_instant
from modelops.governance.history import deployment_history
from modelops.logs import RuntimeLog
from modelops.project.workspace import Workspace
from modelops.spec.layout import Seat

__all__ = ["silence"]


def silence(
    workspace: Workspace, tip: str, seat: Seat, release: int, log: RuntimeLog, days: float, now: datetime
) -> str:
    """Return why nothing is known of a release that took the traffic for so many days; "" where something is."""
    began = now - timedelta(days=days)
    held = takewhile(lambda moment: moment.stable == release, deployment_history(workspace.repository, tip, seat))
    since = min((moment.time for moment in held), default=now)
    if since > began or log.window(seat.model, began, now).num_rows:
        return ""
    return (
        f"no request came in {days:g} days, and release {release} takes the traffic since {format_instant(since)}: "
        "nobody calls it, or this is not the machine that answers"
    )
