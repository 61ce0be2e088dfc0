"""A data snapshot: what it describes, and whether its source still is what was pinned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.data.datasheet import unanswered
from modelops.data.decisions import of_column, of_table
from modelops.errors import Problem
from modelops.markup import plain
from modelops.project.snapshots import Seal
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.views.terminal import table


def line(name: str, spec: DataSnapshotSpec) -> str:
    """Return a snapshot that was just taken, in a line, and one for each decision about how it is read."""
    return "\n".join([f"{name}: {spec.rows} rows, {len(spec.columns)} columns, {spec.root}", *_read(spec)])


def _read(spec: DataSnapshotSpec) -> list[str]:
    found = of_table(spec) | {c.name: how for c in spec.columns if (how := of_column(c, spec.rows))}
    found |= {column: f"not read: {why}" for column, why in spec.unread.items()}
    return [f"  {plain(what)}: {plain(how)}" for what, how in found.items()]


def text(name: str, spec: DataSnapshotSpec) -> str:
    """Return columns, labels, and what the datasheet leaves open."""
    gaps = {section: count for section, count in unanswered(spec.datasheet).items() if count}
    rows = [
        (plain(c.name), c.type, c.missing, c.distinct, *map(_cell, (c.minimum, c.maximum, c.mean)))
        for c in spec.columns
    ]
    lines = [f"{name}: {spec.rows} rows in {len(spec.files)} {spec.format} files, {spec.root}"]
    lines.append(f"source: {' '.join(spec.source.command) or spec.source.location or 'the store'}")
    lines.append(f"owner: {spec.source.owner}; upstream: {', '.join(spec.source.upstream) or 'not declared'}")
    if spec.time_span is not None:
        lines.append(f"time: {spec.time_span.first} to {spec.time_span.last}")
    if spec.balance:
        total = sum(spec.balance.values())
        shares = ", ".join(f"{label} {count / total:.1%}" for label, count in list(spec.balance.items())[:10])
        lines.append(f"target {spec.target}: {shares}")
    lines = [
        *map(plain, lines),
        "",
        table(("column", "type", "missing", "distinct", "minimum", "maximum", "mean"), rows),
    ]
    if read := _read(spec):
        lines += ["", "read:", *read]
    if gaps:
        listed = ", ".join(f"{section} {count}" for section, count in gaps.items())
        lines += ["", f"datasheet questions not answered: {listed}"]
    return "\n".join(lines)


def seal(found: Seal) -> str:
    """Return who signed a snapshot, or that nobody did."""
    if found.problem is not None:
        return plain(f"signature REFUSED: {found.problem}")
    if found.key is None:
        return "unsigned: made before snapshots were signed, or where no key for it was"
    return f"signature verified, by {plain(found.key)}"


def _cell(value: object) -> str:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else plain(value)


def data(name: str, path: str, spec: DataSnapshotSpec) -> dict[str, Any]:
    """Return what a snapshot pins, without its profiles."""
    return {
        "snapshot": name,
        "path": path,
        "root": spec.root,
        "rows": spec.rows,
        "columns": {column.name: column.type for column in spec.columns},
        "files": len(spec.files),
        "target": spec.target,
        "balance": spec.balance,
        "read": of_table(spec) | {c.name: how for c in spec.columns if (how := of_column(c, spec.rows))},
        "unread": spec.unread,
    }


def verified_text(name: str, files: int, problems: int) -> str:
    """Return how many files are what was pinned."""
    whole = "1 file is" if files == 1 else f"all {files} files are"
    return f"{name}: {problems} of {files} files differ" if problems else f"{name}: {whole} what was pinned"


def verified_data(name: str, spec: DataSnapshotSpec, problems: Sequence[Problem]) -> dict[str, Any]:
    """Return every file that is not what was pinned."""
    return {
        "snapshot": name,
        "root": spec.root,
        "files": len(spec.files),
        "problems": [{"code": each.code, "file": str(each.location), "message": each.message} for each in problems],
    }
