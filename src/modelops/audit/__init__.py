"""Audit: which release answered, what made it, who approved it and what proves that, from git and the local log."""

from modelops.audit.answers import (
    Code,
    Data,
    Dropped,
    EnvironmentAnswer,
    LogAnswer,
    ModelThere,
    Part,
    PredictionAnswer,
    PromotionAnswer,
    Reexplained,
    ReleaseAnswer,
    ReleaseThere,
    Rescored,
    RowProof,
    Sample,
    Trust,
    Unapproved,
    to_dict,
)
from modelops.audit.entities import Answered, of_entity
from modelops.audit.logged import KnownLog
from modelops.audit.questions import environment, log, prediction, prediction_in, release
from modelops.audit.records import Asked
from modelops.audit.rescoring import Rescorer
from modelops.audit.seals import read_seals, remembered

__all__ = [
    "Answered",
    "Asked",
    "Code",
    "Data",
    "Dropped",
    "EnvironmentAnswer",
    "KnownLog",
    "LogAnswer",
    "ModelThere",
    "Part",
    "PredictionAnswer",
    "PromotionAnswer",
    "Reexplained",
    "ReleaseAnswer",
    "ReleaseThere",
    "Rescored",
    "Rescorer",
    "RowProof",
    "Sample",
    "Trust",
    "Unapproved",
    "environment",
    "log",
    "of_entity",
    "prediction",
    "prediction_in",
    "read_seals",
    "release",
    "remembered",
    "to_dict",
]
