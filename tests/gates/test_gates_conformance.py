"""What every gate on the shelf keeps, whoever wrote it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from gates.subjects import empty, subject
from modelops import plugins
from modelops.gates import Verdict

EXAMPLES: dict[str, dict[str, object]] = {
    "champion": {"metric": "roc-auc", "margin": 0.01},
    "data-quality": {},
    "drift": {},
    "fairness": {"metric": "equalized-odds", "column": "sex", "maximum": 0.2},
    "latency": {"p50Ms": 5.0, "p99Ms": 20.0, "maximumBytes": 1_000_000},
    "metric": {"metric": "recall", "minimum": 0.7},
}
KEYS = plugins.keys("gates")


def gate(key: str):
    module = plugins.load("gates", key)
    return module, module.Params.model_validate(EXAMPLES[key])


def test_every_gate_has_an_example():
    """A new gate file must be added to this suite."""
    assert set(KEYS) == set(EXAMPLES)


@pytest.mark.parametrize("key", KEYS)
def test_good_candidate_passes(key):
    """Each gate's example lets the good candidate through, with a sentence."""
    module, params = gate(key)
    found = module.evaluate(params, subject())
    assert found.verdict == "pass", found.reason
    assert found.reason


@pytest.mark.parametrize("key", KEYS)
def test_same_subject_same_verdict_and_untouched(key):
    """A gate is a pure function: equal subjects give equal verdicts, and the subject is left as it was."""
    module, params = gate(key)
    first, second = subject(), subject()
    before = copy.deepcopy(first)
    assert module.evaluate(params, first) == module.evaluate(params, second) == module.evaluate(params, first)
    pd.testing.assert_frame_equal(first.train, before.train)
    pd.testing.assert_frame_equal(first.test, before.test)
    np.testing.assert_array_equal(first.latency, before.latency)
    np.testing.assert_array_equal(first.holdout.y_score, before.holdout.y_score)


@pytest.mark.parametrize("key", KEYS)
def test_nothing_measured_is_no_data(key):
    """Without rows, timings and bytes a gate neither passes nor fails."""
    module, params = gate(key)
    found = module.evaluate(params, empty())
    assert found.verdict == "no-data", found.reason


@pytest.mark.parametrize("key", KEYS)
def test_unknown_parameters_are_refused(key):
    """A misspelt parameter is an error, not a default."""
    module, _ = gate(key)
    with pytest.raises(ValidationError, match="maximun"):
        module.Params.model_validate(EXAMPLES[key] | {"maximun": 1})
    assert module.Params.model_json_schema()["additionalProperties"] is False


@pytest.mark.parametrize("key", KEYS)
def test_predictions_that_are_not_numbers_never_pass(key):
    """A candidate that answers NaN does not pass a gate that reads its answers, and breaks none."""
    module, params = gate(key)
    whole = subject()
    nan = np.full(len(whole.holdout), np.nan)
    broken = replace(whole.holdout, y_pred=nan, y_score=nan)
    found = module.evaluate(params, replace(whole, holdout=broken, latency=np.full(500, np.nan)))
    assert isinstance(found, Verdict)
    if key not in ("data-quality", "drift"):
        assert found.verdict == "no-data", found.reason
