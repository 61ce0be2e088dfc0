"""What is to be told now, to whom and how urgently: pure, from what a pass saw and what was told before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from modelops.alerts import Incident, Tier
from modelops.clock import format_instant
from modelops.monitoring.telling.memory import LASTING, Book, Cause, Key, Memory, Seen, Told, elapsed
from modelops.spec.graph import ModelEntry
from modelops.spec.kinds.alert_policy import AlertPolicySpec, Happening, Route
from modelops.spec.kinds.silence import SilenceSpec
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin, Risk

__all__ = ["Message", "Rules", "due", "rationed", "way_of"]

_LONGEST = 500
"""Letters of a sentence that somebody reads on a telephone."""
_REFRESH = timedelta(minutes=1)
"""How often a way is told again what it would forget."""
_RISKS: tuple[Risk, ...] = ("minimal", "limited", "high")
TIERS: tuple[Tier, ...] = ("page", "ticket", "record")
_OVER: Mapping[Happening, str] = {
    "stalled": "is no longer stalled",
    "drift": "no longer drifts",
    "performance": "is within its limit again",
    "inputs": "gets inputs like those of its training again",
    "silent": "is called again",
    "burn": "keeps what it promises again",
    "slow-burn": "keeps what it promises again",
    "anomaly": "has its usual hours again",
}
DIGEST = "digest"
"""What keeps a page from being told: it waits for the next digest."""


@dataclass(frozen=True)
class Rules:
    """What says who hears of what: the policy, the models and the silences by name.

    ``forgets`` are the ways whose other side forgets what it is not told again.
    """

    policy: AlertPolicySpec
    models: Mapping[str, ModelEntry]
    silences: Mapping[str, SilenceSpec] = field(default_factory=dict)
    forgets: frozenset[str] = frozenset()

    def silenced(self, event: Happening, seat: Seat, now: datetime) -> str:
        """Return the name of a silence in force that is about an event, "" where there is none."""
        owner = self.models[seat.model].model.spec.owner
        found = (
            name
            for name, one in sorted(self.silences.items())
            if one.counts(now) and one.covers(event, seat.model, seat.environment, owner)
        )
        return next(found, "")

    def asks(self, route: Route, event: Happening, seat: Seat, entry: ModelEntry) -> bool:
        """Tell whether a route is for what happens to a seat."""
        spec = entry.model.spec
        where = "*" in route.environments or seat.environment in route.environments
        whose = "*" in route.owners or spec.owner in route.owners
        return where and whose and spec.risk in route.risk and self.policy.tier(event) in route.tiers


@dataclass(frozen=True, slots=True)
class Message:
    """An incident on its way, and what there is to remember once it was taken: nothing, when its cause is over."""

    way: str
    route: int
    incident: Incident
    keys: tuple[Key, ...]
    over: bool = False

    @property
    def who(self) -> str:
        """Whose pages by which way it is one of."""
        return f"{self.way} {self.incident.owner}"


def way_of(plugin: Plugin) -> str:
    """Return what tells one way from another, wherever it stands in the policy."""
    text = json.dumps([plugin.type, plugin.params], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def due(rules: Rules, memory: Memory, seen: Seen, now: datetime) -> tuple[Message, ...]:
    """Return what is to be told now, the urgent first; what is known by now is put into the memory."""
    stamp = format_instant(now)
    messages: dict[tuple[object, ...], Message] = {}
    here = {key for key in memory.told if key.event not in LASTING}
    for number, route in enumerate(rules.policy.routes):
        way = way_of(route.send)
        for cause in (cause for cause in seen.causes if cause.event in route.events):
            entry = rules.models.get(cause.seat.model)
            if entry is None or not rules.asks(route, cause.event, cause.seat, entry):
                continue
            key = Key(way, cause.event, cause.seat.model, cause.seat.environment, cause.code, cause.release)
            here.discard(key)
            told = memory.told.get(key, Told(cause.since or stamp))
            silence = rules.silenced(cause.event, cause.seat, now)
            why = f"the silence {silence}" if silence and told.at is None else ""
            memory.told[key] = replace(told, over=None, why=why)
            if not silence and (told.at is None or _again(route, told, now, cause.event, way in rules.forgets)):
                incident = _incident(rules, cause, told.since, seen.revision, _opened(memory, key))
                # What a way would forget is kept up by the same telling.
                incident = incident if way in rules.forgets else replace(incident, reminds=told.at)
                messages.setdefault(("new", key), Message(way, number, incident, (key,)))
    for key in here:
        del memory.told[key]
    for message in _recovered(rules, memory, seen, stamp):
        messages.setdefault(("over", message.keys), message)
    return tuple(sorted(messages.values(), key=lambda one: TIERS.index(one.incident.tier)))


def _again(route: Route, told: Told, now: datetime, event: Happening, forgets: bool) -> bool:
    """Tell whether what lasts is to be told once more."""
    if told.at is None or event not in LASTING:
        return False
    if forgets and elapsed(told.at, now) >= _REFRESH:
        return True
    return route.at_most_every is not None and elapsed(told.at, now) >= timedelta(minutes=route.at_most_every)


def _opened(memory: Memory, key: Key) -> str:
    """Return since when a happening is known, for whatever reason."""
    if key.event not in LASTING:
        return memory.told[key].since
    return min(told.since for one, told in memory.told.items() if one.happening == key.happening)


def _recovered(rules: Rules, memory: Memory, seen: Seen, stamp: str) -> Iterator[Message]:
    """Yield what those who were told of a cause are to hear of its end; one that nobody was told of is forgotten."""
    ended: dict[tuple[str, Happening, Seat], list[Key]] = {}
    for key in memory.told:
        if Seat(key.model, key.environment) in seen.over.get(key.event, ()):
            ended.setdefault(key.happening, []).append(key)
    for (way, event, seat), keys in ended.items():
        entry = rules.models.get(seat.model)
        told = [key for key in keys if memory.told[key].at is not None]
        number = next(
            (
                number
                for number, route in enumerate(rules.policy.routes)
                if way_of(route.send) == way
                and "recovered" in route.events
                and entry
                and rules.asks(route, event, seat, entry)
            ),
            None,
        )
        if not told or number is None or entry is None:
            for key in keys:
                del memory.told[key]
            continue
        last = max(told, key=lambda key: memory.told[key].at or "")
        opened, since = _opened(memory, last), memory.told[last].over or stamp
        for key in keys:
            memory.told[key] = replace(memory.told[key], over=since)
        cause = Cause(event, seat, last.code, f"{seat} {_OVER[event]} ({last.code})", "nothing")
        incident = replace(_incident(rules, cause, since, seen.revision, opened), event="recovered")
        yield Message(way, number, incident, tuple(keys), over=True)


def _incident(rules: Rules, cause: Cause, since: str, revision: str, opened: str) -> Incident:
    spec = rules.models[cause.seat.model].model.spec
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
        tier=rules.policy.tier(cause.event),
        happening=cause.event,
        opened=opened,
    )


def rationed(rules: Rules, messages: Sequence[Message], memory: Memory, book: Book) -> tuple[Message, ...]:
    """Return the messages with no more pages than an owner may get in a day by each way; the rest is one digest.

    Another digest comes a day after the last one; until then pages beyond the number wait, and the memory says so. What
    was counted once, under its id, is not counted again.
    """
    kept: list[Message] = []
    held: dict[str, list[Message]] = {}
    counted = {who: {*found} for who, found in book.pages.items()}
    for message in messages:
        limit = rules.policy.routes[message.route].pages_per_day
        free = message.over or message.incident.tier != "page" or message.way in rules.forgets
        mine = counted.setdefault(message.who, set())
        pages = {one for one in mine if not one.startswith(DIGEST)}
        if free or limit is None or message.incident.id in mine or len(pages) < limit:
            kept.append(message)
            if not free:
                mine.add(message.incident.id)
        else:
            held.setdefault(message.who, []).append(message)
    for who, some in held.items():
        if any(one.startswith(DIGEST) for one in counted[who]):
            for key in (key for message in some for key in message.keys if memory.told[key].at is None):
                memory.told[key] = replace(memory.told[key], why="the next digest")
        else:
            kept.append(_digest(rules, some, memory))
    return tuple(kept)


def _digest(rules: Rules, messages: Sequence[Message], memory: Memory) -> Message:
    """Return one message in the place of several of one owner by one way."""
    first, keys = messages[0], tuple(key for message in messages for key in message.keys)
    limit = rules.policy.routes[first.route].pages_per_day
    incident = replace(
        first.incident,
        event="digest",
        seat=Seat("*", first.incident.seat.environment),
        release=None,
        code="pages-per-day",
        summary=f"{len(messages)} more pages than the {limit} that {first.incident.owner} gets in a day by this way",
        next="modelops status shows what is open",
        risk=max((message.incident.risk for message in messages), key=_RISKS.index),
        # By what it holds, so that it is the same one when it is sent again.
        since=max(memory.told[key].since for key in keys),
        tier="ticket",
        happening=None,
        opened="",
        held=tuple(message.incident.summary for message in messages),
        reminds=max((message.incident.reminds for message in messages if message.incident.reminds), default=None),
    )
    return Message(first.way, first.route, incident, keys)


def unheard(rules: Rules, environment: str, models: Collection[str]) -> tuple[str, ...]:
    """Return the owners of models in an environment of whose pages nobody is told by any route, sorted."""

    def heard(model: str) -> bool:
        entry, seat = rules.models[model], Seat(model, environment)
        pages = [event for event in _OVER if rules.policy.tier(event) == "page"]
        return all(_reached(rules, event, seat, entry) for event in pages)

    return tuple(
        sorted({rules.models[one].model.spec.owner for one in models if one in rules.models and not heard(one)})
    )


def _reached(rules: Rules, event: Happening, seat: Seat, entry: ModelEntry) -> bool:
    routes: Iterable[Route] = rules.policy.routes
    return any(event in route.events and rules.asks(route, event, seat, entry) for route in routes)
