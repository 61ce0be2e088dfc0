"""Kill a verb at many points, run it again to its end, and compare with a run that nobody disturbed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kill.ends import Facts, differences, end_processes, facts
from world import story
from world.shop import MODEL, Shop

HOOK = Path(__file__).resolve().parent / "hook"
Mode = Literal["event", "chain", "time", "twice"]
MODES: tuple[Mode, ...] = ("event", "chain", "time", "twice")
CHAIN = 5
"""So often at most a chain kills before it lets the verb end."""
REPEATS = 4
"""So often a verb is run again before it counts as stuck."""
PATIENCE = 300.0
"""Seconds after which a verb counts as hanging."""
FSCK_EVERY = 4
STAYS = f"{MODEL} production --reason drill --yes"


@dataclass(frozen=True)
class Verb:
    """A verb, the state of the story that it starts from, and how it ends.

    ``already`` are the codes of errors by which a repeat may say that the work is done; all other verbs say so with
    their own exit code.
    """

    state: str
    words: str
    code: int = 0
    already: tuple[str, ...] = ()


VERBS: dict[str, Verb] = {
    "data snapshot": Verb("proposed", f"data snapshot {MODEL} --path data/customers.csv --name again --owner ada"),
    "pr create": Verb("proposed", "pr create --title Propose", already=("pull-exists", "already-open")),
    "build": Verb("opened", "build --since origin/main --pull-request 1"),
    "pr review": Verb("built", "pr review 1 --approve --as grace"),
    "pr merge": Verb("approved", "pr merge 1"),
    "release": Verb("merged", "release --yes"),
    "reconcile staging": Verb("released", "reconcile staging --yes"),
    "promote": Verb("staged", f"promote {MODEL} --to production --yes"),
    "reconcile, first release": Verb("promoted", "reconcile production --yes"),
    "reconcile, begins a canary": Verb("renewed", "reconcile production --yes"),
    "monitor": Verb("watched", "monitor production --yes", code=1),
    "rollback": Verb("trial", f"rollback {MODEL} --environment production --reason drill --yes"),
    "rollout abort": Verb("trial", f"rollout abort {STAYS}"),
    "rollout pause": Verb("trial", f"rollout pause {STAYS}"),
    "rollout resume": Verb("paused", f"rollout resume {STAYS}"),
    "rollout promote": Verb("trial", f"rollout promote {STAYS}"),
}


class States:
    """The states of the story in a folder, each made when it is asked for the first time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def at(self, state: str) -> Shop:
        """Return a state at rest, to be copied."""
        place = self.folder / state
        if place.is_dir():
            return Shop(place)
        making = self.folder / f"{state}.making"
        shutil.rmtree(making, ignore_errors=True)
        if state == story.FIRST:
            shop = story.proposed(making)
        else:
            shop = self.at(story.STATES[story.STATES.index(state) - 1]).copy(making)
            try:
                story.advance(shop, state)
            finally:
                shop.stop()
        making.rename(place)
        return Shop(place)

    @contextlib.contextmanager
    def copy(self, state: str, name: str) -> Iterator[Shop]:
        """Yield an own copy of a state; it and its processes are gone afterwards."""
        place = self.folder / "runs" / name
        shop = self.at(state).copy(place)
        try:
            yield shop
        finally:
            end_processes(place)
            shutil.rmtree(place)


@dataclass(frozen=True)
class Undisturbed:
    """What a verb does when nobody disturbs it: its events, how long it takes and where it ends."""

    events: tuple[str, ...]
    seconds: float
    end: Facts


@dataclass
class Result:
    """What a verb's runs under kills came to."""

    verb: str
    mode: Mode
    events: int
    kills: int = 0
    same: int = 0
    differs: list[str] = field(default_factory=list)

    def row(self) -> str:
        kinds = f"{self.kills} ({self.mode})"
        return f"| {self.verb} | {self.events} | {kinds} | {self.same} | {len(self.differs)} |"


