"""Building blocks of the drift tests: columns as Arrow has them, and scores of whole windows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa

from modelops import summaries
from modelops.drift import Drift, Kind, Score
from modelops.spec.kinds.data_snapshot import Summary


def chunked(values: object, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    return pa.chunked_array([values if isinstance(values, pa.Array) else pa.array(values, kind)])


def chunks(array: pa.Array, *borders: int) -> pa.ChunkedArray:
    return pa.chunked_array([array[a:b] for a, b in pairwise([0, *borders, len(array)])], array.type)


def summary(values: object, kind: Kind = "number") -> Summary:
    return summaries.summarise(chunked(values), kind)


def scored(
    module: Drift,
    reference: object,
    window: object,
    kind: Kind = "number",
    significance: float = 0.01,
    **params: Any,
) -> Score:
    """Return the score of a window against a reference, from beginning to end."""
    chosen = module.Params(**params)
    sketch = module.fit(chosen, summary(reference, kind))
    return module.score(chosen, sketch, module.count(sketch, chunked(window)), significance)
