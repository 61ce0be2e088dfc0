"""Simulation: a rollout plan against synthetic traffic, in logical time, by the very code that decides in the loop.

Each run draws traffic look by look and asks the strategy what to do, until it decides or the time is over. Runs have
their own seeds, so that the result is the same on any number of processors.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np

from modelops import plugins
from modelops.metrics.intervals import wilson
from modelops.strategies import SMOKE_TRIES, ArmData, PairData, Progress, Segment, Smoke, Strategy, Traffic

__all__ = ["ENDS", "End", "Rate", "Run", "Simulation", "Truth", "World", "one_run", "simulate"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Ids = np.ndarray[Any, np.dtype[np.uint64]]
Whole = np.ndarray[Any, np.dtype[np.int64]]
End = Literal["promote", "keep", "rollback", "hold"]
ENDS: tuple[End, ...] = ("promote", "keep", "rollback", "hold")
START = datetime(2026, 1, 1, tzinfo=UTC)
_CHUNK = 20  # runs that a process takes at once
_ALIKE = 3.0  # how alike the answers to one entity are: the concentration of entities' own rates


@dataclass(frozen=True, slots=True)
class Truth:
    """How an arm really behaves.

    ``errors`` and ``slow`` are shares of its answers, ``outcome`` the share of positive labels, ``loss`` that of wrong
    answers. ``shift`` is added to its scores; ``agreement`` is how often, as a shadow, it says what stable says.
    """

    errors: float = 0.01
    slow: float = 0.02
    outcome: float = 0.1
    loss: float = 0.1
    shift: float = 0.0
    agreement: float = 0.98


@dataclass(frozen=True)
class World:
    """The traffic of a simulation: what arrives, what is true of every arm (stable first), and who looks how often.

    With ``entities`` requests come from so many, evenly, who stick to their arm and whose answers are alike; without,
    every request is an entity of its own. A label arrives for the share ``labelled`` of the answers after
    ``label_delay`` minutes. ``every`` is the time between looks and ``until`` that of the last one, in minutes.
    """

    requests_per_hour: float
    arms: Mapping[str, Truth]
    every: float = 10.0
    until: float = 10_080.0
    entities: int = 0
    labelled: float = 1.0
    label_delay: float = 0.0
    scores: bool = False
    tolerant: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """How one run ended, when, and after how many requests; ``path`` is the weight on trial from each minute on.

    ``bad`` counts errors of arms on trial beyond what stable would have made, ``lost`` the outcomes that the best arm
    would have had more. A hold ran until the time was over.
    """

    end: End
    winner: str
    minutes: float
    requests: int
    bad: float
    lost: float
    path: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class _Column:
    """Values that grow at the end; what is read is a view."""

    values: Any = field(default_factory=lambda: np.empty(256))
    size: int = 0

    def add(self, more: Any) -> None:
        needed = self.size + len(more)
        if needed > len(self.values):
            grown = np.empty(max(needed, 2 * len(self.values)), dtype=self.values.dtype)
            grown[: self.size] = self.values[: self.size]
            self.values = grown
        self.values[self.size : needed] = more
        self.size = needed


@dataclass(slots=True)
class _Answers:
    """What one arm did in one segment so far."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    scores: _Column = field(default_factory=_Column)
    losses: _Column = field(default_factory=_Column)
    outcomes: _Column = field(default_factory=_Column)
    units: _Column = field(default_factory=lambda: _Column(np.empty(256, dtype=np.uint64)))
    labels: list[tuple[float, int]] = field(default_factory=list)
    seen: Any = None

    def data(self, now: float) -> ArmData:
        """Return it as the strategy sees it now: labels that are still on their way are not there."""
        arrived = self.losses.size
        if self.labels and self.labels[-1][0] > now:
            arrived = max((size for due, size in self.labels if due <= now), default=0)
        return ArmData(
            self.requests,
            self.errors,
            self.slow,
            self.scores.values[: self.scores.size],
            self.losses.values[:arrived],
            self.outcomes.values[:arrived],
            self.units.values[:arrived],
            self.requests if self.seen is None else int(self.seen.sum()),
        )


