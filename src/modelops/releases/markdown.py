"""The parts that a release's documents share: its gates as a table, a metric as a cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modelops.markup import Markup, code, escape, interval, number, table
from modelops.spec.kinds.model import Task
from modelops.spec.kinds.release import (
    Baseline,
    Confusion,
    MetricValue,
    ReleaseArtifact,
    Search,
    VerdictRecord,
    WaiverUse,
)
from modelops.spec.meta import Scalar

WORDS = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "❔ inconclusive", "no-data": "⚪ no data"}


def gates_table(verdicts: Iterable[VerdictRecord], limit: int | None = None) -> Markup:
    """Return what each gate measured, against what, and what follows from it."""
    headers = ("Gate", "Verdict", "Value", "Interval", "Limit", "n", "Why")
    rows = [
        (
            code(f"{one.policy}/{one.gate}", 80),
            _word(one),
            number(one.value),
            interval(one.lower, one.upper),
            number(one.limit),
            Markup("–" if one.n is None else f"{one.n:,}"),
            f"{one.reason}. {one.toothless}" if one.toothless else one.reason,
        )
        for one in verdicts
    ]
    return table(headers, rows, limit)


def _word(one: VerdictRecord) -> Markup:
    """Return a verdict and what follows from it; an exception changes what follows, and not the verdict."""
    if one.waiver is not None:
        return Markup(f"{WORDS[one.verdict]}, ⚠️ waived until {escape(one.waiver.expires)} by {code(one.waiver.name)}")
    return Markup(WORDS[one.verdict] + (" (blocks)" if one.blocking else ""))


def waivers_table(verdicts: Iterable[VerdictRecord], rules: Iterable[WaiverUse] = ()) -> Markup:
    """Return the exceptions that let verdicts through, and those from ``rules``; empty where there are none."""
    rows = [
        (
            code(one.of, 80),
            code(one.name),
            one.reason,
            one.expires,
            ", ".join(one.granted_by),
            ", ".join(one.environments),
            code(one.commit[:12]),
        )
        for one in (*(verdict.waiver for verdict in verdicts if verdict.waiver is not None), *rules)
    ]
    headers = ("Exception from", "Waiver", "Why", "Until", "Granted by", "Environments", "Commit")
    return table(headers, rows) if rows else Markup("")


def metric_cell(metric: MetricValue | None) -> Markup:
    """Return a metric with its interval."""
    return Markup("–") if metric is None else Markup(f"{number(metric.value)} ({interval(metric.lower, metric.upper)})")


def rows_counted(n: int, effective: float | None) -> str:
    """Return how many rows a metric was measured on, and of weighted ones how many they are worth."""
    return f"{n:,}" if effective is None else f"{n:,}, worth {max(1, int(effective)):,}"


def weight_sentence(column: str) -> str:
    """Say that rows count for what a column says, in plain text."""
    said = "training, metrics and baseline count each row for that much; worth is of how many equally weighted rows"
    return f"weighted by {column}: {said}"


def weighted_otherwise(release: int, before: str | None, now: str | None) -> str:
    """Say that the metrics of another release are of other weights, nothing where they are of the same ones."""
    if before == now:
        return ""
    counted = f"weights its rows by {before}" if before is not None else "counts each row once"
    return f"release {release} {counted}: its metrics as they were recorded are not of the same weights"


def search_sentence(search: Search) -> str:
    """Say what a search over parameters tried and what it found."""
    best = ", ".join(f"{name} {value}" for name, value in search.best.items()) or "no parameter"
    tried = f"{search.by} over {search.splits} splits, {search.candidates} candidates"
    if search.mean is None:
        return f"{tried}; best: {best}"
    spread = f" ± {search.deviation:.2g}" if search.deviation is not None else ""
    lowest = f", the worst {search.worst:.4g}" if search.worst is not None else ""
    return f"{tried}; best by {search.scoring} ({search.mean:.4g}{spread}{lowest}): {best}"


def baseline_sentence(baseline: Baseline, task: Task) -> str:
    """Return what the baseline of a release answers, in plain text."""
    if task == "regression":
        return f"baseline: always {float(str(baseline.answer)):.4g}, the mean of the training rows"
    return f"baseline: always {baseline.answer}, the most frequent class of the training rows"


def confusion_rows(confusion: Confusion, classes: Sequence[Scalar]) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table: the class of the test rows, and what they were taken for."""
    names = [str(label) for label in classes]
    header = ["truth", *(f"answered {name}" for name in names)]
    return header, [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, confusion.counts, strict=True)]


def confusion_title(confusion: Confusion) -> str:
    """Return what a table of answers is about."""
    return "test rows" if confusion.threshold is None else f"test rows at threshold {confusion.threshold:.4g}"


def served_by(artifact: ReleaseArtifact) -> str:
    """Return the name of what serves an artifact that ONNX does not."""
    return "scikit-learn" if artifact.engine == "sklearn" else artifact.engine


def library(artifact: ReleaseArtifact) -> str:
    """Return whose answers those of the served form were compared with."""
    return " and ".join(artifact.runtimes) or "scikit-learn"


def equality_table(artifact: ReleaseArtifact) -> Markup:
    """Return on how many rows of which kind the served form was compared, and how far it was off at most."""
    rows = [
        (each.rows_of, Markup(f"{each.rows:,}"), number(each.difference), Markup(f"{each.labels:,}"))
        for each in artifact.equality
    ]
    return table(("Compared on", "Rows", "Largest difference", "Other labels"), rows)
