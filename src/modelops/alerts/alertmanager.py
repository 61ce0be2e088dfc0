"""Tells Alertmanager by its API v2: each happening is one alert there, from its beginning until it is over.

What an alert is known by are its labels: alertname, model, environment, owner, risk, severity (the tier), release where
something happened to one, and incident, the key. They are the same when it is over, which is told by ``endsAt``. All
else is in the annotations. Alertmanager keeps alerts in memory: what lasts is told again in each pass, and what is not
told again for ``lastsHours`` counts as over there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from modelops.alerts import Incident, Sending
from modelops.alerts._posting import Place, deliver
from modelops.alerts._wording import fields, headline
from modelops.clock import format_instant, parse_instant

__all__ = ["FORGETS", "Params", "send"]

FORGETS = True
_LABELS = ("model", "environment", "owner", "risk")


class Params(Place):
    """Where Alertmanager answers, and how long an alert lasts there that is not told again.

    ``url`` ends before ``/api/v2``.
    """

    lasts_hours: float = Field(
        default=50.0, gt=0, le=2160, description="hours; longer than the pause between two passes or looks"
    )

    @model_validator(mode="after")
    def _above_the_api(self) -> Self:
        if self.url is not None and re.search(r"/api/v[0-9]+(/|$)", self.url):
            raise ValueError("url ends before /api/v2, which is added")
        return self


def send(params: Params, incident: Incident, sending: Sending, sleep: Callable[[float], None] = time.sleep) -> None:
    """Post one alert."""
    body = json.dumps([_alert(params, incident, sending)]).encode()
    deliver(params, body, sending.environ, sending.seconds, sleep, below="/api/v2/alerts")


def _alert(params: Params, incident: Incident, sending: Sending) -> dict[str, object]:
    told = fields(incident)
    happening = incident.happening or incident.event
    name = "Model" + "".join(word.capitalize() for word in happening.split("-"))
    labels = {"alertname": name, "severity": incident.tier, "incident": incident.key}
    labels |= {label: told[label] for label in _LABELS}
    if happening == "rolled-back" and incident.release is not None:
        labels["release"] = str(incident.release)
    rest = {label: value for label, value in told.items() if label not in (*_LABELS, "tier", "key")}
    began = parse_instant(incident.opened or incident.since)
    # An end before its beginning would be refused, also where a clock was moved back.
    ends = max(began, sending.now + (timedelta(0) if incident.over else timedelta(hours=params.lasts_hours)))
    return {
        "labels": labels,
        "annotations": {"title": headline(incident), **rest},
        "startsAt": format_instant(began),
        "endsAt": format_instant(ends),
    }