@dataclass(slots=True)
class _Step:
    """The traffic of one step so far."""

    number: int
    traffic: Traffic
    started: float
    arms: dict[str, _Answers] = field(default_factory=dict)
    shadows: dict[str, PairData] = field(default_factory=dict)

    def segment(self, now: float) -> Segment:
        arms = {name: answers.data(now) for name, answers in self.arms.items()}
        return Segment(self.number, self.traffic, arms, dict(self.shadows))


class _Crowd:
    """Who asks: entities and the arm that each sticks to, by the same weighted rendezvous as in the server.

    An entity's cost of an arm is exponential over the weight there too; only the hash is replaced by a draw.
    """

    def __init__(self, world: World, generator: np.random.Generator) -> None:
        self.world, self.generator, self.next = world, generator, 0
        self.costs = generator.exponential(size=(len(world.arms), world.entities)) if world.entities else None
        self.rates = {
            name: generator.beta(_ALIKE * rate, _ALIKE * (1 - rate), world.entities)
            for name in ("outcome", "loss")
            if world.entities and 0 < (rate := getattr(next(iter(world.arms.values())), name)) < 1
        }
        self.chosen: Any = None

    def assign(self, traffic: Traffic) -> None:
        """Give every entity its arm under new weights."""
        if self.costs is not None:
            weights = np.array([[traffic.weights.get(arm, 0.0)] for arm in self.world.arms])
            with np.errstate(divide="ignore"):
                self.chosen = np.argmin(self.costs / weights, axis=0)

    def ask(self, traffic: Traffic, requests: int) -> dict[str, Ids]:
        """Return the entities of so many requests by the arm that answers them."""
        arms = list(self.world.arms)
        if self.costs is None:
            counts = self.generator.multinomial(requests, [traffic.weights.get(arm, 0.0) for arm in arms])
            starts = self.next + np.concatenate([[0], np.cumsum(counts)])
            self.next += requests
            return {
                arm: np.arange(starts[place], starts[place + 1], dtype=np.uint64)
                for place, arm in enumerate(arms)
                if counts[place]
            }
        who = self.generator.integers(self.world.entities, size=requests, dtype=np.uint64)
        of = self.chosen[who]
        return {arm: who[of == place] for place, arm in enumerate(arms) if (of == place).any()}

    def happened(self, name: str, truth: Truth, who: Ids) -> Array:
        """Draw a label's outcome or loss, 0 or 1, of each answer; entities have their own rates."""
        rate: Any = getattr(truth, name)
        if name in self.rates:
            stable = getattr(next(iter(self.world.arms.values())), name)
            rate = np.clip(self.rates[name][who] * (rate / stable), 0.0, 1.0)
        drawn: Array = (self.generator.random(len(who)) < rate).astype(np.float64)
        return drawn


def _answer(world: World, crowd: _Crowd, step: _Step, requests: int, now: float) -> None:
    """Draw what every arm, and every shadow, does with so many requests that came until now."""
    generator = crowd.generator
    for arm, who in crowd.ask(step.traffic, requests).items():
        truth, n = world.arms[arm], len(who)
        answers = step.arms.setdefault(arm, _Answers())
        failed = int(generator.binomial(n, truth.errors))
        answers.requests += n
        answers.errors += failed
        answers.slow += int(generator.binomial(n, truth.slow))
        if world.scores:
            answers.scores.add(generator.beta(2, 5, n - failed) + truth.shift)
        if world.entities:
            answers.seen = np.zeros(world.entities, dtype=bool) if answers.seen is None else answers.seen
            answers.seen[who] = True
        labelled = who if world.labelled >= 1 else who[generator.random(n) < world.labelled]
        if len(labelled):
            answers.losses.add(crowd.happened("loss", truth, labelled))
            answers.outcomes.add(crowd.happened("outcome", truth, labelled))
            answers.units.add(labelled)
            answers.labels.append((now + world.label_delay, answers.losses.size))
    stable = next(iter(world.arms.values()))
    for arm, share in step.traffic.shadows.items():
        pairs = int(generator.binomial(requests, share))
        step.shadows[arm] = _copied(generator, step.shadows.get(arm, PairData()), world.arms[arm], stable, pairs)


