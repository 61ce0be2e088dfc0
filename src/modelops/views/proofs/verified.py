"""What does not hold of everything that a branch claims, and what was looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelops.changes.verifying import Verification
from modelops.markup import plain
from modelops.views.proofs import branch
from modelops.views.terminal import colored

__all__ = ["data", "text"]


def text(found: Verification) -> str:
    """Return what was checked, each thing that does not hold with what to do, and the answer last."""
    counted = ", ".join(f"{count} {what}" for what, count in found.counted.items())
    lines = [f"checked: {counted}", branch.text(found.judgement)]
    for one in found.problems:
        lines.append(f"{colored('DOES NOT HOLD', 'red', bold=True)} {plain(replace(one, hint=None))}")
        lines += [f"  {plain(one.hint)}"] if one.hint else []
    if found.unsigned:
        lines.append(f"without a signature: {plain(', '.join(found.unsigned))}")
    wrong = len(found.problems) + len(found.judgement.open)
    lines.append("everything holds" if found.ok else f"{wrong} {'thing does' if wrong == 1 else 'things do'} not hold")
    return "\n".join(lines)


def data(found: Verification) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "checked": dict(found.counted),
        "branch": branch.data(found.judgement),
        "problems": [
            {"code": one.code, "message": one.message, "file": one.location.path if one.location else None}
            for one in found.problems
        ],
        "unsigned": list(found.unsigned),
        "ok": found.ok,
    }
