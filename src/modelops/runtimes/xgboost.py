"""The runtime `xgboost`: boosters in XGBoost's own JSON, and their exact form in ONNX.

What it takes: `XGBClassifier`, `XGBRegressor`, their random forests and a `Booster` of `xgboost.train`, alone or inside
of scikit-learn's estimators. Of a training that stopped early the best iteration is kept. Custom objectives have no
probabilities that anybody could name, and are refused.

XGBoost compares and adds in float32; so does the exact form, tree by tree in the same order.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Answer, Graph, Table, not_exportable
from modelops.artifacts.onnx_trees import Ensemble, Nodes
from modelops.artifacts.parts.part import ClassifierPart, Part
from modelops.artifacts.signature import Held
from modelops.errors import failure
from modelops.runtimes import Asked, Kept
from modelops.runtimes._checks import (
    Array,
    bad,
    by_column,
    check_branches,
    check_columns,
    document,
    is_of,
    library,
    loading,
)
from modelops.spec.meta import Strict

FILE = "model.json"

_BINARY = ("binary:logistic", "reg:logistic")
_CLASSES = ("multi:softprob", "multi:softmax")
_POSITIVE = ("count:poisson", "reg:gamma", "reg:tweedie")
_PLAIN = (
    "reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror",
)  # fmt: skip
_NO_PARENT = (-1, (1 << 31) - 1)
"""What the first node of a tree names as its parent."""
_MOST_CATEGORIES = 1 << 24
"""XGBoost holds a category as a float32, exactly up to here."""
DECLARED = False


class Params(Strict):
    """Nothing is to be said: what is kept follows from the model."""


def owns(found: Any) -> bool:
    """Tell whether an object is a model of XGBoost."""
    return is_of(found, "xgboost") and hasattr(found, "predict")


def keep(params: Params, found: Any, asked: Asked) -> Kept | None:
    """Return the booster as JSON."""
    booster = _fitted(found)
    if booster is None:
        return None
    best = booster.attr("best_iteration")
    booster = booster[: int(best) + 1] if best is not None else booster.copy()
    booster.set_attr(best_iteration=None, best_score=None, scikit_learn=None)
    objective = _objective(document(bytes(booster.save_raw("json")), FILE))
    kind = "classifier" if objective in (*_BINARY[:1], *_CLASSES) else "regressor"
    wanted = getattr(found, "_estimator_type", None) or ("regressor" if asked.task == "regression" else "classifier")
    if wanted == "classifier" and kind != wanted:
        raise failure(
            "unsupported-type",
            f"the objective {objective} of XGBoost answers no probabilities",
            hint="use binary:logistic or multi:softprob",
        )
    if objective == "multi:softmax":
        booster.set_param({"objective": "multi:softprob"})
    said = getattr(found, "missing", None)
    missing = math.nan if said is None else float(said)
    data = bytes(booster.save_raw("json"))
    facts = {"kind": wanted, "missing": None if math.isnan(missing) else missing}
    return Kept({FILE: data}, facts)


def _fitted(found: Any) -> Any:
    """Return the booster of a model, None where it is not fitted."""
    if type(found).__name__ == "Booster":
        return found
    return found.get_booster() if found.__sklearn_is_fitted__() else None


def load(held: Held, files: Mapping[str, bytes]) -> Part:
    """Check the trees of a booster before XGBoost reads them, and load it."""
    xgboost = library("xgboost")
    with loading("a booster of XGBoost"):
        model = document(files[FILE], FILE)
        width, count = _checked(model)
        booster = xgboost.Booster({"nthread": 1, "verbosity": 0})
        booster.load_model(bytearray(files[FILE]))
        booster.set_param({"nthread": 1})
        missing = math.nan if held.facts["missing"] is None else float(held.facts["missing"])
        linear = model["learner"]["gradient_booster"]["name"] == "gblinear"
        categories = "c" in (booster.feature_types or ())
        kind = held.facts["kind"]

    def scores(rows: Any) -> Array:
        data = by_column(rows, categories=categories)
        if linear:
            return np.asarray(booster.predict(xgboost.DMatrix(data, missing=missing, nthread=1)))
        return np.asarray(booster.inplace_predict(data, missing=missing, validate_features=False))

    def write(graph: Graph, table: Table) -> Answer:
        return _written(graph, table, model, missing)

    more: dict[str, Any] = {"width": width, "write": write, "thresholds": lambda: _thresholds(model)}
    if kind == "regressor":
        return Part(held, files, scores, **more)
    return ClassifierPart(held, files, scores, classes=list(range(max(2, count))), **more)


def _objective(model: Mapping[str, Any]) -> str:
    return str(model["learner"]["objective"]["name"])


def _trees(model: Mapping[str, Any]) -> tuple[list[Any], list[int], list[float]]:
    """Return the trees of a booster, the class that each adds to, and its weight."""
    booster = model["learner"]["gradient_booster"]
    if booster["name"] == "gblinear":
        return [], [], []
    inner = booster["gbtree"] if booster["name"] == "dart" else booster
    trees = inner["model"]["trees"]
    weights = booster["weight_drop"] if booster["name"] == "dart" else [1.0] * len(trees)
    return trees, inner["model"]["tree_info"], weights


def _checked(model: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many columns and classes a booster has; trees that lead out of themselves are refused."""
    sizes = model["learner"]["learner_model_param"]
    width, count = int(sizes["num_feature"]), int(sizes["num_class"])
    booster = model["learner"]["gradient_booster"]
    if booster["name"] == "gblinear" and len(booster["model"]["weights"]) != (width + 1) * max(1, count):
        raise bad("its weights are not those of its columns")
    trees, groups, weights = _trees(model)
    if len(groups) != len(trees) or len(weights) != len(trees):
        raise bad("its trees contradict their number")
    _check_outputs(model, trees, groups)
    for tree in trees:
        left, right = (np.asarray(tree[name], dtype=np.int64) for name in ("left_children", "right_children"))
        columns = np.asarray(tree["split_indices"], dtype=np.int64)
        names = ("left_children", "right_children", "split_indices", "split_conditions", "default_left")
        if len({len(tree[name]) for name in names}) != 1 or len(left) != int(tree["tree_param"]["num_nodes"]):
            raise bad("a tree contradicts its size")
        inner = left != -1
        check_branches(left, right, inner, len(left))
        check_columns(columns[inner], width)
        _check_parents(tree, left, right)
        _check_lists(tree, inner)
        _check_categories(tree, inner)
    return width, count


