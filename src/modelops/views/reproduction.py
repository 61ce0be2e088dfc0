"""A release beside its rebuild."""

from __future__ import annotations

import math
from typing import Any

from modelops.changes.reproduction import LEVELS, TOLERANCE, Comparison, Level
from modelops.markup import plain

_MEANING: dict[Level, str] = {
    "bytes": "the artifact has the same bytes",
    "parameters": "the estimator has learnt the same arrays",
    "predictions": f"the test rows get the same predictions, at most {TOLERANCE:g} apart",
    "metrics": f"the metrics and their intervals are the same, at most {TOLERANCE:g} apart",
}


def text(found: Comparison) -> str:
    """Return a line for each thing that was compared and for each level, and the answer last."""
    lines = [
        f"{'=' if said == got else '!'} {what}: {said}" + ("" if said == got else f", rebuilt: {got}")
        for what, said, got in found.rows
    ]
    lines += [f"! input: {what}" for what in found.inputs]
    lines += [_level(found, level) for level in LEVELS]
    lines += [f"! {what} of the commit is not what the release names" for what in found.foreign]
    return "\n".join(map(plain, [*lines, f"{found.model} release {found.number}: {_answer(found)}"]))


def _level(found: Comparison, level: Level) -> str:
    reached = found.levels[level]
    if reached is None:
        return f"? level {level}, {_MEANING[level]}: cannot be compared: {found.missing}"
    apart = ""
    if level == "predictions" and found.largest is not None and not found.levels["bytes"]:
        apart = f" (here {found.largest:.3g})"
    return f"{'=' if reached else '!'} level {level}, {_MEANING[level]}: {'' if reached else 'not '}reached{apart}"


def _answer(found: Comparison) -> str:
    level = found.level
    if level == "bytes" and not found.foreign:
        return "the rebuild is identical" + (", though from other inputs" if found.inputs else "")
    if level is None:
        return "the rebuild is NOT identical, and the same at no level"
    return f"the rebuild is NOT identical, and reaches the level {level}: {_MEANING[level]}"


def data(found: Comparison) -> dict[str, Any]:
    """Return what was compared."""
    rows = [{"what": what, "released": said, "rebuilt": got, "equal": said == got} for what, said, got in found.rows]
    largest = found.largest if found.largest is not None and math.isfinite(found.largest) else None
    return {
        "model": found.model,
        "release": found.number,
        "identical": found.level == "bytes" and not found.foreign,
        "level": found.level,
        "levels": dict(found.levels),
        "inputs": list(found.inputs),
        "foreign": list(found.foreign),
        "largestDifference": largest,
        "comparison": rows,
    }
