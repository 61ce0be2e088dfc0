"""Monitoring: pure functions from a window of the prediction log to a report, a decision, and new training rows."""

from modelops.monitoring.rendering import to_json, to_markdown, to_text
from modelops.monitoring.report import FeatureReport, PerformanceReport, Rate, WindowReport
from modelops.monitoring.retraining import Decision, labelled_rows, should_retrain
from modelops.monitoring.window import score_window

__all__ = [
    "Decision",
    "FeatureReport",
    "PerformanceReport",
    "Rate",
    "WindowReport",
    "labelled_rows",
    "score_window",
    "should_retrain",
    "to_json",
    "to_markdown",
    "to_text",
]
