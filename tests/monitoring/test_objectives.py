"""What is promised of a model, held against rows whose budget is counted by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelops.monitoring import triage
from modelops.monitoring.delay import Delay, delay_of
from modelops.monitoring.objectives import Budget, Stable, budgets, count, sentence
from modelops.monitoring.triage import Change
from modelops.spec.kinds.monitor import (
    FreshnessObjective,
    LatencyObjective,
    Objective,
    Objectives,
    QualityObjective,
)
from monitoring.windows import NOW, model

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def rows(ages: Any, **columns: Any) -> pa.Table:
    """Return rows of the log that were answered so many minutes ago, oldest first, well unless said otherwise."""
    n = len(ages)
    given = {
        "time": [NOW.timestamp() - 60 * age for age in ages], "release": [1] * n, "arm": ["stable"] * n,
        "status": [200] * n, "latency_ms": [5.0] * n, "score": [0.5] * n, "label": ["0"] * n, "truth": [None] * n,
        "truth_time": [None] * n, "entity": [f"c{row}" for row in range(n)], "id": [f"p{row}" for row in range(n)],
    } | columns  # fmt: skip
    kinds = {"time": pa.float64(), "latency_ms": pa.float64(), "score": pa.float64(), "truth_time": pa.float64()}
    kinds |= {"status": pa.int64(), "release": pa.int64()}
    return pa.table({name: pa.array(values, kinds.get(name, pa.string())) for name, values in given.items()})


def held(table: pa.Table, line: tuple[Stable, ...] = (), task: str = "binary-classification", **asked: Any) -> Budget:
    objectives, spec = Objectives(**asked), model(task=task)
    hours = count(objectives, spec, table)
    (found,) = budgets(objectives, spec, hours, lambda *window: within(table, *window), line, delay_of(table, NOW), NOW)
    return found


def within(table: pa.Table, since: datetime, until: datetime) -> pa.Table:
    """Return the rows of a window, as a log does."""
    times = table.column("time").to_numpy()
    return table.filter(pa.array((times >= since.timestamp()) & (times < until.timestamp())))


MONTH = np.arange(30 * 1440 - 1, -1, -5)
"""A request every five minutes, for thirty days."""
AVAILABLE = {"availability": Objective(target=0.99)}


def failed(table: np.ndarray, last: float, every: int) -> list[int]:
    """Let every so-manieth request of the last minutes fail."""
    return [503 if age < last and place % every == 0 else 200 for place, age in enumerate(table)]


def test_failures_are_counted_in_every_window() -> None:
    """Half of the requests of six hours fail: 36 of 8,640, where 86 may; the page is that of the slow pair."""
    found = held(rows(MONTH, status=failed(MONTH, 360, 2)), **AVAILABLE, minimum_events=5)
    assert (found.bad, found.all) == (36, 8640)
    assert found.spent == pytest.approx(36 / 86.4)
    assert {name: round(rate) for name, rate in found.rates.items()} == {
        "5m": 0, "30m": 50, "1h": 50, "2h": 50, "6h": 50, "1d": 12, "3d": 4,
    }  # fmt: skip
    assert (found.severity, found.exhausted) == ("page", False)
    assert found.since is not None
    assert abs(int(found.since[11:13]) - 18) <= 1
    # By default a short window needs a hundred events, and six hours have 72.
    assert held(rows(MONTH, status=failed(MONTH, 360, 2)), **AVAILABLE).severity is None


def test_few_requests_wake_nobody() -> None:
    """One failure of thirty requests is far more than one of a hundred, and proves nothing."""
    table = rows(range(29, -1, -1), status=[503, *[200] * 29])
    assert held(table, **AVAILABLE, minimum_events=5).severity is None
    assert held(rows([]), **AVAILABLE).lacking == "there was none in the period"


def test_a_burn_names_the_release_that_it_came_with() -> None:
    """Where several answer, the one that most of it is of; where one began to answer then, that."""
    late = MONTH < 360
    release = [2 if new and place % 2 == 0 else 1 for place, new in enumerate(late)]
    status = [503 if number == 2 else 200 for number in release]
    found = held(rows(MONTH, status=status, release=release), **AVAILABLE, minimum_events=5)
    assert found.whose.startswith("100% of it is release 2, which answered ")
    (signal,) = triage.burning([found], [Change(NOW - 6 * HOUR, 2, "candidate"), Change(NOW - 9 * DAY, 1, "stable")])
    assert (signal.kind, signal.event, signal.code) == ("availability", "burn", "availability")
    assert signal.cause.startswith("release 2 began to answer as candidate; 100% of it is release 2")
    assert sentence(found) in signal.said


def test_slow_answers_are_those_beyond_the_promised_time() -> None:
    """The model's own objective of 50 ms counts where none is said, and what failed is no slow answer."""
    latency = [60.0 if place % 2 else 40.0 for place in range(len(MONTH))]
    status = [503 if place % 4 == 0 else 200 for place in range(len(MONTH))]
    table = rows(MONTH, latency_ms=latency, status=status)
    found = held(table, latency=LatencyObjective(target=0.9), minimum_events=5)
    assert (found.bad / found.all, found.severity) == (pytest.approx(2 / 3), "page")
    assert held(table, latency=LatencyObjective(target=0.9, within_ms=60.0)).bad == 0


