"""Simulation: a rollout plan against synthetic traffic, in logical time, by the very code that decides in the loop.

Each run draws traffic look by look and asks the strategy what to do, until it decides or the time is over. Runs have
their own seeds, so that the result is the same on any number of processors.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np

from modelops import plugins
from modelops.rollouts.worlds import EVEN, Crowd, Ids, Shape, Truth, Weather
from modelops.statistics.dispersion import Clusters, clusters_of
from modelops.statistics.intervals import wilson
from modelops.strategies import SMOKE_TRIES, ArmData, PairData, Progress, Smoke, StepData, Strategy, Traffic

__all__ = ["ENDS", "End", "Rate", "Run", "Simulation", "Truth", "World", "one_run", "simulate"]

Array = np.ndarray[Any, np.dtype[np.float64]]
OnFailure = Literal["rollback", "hold", "alert"]
End = Literal["promote", "keep", "rollback", "held", "hold"]
ENDS: tuple[End, ...] = ("promote", "keep", "rollback", "held", "hold")
"""``held``: a guard failed and the traffic waits for a person; ``hold``: nothing was decided when the time was over."""
START = datetime(2026, 1, 1, tzinfo=UTC)
_CHUNK = 20  # runs that a process takes at once
_STRETCHES = 8  # so many stretches of time are told apart between two looks


@dataclass(frozen=True)
class World:
    """The traffic of a simulation: what arrives, what is true of every arm (stable first), and who looks how often.

    With ``entities`` requests come from so many who stick to their arm and whose answers are alike; without, every
    request is an entity of its own. A label arrives for the share ``labelled`` of the answers after ``label_delay``
    minutes; ``shape`` says how traffic differs from even and independent requests. ``every`` is the time between looks
    and ``until`` that of the last one, in minutes. ``on_failure`` is what follows a failed guard, as in a plan.
    """

    requests_per_hour: float
    arms: Mapping[str, Truth]
    every: float = 10.0
    until: float = 10_080.0
    entities: int = 0
    labelled: float = 1.0
    label_delay: float = 0.0
    scores: bool = False
    on_failure: OnFailure = "rollback"
    shape: Shape = EVEN


@dataclass(frozen=True, slots=True)
class Run:
    """How one run ended, when, and after how many requests; ``path`` is the weight on trial from each minute on.

    ``bad`` counts errors of arms on trial beyond what stable would have made, ``lost`` the outcomes that the best arm
    would have had more. A hold ran until the time was over; ``why`` is what it waited for then. Where a guard held the
    traffic, ``minutes`` is when and ``why`` what failed; traffic is counted until the time was over.
    """

    end: End
    winner: str
    minutes: float
    requests: int
    bad: float
    lost: float
    path: tuple[tuple[float, float], ...]
    why: str = ""


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


def _ids() -> _Column:
    return _Column(np.empty(256, dtype=np.uint64))


@dataclass(slots=True)
class _Answers:
    """What one arm did in one step so far; ``people`` are requests, errors and slow answers by entity."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    scores: _Column = field(default_factory=_Column)
    losses: _Column = field(default_factory=_Column)
    outcomes: _Column = field(default_factory=_Column)
    units: _Column = field(default_factory=_ids)
    labels: list[tuple[float, int]] = field(default_factory=list)
    said: list[tuple[float, int, int]] = field(default_factory=list)
    told: list[int] = field(default_factory=lambda: [0, 0])
    people: Any = None
    stretches: _Column = field(default_factory=_ids)
    times: tuple[_Column, _Column, _Column] = field(default_factory=lambda: (_Column(), _Column(), _Column()))

    def add(
        self, world: World, crowd: Crowd, weather: Weather, truth: Truth, who: Ids, since: float, now: float
    ) -> None:
        """Draw the answers to some requests that came in a time, evenly and in their order."""
        n, generator = len(who), crowd.generator
        minutes = since + (np.arange(n) + 0.5) / n * (now - since)
        failed = crowd.gathers(weather.errors(crowd.rate("errors", truth, who), minutes))
        late = crowd.gathers(np.clip(crowd.rate("slow", truth, who) * weather.swing(minutes), 0.0, 1.0))
        self.requests += n
        self.errors += int(failed.sum())
        self.slow += int(late.sum())
        first = round(since / (now - since)) * _STRETCHES
        found = clusters_of((first + np.arange(n) * _STRETCHES // n).astype(np.uint64), failed, late)
        self.stretches.add(found.keys)
        for column, values in zip(self.times, (found.requests, found.errors, found.slow), strict=True):
            column.add(values)
        if world.entities:
            self.people = np.zeros((3, world.entities)) if self.people is None else self.people
            for place, weights in enumerate((None, failed, late)):
                self.people[place] += np.bincount(who, weights, world.entities)
        if world.scores:
            self.scores.add(generator.beta(2, 5, n - int(failed.sum())) + truth.shift)
        self._label(world, crowd, truth, who[~failed], now)

    def _label(self, world: World, crowd: Crowd, truth: Truth, who: Ids, now: float) -> None:
        label, wrong, told = crowd.truths(truth, who, now)
        answers = label ^ wrong
        if world.labelled < 1:
            told = told & (crowd.generator.random(len(who)) < world.labelled)
        for place in (0, 1):
            self.told[place] += int((answers == bool(place)).sum())
        if told.any():
            tails, many = world.shape.tails, int(told.sum())
            self.losses.add(crowd.generator.lognormal(0, tails, many) if tails else wrong[told])
            self.outcomes.add(label[told])
            self.units.add(who[told])
            due = now + world.label_delay
            self.labels.append((due, self.losses.size))
            self.said.append((due, int((~answers[told]).sum()), int(answers[told].sum())))

    def data(self, now: float) -> ArmData:
        """Return it as the strategy sees it now: labels that are still on their way are not there."""
        arrived = self.losses.size
        if self.labels and self.labels[-1][0] > now:
            arrived = max((size for due, size in self.labels if due <= now), default=0)
        known = [[zeros, ones] for due, zeros, ones in self.said if due <= now]
        told = [sum(pair[place] for pair in known) for place in (0, 1)]
        people = None
        if self.people is not None:
            asked = np.flatnonzero(self.people[0])
            people = Clusters(asked.astype(np.uint64), *(row[asked] for row in self.people))
        keys = self.stretches.values[: self.stretches.size]
        return ArmData(
            self.requests,
            self.errors,
            self.slow,
            self.scores.values[: self.scores.size],
            self.losses.values[:arrived],
            self.outcomes.values[:arrived],
            self.units.values[:arrived],
            self.requests if people is None else len(people.keys),
            people,
            Clusters(keys, *(column.values[: column.size] for column in self.times)),
            {str(place): (self.told[place], told[place]) for place in (0, 1)},
        )


@dataclass(slots=True)
class _Step:
    """The traffic of one step so far."""

    number: int
    traffic: Traffic
    started: float
    arms: dict[str, _Answers] = field(default_factory=dict)
    shadows: dict[str, PairData] = field(default_factory=dict)

    def data(self, now: float) -> StepData:
        arms = {name: answers.data(now) for name, answers in self.arms.items()}
        return StepData(self.number, self.traffic, arms, dict(self.shadows))


def _answer(world: World, crowd: Crowd, weather: Weather, step: _Step, since: float, now: float) -> None:
    """Draw what every arm, and every shadow, does with the requests that come in a time, in minutes."""
    generator = crowd.generator
    expected = world.requests_per_hour * (now - since) / 60 * float(weather.swing((since + now) / 2))
    requests = int(generator.poisson(expected))
    for arm, who in crowd.ask(step.traffic, requests).items():
        step.arms.setdefault(arm, _Answers()).add(world, crowd, weather, world.arms[arm], who, since, now)
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
    salt, arms = int(generator.integers(2**62)), tuple(world.arms)
    crowd = Crowd(world.arms, world.entities, world.shape, generator)
    weather = Weather(world.shape, world.until, generator)
    steps = [_Step(1, strategy.begin(params, arms), 0.0)]
    path, smoke, now = [(0.0, _on_trial(steps[0].traffic))], None, 0.0
    crowd.assign(steps[0].traffic)
    why, held = "", None
    looks = int(world.until / world.every)
    for look in range(1, looks + 1):
        now, running = look * world.every, steps[-1]
        _answer(world, crowd, weather, running, now - world.every, now)
        if held is not None:
            continue  # only a person goes on from here, and nobody comes
        progress = Progress(
            running.number,
            START + timedelta(minutes=running.started),
            START + timedelta(minutes=now),
            tuple(step.data(now) for step in steps),
            arms,
            START,
            smoke,
            salt + running.number - 1,
            world.on_failure == "alert",
        )
        found = strategy.next_step(params, progress)
        if world.on_failure == "hold" and (found.action == "rollback" or (found.action == "advance" and found.failed)):
            held, why = now, f"a guard failed: {found.reason}"
        elif found.action == "advance":
            steps.append(_Step(found.step, found.traffic, now))
            path.append((now, _on_trial(found.traffic)))
            smoke = None
            crowd.assign(found.traffic)
        elif found.action == "smoke":
            smoke = _smoke(world, generator, found.requests)
        elif found.action == "hold":
            why = found.reason
        else:
            tally = _Tally().add(world, steps)
            path.append((now, 1.0 if found.action == "promote" and found.winner != "stable" else 0.0))
            return Run(found.action, found.winner, now, tally.requests, tally.bad, tally.lost, tuple(path))
    tally = _Tally().add(world, steps)
    end: End = "hold" if held is None else "held"
    at = now if held is None else held
    return Run(end, "", at, tally.requests, tally.bad, tally.lost, tuple(path), why)


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
    def waits(self) -> tuple[tuple[int, str], ...]:
        """What held runs waited for when the time was over, the most frequent first, with how many waited for it.

        Reasons that differ in their numbers alone are one, told by the first of them.
        """
        alike: dict[str, list[str]] = {}
        for run in self.runs:
            if run.end in ("held", "hold"):
                alike.setdefault(re.sub(r"\d[\d.,]*", "0", run.why), []).append(run.why)
        found = sorted(alike.values(), key=len, reverse=True)
        return tuple((len(each), each[0] or "the time was over before anything could be told") for each in found)

    @property
    def bad_requests(self) -> tuple[float, float]:
        """How many requests went wrong that stable would have answered: the mean of all runs, and the 90 % quantile."""
        bad = [run.bad for run in self.runs]
        return float(np.mean(bad)), float(np.quantile(bad, 0.9))

    def timeline(self, points: int = 160) -> tuple[Array, dict[End, Array], Array]:
        """Return times in minutes, the share of runs that had ended in each way by then, and the mean weight on trial.

        Each array has the shape (points,); the last time is that of the last decision, or of the last look.
        """
        last = max(run.minutes for run in self.runs)
        times = np.linspace(0.0, last, points)
        ended: dict[End, Array] = {}
        for end in ENDS[:-1]:
            minutes = np.sort([run.minutes for run in self.runs if run.end == end])
            ended[end] = np.searchsorted(minutes, times, side="right") / len(self.runs)
        weight = np.zeros(points)
        for run in self.runs:
            starts, weights = np.array([at for at, _ in run.path]), np.array([share for _, share in run.path])
            weight += weights[np.searchsorted(starts, times, side="right") - 1]
        return times, ended, weight / len(self.runs)


def _some(strategy: str, params: Any, world: World, seeds: Sequence[np.random.SeedSequence]) -> list[Run]:
    module = plugins.load("strategies", strategy)
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
