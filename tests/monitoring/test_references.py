"""What a window is held against: the rows that trained or tested the release, or traffic of a cycle ago."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from modelops.changes.references import Against, against
from modelops.errors import failure
from modelops.metrics import Predictions
from modelops.monitoring import Beside, Holdout, score_window
from modelops.spec.kinds.monitor import MonitorSpec, Reference
from monitoring.windows import NOW, inputs, log, model, profile_of, snapshot

DAY = timedelta(days=1)


class Traffic:
    """The part of a log that is asked here: windows of its rows."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self.asked: list[tuple[datetime, datetime]] = []

    def window(self, model: str, since: datetime, until: datetime, **_: Any) -> pa.Table:
        self.asked.append((since, until))
        times = self.table.column("time")
        inside = pc.and_(pc.greater_equal(times, since.timestamp()), pc.less(times, until.timestamp()))
        return self.table.filter(inside)


class Release:
    """What is read of a release here."""

    version = 1
    score_profile = None


def weekly(rng: np.random.Generator, days: int, rows: int = 400, late: Sequence[int] = ()) -> pa.Table:
    """Return days of traffic in which every seventh is a day of other amounts, as are the ``late`` ones."""
    parts = []
    for back in range(1, days + 1):
        shift = 2.0 if back % 7 == 1 or back in late else 0.0
        start = (NOW - back * DAY).timestamp()
        parts.append(log(inputs(rng, rows, shift=shift), time=[start + 60.0 * index for index in range(rows)]))
    return pa.concat_tables(parts)


def held(monitor: MonitorSpec, traffic: Traffic, holdout: Any = None, until: datetime = NOW) -> Against:
    window = (until - timedelta(days=monitor.window_days), until)
    release: Any = Release()
    log_of: Any = traffic
    spec = snapshot().model_copy(update={"profile": profile_of(pa.table(inputs(np.random.default_rng(0), 5000)))})
    return against(monitor, model(), release, spec, log_of, "m", window, holdout)


def level(monitor: MonitorSpec, traffic: Traffic, found: Against, until: datetime = NOW) -> str:
    since = until - timedelta(days=monitor.window_days)
    return score_window(
        monitor, model(), found.profile, found.score_profile, traffic.window("m", since, until),
        since=since, until=until, columns=found.columns, beside=Beside(against=found.name, lacking=found.lacking),
    ).level  # fmt: skip


def test_a_weekday_is_held_against_the_same_weekday() -> None:
    """A day that is always different is drift beside the training rows, and none beside those of a week ago."""
    rng = np.random.default_rng(1)
    traffic = Traffic(weekly(rng, 30))
    plain = MonitorSpec(window_days=1.0)
    assert level(plain, traffic, held(plain, traffic)) == "alert"
    cyclic = MonitorSpec(window_days=1.0, reference=Reference(of="traffic", cycle_days=7.0, cycles=3))
    found = held(cyclic, traffic)
    assert traffic.asked[-3:] == [(NOW - (7 * k + 1) * DAY, NOW - 7 * k * DAY) for k in (1, 2, 3)]
    assert found.name == "3 windows of the traffic between 2026-04-09T00:00:00Z and 2026-04-24T00:00:00Z"
    assert level(cyclic, traffic, found) == "none"


def test_a_shift_beside_the_cycle_is_drift() -> None:
    """An ordinary day that becomes like the other one is drift: its own weekday was not so."""
    rng = np.random.default_rng(2)
    traffic = Traffic(weekly(rng, 30, late=(2,)))
    cyclic = MonitorSpec(window_days=1.0, reference=Reference(of="traffic", cycle_days=7.0, cycles=3))
    yesterday = NOW - DAY
    assert level(cyclic, traffic, held(cyclic, traffic, until=yesterday), yesterday) == "alert"


def test_a_log_that_does_not_reach_back_is_no_data_and_says_so() -> None:
    """Nothing else is taken in place of a reference that is not there."""
    rng = np.random.default_rng(3)
    traffic = Traffic(weekly(rng, 3))
    cyclic = MonitorSpec(window_days=1.0, reference=Reference(of="traffic", cycle_days=7.0))
    found = held(cyclic, traffic)
    assert found.lacking.endswith("has 0 rows, 200 are needed to be a reference")
    assert level(cyclic, traffic, found) == "no-data"


def test_of_traffic_one_row_of_each_entity_is_compared_with_all_features_together() -> None:
    """Rows of customers who come again would be told from others by heart; the profile is of all rows."""
    table = weekly(np.random.default_rng(6), 9)
    names = [f"c{index % 40}" for index in range(table.num_rows)]
    table = table.set_column(table.schema.get_field_index("entity"), "entity", pa.array(names))
    cyclic = MonitorSpec(window_days=1.0, reference=Reference(of="traffic", cycle_days=7.0))
    found = held(cyclic, Traffic(table))
    assert found.rows is not None
    assert (found.lacking, found.rows.num_rows) == ("", 40)
    assert sum(found.profile["amount"].counts) > 200


def test_the_holdout_is_the_rows_that_tested_the_release() -> None:
    """Its profile is made of them; one that cannot be had is no data."""
    rng = np.random.default_rng(4)
    rows = pa.table(inputs(rng, 3000, shift=2))
    told = Holdout(rows, Predictions("binary-classification", *[np.zeros(3000)] * 3))
    traffic = Traffic(weekly(rng, 2))
    monitor = MonitorSpec(window_days=1.0, reference=Reference(of="holdout"))
    found = held(monitor, traffic, told)
    assert found.name == "the 3000 rows that tested release 1"
    assert found.profile == profile_of(rows)
    assert level(monitor, traffic, found) == "none"
    missing = held(monitor, traffic, failure("not-in-store", "the store has no blob"))
    assert missing.lacking == "the holdout cannot be had: the store has no blob"


@pytest.mark.parametrize("of", ["training"])
def test_training_rows_are_the_default_and_need_nothing(of: Any) -> None:
    """The snapshot's own profile is the reference, and the log is not asked for more."""
    traffic = Traffic(weekly(np.random.default_rng(5), 1))
    found = held(MonitorSpec(reference=Reference(of=of)), traffic)
    assert (found.name, found.lacking, traffic.asked) == ("", "", [])
