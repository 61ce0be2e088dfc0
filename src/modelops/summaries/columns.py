"""Arrow columns as the numbers and texts that are counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from modelops.errors import Exit, failure

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]


def numbers(values: pa.ChunkedArray) -> list[FloatArray]:
    """Return each chunk as 64-bit floats; null and infinity become NaN, instants become seconds since 1970.

    An infinite number is no value anywhere else either: tables are read so, and requests cannot carry one.
    """
    kind = values.type
    if pa.types.is_dictionary(kind):
        return numbers(values.cast(kind.value_type))
    scale = 1.0
    if pa.types.is_date(kind):
        values = values.cast(pa.timestamp("s"))
        kind = values.type
    if pa.types.is_timestamp(kind):
        scale = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        values = values.cast(pa.int64())
    elif pa.types.is_boolean(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise failure("drift-column-type", f"a column of type {kind} cannot be scored as numbers", exit=Exit.FILES)
    arrays = [np.asarray(chunk.to_numpy(zero_copy_only=False), dtype=np.float64) for chunk in values.chunks]
    if pa.types.is_floating(kind):
        arrays = [np.where(np.isinf(array), np.nan, array) if np.isinf(array).any() else array for array in arrays]
    return arrays if scale == 1.0 else [array / scale for array in arrays]


def texts(values: pa.ChunkedArray) -> list[pa.DictionaryArray]:
    """Return each chunk as dictionary-encoded text."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind):
        raise failure("drift-column-type", f"a column of type {kind} cannot be scored as categories", exit=Exit.FILES)
    if pa.types.is_dictionary(values.type) and pa.types.is_string(kind):
        return list(values.chunks)
    return [chunk.dictionary_encode() for chunk in values.cast(pa.string()).chunks]


def tally(array: pa.DictionaryArray) -> IntArray:
    """Return how often each entry of the dictionary occurs."""
    indices = array.indices.drop_null().to_numpy(zero_copy_only=False)
    return np.bincount(indices, minlength=len(array.dictionary)).astype(np.int64)
