"""Unusual hours: what is known by hand of each step, and that seasons, trends and rows of one hour raise no alarm."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.statistics import Array
from modelops.statistics.streams.anomalies import bets, departures, detector, ranks

WEEK = 168


def season(rng: np.random.Generator, weeks: int, level: float = 200.0) -> Array:
    """Return Poisson counts of whole weeks that know days and weekends."""
    hour = np.arange(weeks * WEEK)
    day = np.where(hour // 24 % 7 > 4, 0.6, 1.0)
    return rng.poisson(level * (0.3 + np.exp(-np.square((hour % 24 - 14) / 5.0))) * day).astype(np.float64)


def course(counts: Array, judged: int, limit: float = 57_600.0) -> Array:
    apart = departures(counts, WEEK, 3, judged)
    return detector(bets(ranks(apart, 672, WEEK, "both"))[-judged:], limit)


@pytest.mark.parametrize(("share", "within"), [(1.0, None), (0.5, 8), (0.0, 6), (2.0, 8)])
def test_half_the_calls_are_seen_within_hours(share: float, within: int | None) -> None:
    """No alarm in a quiet week of 200 calls an hour; halved, doubled or gone they are seen within a working day."""
    counts = season(np.random.default_rng(3), 8)
    counts[-24:] = np.round(counts[-24:] * share)
    alarms = np.flatnonzero(course(counts, WEEK) >= 57_600)
    if within is None:
        assert not len(alarms)
    else:
        assert WEEK - 24 < alarms[0] <= WEEK - 24 + within


def test_what_lasts_does_not_hide_itself() -> None:
    """The judged hours teach neither spread nor correlation; with them a week of half the calls would pass."""
    counts = season(np.random.default_rng(5), 8)
    counts[-WEEK:] = np.round(counts[-WEEK:] * 0.5)
    assert (course(counts, WEEK) >= 57_600).any()


def test_a_busy_hour_may_spread_more_than_a_quiet_one() -> None:
    """Beyond chance calls vary by a fifth: by day five times as much as by night, and the departures do not."""
    rng = np.random.default_rng(7)
    counts = rng.poisson(season(rng, 12, 1000.0) * np.exp(rng.normal(0, 0.2, 12 * WEEK))).astype(np.float64)
    apart = np.abs(departures(counts, WEEK, 3, 24))
    hour = np.arange(len(counts)) % 24
    day, night = (np.nanmedian(apart[(hour >= low) & (hour < high)]) for low, high in ((12, 16), (1, 5)))
    assert day / night == pytest.approx(1.0, abs=0.25)


def test_a_mean_of_few_spreads_more_than_one_of_many() -> None:
    """Departures of means are of one spread, whatever number they are the means of."""
    rng = np.random.default_rng(8)
    many = np.where(np.arange(12 * WEEK) % 24 < 12, 25.0, 2500.0)
    apart = np.abs(departures(rng.normal(0.3, 1 / np.sqrt(many)) * many, WEEK, 3, 24, many, "sum"))
    few = np.arange(12 * WEEK) % 24 < 12
    assert np.nanmedian(apart[few]) / np.nanmedian(apart[~few]) == pytest.approx(1.0, abs=0.15)


def test_a_mean_that_never_changes_is_no_news() -> None:
    """Means of one number differ by rounding alone, and more so where there are fewer of them: that is nothing."""
    many = np.where(np.arange(9 * WEEK) < 8 * WEEK, 77.0, 13.0)
    sums = np.array([sum([0.2] * int(n)) for n in many])
    assert set(departures(sums, WEEK, 3, WEEK, many, "sum")[2 * WEEK + 1 :]) == {0.0}


def test_no_errors_of_fewer_requests_are_no_errors() -> None:
    """A share that stays what it was departs by nothing, however many it is of; what rose does."""
    many = np.where(np.arange(9 * WEEK) < 8 * WEEK, 80.0, 20.0)
    assert set(departures(np.zeros(9 * WEEK), WEEK, 3, WEEK, many)[2 * WEEK + 1 :]) == {0.0}
    rose = departures(np.where(many == 20, 5.0, 0.0), WEEK, 3, WEEK, many)
    assert rose[-1] > 3


def test_chances_are_ranks_and_ties_count_against_an_alarm() -> None:
    """The largest of five has one chance in five; a value that was there before is no news."""
    found = ranks(np.array([3.0, 1.0, 2.0, 0.5, -9.0, 3.0, np.nan]), 4, 4, "both")
    assert np.isnan(found[[0, 1, 2, 3, 6]]).all()
    assert found[4:6].tolist() == [0.2, 0.4]
    assert ranks(np.array([3.0, 1.0, 2.0, 0.5, -9.0]), 4, 4, "up")[4] == 1.0


def test_bets_on_uniform_ranks_gain_nothing() -> None:
    """The mean bet on each rank of 673 is at most 1, which is what makes the time between false alarms hold."""
    assert bets((1 + np.arange(673)) / 673).mean() <= 1.0


def test_an_alarm_ends_when_all_is_as_usual() -> None:
    """The bet is cut off, so that hours of nothing bring it down again; without hours it stays."""
    found = detector(np.array([*[10.0] * 20, *[0.6] * 6, *[1.0] * 2]), 1000.0)
    assert found[:4].tolist() == [10.0, 110.0, 1110.0, 4000.0]
    assert found[19] == 4000.0
    assert found[-1] < 1000.0


def test_too_short_a_past_says_nothing() -> None:
    """Before two seasons are known there is no departure, and nothing of it raises."""
    assert np.isnan(departures(np.arange(300.0), WEEK, 3, 24)).all()
    assert course(np.zeros(400), 24).max() <= 24.0
