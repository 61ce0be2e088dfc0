"""Monitoring, nominal against measured: how often windows without drift, and metrics at their limit, raise an alarm.

Each row is a world, run through the functions of the monitor; a share whose Wilson interval lies wholly on the wrong
side of the nominal one is a fault. Rows without a nominal share show power.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pyarrow as pa
from monitor_worlds import DAY, START, Frame, interval, profile, snapshot, spec, training, window

from modelops import monitoring
from modelops.monitoring.performance import Look, exact, looked, performance_of
from modelops.spec.kinds.monitor import MonitorSpec, Performance
from modelops.spec.kinds.release import MetricValue
from modelops.spec.meta import Plugin

Draw = Callable[[np.random.Generator, int], Frame]
NAMES = np.array([f"c{index}" for index in range(30)])
SEED = [20264]
"""The first number of all seeds; another one is another sample."""
RECALL = Performance(metric="recall", minimum=0.7, minimum_labels=100)


def numbers(columns: int, shift: float = 0.0) -> Draw:
    return lambda rng, n: {f"x{k}": rng.normal(shift * (k < 2), size=n) for k in range(columns)}


def words(columns: int) -> Draw:
    weights = np.arange(1, 31) ** -1.2
    return lambda rng, n: {f"w{k}": NAMES[rng.choice(30, n, p=weights / weights.sum())] for k in range(columns)}


def rare(columns: int) -> Draw:
    return lambda rng, n: {f"r{k}": np.where(rng.random(n) < 0.02, "yes", "no") for k in range(columns)}


def gaps(columns: int) -> Draw:
    """Numbers of which a share is missing that is itself uneven from column to column."""
    return lambda rng, n: {
        f"g{k}": np.where(rng.random(n) < 0.02 + 0.2 * (k % 5), np.nan, rng.exponential(size=n)) for k in range(columns)
    }


def mixed(rng: np.random.Generator, n: int) -> Frame:
    return {
        "a": rng.normal(size=n),
        "b": rng.integers(0, 10, n).astype(float),
        "c": np.where(rng.random(n) < 0.1, "yes", "no"),
        "d": NAMES[rng.integers(0, 2, n)],
    }


def drifted(draw: Draw, rows: int, runs: int, *, n: int = 5000, scores: tuple[str, ...] = ("psi",), customers: int = 0,
            activity: float = 0.0, own: float = 0.0, alert: bool = False,
            other: Draw | None = None) -> int:  # fmt: skip
    """Count windows with a level; ``own`` is the part of a numbers' variance that is not the customer's."""
    monitor = MonitorSpec(minimum_requests=1, drift=tuple(Plugin(type=key, params={"minimum": 1}) for key in scores))
    count = 0
    known = None
    for run in range(runs):
        rng = np.random.default_rng([SEED[0], 7, run])
        if known is None or run % 10 == 0:
            frame = draw(rng, n)
            model = spec(frame)
            times = START.timestamp() + np.arange(n)
            known = profile(training(frame, times, np.arange(n)), model)
            columns = snapshot(model, n, n).columns
        who = None
        drawn = (other or draw)(rng, customers or rows)
        if customers:
            weights = rng.lognormal(0, activity, customers)
            who = rng.choice(customers, rows, p=weights / weights.sum())
            rest = (other or draw)(rng, rows)
            drawn = {
                name: np.sqrt(1 - own) * values[who] + np.sqrt(own) * rest[name] if own else values[who]
                for name, values in drawn.items()
            }
        table = window(drawn, START.timestamp() + np.arange(rows), who)
        report = monitoring.score_window(
            monitor, model, known, None, table, since=START, until=START + DAY, columns=columns
        )
        count += report.level == "alert" or (report.level == "warn" and not alert)
    return count


def labelled(rng: np.random.Generator, n: int, recall: float, known: Callable[..., np.ndarray],
             customers: int = 0) -> pa.Table:  # fmt: skip
    truth = rng.random(n) < 0.1
    said = np.where(truth, rng.random(n) < recall, rng.random(n) < 0.03)
    who = rng.integers(0, customers, n) if customers else None
    if who is not None:  # a customer's fraud is found, or it is not
        truth, found = (rng.random(customers) < 0.1)[who], (rng.random(customers) < recall)[who]
        said = np.where(truth, found, rng.random(n) < 0.03)
    score = np.where(said, 0.6, 0.1) + rng.random(n) * 0.3
    has = known(rng, truth, said)
    return window(
        {"x": rng.normal(size=n)}, START.timestamp() + np.arange(n), who, score=score.tolist(),
        label=["1" if one else "0" for one in said], truth=["1" if t else "0" if h else None for t, h in
        zip(truth & has, has, strict=True)],
    )  # fmt: skip


def everything(rng: np.random.Generator, truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    return np.ones(len(truth), bool)


def part(share: float) -> Callable[..., np.ndarray]:
    return lambda rng, truth, said: rng.random(len(truth)) < share


def flagged(extra: float) -> Callable[..., np.ndarray]:
    return lambda rng, truth, said: said | (rng.random(len(truth)) < extra)


def verdicts(word: str, recall: float, known: Callable[..., np.ndarray], runs: int, customers: int = 0) -> int:
    model, count = spec({"x": np.zeros(1)}), 0
    for run in range(runs):
        table = labelled(np.random.default_rng([SEED[0], 8, run]), 3000, recall, known, customers)
        count += performance_of(RECALL, model, table).verdict == word
    return count


def ever(recall: float, runs: int, *, every: int, length: int, days: int = 364) -> int:
    """Count the years in which a metric at its limit was ever called fallen, by windows that overlap."""
    model, count = spec({"x": np.zeros(1)}), 0
    for run in range(runs):
        rng = np.random.default_rng([SEED[0], 9, run])
        daily = [labelled(rng, 40, recall, everything) for _ in range(days)]
        history: list[monitoring.Past] = []
        for end in range(length, days + 1, every):
            until, size = START + end * DAY, length * DAY
            look = looked(history, 1, size, until)
            found = performance_of(RECALL, model, pa.concat_tables(daily[end - length : end]), before=look)
            history.append(monitoring.Past(until - size, until, "none", 1, found.verdict, found.looks))
            if found.verdict == "fail":
                count += 1
                break
    return count


def ever_of_counts(recall: float, runs: int, *, length: int, days: int = 364) -> int:
    """Count such years by the counts of each day alone, with a look each day: many years in little time."""
    count = 0
    for run in range(runs):
        rng = np.random.default_rng([SEED[0], 10, run])
        positive = rng.binomial(40, 0.1, days)
        found = rng.binomial(positive, recall)
        n, hits = (np.convolve(each, np.ones(length, np.int64), "valid") for each in (positive, found))
        for number, (k, m) in enumerate(zip(hits.tolist(), n.tolist(), strict=True), start=1):
            if k >= m * (recall - 0.05):
                continue
            share = MetricValue(name="recall", value=k / m, lower=0, upper=1, level=0.95, n=m, method="")
            if exact(share, Look(number).level(0.95)).upper < 0.7:
                count += 1
                break
    return count


def rows(runs: int) -> list[tuple[str, float | None, Callable[[int], int], int]]:
    """Return label, nominal share, the count for so many runs, and these; slow worlds have fewer."""
    few, some = max(20, runs // 10), max(50, runs // 4)
    both = ("psi", "kolmogorov-smirnov", "wasserstein")
    return [
        ("level, 10 numbers, 5,000 / 200 rows", 0.01, lambda n: drifted(numbers(10), 200, n), runs),
        ("level, 60 numbers, 5,000 / 200 rows", 0.01, lambda n: drifted(numbers(60), 200, n), some),
        ("level, 300 numbers, 5,000 / 200 rows", 0.01, lambda n: drifted(numbers(300), 200, n), few),
        ("level, 10 words of power-law frequency, 500 rows", 0.01, lambda n: drifted(words(10), 500, n), runs),
        ("level, 60 words of power-law frequency, 500 rows", 0.01, lambda n: drifted(words(60), 500, n), some),
        ("level, 300 words of power-law frequency, 500 rows", 0.01, lambda n: drifted(words(300), 500, n), few),
        ("level, 60 rare words, 200 rows", 0.01, lambda n: drifted(rare(60), 200, n), some),
        ("level, 60 numbers with gaps, 200 rows (shares)", 0.01, lambda n: drifted(gaps(60), 200, n), some),
        ("level, three scores, 10 numbers, 500 rows", 0.01, lambda n: drifted(numbers(10), 500, n, scores=both), some),
        *(
            (f"level, {rows} rows of {who} customers who stay", 0.01,
             lambda n, who=who, rows=rows: drifted(mixed, rows, n, n=10_000, customers=who), runs)
            for who, rows in ((200, 1000), (100, 1000), (50, 1000), (20, 300))
        ),
        ("level, 1,000 rows of 200 customers, activity lognormal 1.5", 0.01,
         lambda n: drifted(mixed, 1000, n, n=10_000, customers=200, activity=1.5), runs),
        ("level, 1,000 rows of 50 customers, activity lognormal 1.5", 0.01,
         lambda n: drifted(mixed, 1000, n, n=10_000, customers=50, activity=1.5), runs),
        ("level, three scores, 1,000 rows of 50 customers who stay", 0.01,
         lambda n: drifted(numbers(4), 1000, n, n=10_000, customers=50, scores=both), some),
        ("level, 1,000 rows of 50 customers, half of the variance theirs", 0.01,
         lambda n: drifted(numbers(8), 1000, n, n=10_000, customers=50, own=0.5), runs),
        ("power: shift of 1 sigma, 1,000 rows of as many customers, alert", None,
         lambda n: drifted(numbers(8), 1000, n, n=10_000, alert=True, other=numbers(8, 1.0)), few),
        ("power: the same, 200 customers who stay", None,
         lambda n: drifted(numbers(8), 1000, n, n=10_000, customers=200, alert=True, other=numbers(8, 1.0)), few),
        ("power: the same, 20 customers whose rows are independent", None,
         lambda n: drifted(numbers(8), 1000, n, n=10_000, customers=20, own=0.99, alert=True, other=numbers(8, 1.0)),
         few),
        ("recall at its minimum, one look, all labels: fail", 0.025,
         lambda n: verdicts("fail", 0.7, everything, n), runs),
        ("recall at its minimum, one look, 20 % of labels: fail", 0.025,
         lambda n: verdicts("fail", 0.7, part(0.2), n), runs),
        ("recall at its minimum, one look, 500 customers: fail", 0.025,
         lambda n: verdicts("fail", 0.7, everything, n, 500), runs),
        ("recall at its minimum, a year of 30-day windows each week: ever fail", 0.025,
         lambda n: ever(0.7, n, every=7, length=30), some),
        ("recall at its minimum, a year of 7-day windows each day: ever fail", 0.025,
         lambda n: ever_of_counts(0.7, n, length=7), 5 * runs),
        ("power: recall 0.6, a year of 30-day windows: ever fail", None,
         lambda n: ever(0.6, n, every=7, length=30), few),
        *(
            (f"labels where flagged and {extra:.0%} of the rest, recall {recall}: pass",
             0.025 if recall < 0.7 else None,
             lambda n, recall=recall, extra=extra: verdicts("pass", recall, flagged(extra), n), some)
            for recall in (0.8, 0.5, 0.2) for extra in (0.0, 0.02, 0.2)
        ),
        ("labels where flagged and 20 % of the rest, recall 0.7: fail", 0.025,
         lambda n: verdicts("fail", 0.7, flagged(0.2), n), runs),
        ("labels where flagged and 20 % of the rest, recall 0.2: fail", None,
         lambda n: verdicts("fail", 0.2, flagged(0.2), n), some),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=SEED[0])
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    SEED[0] = options.seed
    faults = 0
    for label, nominal, counted, runs in rows(options.runs):
        if options.only not in label:
            continue
        began = time.monotonic()
        count = counted(runs)
        low, high = interval(count, runs)
        wrong = nominal is not None and low > nominal
        faults += wrong
        wanted = "" if nominal is None else f"<= {nominal:.1%}"
        word = "" if nominal is None else "WRONG" if wrong else "holds"
        took = timedelta(seconds=round(time.monotonic() - began))
        print(f"{label:74}{wanted:>9}  {count}/{runs} = {count / runs:.1%} [{low:.1%}, {high:.1%}] {word:6} {took}",
              flush=True)  # fmt: skip
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
