"""Whether rollouts keep the error rates that they state, in traffic that is neither even nor independent.

Run as ``python tests/benchmarks/bench_alpha.py [--runs N] [ROW ...]``. Every row is a plan in a world without an
effect, or with a stated one: the nominal rate, the count, the measured rate with its 95 % interval (Wilson), and
whether the nominal rate is inside or on the right side of it. Exit status 1 where a row is wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from held_worlds import held

from modelops import plugins
from modelops.rollouts.simulation import World, simulate
from modelops.rollouts.worlds import Shape, Truth
from modelops.statistics.intervals import wilson

DOCS = [(0.05, 500), (0.25, 3000), (0.5, 5000), (1.0, 6000)]
DEMO = [(0.05, 100), (0.25, 200), (0.5, 200), (1.0, 200)]
LABELLED = [(0.05, 500), (0.25, 1500), (0.5, 2500)]
RATES: dict[str, Any] = {"scores": None, "outcome": None}
EVEN = Truth()
MISSES = Truth(loss=0.1, outcome=0.3)


def canary(steps: list[tuple[float, int]], minutes: float = 60.0, **more: Any) -> tuple[str, dict[str, Any]]:
    """Return a canary of steps, each a weight and a minimum of requests."""
    planned = [{"weight": weight, "min_requests": least, "min_minutes": minutes} for weight, least in steps]
    return "canary", {"steps": planned, **RATES, **more}


def ab(**more: Any) -> tuple[str, dict[str, Any]]:
    """Return an A/B test that ends on any effect, its guards on rates off."""
    quiet = {"errors": None, "slow": {"minimum_difference": 0.9}, **RATES}
    return "ab-test", {"metric": "outcome", "minimum_effect": 0.0001, "deviation": 0.3, **quiet, **more}


def blue_green(**more: Any) -> tuple[str, dict[str, Any]]:
    """Return a switch after six hours of stable, watched for six hours."""
    return "blue-green", {
        "min_requests": 20_000,
        "baseline_requests": 20_000,
        "watch_minutes": 360.0,
        "keep_warm_minutes": 60.0,
        "smoke_requests": 0,
        **more,
    }


@dataclass(frozen=True)
class Row:
    """One row: a plan, a world, which end is counted, and how often it may, or must, be (None: for scale)."""

    plan: tuple[str, dict[str, Any]]
    shape: Shape = field(default_factory=Shape)
    nominal: float | None = 0.05
    end: str = "rollback"
    least: bool = False
    entities: int = 0
    stable: Truth = EVEN
    candidate: Truth | None = None
    rate: float = 3600.0
    every: float = 10.0
    hours: float = 48.0


WITHOUT_LAST = canary(DOCS[:3])
LABELS = canary(LABELLED, 0.0, errors=None, slow={"minimum_difference": 0.9}, outcome={"minimum_labels": 100})
WEEK = {"rate": 100.0, "every": 240.0, "hours": 168.0, "end": "promote"}
DAY = {"rate": 3000.0, "every": 20.0, "hours": 12.0}
WORSE = Truth(loss=0.4, outcome=0.3)
ROWS = {
    "even, docs plan": Row(canary(DOCS)),
    "even, demo plan, a look every 20 requests": Row(canary(DEMO, 0.0), rate=600.0, every=2.0, hours=24.0),
    "day 15x, without the last step": Row(WITHOUT_LAST, Shape(day=15.0), stable=Truth(errors=0.016)),
    "day 15x, docs plan": Row(canary(DOCS), Shape(day=15.0), stable=Truth(errors=0.016)),
    "day 3x, docs plan": Row(canary(DOCS), Shape(day=3.0)),
    "day 5x, slow answers 3 %, docs plan": Row(canary(DOCS), Shape(day=5.0), stable=Truth(slow=0.03)),
    "incident, errors 10x for an hour of twelve, docs plan": Row(canary(DOCS), Shape(incident=10.0)),
    "outages of 2 minutes, four a day, docs plan": Row(canary(DOCS), Shape(outages=4.0)),
    "bursts of mean length 3": Row(WITHOUT_LAST, Shape(bursts=3.0)),
    "bursts of mean length 10": Row(WITHOUT_LAST, Shape(bursts=10.0)),
    "bursts of mean length 10, docs plan": Row(canary(DOCS), Shape(bursts=10.0)),
    "1,000 entities with own rates": Row(WITHOUT_LAST, entities=1000),
    "1,000 entities, 5 % of them make all errors": Row(WITHOUT_LAST, Shape(bad=0.05), entities=1000),
    "500 entities, activity lognormal 1.5, own rates": Row(WITHOUT_LAST, Shape(heavy=1.5), entities=500),
    "10,000 entities with own rates": Row(WITHOUT_LAST, entities=10_000),
    "1,000 entities, bursts of 3, day 5x, docs plan": Row(canary(DOCS), Shape(bursts=3.0, day=5.0), entities=1000),
    "blue-green, even": Row(blue_green()),
    "blue-green, day 15x": Row(blue_green(), Shape(day=15.0), stable=Truth(errors=0.016)),
    "blue-green, outages": Row(blue_green(), Shape(outages=4.0)),
    "blue-green without a holdback, day 15x (stated: not kept)": Row(
        blue_green(holdback=0.0), Shape(day=15.0), nominal=None, stable=Truth(errors=0.016)
    ),
    "canary without a holdback, day 15x (stated: not kept)": Row(
        canary(DOCS, holdback=0.0), Shape(day=15.0), nominal=None, stable=Truth(errors=0.016)
    ),
    "A/B, outcome 10 %, half and half": Row(ab(), **WEEK),
    "A/B, outcome 1 %, 90/10": Row(ab(weights=0.9), stable=Truth(outcome=0.01), **WEEK),
    "A/B, losses lognormal 2, 90/10": Row(ab(metric="correct", weights=0.9), Shape(tails=2.0), **WEEK),
    "A/B, losses lognormal 3, 90/10": Row(ab(metric="correct", weights=0.9), Shape(tails=3.0), **WEEK),
    "A/B, losses lognormal 1, half and half": Row(ab(metric="correct"), Shape(tails=1.0), **WEEK),
    "A/B, novelty of 24 hours": Row(
        ab(), Shape(novelty=24.0), candidate=Truth(outcome=0.095), **(WEEK | {"hours": 336.0})
    ),
    "labels for all, harm: rolled back": Row(
        LABELS, nominal=0.8, least=True, stable=MISSES, candidate=WORSE, **DAY
    ),
    "labels where not flagged, harm: promoted": Row(
        LABELS, Shape(labels="unflagged"), end="promote", stable=MISSES, candidate=WORSE, **DAY
    ),
    "labels where flagged, harm: promoted": Row(
        LABELS, Shape(labels="flagged"), end="promote", stable=MISSES, candidate=WORSE, **DAY
    ),
    "A/B, labels where not flagged, harm: promoted as better": Row(
        ab(metric="correct", min_minutes=600.0), Shape(labels="unflagged"), end="promote", stable=MISSES,
        candidate=WORSE, rate=1000.0, every=60.0, hours=40.0,
    ),
    "outcome guard, losses of 5 %": Row(LABELS, stable=Truth(loss=0.05), **DAY),
    "outcome guard, losses of 0.5 %": Row(LABELS, stable=Truth(loss=0.005), **DAY),
    "outcome guard, losses lognormal 1": Row(LABELS, Shape(tails=1.0), **DAY),
    "outcome guard, losses lognormal 2": Row(LABELS, Shape(tails=2.0), **DAY),
    "outcome guard, losses lognormal 3": Row(LABELS, Shape(tails=3.0), **DAY),
    "bandit, no effect: promoted (states no alpha)": Row(
        ("bandit", {"epoch_minutes": 360.0, "slow": None, **RATES}), nominal=None, rate=100.0, every=360.0, hours=336.0,
        end="promote",
    ),
    "labels for 30 %, no effect: void (held)": Row(LABELS, nominal=0.01, end="hold", **DAY),
    "errors 1 % to 2 % at 50 %: seen by the forecast": Row(
        canary([(0.5, 10**6)]), nominal=0.72, least=True, candidate=Truth(errors=0.02), every=5.0, hours=9118 / 3600
    ),
    "errors 1 % to 5 % at 5 %: seen in a day": Row(
        canary([(0.05, 10**6)]), nominal=0.8, least=True, candidate=Truth(errors=0.05), hours=24.0
    ),
}  # fmt: skip


SHORT = canary(DOCS[:2])
HELD = {
    "hold, even, docs plan": Row(canary(DOCS)),
    "hold, day 15x, docs plan": Row(canary(DOCS), Shape(day=15.0), stable=Truth(errors=0.016)),
    "hold, outages of 2 minutes, four a day, docs plan": Row(canary(DOCS), Shape(outages=4.0)),
    "hold, bursts of mean length 10, docs plan": Row(canary(DOCS), Shape(bursts=10.0)),
    "hold, 1,000 entities with own rates": Row(WITHOUT_LAST, entities=1000),
    "hold, errors 1 % to 1.5 %": Row(SHORT, nominal=None, candidate=Truth(errors=0.015), hours=14.0),
    "hold, errors 1 % to 2 %": Row(SHORT, nominal=None, candidate=Truth(errors=0.02), hours=14.0),
    "hold, errors 1 % to 3 %": Row(SHORT, nominal=None, candidate=Truth(errors=0.03), hours=14.0),
}
"""Plans with ``onFailure: hold``: a nominal rate is that of holds without a cause, and what was held never moves."""


def measured(row: Row, runs: int, seed: int) -> int:
    """Return how many runs end as counted."""
    strategy, params, world = made(row)
    return simulate(strategy, params, world, runs=runs, seed=seed).rate(row.end).count  # type: ignore[arg-type]


def made(row: Row) -> tuple[str, Any, World]:
    """Return the strategy of a row, its parameters and its world."""
    strategy, values = row.plan
    params = plugins.load("strategies", strategy).Params.model_validate(values, strict=False)
    arms = {"stable": row.stable, "candidate": row.candidate or row.stable}
    return strategy, params, World(row.rate, arms, row.every, row.hours * 60, row.entities, shape=row.shape)


def waited(name: str, row: Row, runs: int, seed: int) -> bool:
    """Print how often a guard held a rollout, and whether one that was held moved; return whether the row is wrong."""
    begun = time.perf_counter()
    strategy, params, world = made(row)
    count, relented, moved = held(plugins.load("strategies", strategy), params, world, runs, seed)
    low, high = wilson(count, runs, 0.95)
    wrong = moved > 0 or (row.nominal is not None and low > row.nominal)
    wanted = "" if row.nominal is None else f"<= {row.nominal:.0%}"
    share = f"{count}/{runs} held, {count / runs:.1%} [{low:.1%}, {high:.1%}]"
    went = f"a later look alone would have gone on in {relented}, moved {moved}"
    word = "WRONG" if wrong else "holds"
    print(f"{name:62} {wanted:8} {share:42} {word:6} {time.perf_counter() - begun:4.0f} s  {went}", flush=True)
    return wrong


def main() -> int:
    """Print the rows asked for, all by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("rows", nargs="*", help="words that the rows have; all rows by default")
    asked = parser.parse_args()
    wrong = 0
    for name, row in ROWS.items():
        if asked.rows and not any(word in name for word in asked.rows):
            continue
        begun = time.perf_counter()
        count = measured(row, asked.runs, asked.seed)
        low, high = wilson(count, asked.runs, 0.95)
        word = ""
        if row.nominal is not None:
            holds = high >= row.nominal if row.least else low <= row.nominal
            wrong += not holds
            word = "holds" if holds else "WRONG"
        wanted = "" if row.nominal is None else f"{'>=' if row.least else '<='} {row.nominal:.0%}"
        share = f"{count}/{asked.runs} {row.end}, {count / asked.runs:.1%} [{low:.1%}, {high:.1%}]"
        print(f"{name:62} {wanted:8} {share:42} {word:6} {time.perf_counter() - begun:4.0f} s", flush=True)
    for name, row in HELD.items():
        if not asked.rows or any(word in name for word in asked.rows):
            wrong += waited(name, row, asked.runs, asked.seed)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
