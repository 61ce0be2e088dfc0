"""Canonical skops: the same bytes everywhere, and nothing loaded that is not on the list."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from functools import partial
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from artifacts.makers import GAPS, MIXED, NUMBERS, fitted, rows
from modelops.artifacts.canonical import canonical, dump_canonical, load_canonical
from modelops.artifacts.frame import to_frame
from modelops.artifacts.trees import check_trees
from modelops.errors import ModelOpsError

ESTIMATORS = {
    "linear": partial(LogisticRegression),
    "forest": partial(RandomForestClassifier, 4, random_state=0),
    "boosting": partial(GradientBoostingClassifier, n_estimators=4, random_state=0),
    "histogram": partial(HistGradientBoostingClassifier, max_iter=4, random_state=0),
}

_OTHER_PROCESS = """
from artifacts.test_canonical import STABLE, digest
print(*(digest(name) for name in STABLE))
"""

# Histogram gradient boosting stores how many threads it may use; a build pins them.
STABLE = ("linear", "forest", "boosting")


def digest(name: str) -> str:
    return hashlib.sha256(dump_canonical(fitted(ESTIMATORS[name](), NUMBERS)[0])[0]).hexdigest()


def test_bytes_do_not_depend_on_process_or_hash_seed() -> None:
    """Another process with another hash seed writes the same bytes."""
    environment = os.environ | {"PYTHONHASHSEED": "4242", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", _OTHER_PROCESS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(name) for name in STABLE]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_canonical_bytes_load_and_predict_the_same(name: str) -> None:
    """Plain skops reads the canonical file, and canonicalising twice changes nothing."""
    estimator, columns = fitted(ESTIMATORS[name](), NUMBERS)
    data, types = dump_canonical(estimator)
    expected = estimator.predict_proba(to_frame(columns))
    np.testing.assert_array_equal(load_canonical(data, types).predict_proba(to_frame(columns)), expected)
    np.testing.assert_array_equal(skops.io.loads(data, trusted=list(types)).predict_proba(to_frame(columns)), expected)
    assert canonical(data) == data == canonical(skops.io.dumps(estimator))


class Home(BaseEstimator):
    """An estimator that no library knows."""


@pytest.mark.parametrize(
    ("estimator", "code", "says"),
    [
        (Home(), "untrusted-type", "Home"),
        (make_pipeline(FunctionTransformer(os.getcwd)), "untrusted-type", "getcwd"),
        (make_pipeline(FunctionTransformer(partial(os.getcwd))), "untrusted-type", "getcwd"),
        (make_pipeline(FunctionTransformer(partial(np.load, "x", allow_pickle=True))), "untrusted-type", "load"),
        (make_pipeline(FunctionTransformer(lambda x: x)), "untrusted-type", "<lambda>"),
        (fitted(KNeighborsClassifier(p=3), NUMBERS)[0], "untrusted-type", "MinkowskiDistance64"),
    ],
)
def test_an_estimator_with_foreign_parts_is_refused_by_name(estimator: Any, code: str, says: str) -> None:
    """Export says which type is not allowed."""
    with pytest.raises(ModelOpsError) as caught:
        dump_canonical(estimator)
    assert caught.value.problems[0].code == code
    assert says in caught.value.problems[0].message


def test_histogram_boosting_of_categories_can_be_kept() -> None:
    """Its own preparation of categories, a partial of a check, is written and loaded again."""
    estimator, columns = fitted(HistGradientBoostingClassifier(max_iter=4, categorical_features=["country"]), MIXED)
    expected = estimator.predict_proba(to_frame(columns))
    np.testing.assert_array_equal(load_canonical(*dump_canonical(estimator)).predict_proba(to_frame(columns)), expected)


def test_loading_needs_the_exact_list_of_types() -> None:
    """A list that names more, fewer or forbidden types than the file holds is refused."""
    data, types = dump_canonical(fitted(ESTIMATORS["forest"](), NUMBERS)[0])
    assert types == ("sklearn.tree._tree.Tree",)
    for wrong in ((), (*types, "numpy.dtype"), (*types, "os.system")):
        with pytest.raises(ModelOpsError, match="untrusted-type"):
            load_canonical(data, wrong)


def _with_schema(data: bytes, change: Any) -> bytes:
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            archive.writestr(name, change(content) if name == "schema.json" else content)
    return target.getvalue()


def test_a_crafted_type_is_never_constructed() -> None:
    """A file that names builtins.eval in place of an estimator is refused before anything is built."""
    data, types = dump_canonical(fitted(LogisticRegression(), NUMBERS)[0])

    def craft(content: bytes) -> bytes:
        schema = json.loads(content)
        return json.dumps(schema | {"__class__": "eval", "__module__": "builtins"}).encode()

    with pytest.raises(ModelOpsError, match="untrusted-type"):
        load_canonical(_with_schema(data, craft), types)


@pytest.mark.parametrize("data", [b"", b"PK nonsense", _with_schema(skops.io.dumps(1), lambda _: b"{}")])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    """Garbage is an error of its own, not a traceback."""
    with pytest.raises(ModelOpsError, match="bad-model"):
        load_canonical(data, ())


def _predictors(estimator: Any) -> Any:
    return estimator._predictors[0][0]


@pytest.mark.parametrize(("field", "value"), [("left", 4_000_000), ("right", 0), ("feature_idx", 99), ("left", 0)])
def test_crafted_histogram_nodes_are_refused(field: str, value: int) -> None:
    """A child outside the tree, a cycle, and a feature that does not exist are found before a prediction."""
    estimator, _ = fitted(ESTIMATORS["histogram"](), GAPS)
    check_trees(estimator)
    _predictors(estimator).nodes[field][0] = value
    with pytest.raises(ModelOpsError, match="crafted-tree"):
        check_trees(estimator)


@pytest.mark.parametrize(
    ("field", "value"), [("left_child", 4_000_000), ("right_child", 0), ("feature", 99), ("feature", -3)]
)
def test_crafted_tree_nodes_are_refused(field: str, value: int) -> None:
    """The same for the nodes of a forest's trees, which are followed without checks too."""
    estimator, _ = fitted(ESTIMATORS["forest"](), NUMBERS)
    tree = estimator.estimators_[2].tree_
    state = tree.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    tree.__setstate__(state)
    with pytest.raises(ModelOpsError, match="crafted-tree"):
        check_trees(estimator)


