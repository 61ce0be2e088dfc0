"""What passes say in Prometheus' form: files that the server of the same machine adds to its own metrics.

Elsewhere the textfile collector of the node exporter takes them. Each file is replaced whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelops.drift import Level
from modelops.files import write_atomically
from modelops.monitoring.report import WindowReport
from modelops.monitoring.triage import NOTHING, Kept
from modelops.spec.kinds.alert_policy import TIERS
from modelops.spec.layout import SAID, slug

__all__ = ["expose", "expose_windows"]

_LEVELS: tuple[Level, ...] = ("none", "warn", "alert", "no-data")


class _Given(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        """Return what was given."""
        return self._families


def expose(runtime: Path, name: str, families: Iterable[Metric]) -> None:
    """Write the file of a pass."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families))
    write_atomically(runtime / SAID / f"{name}.prom", generate_latest(registry))


def expose_windows(
    runtime: Path,
    reports: Iterable[WindowReport],
    models: Collection[str],
    now: datetime,
    kept: Mapping[str, Kept] = MappingProxyType({}),
) -> None:
    """Write one file for each window that was scored, with what is ``kept`` of its model.

    Those of models that are not among ``models`` go: what nobody looks at any more would be told for ever as it was
    last.
    """
    for report in reports:
        families = [*_of_window(report, now), *_of_triage(report.model, kept.get(report.model, NOTHING))]
        expose(runtime, f"monitor-{slug(report.model)}", families)
    wanted = {f"monitor-{slug(model)}.prom" for model in models}
    for path in (runtime / SAID).glob("monitor-*.prom"):
        if path.name not in wanted:
            path.unlink(missing_ok=True)


def _of_window(report: WindowReport, now: datetime) -> Iterator[Metric]:
    def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(f"modelops_monitor_{name}", text, labels=["model", *labels])

    def one(name: str, text: str, value: float) -> GaugeMetricFamily:
        family = gauge(name, text)
        family.add_metric([report.model], value)
        return family

    yield one("last_look_timestamp_seconds", "When a window was scored last.", now.timestamp())
    yield one("window_rows", "Logged rows of the last window.", report.rows)
    yield one("window_failed_rows", "Rows of the last window without an answer.", report.failed)
    level = gauge("level", "1 for the level that the last window has.", "level")
    for name in _LEVELS:
        level.add_metric([report.model, name], float(report.level == name))
    yield level
    strength = gauge("feature_strength", "The strongest drift score of a feature in units of its limit.", "feature")
    for feature in report.features:
        strength.add_metric([report.model, feature.name], feature.strength)
    yield strength
    missing = gauge("feature_missing_ratio", "Share of the rows of the last window without a value.", "feature")
    for feature in report.features:
        missing.add_metric([report.model, feature.name], feature.missing.value)
    yield missing
    yield from _of_performance(report, gauge)


def _of_triage(model: str, kept: Kept) -> Iterator[Metric]:
    """Yield how far promises are kept, how many incidents are open, and how many retrainings the month had."""
    left = GaugeMetricFamily(
        "modelops_objective_budget_left_ratio", "Part of the error budget that is left.", labels=["model", "objective"]
    )
    rate = GaugeMetricFamily(
        "modelops_objective_burn_rate", "How fast the error budget goes; 1 spends it in its period.",
        labels=["model", "objective", "window"],
    )  # fmt: skip
    for one in kept.budgets:
        if not one.lacking:
            left.add_metric([model, one.promise], 1 - one.spent)
            for window, value in one.rates.items():
                rate.add_metric([model, one.promise, window], value)
    yield left
    yield rate
    many = GaugeMetricFamily("modelops_incidents_open", "Incidents that are open.", labels=["model", "event"])
    for event in TIERS:
        many.add_metric([model, event], sum(one.open and one.event == event for one in kept.incidents))
    yield many
    if kept.spent is not None:
        runs = GaugeMetricFamily("modelops_retrainings_this_month", "Retrainings opened.", labels=["model"])
        runs.add_metric([model], kept.spent.runs)
        yield runs


def _of_performance(report: WindowReport, gauge: Callable[..., GaugeMetricFamily]) -> Iterator[Metric]:
    performance = report.performance
    if performance is None:
        return
    labelled = gauge("labelled_ratio", "Share of the answers of the last window whose label has arrived.")
    labelled.add_metric([report.model], performance.labelled_share)
    yield labelled
    found = performance.value
    for name, text, value in (
        ("performance", "The watched metric on the labels that have arrived.", found.value if found else None),
        ("performance_lower", "Lower end of its interval.", found.lower if found else None),
        ("performance_upper", "Upper end of its interval.", found.upper if found else None),
        ("performance_minimum", "The least that it may be.", performance.minimum),
        ("performance_maximum", "The most that it may be.", performance.maximum),
    ):
        if value is not None:
            family = gauge(name, text, "metric")
            family.add_metric([report.model, performance.metric], value)
            yield family
