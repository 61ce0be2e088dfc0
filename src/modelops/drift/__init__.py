"""Drift scores: each file makes its own sketch of a reference column, counts windows in it, and scores them.

A drift file exposes ``NAME``, ``KINDS``, ``Params``, ``fit(params, summary)``, ``count(sketch, values)``,
``merge(a, b)``, ``score(params, reference, window, significance)`` and ``significance(params)``; all pure. ``fit``
takes the neutral summary that a snapshot keeps. Sketches are made of counts, so that parts of a window can be counted
anywhere and merged in any order. All of them take rows to be independent: who scores rows that hang together asks for
what as many independent rows as those are worth would give.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.meta import Plugin, Strict

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PROTOCOL", "Drift", "Kind", "Level", "Score", "bind"]

Kind = Literal["number", "category"]
Level = Literal["none", "warn", "alert", "no-data"]


@dataclass(frozen=True, slots=True)
class Score:
    """A score of one column, ``name`` as texts say it, with the limits that it was held against.

    ``expected`` is its mean and ``critical`` what it exceeds with the stated significance when nothing changed. With
    too few rows it has a value and the level ``no-data``; with none the value is zero.
    """

    name: str
    value: float
    expected: float
    critical: float
    warn: float
    alert: float
    level: Level
    reference_n: int
    window_n: int
    reason: str
    direction: str = ""

    @property
    def strength(self) -> float:
        """The value in units of its limit, by which different scores can be ranked."""
        return self.value / self.alert


class Drift(Protocol):
    """What a module on this shelf exposes; the sketch is of its own type, and opaque to everybody else.

    ``significance`` is the chance of any level without drift that the parameters allow over all that is scored
    together; who scores k columns calls ``score`` with a k-th of it (Bonferroni), and ``score`` gives a level only to
    what chance exceeds that seldom. ``KINDS`` are the columns that can be scored at all.
    """

    @property
    def NAME(self) -> str: ...

    @property
    def KINDS(self) -> tuple[Kind, ...]: ...

    @property
    def Params(self) -> type[Strict]: ...

    def fit(self, params: Any, summary: Summary) -> Any: ...

    def count(self, sketch: Any, values: pa.ChunkedArray) -> Any: ...

    def merge(self, first: Any, second: Any) -> Any: ...

    def score(self, params: Any, reference: Any, window: Any, significance: float) -> Score: ...

    def significance(self, params: Any) -> float: ...


PROTOCOL = Drift
"""What every file of this shelf is held against."""


def bind(plugin: Plugin, resource: AnyResource | None = None, dotted: str = "") -> Bound[Drift]:
    """Return a drift score with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("drift", plugin, resource, dotted)
