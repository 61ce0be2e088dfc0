"""Telling people: what a pass saw is compared with what was told before, and what is new goes the ways of the policy.

What was told is remembered in the runtime directory, before the first try and after each that was taken: a cause that
lasts is told once, also when the process dies in between, save for the one alert that was under way.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from modelops import alerts
from modelops.alerts import Event, Incident, Sending
from modelops.clock import format_instant, parse_instant
from modelops.errors import ModelOpsError, Problem
from modelops.files import unwritable, write_atomically
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph, ModelEntry
from modelops.spec.kinds import Resource
from modelops.spec.kinds.alert_policy import PLACE, AlertPolicySpec, Route
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin

__all__ = ["Cause", "Memory", "Seen", "tell"]

_LONGEST = 500
"""Letters of a sentence that somebody reads on a telephone."""
_LASTING: frozenset[Event] = frozenset({"stalled", "drift", "performance"})
"""What is over at some time; anything else has happened once and for all."""


@dataclass(frozen=True, slots=True)
class Cause:
    """What people are to hear of: something that lasts, or the ``release`` to which something happened at ``since``."""

    event: Event
    seat: Seat
    code: str
    summary: str
    next: str
    release: int | None = None
    since: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What one pass saw: causes, and what is well now; of anything else it knows nothing."""

    revision: str
    causes: tuple[Cause, ...]
    over: Mapping[Event, Collection[Seat]]


@dataclass(frozen=True, slots=True)
class Key:
    """What is told once: a cause, by one way."""

    way: str
    event: Event
    model: str
    environment: str
    code: str
    release: int | None


@dataclass(frozen=True, slots=True)
class Told:
    """Since when a cause is known, when it was told last, and since when it is known to be over."""

    since: str
    at: str | None = None
    over: str | None = None


