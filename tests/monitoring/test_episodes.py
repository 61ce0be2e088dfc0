"""When something began among rows: held against changes that are known."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.monitoring.episodes import episode

SHARES = np.array([0.25, 0.25, 0.25, 0.25])


def rows(rng: np.random.Generator, *parts: tuple[int, list[float]]) -> np.ndarray:
    return np.concatenate([rng.choice(4, n, p=shares) for n, shares in parts])


ODD = [0.05, 0.05, 0.1, 0.8]
EVEN = SHARES.tolist()


@pytest.mark.parametrize(
    ("parts", "start", "stop", "whole", "lasts"),
    [
        ([(600, EVEN), (400, ODD)], 600, 1000, False, True),
        ([(300, EVEN), (200, ODD), (500, EVEN)], 300, 500, False, False),
        ([(1000, ODD)], 0, 1000, True, True),
        ([(400, ODD), (600, EVEN)], 0, 400, True, False),
    ],
    ids=["begins", "passes", "lasts", "ends"],
)
def test_a_change_is_found_near_where_it_is(
    parts: list[tuple[int, list[float]]], start: int, stop: int, whole: bool, lasts: bool
) -> None:
    """In each of 40 draws beginning and end are within 30 rows, and known or not known as they are."""
    rng = np.random.default_rng(5)
    for _ in range(40):
        found = episode(rows(rng, *parts), SHARES)
        assert found is not None
        assert abs(found.start - start) <= 30
        assert abs(found.stop - stop) <= 30
        assert (found.whole, found.lasts) == (whole, lasts)


def test_rows_that_are_missing_all_at_once_are_found_to_the_row() -> None:
    """A cell that the reference never has marks the row at which it first comes."""
    codes = np.array([0, 1, 2, 3] * 100 + [4] * 50)
    found = episode(codes, np.append(SHARES, 0.0))
    assert found is not None
    assert (found.start, found.stop, found.lasts) == (400, 450, True)
    assert episode(np.empty(0, dtype=np.int64), SHARES) is None
