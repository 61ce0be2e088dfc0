"""How telling stands in an environment: what is open, which ways fail, what is silenced, and whom nobody hears of."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from modelops.clock import format_instant, parse_instant
from modelops.monitoring.telling.due import unheard, way_of
from modelops.monitoring.telling.memory import Memory, Told, Trouble, memory_of
from modelops.monitoring.telling.sending import policy_of, rules_of
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph
from modelops.spec.kinds.alert_policy import Happening
from modelops.spec.kinds.silence import SilenceSpec
from modelops.spec.layout import Seat

__all__ = ["Failing", "Open", "Silenced", "Standing", "standing"]

TELLERS = ("reconcile", "monitor")


@dataclass(frozen=True, slots=True)
class Open:
    """What goes on, by its reason: since when, when it was last told by any way, and why it was not by some."""

    event: Happening
    seat: Seat
    code: str
    since: str
    told: str | None
    why: str


@dataclass(frozen=True, slots=True)
class Failing:
    """A way that takes nothing: which route's, of which type, and its trouble."""

    route: int
    type: str
    trouble: Trouble


@dataclass(frozen=True, slots=True)
class Silenced:
    """A silence about an environment, and whether it is in force."""

    name: str
    spec: SilenceSpec
    counts: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How telling stands; ``unheard`` are the owners of whose pages no route tells anybody."""

    open: tuple[Open, ...] = ()
    failing: tuple[Failing, ...] = ()
    silences: tuple[Silenced, ...] = ()
    unheard: tuple[str, ...] = ()


def standing(
    workspace: Workspace, graph: Graph, name: str, deployed: Collection[str], now: datetime
) -> Standing | None:
    """Return how telling stands in an environment as this machine remembers it, None where there is no policy."""
    policy = policy_of(graph)
    if policy is None:
        return None
    rules, runtime = rules_of(policy, graph), workspace.site(name).runtime
    memories = [Memory.read(memory_of(runtime, teller), format_instant(now)) for teller in TELLERS]
    ways = {way_of(route.send): number for number, route in reversed([*enumerate(policy.spec.routes)])}
    failing = [
        Failing(ways[way], policy.spec.routes[ways[way]].send.type, trouble)
        for memory in memories
        for way, trouble in memory.ways.items()
        if way in ways
    ]
    silences = [
        Silenced(one, spec, spec.counts(now))
        for one, spec in sorted(rules.silences.items())
        if spec.ends > now and ("*" in spec.environments or name in spec.environments)
    ]
    found: dict[tuple[str, Seat, str], Open] = {}
    for memory in memories:
        for key, told in memory.told.items():
            seat = Seat(key.model, key.environment)
            before = found.get((key.event, seat, key.code))
            found[key.event, seat, key.code] = _joined(before, Open(key.event, seat, key.code, *_of(told)))
    opened = sorted(found.values(), key=lambda one: (parse_instant(one.since), one.seat, one.code))
    return Standing(tuple(opened), tuple(failing), tuple(silences), unheard(rules, name, deployed))


def _of(told: Told) -> tuple[str, str | None, str]:
    return told.since, told.at, told.why


def _joined(before: Open | None, found: Open) -> Open:
    """Return one line for what is told by several ways."""
    if before is None:
        return found
    told = max(filter(None, (before.told, found.told)), default=None)
    return Open(found.event, found.seat, found.code, min(before.since, found.since), told, before.why or found.why)
