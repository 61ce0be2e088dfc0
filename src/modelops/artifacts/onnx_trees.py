"""Decision trees as ai.onnx.ml TreeEnsemble (opset 5) in float64, equal to scikit-learn at every split threshold.

Trees, forests and gradient boosting compare the float32 value of a feature with a float64 threshold; the thresholds
written here are those at which the float64 value gives the same answer. Histogram gradient boosting compares the
float64 value. The sums are formed in scikit-learn's order, so that even ties between classes come out alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Answer, Array, Graph, Table, not_exportable
from modelops.artifacts.onnx_prepare import transform

__all__ = ["TREES", "Ensemble", "Nodes", "boosted", "float64_thresholds"]

MAXIMUM_NODES = 4_000_000
"""Most split nodes that are written: the model would take about 30 bytes for each."""

_SUM, _AT_MOST, _MEMBER = 1, 0, 6


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of one tree as arrays of equal length; ``left`` is taken when the feature is at most ``split``.

    A node with ``members`` takes ``left`` when the feature is one of them.
    """

    feature: Array
    split: Array
    left: Array
    right: Array
    missing_left: Array
    leaf: Array
    members: dict[int, Array] = field(default_factory=dict)


def float64_thresholds(thresholds: Array) -> Array:
    """Return t' such that x <= t' for a float64 x exactly when float32(x) <= t, rounding to nearest even."""
    with np.errstate(over="ignore"):
        below = thresholds.astype(np.float32)
    below = np.where(below.astype(np.float64) > thresholds, np.nextafter(below, np.float32(-np.inf)), below)
    above = np.nextafter(below, np.float32(np.inf)).astype(np.float64)
    largest = np.float64(np.finfo(np.float32).max)
    low = below.astype(np.float64)
    # The value after float32's largest is infinite; values round to it from half a step above the largest on.
    above = np.where(np.isinf(above), largest + 2.0**104, above)
    middle = low + (above - low) / 2
    even = below.view(np.uint32) % 2 == 0
    return np.where(np.isfinite(low), np.where(even, middle, np.nextafter(middle, -np.inf)), thresholds)


@dataclass
class Ensemble:
    """The attributes of TreeEnsemble, filled tree by tree; a leaf adds its weight to one target.

    A ``single`` one compares and adds in float32, as its library does; its thresholds and weights are float32 values.
    """

    targets: int
    single: bool = False
    roots: list[int] = field(default_factory=list)
    trees: list[dict[str, Array]] = field(default_factory=list)
    members: list[float] = field(default_factory=list)
    count: int = 0
    leaves: int = 0

    def add(self, tree: Nodes, weights: Array, target: int) -> None:
        """Append one tree whose leaves add ``weights`` (one per node) to a target."""
        self.roots.append(self.count)
        if tree.leaf[0]:
            # The operator has no tree of a single leaf: both branches of one split carry the same weight.
            zeros, ones = np.zeros(3, dtype=int), np.ones(3, dtype=int)
            tree = Nodes(zeros, zeros.astype(float), ones, ones + 1, zeros, np.array([False, True, True]))
            weights = np.repeat(weights[0], 3)
        inner = ~tree.leaf
        place = np.where(inner, self.count + np.cumsum(inner) - 1, self.leaves + np.cumsum(tree.leaf) - 1)
        modes = np.full(len(inner), _AT_MOST)
        for node, values in sorted(tree.members.items()):
            modes[node] = _MEMBER
            self.members += [*values.tolist(), float("nan")]
        self.trees.append(
            {
                "modes": modes[inner],
                "features": tree.feature[inner],
                "splits": tree.split[inner],
                "missing": tree.missing_left[inner],
                "true": place[tree.left[inner]],
                "true_leaf": tree.leaf[tree.left[inner]],
                "false": place[tree.right[inner]],
                "false_leaf": tree.leaf[tree.right[inner]],
                "targets": np.full(int(tree.leaf.sum()), target),
                "weights": weights[tree.leaf],
            }
        )
        self.count += int(inner.sum())
        self.leaves += int(tree.leaf.sum())
        if self.count > MAXIMUM_NODES:
            raise not_exportable(f"trees of more than {MAXIMUM_NODES:,} nodes are not exported")

    def start(self, offset: Array) -> None:
        """Append one tree per target that is the same everywhere, so that sums begin where scikit-learn's do."""
        for target, value in enumerate(offset):
            if value != 0:
                nothing = np.zeros(1, dtype=int)
                leaf = Nodes(nothing, nothing.astype(float), nothing, nothing, nothing, np.array([True]))
                self.add(leaf, np.array([value]), target)

    def write(self, graph: Graph, value: str) -> str:
        """Write the operator and return the tensor of sums, shape (n, targets)."""
        from onnx import TensorProto, helper

        merged = {name: np.concatenate([tree[name] for tree in self.trees]) for name in self.trees[0]}

        numbers = TensorProto.FLOAT if self.single else TensorProto.DOUBLE

        def tensor(name: str, values: Any, kind: int = numbers) -> Any:
            return helper.make_tensor(name, kind, [len(values)], values)

        def whole(name: str) -> list[int]:
            values: list[int] = merged[name].astype(int).tolist()
            return values

        more = {"membership_values": tensor("membership_values", self.members)} if self.members else {}
        found = graph.node(
            "TreeEnsemble",
            graph.cast(value, "FLOAT") if self.single else value,
            n_targets=self.targets,
            aggregate_function=_SUM,
            post_transform=0,
            tree_roots=self.roots,
            nodes_modes=tensor("nodes_modes", whole("modes"), TensorProto.UINT8),
            nodes_featureids=whole("features"),
            nodes_splits=tensor("nodes_splits", merged["splits"]),
            nodes_missing_value_tracks_true=whole("missing"),
            nodes_truenodeids=whole("true"),
            nodes_trueleafs=whole("true_leaf"),
            nodes_falsenodeids=whole("false"),
            nodes_falseleafs=whole("false_leaf"),
            leaf_targetids=whole("targets"),
            leaf_weights=tensor("leaf_weights", merged["weights"]),
            **more,
        )
        return graph.cast(found) if self.single else found


