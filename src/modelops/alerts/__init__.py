"""Alerts: each file is a way by which people hear of what happened to a seat, one model in one environment.

An alert file exposes ``Params`` and ``send(params, incident, sending)``. It returns when the other side has taken the
incident, and raises one ModelOpsError when it has not: the caller remembers what was taken, and tries again in a later
pass what was not. An incident can arrive twice, with one ``id``, when a process dies between the two. Secrets come
from environment variables that the parameters name, and enter no error.

The other side of a file with ``FORGETS = True`` forgets what it is not told again: what lasts is sent to it in every
pass, a minute apart at least.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from modelops.clock import wall_clock
from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds.alert_policy import Event, Happening, Tier
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin, Risk, Strict
from modelops.spec.resource import AnyResource

__all__ = ["PROTOCOL", "Alert", "Event", "Happening", "Incident", "Sending", "Tier", "bind", "forgets"]


@dataclass(frozen=True, slots=True)
class Incident:
    """What is told: no secrets, and nothing of the people or rows that a model saw.

    ``summary`` is one sentence about what happened, ``code`` the reason as a word, ``since`` when it began (ISO 8601),
    ``revision`` the commit that was looked at, ``next`` what to do. ``owner`` is the model's team, ``release`` the one
    that it happened to, where it is about one, and ``tier`` how urgent it is.

    Of one thing that happens several incidents may tell: that it goes on for another reason, and that it is over. They
    are about the same ``happening`` (``event`` is ``recovered`` at its end), which is known since ``opened``. What
    lasts may be told once more: then ``reminds`` is when it was told before. A digest tells of several at once: its
    model is ``*``, and ``held`` are their sentences.
    """

    event: Event | Literal["digest"]
    seat: Seat
    code: str
    summary: str
    next: str
    owner: str
    risk: Risk
    since: str
    revision: str
    release: int | None = None
    tier: Tier = "ticket"
    happening: Happening | None = None
    opened: str = ""
    held: tuple[str, ...] = ()
    reminds: str | None = None

    @property
    def id(self) -> str:
        """The same however often one telling is sent, so that who is sent it twice can know; a reminder has its own."""
        parts = (self.event, self.seat.model, self.seat.environment, self.code, self.release, self.since)
        return _digest(*parts, *self.held, *([self.reminds] if self.reminds is not None else []))

    @property
    def key(self) -> str:
        """The same for all that is told of one thing from its beginning to its end: what receivers group by."""
        once = self.release if self.happening == "rolled-back" else None
        about = self.happening or self.event
        return _digest("incident", about, self.seat.model, self.seat.environment, once, self.opened or self.since)

    @property
    def over(self) -> bool:
        """Whether it is the end that is told."""
        return self.event == "recovered"

    def data(self) -> dict[str, str | int | list[str] | None]:
        """Return the incident as plain data, the same for every way."""
        plain = asdict(self)
        told = {"id": self.id, "key": self.key, **plain.pop("seat"), **plain, "held": list(self.held)}
        return told | {"happening": self.happening or self.event, "opened": self.opened or self.since}


def _digest(*parts: object) -> str:
    # Also of a byte that is no text, as names of files may hold.
    return hashlib.sha256("\n".join(map(str, parts)).encode(errors="surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Sending:
    """What a way may use: the repository's root, the environment's variables, and so many seconds in all.

    ``now`` is the instant that is written into what is sent.
    """

    root: Path
    environ: Mapping[str, str]
    seconds: float
    now: datetime = field(default_factory=wall_clock)


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


def forgets(bound: Bound[Alert]) -> bool:
    """Tell whether the other side of a way forgets what it is not told again."""
    return bool(getattr(bound.module, "FORGETS", False))
