"""What the server counts: plain numbers on the event loop, put into Prometheus' form when someone asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from modelops.predictions import PredictionLog
from modelops.spec.layout import SAID
from modelops.spec.routing import LATENCY_BOUNDS

__all__ = ["CONTENT_TYPE", "ArmCounts", "ServerMetrics", "exposition", "of_passes"]

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
BUCKETS = LATENCY_BOUNDS
_OF_PASSES = (
    *("modelops_reconcile_", "modelops_monitor_", "modelops_alerts_", "modelops_key_expiry_"),
    *("modelops_objective_", "modelops_incidents_", "modelops_retrainings_"),
)
_ARM = ("model", "release", "arm")


@dataclass(slots=True)
class ArmCounts:
    """The counts of one arm: answers by duration, their rows and seconds by part; ``last`` is epoch seconds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    errors: int = 0
    error_seconds: float = 0.0
    rows: int = 0
    input_seconds: float = 0.0
    infer_seconds: float = 0.0
    last: float = 0.0

    def answered(self, seconds: float) -> None:
        """Count an answer and how long it took."""
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


@dataclass(slots=True)
class ShadowCounts:
    """What became of the copies for one shadow arm."""

    answered: int = 0
    errors: int = 0
    timeouts: int = 0
    dropped: int = 0


class ServerMetrics:
    """All counts of one process; only the event loop changes them, but a thread that loads adds new ones at 0."""

    def __init__(self, log: PredictionLog) -> None:
        self._log = log
        self.arms: dict[tuple[str, str, str], ArmCounts] = {}
        self.shadows: dict[tuple[str, str, str], ShadowCounts] = {}
        self._refused: Counter[tuple[str, str]] = Counter()
        self._feedback: Counter[tuple[str, str]] = Counter()
        self._tables: Counter[str] = Counter(taken=0, refused=0)
        self._table_error = False

    def arm(self, model: str, release: int, arm: str) -> ArmCounts:
        """Return the counts of one arm; they appear at 0 from now on."""
        return self.arms.setdefault((model, str(release), arm), ArmCounts())

    def shadow(self, model: str, release: int, arm: str) -> ShadowCounts:
        """Return the counts of the copies for one shadow arm."""
        return self.shadows.setdefault((model, str(release), arm), ShadowCounts())

    def model(self, model: str) -> None:
        """Let the feedback counts of a model appear at 0."""
        for outcome in ("accepted", "unknown", "refused"):
            self._feedback[model, outcome] += 0

    def refused(self, model: str, status: int) -> None:
        """Count a refusal; requests for no known model have the model ""."""
        self._refused[model, str(status)] += 1

    def feedback(self, model: str, outcome: str, count: int = 1) -> None:
        """Count labels."""
        self._feedback[model, outcome] += count

    def table(self, taken: bool) -> None:
        """Count a routing table that was taken up or refused."""
        self._tables["taken" if taken else "refused"] += 1
        self._table_error = not taken

    def families(self) -> list[Metric]:
        """Return everything in Prometheus' form."""
        return [*self._arm_families(), *self._shadow_families(), *self._other_families(), *_log_families(self._log)]

    def statistics(self) -> list[dict[str, Any]]:
        """Return the counts of all arms, one object each, to be added up over arms and processes."""
        return [
            {"model": model, "release": release, "count": sum(counts.buckets), **asdict(counts)}
            for (model, release, _), counts in tuple(self.arms.items())
        ]

    def _arm_families(self) -> Iterable[Metric]:
        requests = CounterMetricFamily("modelops_requests", "Infer requests that reached a release.", labels=_ARM)
        errors = CounterMetricFamily("modelops_errors", "Infer requests on which a release failed.", labels=_ARM)
        seconds = HistogramMetricFamily("modelops_request_seconds", "Time of an answer.", labels=_ARM)
        for labels, counts in tuple(self.arms.items()):
            below = list(accumulate(counts.buckets))
            requests.add_metric(labels, below[-1])
            errors.add_metric(labels, counts.errors)
            bounds = [str(bound) for bound in BUCKETS] + ["+Inf"]
            seconds.add_metric(labels, list(zip(bounds, below, strict=True)), counts.seconds)
        return requests, errors, seconds

    def _shadow_families(self) -> Iterable[Metric]:
        for name, text in (
            ("answered", "Copies that a shadow arm answered in time."),
            ("errors", "Copies on which a shadow arm failed."),
            ("timeouts", "Copies that a shadow arm did not answer in time."),
            ("dropped", "Copies that were not made because the queue was full, or that the caller made impossible."),
        ):
            family = CounterMetricFamily(f"modelops_shadow_{name}", text, labels=_ARM)
            for labels, counts in tuple(self.shadows.items()):
                family.add_metric(labels, getattr(counts, name))
            yield family

    def _other_families(self) -> Iterable[Metric]:
        refused, feedback, tables = (
            CounterMetricFamily(name, text, labels=labels)
            for name, text, labels in (
                ("modelops_refused", "Requests refused, by HTTP status.", ("model", "status")),
                ("modelops_feedback", "Labels received, by outcome.", ("model", "outcome")),
                ("modelops_routing_tables", "Routing tables taken up or refused.", ("outcome",)),
            )
        )
        for family, counts in ((refused, self._refused), (feedback, self._feedback)):
            for labels, count in tuple(counts.items()):
                family.add_metric(labels, count)
        for outcome, count in tuple(self._tables.items()):
            tables.add_metric((outcome,), count)
        error = "1 while the newest routing table is refused."
        return refused, feedback, tables, GaugeMetricFamily("modelops_routing_table_error", error, self._table_error)


def _log_families(log: PredictionLog) -> Iterable[Metric]:
    stats = log.stats
    yield GaugeMetricFamily("modelops_log_queue_depth", "Entries waiting to be written.", log.depth)
    yield CounterMetricFamily("modelops_log_written", "Rows written to the prediction log.", stats.written)
    yield CounterMetricFamily("modelops_log_dropped", "Buffered rows lost because the disk refused.", stats.dropped)
    yield CounterMetricFamily("modelops_log_commits", "Commits of the prediction log.", stats.commits)
    yield CounterMetricFamily("modelops_log_commit_seconds", "Time spent in commits.", stats.commit_seconds)


def of_passes(runtime: Path) -> list[Metric]:
    """Return what the last passes of the loop and the monitor said on this machine, as their files hold it.

    A file that cannot be read is counted and says nothing; names of the server's own are passed over.
    """
    found: dict[str, Metric] = {}
    unread = 0
    for path in sorted((runtime / SAID).glob("*.prom")):
        try:
            families = [*text_string_to_metric_families(path.read_text(encoding="utf-8"))]
        except (OSError, ValueError):
            unread += 1
            continue
        for family in families:
            if family.name.startswith(_OF_PASSES):
                known = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                known.samples.extend(family.samples)
    lost = GaugeMetricFamily("modelops_pass_files_unread", "Files of passes that cannot be read.", unread)
    return [*found.values(), lost]


class _Given(Collector):
    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return what was given."""
        return self._families


def exposition(families: Sequence[Metric]) -> bytes:
    """Return metrics in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Given(families))
    return generate_latest(registry)
