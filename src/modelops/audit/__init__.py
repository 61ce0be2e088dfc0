"""Audit: which release answered, what made it, who approved it and what proves that, from git and the local log."""

from modelops.audit.answers import (
    Code,
    Data,
    EnvironmentAnswer,
    ModelThere,
    PredictionAnswer,
    PromotionAnswer,
    ReleaseAnswer,
    ReleaseThere,
    Trust,
    to_dict,
)
from modelops.audit.questions import environment, prediction, prediction_logs, release
from modelops.audit.records import project_of

__all__ = [
    "Code",
    "Data",
    "EnvironmentAnswer",
    "ModelThere",
    "PredictionAnswer",
    "PromotionAnswer",
    "ReleaseAnswer",
    "ReleaseThere",
    "Trust",
    "environment",
    "prediction",
    "prediction_logs",
    "project_of",
    "release",
    "to_dict",
]
