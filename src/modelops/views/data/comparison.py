"""What changed from one snapshot to another."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelops.data.comparison import Comparison
from modelops.markup import plain


def data(found: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data."""
    record = asdict(found) | {"drifted": list(found.drifted)}
    return {_camel(key): value for key, value in record.items()}


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def text(found: Comparison) -> str:
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
    return "\n".join(map(plain, lines))
