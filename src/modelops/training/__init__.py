"""Training: builds a model's artifact in a confined process, once per distinct inputs, and evaluates it."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelops.training.building import Build, build, divided, retrained
    from modelops.training.judging import subject
    from modelops.training.ledger import Run, looks, runs
    from modelops.training.rechecking import recheck
    from modelops.training.request import BuildRequest, differing_inputs, inputs_digest, spec_digest
    from modelops.training.stored import find, record_digest, reference

__all__ = [
    "Build",
    "BuildRequest",
    "Run",
    "build",
    "differing_inputs",
    "divided",
    "find",
    "inputs_digest",
    "looks",
    "recheck",
    "record_digest",
    "reference",
    "retrained",
    "runs",
    "spec_digest",
    "subject",
]

_PLACES = {
    "Build": "building",
    "BuildRequest": "request",
    "Run": "ledger",
    "build": "building",
    "differing_inputs": "request",
    "divided": "building",
    "find": "stored",
    "inputs_digest": "request",
    "looks": "ledger",
    "recheck": "rechecking",
    "record_digest": "stored",
    "reference": "stored",
    "retrained": "building",
    "runs": "ledger",
    "spec_digest": "request",
    "subject": "judging",
}


def __getattr__(name: str) -> object:
    """Import a part on first use: most verbs need the ledger or a digest, and building loads much more."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
