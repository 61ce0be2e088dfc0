"""Columns of a window stand beside the reference in the same few bins, and every row is in one of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from modelops import summaries
from modelops.monitoring import Past
from modelops.monitoring.distributions import BINS, CATEGORIES, distribution
from monitoring.windows import RECALL, inputs, log, profile, report, score_profile


def column(values: list[float | str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values)])


def test_numbers_lie_in_tenths_of_the_reference() -> None:
    """Bins hold a tenth of the reference each; a value at an edge lies above it, those beyond all in the last bins."""
    reference = summaries.summarise(column([float(value) for value in range(1_000)]), "number")
    found = distribution(reference, column([-1e9, 1e9, None, float("nan"), *(float(value) for value in range(100))]))
    bins = found.bins
    assert len(found.reference.edges) == BINS - 1
    assert [one.reference for one in bins[:BINS]] == pytest.approx([100] * BINS, abs=15)
    assert [one.name for one in bins][-1] == "(missing)"
    assert (bins[-1].reference, bins[-1].window) == (0, 2)
    below = sum(value < found.reference.edges[0] for value in range(100))
    assert (bins[0].window, bins[BINS - 1].window) == (below + 1, 1)
    assert sum(one.window for one in bins) == 104


def test_categories_that_are_not_listed_are_counted_together() -> None:
    """The most frequent categories of the reference have a bin; what it never had is not named."""
    many = [f"c{number:02}" for number in range(20) for _ in range(40 - number)]
    found = distribution(summaries.summarise(column(many), "category"), column(["c00", "new", "new", None]))
    names = [one.name for one in found.bins]
    assert names == [*(f"c{number:02}" for number in range(CATEGORIES)), "(others)", "(missing)"]
    assert [one.window for one in found.bins] == [1, *[0] * (CATEGORIES - 1), 2, 1]
    assert sum(one.reference for one in found.bins) == len(many)


def test_a_column_of_nothing_has_bins() -> None:
    """No row on either side is no error."""
    empty = summaries.summarise(pa.chunked_array([pa.array([], pa.float64())]), "number")
    assert [(one.reference, one.window) for one in distribution(empty, empty_of(pa.float64())).bins] == [(0, 0)]
    assert not distribution(summaries.summarise(empty_of(pa.string()), "category"), empty_of(pa.string())).bins


def empty_of(kind: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array([], kind)])


def test_each_arm_stands_beside_its_own_holdout() -> None:
    """Answers of the stable release are counted in the bins of its holdout, another one's in those of its own."""
    rng = np.random.default_rng(3)
    low = summaries.summarise(pa.chunked_array([pa.array(rng.random(5_000) / 2)]), "number")
    rows = inputs(rng, 1_000)
    scores = [*rng.random(600), *(rng.random(400) / 2)]
    table = log(rows, score=scores, release=[1] * 600 + [2] * 400)
    found = report(table, rng, release=1, score_profile=score_profile(rng), others={2: low}, profile=profile(rng))
    assert found.answers is not None
    assert sum(one.window for one in found.answers.bins) == 600
    (arm,) = found.arms
    assert arm.distribution is not None
    assert sum(one.window for one in arm.distribution.bins) == arm.rows == 400
    assert all(20 <= one.window <= 65 for one in arm.distribution.bins)


def test_a_window_is_remembered_with_its_numbers() -> None:
    """What is remembered has the strongest drift in units of its limit, and the metric with its interval."""
    rng = np.random.default_rng(5)
    labels = ["1"] * 500 + ["0"] * 500
    table = log(inputs(rng, 1_000, shift=1.0), label=labels, truth=["1"] * 450 + ["0"] * 550)
    found = report(table, rng, release=1, performance=RECALL, profile=profile(rng))
    past = Past.of(found)
    amount = next(one for one in found.features if one.name == "amount")
    assert past.strength == found.strength == amount.strength > 1
    assert found.performance is not None
    assert found.performance.value is not None
    assert (past.value, past.lower, past.upper) == (1.0, found.performance.value.lower, 1.0)
    few = report(table.slice(0, 10), rng, profile=profile(rng))
    assert (Past.of(few).strength, Past.of(few).value) == (None, None)
