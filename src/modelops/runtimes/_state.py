"""The state of a function: plain data as JSON, arrays of numpy as their bytes in it; nothing that could run."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import numpy as np

from modelops.errors import ModelOpsError, failure
from modelops.runtimes._checks import document

__all__ = ["FILE", "dump_state", "state_of"]

FILE = "state.json"

_ARRAY = "array of numpy"
_STATE = "state"
_DEEPEST = 50


def dump_state(found: Any) -> bytes:
    """Return a state as JSON; what is no plain data raises ``unsupported-type``."""
    plain = {_STATE: _plain(found, 0)}
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=True).encode()


def state_of(data: bytes) -> Any:
    """Return the state that ``keep`` wrote."""
    return _read(document(data, FILE)[_STATE])


def _plain(value: Any, depth: int) -> Any:
    """Return a state as JSON has it; what is no plain data is refused with its type."""
    if depth > _DEEPEST:
        raise _unkept("it is nested too deeply")
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
        return {_ARRAY: [value.dtype.str, list(value.shape), data]}
    if isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind in "UO"):
        return [_plain(each, depth + 1) for each in (value.tolist() if isinstance(value, np.ndarray) else value)]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(each, depth + 1) for key, each in value.items()}
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise _unkept(
        f"it holds {kind}" if not isinstance(value, dict) else "a dictionary in it has keys that are no texts"
    )


def _unkept(what: str) -> ModelOpsError:
    return failure(
        "unsupported-type",
        f"the state of a function is plain data, and {what}",
        hint="return numbers, texts, lists, dictionaries and arrays: of a fitted result its params, as an array",
    )


def _read(value: Any) -> Any:
    if isinstance(value, list):
        return [_read(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {_ARRAY}:
        return {key: _read(each) for key, each in value.items()}
    kind, shape, text = value[_ARRAY]
    dtype = np.dtype(kind)
    data = base64.b64decode(text, validate=True)
    if dtype.kind not in "biuf" or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("an array of the state is not of its size")
    return np.frombuffer(data, dtype=dtype).reshape(shape).copy()