def execute(
    shop: Shop, verb: Verb, *, kill_at: int = 0, log: Path | None = None, after: float | None = None
) -> tuple[int, str]:
    """Run a verb in a process group of its own, perhaps to be killed at an event or after some seconds."""
    more = {"PYTHONPATH": str(HOOK)}
    if kill_at:
        more["KILL_AT"] = str(kill_at)
    if log is not None:
        more["KILL_EVENTS"] = str(log)
    process = subprocess.Popen(
        [*shop.program, *verb.words.split()],
        cwd=shop.root,
        env=shop.environ(more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=PATIENCE if after is None else after)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        told, _ = process.communicate()
        if after is None:
            return 124, told
    return process.returncode, told


def undisturbed(states: States, name: str) -> Undisturbed:
    """Run a verb once in peace."""
    verb = VERBS[name]
    with states.copy(verb.state, f"{name} undisturbed") as shop:
        log, began = shop.folder / "events", time.monotonic()
        code, told = execute(shop, verb, log=log)
        seconds = time.monotonic() - began
        assert code == verb.code, f"{verb.words} ended with {code}:\n{told}"
        events = tuple(log.read_text(encoding="utf-8", errors="replace").splitlines())
        return Undisturbed(events, seconds, facts(shop, fsck=True))


def to_the_end(shop: Shop, verb: Verb) -> list[str]:
    """Run a verb again until it ends as it should; return what is wrong with how it ended."""
    code, told = 0, ""
    for _ in range(REPEATS):
        code, told = execute(shop, verb)
        if code in (0, verb.code):
            return []
        if any(f"[{word}]" in told for word in verb.already):
            return []
    return [f"the repeat ends with {code}: {told.strip()[-300:]!r}"]


def drill(
    states: States, name: str, mode: Mode, runs: int, *, seed: int = 1, reference: Undisturbed | None = None
) -> Result:
    """Disturb a verb so many times and return what differed."""
    calm = reference or undisturbed(states, name)
    chance = random.Random(f"{seed} {name} {mode}")
    result = Result(name, mode, len(calm.events))
    disturb = {"event": _at_event, "chain": _chain, "time": _at_time, "twice": _twice}[mode]
    for number in range(1 if mode == "twice" else runs):
        with states.copy(VERBS[name].state, f"{name} {mode}") as shop:
            kills, how = disturb(shop, VERBS[name], calm, (number + 1) / runs, chance)
            wrong = to_the_end(shop, VERBS[name])
            wrong += differences(calm.end, facts(shop, fsck=number % FSCK_EVERY == 0))
        result.kills += kills
        if wrong:
            result.differs.append("\n    ".join([how, *wrong]))
        else:
            result.same += 1
    return result


Disturbed = tuple[int, str]
"""How often a run was killed, and where."""


def _at_event(shop: Shop, verb: Verb, calm: Undisturbed, share: float, _: random.Random) -> Disturbed:
    at = max(1, round(share * len(calm.events)))
    code, _told = execute(shop, verb, kill_at=at)
    return int(code == -signal.SIGKILL), f"event {at} of {len(calm.events)}, {calm.events[at - 1][:120]}"


def _chain(shop: Shop, verb: Verb, calm: Undisturbed, _: float, chance: random.Random) -> Disturbed:
    points: list[int] = []
    for _number in range(CHAIN):
        at = chance.randint(1, len(calm.events))
        code, _told = execute(shop, verb, kill_at=at)
        if code != -signal.SIGKILL:
            break
        points.append(at)
    return len(points), f"a chain at events {points}"


def _at_time(shop: Shop, verb: Verb, calm: Undisturbed, _: float, chance: random.Random) -> Disturbed:
    after = chance.uniform(0.15, calm.seconds)
    code, _told = execute(shop, verb, after=after)
    return int(code == -signal.SIGKILL), f"after {after:.2f} of {calm.seconds:.2f} s"


def _twice(shop: Shop, verb: Verb, _calm: Undisturbed, _: float, __: random.Random) -> Disturbed:
    code, told = execute(shop, verb)
    assert code == verb.code, told
    return 0, "said twice"


def table(results: Sequence[Result]) -> str:
    """Return the results as a table, and below it what differed."""
    rows = ["| verb | events | kills | runs ended the same | runs that differ |", "| --- | --- | --- | --- | --- |"]
    rows += [result.row() for result in results]
    sums = [sum(values) for values in zip(*((r.kills, r.same, len(r.differs)) for r in results), strict=True)]
    rows.append("| together | | " + " | ".join(f"**{value}**" for value in sums) + " |")
    return "\n".join([*rows, "", *(f"{r.verb}, {r.mode}: {what}" for r in results for what in r.differs)])


Say = Callable[[str], None]


def drill_all(
    states: States, names: Sequence[str], modes: Sequence[Mode], runs: int, *, seed: int, say: Say
) -> list[Result]:
    """Drill verbs in modes, one undisturbed run for each verb."""
    results = []
    for name in names:
        calm = undisturbed(states, name)
        for mode in modes:
            began = time.monotonic()
            results.append(drill(states, name, mode, runs, seed=seed, reference=calm))
            say(f"{results[-1].row()} {time.monotonic() - began:.0f} s")
    return results
