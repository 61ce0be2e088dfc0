"""Estimators in ONNX: linear models, networks, and those that put other estimators together; trees come from beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Answer, Graph, Table, not_exportable
from modelops.artifacts.onnx_prepare import inverse, transform
from modelops.artifacts.onnx_trees import TREES, boosted
from modelops.artifacts.parts.part import Part

__all__ = ["answer"]


def answer(graph: Graph, estimator: Any, table: Table) -> Answer:
    """Write a fitted estimator and return the names of what it answers."""
    name = type(estimator).__name__
    if isinstance(estimator, Part):
        return estimator.write(graph, table)
    width = getattr(estimator, "n_features_in_", len(table.columns))
    if name not in MODELS or not type(estimator).__module__.startswith("sklearn."):
        raise not_exportable(f"{name} has no exact form in ONNX")
    if width != len(table.columns):
        raise not_exportable(f"{name} was fitted on {width} columns and is given {len(table.columns)}")
    return MODELS[name](graph, estimator, table)


def _pipeline(graph: Graph, pipeline: Any, table: Table) -> Answer:
    for _, step in pipeline.steps[:-1]:
        table = transform(graph, step, table)
        # The steps that can answer a sparse matrix say so; any other is given what the one before it answered.
        sparse = getattr(step, "sparse_output_", getattr(step, "sparse_output", table.sparse))
        table = replace(table, sparse=bool(sparse))
    return answer(graph, pipeline.steps[-1][1], table)


def _frozen(graph: Graph, estimator: Any, table: Table) -> Answer:
    return answer(graph, estimator.estimator, table)


def _thresholded(graph: Graph, estimator: Any, table: Table) -> Answer:
    """A threshold is no part of the probabilities: it goes into the signature."""
    return answer(graph, estimator.estimator_, table)


def _searched(graph: Graph, estimator: Any, table: Table) -> Answer:
    return answer(graph, estimator.best_estimator_, table)


def _linear(graph: Graph, estimator: Any, table: Table) -> str:
    """Return x W + b, shape (n, k)."""
    weights = np.asarray(estimator.coef_)
    if weights.dtype != np.float64:
        raise not_exportable("coefficients of another type than float64 have no exact form in ONNX")
    weights = weights.reshape(-1, weights.shape[-1])
    offset = np.broadcast_to(np.asarray(estimator.intercept_, dtype=np.float64).reshape(1, -1), (1, len(weights)))
    product = graph.node("MatMul", graph.matrix(table), graph.numbers(weights.T))
    return graph.node("Add", product, graph.numbers(offset)) if offset.any() else product


def _linear_value(graph: Graph, estimator: Any, table: Table) -> Answer:
    return Answer(value=_linear(graph, estimator, table))


def _log_linear(graph: Graph, estimator: Any, table: Table) -> Answer:
    value = _linear(graph, estimator, table)
    link = type(estimator._base_loss.link).__name__
    if link not in ("LogLink", "IdentityLink"):
        raise not_exportable(f"the link {link} has no exact form in ONNX")
    return Answer(value=graph.node("Exp", value) if link == "LogLink" else value)


def _linear_decision(graph: Graph, estimator: Any, table: Table) -> Answer:
    return Answer(decision=_linear(graph, estimator, table))


def _logistic(graph: Graph, estimator: Any, table: Table) -> Answer:
    value = _linear(graph, estimator, table)
    if len(estimator.classes_) > 2:
        return Answer(graph.node("Softmax", value, axis=1), value)
    return Answer(graph.node("Sigmoid", value), value)


def _descended(graph: Graph, estimator: Any, table: Table) -> Answer:
    """SGDClassifier: every class against the rest."""
    value = _linear(graph, estimator, table)
    match estimator.loss:
        case "log_loss":
            if len(estimator.classes_) <= 2:
                return Answer(graph.node("Sigmoid", value), value)
            shares = _small_sigmoid(graph, value)
        case "modified_huber":
            low, high, two = graph.numbers([-1.0]), graph.numbers([1.0]), graph.numbers([2.0])
            clipped = graph.node("Min", graph.node("Max", value, low), high)
            shares = graph.node("Div", graph.node("Add", clipped, high), two)
        case _:
            return Answer(decision=value)
    return Answer(shares if len(estimator.classes_) <= 2 else _normalized(graph, shares), value)


def _small_sigmoid(graph: Graph, value: str) -> str:
    """1 / (1 + exp(-x)) with all its digits where it is small, which the operator rounds to zero below 1e-16."""
    one = graph.numbers([1.0])
    return graph.node("Div", one, graph.node("Add", one, graph.node("Exp", graph.node("Neg", value))))


def _normalized(graph: Graph, shares: str) -> str:
    """Divide by the sum of a row; where that is zero all classes are alike."""
    total = graph.node("ReduceSum", shares, graph.constant(np.array([1])), keepdims=1)
    none = graph.node("Equal", total, graph.numbers([0.0]))
    safe = graph.node("Where", none, graph.numbers([1.0]), shares)
    return graph.node("Div", safe, graph.node("ReduceSum", safe, graph.constant(np.array([1])), keepdims=1))


def _gaussian(graph: Graph, estimator: Any, table: Table) -> Answer:
    """GaussianNB: the logarithm of each class's density at the row, up to what all classes share."""
    value = graph.node("Unsqueeze", graph.matrix(table), graph.constant(np.array([1])))
    away = graph.node("Sub", value, graph.numbers(estimator.theta_[None]))
    squares = graph.node("Div", graph.node("Mul", away, away), graph.numbers(estimator.var_[None]))
    sums = graph.node("ReduceSum", squares, graph.constant(np.array([2])), keepdims=0)
    constant = np.log(estimator.class_prior_) - 0.5 * np.sum(np.log(2.0 * np.pi * estimator.var_), axis=1)
    logs = graph.node("Sub", graph.row(constant), graph.node("Mul", sums, graph.numbers([0.5])))
    shares = graph.node("Softmax", logs, axis=1)
    return Answer(graph.pick(shares, [1]) if len(estimator.classes_) == 2 else shares)


