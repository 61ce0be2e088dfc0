"""The request of the Open Inference Protocol v2: typed decoding of JSON and of the binary tensor extension."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import msgspec
import numpy as np

from modelops.errors import ModelOpsError, failure
from modelops.serving.http import Answer
from modelops.serving.once import check_once

__all__ = [
    "STATUS",
    "STEP",
    "InferRequest",
    "RequestedOutput",
    "Tensor",
    "completed",
    "compressed",
    "decode_request",
    "header_length",
    "inflate",
    "refusal",
    "shown",
]

BODY_LIMIT = 8 << 20
"""Largest body in bytes, before and after decompression."""

STATUS = {
    "bad-request": 400,
    "bad-label": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "unknown-model": 404,
    "unknown-version": 404,
    "unknown-path": 404,
    "unknown-prediction": 404,
    "method-not-allowed": 405,
    "deadline-passed": 408,
    "call-cancelled": 499,
    "body-too-large": 413,
    "wrong-host": 421,
    "unsupported-encoding": 415,
    "rate-limited": 429,
    "budget-exhausted": 429,
    "model-failed": 500,
    "not-ready": 503,
    "overloaded": 503,
    "deadline-exceeded": 504,
    "log-full": 503,
    "log-unwritable": 503,
}
"""HTTP status by problem code; every other code is 500."""

_NUMPY = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
FLOATS = frozenset({"FP16", "FP32", "FP64"})
INTEGERS = frozenset(name for name in _NUMPY if "INT" in name)
_LIMITS = {name: np.iinfo(_NUMPY[name].name) for name in INTEGERS}
_RANGES = {name: (int(limits.min), int(limits.max)) for name, limits in _LIMITS.items()}
_LARGEST = {"FP16": 65504.0, "FP32": 3.4028234663852886e38}
_MISSING = type(None)
_JSON_TYPES = {
    **{name: frozenset({float, int, _MISSING}) for name in FLOATS},
    **{name: frozenset({int, _MISSING}) for name in INTEGERS},
    "BOOL": frozenset({bool, _MISSING}),
    "BYTES": frozenset({str, _MISSING}),
}

_ONE = [1]
_MOST_DIMENSIONS = 8
_ALL_FLOATS = {float}
_EXACT = {"FP64": float, "BYTES": str, "BOOL": bool}

_Whole = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_Real = Annotated[float, msgspec.Meta(ge=-float(1 << 63), lt=float(1 << 63))]
Parameters = dict[str, str | _Whole | _Real | bool | None]
"""Numbers of parameters fit 64 bits, however they are written: not every reader keeps whole numbers beyond."""


class Tensor(msgspec.Struct, gc=False):
    """One input tensor; after decoding ``data`` is a flat list in row-major order, None where a value is missing."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: Parameters | None = None


class RequestedOutput(msgspec.Struct, gc=False):
    """One output that the caller asked for."""

    name: str
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct, gc=False):
    """The body of an infer request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[RequestedOutput] | None = None


_DECODER = msgspec.json.Decoder(InferRequest)


def refusal(message: str, hint: str | None = None) -> ModelOpsError:
    """Return the error for a request that does not follow the protocol or the model's signature."""
    return failure("bad-request", message, hint=hint)


def inflate(body: bytes, encoding: str, limit: int = BODY_LIMIT) -> bytes:
    """Undo gzip or deflate without ever holding more than the limit."""
    encoding = encoding.strip()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise failure("unsupported-encoding", f"the content encoding {encoding[:40]!r} is not one of gzip, deflate")
    stream = zlib.decompressobj(wbits=47)
    try:
        data = stream.decompress(body, limit + 1)
    except zlib.error:
        raise refusal(f"the body is not valid {encoding}") from None
    if len(data) > limit:
        raise failure("body-too-large", f"the decompressed body is larger than {limit} bytes")
    if not stream.eof:
        raise refusal(f"the {encoding} body is cut off")
    if stream.unused_data:
        raise refusal(f"{len(stream.unused_data)} bytes follow the {encoding} body")
    return data


STEP = 16_384
"""So many values of a large request are handled at once: the interpreter does nothing else meanwhile."""
COMPRESS_BYTES = 1024
"""Smaller answers are not worth compressing."""
_WBITS = {"gzip": 31, "deflate": 15}


