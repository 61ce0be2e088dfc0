"""Hours of a model that are unlike the weeks before: which series, since when, and what they come from."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from modelops.monitoring import triage
from modelops.monitoring.anomalies import BACK, Anomaly, Unusual, unusual_hours
from modelops.monitoring.objectives.hours import WHAT, Hours
from modelops.monitoring.triage.unusual import signal_of
from modelops.monitoring.upstream.suspect import Suspect
from modelops.spec.kinds.monitor import Anomalies
from monitoring.windows import NOW

HOUR, N = timedelta(hours=1), int(BACK / timedelta(hours=1))
BEGAN = NOW - 8 * HOUR


def hours(rng: np.random.Generator, n: int = N, last: int = 8, **changed: float) -> Hours:
    """Return hours of a daily course up to now, in the last of which numbers are so many times as they would be."""
    of = dict.fromkeys(("requests", "failed", "slow", "score"), 1.0) | changed
    at = np.arange(n)
    late = at >= n - last
    requests = rng.poisson(300 * (1.2 + np.sin(at * 2 * np.pi / 24)) * np.where(late, of["requests"], 1.0))
    failed = rng.binomial(requests, 0.01 * np.where(late, of["failed"], 1.0))
    slow = rng.binomial(requests - failed, 0.05 * np.where(late, of["slow"], 1.0))
    scored = requests - failed
    sums = scored * 0.2 * np.where(late, of["score"], 1.0) + rng.normal(0, 1, n) * np.sqrt(scored) * 0.3
    counts = dict.fromkeys(WHAT, np.zeros(n, dtype=np.int64)) | {
        "requests": requests, "failed": failed, "slow": slow, "scored": scored,
    }  # fmt: skip
    first = int(NOW.timestamp() // 3600) - n
    return Hours(first + at, np.column_stack([counts[name] for name in WHAT]).astype(np.int64), sums)


@pytest.mark.parametrize("cycle", ["day", "week"])
@pytest.mark.parametrize(
    ("changed", "series"),
    [
        ({}, []),
        ({"requests": 0.4}, ["requests"]),
        ({"failed": 8.0}, ["errors"]),
        ({"slow": 4.0}, ["slow answers"]),
        ({"score": 2.0}, ["mean score"]),
        ({"failed": 0.0, "slow": 0.0}, []),
    ],
)
def test_each_series_is_judged_by_itself(cycle: str, changed: dict[str, float], series: list[str]) -> None:
    """Fewer calls, more errors, more slow answers, other scores: each is named alone; fewer errors are no trouble."""
    found = unusual_hours(Anomalies(cycle=cycle), hours(np.random.default_rng(2), **changed), NOW)
    assert (found.lacking, [one.series for one in found.going]) == ("", series)
    for one in found.going:
        assert abs(int(one.began[11:13]) - BEGAN.hour) <= 3
        assert one.value / one.usual == pytest.approx(next(iter(changed.values())), rel=0.5)
        assert " are usual at these hours, since 2026-04-30T1" in one.said


def test_what_is_over_is_told_and_opens_nothing() -> None:
    """Half a day later the hours are as usual: the stretch has an end, and there is no signal."""
    table = hours(np.random.default_rng(2), last=36, requests=0.4)
    quiet = hours(np.random.default_rng(2))
    counts = table.counts.copy()
    counts[-24:] = quiet.counts[-24:]
    found = unusual_hours(Anomalies(), Hours(table.hours, counts, quiet.sums), NOW)
    (one,) = [each for each in found.found if each.series == "requests"]
    assert one.until is not None
    assert "2026-04-30T00" <= one.until <= "2026-04-30T12"
    assert [each for each in found.going if each.series == "requests"] == []


def test_too_few_weeks_say_so() -> None:
    """What is usual is not known from the first day on; how much is missing is said."""
    rng = np.random.default_rng(1)
    assert "10 days of answers are known, and 22" in unusual_hours(Anomalies(), hours(rng, 240), NOW).lacking
    assert unusual_hours(Anomalies(cycle="day"), hours(rng, 240), NOW).lacking == ""
    empty = Hours(np.empty(0, dtype=np.int64), np.empty((0, len(WHAT)), dtype=np.int64), np.empty(0))
    assert "0 days" in unusual_hours(Anomalies(), empty, NOW).lacking


def odd(series: str, began: str = "2026-04-30T16:00:00Z") -> Anomaly:
    return Anomaly(series=series, began=began, until=None, hours=8, value=0.3, usual=0.1)


CHANGE = triage.Change(BEGAN + HOUR, 4, "candidate")
LONG_AGO = triage.Change(BEGAN - 30 * HOUR, 3, "stable")
ALIKE = {"churn": "2026-04-30T16:00:00Z"}
SILENT = Suspect("ledger", "core", "#core", ("amount", "country"), ("amount", "country"))


@pytest.mark.parametrize(
    ("series", "changes", "suspects", "others", "causes"),
    [
        (("errors",), [CHANGE, LONG_AGO], [], {}, ["release 4 began to answer as candidate then"]),
        (("errors", "mean score"), [LONG_AGO], [SILENT], {}, ["the data source ledger went silent: amount, country"]),
        (("errors",), [], [], {"churn": "2026-04-30T15:00:00Z"}, ["churn became unusual at the same time: what they"]),
        (("errors",), [], [], {"churn": "2026-04-29T15:00:00Z"}, ["nothing in git began then: the host, or what"]),
        (("requests",), [LONG_AGO], [], {}, ["nothing here began then: who calls it changed"]),
        (("requests", "errors"), [CHANGE], [SILENT], ALIKE, ["release 4", "the da", "churn"]),
    ],
)  # fmt: skip
def test_the_likeliest_cause_comes_first(
    series: tuple[str, ...], changes: list[triage.Change], suspects: list[Suspect], others: dict[str, str],
    causes: list[str],
) -> None:  # fmt: skip
    """What git shows, then a source, then what other models share; one signal for all series, with its evidence."""
    found = signal_of(Unusual(tuple(map(odd, series))), changes, suspects, others)
    assert found is not None
    told = found.cause.split("; ")
    assert len(told) == len(causes)
    assert all(one.startswith(cause) for one, cause in zip(told, causes, strict=True))
    assert (found.kind, found.event, found.began) == ("anomaly", "anomaly", BEGAN)
    assert all(any(line.startswith(name) for line in found.evidence) for name in series)
    assert any("release 4 is candidate" in line for line in found.evidence) == (CHANGE in changes)