_ACTIVATIONS = {
    "relu": "Relu",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "identity": "Identity",
    "softmax": "Softmax",
    "exp": "Exp",
}


def _network(graph: Graph, estimator: Any, table: Table) -> Answer:
    value = graph.matrix(table)
    for layer, (weights, offset) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        value = graph.node("Add", graph.node("MatMul", value, graph.numbers(weights)), graph.row(offset))
        last = layer == len(estimator.coefs_) - 1
        kind = _ACTIVATIONS[estimator.out_activation_ if last else estimator.activation]
        value = graph.node(kind, value, axis=1) if kind == "Softmax" else graph.node(kind, value)
    return Answer(probability=value) if hasattr(estimator, "classes_") else Answer(value=value)


def _mean(graph: Graph, parts: Sequence[str], weights: Any = None) -> str:
    """Return the weighted mean of tensors, summed in their order."""
    shares = np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
    scaled = [
        part if share == 1 else graph.node("Mul", part, graph.numbers([share]))
        for part, share in zip(parts, shares, strict=True)
    ]
    total = scaled[0]
    for part in scaled[1:]:
        total = graph.node("Add", total, part)
    return total if shares.sum() == 1 else graph.node("Div", total, graph.numbers([shares.sum()]))


def _one(found: Answer, estimator: Any) -> str:
    """Return the probabilities or values of an estimator that must have them."""
    tensor = found.probability or found.value
    if not tensor:
        raise not_exportable(f"{type(estimator).__name__} answers neither probabilities nor values")
    return tensor


