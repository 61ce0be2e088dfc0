"""Releases: the signed files of a release and of a promotion, their verification, the model card and the report."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelops.releases.approval import ModelApproval
    from modelops.releases.assemble import release_files
    from modelops.releases.promotions import next_promotion, promotion_files, rollout_outcome_line, verify_promotion

__all__ = [
    "ModelApproval",
    "next_promotion",
    "promotion_files",
    "release_files",
    "rollout_outcome_line",
    "verify_promotion",
]

_PLACES = {
    "ModelApproval": "approval",
    "next_promotion": "promotions",
    "promotion_files": "promotions",
    "release_files": "assemble",
    "rollout_outcome_line": "promotions",
    "verify_promotion": "promotions",
}


def __getattr__(name: str) -> object:
    """Import a part on first use: records are read and verified far more often than cards are written."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
