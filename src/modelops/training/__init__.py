"""Training: builds a model's artifact in a confined process, once per distinct inputs, and evaluates it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelops.training.building import build, find, record_digest
    from modelops.training.judging import score_with, subject
    from modelops.training.ledger import Run, runs
    from modelops.training.request import BuildRequest, inputs_digest, spec_digest

__all__ = [
    "BuildRequest",
    "Run",
    "build",
    "find",
    "inputs_digest",
    "record_digest",
    "runs",
    "score_with",
    "spec_digest",
    "subject",
]

_PLACES = {
    "BuildRequest": "request",
    "Run": "ledger",
    "build": "building",
    "find": "building",
    "inputs_digest": "request",
    "record_digest": "building",
    "runs": "ledger",
    "score_with": "judging",
    "spec_digest": "request",
    "subject": "judging",
}


def __getattr__(name: str) -> object:
    """Import a part on first use: most verbs need the ledger or a digest, and building loads much more."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
