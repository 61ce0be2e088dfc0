"""Copies of the answer are found however they are written; honest columns are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine

from modelops.statistics.determination import determining

SIZES = [(60, 0.5), (200, 0.12), (500, 0.5), (2000, 0.03), (9000, 0.01)]


def table(n: int, share: float, seed: int = 4):
    """Return labels and columns that are drawn without looking at them."""
    generator = np.random.default_rng(seed)
    y = np.zeros(n)
    y[generator.permutation(n)[: max(3, round(n * share))]] = 1.0
    others = {f"x{number}": generator.normal(size=n) for number in range(3)}
    others |= {"kind": generator.choice(list("abcd"), n).astype(object), "count": generator.integers(0, 9, n) * 1.0}
    return generator, y, others


COPIES = {
    "the same": lambda g, y: {"copy": y},
    "the complement": lambda g, y: {"copy": 1 - y},
    "an amount where it is so": lambda g, y: {"copy": np.where(y == 1, g.uniform(10, 90, len(y)), 0.0)},
    "a middle": lambda g, y: {"copy": np.where(y == 1, g.uniform(4, 5, len(y)), g.choice([1.0, 9.0], len(y)))},
    "a word": lambda g, y: {"copy": np.where(y == 1, "booked", "open").astype(object)},
    "several words": lambda g, y: {"copy": np.array([f"{'ab'[int(v)]}{g.integers(3)}" for v in y], dtype=object)},
    "an absence": lambda g, y: {"copy": np.where(y == 1, g.uniform(size=len(y)), np.nan)},
    "two that differ": lambda g, y: (lambda a: {"one": a, "two": a + y * g.integers(1, 9, len(y))})(
        g.integers(1, 50, len(y)) * 1.0
    ),
    "two that exclude each other": lambda g, y: (lambda a: {"one": a * (1 - y), "two": a - a * (1 - y)})(
        np.ones(len(y))
    ),
    "parts of the complement": lambda g, y: (lambda a: {"one": a, "two": (1 - y) - a})(
        (g.random(len(y)) < 0.4) * (1 - y)
    ),
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize(("n", "share"), SIZES)
def test_a_copy_of_the_label_is_found(name: str, n: int, share: float) -> None:
    """Whatever it looks like and however few rows or positives there are; the columns beside it are not accused."""
    generator, y, others = table(n, share)
    copies = COPIES[name](generator, y)
    found = determining({**others, **copies}, y, classes=True)
    named = {column for one in found for column in one.columns}
    assert named
    assert named <= set(copies)


def test_a_number_made_of_columns_is_found() -> None:
    """A sum, a product, a logarithm and a code per value give the target away; with noise they do not."""
    generator = np.random.default_rng(2)
    n = 700
    total = generator.poisson(20, n) + 1.0
    part = np.floor(total * generator.random(n))
    x = generator.normal(size=n)

    def found(target, **columns):
        return [set(one.columns) for one in determining({"x": x, **columns}, target, classes=False)]

    assert found(total, casual=part, registered=total - part) == [{"casual", "registered"}]
    assert found(total, log=np.log(total)) == [{"log"}]
    price, count = generator.uniform(1, 9, n), generator.integers(1, 9, n) * 1.0
    assert found(price * count, price=price, count=count) == [{"price", "count"}]
    assert found(total, name=np.array([f"n{int(v) * 37 % 101}" for v in total], dtype=object)) == [{"name"}]
    assert found(total + generator.normal(0, 0.1, n), casual=part, registered=total - part) == []


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits, load_breast_cancer, load_diabetes])
def test_honest_data_is_not_accused(load) -> None:
    """Columns that separate well but not by definition are no copies."""
    data = load()
    columns = {str(number): data.data[:, number].astype(float) for number in range(data.data.shape[1])}
    assert determining(columns, data.target.astype(float), classes=load is not load_diabetes) == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 300), st.floats(0.05, 0.5))
def test_chance_is_not_accused(seed: int, n: int, share: float) -> None:
    """Labels in random order are determined by no column, whatever its distribution."""
    _, y, others = table(n, share, seed)
    assert determining(others, y, classes=True) == ()


def test_nothing_to_determine() -> None:
    """No row, one label or no column is no finding and no error."""
    assert determining({"x": np.zeros(0)}, np.zeros(0), classes=True) == ()
    assert determining({"x": np.arange(30.0)}, np.ones(30), classes=True) == ()
    assert determining({}, np.arange(30.0), classes=False) == ()
    assert determining({"x": np.full(30, np.nan)}, np.arange(30.0) % 2, classes=True) == ()


def test_a_copy_of_a_row_is_no_second_witness() -> None:
    """Rows that come several times make no honest number look like the answer; a copy of the target is still found."""
    rng = np.random.default_rng(2)
    amount, other = rng.normal(size=300).round(3), rng.normal(size=300)
    label = (amount + rng.normal(size=300) > 0) * 1.0
    columns = {"amount": np.tile(amount, 4), "other": np.tile(other, 4)}
    assert determining(columns, np.tile(label, 4), classes=True) == ()
    found = determining(columns | {"left": np.tile(1 - label, 4)}, np.tile(label, 4), classes=True)
    assert [one.columns for one in found] == [("left",)]
    coarse = {"rank": rng.integers(0, 4, 900) * 1.0, "left": np.tile(label, 3)}
    assert [one.columns for one in determining(coarse, np.tile(label, 3), classes=True)] == [("left",)]
