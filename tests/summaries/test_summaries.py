"""Summaries of columns: every value is counted once, in bins that suit any score."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift.columns import chunked, chunks, summary
from modelops import summaries
from modelops.drift import bind
from modelops.errors import ModelOpsError
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Summary
from modelops.spec.load import load_resource
from modelops.spec.meta import Plugin
from modelops.spec.yaml.dump import dump

FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=200)


@settings(max_examples=100, deadline=None)
@given(FLOATS, st.lists(st.integers(0, 200), max_size=4))
def test_every_number_is_counted_once_whatever_it_is(values: list[float], borders: list[int]) -> None:
    """Counts and missing add up, edges rise, means lie in their bins, and no chunking changes anything."""
    array = pa.array(values, pa.float64())
    found = summary(array)
    present = [value for value in values if math.isfinite(value)]
    assert (sum(found.counts), found.missing) == (len(present), len(values) - len(present))
    assert list(found.edges) == sorted(set(found.edges))
    assert (found.minimum, found.maximum) == ((min(present), max(present)) if present else (None, None))
    assert all(map(math.isfinite, (*found.edges, *found.means)))
    parts = chunks(array, *sorted(min(border, len(values)) for border in borders))
    assert summaries.summarise(parts, "number") == found
    assert summaries.count(found, parts) == found
    low, high = summaries.borders(found)[:-1], summaries.borders(found)[1:]
    assert all(a <= mean <= b for a, mean, b in zip(low, found.means, high, strict=False))
    assert Summary.model_validate_json(found.model_dump_json()) == found


@settings(max_examples=60, deadline=None)
@given(FLOATS, FLOATS, FLOATS)
def test_merging_is_counting_together(first: list[float], second: list[float], third: list[float]) -> None:
    """Counts, missing values and extremes of parts are those of the whole, in any grouping and order."""
    reference = summary(pa.array(first, pa.float64()))
    a, b, c = (summaries.count(reference, chunked(values, pa.float64())) for values in (first, second, third))
    whole = summaries.count(reference, chunked(first + second + third, pa.float64()))
    assert summaries.merge(summaries.merge(a, b), c) == whole
    assert summaries.merge(c, summaries.merge(b, a)) == whole


@given(st.lists(st.sampled_from(["", "a", "b", "c", "d", None]), max_size=60), st.integers(0, 60))
def test_every_text_is_counted_once(values: list[str | None], border: int) -> None:
    """Listed, other and missing add up; null and the empty text are missing."""
    array = pa.array(values, pa.string())
    found = summary(array, "category")
    assert summaries.rows(found) == len(values)
    assert found.missing == sum(not value for value in values)
    assert summaries.count(found, chunks(array, min(border, len(values)))) == found


def test_few_edges_and_many_count_alike() -> None:
    """The two ways to count are one function."""
    rng = np.random.default_rng(1)
    values = np.where(rng.random(70_000) < 0.1, np.nan, rng.integers(0, 40, 70_000) / 4)
    edges = np.arange(0, 10, 0.25)
    whole = summaries.count_numbers(edges, values)
    for few in (edges[:10], edges[20:30]):
        expected = [whole[: int(np.searchsorted(edges, few[0])) + 1].sum()]
        assert summaries.count_numbers(few, values)[0] == expected[0]
        assert summaries.count_numbers(few, values).sum() == whole.sum()


def test_bins_hold_a_hundredth_and_the_tails_less() -> None:
    """Ten thousand values have bins of a hundred, halved at the ends while they hold enough."""
    found = summary(np.random.default_rng(0).permutation(10_000) * 1.0)
    assert sorted(set(found.counts)) == [12, 13, 25, 50, 100]
    assert len(found.counts) == 106


def test_a_summary_is_a_few_lines_of_a_file() -> None:
    """However many bins it has, each of its lists is one line, and reading the file gives it back."""
    spec = written_by_0_1_0()
    columns = {"amount": summary(np.random.default_rng(1).lognormal(size=20_000)), "hour": summary(list(range(24)))}
    path = "models/fraud-detection/data/2025-q4.yaml"
    text = dump("DataSnapshot", "2025-q4", spec.model_copy(update={"profile": columns}), None, path).decode()
    assert len(text[text.index("profile:") :].splitlines()) <= 1 + 2 * 8
    assert load_resource(text.encode(), path).spec.profile == columns


def test_few_distinct_values_have_a_bin_each() -> None:
    """Up to about a hundred values a summary is the whole column: each value, and how often it comes."""
    values = np.repeat(np.arange(24), 50)
    found = summary(values)
    held = {mean: count for mean, count in zip(found.means, found.counts, strict=True) if count}
    assert held == {float(hour): 50 for hour in range(24)}


def test_rare_categories_are_not_listed_beyond_the_thirtieth() -> None:
    """Names that hardly any row has are not written down; those with a thousandth of the rows are, up to 200."""
    common = [f"c{index}" for index in range(60) for _ in range(100)]
    found = summary([*common, *(f"rare{index}" for index in range(500))], "category")
    assert len(found.categories) == 60
    assert found.other == 500
    assert len(summary([f"person{index}" for index in range(5000)], "category").categories) == 30


KINDS = [
    ("booleans", pa.array([True, False, None])),
    ("integers with nulls", pa.array([1, 0, None])),
    ("small floats with NaN", pa.array([1.0, 0.0, float("nan")], pa.float32())),
    ("coded numbers", pa.array([1, 0, None]).dictionary_encode()),
]


@pytest.mark.parametrize("values", [case[1] for case in KINDS], ids=[case[0] for case in KINDS])
def test_every_numeric_arrow_type_counts_alike(values: pa.Array) -> None:
    """One, zero and missing are the same in every type that can hold them."""
    found = summaries.count(summary([0.0, 1.0] * 50), pa.chunked_array([values]))
    assert (sum(found.counts), found.missing) == (2, 1)


def test_dates_and_instants_count_as_seconds() -> None:
    """A date, a timestamp of any unit and its seconds fall into the same bin."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    reference = summary([(start + timedelta(days=day)).timestamp() for day in range(100)])
    days = [date(2024, 1, 1) + timedelta(days=day) for day in range(100)]
    assert summaries.count(reference, chunked(days)).counts == reference.counts
    for unit in ("s", "ms", "us", "ns"):
        instants = chunked([start + timedelta(days=day) for day in range(100)], pa.timestamp(unit, "UTC"))
        assert summaries.count(reference, instants).counts == reference.counts


