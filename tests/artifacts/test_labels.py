"""The labels that are served are those of the estimator's own predict, at ties too, or the artifact says why not."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from artifacts.makers import NUMBERS, fitted, rows, signature
from modelops.artifacts import Predictor, Signature
from modelops.artifacts.fitted import own_threshold
from modelops.artifacts.frame import to_frame
from modelops.artifacts.predictor import sklearn_score
from modelops.training.evaluate import with_labels

ESTIMATORS = {
    "forest of ten": RandomForestClassifier(10, max_depth=3, random_state=0),
    "tree": DecisionTreeClassifier(max_depth=2, min_samples_leaf=40),
    "neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(4, algorithm="brute")),
    "boosting": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression()),
    "bayes": GaussianNB(),
    "voting": VotingClassifier([("a", DecisionTreeClassifier(max_depth=1)), ("b", GaussianNB())], voting="soft"),
    "fixed threshold": FixedThresholdClassifier(RandomForestClassifier(10, random_state=0), threshold=0.3),
}


TASKS = ("binary-classification", "multiclass-classification")


@pytest.mark.parametrize(
    ("name", "task"),
    [(name, task) for name in ESTIMATORS for task in TASKS if (name, task) != ("fixed threshold", TASKS[1])],
)
def test_labels_are_those_of_predict(name: str, task: str) -> None:
    """On rows that decided, and on others."""
    estimator, seen = fitted(ESTIMATORS[name], NUMBERS, task)
    made = signature(NUMBERS, task)
    own = own_threshold(estimator)
    made = with_labels(made if own is None else made.model_copy(update={"threshold": own}), estimator, seen)
    assert made.labels == ""
    predictor = Predictor(made, sklearn_score(estimator, made))
    names = np.array(made.classes, dtype=object)
    for columns in (seen, rows(NUMBERS, 3000, seed=9)):
        said = estimator.predict(to_frame(columns))
        wanted = names[said] if task == "binary-classification" else said.astype(object)
        np.testing.assert_array_equal(predictor.predict_columns(columns).labels, wanted)


def test_where_predict_does_not_follow_probabilities_the_artifact_says_so() -> None:
    """A support vector machine decides by its decision function."""
    with warnings.catch_warnings():
        # scikit-learn says by now that such probabilities are to go.
        warnings.simplefilter("ignore", FutureWarning)
        estimator, seen = fitted(
            make_pipeline(StandardScaler(), SVC(probability=True, class_weight="balanced", random_state=0)), NUMBERS
        )
    made = with_labels(signature(NUMBERS), estimator, seen)
    assert "of 400 test rows" in made.labels
    assert "get another label than predict of SVC gives" in made.labels
    assert Signature.parse(made.dump()) == made


def test_equal_probabilities_of_unequal_decisions_are_told_too() -> None:
    """Far out, the shares of several classes are all one half, and predict goes on by what they were made from."""
    machine = make_pipeline(StandardScaler(), SGDClassifier(loss="log_loss", random_state=0))
    estimator, seen = fitted(machine, NUMBERS, "multiclass-classification")
    made = with_labels(signature(NUMBERS, "multiclass-classification"), estimator, seen)
    assert "extreme values get another label than predict of SGDClassifier gives" in made.labels
    assert "test rows" not in made.labels


def test_an_artifact_of_the_first_version_goes_on_as_it_was() -> None:
    """It says nothing of ties: a score of exactly the threshold is positive, and its bytes stay what they are."""
    document: dict[str, Any] = json.loads(signature(NUMBERS).dump())
    del document["ties"]
    old = Signature.parse(json.dumps(document).encode())
    assert json.loads(old.dump()) == document
    scores = np.array([0.5, np.nextafter(0.5, 0)])
    predictor = Predictor(old, lambda columns: scores)
    assert predictor.predict_columns({}).labels.tolist() == ["yes", "no"]
    assert Predictor(signature(NUMBERS), lambda columns: scores).predict_columns({}).labels.tolist() == ["no", "no"]
