"""Metrics by name, with confidence intervals, over predictions with known truth."""

from modelops.metrics.catalog import (
    COMPARABLE,
    METRICS,
    NAMES,
    ComparableMetricName,
    MetricName,
    default_metrics,
    greater_is_better,
)
from modelops.metrics.measuring import Difference, measure, measure_all, paired_difference, undefined
from modelops.metrics.rows import FloatArray, Predictions, loss_per_row

__all__ = [
    "COMPARABLE",
    "METRICS",
    "NAMES",
    "ComparableMetricName",
    "Difference",
    "FloatArray",
    "MetricName",
    "Predictions",
    "default_metrics",
    "greater_is_better",
    "loss_per_row",
    "measure",
    "measure_all",
    "paired_difference",
    "undefined",
]