def test_a_release_grows_old() -> None:
    """Of thirty days eight had a release that was older than twenty; it is a ticket however fast it goes."""
    line = (Stable(1, NOW - 28 * DAY, NOW - 25 * DAY, NOW), Stable(0, NOW - 99 * DAY, NOW - 26 * DAY, NOW - 25 * DAY))
    found = held(rows([]), line, freshness=FreshnessObjective(target=0.9, within_days=20.0))
    assert found.bad == pytest.approx((8 * DAY + 1 * DAY).total_seconds())
    assert found.all == pytest.approx((26 * DAY).total_seconds())
    assert (found.severity, found.exhausted) == ("ticket", True)
    assert held(rows([]), line, freshness=FreshnessObjective(target=0.9, within_days=200.0)).severity is None


def test_quality_counts_labels_that_had_the_time_to_come() -> None:
    """A tenth is wrong; the newest answers, whose labels are on their way, are left out, and labels by answer too."""
    rng = np.random.default_rng(2)
    delays = rng.uniform(0, 10, len(MONTH)) * 1440
    come = [delay <= age for delay, age in zip(delays, MONTH, strict=True)]
    wrong = rng.random(len(MONTH)) < 0.1
    truth = [("1" if bad else "0") if here else None for bad, here in zip(wrong, come, strict=True)]
    when = [
        NOW.timestamp() - 60 * (age - delay) if here else None
        for age, delay, here in zip(MONTH, delays, come, strict=True)
    ]
    scores = rng.random(len(MONTH)).tolist()
    table = rows(MONTH, truth=truth, truth_time=when, score=scores)
    found = held(table, quality=QualityObjective(target=0.8))
    assert (found.bad / found.all, found.spent) == (pytest.approx(0.1, abs=0.02), pytest.approx(0.5, abs=0.1))
    assert found.until[:10] in ("2026-04-21", "2026-04-22")
    assert found.severity is None
    labels = ["1" if place % 10 == 0 else "0" for place in range(len(MONTH))]
    flagged = [text if label == "1" else None for text, label in zip(truth, labels, strict=True)]
    chosen = rows(MONTH, truth=flagged, label=labels, score=[float(label) for label in labels])
    assert "labels depend on the answer" in held(chosen, quality=QualityObjective(target=0.8)).lacking


def test_the_hour_that_begins_at_the_cut_is_too_new() -> None:
    """Labels take 60 hours: of 100 answers before that, 100 within the hour that begins there, 900 later, 100 count."""
    ages = [*range(60 * 60 + 100, 60 * 60, -1), *np.linspace(60 * 60, 59 * 60 + 1, 100), *np.linspace(999, 1, 900)]
    table = rows(ages, truth=["0"] * 200 + [None] * 900)
    asked, spec = Objectives(quality=QualityObjective(target=0.8)), model()
    delay = Delay((60 * 3600.0,), (1.0,), 1.0, 200)
    hours = count(asked, spec, table)
    (found,) = budgets(asked, spec, hours, lambda *window: within(table, *window), (), delay, NOW)
    assert found.until == f"{NOW - 60 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    assert (found.bad, found.all) == (0, 100)


def test_labels_that_were_chosen_before_the_period_say_nothing_of_it() -> None:
    """Hours that reach further back, as unusual hours need them, leave quality known where the period's labels are."""
    ages = np.arange(14 * 1440 - 1, -1, -5)
    labels = ["1" if place % 10 == 0 else "0" for place in range(len(ages))]
    old = ages > 8 * 1440
    truth = ["0" if label == "1" or not before else None for label, before in zip(labels, old, strict=True)]
    table = rows(ages, truth=truth, label=labels)
    asked = {"quality": QualityObjective(target=0.5)}
    found = held(table, **asked, period_days=7)
    assert (found.lacking, found.bad, found.all) == ("", 202, 7 * 288)
    assert "labels depend on the answer" in held(table, **asked, period_days=14).lacking


def test_a_regression_is_right_near_the_truth() -> None:
    """An answer counts as right within so much of the truth, in units of the target."""
    ages = range(199, -1, -1)
    table = rows(ages, truth=["1.0"] * 200, score=[1.4] * 100 + [1.6] * 100)
    found = held(table, task="regression", quality=QualityObjective(target=0.6, within=0.5))
    assert (found.bad, found.all) == (100, 200)
