"""SimpleImputer as Where over IsNaN: exact in float64, and with the indicator columns that skl2onnx leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Writer

__all__ = ["convert_imputer", "imputer_shape"]


def imputer_shape(operator: Any) -> None:
    """Declare the output: one column per input column, then one per indicated column, of the type of the input."""
    inputs = operator.inputs
    width = sum(variable.type.shape[1] for variable in inputs)
    indicator = operator.raw_operator.indicator_
    kind = type(inputs[0].type)
    operator.outputs[0].type = kind(
        [inputs[0].get_first_dimension(), width + (0 if indicator is None else len(indicator.features_))]
    )


def convert_imputer(scope: Any, operator: Any, container: Any) -> None:
    """Convert a fitted SimpleImputer; strings are left to skl2onnx."""
    from onnx import TensorProto
    from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
    from skl2onnx.operator_converters.imputer_op import convert_sklearn_imputer

    imputer = operator.raw_operator
    if isinstance(operator.inputs[0].type, StringTensorType):
        if imputer.indicator_ is not None:
            raise NotImplementedError("indicator columns of categories")
        convert_sklearn_imputer(scope, operator, container)
        return
    statistics = np.asarray(imputer.statistics_, dtype=np.float64)
    if (
        not (isinstance(imputer.missing_values, float) and np.isnan(imputer.missing_values))
        or np.isnan(statistics).any()
    ):
        raise NotImplementedError("an imputer of other values than NaN, or of a column that was empty")
    kind = "DOUBLE" if isinstance(operator.inputs[0].type, DoubleTensorType) else "FLOAT"
    writer = Writer(scope, container)
    names = [variable.full_name for variable in operator.inputs]
    value = names[0] if len(names) == 1 else writer.node("Concat", names, axis=1)
    missing = writer.node("IsNaN", [value])
    constant = writer.constant(statistics.reshape(1, -1), kind)
    output = operator.outputs[0].full_name
    if imputer.indicator_ is None:
        writer.node("Where", [missing, constant, value], output)
        return
    filled = writer.node("Where", [missing, constant, value])
    chosen = writer.constant(np.asarray(imputer.indicator_.features_, dtype=np.int64), "INT64")
    flags = writer.node("Cast", [writer.node("Gather", [missing, chosen], axis=1)], to=getattr(TensorProto, kind))
    writer.node("Concat", [filled, flags], output, axis=1)
