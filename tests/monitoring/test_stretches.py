"""A snapshot is a mixture of states: a window like one of them is one that the release was trained for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from modelops.monitoring import stretches
from modelops.spec.kinds.model import ModelSpec
from monitoring.windows import NOW, inputs, log, model, profile_of, report, snapshot

DAYS = 60


def held(shifts: Callable[[int], float], timed: Sequence[bool] = (True,) * DAYS) -> pa.Table:
    """Return a snapshot's rows, 100 of each day before the window, whose amounts are shifted by the day."""
    rng = np.random.default_rng(1)
    parts = []
    for day in range(DAYS):
        begin = NOW - timedelta(days=30 + DAYS - day)
        when = [begin + timedelta(minutes=10 * n) if timed[day] else None for n in range(100)]
        columns = inputs(rng, 100, shift=shifts(day)) | {"customer": [f"d{day}c{n}" for n in range(100)]}
        parts.append(pa.table(columns | {"when": pa.array(when, pa.timestamp("us", "UTC"))}))
    return pa.concat_tables(parts)


def judged(rows: pa.Table, shift: float, spec: ModelSpec | None = None, days: float = 30.0) -> tuple[str, str]:
    rng = np.random.default_rng(2)
    found = report(
        log(inputs(rng, 1000, shift=shift)),
        rng,
        profile=profile_of(rows),
        stretches=lambda: stretches(rows, snapshot(), spec or model(), timedelta(days=days), 200),
    )
    return found.level, found.like


def test_what_came_after_a_shift_is_known_once_it_was_trained_on() -> None:
    """Half of the rows are from after the shift: the mixture is unlike both halves, and each half is known."""
    rows = held(lambda day: 3.0 * (day >= 30))
    for shift in (0.0, 3.0):
        level, like = judged(rows, shift)
        assert level == "none"
        assert like.startswith("the snapshot's rows of 2026-")
    assert judged(rows, 6.0) == ("alert", "")


def test_the_days_after_a_shift_are_enough() -> None:
    """A retraining right after a shift has few rows of the new state, which a whole window is unlike."""
    level, like = judged(held(lambda day: 3.0 * (day >= 50)), 3.0)
    assert (level, like != "") == ("none", True)


def test_a_weekend_is_like_a_weekend() -> None:
    """Windows of a day know the snapshot's weekends, and find a day that is like none."""
    rows = held(lambda day: 2.0 * (day % 7 > 4))
    spec = model()
    assert judged(rows, 2.0, spec, days=2.0)[0] == "none"
    assert judged(rows, -2.0, spec, days=2.0) == ("alert", "")


def test_rows_without_a_time_are_a_state_of_their_own() -> None:
    """The file had no time and the served rows have: what came first is known, too."""
    rows = held(lambda day: 3.0 * (day >= 30), [day >= 30 for day in range(DAYS)])
    assert judged(rows, 0.0) == ("none", "the snapshot's rows without a time")
    assert list(stretches(rows.drop_columns(["when"]), snapshot(), model(), timedelta(days=30), 200)) == []


@pytest.mark.parametrize("few", [199, 0])
def test_a_few_rows_explain_nothing(few: int) -> None:
    """A stretch has as many rows as a window needs."""
    rows = held(lambda day: 0.0).slice(0, few)
    assert list(stretches(rows, snapshot(), model(), timedelta(days=30), 200)) == []


def test_the_finding_says_what_was_compared() -> None:
    """The reader learns which rows the inputs are like, and what they are unlike."""
    rows = held(lambda day: 3.0 * (day >= 30))
    rng = np.random.default_rng(2)
    found = report(
        log(inputs(rng, 1000, shift=3.0)),
        rng,
        profile=profile_of(rows),
        stretches=lambda: stretches(rows, snapshot(), model(), timedelta(days=30), 200),
    )
    (sentence,) = found.findings
    assert sentence.startswith("The inputs are like the snapshot's rows of 2026-")
    assert "amount (PSI" in sentence
