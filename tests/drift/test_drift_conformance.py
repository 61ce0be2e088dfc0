"""What every drift score on the shelf must do."""

from __future__ import annotations

import math
from itertools import pairwise
from types import ModuleType
from typing import Literal

import numpy as np
import pyarrow as pa
import pytest

from modelops import plugins
from modelops.spec.data import Sketch

Kind = Literal["number", "category"]
RNG = np.random.default_rng(5)
NUMBERS = np.where(RNG.random(3000) < 0.1, np.nan, RNG.normal(size=3000))
WORDS = RNG.choice(["red", "green", "blue", "rare", ""], 3000, p=[0.4, 0.3, 0.2, 0.02, 0.08])
COLUMNS: dict[Kind, pa.Array] = {"number": pa.array(NUMBERS), "category": pa.array(WORDS)}
EMPTY: dict[Kind, pa.ChunkedArray] = {
    "number": pa.chunked_array([], pa.float64()),
    "category": pa.chunked_array([], pa.string()),
}


@pytest.fixture(params=plugins.keys("drift"))
def module(request: pytest.FixtureRequest) -> ModuleType:
    return plugins.load("drift", request.param)


@pytest.fixture(params=["number", "category"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


def chunks(array: pa.Array, *borders: int) -> pa.ChunkedArray:
    places = [0, *borders, len(array)]
    return pa.chunked_array([array[a:b] for a, b in pairwise(places)], array.type)


def total(sketch: Sketch) -> int:
    return sum(sketch.counts) + sketch.other + sketch.missing


def test_params_have_defaults_and_refuse_the_unknown(module: ModuleType) -> None:
    """A drift score works without parameters, and a misspelt one is an error."""
    module.Params()
    with pytest.raises(ValueError, match="binz"):
        module.Params(binz=3)


def test_fit_counts_the_reference(module: ModuleType, kind: Kind) -> None:
    """The sketch of the reference holds its own counts: every row once, missing ones as missing."""
    values = chunks(COLUMNS[kind])
    sketch = module.fit(module.Params(), values, kind)
    assert sketch.kind == kind
    assert total(sketch) == len(values)
    assert module.count(sketch, values) == sketch
    assert sketch.missing == (int(np.isnan(NUMBERS).sum()) if kind == "number" else int((WORDS == "").sum()))


def test_results_do_not_depend_on_chunks_or_on_who_asks(module: ModuleType, kind: Kind) -> None:
    """Fitting and counting are functions of the values: any chunking, any number of times."""
    array, params = COLUMNS[kind], module.Params()
    sketch = module.fit(params, chunks(array), kind)
    assert module.fit(params, chunks(array, 1, 1, 1000, 2999), kind) == sketch
    assert module.count(sketch, chunks(array, 7, 2000)) == sketch
    first, second = (module.score(params, sketch, sketch) for _ in range(2))
    assert first == second


def test_arguments_are_not_changed(module: ModuleType, kind: Kind) -> None:
    """Sketches are values: counting and merging return new ones."""
    sketch = module.fit(module.Params(), chunks(COLUMNS[kind]), kind)
    before = sketch.model_dump_json()
    module.merge(sketch, module.count(sketch, chunks(COLUMNS[kind])[:10]))
    module.score(module.Params(), sketch, sketch)
    assert sketch.model_dump_json() == before


def test_merging_is_counting_the_concatenation(module: ModuleType, kind: Kind) -> None:
    """Counts of parts add up to the counts of the whole, in any order, and nothing is the neutral element."""
    array = COLUMNS[kind]
    reference = module.fit(module.Params(), chunks(array[:500]), kind)
    parts = [module.count(reference, chunks(array[a:b])) for a, b in ((0, 700), (700, 701), (701, 3000))]
    whole = module.count(reference, chunks(array))
    assert module.merge(module.merge(parts[0], parts[1]), parts[2]) == whole
    assert module.merge(parts[2], module.merge(parts[1], parts[0])) == whole
    assert module.merge(whole, module.count(reference, EMPTY[kind])) == whole


def test_a_sketch_survives_being_written(module: ModuleType, kind: Kind) -> None:
    """What is written into a snapshot counts and scores as before."""
    sketch = module.fit(module.Params(), chunks(COLUMNS[kind]), kind)
    assert Sketch.model_validate_json(sketch.model_dump_json()) == sketch


def test_empty_and_missing_windows_have_finite_scores(module: ModuleType, kind: Kind) -> None:
    """A window of nothing is no data, and a window of missing values alone is scored."""
    params = module.Params()
    sketch = module.fit(params, chunks(COLUMNS[kind]), kind)
    assert module.score(params, sketch, module.count(sketch, EMPTY[kind])).level == "no-data"
    nothing = pa.chunked_array([pa.nulls(3000, COLUMNS[kind].type)])
    found = module.score(params, sketch, module.count(sketch, nothing))
    assert math.isfinite(found.value)
    assert found.level == "alert"


def test_an_empty_reference_is_no_data(module: ModuleType, kind: Kind) -> None:
    """Nothing can be compared with a reference of no rows."""
    params = module.Params()
    sketch = module.fit(params, EMPTY[kind], kind)
    found = module.score(params, sketch, module.count(sketch, chunks(COLUMNS[kind])))
    assert (total(sketch), found.level) == (0, "no-data")


def test_the_same_distribution_is_quiet_and_another_is_not(module: ModuleType, kind: Kind) -> None:
    """A second sample of the same source has no level; a clearly different one alerts, and scores higher."""
    params = module.Params()
    rng = np.random.default_rng(6)
    if kind == "number":
        reference, same, other = (pa.array(rng.normal(shift, 1, 5000)) for shift in (0, 0, 1.5))
    else:
        draws = ([0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.1, 0.2, 0.7])
        reference, same, other = (pa.array(rng.choice(["a", "b", "c"], 5000, p=p)) for p in draws)
    sketch = module.fit(params, chunks(reference), kind)
    quiet = module.score(params, sketch, module.count(sketch, chunks(same)))
    loud = module.score(params, sketch, module.count(sketch, chunks(other)))
    assert (quiet.level, loud.level) == ("none", "alert")
    assert quiet.value < loud.value
    assert quiet.reason != loud.reason
