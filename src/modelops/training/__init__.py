"""Training: builds a model's artifact in a confined process, once per distinct inputs, and evaluates it."""

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