def _voting(graph: Graph, estimator: Any, table: Table) -> Answer:
    parts = [_one(answer(graph, member, table), member) for member in estimator.estimators_]
    value = _mean(graph, parts, estimator._weights_not_none)
    return Answer(probability=value) if hasattr(estimator, "classes_") else Answer(value=value)


def _bagging(graph: Graph, estimator: Any, table: Table) -> Answer:
    if any(len(getattr(member, "classes_", ())) != len(getattr(estimator, "classes_", ())) for member in estimator):
        raise not_exportable("bagging whose members know different classes has no exact form in ONNX")
    members = zip(estimator.estimators_, estimator.estimators_features_, strict=True)
    parts = [_one(answer(graph, member, table.take(columns)), member) for member, columns in members]
    value = _mean(graph, parts)
    return Answer(probability=value) if hasattr(estimator, "classes_") else Answer(value=value)


def _stacked(graph: Graph, estimator: Any, table: Table) -> Answer:
    """The members' answers become the columns of the final estimator."""
    columns = Table(())
    count = len(getattr(estimator, "classes_", ())) if hasattr(estimator, "classes_") else 1
    methods = {"predict_proba": "probability", "decision_function": "decision", "predict": "value"}
    for member, method in zip(estimator.estimators_, estimator.stack_method_, strict=True):
        found = answer(graph, member, table)
        tensor = getattr(found, methods[method])
        if not tensor:
            raise not_exportable(f"{type(member).__name__}.{method} has no exact form in ONNX")
        columns += graph.table(tensor, count if count > 2 else 1)
    if estimator.passthrough:
        columns += table
    return answer(graph, estimator.final_estimator_, columns)


def _calibrated(graph: Graph, estimator: Any, table: Table) -> Answer:
    count = len(estimator.classes_)
    parts = [_calibrated_one(graph, member, table, count) for member in estimator.calibrated_classifiers_]
    return Answer(probability=graph.node("Min", _mean(graph, parts), graph.numbers([1.0])))


def _calibrated_one(graph: Graph, member: Any, table: Table, count: int) -> str:
    found = answer(graph, member.estimator, table)
    value = found.decision or found.probability
    if not value or member.method not in ("sigmoid", "isotonic") or len(member.estimator.classes_) != count:
        raise not_exportable(f"calibration by {member.method} of such an estimator has no exact form in ONNX")
    columns = graph.table(value, len(member.calibrators))
    parts = [
        _calibrator(graph, calibrator, graph.tensor(columns.take([place])))
        for place, calibrator in enumerate(member.calibrators)
    ]
    return parts[0] if count == 2 else _normalized(graph, graph.node("Concat", *parts, axis=1))


def _calibrator(graph: Graph, calibrator: Any, value: str) -> str:
    if type(calibrator).__name__ == "_SigmoidCalibration":
        scaled = graph.node("Mul", value, graph.numbers([-calibrator.a_]))
        return _small_sigmoid(graph, graph.node("Sub", scaled, graph.numbers([calibrator.b_])))
    return _interpolated(graph, value, calibrator.X_thresholds_, calibrator.y_thresholds_)