def _tree_nodes(tree: Any) -> Nodes:
    nodes = tree.__getstate__()["nodes"]
    leaf = nodes["left_child"] == -1
    missing = nodes["missing_go_to_left"].astype(int)
    splits = float64_thresholds(nodes["threshold"])
    return Nodes(nodes["feature"], splits, nodes["left_child"], nodes["right_child"], missing, leaf)


def _histogram_nodes(predictor: Any) -> Nodes:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"] != 0
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    missing = (nodes["missing_go_to_left"] != 0).astype(int)
    categorical = np.flatnonzero(~leaf & (nodes["is_categorical"] != 0))
    members = {int(node): _bits(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]) for node in categorical}
    split = nodes["num_threshold"].copy()
    split[categorical] = 0.0
    return Nodes(nodes["feature_idx"].astype(np.int64), split, left, right, missing, leaf, members)


def _bits(words: Array) -> Array:
    return np.flatnonzero(np.unpackbits(np.asarray(words, dtype="<u4").view(np.uint8), bitorder="little")).astype(float)


def _averaged(graph: Graph, estimator: Any, table: Table) -> Answer:
    """A tree or a forest: class shares or values, averaged over the trees."""
    members = getattr(estimator, "estimators_", [estimator])
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise not_exportable("trees with several outputs have no exact form in ONNX")
    classes = getattr(estimator, "classes_", None)
    count = 1 if classes is None else len(classes)
    ensemble = Ensemble(1 if count <= 2 else count)
    for member in members:
        tree = _tree_nodes(member.tree_)
        values = member.tree_.value[:, 0, :]
        for target in range(ensemble.targets):
            ensemble.add(tree, values[:, -1 if ensemble.targets == 1 else target], target)
    value = ensemble.write(graph, graph.matrix(table))
    if len(members) > 1:
        value = graph.node("Div", value, graph.numbers([len(members)]))
    return Answer(value=value) if classes is None else Answer(probability=value)


def boosted(graph: Graph, estimator: Any, table: Table, start: str = "") -> Answer:
    """Gradient boosting: ``start``, or else a constant, plus the learning rate times each tree."""
    stages = estimator.estimators_
    ensemble = Ensemble(stages.shape[1])
    if not start:
        zeros = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
        ensemble.start(np.asarray(estimator._raw_predict_init(zeros), dtype=np.float64).reshape(-1))
    for stage in stages:
        for target, member in enumerate(stage):
            weights = member.tree_.value[:, 0, 0] * estimator.learning_rate
            ensemble.add(_tree_nodes(member.tree_), weights, target)
    value = ensemble.write(graph, graph.matrix(table))
    value = graph.node("Add", value, start) if start else value
    if not hasattr(estimator, "classes_"):
        return Answer(value=value)
    scaled = graph.node("Mul", value, graph.numbers([2.0])) if estimator.loss == "exponential" else value
    return Answer(_link(graph, scaled, ensemble.targets), value)


def _histogram_boosted(graph: Graph, estimator: Any, table: Table) -> Answer:
    """Histogram gradient boosting: the baseline plus all trees, in float64 throughout."""
    if estimator._preprocessor is not None:
        table = transform(graph, estimator._preprocessor, table)
    stages = estimator._predictors
    ensemble = Ensemble(len(stages[0]))
    ensemble.start(np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1))
    for stage in stages:
        for target, predictor in enumerate(stage):
            ensemble.add(_histogram_nodes(predictor), predictor.nodes["value"], target)
    value = ensemble.write(graph, graph.matrix(table))
    if hasattr(estimator, "classes_"):
        return Answer(_link(graph, value, ensemble.targets), value)
    return Answer(value=graph.node("Exp", value) if estimator.loss in ("poisson", "gamma") else value)


def _link(graph: Graph, value: str, targets: int) -> str:
    return graph.node("Softmax", value, axis=1) if targets > 1 else graph.node("Sigmoid", value)


TREES: dict[str, Callable[[Graph, Any, Table], Answer]] = {
    "DecisionTreeClassifier": _averaged,
    "DecisionTreeRegressor": _averaged,
    "ExtraTreeClassifier": _averaged,
    "ExtraTreeRegressor": _averaged,
    "ExtraTreesClassifier": _averaged,
    "ExtraTreesRegressor": _averaged,
    "RandomForestClassifier": _averaged,
    "RandomForestRegressor": _averaged,
    "HistGradientBoostingClassifier": _histogram_boosted,
    "HistGradientBoostingRegressor": _histogram_boosted,
}
