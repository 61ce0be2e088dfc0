"""How often incidents open without a cause, and whether their cause is named: looks, faults and budgets that are made.

Rows of faults are windows that ``modelops monitor`` would judge, by its own functions; rows of looks go through
``triage.step`` alone, with looks that find something by chance as often as is stated; rows of budgets hold a month of
requests, looked at every five minutes, against ``statistics.budgets``. The interval is Wilson's at 95 %.

Run as ``python tests/benchmarks/bench_incidents.py [--runs N] [--seed S] [WORD ...]``; a word picks the rows that have
it. Exit status 1 where a row does not keep what it states.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from monitor_worlds import DAY, START, interval, profile, spec, window

from modelops import monitoring
from modelops.monitoring import triage
from modelops.spec.kinds.monitor import MonitorSpec, Triage
from modelops.statistics.budgets import HOURS, Counted, burning

Rng = np.random.Generator
ROWS, FEATURES, ONSET = 1000, 10, 600
WELL = frozenset({"data", "drift", "performance", "silent"})
DRIFT = triage.Signal("drift", "drift", "drift", "the input has drifted")


@dataclass(frozen=True)
class Row:
    """What is counted in each run, and the least and the most that its mean or share may be."""

    label: str
    run: Callable[[Rng], float]
    runs: int
    least: float = 0.0
    most: float = float("inf")
    share: bool = True


def looks(chance: float, rules: Triage, weeks: int = 52) -> Callable[[Rng], float]:
    """Count the incidents of a year of weekly looks that find something by chance."""

    def run(rng: Rng) -> float:
        known: tuple[triage.Incident, ...] = ()
        for week in range(weeks):
            until = START + 7 * week * DAY
            found = (DRIFT,) if rng.random() < chance else ()
            known = triage.step(known, triage.Look("e", 1, until - 7 * DAY, until, found, WELL), rules)
        return float(sum(one.opened is not None for one in known))

    return run


def made(rng: Rng) -> dict[str, np.ndarray]:
    """Return a window of normal, log-normal and skewed numbers and of words."""
    found: dict[str, np.ndarray] = {f"x{at}": rng.normal(size=ROWS) for at in range(4)}
    found |= {f"y{at}": rng.lognormal(0, 1, ROWS) for at in range(3)}
    found |= {f"w{at}": rng.choice(list("abcdef"), ROWS, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04]) for at in range(3)}
    return found


def judged(rng: Rng, change: Callable[[Rng, dict[str, Any]], None]) -> dict[str, triage.Signal]:
    """Return the signals of a window whose columns were changed, by kind."""
    before, now = made(rng), dict(made(rng))
    columns: dict[str, Any] = {name: values.astype(object) for name, values in now.items()}
    change(rng, columns)
    model = spec(before)
    reference = profile(pa.table({name: pa.array(values) for name, values in before.items()}), model)
    times = START.timestamp() + np.arange(ROWS) * 600.0
    table = window({name: np.array(values, dtype=object) for name, values in columns.items()}, times)
    since, until = START, START + timedelta(seconds=600 * ROWS)
    report = monitoring.score_window(
        MonitorSpec(window_days=ROWS / 144), model, reference, None, table, since=since, until=until, release=1
    )
    return {one.kind: one for one in triage.signals(report, table, model)}


def gone(rng: Rng, columns: dict[str, Any]) -> None:
    for name in ("x0", "y0", "w0"):
        columns[name][ONSET:] = None


def gone_with_drift(rng: Rng, columns: dict[str, Any]) -> None:
    gone(rng, columns)
    columns["x1"][ONSET:] += 2.0


def units(factor: float) -> Callable[[Rng, dict[str, Any]], None]:
    def change(rng: Rng, columns: dict[str, Any]) -> None:
        columns["y1"] = columns["y1"] * factor

    return change


def moved(rng: Rng, columns: dict[str, Any]) -> None:
    """Move, spread or multiply a column by some amount that is no unit."""
    kind = rng.integers(0, 3)
    name, by = ("x2", "y2", "y2")[kind], rng.uniform(1.2, 4.0)
    columns[name] = columns[name] + by if kind == 0 else columns[name] * by if kind == 1 else columns[name] ** by


def together(rng: Rng, columns: dict[str, Any]) -> None:
    for name in ("x0", "x1", "y0"):
        columns[name][ONSET:] = columns[name][ONSET:] + 2.0


def found(change: Callable[[Rng, dict[str, Any]], None], right: Callable[[dict[str, triage.Signal]], bool]) -> Any:
    return lambda rng: float(right(judged(rng, change)))


def at_onset(signal: triage.Signal | None, slack: int) -> bool:
    """Tell whether a change was timed to so many rows."""
    when = START + timedelta(seconds=600 * ONSET)
    began = signal.began if signal is not None else None
    return began is not None and abs((began - when).total_seconds()) <= 600 * slack


def month(rate: float, bad: float, outage: tuple[int, int, float] | None = None) -> Callable[[Rng], dict[str, int]]:
    """Return how many times a month of looks is told of, by severity, and the look that paged first.

    ``rate`` requests come in five minutes and a share ``bad`` of them fails, save for an outage from one look to
    another.
    """

    def run(rng: Rng) -> dict[str, int]:
        many = rng.poisson(rate, 30 * 288)
        shares = np.full(len(many), bad)
        if outage is not None:
            shares[outage[0] : outage[1]] = outage[2]
        sums = [np.concatenate([[0], np.cumsum(each)]) for each in (rng.binomial(many, shares), many)]
        told, first, before = {"page": 0, "ticket": 0}, -1, None
        for end in range(288, len(many) + 1):
            starts = {hours: max(0, end - round(hours * 12)) for hours in HOURS}
            counts = {
                hours: Counted(float(sums[0][end] - sums[0][at]), float(sums[1][end] - sums[1][at]))
                for hours, at in starts.items()
            }
            severity = burning(counts, 0.999, 720, 100)
            if severity is not None and severity != before:
                told[severity] += 1
                first = end if severity == "page" and first < 0 else first
            before = severity
        return told | {"first": first}

    return run


def rows(runs: int) -> Iterator[Row]:
    for opens in (1, 2, 3):
        rules = Triage(open_after=opens)
        most = {1: 0.6, 2: 0.02, 3: 0.002}[opens]
        yield Row(f"looks: found by chance in 1 %, openAfter {opens}: incidents a year", looks(0.01, rules), 4 * runs,
                  most=most, share=False)  # fmt: skip
    for closes in (1, 2, 3):
        yield Row(f"looks: found in every second one by chance, closeAfter {closes}: incidents a year",
                  looks(0.5, Triage(close_after=closes)), runs, share=False)  # fmt: skip
    yield Row("fault: nothing changed, any signal", found(lambda rng, columns: None, bool), runs, most=0.01)
    yield Row("fault: three features go missing: one incident, in a row of the time", found(
        gone, lambda each: set(each) == {"data"} and len(each["data"].features) == 3 and at_onset(each["data"], 1)),
        runs, least=0.99)  # fmt: skip
    yield Row("fault: and a fourth drifts with them: one incident of all four", found(
        gone_with_drift, lambda each: set(each) == {"data"} and len(each["data"].features) == 4),
        runs, least=0.9)  # fmt: skip
    yield Row("fault: three features drift by 2 sigma at once: told as together", found(
        together, lambda each: "drift" in each and "changed together" in each["drift"].cause),
        runs, least=0.9)  # fmt: skip
    for factor in (1000.0, 60.0, 7.0):
        yield Row(f"fault: other units, {factor:g} to 1: called so", found(
            units(factor), lambda each: "data" in each and each["data"].code == "units"), runs, least=0.9)  # fmt: skip
    yield Row("fault: moved, spread or multiplied by 1.2 to 4: called a fault", found(
        moved, lambda each: "data" in each), runs, most=0.1)  # fmt: skip
    for label, share in (("a tenth", 0.0001), ("half", 0.0005)):
        run = month(300, share)
        yield Row(f"budget: {label} of what may fail, one request a second: pages a month",
                  lambda rng, run=run: float(run(rng)["page"]), runs // 4, most=0.05, share=False)  # type: ignore[misc]  # fmt: skip
        yield Row(f"budget: {label} of what may fail, one request a second: tickets a month",
                  lambda rng, run=run: float(run(rng)["ticket"]), runs // 4, share=False)  # type: ignore[misc]  # fmt: skip
    short = month(300, 0.0001, (4000, 4012, 0.05))
    yield Row("budget: 5 % fail for an hour: paged", lambda rng: float(short(rng)["page"] > 0), runs // 4, least=0.99)
    yield Row("budget: minutes until that page", lambda rng: 5.0 * (short(rng)["first"] - 4000), runs // 4, most=30,
              share=False)  # fmt: skip


def main() -> int:
    asked = argparse.ArgumentParser()
    asked.add_argument("words", nargs="*")
    asked.add_argument("--runs", type=int, default=200)
    asked.add_argument("--seed", type=int, default=1)
    given = asked.parse_args()
    kept = True
    for number, row in enumerate(rows(given.runs)):
        if given.words and not any(word in row.label for word in given.words):
            continue
        rng = np.random.default_rng([given.seed, number])
        values = np.array([row.run(rng) for _ in range(row.runs)])
        mean = float(values.mean())
        low, high = (
            interval(int(values.sum()), row.runs)
            if row.share
            else (mean - 1.96 * values.std() / row.runs**0.5, mean + 1.96 * values.std() / row.runs**0.5)
        )
        good = high >= row.least and low <= row.most
        kept &= good
        print(f"{row.label:84} {mean:8.4g} [{low:.3g}, {high:.3g}] of {row.runs}  {'holds' if good else 'DOES NOT'}")
        sys.stdout.flush()
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
