"""What changed between two snapshots: columns, rows, labels, and the distribution of every shared column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.drift import Score, psi
from modelops.spec.data import Column, DataSnapshotSpec, Sketch

__all__ = ["Comparison", "compare", "comparison_json", "comparison_text"]


@dataclass(frozen=True)
class Comparison:
    """The differences of a new snapshot from an old one.

    ``retyped`` is column -> (old type, new type); ``missing`` and ``balance`` are shares (old, new), where either
    changed; ``drift`` the PSI of each shared profiled column. ``exact`` says that the new rows were counted in the old
    bins; otherwise they were spread over them from the new profile.
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


def compare(
    old: DataSnapshotSpec, new: DataSnapshotSpec, table: pa.Table | None = None, params: psi.Params | None = None
) -> Comparison:
    """Compare two snapshots; with the new one's rows the scores are exact.

    The significance of the scores is divided by the number of columns compared.
    """
    before, after = {c.name: c for c in old.columns}, {c.name: c for c in new.columns}
    shared = [name for name in before if name in after]
    scored = [
        name for name in shared if name in old.profile and psi.kind_of(after[name].type) == old.profile[name].kind
    ]
    if table is None:
        scored = [name for name in scored if name in new.profile]
    base = params or psi.Params()
    used = base.model_copy(update={"significance": base.significance / max(1, len(scored)), "minimum": 1})
    drift = {name: _score(used, old.profile[name], new, after[name], table) for name in scored}
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
        drift=drift,
        exact=table is not None,
    )


def _score(
    params: psi.Params, reference: Sketch, new: DataSnapshotSpec, column: Column, table: pa.Table | None
) -> Score:
    if table is not None:
        return psi.score(params, reference, psi.count(reference, table.column(column.name)))
    return psi.score(params, reference, _spread(new.profile[column.name], reference, column))


def _changed(pairs: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {name: pair for name, pair in pairs.items() if abs(pair[0] - pair[1]) >= 0.0005}


def _shares(old: Mapping[str, int], new: Mapping[str, int]) -> dict[str, tuple[float, float]]:
    n, m = max(1, sum(old.values())), max(1, sum(new.values()))
    return {label: (old.get(label, 0) / n, new.get(label, 0) / m) for label in sorted({*old, *new})}


def _spread(sketch: Sketch, onto: Sketch, column: Column) -> Sketch:
    """Return the counts of a sketch in the bins of another, taking values as evenly spread within a bin."""
    if sketch.kind == "category":
        counts = dict(zip(sketch.categories, sketch.counts, strict=True))
        listed = [counts.pop(name, 0) for name in onto.categories]
        return onto.model_copy(
            update={"counts": tuple(listed), "other": sum(counts.values()) + sketch.other, "missing": sketch.missing}
        )
    if not isinstance(column.minimum, int | float) or not isinstance(column.maximum, int | float):
        low, high = (min(sketch.edges), max(sketch.edges)) if sketch.edges else (0.0, 0.0)
    else:
        low, high = float(column.minimum), float(column.maximum)
    knots = [min(low, *sketch.edges, low), *sketch.edges, max(high, *sketch.edges, high)]
    below = np.interp(onto.edges, knots, [0, *np.cumsum(sketch.counts)]) if onto.edges else np.empty(0)
    total = sum(sketch.counts)
    marks = [0, *np.rint(below).astype(int).tolist(), total]
    return onto.model_copy(
        update={"counts": tuple(b - a for a, b in pairwise(marks)), "other": 0, "missing": sketch.missing}
    )


def comparison_json(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data."""
    record = asdict(found) | {"drifted": list(found.drifted)}
    return {_camel(key): value for key, value in record.items()}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def comparison_text(found: Comparison) -> str:
    """Return a comparison in sentences and a list, the most drifted column first."""
    lines = ["The files are the same, byte by byte."] if found.same_bytes else []
    lines.append(f"rows: {found.rows[0]} -> {found.rows[1]}")
    lines += [f"column added: {name}" for name in found.added]
    lines += [f"column removed: {name}" for name in found.removed]
    lines += [f"column {name}: {old} -> {new}" for name, (old, new) in found.retyped.items()]
    lines += [f"missing in {name}: {old:.1%} -> {new:.1%}" for name, (old, new) in found.missing.items()]
    lines += [f"label {name}: {old:.1%} -> {new:.1%}" for name, (old, new) in found.balance.items()]
    for name in found.drifted:
        lines.append(f"{found.drift[name].level}: {name}: {found.drift[name].reason}")
    quiet = len(found.drift) - len(found.drifted)
    if found.drift:
        how = "" if found.exact else " (estimated from the profiles)"
        lines.append(f"{quiet} of {len(found.drift)} compared columns did not change in distribution{how}")
    return "\n".join(lines)
