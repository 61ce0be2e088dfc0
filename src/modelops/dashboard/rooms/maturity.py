"""Maturity: the level of the repository and of each model, what is missing for the next one, and how to get it."""

from __future__ import annotations

from modelops.dashboard.look import Look
from modelops.dashboard.rooms import Room
from modelops.maturity import LEVELS
from modelops.maturity.report import report
from modelops.serving.guard.visible import Sight

__all__ = ["maturity"]

_MODELS = 200


def maturity(look: Look, sight: Sight) -> Room:
    """Return the page; those who see some models only see nothing of the others, and no level of all together."""
    key = ("maturity", look.tip)
    found = look.workspace.once(key, lambda: report(look.workspace))
    models = sorted((one for one in found.models if sight.has(one.subject)), key=lambda one: (one.level, one.subject))
    shown = {
        "found": found,
        "whole": sight.models is None,
        "models": models[:_MODELS],
        "more": max(0, len(models) - _MODELS),
        "levels": LEVELS,
        "known": set(look.graph.models),
    }
    return Room("maturity.html", "Maturity", shown)
