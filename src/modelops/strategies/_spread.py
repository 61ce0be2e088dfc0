"""How many events of an arm count as one: entities that come again, and what happens together, are no new evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelops.statistics.dispersion import Clusters, Part, design_effect, merged_effect
from modelops.strategies import StepData

__all__ = ["Spread", "spread", "spread_of"]


@dataclass(frozen=True, slots=True)
class Spread:
    """The design effect of an event, by entity and by time; their product is what its counts are divided by."""

    by_entity: float = 1.0
    by_time: float = 1.0

    @property
    def total(self) -> float:
        """How many events count as one."""
        return self.by_entity * self.by_time

    def __str__(self) -> str:
        """Say it for a reason, "" where every event counts."""
        if self.total < 1.05:
            return ""
        both = (("by entity", self.by_entity), ("in time", self.by_time))
        how = " and ".join(where for where, effect in both if effect >= 1.05)
        return f"; events gather {how}, so that {self.total:.1f} count as one"


def spread(name: str, steps: Sequence[StepData], arm: str, control: str, forgiven: int = 0) -> Spread:
    """Return the spread of an event over the steps in which both answer, what strikes both left out.

    The first ``forgiven`` requests of the arm are left out.
    """
    people: tuple[list[Part], list[Part]] = ([], [])
    times: tuple[list[Part], list[Part]] = ([], [])
    for data in steps:
        of_arm, of_control = data.arm(arm), data.arm(control)
        skipped, forgiven = forgiven, max(0, forgiven - of_arm.requests)
        if min(data.weight(arm), data.weight(control), of_arm.requests - skipped, of_control.requests) <= 0:
            continue
        weights = (1.0, -of_arm.requests / of_control.requests)
        for place, (one, weight) in enumerate(zip((of_arm, of_control), weights, strict=True)):
            if one.people is not None:
                people[place].append(_part(name, one.people, weight))
            if one.times is not None:
                times[place].append(_part(name, _without(one.times, 0 if place else skipped), weight))
    return Spread(design_effect(*people), merged_effect(*times))


def spread_of(name: str, steps: Sequence[StepData], arm: str) -> Spread:
    """Return the spread of an event in one arm alone, beside nothing."""
    found = [data.arm(arm) for data in steps if data.arm(arm).requests]
    people = [_part(name, one.people, 1.0) for one in found if one.people is not None]
    times = [_part(name, one.times, 1.0) for one in found if one.times is not None]
    return Spread(design_effect(people, []), merged_effect(times, []))


def _part(name: str, clusters: Clusters, weight: float) -> Part:
    return Part(clusters.keys, clusters.errors if name == "errors" else clusters.slow, clusters.requests, weight)


def _without(clusters: Clusters, first: int) -> Clusters:
    """Return stretches of time without the ones that hold the first so many requests."""
    if not first:
        return clusters
    kept = np.cumsum(clusters.requests) > first
    return Clusters(clusters.keys[kept], clusters.requests[kept], clusters.errors[kept], clusters.slow[kept])
