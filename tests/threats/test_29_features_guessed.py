"""Threat 29: whoever knows most of a payment asks a bundled model until they know what they were not told."""

from __future__ import annotations

import numpy as np
import pytest

from modelops.statistics import auc
from threats.bundled_model import carried, drawn, guessed, judged, telling, trained, whole

LIMIT: dict[str, object] = {"features": ["international"], "maximum": 0.05}


@pytest.mark.parametrize(("planted", "word"), [(False, "pass"), (True, "fail")])
def test_a_feature_that_answers_give_away_is_one_that_the_model_leans_on(planted: bool, word: str) -> None:
    """Answers tell whether a payment was international where, and only where, the gate refuses the model for it."""
    train, test = drawn(5000, 1)
    if planted:
        train, test = telling(train, 1), telling(test, 2)
    predict = trained(train)
    found = judged("permutation-importance", LIMIT, whole(train, test, importance=carried(predict, test)))
    assert found.verdict == word, found.reason
    likely = guessed(predict, test, "international", (False, True))
    hidden = test["international"].to_numpy(dtype=np.float64)
    _, lower, upper, _ = auc.interval(hidden, likely, 0.95)
    assert lower > 0.55 if planted else lower <= 0.5 <= upper
