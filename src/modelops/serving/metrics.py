"""What the server counts, for Prometheus; labels are bound once per loaded release."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from modelops.predictions import PredictionLog

__all__ = ["CONTENT_TYPE", "ArmMetrics", "ServerMetrics"]

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ARM = ("model", "release", "arm")


@dataclass(frozen=True, slots=True)
class ArmMetrics:
    """The counters of one arm, ready to be called."""

    requests: Any
    errors: Any
    seconds: Any


class _LogCollector(Collector):
    """Reads the prediction log's own counts when someone asks."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log

    def collect(self) -> Iterable[Metric]:
        """Return the log's metrics."""
        stats = self._log.stats
        yield GaugeMetricFamily("modelops_log_queue_depth", "Entries waiting to be written.", self._log.depth)
        yield CounterMetricFamily("modelops_log_written", "Rows written to the prediction log.", stats.written)
        yield CounterMetricFamily("modelops_log_dropped", "Buffered rows lost because the disk refused.", stats.dropped)
        yield CounterMetricFamily("modelops_log_commits", "Commits of the prediction log.", stats.commits)
        yield CounterMetricFamily("modelops_log_commit_seconds", "Time spent in commits.", stats.commit_seconds)


class ServerMetrics:
    """The registry of one server."""

    def __init__(self, log: PredictionLog) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_LogCollector(log))
        self._requests = self._counter("modelops_requests", "Infer requests that reached a release.", _ARM)
        self._errors = self._counter("modelops_errors", "Infer requests on which a release failed.", _ARM)
        self._seconds = Histogram(
            "modelops_request_seconds", "Time of an answer.", _ARM, buckets=BUCKETS, registry=self.registry
        )
        self._refused = self._counter("modelops_refused", "Requests refused, by HTTP status.", ("model", "status"))
        self._feedback = self._counter("modelops_feedback", "Labels received, by outcome.", ("model", "outcome"))
        self._tables = self._counter("modelops_routing_tables", "Routing tables taken up or refused.", ("outcome",))
        self.table_error = Gauge(
            "modelops_routing_table_error", "1 while the newest routing table is refused.", registry=self.registry
        )
        self.table_taken = self._tables.labels("taken")
        self.table_refused = self._tables.labels("refused")

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def arm(self, model: str, release: int, arm: str) -> ArmMetrics:
        """Return the counters of one arm; they appear at 0 from now on."""
        labels = (model, str(release), arm)
        return ArmMetrics(
            self._requests.labels(*labels).inc, self._errors.labels(*labels).inc, self._seconds.labels(*labels).observe
        )

    def model(self, model: str) -> None:
        """Let the feedback counters of a model appear at 0."""
        for outcome in ("accepted", "unknown", "refused"):
            self._feedback.labels(model, outcome)

    def refused(self, model: str, status: int) -> None:
        """Count a refusal; requests for no known model have the model ""."""
        self._refused.labels(model, str(status)).inc()

    def feedback(self, model: str, outcome: str, count: int = 1) -> None:
        """Count labels."""
        self._feedback.labels(model, outcome).inc(count)

    def text(self) -> bytes:
        """Return the exposition format."""
        return generate_latest(self.registry)
