"""Threat 26: who may ask a bundled model finds out which rows it was trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from sklearn.base import ClassifierMixin
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from modelops import plugins
from modelops.conformance.loans import subject
from modelops.gates import Answers, Verdict
from modelops.metrics import Predictions
from threats.test_25_planted_rows import months, spec


@cache
def rows() -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Return training and test rows of the model, and the features that are numbers."""
    table = months("2025-10", "2025-12")
    names = [one.name for one in spec().data.features if one.type in ("number", "integer")]
    test = np.arange(len(table)) % 4 == 0
    return table[~test], table[test], names


def judged(estimator: ClassifierMixin, flipped: float = 0.0) -> Verdict:
    """Train on rows some of whose labels are wrong, and return what the gate says of the model."""
    train, test, names = rows()
    wrong = np.random.default_rng(1).random(len(train)) < flipped
    train = train.assign(is_fraud=np.where(wrong, 1 - train["is_fraud"], train["is_fraud"]))
    estimator.fit(train[names], train["is_fraud"])

    def predict(frame: pd.DataFrame) -> Answers:
        score = estimator.predict_proba(frame[names])[:, 1]
        return Answers((score >= 0.5).astype(float), score)

    module = plugins.load("gates", "membership")
    holdout = Predictions("binary-classification", np.zeros(2), np.zeros(2), np.zeros(2), (0, 1))
    whole = replace(subject(4), model=spec(), train=train, test=test, holdout=holdout, predict=predict)
    return module.evaluate(module.Params.model_validate_json(json.dumps({})), whole.only(module.NEEDS))


def test_the_bundled_kind_of_model_gives_nothing_away() -> None:
    """Boosted trees of the model's own parameters treat training rows like others, by the upper bound."""
    parameters = dict(spec().training.parameters)
    found = judged(GradientBoostingClassifier(random_state=7, **parameters))
    assert found.verdict == "pass", found.reason
    assert found.upper is not None
    assert found.upper < 0.55


@pytest.mark.parametrize(("flipped", "at_least"), [(0.2, 0.6)])
def test_a_model_that_learns_noise_by_heart_is_refused(flipped: float, at_least: float) -> None:
    """A tree without a limit knows each wrong label of its rows, which tells them from those that it never saw."""
    found = judged(DecisionTreeClassifier(random_state=0), flipped)
    assert found.verdict == "fail", found.reason
    assert found.lower is not None
    assert found.lower > at_least