def test_text_as_numbers_and_lists_as_categories_are_refused() -> None:
    """A column of the wrong type is an error, not a column of missing values."""
    for values, kind in ((["a"], "number"), ([[1]], "category")):
        with pytest.raises(ModelOpsError) as caught:
            summary(values, kind)  # type: ignore[arg-type]
        assert caught.value.problems[0].code == "drift-column-type"


@pytest.mark.parametrize("values", [[0.0, 1.0, 1.0, 5.0], list(range(1000)), ["a", "a", "b", None]], ids=len)
def test_rows_like_a_summary_have_that_summary(values: list[object]) -> None:
    """Rows made up from a summary fall into its bins as the real ones did."""
    kind = "category" if isinstance(values[0], str) else "number"
    found = summary(values, kind)  # type: ignore[arg-type]
    parts = [summaries.count(found, part) for part in summaries.rows_like(found)]
    total = parts[0]
    for part in parts[1:]:
        total = summaries.merge(total, part)
    assert (total.counts, total.other, total.missing) == (found.counts, found.other, found.missing)


def written_by_0_1_0() -> DataSnapshotSpec:
    path = Path(__file__).parent / "written-by-0.1.0.yaml"
    spec: DataSnapshotSpec = load_resource(path.read_bytes(), "models/fraud-detection/data/2025-q4.yaml").spec
    return spec


def test_a_snapshot_of_version_0_1_0_is_read_and_completed() -> None:
    """Its profile has ten bins and no extremes; those come from its columns, and every score can use it."""
    spec = written_by_0_1_0()
    assert {summary.means for summary in spec.profile.values()} == {()}
    columns = {column.name: column for column in spec.columns}
    for name, summary_ in spec.profile.items():
        full = summaries.completed(summary_, columns[name].minimum, columns[name].maximum)
        if columns[name].type in ("number", "integer"):
            assert (full.minimum, full.maximum) == (columns[name].minimum, columns[name].maximum)
        else:
            assert full == summary_
        for key in ("psi", "kolmogorov-smirnov", "wasserstein"):
            bound = bind(Plugin(type=key))
            if full.kind not in bound.module.KINDS:
                continue
            sketch = bound.module.fit(bound.params, full)
            counted = [bound.module.count(sketch, part) for part in summaries.rows_like(full)]
            window = counted[0]
            for part in counted[1:]:
                window = bound.module.merge(window, part)
            found = bound.module.score(bound.params, sketch, window, 0.01)
            assert (found.level, found.value) == ("none", pytest.approx(0.0, abs=1e-9)), (name, key)
