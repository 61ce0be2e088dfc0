"""The split: a pure function of the spec and the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.errors import ModelOpsError
from modelops.spec.kinds.model import Split
from modelops.training.split import by_hash, by_time, divide, seeded
from training.building_blocks import model, people

shares = st.floats(0.05, 0.95)


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=50), shares)
def test_a_row_stays_on_its_side_whatever_rows_surround_it(ids: list[str], share: float) -> None:
    """A hash split decides by the id alone, and a larger test share only adds test rows."""
    whole = by_hash(np.array(ids, dtype=object), share)
    assert [bool(by_hash(np.array([name], dtype=object), share)[0]) for name in ids] == whole.tolist()
    assert (by_hash(np.array(ids, dtype=object), share / 2) <= whole).all()


@given(st.lists(st.integers(0, 20), min_size=2, max_size=60), shares)
def test_every_test_row_is_later_than_every_training_row(times: list[int], share: float) -> None:
    """A time split never divides one instant."""
    values = np.array(times, dtype=float)
    test = by_time(values, share)
    assert test.any()
    if len(set(times)) > 1:
        assert values[test].min() > values[~test].max()


@given(st.lists(st.integers(0, 3), min_size=2, max_size=80), shares, st.integers(0, 2**32 - 1))
def test_a_seeded_split_keeps_the_shares_of_the_classes(strata: list[int], share: float, seed: int) -> None:
    """The same seed gives the same rows; a class of two or more rows is in both parts."""
    classes = np.array(strata)
    mask = seeded(classes, share, seed)
    np.testing.assert_array_equal(mask, seeded(classes, share, seed))
    for value in set(strata):
        members = mask[classes == value]
        if len(members) > 1:
            assert 0 < members.sum() < len(members)
            assert abs(members.mean() - share) <= 1 / len(members)


def test_a_seeded_split_is_the_same_in_every_version() -> None:
    """The rows of one seed are written down, so that a change of the algorithm cannot pass unseen."""
    assert np.flatnonzero(seeded(np.zeros(12, dtype=int), 0.25, 7)).tolist() == [2, 7, 10]


@pytest.mark.parametrize("kind", ["hash", "time", "random"])
def test_parts_are_disjoint_sorted_and_complete(kind: Any) -> None:
    """Every row with a target is in exactly one part."""
    table, rows = people(), np.arange(1, 240)
    train, test = divide(Split(type=kind), model().spec.data, table, rows, None, 0)
    assert sorted([*train, *test]) == rows.tolist()
    assert (np.diff(train) > 0).all()
    assert (np.diff(test) > 0).all()


@pytest.mark.parametrize(
    ("kind", "changes", "rows", "says"),
    [
        ("hash", {"data__id": None}, 240, "needs spec.data.id"),
        ("time", {"data__time": None}, 240, "needs spec.data.time"),
        ("random", {}, 1, "one part of the random split is empty"),
    ],
)
def test_a_split_that_is_not_possible_says_why(kind: Any, changes: dict[str, Any], rows: int, says: str) -> None:
    """A column that is not declared and an empty part are errors."""
    data = model(**changes).spec.data
    with pytest.raises(ModelOpsError, match="bad-split") as caught:
        divide(Split(type=kind), data, people(), np.arange(rows), None, 0)
    assert says in caught.value.problems[0].message


def test_a_row_without_time_cannot_be_split_by_time() -> None:
    """The row is named, counted from 1."""
    with pytest.raises(ModelOpsError, match="row 2 of those with a target has no time"):
        by_time(np.array([1.0, np.nan, 3.0]), 0.5)


def test_rows_without_an_id_are_in_both_parts():
    """Rows whose id is missing are divided one by one, not all put where the hash of nothing lies."""
    mask = by_hash(np.array([""] * 2000, dtype=object), 0.25)
    assert 0.2 < mask.mean() < 0.3
    assert by_hash(np.array(["a", "", "a"], dtype=object), 0.5)[[0, 2]].tolist() in ([True, True], [False, False])


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), min_size=4), st.floats(0.1, 0.9), st.integers(0, 99))
def test_rows_of_one_group_are_on_one_side(rows: list[tuple[int, int]], share: float, seed: int) -> None:
    """Whatever their labels are; a label with several groups is on both sides."""
    groups, strata = np.array([group for group, _ in rows]), np.array([label for _, label in rows])
    mask = seeded(strata, share, seed, groups)
    assert all(len(set(mask[groups == group])) == 1 for group in set(groups.tolist()))
    firsts = strata[np.unique(groups, return_index=True)[1]]
    assert mask.any() == (max((firsts == label).sum() for label in (0, 1)) > 1)
    assert not mask.all()
