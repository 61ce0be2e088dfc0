"""Builds that end well whatever ONNX makes of them: searches, tuned thresholds, and exporters that fail in any way."""

from __future__ import annotations

import faulthandler
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelops.artifacts import load_predictor, open_artifact
from modelops.artifacts.onnx_export import Export
from modelops.artifacts.predictor import load_estimator
from modelops.errors import ModelOpsError
from modelops.training.exporting import apart
from training.building_blocks import Workshop
from waiting import PATIENCE

CODE = """
from sklearn.compose import ColumnTransformer
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def train(features, target, parameters, seed):
    numbers = ["amount", "age"]
    words = ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["country"])
    return (%s).fit(features, target)
"""
SEARCH = """GridSearchCV(
        make_pipeline(
            ColumnTransformer([("numbers", SimpleImputer(), numbers), words], sparse_threshold=0),
            FixedThresholdClassifier(LogisticRegression(max_iter=500), threshold=0.3),
        ),
        {"columntransformer__numbers__strategy": ["mean", "median"]},
        scoring="roc_auc", cv=StratifiedKFold(3),
    )"""
NEIGHBOURS = """make_pipeline(
        ColumnTransformer([("numbers", KNNImputer(), numbers), words], sparse_threshold=0),
        LogisticRegression(max_iter=500),
    )"""
PARALLEL = """
from multiprocessing.pool import ThreadPool

from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV


def train(features, target, parameters, seed):
    with ThreadPool(2) as pool:
        assert pool.map(abs, [-1, 2]) == [1, 2]
    forest = RandomForestClassifier(n_estimators=5, random_state=seed, n_jobs=2)
    return GridSearchCV(forest, {"max_depth": [2, 3]}, cv=2, n_jobs=2).fit(features.fillna(0), target)
"""


def test_a_search_with_a_threshold_is_built(workshop: Workshop) -> None:
    """The release serves the best estimator with its own threshold, and its record says what the search found."""
    record = workshop.build(workshop.request(CODE % SEARCH))
    assert record.search is not None
    assert (record.search.by, record.search.candidates, record.search.scoring) == ("GridSearchCV", 2, "roc_auc")
    assert set(record.search.best) == {"columntransformer__numbers__strategy"}
    artifact = open_artifact(workshop.store, record.artifact.digest)
    assert (artifact.signature.engine, artifact.signature.threshold) == ("onnx", 0.3)
    assert type(load_estimator(artifact)).__name__ == "Pipeline"
    predictor = load_predictor(artifact)
    assert predictor.labels(np.array([0.29, 0.31])).tolist() == list(artifact.signature.classes)


@pytest.mark.slow
def test_an_estimator_that_onnx_cannot_hold_is_built(workshop: Workshop) -> None:
    """Operators outside the standard do not end the build: scikit-learn serves, and it is said why."""
    record = workshop.build(workshop.request(CODE % NEIGHBOURS))
    assert record.artifact.engine == "sklearn"
    assert "KNNImputer" in record.artifact.engine_reason
    assert record.search is None
    assert b"search" not in record.dump()


@pytest.mark.slow
def test_a_threshold_of_the_spec_and_another_of_the_estimator_are_refused(workshop: Workshop) -> None:
    """Which of two thresholds counts is not guessed."""
    with pytest.raises(ModelOpsError, match="bad-threshold") as caught:
        workshop.build(workshop.request(CODE % SEARCH, serving__threshold=0.7))
    assert "0.3" in caught.value.first.message
    assert "0.7" in caught.value.first.message


def hang() -> Export:
    time.sleep(600)
    raise AssertionError


def crash() -> Export:
    faulthandler.disable()
    os.abort()


def swallow() -> Export:
    return Export(b"x" * (1 << 33), None, "")


def leave() -> Export:
    os._exit(3)


def stumble() -> Export:
    raise FloatingPointError("no such number\nand more")


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (hang, "the exporter was stopped after 0.5 seconds"),
        (crash, "the exporter was ended by the signal SIGABRT"),
        (swallow, "the exporter failed: it needed more than 256 MiB"),
        (leave, "the exporter failed: it left no result"),
        (stumble, "the exporter failed: FloatingPointError: no such number"),
    ],
)
def test_no_failure_of_an_exporter_is_one_of_the_build(tmp_path: Path, work: Callable[[], Export], reason: str) -> None:
    """Hanging, crashing, using up memory, ending the process or raising: there is no ONNX, and the reason is kept."""
    assert apart(work, tmp_path, 0.5 if work is hang else PATIENCE, 256 << 20) == Export(None, None, reason)


@pytest.mark.parametrize("export", [Export(b"\0model", 1e-9, ""), Export(None, None, "no exact form")])
def test_what_an_exporter_returns_arrives(tmp_path: Path, export: Export) -> None:
    """Bytes, difference and reason are those that it returned, and this process goes on."""
    assert apart(lambda: export, tmp_path, PATIENCE, 256 << 20) == export


def test_work_in_parallel_is_work_of_threads(workshop: Workshop) -> None:
    """``n_jobs`` of a search and of its estimator, ``threads`` of the spec and pools of threads need no semaphores."""
    features = ({"name": "amount", "type": "number"}, {"name": "age", "type": "number"})
    record = workshop.build(workshop.request(PARALLEL, data__features=features, training__threads=2))
    assert record.search is not None
    assert record.search.candidates == 2
