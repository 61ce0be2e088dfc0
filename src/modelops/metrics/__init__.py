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
from modelops.metrics.consistency import contradictions
from modelops.metrics.knowing_nothing import baseline, confusion
from modelops.metrics.measuring import Difference, measure, measure_all, paired_difference, undefined
from modelops.metrics.rows import FloatArray, Predictions
from modelops.metrics.sizes import unsettled

__all__ = [
    "COMPARABLE",
    "METRICS",
    "NAMES",
    "ComparableMetricName",
    "Difference",
    "FloatArray",
    "MetricName",
    "Predictions",
    "baseline",
    "confusion",
    "contradictions",
    "default_metrics",
    "greater_is_better",
    "measure",
    "measure_all",
    "paired_difference",
    "undefined",
    "unsettled",
]