def _copied(generator: np.random.Generator, so_far: PairData, truth: Truth, stable: Truth, pairs: int) -> PairData:
    errors, stable_errors = int(generator.binomial(pairs, truth.errors)), int(generator.binomial(pairs, stable.errors))
    both = max(0, pairs - errors - stable_errors)
    return PairData(
        so_far.pairs + pairs,
        so_far.errors + errors,
        so_far.slow + int(generator.binomial(pairs, truth.slow)),
        so_far.stable_errors + stable_errors,
        so_far.stable_slow + int(generator.binomial(pairs, stable.slow)),
        0,
        (so_far.agreed or 0) + int(generator.binomial(both, truth.agreement)),
        np.concatenate([so_far.differences, generator.normal(truth.shift, 0.02, both)]),
    )


def _smoke(world: World, generator: np.random.Generator, requests: int) -> Smoke:
    """Draw what smoke requests to the arm on trial and to stable find."""
    stable, trial = (world.arms[arm] for arm in list(world.arms)[:2])
    errors, slow = (generator.binomial(requests, rate) for rate in (trial.errors**SMOKE_TRIES, trial.slow))
    stable_errors, stable_slow = (
        generator.binomial(requests, rate) for rate in (stable.errors**SMOKE_TRIES, stable.slow)
    )
    return Smoke(requests, int(errors), int(stable_errors), int(slow), int(stable_slow))


@dataclass(slots=True)
class _Tally:
    """Requests of all arms so far, and what they cost."""

    requests: int = 0
    bad: float = 0.0
    lost: float = 0.0

    def add(self, world: World, steps: Sequence[_Step]) -> _Tally:
        """Count all steps."""
        stable = next(iter(world.arms.values()))
        best = max(truth.outcome for truth in world.arms.values())
        for step in steps:
            for arm, answers in step.arms.items():
                self.requests += answers.requests
                self.lost += answers.requests * (best - world.arms[arm].outcome)
                if arm != "stable":
                    self.bad += answers.errors - answers.requests * stable.errors
        return self


def _on_trial(traffic: Traffic) -> float:
    return round(sum(weight for arm, weight in traffic.weights.items() if arm != "stable"), 9)


