"""Which metrics there are: their names, tasks, direction and how their interval is made."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from math import inf
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from modelops.errors import failure
from modelops.spec.kinds.model import Task

Interval = Literal["proportion", "cells", "mean", "rank", "rows"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; ``greater_is_better`` is None where the best value lies inside the range (a bias of zero).

    ``interval`` names the family: ``proportion`` (Wilson), ``cells`` (posterior of the confusion matrix), ``mean``
    (Student's t over per-row values), ``rank`` (DeLong), ``rows`` (bootstrap). ``least`` and ``most`` are the ends of
    what it can be, infinite where it has no end.
    """

    name: str
    tasks: tuple[Task, ...]
    greater_is_better: bool | None
    interval: Interval
    least: float = 0.0
    most: float = inf


_BINARY: tuple[Task, ...] = ("binary-classification",)
_MULTI: tuple[Task, ...] = ("multiclass-classification",)
_REGRESSION: tuple[Task, ...] = ("regression",)

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _BINARY + _MULTI, True, "proportion", 0.0, 1.0),
        Metric("balanced-accuracy", _BINARY + _MULTI, True, "cells", 0.0, 1.0),
        Metric("precision", _BINARY, True, "proportion", 0.0, 1.0),
        Metric("recall", _BINARY, True, "proportion", 0.0, 1.0),
        Metric("f1", _BINARY, True, "cells", 0.0, 1.0),
        Metric("macro-f1", _MULTI, True, "cells", 0.0, 1.0),
        Metric("roc-auc", _BINARY, True, "rank", 0.0, 1.0),
        Metric("average-precision", _BINARY, True, "rows", 0.0, 1.0),
        Metric("log-loss", _BINARY + _MULTI, False, "mean"),
        Metric("brier", _BINARY, False, "mean", 0.0, 1.0),
        Metric("mae", _REGRESSION, False, "mean"),
        Metric("rmse", _REGRESSION, False, "rows"),
        Metric("r2", _REGRESSION, True, "rows", -inf, 1.0),
        Metric("bias", _REGRESSION, None, "mean", -inf, inf),
        Metric("mape", _REGRESSION, False, "mean"),
    )
}
NAMES: tuple[str, ...] = tuple(METRICS)
COMPARABLE: tuple[str, ...] = tuple(name for name, metric in METRICS.items() if metric.greater_is_better is not None)

_DEFAULTS: dict[Task, tuple[str, ...]] = {
    "binary-classification": (
        "roc-auc",
        "average-precision",
        "recall",
        "precision",
        "f1",
        "balanced-accuracy",
        "accuracy",
        "log-loss",
        "brier",
    ),
    "multiclass-classification": ("accuracy", "balanced-accuracy", "macro-f1", "log-loss"),
    "regression": ("mae", "rmse", "r2", "bias"),
}


def _near(name: str, among: tuple[str, ...]) -> str:
    near = get_close_matches(name, among, n=1)
    return f"did you mean {near[0]!r}?" if near else f"one of: {', '.join(among)}"


def metric(name: str) -> Metric:
    """Return a metric by name; an unknown one is an error that names the nearest."""
    if name not in METRICS:
        raise failure("unknown-metric", f"there is no metric named {name!r}", hint=_near(name, NAMES))
    return METRICS[name]


def greater_is_better(name: str) -> bool | None:
    """Say whether more of a metric is better; None for ``bias``, whose best value is zero."""
    return metric(name).greater_is_better


def default_metrics(task: Task) -> tuple[str, ...]:
    """Return the metrics that every release of a task reports."""
    return _DEFAULTS[task]


def _known(among: tuple[str, ...]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in among:
            raise ValueError(f"{name!r} is not a metric that can be used here; {_near(name, among)}")
        return name

    return AfterValidator(check)


MetricName = Annotated[str, _known(NAMES), Field(json_schema_extra={"enum": list(NAMES)})]
ComparableMetricName = Annotated[str, _known(COMPARABLE), Field(json_schema_extra={"enum": list(COMPARABLE)})]
