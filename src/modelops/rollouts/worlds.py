"""What synthetic traffic is like beyond its rates: who asks how often, what gathers, and whose truth is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from modelops.strategies import Traffic

__all__ = ["EVEN", "Crowd", "Shape", "Truth", "Weather"]

Array = np.ndarray[Any, np.dtype[np.float64]]
Ids = np.ndarray[Any, np.dtype[np.uint64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Labels = Literal["all", "flagged", "unflagged"]
_ALIKE = 3.0  # how alike the answers to one entity are: the concentration of entities' own rates
_OUTAGE_SHARE = 0.6  # of the answers that fail while an outage lasts
_NEW = 1.5  # how many times as many good outcomes what is new has at first


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


@dataclass(frozen=True, slots=True)
class Shape:
    """How traffic differs from independent requests that come evenly; as it is by default, in nothing.

    ``heavy`` is the sigma of the lognormal law of how often entities ask, ``bad`` the share of them that all errors are
    of; else each has rates of its own. ``bursts`` is the mean length of runs in
    which the errors and slow answers of an arm come. ``day`` is how many times as many errors, slow answers and
    requests there are at the top of the day as at the bottom, in all arms. ``outages`` is the mean number a day of
    times of 2 minutes in which most answers of all arms fail, ``incident`` how many times as many errors all arms have
    for one hour of the first twelve. ``labels`` says which answers get their label: all, those that say 1, or those
    that do not. For ``novelty`` hours the arms on trial have half as many good outcomes more. ``tails`` is the sigma of
    lognormal losses in place of right and wrong answers.
    """

    heavy: float = 0.0
    bad: float = 0.0
    bursts: float = 1.0
    day: float = 1.0
    outages: float = 0.0
    incident: float = 1.0
    labels: Labels = "all"
    novelty: float = 0.0
    tails: float = 0.0


EVEN = Shape()


class Weather:
    """What happens to all arms alike in one run: the hour at which it begins, its outages and its incident."""

    def __init__(self, shape: Shape, until: float, generator: np.random.Generator) -> None:
        self.shape = shape
        self.phase = generator.random() * 1440 if shape.day != 1 else 0.0
        many = generator.poisson(shape.outages * until / 1440) if shape.outages else 0
        self.outages = np.sort(generator.random(many) * until)
        self.incident = generator.random() * 720 if shape.incident != 1 else -math.inf

    def swing(self, minutes: Array | float) -> Array:
        """Return how many times as much as on average there is at some minutes of the run."""
        swing = (self.shape.day - 1) / (self.shape.day + 1)
        return np.asarray(1 + swing * np.sin(2 * np.pi * (np.asarray(minutes) + self.phase) / 1440))

    def errors(self, rates: Array, minutes: Array) -> Array:
        """Return the rates of errors at the minutes at which requests come."""
        struck = (minutes >= self.incident) & (minutes < self.incident + 60)
        rates = np.where(struck, self.shape.incident, 1.0) * rates
        if len(self.outages):
            place = np.searchsorted(self.outages, minutes, side="right") - 1
            down = (place >= 0) & (minutes < self.outages[np.maximum(place, 0)] + 2)
            rates = np.where(down, 1 - (1 - np.minimum(rates, 1)) * (1 - _OUTAGE_SHARE), rates)
        return np.clip(rates * self.swing(minutes), 0.0, 1.0)


@dataclass
class Crowd:
    """Who asks: entities and the arm that each sticks to, by the same weighted rendezvous as in the server.

    An entity's cost of an arm is exponential over the weight there too; only the hash is replaced by a draw. Without
    entities every request is one of its own.
    """

    arms: Mapping[str, Truth]
    entities: int
    shape: Shape
    generator: np.random.Generator
    next: int = 0
    chosen: Any = None
    rates: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.costs = self.generator.exponential(size=(len(self.arms), self.entities)) if self.entities else None
        self.stable = next(iter(self.arms.values()))
        self.activity: Any = None
        if not self.entities:
            return
        for name in ("outcome", "loss", "errors", "slow"):
            rate = getattr(self.stable, name)
            if 0 < rate < 1:
                self.rates[name] = self.generator.beta(_ALIKE * rate, _ALIKE * (1 - rate), self.entities)
        if self.shape.bad:
            worse = self.generator.random(self.entities) < self.shape.bad
            self.rates["errors"] = np.where(worse, min(1.0, self.stable.errors / self.shape.bad), 0.0)
        if self.shape.heavy:
            drawn = self.generator.lognormal(0, self.shape.heavy, self.entities)
            self.activity = np.cumsum(drawn) / drawn.sum()

    def assign(self, traffic: Traffic) -> None:
        """Give every entity its arm under new weights."""
        if self.costs is not None:
            weights = np.array([[traffic.weights.get(arm, 0.0)] for arm in self.arms])
            with np.errstate(divide="ignore"):
                self.chosen = np.argmin(self.costs / weights, axis=0)

    def ask(self, traffic: Traffic, requests: int) -> dict[str, Ids]:
        """Return the entities of so many requests by the arm that answers them."""
        arms = list(self.arms)
        if self.costs is None:
            counts = self.generator.multinomial(requests, [traffic.weights.get(arm, 0.0) for arm in arms])
            starts = self.next + np.concatenate([[0], np.cumsum(counts)])
            self.next += requests
            return {
                arm: np.arange(starts[place], starts[place + 1], dtype=np.uint64)
                for place, arm in enumerate(arms)
                if counts[place]
            }
        who = self._drawn(requests)
        of = self.chosen[who]
        return {arm: who[of == place] for place, arm in enumerate(arms) if (of == place).any()}

    def _drawn(self, requests: int) -> Ids:
        if self.activity is None:
            return self.generator.integers(self.entities, size=requests, dtype=np.uint64)
        return np.searchsorted(self.activity, self.generator.random(requests)).astype(np.uint64)

    def rate(self, name: str, truth: Truth, who: Ids, times: float = 1.0) -> Array:
        """Return the rate of what may happen to each answer; entities have their own."""
        wanted: float = getattr(truth, name) * times
        if name not in self.rates:
            return np.full(len(who), min(1.0, wanted))
        stable: float = getattr(self.stable, name)
        return np.clip(self.rates[name][who] * (wanted / stable), 0.0, 1.0)

    def happens(self, rates: Array) -> Flags:
        """Draw what happens to each answer, at its own rate."""
        return np.asarray(self.generator.random(len(rates)) < rates)

    def gathers(self, rates: Array) -> Flags:
        """Draw what happens to each answer in runs of the mean length ``bursts``, at the same rates overall."""
        if self.shape.bursts <= 1:
            return self.happens(rates)
        found = np.zeros(len(rates), dtype=np.bool_)
        starts = np.flatnonzero(self.generator.random(len(rates)) < rates / self.shape.bursts)
        for start, length in zip(starts, self.generator.geometric(1 / self.shape.bursts, len(starts)), strict=True):
            found[start : start + length] = True
        return found

    def truths(self, truth: Truth, who: Ids, minutes: float) -> tuple[Flags, Flags, Flags]:
        """Draw the label of every answer, whether the answer is wrong, and whether it gets its label at all."""
        new = truth is not self.stable and minutes <= self.shape.novelty * 60
        label = self.happens(self.rate("outcome", truth, who, _NEW if new else 1.0))
        wrong = self.happens(self.rate("loss", truth, who))
        if self.shape.labels == "all":
            return label, wrong, np.ones(len(who), dtype=np.bool_)
        said = label ^ wrong
        return label, wrong, said if self.shape.labels == "flagged" else ~said
