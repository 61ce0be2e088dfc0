"""What a model is for: how far that is reached, and what of it is not known."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from modelops.metrics.aims import aim_of, data, sentences
from modelops.spec.kinds.outcomes import BusinessObjective, Figure

OCTOBER = datetime(2026, 10, 15, tzinfo=UTC)
BASE = {"since": "2026-04-01", "until": "2026-06-30", "value": 400_000.0}


def objective(**changes: Any) -> BusinessObjective:
    given: dict[str, Any] = {
        "question": "Which payments are fraud?",
        "kpi": "fraud losses of a quarter",
        "unit": "EUR",
        "better": "lower",
        "baseline": BASE,
        "target": {"change": -0.3, "by": "2026-12-31"},
        "everyDays": 100.0,
    }
    return BusinessObjective(**{key: value for key, value in (given | changes).items() if value is not None})


def quarter(value: float, **changes: Any) -> Figure:
    return Figure(**({"since": "2026-07-01", "until": "2026-09-30", "value": value} | changes))


def test_a_change_is_a_share_of_the_baseline() -> None:
    """Thirty per cent less than 400,000 is 280,000; a change of what is negative goes the same way."""
    assert objective().goal == 280_000.0
    rising = objective(better="higher", baseline=BASE | {"value": -100.0}, target={"change": 0.5, "by": "2026-12-31"})
    assert rising.goal == -50.0


@pytest.mark.parametrize(
    ("value", "interval", "state", "progress"),
    [
        (280_000.0, None, "reached", 1.0),
        (340_000.0, None, "not-reached", 0.5),
        (430_000.0, None, "not-reached", -0.25),
        (270_000.0, (250_000.0, 279_000.0), "reached", 13 / 12),
        (270_000.0, (250_000.0, 281_000.0), "uncertain", 13 / 12),
        (300_000.0, (279_000.0, 330_000.0), "uncertain", 5 / 6),
        (300_000.0, (281_000.0, 330_000.0), "not-reached", 5 / 6),
    ],
)
def test_the_whole_interval_decides(
    value: float, interval: tuple[float, float] | None, state: str, progress: float
) -> None:
    """A target within the interval is neither reached nor missed; the other way round, where more is better."""
    ends = dict(zip(("lower", "upper"), interval, strict=True)) if interval else {}
    found = aim_of("fraud", objective(), [quarter(value, **ends)], OCTOBER)
    assert (found.state, found.late, found.over) == (state, "", False)
    assert found.progress == pytest.approx(progress)
    rising = {"change": 0.3, "by": "2026-12-31"}
    mirrored = objective(better="higher", baseline=BASE | {"value": -400_000.0}, target=rising)
    turned = dict(zip(("upper", "lower"), (-end for end in interval), strict=True)) if interval else {}
    other = aim_of("fraud", mirrored, [quarter(-value, **turned)], OCTOBER)
    assert (other.state, other.progress) == (state, pytest.approx(progress))


@pytest.mark.parametrize(
    ("values", "now", "late", "over"),
    [
        ([], datetime(2026, 7, 31, tzinfo=UTC), "", False),
        ([], OCTOBER, "NOT MEASURED SINCE 2026-06-30, 106 days ago, which is the baseline", False),
        ([quarter(1.0)], datetime(2027, 1, 8, tzinfo=UTC), "NOT MEASURED UP TO 2026-12-31", True),
        ([quarter(1.0)], datetime(2027, 1, 20, tzinfo=UTC), "NOT MEASURED SINCE 2026-09-30, 111 days ago;", True),
        ([quarter(1.0)], datetime(2026, 9, 30, 12, tzinfo=UTC), "OF A PERIOD THAT IS NOT OVER", False),
    ],
)
def test_a_value_that_is_missing_is_loud(values: list[Figure], now: datetime, late: str, over: bool) -> None:
    """From everyDays on, and where the day has passed that the target was for; the end of a day ends its period."""
    found = aim_of("fraud", objective(), values, now)
    assert (bool(found.late), found.over, found.loud) == (bool(late), over, bool(late) or over)
    assert late in found.late
    assert any(late in line for line in sentences(found))
    assert data(found)["late"] == (found.late or None)


def test_neither_a_baseline_nor_a_value_is_never_measured() -> None:
    """Nothing can be late that was never there, and that is said instead."""
    found = aim_of("fraud", objective(baseline=None, target={"value": 5.0, "by": "2026-12-31"}), [], OCTOBER)
    assert (found.state, found.progress) == ("not-measured", None)
    assert found.late.startswith("NEVER MEASURED")
    assert "NO BASELINE is known" in " ".join(sentences(found))


def test_what_is_not_known_of_a_number_is_said() -> None:
    """Period, n and interval, each where it is missing; all of them where they are there."""
    told = " ".join(sentences(aim_of("fraud", objective(), [quarter(300_000.0, since=None)], OCTOBER)))
    assert "until 2026-09-30, since unknown; n is not known; no interval is known" in told
    known = quarter(300_000.0, lower=290_000.0, upper=310_000.0, level=0.95, n=812)
    told = " ".join(sentences(aim_of("fraud", objective(), [known], OCTOBER)))
    assert "300,000 EUR (2026-07-01 to 2026-09-30; n = 812; interval 290,000 to 310,000 (95%))" in told
    assert "not reached yet, 83% of the way from the baseline" in told


def test_no_objective_is_loud() -> None:
    """A model of which nobody said what it is for is told so."""
    found = aim_of("fraud", None, [], OCTOBER)
    assert (found.state, found.loud) == ("not-stated", True)
    assert next(sentences(found)).startswith("NO OBJECTIVE")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": {"by": "2026-12-31"}}, "either value or change"),
        ({"target": {"change": -0.3, "value": 1.0, "by": "2026-12-31"}}, "either value or change"),
        ({"target": {"change": 0.1, "by": "2026-12-31"}}, "the target 440000 is worse than 400000"),
        ({"baseline": None}, "a change is a share of the baseline"),
        ({"target": {"change": -0.3, "by": "2026-12-32"}}, "is no day"),
        ({"baseline": BASE | {"since": "2026-07-01"}}, "begins on 2026-07-01, after it ends"),
        ({"baseline": BASE | {"lower": 1.0}}, "write both, or neither"),
        ({"baseline": BASE | {"lower": 1.0, "upper": 2.0}}, "not within its interval"),
        ({"baseline": BASE | {"level": 0.9}}, "the level is that of an interval"),
    ],
)
def test_an_objective_that_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    """What cannot be reached, or is no number of a period, is no objective."""
    with pytest.raises(ValidationError, match=said):
        objective(**changes)