def compressed(answer: Answer, accepted: bytes) -> Answer:
    """Return an answer as gzip or deflate if the client takes it and it is large enough to gain."""
    if len(answer.body) < COMPRESS_BYTES:
        return answer
    for choice in accepted.decode("latin-1").lower().split(","):
        name, _, quality = choice.partition(";")
        encoding = name.strip()
        if encoding in _WBITS and quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            stream = zlib.compressobj(level=1, wbits=_WBITS[encoding])
            body = stream.compress(answer.body) + stream.flush()
            headers = (*answer.headers, (b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding"))
            return answer._replace(body=body, headers=headers)
    return answer


def header_length(headers: Mapping[bytes, bytes]) -> int | None:
    """Return the length of the JSON part when binary tensors follow it, None without the header that says so."""
    value = headers.get(b"inference-header-content-length")
    if value is None:
        return None
    value = value.strip()
    if not value.isdigit() or len(value) > 18:
        raise refusal("Inference-Header-Content-Length is not a number")
    return int(value)


def decode_request(body: bytes, header_length: int | None) -> InferRequest:
    """Decode an infer request and check that every tensor holds what it declares.

    ``header_length`` is the Inference-Header-Content-Length: how many bytes of the body are JSON; raw tensors follow.
    """
    if header_length is not None and not 0 < header_length <= len(body):
        raise refusal(f"Inference-Header-Content-Length is {header_length}, the body has {len(body)} bytes")
    text = body if header_length is None else body[:header_length]
    try:
        request = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise refusal(f"the request is not valid: {error}") from None
    except RecursionError:
        raise refusal("the request is nested too deeply") from None
    # The commonest request has nothing but inputs, with a name, a shape, a datatype and data each.
    if text.count(b":") != 1 + 4 * len(request.inputs):
        check_once(text, _keys_of(request))
    return completed(request, memoryview(b"" if header_length is None else body[header_length:]))


def _keys_of(request: InferRequest) -> int:
    """Return how many keys a decoded request had, in all its objects."""
    objects: list[Mapping[str, Any] | None] = [request.parameters]
    keys = 1 + (request.id is not None) + (request.outputs is not None)
    for output in request.outputs or ():
        keys += 1
        objects.append(output.parameters)
    for tensor in request.inputs:
        keys += 3 + (tensor.data is not None)
        objects.append(tensor.parameters)
    return keys + sum(1 + len(each) for each in objects if each is not None)


def completed(request: InferRequest, rest: memoryview) -> InferRequest:
    """Fill the tensors whose values are among the raw ones, and check that every tensor holds what it declares."""
    if not request.inputs:
        raise refusal("the request has no inputs")
    for tensor in request.inputs:
        # What is exactly of its datatype has nothing to check: 30 single values, or a row of them, are common.
        if not _is_plain(tensor):
            rest = _complete(tensor, rest)
    if len(rest):
        raise refusal(f"{len(rest)} bytes follow the last binary tensor")
    return request


def _is_plain(tensor: Tensor) -> bool:
    """Tell whether a tensor is one value, or a small matrix of numbers, of exactly its datatype."""
    data, shape = tensor.data, tensor.shape
    if data is None or tensor.parameters is not None:
        return False
    if shape == _ONE:
        return len(data) == 1 and type(data[0]) is _EXACT.get(tensor.datatype)
    if tensor.datatype != "FP64" or len(shape) != 2 or shape[0] < 1 or len(data) > STEP:
        return False
    return shape[0] * shape[1] == len(data) and set(map(type, data)) == _ALL_FLOATS


def _complete(tensor: Tensor, rest: memoryview) -> memoryview:
    """Fill and check one tensor; returns the binary data that is left for the next ones."""
    types = _JSON_TYPES.get(tensor.datatype)
    if types is None:
        raise refusal(f"input {tensor.name[:80]!r}: {tensor.datatype[:20]!r} is not a datatype of the protocol")
    shape = tensor.shape
    if len(shape) > _MOST_DIMENSIONS:
        # Multiplying thousands of them would take the interpreter for minutes.
        raise refusal(f"input {tensor.name[:80]!r}: the shape has {len(shape)} dimensions, not at most 8")
    size = shape[0] if len(shape) == 1 else math.prod(shape)
    if not shape or size < 1 or min(shape) < 1:
        raise refusal(f"input {tensor.name[:80]!r}: the shape {shape} holds no values")
    if tensor.parameters and "binary_data_size" in tensor.parameters:
        return _take_binary(tensor, size, rest)
    data = tensor.data
    if data is None:
        raise refusal(f"input {tensor.name[:80]!r} has neither data nor binary_data_size")
    if len(data) != size or (len(shape) > 1 and type(data[0]) is list):
        data = tensor.data = _flat(tensor.name, data, shape)
    if len(data) != size:
        raise refusal(f"input {tensor.name[:80]!r}: the shape {shape} needs {size} values, there are {len(data)}")
    found = set(map(type, data)) if size <= STEP else _types(data)
    if not found <= types:
        wrong = next(value for value in data if type(value) not in types)
        raise refusal(f"input {tensor.name[:80]!r}: {shown(wrong)} is not a value of {tensor.datatype}")
    if int in found:
        data = tensor.data = _bounded(tensor, data)
    largest = _LARGEST.get(tensor.datatype)
    if largest is not None:
        wrong = next((value for value in data if value is not None and not -largest <= value <= largest), None)
        if wrong is not None:
            raise refusal(f"input {tensor.name[:80]!r}: {shown(wrong)} is out of range of {tensor.datatype}")
    return rest


def _types(data: list[Any]) -> set[type]:
    """Return the types of values; in steps, as nothing else runs during one of them."""
    found: set[type] = set()
    for start in range(0, len(data), STEP):
        found.update(map(type, data[start : start + STEP]))
    return found


def _bounded(tensor: Tensor, data: list[Any]) -> list[Any]:
    """Refuse a whole number that its datatype cannot hold; in a float tensor a large one is a float written out."""
    low, high = _RANGES.get(tensor.datatype, _RANGES["INT64"])
    wrong = next((value for value in data if value is not None and not low <= value <= high), None)
    if wrong is None:
        return data
    if tensor.datatype in INTEGERS:
        raise refusal(f"input {tensor.name[:80]!r}: {shown(wrong)} is out of range of {tensor.datatype}")
    try:
        return [None if value is None else float(value) for value in data]
    except OverflowError:
        raise refusal(f"input {tensor.name[:80]!r} holds a number that is out of range") from None


def _flat(name: str, data: list[Any], shape: list[int]) -> list[Any]:
    """Flatten nested lists of exactly the declared shape."""
    for depth, width in enumerate(shape[1:], 1):
        if not data or type(data[0]) is not list:
            break
        if not all(type(row) is list and len(row) == width for row in data):
            raise refusal(f"input {name[:80]!r}: the data is ragged at depth {depth}, the shape is {shape}")
        data = [value for row in data for value in row]
    return data


def _take_binary(tensor: Tensor, size: int, rest: memoryview) -> memoryview:
    length = (tensor.parameters or {}).get("binary_data_size")
    if type(length) is not int or not 0 <= length <= len(rest):
        raise refusal(f"input {tensor.name[:80]!r}: binary_data_size is {shown(length)}, {len(rest)} bytes are left")
    if tensor.data is not None:
        raise refusal(f"input {tensor.name[:80]!r} has both data and binary_data_size")
    raw = rest[:length]
    tensor.data = _texts(tensor, raw) if tensor.datatype == "BYTES" else _numbers(tensor, raw)
    if len(tensor.data) != size:
        raise refusal(
            f"input {tensor.name[:80]!r}: the shape {tensor.shape} needs {size} values, found {len(tensor.data)}"
        )
    return rest[length:]


def _numbers(tensor: Tensor, raw: memoryview) -> list[Any]:
    dtype = _NUMPY[tensor.datatype]
    if len(raw) % dtype.itemsize:
        raise refusal(f"input {tensor.name[:80]!r}: {len(raw)} bytes are not a whole number of {tensor.datatype}")
    values = np.frombuffer(raw, dtype)
    listed: list[Any] = []
    for start in range(0, len(values), STEP):
        listed += values[start : start + STEP].tolist()
    if dtype.kind != "f" or np.isfinite(values).all():
        return listed
    if np.isinf(values).any():
        raise refusal(f"input {tensor.name[:80]!r} holds an infinite value")
    return [None if value != value else value for value in listed]


def _texts(tensor: Tensor, raw: memoryview) -> list[Any]:
    values: list[Any] = []
    position = 0
    while position < len(raw):
        if position + 4 > len(raw):
            raise refusal(f"input {tensor.name[:80]!r}: the length of element {len(values)} is cut off")
        (length,) = struct.unpack_from("<I", raw, position)
        position += 4
        if position + length > len(raw):
            raise refusal(f"input {tensor.name[:80]!r}: element {len(values)} is cut off")
        try:
            values.append(str(raw[position : position + length], "utf-8"))
        except UnicodeDecodeError:
            raise refusal(f"input {tensor.name[:80]!r}: element {len(values)} is not UTF-8") from None
        position += length
    return values


def shown(value: object, write: Callable[[object], str] = repr) -> str:
    """Return a caller's value as a message says it: its beginning, and of what holds others only what it is."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    text = write(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