def _check_outputs(model: Mapping[str, Any], trees: list[Any], groups: list[int]) -> None:
    """Refuse a number of classes or targets that its trees, or else its base scores, do not answer."""
    sizes = model["learner"]["learner_model_param"]
    count, targets = int(sizes["num_class"]), int(sizes.get("num_target", 1))
    outputs = max(1, count, targets)
    said = json.loads(sizes["base_score"]) if isinstance(sizes["base_score"], str) else sizes["base_score"]
    bases = len(said) if isinstance(said, list) else 1
    vectors = {int(tree["tree_param"].get("size_leaf_vector", 1)) for tree in trees}
    if count < 0 or targets < 0 or bases not in (1, outputs) or not vectors <= {0, 1, outputs}:
        raise bad("its trees contradict the number of its classes")
    if any(not 0 <= group < outputs for group in groups):
        raise bad("a tree adds to a class that does not exist")
    if trees and outputs > 1 and max(vectors) <= 1 and len(set(groups)) != outputs:
        raise bad("a class has no tree")
    if not trees and outputs > 1 and bases == 1 and model["learner"]["gradient_booster"]["name"] != "gblinear":
        raise bad("a class has no tree")


def _check_parents(tree: Mapping[str, Any], left: Array, right: Array) -> None:
    """Refuse nodes that name another parent than the one whose child they are."""
    parents = np.asarray(tree["parents"], dtype=np.int64)
    if len(parents) != len(left) or parents[0] not in _NO_PARENT:
        raise bad("a tree contradicts its size")
    if ((parents[1:] < 0) | (parents[1:] >= len(left))).any():
        raise bad("a node of a tree names a parent outside of it")
    inner = np.flatnonzero(left != -1)
    if (parents[left[inner]] != inner).any() or (parents[right[inner]] != inner).any():
        raise bad("a node of a tree names another parent than its own")


