"""The prediction log: every answer with its inputs, release, arm and later its truth, in one directory of files."""

from modelops.predictions.arms import ArmRows, ShadowPairs, arm_rows, arm_rows_of, shadow_pairs
from modelops.predictions.chain import Mark
from modelops.predictions.features import feature_columns
from modelops.predictions.keeping import expired, export, retain
from modelops.predictions.log import LogStats, PredictionLog
from modelops.predictions.read import Logged, count, draw, find, places, read_window
from modelops.predictions.schema import (
    Reception,
    Row,
    ShadowRow,
    label_number,
    label_text,
    positive_spellings,
    spellings,
)
from modelops.predictions.segments import marks
from modelops.predictions.verify import Examined, Flaw, examine, grown

__all__ = [
    "ArmRows",
    "Examined",
    "Flaw",
    "LogStats",
    "Logged",
    "Mark",
    "PredictionLog",
    "Reception",
    "Row",
    "ShadowPairs",
    "ShadowRow",
    "arm_rows",
    "arm_rows_of",
    "count",
    "draw",
    "examine",
    "expired",
    "export",
    "feature_columns",
    "find",
    "grown",
    "label_number",
    "label_text",
    "marks",
    "places",
    "positive_spellings",
    "read_window",
    "retain",
    "shadow_pairs",
    "spellings",
]
