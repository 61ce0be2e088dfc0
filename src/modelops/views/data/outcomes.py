"""What the data source of a model's objective had beyond the values that were entered before."""

from __future__ import annotations

from typing import Any

from modelops.data.upstream.outcomes import Entered
from modelops.markup import plain
from modelops.metrics.aims import told
from modelops.spec.kinds.outcomes import BusinessObjective, Figure
from modelops.spec.layout import OUTCOMES


def text(model: str, objective: BusinessObjective, found: Entered) -> str:
    """Return a line for each value that was entered, that differs, and that was passed over."""
    path = OUTCOMES.path(model)
    lines = [f"entered into {path}: {told(objective, one)}" for one in found.new]
    lines += [
        f"DIFFERS: {told(objective, before)} was entered, and the source has {told(objective, now)}; "
        f"if the source is right, mend {path}"
        for before, now in found.other
    ]
    lines += [f"passed over: {line}" for line in found.skipped]
    if found.new:
        lines.append(f"propose it: git add {path}")
    return "\n".join(map(plain, lines)) or f"{path} has everything that the source has"


def data(model: str, found: Entered) -> dict[str, Any]:
    """Return what was entered, what differs, and what was passed over."""
    return {
        "model": model,
        "path": OUTCOMES.path(model),
        "entered": [_figure(one) for one in found.new],
        "differs": [{"entered": _figure(before), "source": _figure(now)} for before, now in found.other],
        "skipped": list(found.skipped),
    }


def _figure(one: Figure) -> dict[str, Any]:
    return one.model_dump(by_alias=True)
