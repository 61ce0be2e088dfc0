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


def test_the_last_of_a_set_of_indicators_is_told_with_the_others() -> None:
    """Two of three give the label of every row; the third, which is what they leave, tells one label as well."""
    generator = np.random.default_rng(3)
    label = generator.integers(0, 3, 400) * 1.0
    columns = {f"is{kind}": (label == kind) * 1.0 for kind in range(3)}
    (found,) = determining({"x": generator.normal(size=400), **columns}, label, classes=True)
    assert set(found.columns) == set(columns)


@pytest.mark.parametrize("classes", [False, True])
def test_a_copy_with_missing_values_is_found_in_the_rows_that_have_one(classes: bool) -> None:
    """A few cells that are empty make no copy honest, and the rows are told of which it is said."""
    generator = np.random.default_rng(5)
    target = generator.integers(0, 2, 500) * 1.0 if classes else generator.normal(size=500)
    copy = np.where(generator.random(500) < 0.05, np.nan, 3 * target)
    (found,) = determining({"x": generator.normal(size=500), "copy": copy}, target, classes=classes)
    assert found.columns == ("copy",)
    assert found.where(500) == f"in all {int(np.isfinite(copy).sum())} rows that have a value"
    honest = np.where(generator.random(500) < 0.6, np.nan, generator.integers(0, 3, 500))
    assert determining({"honest": honest}, target, classes=classes) == ()


def test_a_coarser_form_of_a_number_is_found() -> None:
    """Ranges, ranks, rounded values and flags of the target never fall where it rises; what is near it once does."""
    generator = np.random.default_rng(6)
    price = generator.lognormal(12, 0.4, 600).round(-2)

    def found(values, target=price):
        return [(one.columns, one.how) for one in determining({"of": values}, target, classes=False)]

    order = [(("of",), "order")]
    bands = np.array(["cheap", "fair", "dear"], dtype=object)
    assert found(bands[np.digitize(price, [120_000, 200_000])]) == order
    assert found(np.log10(price).round(2)) == found(-np.floor(price / 1000)) == found((price > 250_000) * 1.0) == order
    swapped = np.floor(price / 20_000)
    swapped[[int(price.argmin()), int(price.argmax())]] = swapped[[int(price.argmax()), int(price.argmin())]]
    assert found(swapped) == found(generator.permutation(swapped)) == []
    events = generator.poisson(0.3, 600) * 1.0
    assert found((events > 0) * 1.0, events) == order
    rare = (generator.random(600) < 0.02) * 1.0
    assert found(rare, (generator.random(600) < 0.005) * 7.0 * (1 - rare)) == []


def test_a_sum_or_a_product_may_be_rounded_to_cents() -> None:
    """A gross amount of a net one and postage, and a price of an area and a price per square metre, are found."""
    generator = np.random.default_rng(7)
    net, post = generator.uniform(5, 500, 400).round(2), generator.uniform(2, 30, 400).round(2)
    area, price = generator.uniform(30, 200, 400).round(1), generator.uniform(9e4, 8e5, 400).round(-2)
    x = generator.normal(size=400)
    gross = ((net + post) * 1.19).round(2)
    (found,) = determining({"x": x, "net": net, "post": post}, gross, classes=False)
    assert set(found.columns) == {"net", "post"}
    (found,) = determining({"x": x, "area": area, "each": (price / area).round(0)}, price, classes=False)
    assert set(found.columns) == {"area", "each"}
    assert determining({"x": x, "net": net, "post": post}, gross + generator.normal(0, 2, 400), classes=False) == ()


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


@pytest.mark.parametrize("product", [False, True])
def test_numbers_whose_squares_are_too_large_are_no_copies(product: bool) -> None:
    """Nothing is known of their spread, and what is not known is no proof."""
    rng = np.random.default_rng(0)
    columns = {name: rng.lognormal(size=200) for name in ("a", "b", "c")}
    target = np.exp(rng.normal(0, 180, 200)) if product else rng.normal(size=200) * 1e200
    assert determining(columns, target, classes=False) == ()
