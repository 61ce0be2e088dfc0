"""How often quiet hours are called unusual, and how soon a change is, by the kind of traffic.

Each world has days, weekends and what its name says; a model has the four series that ``modelops monitor`` judges. A
quiet model is looked at every week for four weeks; a changed one every hour from the change on. It ends with 1 where
a rate lies wholly above what is stated. Run as
``python tests/benchmarks/bench_anomalies.py [MODELS]``.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.stats import beta

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from modelops.monitoring.anomalies import BACK, unusual_hours
from modelops.monitoring.objectives.hours import WHAT, Hours
from modelops.spec.kinds.monitor import Anomalies
from modelops.statistics import Array

NOW = datetime(2026, 5, 4, tzinfo=UTC)
BACK_HOURS = int(BACK / timedelta(hours=1))
WORLDS = {
    "Poisson, 200 an hour": (200.0, 0.0, 0.0),
    "Poisson, 5 an hour": (5.0, 0.0, 0.0),
    "20 % beyond chance": (200.0, 0.2, 0.0),
    "20 %, AR(1) of 0.5": (200.0, 0.2, 0.5),
    "20 %, AR(1) of 0.8": (200.0, 0.2, 0.8),
}
STATED = 1 / Anomalies().false_alarm_months
"""False alarms of a model in a month."""
CHANGES = {"calls halved": {"requests": 0.5}, "no calls": {"requests": 0.0}, "errors x 5": {"failed": 5.0}}


def noise(rng: np.random.Generator, n: int, size: float, memory: float) -> Array:
    steps, found = rng.normal(0, size * (1 - memory**2) ** 0.5, n), np.zeros(n)
    for at in range(1, n):
        found[at] = memory * found[at - 1] + steps[at]
    return found


def drawn(rng: np.random.Generator, n: int, level: float, size: float, memory: float, **late: float) -> Hours:
    """Return so many hours; in the last 24 numbers are so many times as they would be."""
    at = np.arange(n)
    course = level * (0.3 + np.exp(-np.square((at % 24 - 14) / 5.0))) * np.where(at // 24 % 7 > 4, 0.6, 1.0)
    changed = {name: np.where(at >= n - 24, late.get(name, 1.0), 1.0) for name in ("requests", "failed")}
    requests = rng.poisson(course * np.exp(noise(rng, n, size, memory)) * changed["requests"])
    failed = rng.binomial(requests, np.minimum(1, 0.01 * np.exp(noise(rng, n, size, memory)) * changed["failed"]))
    slow = rng.binomial(requests - failed, 0.03 * np.minimum(3, np.exp(noise(rng, n, size, memory))))
    scored = requests - failed
    sums = scored * (0.1 + 0.01 * noise(rng, n, size, memory)) + rng.normal(0, 0.2, n) * np.sqrt(scored)
    zero = np.zeros(n, dtype=np.int64)
    named = dict.fromkeys(WHAT, zero) | {"requests": requests, "failed": failed, "slow": slow, "scored": scored}
    first = int(NOW.timestamp() // 3600) - n
    return Hours(first + at, np.column_stack([named[name] for name in WHAT]).astype(np.int64), sums)


def until(hours: Hours, end: int) -> tuple[Hours, datetime]:
    now = datetime.fromtimestamp(int(hours.hours[0] + end) * 3600, UTC)
    return Hours(hours.hours[:end], hours.counts[:end], hours.sums[:end]), now


def delay(hours: Hours, n: int) -> float:
    for passed in range(1, 25):
        part, now = until(hours, n - 24 + passed)
        if unusual_hours(Anomalies(), part, now).going:
            return passed
    return np.inf


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="?", type=int, default=200)
    models, wrong = parser.parse_args().models, False
    for name, world in WORLDS.items():
        rng, alarms, weeks = np.random.default_rng(1), 0, 4
        for _ in range(models):
            quiet = drawn(rng, BACK_HOURS + 3 * 168, *world)
            for week in range(weeks):
                part, now = until(quiet, BACK_HOURS + week * 168)
                alarms += len(unusual_hours(Anomalies(), part, now).found) > 0
        months = models * weeks * 168 / 720
        looks = models * weeks
        low, high = beta.ppf([0.025, 0.975], [alarms, alarms + 1], [looks - alarms + 1, looks - alarms])
        rate = [share * looks / months for share in (np.nan_to_num(low), high)]
        # Of traffic that wanders for hours nothing is stated.
        wrong |= bool(rate[0] > STATED) and world[2] <= 0.5
        seen = {}
        for what, late in CHANGES.items():
            times = [delay(drawn(rng, BACK_HOURS, *world, **late), BACK_HOURS) for _ in range(min(models, 20))]
            seen[what] = f"{what} {np.median(times):.0f} h"
        print(
            f"{name:22} {alarms:3} looks with an alarm in {months:.0f} model-months: "
            f"{alarms / months:.3f} [{rate[0]:.3f}, {rate[1]:.3f}] a month, {STATED:g} stated; "
            f"{', '.join(seen.values())}",
            flush=True,
        )
    sys.exit(wrong)


if __name__ == "__main__":
    main()
