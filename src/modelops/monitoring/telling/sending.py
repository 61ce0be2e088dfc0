"""The pass that tells: it looks, decides what is due, sends it in the time that there is, and remembers."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from modelops import alerts
from modelops.alerts import Sending
from modelops.clock import format_instant
from modelops.errors import ModelOpsError, Problem
from modelops.files import unwritable
from modelops.monitoring.telling.due import DIGEST, TIERS, Message, Rules, due, rationed, way_of
from modelops.monitoring.telling.memory import Book, Memory, Seen, Trouble, memory_of
from modelops.project.state import pages_in
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource
from modelops.spec.kinds.alert_policy import PLACE, AlertPolicySpec
from modelops.spec.layout import SILENCE

__all__ = ["policy_of", "rules_of", "tell"]

Policy = Resource[AlertPolicySpec]
_SILENCES = SILENCE.parts()[0]


def policy_of(graph: Graph) -> Policy | None:
    """Return the policy by which people are told, None where there is none that can be used."""
    return graph.policies.get("AlertPolicy", {}).get("alerting")


def rules_of(policy: Policy, graph: Graph) -> Rules:
    """Return what says who hears of what."""
    silences = {name: one.spec for name, one in graph.policies.get("Silence", {}).items()}
    return Rules(policy.spec, graph.models, silences, frozenset(_forgetting(policy)))


def _forgetting(policy: Policy) -> Iterator[str]:
    for number, route in enumerate(policy.spec.routes):
        # What is wrong with a way is told when something is sent by it.
        with contextlib.suppress(ModelOpsError):
            if alerts.forgets(alerts.bind(route.send, policy, f"spec.routes[{number}].send")):
                yield way_of(route.send)


def tell(
    workspace: Workspace, name: str, teller: str, began: datetime, look: Callable[[Graph, Memory], Seen]
) -> tuple[Problem, ...]:
    """Tell people what is new about an environment; return what went wrong, which is nobody's failure but the way's.

    Without a policy nothing is looked at. ``teller`` names the memory, as who reconciles and who monitors see different
    things; while another process tells the same, this one has nothing to add.
    """
    _, graph = workspace.known()
    policy = policy_of(graph)
    troubles = (*graph.stalled.get(PLACE.path(), ()), *_of_silences(graph))
    if policy is None:
        return troubles
    path = memory_of(workspace.site(name).runtime, teller)
    try:
        with _locked(path, wait=False) as alone:
            if not alone:
                return troubles
            memory = Memory.read(path, format_instant(began))
            before = repr(memory) if path.is_file() else ""
            there = {*graph.models, *graph.stalled_models}
            memory.told = {key: told for key, told in memory.told.items() if key.model in there}
            ways = {way_of(route.send) for route in policy.spec.routes}
            memory.ways = {way: trouble for way, trouble in memory.ways.items() if way in ways}
            rules, now = rules_of(policy, graph), workspace.clock()
            messages = due(rules, memory, look(graph, memory), now)
            messages = rationed(rules, messages, memory, Book.read(pages_in(workspace.state), now))
            if repr(memory) != before:
                memory.write()
            return (*troubles, *_Telling(workspace, policy, rules, memory, now).send(messages))
    except ModelOpsError as error:
        return (*troubles, *error.problems)


def _of_silences(graph: Graph) -> Iterator[Problem]:
    """Yield what is wrong with silences, each of which then counts as it was last right."""
    for path, problems in graph.stalled.items():
        if path.startswith(_SILENCES):
            yield from problems


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the lock of a file; without waiting, yield whether nobody else does."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.with_suffix(".lock").open("ab")
    except OSError as error:
        raise unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        except OSError:
            pass  # a file system without locks
        yield True


class _Telling:
    """One pass of telling: what is taken is remembered at once, and a way that failed is left alone for a while."""

    def __init__(self, workspace: Workspace, policy: Policy, rules: Rules, memory: Memory, now: datetime) -> None:
        self._workspace, self._policy, self._rules, self._memory, self._now = workspace, policy, rules, memory, now
        self._problems: dict[str, tuple[Problem, ...]] = {}

    def send(self, messages: tuple[Message, ...]) -> tuple[Problem, ...]:
        """Send in the time that there is; a way that failed is not tried again in this pass."""
        policy, memory = self._policy, self._memory
        self._wait(messages)
        # Of what is equally urgent, ways that failed last time come last: they may take all the time that there is.
        messages = tuple(sorted(messages, key=lambda one: (TIERS.index(one.incident.tier), one.way in memory.ways)))
        end = time.monotonic() + policy.spec.timeout_seconds
        late: tuple[Problem, ...] = ()
        for sent, message in enumerate(messages):
            if message.way in self._problems:
                continue
            left = end - time.monotonic()
            if left <= 0:
                where = f"spec.routes[{message.route}].send"
                said = f"{len(messages) - sent} alerts are left after {policy.spec.timeout_seconds:g} s of telling"
                late = (Problem("alerts-late", said, policy.where(where), where, "the next pass tells them"),)
                break
            self._count(message)
            if self._sent(message, left):
                self._remember(message)
        waiting = [message.way for message in messages if message.way in self._problems]
        counted = {way: replace(one, waiting=waiting.count(way)) for way, one in memory.ways.items()}
        if counted != memory.ways:
            memory.ways = counted
            memory.write()
        return (*(one for some in self._problems.values() for one in some), *late)

    def _wait(self, messages: tuple[Message, ...]) -> None:
        """Leave ways alone that failed a short while ago, and say so."""
        for message in messages:
            trouble = self._memory.ways.get(message.way)
            if trouble is not None and trouble.waits(self._now):
                times = f"{trouble.tries} times since {trouble.since}" if trouble.tries > 1 else f"at {trouble.since}"
                said = f"{trouble.said}; it failed {times}, and is tried again from {trouble.again}"
                self._problems[message.way] = (self._located(message, Problem(trouble.code, said, hint=trouble.hint)),)

    def _located(self, message: Message, problem: Problem) -> Problem:
        where = f"spec.routes[{message.route}].send"
        return replace(problem, location=self._policy.where(where), dotted=where)

    def _sent(self, message: Message, left: float) -> bool:
        policy, memory = self._policy, self._memory
        # By the clock of this sending: a receiver refuses a signature that is minutes old.
        sending = Sending(self._workspace.state.parent, self._workspace.environ, left, self._workspace.clock())
        try:
            where = f"spec.routes[{message.route}].send"
            bound = alerts.bind(policy.spec.routes[message.route].send, policy, where)
            bound.module.send(bound.params, message.incident, sending)
        except ModelOpsError as error:
            self._problems[message.way] = tuple(self._located(message, one) for one in error.problems)
            first = error.first
            before = memory.ways.get(message.way)
            memory.ways[message.way] = Trouble.after(before, self._now, first.code, first.message, first.hint)
            memory.write()
            return False
        memory.ways.pop(message.way, None)
        return True

    def _count(self, message: Message) -> None:
        """Put a page down before it is sent: who dies in between sends none too many."""
        limited = self._policy.spec.routes[message.route].pages_per_day is not None and not message.over
        if limited and message.incident.tier == "page" and message.way not in self._rules.forgets:
            self._write(message, message.incident.id)

    def _write(self, message: Message, entry: str) -> None:
        path = pages_in(self._workspace.state)
        with _locked(path, wait=True):
            book = Book.read(path, self._now)
            book.pages.setdefault(message.who, {}).setdefault(entry, format_instant(self._now))
            book.write()

    def _remember(self, message: Message) -> None:
        memory, stamp = self._memory, format_instant(self._workspace.clock())
        for key in message.keys:
            if message.over:
                del memory.told[key]
            else:
                memory.told[key] = replace(memory.told[key], at=stamp, why="")
        memory.write()
        if message.incident.event == "digest":
            self._write(message, f"{DIGEST} {message.incident.id}")
