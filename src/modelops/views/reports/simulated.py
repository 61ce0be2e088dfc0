"""The report of simulated rollouts: how they ended in each world, by when, and what the plan is forecast to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelops.markup import escape
from modelops.rollouts.forecasts import Planned
from modelops.rollouts.simulation import Simulation, World
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.views import forecasts
from modelops.views.reports.sections import Section, Table, sections_lines
from modelops.views.trials.simulation import HEADERS, Found, ends, head, lines

__all__ = ["Simulated", "markdown"]


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was simulated of which plan in which world; ``seed`` repeats it."""

    model: str
    plan: RolloutPlanSpec
    world: World
    seed: int
    found: Found
    planned: Sequence[Planned] = ()

    @property
    def head(self) -> str:
        """What was simulated, in one line."""
        return f"{head(self.model, self.plan, self.world)}, seed {self.seed}"

    @property
    def sections(self) -> tuple[Section, ...]:
        """A section for each world, and one for the forecast."""
        told = [_world(place, name, one) for place, (name, one) in enumerate(self.found)]
        rows = [tuple(forecasts.row(one.model, step)) for one in self.planned for step in one.steps]
        said = tuple(line for one in self.planned for line in forecasts.sees(one))
        tables = (
            Table("What each step needs to see the effect that it guards against", forecasts.HEADERS, tuple(rows)),
        )
        return (*told, Section("forecast", "Forecast", said, tables if rows else ()))


def _world(place: int, name: str, found: Simulation) -> Section:
    rows = tuple(tuple(cells) for cells in ends(found))
    table = Table(f"{name}: how {len(found.runs):,} rollouts ended", ("end", *HEADERS), rows)
    return Section(f"world-{place}", name, tuple(lines(found)), (table,))


def markdown(found: Simulated) -> str:
    """Return the whole report."""
    return (
        "\n".join(
            [
                f"# Rollout of {escape(found.model)}, simulated",
                "",
                escape(found.head),
                *sections_lines(found.sections, "##"),
            ]
        )
        + "\n"
    )
