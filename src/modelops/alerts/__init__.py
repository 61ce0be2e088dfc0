"""Alerts: each file is a way by which people hear of what happened to a seat, one model in one environment.

An alert file exposes ``Params`` and ``send(params, incident, sending)``. It returns when the other side has taken the
incident, and raises one ModelOpsError when it has not: the caller remembers what was taken, and tries again in a later
pass what was not. An incident can arrive twice, with one ``id``, when a process dies between the two. Secrets come
from environment variables that the parameters name, and enter no error.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds.alert_policy import Event
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin, Risk, Strict
from modelops.spec.resource import AnyResource

__all__ = ["PROTOCOL", "Alert", "Event", "Incident", "Sending", "bind"]


@dataclass(frozen=True, slots=True)
class Incident:
    """What is told: no secrets, and nothing of the people or rows that a model saw.

    ``summary`` is one sentence about what happened, ``code`` the reason as a word, ``since`` when it began (ISO 8601),
    ``revision`` the commit that was looked at, ``next`` what to do. ``owner`` is the model's team, ``release`` the one
    that it happened to, where it is about one.
    """

    event: Event
    seat: Seat
    code: str
    summary: str
    next: str
    owner: str
    risk: Risk
    since: str
    revision: str
    release: int | None = None

    @property
    def id(self) -> str:
        """The same for every telling of one cause, so that who is told twice can know."""
        parts = (self.event, self.seat.model, self.seat.environment, self.code, self.release, self.since)
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]

    def data(self) -> dict[str, str | int | None]:
        """Return the incident as plain data, the same for every way."""
        plain = asdict(self)
        return {"id": self.id, **plain.pop("seat"), **plain}


@dataclass(frozen=True, slots=True)
class Sending:
    """What a way may use: the repository's root, the environment's variables, and so many seconds in all."""

    root: Path
    environ: Mapping[str, str]
    seconds: float


class Alert(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def send(self, params: Any, incident: Incident, sending: Sending) -> None:
        """Hand an incident over, or raise why it was not taken, within the seconds that there are."""
        ...


PROTOCOL = Alert
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[Alert]:
    """Return a way with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("alerts", plugin, resource, dotted)
