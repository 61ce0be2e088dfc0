"""A year of monitoring, 52 weeks: how many retrainings are opened and how many windows alert, in quiet and other years.

Every retraining that is due is merged and made stable at once, its rows joined to those before. A quiet year opens
none, a year with one shift opens one. Years are few, so every count stands with Wilson's interval.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from monitor_worlds import Year, interval, year


@dataclass(frozen=True)
class World:
    """A kind of year: what a day adds to the first two columns, how many retrainings are right, and years per run."""

    label: str
    values: dict[str, Any]
    right: int | None = 0
    part: float = 1.0


def quiet(day: float) -> float:
    return 0.0


def weekend(day: float) -> float:
    return 1.5 * (math.floor(day) % 7 in (5, 6))


def season(day: float) -> float:
    return 0.8 * math.sin(2 * math.pi * day / 365)


def shift(size: float) -> Any:
    return lambda day: size * (day > 60)


WEEK, DAILY = {"window_days": 7}, {"window_days": 1, "every": 1, "a_day": 500}
WORLDS = [
    *(World(f"quiet, {n} columns, weekly windows", {"mean": quiet, "columns": n} | WEEK, part=part)
      for n, part in ((10, 1.0), (60, 0.5), (300, 0.1))),
    *(World(f"quiet, {n} columns, daily windows", {"mean": quiet, "columns": n} | DAILY, part=part)
      for n, part in ((10, 0.4), (60, 0.2))),
    World("quiet, 8 columns, 30-day windows each week", {"mean": quiet}),
    World("quiet, 100 customers who come again", {"mean": quiet, "returning": 100}),
    *(World(f"weekends of 1.5 sigma, {n} columns, weekly windows", {"mean": weekend, "columns": n} | WEEK, part=part)
      for n, part in ((10, 1.0), (60, 0.4), (300, 0.1))),
    *(World(f"weekends of 1.5 sigma, {n} columns, daily windows", {"mean": weekend, "columns": n} | DAILY, part=part)
      for n, part in ((10, 0.1), (60, 0.05))),
    World("season of 0.8 sigma, a year of it in the snapshot", {"mean": season, "reference_days": 365}, part=0.5),
    World("season of 0.8 sigma, 60 days of it in the snapshot", {"mean": season}, None, part=0.5),
    World("shift of 1 sigma in 2 of 8 columns on day 60", {"mean": shift(1.0)}, 1, part=0.5),
    World("the same, 60,000 reference rows", {"mean": shift(1.0), "reference_rows": 60_000}, 1, part=0.2),
    World("the same, keepReference false", {"mean": shift(1.0), "keep": False}, 1, part=0.5),
    World("the same, a snapshot without times", {"mean": shift(1.0), "timed": False}, 1, part=0.5),
    World("the same, weekly windows", {"mean": shift(1.0)} | WEEK, 1, part=0.5),
    World("shift of 0.6 sigma", {"mean": shift(0.6)}, 1, part=0.5),
    World("shift of 3 sigma", {"mean": shift(3.0)}, 1, part=0.3),
    World("13 quiet weeks, 300 columns, daily windows", {"mean": quiet, "columns": 300, "days": 91} | DAILY, part=0.2),
]  # fmt: skip


def told(world: World, years: list[Year], took: float) -> tuple[str, bool]:
    """Return a row of the table, and whether it is wrong."""
    windows = sum(len(each.levels) for each in years)
    alerts, warnings = sum(each.alerts() for each in years), sum(each.warnings() for each in years)
    opened = [len(each.opened) for each in years]
    odd = sum(world.right is not None and count > world.right for count in opened)
    low, high = interval(odd, len(years))
    text = f"{world.label:60} years {len(years):3}  retrainings {sum(opened):3}"
    if world.right is not None:
        text += f", years with more than {world.right}: {odd} [{low:.1%}, {high:.1%}]"
    ends = interval(alerts + warnings, windows)
    text += f"  alert {alerts}, warn {warnings} of {windows} [{ends[0]:.2%}, {ends[1]:.2%}]"
    first = [each.opened[0] - 60 for each in years if each.opened]
    if world.right and first:
        text += f"  found in {len(first)}, after {np.median(first):.0f} days ({min(first)} to {max(first)})"
    twice = max(each.twice for each in years)
    return f"{text}  rows twice {twice:.1%}  {took:.0f} s", odd > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=int, default=20)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    faults = 0
    for world in WORLDS:
        if options.only not in world.label:
            continue
        began = time.monotonic()
        many = max(2, round(options.years * world.part))
        years = [year(np.random.default_rng([11, run]), **world.values) for run in range(many)]
        text, odd = told(world, years, time.monotonic() - began)
        faults += odd
        print(text, flush=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
