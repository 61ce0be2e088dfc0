"""The prediction log: every answer with its inputs, release, arm and later its truth, in one SQLite file."""

from modelops.predictions.log import LogStats, PredictionLog
from modelops.predictions.read import (
    ArmRows,
    Logged,
    arm_rows,
    count,
    feature_columns,
    find,
    latest_time,
    read_window,
)
from modelops.predictions.schema import FILE_NAME, Row, label_text

__all__ = [
    "FILE_NAME",
    "ArmRows",
    "LogStats",
    "Logged",
    "PredictionLog",
    "Row",
    "arm_rows",
    "count",
    "feature_columns",
    "find",
    "label_text",
    "latest_time",
    "read_window",
]
