"""A year of monitoring, 52 weeks: retrainings opened without a cause, real shifts found, and how soon.

Every retraining that is due is merged and made stable at once, its rows joined to those before. In a year without a
cause each one counts, in a year with one shift each one after the first. A retraining without a cause is promoted in
at most as many years as one is opened. Rows are the functions that ``modelops monitor`` uses, on tables in memory.

Run as ``python tests/benchmarks/bench_monitor_year.py [--share P] [--seed S] [--ledger FILE] [--minutes M] [ROW ...]``.
With a ledger it goes on where it stopped, and ``--minutes 0`` prints what there is. The interval is Wilson's at 95 %.
Exit status 1 where a row opens more than 2 of 52 weeks without a cause, or finds less than it says.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ledger import Ledger, code_of
from monitor_worlds import Labels, Year, interval, year

DECIDES = ("monitoring", "drift", "summaries", "statistics", "predictions", "metrics")
"""The packages that decide: years of other code are not counted."""
SHIFTED = 60
"""The day of the shift, where there is one."""


@dataclass(frozen=True)
class World:
    """A kind of year: what it is made of, how many retrainings are right, and how many years are run.

    ``right`` None is for scale. ``found``: the share of shifts that has to be found. ``verdict``: never the metric's.
    """

    label: str
    values: dict[str, Any]
    right: int | None = 0
    years: int = 50
    found: float = 0.0
    verdict: str = ""


def quiet(day: float) -> float:
    return 0.0


def weekend(day: float) -> float:
    return 1.5 * (math.floor(day) % 7 in (5, 6))


def season(day: float) -> float:
    return 0.8 * math.sin(2 * math.pi * day / 365)


def shift(size: float) -> Any:
    return lambda day: size * (day > SHIFTED)


def fall(day: float, release: int) -> float:
    return 0.4 if day >= SHIFTED and release == 1 else 0.8


def always(recall: float) -> Any:
    return lambda day, release: recall


WEEK, DAILY, QUARTER = {"window_days": 7}, {"window_days": 1, "every": 1, "a_day": 500}, {"window_days": 91}
WORLDS = [
    *(World(f"quiet, {n} columns, weekly windows", {"mean": quiet, "columns": n} | WEEK) for n in (10, 60, 300)),
    *(World(f"quiet, {n} columns, daily windows", {"mean": quiet, "columns": n} | DAILY) for n in (10, 60)),
    World("quiet, 300 columns, daily windows, 13 weeks", {"mean": quiet, "columns": 300, "days": 91} | DAILY),
    World("quiet, 8 columns, 30-day windows each week", {"mean": quiet}),
    World("quiet, 10 columns, 13-week windows each week", {"mean": quiet, "columns": 10} | QUARTER),
    World("quiet, 100 customers who come again, 30-day windows", {"mean": quiet, "returning": 100}),
    World("quiet, 100 customers who come again, weekly windows", {"mean": quiet, "returning": 100} | WEEK),
    World("quiet, 30 customers who come again, daily windows", {"mean": quiet, "returning": 30} | DAILY),
    *(World(f"weekends of 1.5 sigma, {n} columns, weekly windows", {"mean": weekend, "columns": n} | WEEK)
      for n in (10, 60, 300)),
    *(World(f"weekends of 1.5 sigma, {n} columns, daily windows", {"mean": weekend, "columns": n} | DAILY)
      for n in (10, 60)),
    World("season of 0.8 sigma, a year of it in the snapshot", {"mean": season, "reference_days": 365}),
    World("season of 0.8 sigma, a year of it, weekly windows", {"mean": season, "reference_days": 365} | WEEK),
    World("season of 0.8 sigma, 60 days of it in the snapshot", {"mean": season}, None),
    World("shift of 1 sigma in 2 of 8 columns", {"mean": shift(1.0)}, 1, found=0.95),
    World("the same, weekly windows", {"mean": shift(1.0)} | WEEK, 1, found=0.95),
    World("the same, 60 columns, weekly windows", {"mean": shift(1.0), "columns": 60} | WEEK, 1, found=0.95),
    World("the same, daily windows", {"mean": shift(1.0)} | DAILY, 1, found=0.95),
    World("the same, 13-week windows", {"mean": shift(1.0)} | QUARTER, 1, found=0.95),
    World("the same, 60,000 reference rows", {"mean": shift(1.0), "reference_rows": 60_000}, 1, found=0.95),
    World("the same, keepReference false", {"mean": shift(1.0), "keep": False}, 1, found=0.95),
    World("the same, a snapshot without times", {"mean": shift(1.0), "timed": False}, 1, found=0.95),
    World("the same, 100 customers who come again", {"mean": shift(1.0), "returning": 100}, 1, found=0.8),
    World("shift of 0.6 sigma", {"mean": shift(0.6)}, 1, found=0.5),
    World("shift of 3 sigma", {"mean": shift(3.0)}, 1, found=0.95),
    World("recall 0.8, minimum 0.7, all labels", {"mean": quiet, "labels": Labels(always(0.8))}),
    World("recall at its minimum of 0.7, all labels", {"mean": quiet, "labels": Labels(always(0.7))}),
    World("recall 0.8, labels where flagged", {"mean": quiet, "labels": Labels(always(0.8), 0.0)}),
    World("recall 0.8, labels where flagged and 20 % of the rest", {"mean": quiet, "labels": Labels(always(0.8), 0.2)}),
    World("recall 0.4, labels where flagged: called good",
          {"mean": quiet, "labels": Labels(always(0.4), 0.0)}, 0, verdict="pass"),
    World("recall falls to 0.4, all labels", {"mean": quiet, "labels": Labels(fall)}, 1, found=0.95),
    World("recall falls to 0.4, labels where flagged and 20 % of the rest",
          {"mean": quiet, "labels": Labels(fall, 0.2)}, 1, found=0.8),
]  # fmt: skip


def wrong(world: World, years: list[Year]) -> str:
    """Say what a row does not keep, nothing if it keeps what it says."""
    if world.right is None:
        return ""
    spare = sum(max(0, len(each.opened) - world.right) for each in years)
    found = sum(any(day >= SHIFTED for day in each.opened) for each in years)
    said = []
    if spare > 2 * len(years):
        said.append("opens too many")
    if world.found and interval(found, len(years))[1] < world.found:
        said.append("finds too few")
    if world.verdict and any(world.verdict in each.verdicts for each in years):
        said.append(f"is called {world.verdict}")
    return ", ".join(said)


def told(world: World, years: list[Year], took: float) -> str:
    """Return a row of the table."""
    windows = sum(len(each.levels) for each in years)
    alerts, warnings = sum(each.alerts() for each in years), sum(each.warnings() for each in years)
    right, opened = world.right or 0, [len(each.opened) for each in years]
    odd = sum(count > right for count in opened)
    low, high = interval(odd, len(years))
    text = f"{world.label:64} years {len(years):3}  opened {sum(opened):3}"
    if world.right is not None:
        text += f", without a cause in {odd} of {len(years)} years [{low:.1%}, {high:.1%}]"
    ends = interval(alerts + warnings, windows)
    text += f"  alert {alerts}, warn {warnings} of {windows} windows [{ends[0]:.2%}, {ends[1]:.2%}]"
    first = [day - SHIFTED for each in years for day in each.opened[:1] if day >= SHIFTED]
    if world.right:
        ends = interval(len(first), len(years))
        text += f"  found in {len(first)} [{ends[0]:.0%}, {ends[1]:.0%}]"
        text += f", after {np.median(first):.0f} days ({min(first)} to {max(first)})" if first else ""
    twice = max(each.twice for each in years)
    return f"{text}  rows twice {twice:.1%}  {took:.0f} s  {wrong(world, years).upper() or 'holds'}"


def wanted(words: list[str]) -> dict[int, World]:
    return {
        number: world for number, world in enumerate(WORLDS) if not words or any(word in world.label for word in words)
    }


def go_on(ledger: Ledger, worlds: dict[int, World], share: float, seed: int, minutes: float) -> None:
    """Run years until all are done or the time is over; always of the row on which the least time was spent."""
    until = time.monotonic() + minutes * 60
    while time.monotonic() < until:
        spent, left = {}, {}
        for number, world in worlds.items():
            runs = list(ledger.of(f"{seed}/{number}/"))
            spent[number] = sum(run["seconds"] for run in runs)
            if len(runs) < max(2, round(share * world.years)):
                left[number] = len(runs)
        if not left:
            return
        number = min(left, key=lambda each: (spent[each], each))
        began = time.process_time()
        found = year(np.random.default_rng([seed, number, left[number]]), **worlds[number].values)
        ledger.add(f"{seed}/{number}/{left[number]}", seconds=time.process_time() - began, **asdict(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of the years of each row")
    parser.add_argument("--seed", type=int, default=20261)
    parser.add_argument("--ledger", type=Path, help="a file of the years that were run, which are not run again")
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after so many; the rows say their years")
    parser.add_argument("rows", nargs="*", help="words that the rows have; all rows by default")
    options = parser.parse_args()
    ledger = Ledger(options.ledger, code_of(*DECIDES, beside=("monitor_worlds.py",)))
    worlds = wanted(options.rows)
    go_on(ledger, worlds, options.share, options.seed, options.minutes)
    faults = 0
    for number, world in worlds.items():
        runs = list(ledger.of(f"{options.seed}/{number}/"))
        if not runs:
            print(f"{world.label:64} not run")
            continue
        years = [Year(**{name: run[name] for name in ("opened", "levels", "verdicts", "twice")}) for run in runs]
        print(told(world, years, sum(run["seconds"] for run in runs)), flush=True)
        faults += bool(wrong(world, years))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
