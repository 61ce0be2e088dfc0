"""Scores that are too good to be true: what a reviewer is asked to look at before believing them."""

from __future__ import annotations

from collections.abc import Iterable

from modelops.spec.kinds.release import MetricValue

__all__ = ["too_good"]

_SURE = {
    "roc-auc": 0.995,
    "accuracy": 0.995,
    "balanced-accuracy": 0.995,
    "macro-f1": 0.995,
    "r2": 0.999,
}
"""From which lower bound on a metric is nearly perfect; log-loss and errors have no scale of their own to say so.

Accuracy counts for several classes alone: of two, the larger one may make it perfect.
"""

_FLAWLESS = 0.9999
_ENOUGH = 0.97
"""A value without a flaw is asked about from this lower bound on, which a few dozen test rows do not reach."""


def too_good(metrics: Iterable[MetricValue]) -> MetricValue | None:
    """Return the metric that is (nearly) perfect by its interval, if one is; that is a question and no verdict.

    Examples
    --------
    >>> too_good([MetricValue(name="roc-auc", value=1.0, lower=0.9946, upper=1.0, level=0.95, n=900, method="DeLong")])
    MetricValue(name='roc-auc', value=1.0, lower=0.9946, upper=1.0, level=0.95, n=900, method='DeLong')
    >>> too_good([MetricValue(name="roc-auc", value=1.0, lower=0.93, upper=1.0, level=0.95, n=40, method="DeLong")])
    """
    found = {metric.name: metric for metric in metrics}
    if "roc-auc" in found:
        found.pop("accuracy", None)
    for name, sure in _SURE.items():
        metric = found.get(name)
        if metric is None:
            continue
        if metric.lower > sure or (metric.value >= _FLAWLESS and metric.lower > _ENOUGH):
            return metric
    return None
