"""Monitoring: pure functions from a window of the prediction log to a report, a decision, and new training rows."""

from modelops.monitoring.report import FeatureReport, PerformanceReport, Rate, WindowReport
from modelops.monitoring.retraining import Decision, Past, should_retrain
from modelops.monitoring.rows import NewRows, labelled_rows, new_rows
from modelops.monitoring.stretches import stretches
from modelops.monitoring.window import Reference, score_window

__all__ = [
    "Decision",
    "FeatureReport",
    "NewRows",
    "Past",
    "PerformanceReport",
    "Rate",
    "Reference",
    "WindowReport",
    "labelled_rows",
    "new_rows",
    "score_window",
    "should_retrain",
    "stretches",
]
