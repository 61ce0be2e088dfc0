"""Drift scores: each file fits mergeable counts on a reference and scores a window against them.

A drift file exposes ``Params``, ``fit(params, values, kind)``, ``count(sketch, values)``, ``merge(a, b)`` and
``score(params, reference, window)``; all pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from modelops.spec.data import Sketch
from modelops.spec.meta import Strict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Drift", "Score"]


@dataclass(frozen=True, slots=True)
class Score:
    """A drift score of one column: ``value`` against ``expected`` (its mean under no drift at these sample sizes)."""

    value: float
    expected: float
    critical: float
    level: Literal["none", "warn", "alert", "no-data"]
    reference_n: int
    window_n: int
    reason: str


class Drift(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def fit(self, params: Any, values: pa.ChunkedArray, kind: Literal["number", "category"]) -> Sketch: ...

    def count(self, sketch: Sketch, values: pa.ChunkedArray) -> Sketch: ...

    def merge(self, first: Sketch, second: Sketch) -> Sketch: ...

    def score(self, params: Any, reference: Sketch, window: Sketch) -> Score: ...
