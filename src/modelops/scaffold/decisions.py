"""What was decided about columns when a model was drafted, a line each: nothing is decided in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelops.spec.kinds.data_snapshot import DataSnapshotSpec

if TYPE_CHECKING:
    from modelops.scaffold.model import Draft

__all__ = ["decisions"]


def decisions(draft: Draft, spec: DataSnapshotSpec) -> dict[str, str]:
    """Return by column how it was read where that is not the plain way, and what identity and time were taken for."""
    from modelops.data.decisions import of_column, of_table
    from modelops.scaffold.roles import SPLIT

    data = draft.spec.data
    used = {feature.name for feature in data.features} | {data.target, data.id, data.time, data.weight}
    found = of_table(spec)
    if SPLIT in draft.roles.said:
        found[SPLIT] = draft.roles.said[SPLIT]
    # The target first: of many lines only the first are shown.
    for column in sorted(spec.columns, key=lambda column: column.name != data.target):
        lines = _of_target(draft, spec.rows) if column.name == data.target else []
        lines += [of_column(column, spec.rows)] if column.name in used else []
        lines.append(draft.roles.said.get(column.name, ""))
        lines += [finding.said for finding in draft.used if finding.name == column.name]
        if column.name == data.time and spec.time_span is not None:
            lines.append(f"times run from {spec.time_span.first} to {spec.time_span.last}, and the newest rows test")
        if any(lines):
            found[column.name] = "; ".join(line for line in lines if line)
    return found


def _of_target(draft: Draft, rows: int) -> list[str]:
    """Return what is said of the target, and how many rows teach nothing as they have none."""
    unlabelled = rows - draft.target.rows
    left_out = f"{unlabelled:,} of {rows:,} rows have no {draft.target.name} and are left out"
    return [draft.target.said, *([left_out] if unlabelled else [])]
