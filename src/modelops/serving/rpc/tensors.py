"""From a gRPC infer request to the protocol's request and back: typed contents and raw ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from modelops.artifacts import Outputs
from modelops.serving.forms import Form, Takes
from modelops.serving.http import Answer, Request
from modelops.serving.inputs import Binder
from modelops.serving.outputs import Encoder, raw_values
from modelops.serving.protocol import (
    FLOATS,
    STEP,
    InferRequest,
    Parameters,
    RequestedOutput,
    Tensor,
    completed,
    refusal,
)
from modelops.serving.rpc.messages import message

__all__ = ["MESSAGES"]

_REQUEST, _RESPONSE = message("inference.ModelInferRequest"), message("inference.ModelInferResponse")
_CONTENTS: Mapping[str, str] = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the values of each datatype are; those of FP16 can only be raw."""
_SIZE = "binary_data_size"
_ASKED_RAW = "raw_contents"
"""Among the parameters of a request: whether its tensors were raw, as those of the answer are then."""


def _read(request: Request, _: Takes) -> InferRequest:
    try:
        asked = _REQUEST.FromString(request.body)
    except DecodeError:
        raise refusal("the request is not a ModelInferRequest") from None
    raw = asked.raw_input_contents
    if raw and len(raw) != len(asked.inputs):
        raise refusal(f"raw_input_contents has {len(raw)} tensors, inputs has {len(asked.inputs)}")
    tensors = [_tensor(each, raw[index] if raw else None) for index, each in enumerate(asked.inputs)]
    parameters = _parameters(asked.parameters) | ({_ASKED_RAW: True} if raw else {})
    outputs = [RequestedOutput(each.name, _parameters(each.parameters)) for each in asked.outputs]
    found = InferRequest(tensors, asked.id or None, parameters or None, outputs or None)
    return completed(found, memoryview(b"".join(raw)))


def _parameters(given: Mapping[str, Any]) -> Parameters:
    found: Parameters = {}
    for name, value in given.items():
        kind = value.WhichOneof("parameter_choice")
        found[name] = None if kind is None else getattr(value, kind)
    # How many bytes are raw is said by the bytes themselves here, and nothing else.
    found.pop(_SIZE, None)
    found.pop(_ASKED_RAW, None)
    return found


def _tensor(given: Any, raw: bytes | None) -> Tensor:
    name, datatype = given.name, given.datatype
    parameters = _parameters(given.parameters)
    filled = [field.name for field, _ in given.contents.ListFields()]
    if raw is not None:
        if filled:
            raise refusal(f"input {name[:80]!r} has both contents and raw_input_contents")
        return Tensor(name, list(given.shape), datatype, None, parameters | {_SIZE: len(raw)})
    wanted = _CONTENTS.get(datatype)
    if wanted is None and datatype in FLOATS:
        raise refusal(f"input {name[:80]!r}: {datatype} has no typed contents, send it in raw_input_contents")
    if wanted is not None and filled and filled != [wanted]:
        raise refusal(f"input {name[:80]!r} is {datatype}, its values are in {', '.join(filled)} instead of {wanted}")
    data = _values(name, datatype, getattr(given.contents, wanted)) if wanted is not None else []
    return Tensor(name, list(given.shape), datatype, data, parameters or None)


def _values(name: str, datatype: str, values: Any) -> list[Any]:
    """Return the values of typed contents; NaN is a missing value, as it is among raw ones."""
    if datatype == "BYTES":
        try:
            return [value.decode() for value in values]
        except UnicodeDecodeError:
            raise refusal(f"input {name[:80]!r} holds a text that is not UTF-8") from None
    listed: list[Any] = []
    for start in range(0, len(values), STEP):
        part = list(values[start : start + STEP])
        if datatype in FLOATS and not np.isfinite(part).all():
            if np.isinf(part).any():
                raise refusal(f"input {name[:80]!r} holds an infinite value")
            part = [None if value != value else value for value in part]
        listed += part
    return listed


def _write(head: dict[str, Any], request: InferRequest, encoder: Encoder, outputs: Outputs) -> Answer:
    told = _RESPONSE(model_name=head["model_name"], model_version=head["model_version"], id=head.get("id", ""))
    for name, value in head["parameters"].items():
        field = "int64_param" if isinstance(value, int) else "string_param"
        setattr(told.parameters[name], field, value)
    raw = bool(request.parameters and request.parameters.get(_ASKED_RAW))
    for tensor in encoder.tensors(request, outputs):
        datatype, data = tensor["datatype"], tensor["data"]
        added = told.outputs.add(name=tensor["name"], datatype=datatype, shape=tensor["shape"])
        if raw:
            told.raw_output_contents.append(raw_values(data, datatype))
        else:
            values = [text.encode() for text in data] if datatype == "BYTES" else data
            getattr(added.contents, _CONTENTS[datatype]).extend(values)
    return Answer(200, told.SerializeToString(), _PROTOBUF)


_PROTOBUF = b"application/protobuf"
MESSAGES = Form(_read, _write, Binder.wanted)
"""A ModelInferRequest and its response."""
