"""kind: Monitor — what is watched of a model's traffic, and what that triggers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.meta import OpenShare, Plugin, Shelf, Strict
from modelops.spec.resource import AnyResource, Resource, at

PLACE = layout.MONITOR


class Performance(Strict):
    """The metric watched on labels that have arrived; fails when its whole interval lies beyond a limit.

    ``level`` holds for all looks at a release together, however many there are.
    """

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    minimum_labels: Annotated[int, Field(ge=1)] = 100
    level: OpenShare = 0.95


class Retraining(Strict):
    """When the monitor opens a retraining pull request.

    ``sustained`` windows in a row that do not overlap, of one release, must alert, through a week at least; none is
    opened within ``cooldown_days`` of the last one or while one is open. ``lookback_days`` of labelled rows become the
    new snapshot, at least ``minimum_rows`` of which are new. A model that weights its rows (``data.weight``) has none:
    requests and labels bring no weight.
    """

    sustained: Annotated[int, Field(ge=1)] = 1
    cooldown_days: Annotated[int, Field(ge=0)] = 14
    lookback_days: Annotated[int, Field(ge=1)] = 90
    minimum_rows: Annotated[int, Field(ge=1)] = 500
    keep_reference: bool = Field(default=True, description="also keep the rows that the stable release was trained on")


def _listed(value: Any) -> Any:
    """Return one score as a list of one: version 0.1.0 took a single one and wrote it without a list."""
    return (value,) if isinstance(value, dict) and {"type"} <= set(value) <= {"type", "params"} else value


class MonitorSpec(Strict):
    """The spec of a Monitor: the window of the prediction log, what is scored in it, and what that triggers.

    Where a release takes the traffic for ``silent_after_days``, a whole window by default, and no request came in that
    time, monitoring has failed.
    """

    window_days: Annotated[float, Field(gt=0)] = 30.0
    minimum_requests: Annotated[int, Field(ge=1)] = 200
    drift: Annotated[tuple[Plugin, ...], Shelf("drift"), Field(min_length=1), BeforeValidator(_listed)] = (
        Plugin(type="psi"),
    )
    performance: Performance | None = None
    retraining: Retraining | None = None
    silent_after_days: Annotated[float, Field(gt=0)] | None = None


def problems(monitor: Resource[MonitorSpec], around: Around) -> Iterator[Problem]:
    """Yield what is wrong with the scores and the metric that a monitor watches."""
    yield from _named_twice(monitor)
    yield from _without_weights(monitor, around)
    performance = monitor.spec.performance
    if performance is None:
        return
    if around.known.metrics is not None and performance.metric not in around.known.metrics:
        yield unknown_metric(monitor, performance.metric, around.known.metrics)
    if performance.minimum is None and performance.maximum is None:
        said = "neither a minimum nor a maximum is set"
        yield at(monitor, "spec.performance", "missing-limit", said, "add `minimum:` or `maximum:`")


def _named_twice(monitor: Resource[MonitorSpec]) -> Iterator[Problem]:
    types = [plugin.type for plugin in monitor.spec.drift]
    for index, name in enumerate(types):
        if name in types[:index]:
            said = f"the score {name!r} is named twice"
            yield at(monitor, f"spec.drift[{index}]", "score-twice", said, "name each score once")


def _without_weights(monitor: Resource[MonitorSpec], around: Around) -> Iterator[Problem]:
    """Refuse retraining where rows are weighted: requests and labels bring features and truths, and no weight."""
    model = around.folder.only("Model")
    if monitor.spec.retraining is not None and model is not None and model.spec.data.weight is not None:
        said = f"the model weights its rows by {model.spec.data.weight!r}, which no request and no label brings"
        hint = (
            "remove `retraining`, and take a snapshot of rows with weights instead: modelops data snapshot; or remove "
            "data.weight from the model"
        )
        yield at(monitor, "spec.retraining", "retraining-unweighted", said, hint)


def unknown_metric(monitor: AnyResource, metric: str, known: frozenset[str]) -> Problem:
    """Return the Problem of a monitor that watches a metric which does not exist."""
    hint = nearest(metric, known, "metrics")
    return at(monitor, "spec.performance.metric", "unknown-metric", f"there is no metric {metric!r}", hint)
