"""What a pass says in Prometheus' form: that it was made, how seats stand, when keys end, and if people are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric

from modelops.clock import parse_instant
from modelops.errors import ModelOpsError, Problem
from modelops.monitoring.exposing import expose
from modelops.monitoring.telling import Standing, standing
from modelops.project.workspace import Workspace
from modelops.reconcile.loop import Condition, Result
from modelops.spec.graph import Graph

__all__ = ["expose_pass", "of_keys", "of_pass", "of_telling"]


def expose_pass(workspace: Workspace, result: Result) -> tuple[Problem, ...]:
    """Write what a pass came to beside the runtime; return why that could not be done, which fails nobody."""
    name = result.plan.environment
    _, graph = workspace.known()
    now = workspace.clock()
    deployed = [model for model, entry in graph.models.items() if name in entry.deployments]
    try:
        told = standing(workspace, graph, name, deployed, now)
        families = [*of_pass(result.conditions, now.timestamp()), *of_keys(_ends(graph))]
        families += of_telling(told) if told is not None else ()
        expose(workspace.site(name).runtime, "reconcile", families)
    except ModelOpsError as error:
        return error.problems
    return ()


def of_pass(conditions: Iterable[Condition], now: float) -> Iterator[Metric]:
    """Yield that a pass was made, and how seats stand."""
    said = "When the last pass ended."
    yield GaugeMetricFamily("modelops_reconcile_last_pass_timestamp_seconds", said, now)
    stalled = GaugeMetricFamily("modelops_reconcile_stalled", "1 while a model cannot go on.", labels=["model"])
    for condition in conditions:
        stalled.add_metric([condition.model], float(condition.type == "Stalled"))
    yield stalled


def _ends(graph: Graph) -> Iterator[tuple[str, datetime]]:
    """Yield when signing keys end that are trusted, and are not revoked."""
    for policy in graph.policies.get("TrustPolicy", {}).values():
        for key in policy.spec.keys:
            if key.valid_until is not None and key.revoked is None:
                yield key.name, parse_instant(key.valid_until)


def of_keys(ends: Iterable[tuple[str, datetime]]) -> Iterator[Metric]:
    """Yield when keys end."""
    said = "When a key signs nothing any more."
    family = GaugeMetricFamily("modelops_key_expiry_timestamp_seconds", said, labels=["signing_key"])
    for name, end in ends:
        family.add_metric([name], end.timestamp())
    yield family


def of_telling(told: Standing) -> Iterator[Metric]:
    """Yield whether people are told."""
    untold = sum(one.told is None and not one.why for one in told.open)
    yield GaugeMetricFamily("modelops_alerts_untold", "What nobody was told of although somebody should be.", untold)
    failing = "Ways of alerting that took nothing when they were tried last."
    yield GaugeMetricFamily("modelops_alerts_failing_ways", failing, len(told.failing))