@dataclass
class Memory:
    """What one teller remembers of an environment; ``known`` are facts of the past that were looked at already."""

    path: Path
    began: str
    told: dict[Key, Told] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    @classmethod
    def read(cls, path: Path, began: str) -> Memory:
        """Return what is remembered; a file that cannot be read is a memory that was lost."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            told = {Key(**row["key"]): Told(**row["told"]) for row in data["told"]}
            for each in told.values():
                parse_instant(each.at or each.since)
            return cls(path, str(data["began"]), told, set(data["known"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ModelOpsError):
            return cls(path, began)

    def write(self) -> None:
        """Keep it."""
        rows = [{"key": asdict(key), "told": asdict(told)} for key, told in self.told.items()]
        data = {"began": self.began, "told": rows, "known": sorted(self.known)}
        write_atomically(self.path, json.dumps(data, indent=1, sort_keys=True).encode())


@dataclass(frozen=True, slots=True)
class _Message:
    """An incident on its way, and what there is to remember once it was taken: nothing, when its cause is over."""

    way: str
    route: int
    incident: Incident
    keys: tuple[Key, ...]
    over: bool = False


def tell(
    workspace: Workspace, name: str, teller: str, began: datetime, look: Callable[[Graph, Memory], Seen]
) -> tuple[Problem, ...]:
    """Tell people what is new about an environment; return what went wrong, which is nobody's failure but the way's.

    Without a policy nothing is looked at. ``teller`` names the memory, as who reconciles and who monitors see different
    things; while another process tells the same, this one has nothing to add.
    """
    _, graph = workspace.known()
    policy: Resource[AlertPolicySpec] | None = graph.policies.get("AlertPolicy", {}).get("alerting")
    troubles = graph.stalled.get(PLACE.path(), ())
    if policy is None:
        return troubles
    path = workspace.site(name).runtime / "alerts" / f"{teller}.json"
    try:
        with _alone(path) as alone:
            if not alone:
                return troubles
            memory = Memory.read(path, format_instant(began))
            before = repr(memory) if path.is_file() else ""
            there = {*graph.models, *graph.stalled_models}
            memory.told = {key: told for key, told in memory.told.items() if key.model in there}
            messages = due(policy.spec, graph.models, memory, look(graph, memory), workspace.clock())
            if repr(memory) != before:
                memory.write()
            return (*troubles, *_send(workspace, policy, memory, messages))
    except ModelOpsError as error:
        return (*troubles, *error.problems)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Yield whether nobody else tells the same now."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_suffix(".lock").open("ab")
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # a file system without locks
        yield True


def way_of(plugin: Plugin) -> str:
    """Return what tells one way from another, wherever it stands in the policy."""
    text = json.dumps([plugin.type, plugin.params], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def due(
    policy: AlertPolicySpec, models: Mapping[str, ModelEntry], memory: Memory, seen: Seen, now: datetime
) -> tuple[_Message, ...]:
    """Return what is to be told now, in the order of the routes; what is known by now is put into the memory."""
    stamp = format_instant(now)
    messages: dict[tuple[object, ...], _Message] = {}
    here = {key for key in memory.told if key.event not in _LASTING}
    for number, route in enumerate(policy.routes):
        way = way_of(route.send)
        for cause in (cause for cause in seen.causes if cause.event in route.events):
            entry = models.get(cause.seat.model)
            if entry is None or not _asks(route, cause.seat, entry):
                continue
            seat = cause.seat
            key = Key(way, cause.event, seat.model, seat.environment, cause.code, cause.release)
            here.discard(key)
            told = memory.told.get(key, Told(cause.since or stamp))
            memory.told[key] = replace(told, over=None)
            if told.at is None or _again(route, told, now, cause.event):
                incident = _incident(cause, entry, told.since, seen.revision)
                messages.setdefault(("new", key), _Message(way, number, incident, (key,)))
    for key in here:
        del memory.told[key]
    for message in _recovered(policy, models, memory, seen, stamp):
        messages.setdefault(("over", message.keys), message)
    return tuple(messages.values())


def _asks(route: Route, seat: Seat, entry: ModelEntry) -> bool:
    where = "*" in route.environments or seat.environment in route.environments
    return where and entry.model.spec.risk in route.risk


def _again(route: Route, told: Told, now: datetime, event: Event) -> bool:
    """Tell whether what lasts is to be told once more."""
    if route.at_most_every is None or told.at is None or event not in _LASTING:
        return False
    return now - parse_instant(told.at) >= timedelta(minutes=route.at_most_every)


def _recovered(
    policy: AlertPolicySpec, models: Mapping[str, ModelEntry], memory: Memory, seen: Seen, stamp: str
) -> Iterator[_Message]:
    """Yield what those who were told of a cause are to hear of its end; one that nobody was told of is forgotten."""
    ended: dict[tuple[str, Event, Seat], list[Key]] = {}
    for key in memory.told:
        seat = Seat(key.model, key.environment)
        if seat in seen.over.get(key.event, ()):
            ended.setdefault((key.way, key.event, seat), []).append(key)
    for (way, _, seat), keys in ended.items():
        entry = models.get(seat.model)
        told = [key for key in keys if memory.told[key].at is not None]
        number = next(
            (
                number
                for number, route in enumerate(policy.routes)
                if way_of(route.send) == way and "recovered" in route.events and entry and _asks(route, seat, entry)
            ),
            None,
        )
        if not told or number is None or entry is None:
            for key in keys:
                del memory.told[key]
            continue
        last = max(told, key=lambda key: memory.told[key].at or "")
        since = memory.told[last].over or stamp
        for key in keys:
            memory.told[key] = replace(memory.told[key], over=since)
        what = {"stalled": "is no longer stalled", "drift": "no longer drifts"}.get(
            last.event, "is within its limit again"
        )
        cause = Cause("recovered", seat, last.code, f"{seat} {what} ({last.code})", "nothing")
        yield _Message(way, number, _incident(cause, entry, since, seen.revision), tuple(keys), over=True)


def _incident(cause: Cause, entry: ModelEntry, since: str, revision: str) -> Incident:
    spec = entry.model.spec
    summary = " ".join(cause.summary.split())
    return Incident(
        event=cause.event,
        seat=cause.seat,
        release=cause.release,
        code=cause.code,
        summary=summary if len(summary) <= _LONGEST else f"{summary[: _LONGEST - 1]}…",
        next=" ".join(cause.next.split()),
        owner=spec.owner,
        risk=spec.risk,
        since=since,
        revision=revision,
    )


def _send(
    workspace: Workspace, policy: Resource[AlertPolicySpec], memory: Memory, messages: tuple[_Message, ...]
) -> tuple[Problem, ...]:
    """Send in the time that there is; a way that failed is not tried again in this pass, so that others have a turn."""
    problems: dict[str, tuple[Problem, ...]] = {}
    end = time.monotonic() + policy.spec.timeout_seconds
    for sent, message in enumerate(messages):
        if message.way in problems:
            continue
        where = f"spec.routes[{message.route}].send"
        left = end - time.monotonic()
        if left <= 0:
            said = f"{len(messages) - sent} alerts are left after {policy.spec.timeout_seconds:g} s of telling"
            late = Problem("alerts-late", said, policy.where(where), where, "the next pass tells them")
            return (*(one for some in problems.values() for one in some), late)
        try:
            bound = alerts.bind(policy.spec.routes[message.route].send, policy, where)
            bound.module.send(bound.params, message.incident, Sending(workspace.state.parent, workspace.environ, left))
        except ModelOpsError as error:
            located = (replace(one, location=policy.where(where), dotted=where) for one in error.problems)
            problems[message.way] = tuple(located)
            continue
        for key in message.keys:
            if message.over:
                del memory.told[key]
            else:
                memory.told[key] = replace(memory.told[key], at=format_instant(workspace.clock()))
        memory.write()
    return tuple(one for some in problems.values() for one in some)
