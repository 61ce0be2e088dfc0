"""What repeats by chance and what is copied, in tables of few values and of many."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.statistics.repeats import by_chance, most, repeated

Array = np.ndarray


def hashed(*columns: Array) -> list[Array]:
    return [np.unique(values, return_inverse=True)[1].astype(np.uint64) for values in columns]


def excess(columns: list[Array]) -> bool:
    """Tell whether more rows repeat than chance gives."""
    return repeated(columns) > max(0.05, most(repeated(by_chance(columns)), len(columns[0])))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [200, 2000])
def test_honest_tables_have_no_copies(seed: int, rows: int) -> None:
    """Numbers, prices in whole cents, ratings, classes that go together: all rows are of their own."""
    rng = np.random.default_rng(seed)
    y, x = rng.integers(0, 2, rows), rng.normal(size=rows)
    tables = {
        "numbers": (x, y),
        "one number": (x,),
        "cents": (rng.integers(0, 2 * rows, rows), y),
        "cents alone": (rng.integers(0, 2 * rows, rows),),
        "few": (rng.integers(0, 3, rows), rng.integers(0, 2, rows), y),
        "ratings": tuple(np.clip(np.rint(x + rng.normal(size=rows)), -2, 2) for _ in range(3)),
        "rounded": (x.round(1), rng.normal(size=rows).round(1), y),
    }
    assert [name for name, columns in tables.items() if excess(hashed(*columns))] == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.2, 0.5, 1.0])
def test_copies_are_copies_whatever_the_columns(seed: int, share: float) -> None:
    """Of one number or of several, rounded or not: rows that are there twice are seen."""
    rng = np.random.default_rng(seed)
    rows = 600
    y, x = rng.integers(0, 2, rows), rng.normal(size=rows)
    tables = {
        "numbers": (x, y),
        "one number": (x,),
        "rounded": (x.round(1), rng.normal(size=rows).round(1), rng.normal(size=rows).round(1), y),
    }
    again = np.append(np.arange(rows), np.arange(round(rows * share)))
    assert [name for name, table in tables.items() if not excess(hashed(*(one[again] for one in table)))] == []