def _check_lists(tree: Mapping[str, Any], inner: Array) -> None:
    """Refuse lists by node or by leaf that are not of its size."""
    count, vector = len(inner), max(1, int(tree["tree_param"].get("size_leaf_vector", 1)))
    lengths = {"base_weights": count * vector, "sum_hessian": count, "loss_changes": count, "split_type": count}
    if any(len(tree[name]) != length for name, length in lengths.items() if name in tree):
        raise bad("a tree contradicts its size")
    if vector > 1:
        weights = len(tree["leaf_weights"])
        places = np.asarray(tree["right_children"], dtype=np.int64)[~inner]
        if weights % vector or ((places < 0) | (places >= weights // vector)).any():
            raise bad("a leaf of a tree names values that are not there")


def _check_categories(tree: Mapping[str, Any], inner: Array) -> None:
    """Refuse a split on categories whose list of them is not there."""
    kinds = np.asarray(tree.get("split_type", [0] * len(inner)), dtype=np.int64)
    names = ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    nodes, starts, sizes, listed = (np.asarray(tree.get(name, ()), dtype=np.int64) for name in names)
    if not np.isin(kinds, (0, 1)).all() or not len(nodes) == len(starts) == len(sizes):
        raise bad("a tree splits on categories that it does not list")
    expected = np.flatnonzero((kinds == 1) & inner)
    outside = (starts < 0) | (sizes < 0) | (starts > len(listed)) | (sizes > len(listed) - starts)
    if not np.array_equal(nodes, expected) or outside.any():
        raise bad("a tree splits on categories that it does not list")
    if ((listed < 0) | (listed >= _MOST_CATEGORIES)).any():
        raise bad("a tree lists a category that does not exist")


def _thresholds(model: Mapping[str, Any]) -> dict[int, Array]:
    trees, _, _ = _trees(model)
    inner = [np.asarray(tree["left_children"]) != -1 for tree in trees]
    if not trees:
        return {}
    columns = np.concatenate([np.asarray(tree["split_indices"])[at] for tree, at in zip(trees, inner, strict=True)])
    splits = np.concatenate(
        [np.asarray(tree["split_conditions"], dtype=np.float32)[at] for tree, at in zip(trees, inner, strict=True)]
    )
    return {int(column): splits[columns == column].astype(np.float64) for column in np.unique(columns)}


def _nodes(tree: Mapping[str, Any]) -> Nodes:
    """Return a tree as the operator has it: what is less than c is at most the float32 value below c."""
    left, right = (np.asarray(tree[name], dtype=np.int64) for name in ("left_children", "right_children"))
    split = np.nextafter(np.asarray(tree["split_conditions"], dtype=np.float32), np.float32(-np.inf))
    missing = np.asarray(tree["default_left"], dtype=np.int64)
    columns = np.asarray(tree["split_indices"], dtype=np.int64)
    return Nodes(columns, split.astype(np.float64), left, right, missing, left == -1)


def _written(graph: Graph, table: Table, model: Mapping[str, Any], missing: float) -> Answer:
    trees, groups, weights = _trees(model)
    booster, objective = model["learner"]["gradient_booster"]["name"], _objective(model)
    if not trees:
        raise not_exportable(f"a booster of the kind {booster} has no exact form in ONNX")
    for tree in trees:
        if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1 or any(tree["split_type"]):
            raise not_exportable(
                "trees of XGBoost that split on categories or answer vectors have no exact form in ONNX"
            )
    value = graph.matrix(table)
    gaps = [gap for gap in (missing, 0.0 if table.sparse else math.nan) if not math.isnan(gap)]
    for gap in gaps:
        value = graph.node("Where", graph.node("Equal", value, graph.numbers([gap])), graph.numbers([math.nan]), value)
    sizes = model["learner"]["learner_model_param"]
    ensemble = Ensemble(max(1, int(sizes["num_class"])), single=True)
    ensemble.start(_start(sizes["base_score"], objective, ensemble.targets))
    for tree, group, weight in zip(trees, groups, weights, strict=True):
        leaves = np.asarray(tree["split_conditions"], dtype=np.float32) * np.float32(weight)
        ensemble.add(_nodes(tree), leaves.astype(np.float64), int(group))
    found = ensemble.write(graph, value)
    if objective in _CLASSES:
        return Answer(graph.node("Softmax", found, axis=1))
    if objective in _BINARY:
        shares = graph.node("Sigmoid", found)
        return Answer(shares) if objective == _BINARY[0] else Answer(value=shares)
    return Answer(value=graph.node("Exp", found) if objective in _POSITIVE else found)


def _start(text: Any, objective: str, targets: int) -> Array:
    """Return what the sums begin with, in float32: the base score before the objective's own function."""
    said = json.loads(text) if isinstance(text, str) else text
    base = np.asarray(said if isinstance(said, list) else [said], dtype=np.float32)
    if objective in _BINARY:
        base = -np.log(np.float32(1) / base - np.float32(1))
    elif objective in _POSITIVE:
        base = np.log(base)
    elif objective not in (*_PLAIN, *_CLASSES):
        raise not_exportable(f"the objective {objective} of XGBoost has no exact form in ONNX")
    return np.broadcast_to(base, (targets,)).astype(np.float64)
