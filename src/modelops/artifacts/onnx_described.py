"""What is read of an ONNX model before it is loaded, described here so that a server needs no package onnx for it.

Names and numbers are those of the ONNX specification (Apache-2.0, onnx/onnx, onnx.proto); other fields are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["HERE", "parse_model"]

HERE = 0
"""The ``data_location`` of a tensor that is in the model itself; others are elsewhere, or unknown."""

_Field = descriptor_pb2.FieldDescriptorProto
_MANY, _ONE = _Field.LABEL_REPEATED, _Field.LABEL_OPTIONAL
_SCALARS = {
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
}
_MESSAGES: Mapping[str, tuple[tuple[str, int, int, str], ...]] = {
    "ModelProto": (
        ("graph", 7, _ONE, "GraphProto"),
        ("opset_import", 8, _MANY, "OperatorSetIdProto"),
        ("functions", 25, _MANY, "FunctionProto"),
    ),
    "OperatorSetIdProto": (("domain", 1, _ONE, "string"),),
    "FunctionProto": (("name", 1, _ONE, "string"),),
    "GraphProto": (
        ("node", 1, _MANY, "NodeProto"),
        ("output", 12, _MANY, "ValueInfoProto"),
        ("initializer", 5, _MANY, "TensorProto"),
        ("sparse_initializer", 15, _MANY, "SparseTensorProto"),
    ),
    "ValueInfoProto": (("name", 1, _ONE, "string"),),
    "NodeProto": (
        ("input", 1, _MANY, "string"),
        ("output", 2, _MANY, "string"),
        ("op_type", 4, _ONE, "string"),
        ("attribute", 5, _MANY, "AttributeProto"),
        ("domain", 7, _ONE, "string"),
    ),
    "AttributeProto": (
        ("name", 1, _ONE, "string"),
        ("i", 3, _ONE, "int64"),
        ("ints", 8, _MANY, "int64"),
        ("t", 5, _ONE, "TensorProto"),
        ("g", 6, _ONE, "GraphProto"),
        ("tensors", 10, _MANY, "TensorProto"),
        ("graphs", 11, _MANY, "GraphProto"),
        ("sparse_tensor", 22, _ONE, "SparseTensorProto"),
        ("sparse_tensors", 23, _MANY, "SparseTensorProto"),
    ),
    "SparseTensorProto": (("values", 1, _ONE, "TensorProto"), ("indices", 2, _ONE, "TensorProto")),
    "TensorProto": (
        ("data_type", 2, _ONE, "int32"),
        ("float_data", 4, _MANY, "float"),
        ("int32_data", 5, _MANY, "int32"),
        ("double_data", 10, _MANY, "double"),
        ("raw_data", 9, _ONE, "bytes"),
        ("name", 8, _ONE, "string"),
        ("external_data", 13, _MANY, "StringStringEntryProto"),
        # An enumeration there; on the wire it is the same number.
        ("data_location", 14, _ONE, "int32"),
    ),
    "StringStringEntryProto": (("key", 1, _ONE, "string"),),
}


@cache
def _model() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="onnx_read.proto", package="onnx", syntax="proto2")
    for name, fields in _MESSAGES.items():
        described = file.message_type.add(name=name)
        for field, number, label, kind in fields:
            made = described.field.add(name=field, number=number, label=label)
            if kind in _SCALARS:
                made.type = _SCALARS[kind]
            else:
                made.type, made.type_name = _Field.TYPE_MESSAGE, f".onnx.{kind}"
    # A pool of its own: in the default one these would collide with those of the package onnx.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("onnx.ModelProto"))


def parse_model(data: bytes) -> Any:
    """Return the described part of a model; other bytes raise google.protobuf's DecodeError."""
    return _model().FromString(data)
