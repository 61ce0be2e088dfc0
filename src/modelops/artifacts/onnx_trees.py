"""Decision trees as ai.onnx.ml TreeEnsemble (opset 5) in float64, equal to scikit-learn at every split threshold.

The converters of skl2onnx store thresholds as float32 and drop the learned direction of missing values in forests.
These keep both. scikit-learn's trees, forests and gradient boosting compare the float32 value of a feature with a
float64 threshold, histogram gradient boosting the float64 value; so do the graphs written here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Writer

__all__ = ["CONVERTERS", "conversion_functions"]

Array = np.ndarray[Any, Any]
_SUM = 1


@dataclass
class _Ensemble:
    """The attributes of TreeEnsemble, filled tree by tree; a leaf adds its weight to one target."""

    targets: int
    roots: list[int] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    missing_true: list[int] = field(default_factory=list)
    true_ids: list[int] = field(default_factory=list)
    true_leafs: list[int] = field(default_factory=list)
    false_ids: list[int] = field(default_factory=list)
    false_leafs: list[int] = field(default_factory=list)
    leaf_targets: list[int] = field(default_factory=list)
    leaf_weights: list[float] = field(default_factory=list)

    def add(self, tree: _Nodes, weights: Array, target: int) -> None:
        """Append one tree whose leaves add ``weights`` (one per node) to a target."""
        base, leaves = len(self.features), len(self.leaf_weights)
        self.roots.append(base)
        if tree.leaf[0]:
            # The operator has no tree of a single leaf: both branches of one split carry the same weight.
            zeros, ones = np.zeros(3, dtype=int), np.ones(3, dtype=int)
            tree = _Nodes(zeros, zeros.astype(float), ones, ones + 1, zeros, np.array([False, True, True]))
            weights = np.repeat(weights[0], 3)
        inner = ~tree.leaf
        place = np.where(inner, base + np.cumsum(inner) - 1, leaves + np.cumsum(tree.leaf) - 1)
        self.features += tree.feature[inner].tolist()
        self.splits += tree.split[inner].tolist()
        self.missing_true += tree.missing_left[inner].tolist()
        self.true_ids += place[tree.left[inner]].tolist()
        self.true_leafs += tree.leaf[tree.left[inner]].astype(int).tolist()
        self.false_ids += place[tree.right[inner]].tolist()
        self.false_leafs += tree.leaf[tree.right[inner]].astype(int).tolist()
        self.leaf_targets += [target] * int(tree.leaf.sum())
        self.leaf_weights += weights[tree.leaf].tolist()

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the operator."""
        from onnx import TensorProto, helper

        def doubles(name: str, values: list[float]) -> Any:
            return helper.make_tensor(name, TensorProto.DOUBLE, [len(values)], values)

        return {
            "n_targets": self.targets,
            "aggregate_function": _SUM,
            "post_transform": 0,
            "tree_roots": self.roots,
            "nodes_modes": helper.make_tensor(
                "nodes_modes", TensorProto.UINT8, [len(self.features)], [0] * len(self.features)
            ),
            "nodes_featureids": self.features,
            "nodes_splits": doubles("nodes_splits", self.splits),
            "nodes_missing_value_tracks_true": self.missing_true,
            "nodes_truenodeids": self.true_ids,
            "nodes_trueleafs": self.true_leafs,
            "nodes_falsenodeids": self.false_ids,
            "nodes_falseleafs": self.false_leafs,
            "leaf_targetids": self.leaf_targets,
            "leaf_weights": doubles("leaf_weights", self.leaf_weights),
        }


@dataclass(frozen=True, slots=True)
class _Nodes:
    """The nodes of one tree as arrays of equal length; ``left`` is taken when the feature is at most ``split``."""

    feature: Array
    split: Array
    left: Array
    right: Array
    missing_left: Array
    leaf: Array


@dataclass(frozen=True, slots=True)
class _Graph:
    """An estimator as an ensemble: ``finish(sum of trees + offset)`` are its outputs."""

    ensemble: _Ensemble
    offset: Array
    finish: str
    scale: float
    float32: bool


def _tree_nodes(tree: Any) -> _Nodes:
    nodes = tree.__getstate__()["nodes"]
    leaf = nodes["left_child"] == -1
    missing = nodes["missing_go_to_left"].astype(int)
    return _Nodes(nodes["feature"], nodes["threshold"], nodes["left_child"], nodes["right_child"], missing, leaf)


def _histogram_nodes(predictor: Any) -> _Nodes:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"] != 0
    if (nodes["is_categorical"][~leaf] != 0).any():
        raise NotImplementedError("categorical splits of histogram gradient boosting")
    left, right = nodes["left"].astype(np.int64), nodes["right"].astype(np.int64)
    missing = (nodes["missing_go_to_left"] != 0).astype(int)
    return _Nodes(nodes["feature_idx"].astype(np.int64), nodes["num_threshold"], left, right, missing, leaf)


def _averaged(estimator: Any) -> _Graph:
    """A tree or a forest: class shares or values, averaged over the trees."""
    members = getattr(estimator, "estimators_", [estimator])
    if getattr(estimator, "n_outputs_", 1) != 1:
        raise NotImplementedError("trees with several outputs")
    classes = getattr(estimator, "classes_", None)
    count = 1 if classes is None else len(classes)
    ensemble = _Ensemble(1 if count <= 2 else count)
    for member in members:
        tree = _tree_nodes(member.tree_)
        values = member.tree_.value[:, 0, :]
        for target in range(ensemble.targets):
            ensemble.add(tree, values[:, -1 if ensemble.targets == 1 else target], target)
    finish = "identity" if count == 1 else ("complement" if count == 2 else "shares")
    return _Graph(ensemble, np.zeros(ensemble.targets), finish, 1.0 / len(members), float32=True)


