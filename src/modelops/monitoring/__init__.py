"""Monitoring: pure functions from a window of the prediction log to a report, a decision, and new training rows."""

from modelops.monitoring.estimated import Holdout
from modelops.monitoring.importance import ranked
from modelops.monitoring.report import FeatureReport, PerformanceReport, Rate, WindowReport
from modelops.monitoring.retraining import Attempt, Attempts, Decision, Past, should_retrain
from modelops.monitoring.rows import NewRows, Span, labelled_rows, new_rows
from modelops.monitoring.stretches import stretches
from modelops.monitoring.window import Beside, Reference, score_window

__all__ = [
    "Attempt",
    "Attempts",
    "Beside",
    "Decision",
    "FeatureReport",
    "Holdout",
    "NewRows",
    "Past",
    "PerformanceReport",
    "Rate",
    "Reference",
    "Span",
    "WindowReport",
    "labelled_rows",
    "new_rows",
    "ranked",
    "score_window",
    "should_retrain",
    "stretches",
]