def _interpolated(graph: Graph, value: str, x: Any, y: Any) -> str:
    """Interpolate between points; constant beyond the first and the last."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if len(x) < 2:
        return graph.node("Add", graph.node("Mul", value, graph.numbers([0.0])), graph.numbers([y[0]]))
    clipped = graph.node("Min", graph.node("Max", value, graph.numbers([x[0]])), graph.numbers([x[-1]]))
    # Nothing reaches infinity: it only keeps the comparison from being empty.
    over = graph.node("GreaterOrEqual", clipped, graph.row([*x[1:-1], np.inf]))
    place = graph.node("ReduceSum", graph.cast(over, "INT64"), graph.constant(np.array([1])), keepdims=1)
    base, slope, start = (
        graph.node("Gather", graph.numbers(values), place, axis=0)
        for values in (y[:-1], np.diff(y) / np.diff(x), x[:-1])
    )
    return graph.node("Add", graph.node("Mul", slope, graph.node("Sub", clipped, start)), base)


def _boosted(graph: Graph, estimator: Any, table: Table) -> Answer:
    """Gradient boosting, from a constant or from another estimator, which is given float32 as the trees are."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    first = estimator.init_
    if isinstance(first, (DummyClassifier, DummyRegressor)) or first == "zero":
        return boosted(graph, estimator, table)
    rounded = graph.table(graph.cast(graph.cast(graph.matrix(table), "FLOAT")), len(table.columns))
    start = _one(answer(graph, first, rounded), first)
    if hasattr(estimator, "classes_"):
        tiny = float(np.finfo(np.float64).eps)
        start = graph.node("Min", graph.node("Max", start, graph.numbers([tiny])), graph.numbers([1 - tiny]))
        start = _logit(graph, start, len(estimator.classes_), estimator.loss)
    return boosted(graph, estimator, table, start)


def _logit(graph: Graph, shares: str, count: int, loss: str) -> str:
    if count > 2:
        logs = graph.node("Log", shares)
        mean = graph.node("ReduceMean", logs, graph.constant(np.array([1])), keepdims=1)
        return graph.node("Sub", logs, mean)
    rest = graph.node("Sub", graph.numbers([1.0]), shares)
    value = graph.node("Log", graph.node("Div", shares, rest))
    return graph.node("Mul", value, graph.numbers([0.5])) if loss == "exponential" else value


def _transformed_target(graph: Graph, estimator: Any, table: Table) -> Answer:
    value = _one(answer(graph, estimator.regressor_, table), estimator)
    return Answer(value=graph.tensor(inverse(graph, estimator.transformer_, graph.table(value, 1))))


_LINEAR_REGRESSORS = (
    "ARDRegression", "BayesianRidge", "ElasticNet", "ElasticNetCV", "HuberRegressor", "Lars", "LarsCV", "Lasso",
    "LassoCV", "LassoLars", "LassoLarsCV", "LassoLarsIC", "LinearRegression", "LinearSVR", "OrthogonalMatchingPursuit",
    "PassiveAggressiveRegressor", "QuantileRegressor", "Ridge", "RidgeCV", "SGDRegressor",
    "TheilSenRegressor",
)  # fmt: skip

MODELS: dict[str, Callable[[Graph, Any, Table], Answer]] = {
    **TREES,
    **dict.fromkeys(_LINEAR_REGRESSORS, _linear_value),
    "BaggingClassifier": _bagging,
    "BaggingRegressor": _bagging,
    "CalibratedClassifierCV": _calibrated,
    "FixedThresholdClassifier": _thresholded,
    "FrozenEstimator": _frozen,
    "GammaRegressor": _log_linear,
    "GradientBoostingClassifier": _boosted,
    "GradientBoostingRegressor": _boosted,
    "GaussianNB": _gaussian,
    "GridSearchCV": _searched,
    "HalvingGridSearchCV": _searched,
    "HalvingRandomSearchCV": _searched,
    "LinearDiscriminantAnalysis": _logistic,
    "LinearSVC": _linear_decision,
    "LogisticRegression": _logistic,
    "LogisticRegressionCV": _logistic,
    "MLPClassifier": _network,
    "MLPRegressor": _network,
    "Pipeline": _pipeline,
    "PoissonRegressor": _log_linear,
    "RandomizedSearchCV": _searched,
    "RidgeClassifier": _linear_decision,
    "RidgeClassifierCV": _linear_decision,
    "SGDClassifier": _descended,
    "StackingClassifier": _stacked,
    "StackingRegressor": _stacked,
    "TransformedTargetRegressor": _transformed_target,
    "TunedThresholdClassifierCV": _thresholded,
    "TweedieRegressor": _log_linear,
    "VotingClassifier": _voting,
    "VotingRegressor": _voting,
}
