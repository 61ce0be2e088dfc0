"""What a caller may know of: the one place where models, releases, metrics and statistics of others are left out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ALL", "Sight", "view_for", "without_paths"]

View = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sight:
    """What one caller sees: the models by name, None for all of them, and the key that is its own."""

    models: frozenset[str] | None = None
    key: str | None = None

    def has(self, model: str) -> bool:
        """Tell whether a model is there for this caller."""
        return self.models is None or model in self.models


ALL = Sight()
"""What is seen by those who are on the machine, and by everybody where there are no keys."""
_PATHS = re.compile(r"(?<![\w./\\])(?:[A-Za-z]:)?(?:[/\\][\w.@+~-]+){2,}")


def without_paths(text: str) -> str:
    """Return a text without the paths of this machine, which are for nobody who only asks for answers."""
    return _PATHS.sub("<path>", text)


def view_for(view: View, sight: Sight) -> dict[str, Any]:
    """Return what one caller may see of a worker's view of itself."""
    if sight.models is None:
        return dict(view)
    return {
        "worker": view["worker"],
        "pid": view["pid"],
        "status": _status(view["status"], sight),
        "families": _families(view["families"], sight),
        "statistics": [each for each in view["statistics"] if sight.has(each["model"])],
    }


def _status(status: View, sight: Sight) -> dict[str, Any]:
    arms = [
        {**arm, "error": arm["error"] and without_paths(arm["error"])}
        for arm in status["arms"]
        if sight.has(arm["model"])
    ]
    error = status["error"] and "the newest routing table cannot be loaded"
    log = {"error": status["log"]["error"] and "the prediction log cannot be written"}
    return {"table": status["table"], "error": error, "environment": status["environment"], "arms": arms, "log": log}


def _families(families: Sequence[Any], sight: Sight) -> list[Any]:
    """Keep the series of one's own models and of one's own key; what counts for all of them together is for nobody."""
    kept = []
    for name, documentation, kind, samples in families:
        mine = [sample for sample in samples if _is_mine(sample[1], sight)]
        if mine:
            kept.append([name, documentation, kind, mine])
    return kept


def _is_mine(labels: Mapping[str, str], sight: Sight) -> bool:
    if "model" in labels:
        return sight.has(labels["model"])
    return "key" in labels and labels["key"] == sight.key
