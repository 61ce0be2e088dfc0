"""Every score on the shelf keeps what the shipped conformance suite asks, and the suite notices who does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drift.columns import chunked, summary
from modelops import plugins
from modelops.conformance import drift as conformance
from modelops.drift import Drift, bind
from modelops.spec.meta import Plugin

KEYS = plugins.keys("drift")
FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), max_size=60)


def load(key: str) -> Drift:
    return bind(Plugin(type=key)).module


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("key", KEYS)
def test_drift_score_keeps(key: str, check: Callable[[Drift, dict[str, object]], None]) -> None:
    """Each check holds for each score, with its defaults."""
    check(load(key), {})


@settings(max_examples=20, deadline=None)
@given(FLOATS, FLOATS, st.integers(0, 60))
@pytest.mark.parametrize("key", [key for key in KEYS if "number" in load(key).KINDS])
def test_any_numbers_merge_exactly_and_score_finitely(
    key: str, reference: list[float], window: list[float], cut: int
) -> None:
    """Whatever the numbers are, merging loses nothing and a score is a finite number."""
    module = load(key)
    params = module.Params()
    sketch = module.fit(params, summary(pa_array(reference)))
    whole = module.count(sketch, chunked(pa_array(window)))
    parts = [module.count(sketch, chunked(pa_array(part))) for part in (window[:cut], window[cut:])]
    assert module.merge(*parts) == whole
    found = module.score(params, sketch, whole, 0.01)
    assert all(math.isfinite(value) for value in (found.value, found.expected, found.critical))
    assert found.value >= 0


def pa_array(values: list[float]) -> pa.Array:
    return pa.array(values, pa.float64())


@pytest.mark.parametrize("key", KEYS)
def test_few_rows_have_no_level(key: str) -> None:
    """Below the minimum of its parameters a score has a value and no level."""
    module = load(key)
    kind = module.KINDS[0]
    values = [float(number) for number in range(1000)] if kind == "number" else ["a", "b"] * 500
    sketch = module.fit(module.Params(), summary(values, kind))
    found = module.score(module.Params(), sketch, module.count(sketch, chunked(values[:150])), 0.01)
    assert (found.level, found.reason) == ("no-data", "150 rows, fewer than 200")


class Broken:
    """The stability index with any fault."""

    __name__ = "broken"

    def __init__(self, **faults: object) -> None:
        self.psi = load("psi")
        self.faults = faults

    def __getattr__(self, name: str) -> Any:
        return self.faults[name] if name in self.faults else getattr(self.psi, name)


def louder(params: Any, reference: Any, window: Any, significance: float) -> Any:
    """Score as if chance were nothing."""
    found = load("psi").score(params, reference, window, significance)
    return replace(found, critical=found.critical / 3)


def forgetful(params: Any, reference: Any, window: Any, significance: float) -> Any:
    """Call what is not known no drift."""
    found = load("psi").score(params, reference, window, significance)
    return replace(found, level="none" if found.level == "no-data" else found.level)


def only_the_last(first: Any, second: Any) -> Any:
    """Merge by keeping one of two."""
    return second


FAULTS = [
    ("check_shelf", {"NAME": ""}),
    ("check_shelf", {"KINDS": ("text",)}),
    ("check_shelf", {"significance": lambda params: 0.0}),
    ("check_merging", {"merge": only_the_last}),
    ("check_nothing_is_no_data", {"score": forgetful}),
    ("check_chance", {"score": louder}),
    ("check_other_bins", {"merge": only_the_last}),
]


@pytest.mark.parametrize(("name", "faults"), FAULTS, ids=[f"{name}-{next(iter(faults))}" for name, faults in FAULTS])
def test_the_suite_notices(name: str, faults: dict[str, object]) -> None:
    """A score with one fault fails the check that is about it."""
    broken: Any = Broken(**faults)
    with pytest.raises(AssertionError):
        getattr(conformance, name)(broken, {})
