"""Error budgets and burn rates: held against the published table and against windows counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.statistics.budgets import HOURS, PAIRS, Counted, burn_rate, burning, counted, factor, spent


@pytest.mark.parametrize(("days", "factors"), [(30, [14.4, 6, 3, 1]), (28, [13.44, 5.6, 2.8, 0.9333])])
def test_the_factors_are_those_of_the_table(days: int, factors: list[float]) -> None:
    """Two, five, ten and ten per cent of the budget in 1 h, 6 h, 1 d and 3 d; the short window is a twelfth."""
    pairs = [pair for some in PAIRS.values() for pair in some]
    assert [factor(pair, days * 24) for pair in pairs] == pytest.approx(factors, rel=1e-4)
    assert all(pair.short == pytest.approx(pair.long / 12) for pair in pairs)
    assert set(HOURS) == {hours for pair in pairs for hours in (pair.long, pair.short)}


def test_a_burn_rate_of_one_spends_the_budget_in_its_period() -> None:
    """At 99.9 % one of a thousand may be bad: so many spend all of it, twice as many twice as fast."""
    assert burn_rate(Counted(1, 1000), 0.999) == pytest.approx(1)
    assert spent(Counted(100, 100_000), 0.999) == pytest.approx(1)
    assert burn_rate(Counted(0, 0), 0.999) == 0


def test_events_are_counted_in_their_windows() -> None:
    """The end belongs to a window, its beginning does not, and what is of the future counts nowhere."""
    times = np.array([0.0, 3600.0, 7200.0, 7201.0])
    bad = np.array([True, True, False, True])
    assert counted(times, bad, 7200, 1) == Counted(0, 1)
    assert counted(times, bad, 7200, 1.5) == Counted(1, 2)
    assert counted(times, bad, 7200, 3) == Counted(2, 3)


CALM = dict.fromkeys(HOURS, Counted(0, 10_000))


def windows(rates: dict[float, float], n: float = 10_000) -> dict[float, Counted]:
    """Return windows in which so many times the budget of 0.1 % is missed."""
    return CALM | {hours: Counted(rate * n / 1000, n) for hours, rate in rates.items()}


@pytest.mark.parametrize(
    ("found", "severity"),
    [
        (CALM, None),
        (windows({1: 15, 1 / 12: 15}), "page"),
        (windows({1: 14, 1 / 12: 14}), None),
        (windows({1: 15}), None),
        (windows({6: 6.5, 0.5: 6.5}), "page"),
        (windows({24: 3.5, 2: 3.5}), "ticket"),
        (windows({72: 1.1, 6: 1.1}), "ticket"),
        (windows({72: 1.1}), None),
        (windows({1: 50, 1 / 12: 50}, 99), None),
        (CALM | {1: Counted(1, 120), 1 / 12: Counted(1, 120)}, None),
    ],
)  # fmt: skip
def test_both_windows_of_a_pair_have_to_burn(found: dict[float, Counted], severity: str | None) -> None:
    """An alert needs both windows above the factor, enough events, and more than one bad one."""
    assert burning(found, 0.999, 720, 100) == severity
