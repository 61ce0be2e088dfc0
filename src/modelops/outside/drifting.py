"""Monitoring alone: two tables of rows, and which columns are another way now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelops import drift
from modelops.data import Wanted
from modelops.data.comparison import SCORE, Comparison, compare
from modelops.errors import Exit, failure
from modelops.outside.tables import Reader, Rows
from modelops.plugins import keys
from modelops.spec.explain import nearest
from modelops.spec.meta import Plugin

__all__ = ["Drifted", "drifted"]


@dataclass(frozen=True)
class Drifted:
    """How the rows of a window compare with those of a reference."""

    reference: Rows
    window: Rows
    found: Comparison

    @property
    def alert(self) -> bool:
        """Whether some column drifted beyond its limit."""
        return any(score.level == "alert" for score in self.found.drift.values())

    @property
    def untold(self) -> tuple[str, ...]:
        """Columns of which so few rows say nothing: chance alone gives what would be beyond the limit."""
        return tuple(
            name
            for name, score in self.found.drift.items()
            if score.level == "no-data" or (score.level != "alert" and score.critical >= score.alert)
        )

    @property
    def passed(self) -> bool:
        """Whether every column was told from one that drifted beyond its limit, and at least one was looked at."""
        return bool(self.found.drift) and not self.alert and not self.untold


def drifted(
    reader: Reader, reference: Path, window: Path, *, columns: Sequence[str] = (), score: str | None = None
) -> Drifted:
    """Compare two files, by some columns or all, and by a score of the drift shelf; the window's rows are counted."""
    plugin = SCORE
    if score is not None:
        if score not in keys("drift"):
            hint = nearest(score, keys("drift"))
            raise failure("unknown-plugin", f"{score!r} is no drift score", exit=Exit.USAGE, hint=hint)
        plugin = Plugin(type=score)
    drift.bind(plugin)
    before = reader.rows(reference, Wanted(features=tuple(columns) or None))
    for name in columns:
        if name not in before.table.column_names:
            hint = nearest(name, before.table.column_names, "columns")
            raise failure("unknown-column", f"{before.file} has no column {name!r}", exit=Exit.USAGE, hint=hint)
    types = {each.name: each.type for each in before.spec.columns}
    now = reader.rows(window, Wanted(features=tuple(columns) or None, types=types), before.spec)
    if not {each.name for each in now.spec.columns} & types.keys():
        said = f"{before.file} and {now.file} have no column in common"
        raise failure("nothing-to-compare", said, exit=Exit.USAGE, hint="name two tables of the same rows' columns")
    old = before.spec
    if columns:
        profile = {name: old.profile[name] for name in columns if name in old.profile}
        old = old.model_copy(update={"profile": profile})
    return Drifted(before, now, compare(old, now.spec, now.table, plugin))