def _boosted(estimator: Any) -> _Graph:
    """Gradient boosting: the initial raw prediction plus the learning rate times each tree."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    if not (isinstance(estimator.init_, (DummyClassifier, DummyRegressor)) or estimator.init_ == "zero"):
        raise NotImplementedError("gradient boosting that starts from another estimator")
    stages = estimator.estimators_
    ensemble = _Ensemble(stages.shape[1])
    for stage in stages:
        for target, member in enumerate(stage):
            weights = member.tree_.value[:, 0, 0] * estimator.learning_rate
            ensemble.add(_tree_nodes(member.tree_), weights, target)
    zeros = np.zeros((1, estimator.n_features_in_), dtype=np.float32)
    offset = np.asarray(estimator._raw_predict_init(zeros), dtype=np.float64).reshape(-1)
    finish = "identity"
    if hasattr(estimator, "classes_"):
        finish = "softmax" if ensemble.targets > 1 else "logistic"
    return _Graph(ensemble, offset, finish, 2.0 if estimator.loss == "exponential" else 1.0, float32=True)


def _histogram_boosted(estimator: Any) -> _Graph:
    """Histogram gradient boosting: the baseline plus all trees, in float64 throughout."""
    if estimator._preprocessor is not None:
        raise NotImplementedError("categorical features of histogram gradient boosting")
    stages = estimator._predictors
    ensemble = _Ensemble(len(stages[0]))
    for stage in stages:
        for target, predictor in enumerate(stage):
            ensemble.add(_histogram_nodes(predictor), predictor.nodes["value"], target)
    offset = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)
    if hasattr(estimator, "classes_"):
        finish = "softmax" if ensemble.targets > 1 else "logistic"
    else:
        finish = "exp" if estimator.loss in ("poisson", "gamma") else "identity"
    return _Graph(ensemble, offset, finish, 1.0, float32=False)


CONVERTERS: dict[str, Callable[[Any], _Graph]] = {
    "DecisionTreeClassifier": _averaged,
    "DecisionTreeRegressor": _averaged,
    "ExtraTreeClassifier": _averaged,
    "ExtraTreeRegressor": _averaged,
    "ExtraTreesClassifier": _averaged,
    "ExtraTreesRegressor": _averaged,
    "RandomForestClassifier": _averaged,
    "RandomForestRegressor": _averaged,
    "GradientBoostingClassifier": _boosted,
    "GradientBoostingRegressor": _boosted,
    "HistGradientBoostingClassifier": _histogram_boosted,
    "HistGradientBoostingRegressor": _histogram_boosted,
}


def conversion_functions() -> dict[type, Callable[[Any, Any, Any], None]]:
    """Return the converters in the form that ``skl2onnx.convert_sklearn`` takes for one conversion."""
    import sklearn.ensemble
    import sklearn.tree

    return {
        getattr(sklearn.ensemble, name, None) or getattr(sklearn.tree, name): _convert(build)
        for name, build in CONVERTERS.items()
    }


def _convert(build: Callable[[Any], _Graph]) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        estimator = operator.raw_operator
        boosted = build is not _averaged and hasattr(estimator, "classes_")
        if boosted and container.get_options(estimator, {"raw_scores": False}).get("raw_scores"):
            raise NotImplementedError("raw scores of trees, as a calibration of them needs")
        _Output(scope, container).write(operator, build(estimator))

    return convert


@dataclass
class _Output(Writer):
    """Writes one estimator's ensemble and what turns its sums into outputs."""

    def write(self, operator: Any, graph: _Graph) -> None:
        """Write the nodes of one estimator and connect them to the operator's outputs."""
        from onnx import TensorProto
        from skl2onnx.common.data_types import DoubleTensorType

        value = operator.inputs[0].full_name
        if graph.float32:
            value = self.node("Cast", [value], to=TensorProto.FLOAT)
        value = self.node("Cast", [value], to=TensorProto.DOUBLE)
        value = self.node("TreeEnsemble", [value], **graph.ensemble.attributes())
        if graph.offset.any():
            value = self.node("Add", [value, self.constant(graph.offset.reshape(1, -1), "DOUBLE")])
        if graph.scale != 1.0:
            value = self.node("Mul", [value, self.constant(np.array([graph.scale]), "DOUBLE")])
        result = self.finish(value, graph.finish)
        output = operator.outputs[-1]
        to = TensorProto.DOUBLE if isinstance(output.type, DoubleTensorType) else TensorProto.FLOAT
        self.node("Cast", [result], output.full_name, to=to)
        if len(operator.outputs) > 1:
            self.label(result, operator.outputs[0].full_name, operator.raw_operator.classes_)

    def finish(self, value: str, how: str) -> str:
        match how:
            case "logistic":
                return self.pair(self.node("Sigmoid", [value]))
            case "complement":
                return self.pair(value)
            case "softmax":
                return self.node("Softmax", [value], axis=1)
            case "exp":
                return self.node("Exp", [value])
        return value

    def pair(self, positive: str) -> str:
        one = self.constant(np.array([1.0]), "DOUBLE")
        return self.node("Concat", [self.node("Sub", [one, positive]), positive], axis=1)

    def label(self, probabilities: str, output: str, classes: Array) -> None:
        index = self.node("ArgMax", [probabilities], axis=1, keepdims=0)
        values = np.array([item.encode() if isinstance(item, str) else int(item) for item in classes.tolist()])
        kind = "STRING" if classes.dtype.kind in "OU" else "INT64"
        self.node("Gather", [self.constant(values, kind), index], output, axis=0)
