"""The prediction log: every answer with its inputs, release, arm and later its truth, in one directory of files."""

from modelops.predictions.arms import ArmRows, ShadowPairs, arm_rows, shadow_pairs
from modelops.predictions.features import feature_columns
from modelops.predictions.keeping import export, retain
from modelops.predictions.log import LogStats, PredictionLog
from modelops.predictions.read import Logged, count, find, latest_time, read_window
from modelops.predictions.schema import Outcome, Row, ShadowRow, label_text
from modelops.predictions.segments import DIRECTORY

__all__ = [
    "DIRECTORY",
    "ArmRows",
    "LogStats",
    "Logged",
    "Outcome",
    "PredictionLog",
    "Row",
    "ShadowPairs",
    "ShadowRow",
    "arm_rows",
    "count",
    "export",
    "feature_columns",
    "find",
    "label_text",
    "latest_time",
    "read_window",
    "retain",
    "shadow_pairs",
]
