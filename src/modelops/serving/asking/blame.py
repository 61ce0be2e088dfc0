"""Whose fault a failed prediction is: what no row of the model's own could look like is the caller's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelops.errors import ModelOpsError
from modelops.serving.inputs import Bound
from modelops.serving.protocol import InferRequest, refusal

__all__ = ["callers_fault", "reach_of"]

BEYOND = 1e6
"""A number so many times as large as every one that the artifact was recorded with is beyond what it was made for."""

# What scikit-learn's encoders and checks say of values, never of a model.
_UNKNOWN = re.compile(r"unknown categor|not among the known values|[Uu]nseen (?:labels|categories)")
_QUOTED = re.compile(r"'([^']*)'")
_TOO_LARGE = re.compile(r"value too large for dtype")


def reach_of(recorded: Sequence[InferRequest]) -> Mapping[str, float]:
    """Return by input how large a number may be before a failure on it is its sender's."""
    reach: dict[str, float] = {}
    for request in recorded:
        for tensor in request.inputs:
            value = (tensor.data or [None])[0]
            if isinstance(value, (int, float)):
                reach[tensor.name] = max(reach.get(tensor.name, 1.0), abs(float(value)))
    return {name: most * BEYOND for name, most in reach.items()}


def callers_fault(
    names: Sequence[str], reach: Mapping[str, float], bound: Bound, error: BaseException
) -> ModelOpsError | None:
    """Return the refusal of an input on which a release failed, None where the release is to blame."""
    said = error.first.message if isinstance(error, ModelOpsError) else str(error)
    if _UNKNOWN.search(said):
        return _unknown(bound, said)
    far = next((name for position, name in enumerate(names) if _is_far(name, position, reach, bound)), None)
    if far is not None:
        return refusal(f"input {far[:80]!r} holds a number far beyond all that the model was made for")
    if _TOO_LARGE.search(said):
        return refusal("the request holds a number that is too large for the model")
    return None


def _is_far(name: str, position: int, reach: Mapping[str, float], bound: Bound) -> bool:
    most = reach.get(name)
    values: Any = bound.matrix[:, position] if bound.matrix is not None else bound.columns.get(name)
    if most is None or values is None or values.dtype == object:
        return False
    return bool(np.nanmax(np.abs(values), initial=0.0) > most)


def _unknown(bound: Bound, said: str) -> ModelOpsError:
    """Name the category that an encoder has refused and the input that holds it, as far as the encoder says."""
    told = _QUOTED.findall(said)
    for quoted in told:
        for name, values in bound.columns.items():
            if values.dtype == object and quoted in values:
                return refusal(f"input {name[:80]!r}: {quoted[:80]!r} is none of the categories that the model knows")
    inputs = [name for name in told if name in bound.columns] or [
        name for name, values in bound.columns.items() if values.dtype == object
    ]
    where = ", ".join(repr(name[:80]) for name in inputs[:4])
    return refusal(f"a category of the request ({where}) is none of those that the model knows")