def test_a_forest_that_feeds_fewer_features_than_its_trees_read_is_refused() -> None:
    """The ensemble's own feature count, which bounds the data, must be that of its trees."""
    estimator, _ = fitted(ESTIMATORS["boosting"](), NUMBERS)
    estimator.n_features_in_ = 1
    with pytest.raises(ModelOpsError, match="crafted-tree"):
        check_trees(estimator)


def test_trees_on_a_part_of_the_features_are_accepted() -> None:
    """An ensemble that gives each tree some of its columns is not mistaken for a crafted one."""
    forest = IsolationForest(n_estimators=3, max_features=2, random_state=0).fit(to_frame(rows(NUMBERS)).to_numpy())
    check_trees(forest)
    forest.estimators_features_[0] = forest.estimators_features_[0][:1]
    with pytest.raises(ModelOpsError, match="crafted-tree"):
        check_trees(forest)


def test_padding_between_fields_does_not_reach_the_bytes() -> None:
    """Records with garbage between their fields are written with zeros there."""
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    clean = np.zeros(3, dtype)
    dirty = np.frombuffer(bytearray(b"\xff" * (3 * dtype.itemsize)), dtype=dtype).copy()
    for name in ("a", "b"):
        dirty[name] = clean[name]
    digests = {hashlib.sha256(canonical(skops.io.dumps(values))).hexdigest() for values in (clean, dirty)}
    assert len(digests) == 1
