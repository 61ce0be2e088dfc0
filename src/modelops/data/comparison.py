"""What changed between two snapshots: columns, rows, labels, and the distribution of every shared column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa

from modelops import drift, summaries
from modelops.drift import Drift, Score
from modelops.plugins import Bound
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, Summary
from modelops.spec.meta import Plugin

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True)
class Comparison:
    """The differences of a new snapshot from an old one.

    ``retyped`` is column -> (old type, new type); ``missing`` and ``balance`` are shares (old, new), where either
    changed; ``drift`` the score of each shared profiled column. ``exact`` says that the new rows themselves were
    counted; otherwise rows like those of the new profile.
    """

    same_bytes: bool
    rows: tuple[int, int]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    retyped: Mapping[str, tuple[str, str]]
    missing: Mapping[str, tuple[float, float]]
    balance: Mapping[str, tuple[float, float]]
    drift: Mapping[str, Score]
    exact: bool

    @property
    def drifted(self) -> tuple[str, ...]:
        """Columns whose distribution changed, the most changed first."""
        levels = [name for name, score in self.drift.items() if score.level in ("warn", "alert")]
        return tuple(sorted(levels, key=lambda name: -self.drift[name].value))


SCORE = Plugin(type="psi", params={"minimum": 1})


def compare(
    old: DataSnapshotSpec, new: DataSnapshotSpec, table: pa.Table | None = None, score: Plugin = SCORE
) -> Comparison:
    """Compare two snapshots by a drift score; with the new one's rows the scores are exact.

    The significance of the score is divided by the number of columns compared.
    """
    before, after = {c.name: c for c in old.columns}, {c.name: c for c in new.columns}
    shared = [name for name in before if name in after]
    bound = drift.bind(score)
    scored = [name for name in shared if name in old.profile and _comparable(bound, old.profile[name], after[name])]
    if table is None:
        scored = [name for name in scored if name in new.profile]
    significance = bound.module.significance(bound.params) / max(1, len(scored))
    found = {}
    for name in scored:
        reference = summaries.completed(old.profile[name], before[name].minimum, before[name].maximum)
        sketch = bound.module.fit(bound.params, reference)
        window = (
            bound.module.count(sketch, table.column(name))
            if table is not None
            else _like(bound, sketch, summaries.completed(new.profile[name], after[name].minimum, after[name].maximum))
        )
        found[name] = bound.module.score(bound.params, sketch, window, significance)
    return Comparison(
        same_bytes=old.root == new.root,
        rows=(old.rows, new.rows),
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        retyped={n: (before[n].type, after[n].type) for n in shared if before[n].type != after[n].type},
        missing=_changed(
            {n: (before[n].missing / max(1, old.rows), after[n].missing / max(1, new.rows)) for n in shared}
        ),
        balance=_changed(_shares(old.balance, new.balance)),
        drift=found,
        exact=table is not None,
    )


def _comparable(bound: Bound[Drift], reference: Summary, column: Column) -> bool:
    return summaries.kind_of(column.type) == reference.kind and reference.kind in bound.module.KINDS


def _like(bound: Bound[Drift], sketch: Any, summary: Summary) -> Any:
    """Return the counts of rows like those that a summary was made from."""
    parts = (bound.module.count(sketch, values) for values in summaries.rows_like(summary))
    nothing = pa.chunked_array([], pa.string() if summary.kind == "category" else pa.float64())
    return reduce(bound.module.merge, parts, bound.module.count(sketch, nothing))


def _changed(pairs: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {name: pair for name, pair in pairs.items() if abs(pair[0] - pair[1]) >= 0.0005}


def _shares(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    n, m = max(1, sum(old.values())), max(1, sum(new.values()))
    return {label: (old.get(label, 0) / n, new.get(label, 0) / m) for label in sorted({*old, *new})}
