"""Preprocessing in ONNX: float64 throughout, each operation in scikit-learn's order, so that the results are equal."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from modelops.artifacts.onnx_encoders import discretizer, one_hot, ordinal
from modelops.artifacts.onnx_graph import Graph, Table, not_exportable

__all__ = ["FUNCTIONS", "inverse", "transform"]


def transform(graph: Graph, step: Any, table: Table) -> Table:
    """Write a fitted transformer and return its output columns."""
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return table
    if hasattr(step, "get_support"):
        return table.take(step.get_support(indices=True))
    name = type(step).__name__
    if name not in TRANSFORMERS or not type(step).__module__.startswith("sklearn."):
        raise not_exportable(f"{name} has no exact form in ONNX")
    width = getattr(step, "n_features_in_", len(table.columns))
    if width != len(table.columns):
        raise not_exportable(f"{name} was fitted on {width} columns and is given {len(table.columns)}")
    return TRANSFORMERS[name](graph, step, table)


def _pipeline(graph: Graph, pipeline: Any, table: Table) -> Table:
    for _, step in pipeline.steps:
        table = transform(graph, step, table)
    return table


def _by_column(graph: Graph, step: Any, table: Table) -> Table:
    result = Table(())
    for name, part, _ in step.transformers_:
        positions = step._transformer_to_input_indices[name]
        if (isinstance(part, str) and part == "drop") or not len(positions):
            continue
        found = transform(graph, part, table.take(positions))
        result += _weighted(graph, found, (step.transformer_weights or {}).get(name))
    return result


def _union(graph: Graph, step: Any, table: Table) -> Table:
    result = Table(())
    for name, part in step.transformer_list:
        if not (isinstance(part, str) and part == "drop"):
            weight = (step.transformer_weights or {}).get(name)
            result += _weighted(graph, transform(graph, part, table), weight)
    return result


def _weighted(graph: Graph, table: Table, weight: float | None) -> Table:
    if weight is None:
        return table
    return graph.table(graph.node("Mul", graph.matrix(table), graph.numbers([weight])), len(table.columns))


def _impute(graph: Graph, step: Any, table: Table) -> Table:
    missing = step.missing_values
    statistics = np.asarray(step.statistics_)
    if graph.is_text(table):
        return _impute_text(graph, step, table)
    numbers = statistics.astype(np.float64)
    kept = np.flatnonzero(~np.isnan(numbers))
    value = graph.matrix(table)
    flags = _is_missing(graph, value, missing)
    filled = graph.table(graph.node("Where", flags, graph.row(np.nan_to_num(numbers)), value), len(numbers)).take(kept)
    return filled + _indicated(graph, step.indicator_, flags)


def _impute_text(graph: Graph, step: Any, table: Table) -> Table:
    if step.missing_values != "":
        # The frame spells a missing category as the empty string, so that nothing else is ever found missing.
        if step.indicator_ is not None:
            raise not_exportable("an imputer that marks other missing categories than '' has no exact form in ONNX")
        return table
    if not all(isinstance(value, str) for value in step.statistics_):
        raise not_exportable("an imputer of a category that was always missing has no exact form in ONNX")
    value = graph.tensor(table)
    found = graph.node("LabelEncoder", value, keys_strings=[""], values_int64s=[1], default_int64=0)
    flags = graph.cast(found, "BOOL")
    constant = graph.constant(np.array(step.statistics_, dtype=object).reshape(1, -1))
    filled = graph.table(graph.node("Where", flags, constant, value), len(table.columns), text=True)
    return filled + _indicated(graph, step.indicator_, flags)


def _is_missing(graph: Graph, value: str, missing: Any) -> str:
    if isinstance(missing, (int, float)) and not np.isnan(missing):
        return graph.node("Equal", value, graph.row([missing]))
    return graph.node("IsNaN", value)


def _indicated(graph: Graph, indicator: Any, flags: str) -> Table:
    if indicator is None or not len(indicator.features_):
        return Table(())
    return graph.table(graph.cast(graph.pick(flags, indicator.features_)), len(indicator.features_))


def _indicator(graph: Graph, step: Any, table: Table) -> Table:
    return _indicated(graph, step, _is_missing(graph, graph.matrix(table), step.missing_values))


def _affine(graph: Graph, table: Table, steps: list[tuple[str, Any]]) -> Table:
    value = graph.matrix(table)
    for kind, constant in steps:
        if constant is not None:
            value = graph.node(kind, value, graph.row(constant))
    return graph.table(value, len(table.columns))


def _standard(graph: Graph, step: Any, table: Table) -> Table:
    mean = step.mean_ if step.with_mean else None
    return _affine(graph, table, [("Sub", mean), ("Div", step.scale_ if step.with_std else None)])


def _robust(graph: Graph, step: Any, table: Table) -> Table:
    center = step.center_ if step.with_centering else None
    return _affine(graph, table, [("Sub", center), ("Div", step.scale_ if step.with_scaling else None)])


def _min_max(graph: Graph, step: Any, table: Table) -> Table:
    low, high = step.feature_range if step.clip else (None, None)
    bounds = [("Max", None if low is None else [low]), ("Min", None if high is None else [high])]
    return _affine(graph, table, [("Mul", step.scale_), ("Add", step.min_), *bounds])


def _max_abs(graph: Graph, step: Any, table: Table) -> Table:
    bounds = [("Max", [-1.0]), ("Min", [1.0])] if getattr(step, "clip", False) else []
    return _affine(graph, table, [("Div", step.scale_), *bounds])


def _binarize(graph: Graph, step: Any, table: Table) -> Table:
    over = graph.node("Greater", graph.matrix(table), graph.numbers([step.threshold]))
    return graph.table(graph.cast(over), len(table.columns))


def _components(graph: Graph, step: Any, table: Table) -> Table:
    value = graph.node("MatMul", graph.matrix(table), graph.numbers(step.components_.T))
    if getattr(step, "mean_", None) is not None:
        value = graph.node("Sub", value, graph.row(step.mean_.reshape(1, -1) @ step.components_.T))
    if getattr(step, "whiten", False):
        scale = np.sqrt(step.explained_variance_)
        value = graph.node("Div", value, graph.row(np.maximum(scale, np.finfo(scale.dtype).eps)))
    return graph.table(value, len(step.components_))


def _polynomial(graph: Graph, step: Any, table: Table) -> Table:
    """Products of columns, multiplied from the last factor to the first as scikit-learn does."""
    powers = np.asarray(step.powers_)
    factors = [[column for column, power in enumerate(row) for _ in range(power)] for row in powers]
    degree = max(map(len, factors))
    count = len(table.columns)
    ones = graph.node("Where", graph.node("IsNaN", graph.matrix(table)), graph.numbers([1.0]), graph.numbers([1.0]))
    padded = graph.tensor(table + graph.table(ones, count).take([0]))
    filled = [[count] * (degree - len(row)) + row for row in factors]
    value = graph.pick(padded, [row[-1] for row in filled])
    for place in range(degree - 2, -1, -1):
        value = graph.node("Mul", value, graph.pick(padded, [row[place] for row in filled]))
    return graph.table(value, len(factors))


def _log1p(graph: Graph, value: str) -> str:
    """log(1 + x) without the loss of digits near zero: log(u) x / (u - 1) with u = 1 + x (Kahan)."""
    one = graph.numbers([1.0])
    above = graph.node("Add", value, one)
    ratio = graph.node("Div", value, graph.node("Sub", above, one))
    near = graph.node("Equal", above, one)
    return graph.node("Where", near, value, graph.node("Mul", graph.node("Log", above), ratio))


FUNCTIONS: dict[str, Callable[[Graph, str], str]] = {
    "absolute": lambda graph, value: graph.node("Abs", value),
    "exp": lambda graph, value: graph.node("Exp", value),
    "expm1": lambda graph, value: graph.node("Sub", graph.node("Exp", value), graph.numbers([1.0])),
    "fabs": lambda graph, value: graph.node("Abs", value),
    "log": lambda graph, value: graph.node("Log", value),
    "log1p": _log1p,
    "negative": lambda graph, value: graph.node("Neg", value),
    "sqrt": lambda graph, value: graph.node("Sqrt", value),
    "square": lambda graph, value: graph.node("Mul", value, value),
}
"""Functions of numpy by name; those that round correctly or within one unit of the last place."""


def _apply(graph: Graph, function: Any, options: Any, table: Table) -> Table:
    check = isinstance(function, functools.partial) and function.func.__name__ == "check_array"
    if function is None or check:
        return table
    name = getattr(function, "__name__", type(function).__name__)
    if not isinstance(function, np.ufunc) or name not in FUNCTIONS or options:
        raise not_exportable(f"the function {name} has no exact form in ONNX")
    return graph.table(FUNCTIONS[name](graph, graph.matrix(table)), len(table.columns))


def _function(graph: Graph, step: Any, table: Table) -> Table:
    return _apply(graph, step.func, step.kw_args, table)


def inverse(graph: Graph, step: Any, table: Table) -> Table:
    """Write the inverse of a fitted transformer, as a transformed target needs it."""
    match type(step).__name__:
        case "FunctionTransformer":
            return _apply(graph, step.inverse_func, step.inv_kw_args, table)
        case "StandardScaler":
            scale = step.scale_ if step.with_std else None
            return _affine(graph, table, [("Mul", scale), ("Add", step.mean_ if step.with_mean else None)])
        case "MinMaxScaler" if not step.clip:
            return _affine(graph, table, [("Sub", step.min_), ("Div", step.scale_)])
    raise not_exportable(f"the inverse of {type(step).__name__} has no exact form in ONNX")


TRANSFORMERS: dict[str, Callable[[Graph, Any, Table], Table]] = {
    "Binarizer": _binarize,
    "ColumnTransformer": _by_column,
    "FeatureUnion": _union,
    "FunctionTransformer": _function,
    "KBinsDiscretizer": discretizer,
    "MaxAbsScaler": _max_abs,
    "MinMaxScaler": _min_max,
    "MissingIndicator": _indicator,
    "OneHotEncoder": one_hot,
    "OrdinalEncoder": ordinal,
    "PCA": _components,
    "Pipeline": _pipeline,
    "PolynomialFeatures": _polynomial,
    "RobustScaler": _robust,
    "SimpleImputer": _impute,
    "StandardScaler": _standard,
    "TargetEncoder": ordinal,
    "TruncatedSVD": _components,
}
