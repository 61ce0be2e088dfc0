"""How long labels take, from logs whose newest answers have none yet, and what a metric is measured on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelops.monitoring.delay import delay_of, mature
from modelops.spec.kinds.monitor import Performance
from monitoring.windows import NOW, RECALL, SINCE, inputs, log, report

Array = np.ndarray[Any, Any]
DAY = 86_400.0


def traffic(rng: np.random.Generator, n: int, took: Array, **columns: Any) -> pa.Table:
    """Return a month of answers, each of which has a label if it took no longer than the answer is old."""
    times = SINCE.timestamp() + np.sort(rng.random(n)) * 30 * DAY
    arrived = times + took <= NOW.timestamp()
    truth = columns.pop("truth", ["1"] * n)
    known = [value if came else None for value, came in zip(truth, arrived, strict=True)]
    table = log(inputs(rng, n), time=times.tolist(), truth=known, **columns)
    stamps = [time + late if came else None for time, late, came in zip(times, took, arrived, strict=True)]
    return table.append_column("truth_time", pa.array(stamps, pa.float64()))


def test_delays_are_those_of_all_labels_not_of_those_that_came() -> None:
    """Of exponential delays of five days the median is 3.5 and nine tenths 11.5; the plain quantiles are smaller."""
    rng = np.random.default_rng(1)
    took = rng.exponential(5 * DAY, 20_000)
    table = traffic(rng, 20_000, took)
    found = delay_of(table, NOW)
    assert found is not None
    assert found.within(0.5) / timedelta(days=1) == pytest.approx(5 * np.log(2), rel=0.05)
    assert found.within(0.9) / timedelta(days=1) == pytest.approx(5 * np.log(10), rel=0.07)
    came = (
        table.column("truth_time").drop_null().to_numpy()
        - table.filter(pa.compute.is_valid(table.column("truth_time"))).column("time").to_numpy()
    )
    assert np.quantile(came, 0.9) / DAY < 10.8
    assert found.complete == pytest.approx(1 - 5 / 30 * (1 - np.exp(-6)), abs=0.01)


def test_labels_that_came_all_at_once_tell_no_delay() -> None:
    """A month that was labelled on its last day, and few labels, say nothing; without times nothing is asked."""
    rng = np.random.default_rng(2)
    table = traffic(rng, 1000, np.zeros(1000))
    stamps = pa.array([NOW.timestamp()] * 1000, pa.float64())
    at_once = table.set_column(table.schema.get_field_index("truth_time"), "truth_time", stamps)
    assert delay_of(at_once, NOW) is None
    assert delay_of(traffic(rng, 50, np.zeros(50)), NOW) is None
    assert delay_of(log(inputs(rng, 200), truth=["1"] * 200), NOW) is None


def test_a_label_before_its_prediction_is_no_delay_and_is_told() -> None:
    """Clocks that differ make negative delays: they count as none, and a finding says how many there are."""
    rng = np.random.default_rng(3)
    took = np.where(np.arange(1000) % 100 == 0, -60.0, 3600.0)
    table = traffic(rng, 1000, took)
    found = delay_of(table, NOW)
    assert found is not None
    assert (found.early, found.places[0]) == (10, 0.0)
    said = report(table, rng, performance=RECALL).findings
    assert "10 of 998 labels are older than their prediction: clocks differ." in [
        each.replace("999", "998") for each in said
    ]


def test_answers_whose_labels_are_on_their_way_are_not_judged() -> None:
    """Errors are reported at once and confirmations after ten days: the newest answers would look all wrong."""
    rng = np.random.default_rng(4)
    n = 6000
    wrong = rng.random(n) < 0.1
    took = np.where(wrong, 0.1, rng.uniform(5, 10, n)) * DAY
    label = np.where(wrong, "0", "1").tolist()
    table = traffic(rng, n, took, label=label)
    partial = report(table, rng, performance=Performance(metric="accuracy", minimum=0.85, mature=0.0))
    whole = report(table, rng, performance=Performance(metric="accuracy", minimum=0.85))
    assert partial.performance is not None
    assert whole.performance is not None
    assert partial.performance.value is not None
    assert whole.performance.value is not None
    assert whole.performance.value.value == pytest.approx(0.9, abs=0.02)
    assert partial.performance.value.value < whole.performance.value.value - 0.01
    assert "newest answers are left out, for 90% of labels come within 9" in whole.performance.reason


def test_a_window_whose_labels_come_at_once_is_whole() -> None:
    """A wait of less than a hundredth of the window leaves nothing out."""
    rng = np.random.default_rng(5)
    table = traffic(rng, 1000, rng.exponential(600.0, 1000))
    kept, said = mature(table, delay_of(table, NOW), 0.9, SINCE, NOW)
    assert (kept.num_rows, said) == (1000, "")


@pytest.mark.parametrize(("ago", "left"), [(1, False), (7, True)])
def test_labels_that_are_sent_together_are_judged_once_they_are_there(ago: int, left: bool) -> None:
    """Every fifteen days all labels so far are sent: on the day after none are missing, a week later the newest are."""
    rng = np.random.default_rng(6)
    sent = np.array([NOW.timestamp() - (ago + 15) * DAY, NOW.timestamp() - ago * DAY, np.inf])
    n = 3000
    times = SINCE.timestamp() + np.sort(rng.random(n)) * 30 * DAY
    stamps = sent[np.searchsorted(sent, times)]
    truth = ["1" if np.isfinite(at) else None for at in stamps]
    table = log(inputs(rng, n), time=times.tolist(), truth=truth)
    table = table.append_column(
        "truth_time", pa.array([at if np.isfinite(at) else None for at in stamps], pa.float64())
    )
    delay = delay_of(table, NOW)
    assert delay is not None
    assert delay.within(0.9) > timedelta(days=12)
    kept, said = mature(table, delay, 0.9, SINCE, NOW)
    assert (bool(said), kept.num_rows < n) == (left, left), said