def one_run(strategy: Strategy, params: Any, world: World, seed: np.random.SeedSequence) -> Run:
    """Return how one rollout goes: the strategy looks at synthetic traffic until it decides or the time is over."""
    generator = np.random.default_rng(seed)
    salt, crowd, arms = int(generator.integers(2**62)), _Crowd(world, generator), tuple(world.arms)
    steps = [_Step(0, strategy.begin(params, arms), 0.0)]
    path, smoke, now = [(0.0, _on_trial(steps[0].traffic))], None, 0.0
    crowd.assign(steps[0].traffic)
    looks = int(world.until / world.every)
    for look in range(1, looks + 1):
        now, running = look * world.every, steps[-1]
        _answer(world, crowd, running, int(generator.poisson(world.requests_per_hour * world.every / 60)), now)
        progress = Progress(
            running.number,
            START + timedelta(minutes=running.started),
            START + timedelta(minutes=now),
            tuple(step.segment(now) for step in steps),
            arms,
            START,
            smoke,
            salt + running.number,
            world.tolerant,
        )
        found = strategy.next_step(params, progress)
        if found.action == "advance":
            steps.append(_Step(found.step, found.traffic, now))
            path.append((now, _on_trial(found.traffic)))
            smoke = None
            crowd.assign(found.traffic)
        elif found.action == "smoke":
            smoke = _smoke(world, generator, found.requests)
        elif found.action != "hold":
            tally = _Tally().add(world, steps)
            path.append((now, 1.0 if found.action == "promote" and found.winner != "stable" else 0.0))
            return Run(found.action, found.winner, now, tally.requests, tally.bad, tally.lost, tuple(path))
    tally = _Tally().add(world, steps)
    return Run("hold", "", now, tally.requests, tally.bad, tally.lost, tuple(path))


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened, with the Wilson interval at 95 %."""

    count: int
    share: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Simulation:
    """What many runs of one plan in one world came to."""

    world: World
    runs: tuple[Run, ...]

    def rate(self, end: End) -> Rate:
        """Return how often runs ended like this."""
        count = sum(run.end == end for run in self.runs)
        return Rate(count, count / len(self.runs), *wilson(count, len(self.runs), 0.95))

    def quantile(self, name: str, q: float, end: End | None = None) -> float | None:
        """Return a quantile of a field of Run (minutes, requests, ...) over decided runs, or over those of one end."""
        values = [getattr(run, name) for run in self.runs if (run.end != "hold" if end is None else run.end == end)]
        return float(np.quantile(values, q)) if values else None

    @property
    def bad_requests(self) -> tuple[float, float]:
        """How many requests went wrong that stable would have answered: the mean of all runs, and the 90 % quantile."""
        bad = [run.bad for run in self.runs]
        return float(np.mean(bad)), float(np.quantile(bad, 0.9))

    def to_dict(self) -> dict[str, object]:
        """Return the result as plain data."""
        decided = {
            name: {"median": self.quantile(name, 0.5), "p90": self.quantile(name, 0.9)}
            for name in ("minutes", "requests")
        }
        winners = sorted({run.winner for run in self.runs if run.end == "promote"})
        return {
            "runs": len(self.runs),
            "ends": {
                end: {"count": rate.count, "share": rate.share, "lower": rate.lower, "upper": rate.upper}
                for end in ENDS
                for rate in (self.rate(end),)
            },
            "winners": {arm: sum(run.end == "promote" and run.winner == arm for run in self.runs) for arm in winners},
            "decision": decided,
            "badRequests": dict(zip(("mean", "p90"), self.bad_requests, strict=True)),
        }

    def timeline(self, points: int = 160) -> tuple[Array, dict[End, Array], Array]:
        """Return times in minutes, the share of runs that had ended in each way by then, and the mean weight on trial.

        Each array has the shape (points,); the last time is that of the last decision, or of the last look.
        """
        last = max(run.minutes for run in self.runs)
        times = np.linspace(0.0, last, points)
        ended: dict[End, Array] = {}
        for end in ENDS[:3]:
            minutes = np.sort([run.minutes for run in self.runs if run.end == end])
            ended[end] = np.searchsorted(minutes, times, side="right") / len(self.runs)
        weight = np.zeros(points)
        for run in self.runs:
            starts, weights = np.array([at for at, _ in run.path]), np.array([share for _, share in run.path])
            weight += weights[np.searchsorted(starts, times, side="right") - 1]
        return times, ended, weight / len(self.runs)


def _some(strategy: str, params: Any, world: World, seeds: Sequence[np.random.SeedSequence]) -> list[Run]:
    module: Any = plugins.load("strategies", strategy)
    return [one_run(module, params, world, seed) for seed in seeds]


def simulate(
    strategy: str,
    params: Any,
    world: World,
    *,
    runs: int,
    seed: int = 0,
    processes: int | None = None,
    tell: Callable[[int], None] = lambda done: None,
) -> Simulation:
    """Return what ``runs`` runs of a strategy come to; ``tell`` hears after how many more each time.

    Few runs are made in this process; else on ``processes`` of them, by default one per processor.
    """
    seeds = np.random.SeedSequence(seed).spawn(runs)
    chunks = [seeds[at : at + _CHUNK] for at in range(0, runs, _CHUNK)]
    found: list[Run] = []
    processes = processes or os.cpu_count() or 1
    if processes == 1 or len(chunks) < 2 * processes:
        for chunk in chunks:
            found += _some(strategy, params, world, chunk)
            tell(len(chunk))
        return Simulation(world, tuple(found))
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(_some, strategy, params, world, chunk) for chunk in chunks]
        for future in waiting:
            found += future.result()
            tell(_CHUNK)
    return Simulation(world, tuple(found))
