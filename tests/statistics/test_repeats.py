"""What repeats by chance and what is copied, in tables of few values and of many."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.statistics.repeats import by_chance, most, repeated

Array = np.ndarray


def hashed(*columns: Array) -> list[Array]:
    return [np.unique(values, return_inverse=True)[1].astype(np.uint64) for values in columns]


def excess(columns: list[Array], *, whole: bool = True) -> bool:
    """Tell whether more rows repeat than chance gives."""
    # Their numbers are in the order of the values.
    order = (lambda place: columns[place].astype(np.int64)) if whole else None
    chance = repeated(by_chance(columns, order=order))
    return repeated(columns) > max(0.05, most(chance, len(columns[0])))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rows", [100, 500, 1000])
def test_columns_that_depend_on_each_other_make_no_copies(seed: int, rows: int) -> None:
    """Whole percents and what follows from them, places, ages with their groups, answers to one questionnaire."""
    rng = np.random.default_rng(seed)
    y, x, percent = rng.integers(0, 2, rows), rng.normal(size=rows), rng.integers(0, 101, rows)
    age, places = rng.integers(18, 80, rows), rng.zipf(1.3, rows) % 500
    education = np.clip(np.rint((age - 18) / 15 + rng.normal(size=rows)), 0, 5)
    income = np.clip(np.rint(2 * education + rng.normal(size=rows)), 0, 12)
    answers = [np.clip(np.rint(3 + 1.2 * x + rng.normal(0, 0.6, rows)), 1, 5) for _ in range(6)]
    tables = {
        "percent": (percent, percent + rng.normal(0, 20, rows) > 50),
        "percent and what follows": (percent, percent > 50),
        "people": (age, education, income, income > 5),
        "age and its groups": (age, age // 10, age > 40),
        "zip, city, region": (places, places // 5, places // 50, y),
        "place alone": (places, places // 5, places // 50),
        "answers": (*answers, answers[0] > 3),
        "counts": (rng.poisson(3, rows), rng.poisson(3, rows), rng.poisson(2, rows)),
    }
    found = {name: (excess(hashed(*one)), excess(hashed(*one), whole=False)) for name, one in tables.items()}
    assert {name for name, each in found.items() if any(each)} == set()


@pytest.mark.parametrize("rows", [100, 1000])
def test_columns_that_follow_from_one_another_say_nothing_twice(rows: int) -> None:
    """Net, tax and gross are equal in the same rows, as are a day and what is counted from it: no row is a copy.

    How often rows come is beyond chance in one table of some hundred, so one of twenty may be.
    """
    called = dict.fromkeys(("prices", "days"), 0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        net, day = rng.integers(100, 100 + 5 * rows, rows), rng.integers(0, 5 * rows, rows)
        tables = {
            "prices": (net, np.rint(0.19 * net), net + np.rint(0.19 * net), net > 100 + 2 * rows),
            "days": (day, -day, 3 * day + 1, day // 7),
        }
        for name, table in tables.items():
            columns = hashed(*table)
            found = by_chance(columns, order=lambda place, columns=columns: columns[place].astype(np.int64))
            called[name] += repeated(found) != repeated(columns)
    assert max(called.values()) <= 1, called


def test_two_columns_of_their_own_show_copies_in_a_small_table() -> None:
    """Numbers that go together but not in one order are equal in five rows and in no other."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 100))
    again = np.append(np.arange(100), np.arange(5))
    columns = hashed(one[again], (one + 0.1 * other)[again], rng.integers(0, 2, 100)[again])
    assert repeated(by_chance(columns, order=lambda place: columns[place].astype(np.int64))) == 0
    assert repeated(columns) > 0


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


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, 0.2, 1.0])
def test_few_rows_are_copies_where_two_columns_agree(seed: int, share: float) -> None:
    """A hundred rows and ten copies are no numbers to count with; that two measures repeat in the same rows tells."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=100).round(4), rng.normal(size=100), rng.integers(0, 2, 100)
    again = np.append(np.arange(100), np.arange(round(100 * share)))
    assert excess(hashed(*(one[again] for one in table)))


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("whole", [True, False])
def test_rows_that_all_come_several_times_are_copies_in_coarse_tables_too(times: int, whole: bool) -> None:
    """Of rows that are met by chance some are met once more than others: never all twice."""
    rng = np.random.default_rng(1)
    age, answers = rng.integers(18, 80, 300), rng.integers(1, 6, (2, 300))
    columns = hashed(*(np.tile(one, times) for one in (age, *answers)))
    assert excess(columns, whole=whole)
