"""What recent traffic said: scores, findings and performance of a window, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from modelops.changes.retraining import Watched
from modelops.clock import format_instant
from modelops.drift import Score
from modelops.markup import escape, plain
from modelops.markup import table as markdown_table
from modelops.metrics import aims
from modelops.monitoring import Past, ranked
from modelops.monitoring.feedback.found import Feedback
from modelops.monitoring.report import (
    Detected,
    Distribution,
    EstimatedReport,
    FeatureReport,
    PerformanceReport,
    Rate,
    WindowReport,
    worst,
)
from modelops.views.reports import incidents
from modelops.views.terminal import table

LOOKS = 24
"""So many of the last windows are told."""


def text(environment: str, watched: Sequence[Watched]) -> str:
    """Return what was found about every model, and what was decided."""
    parts = []
    for found in watched:
        parts.append(f"{found.seat.model} release {found.release} in {environment}\n{report_text(found.report)}")
        parts += [f"objective: {plain(line)}" for line in aims.sentences(found.aim)] if found.aim else []
        if found.silent:
            parts.append(f"silent: {plain(found.silent)}")
        parts += incidents.lines(found.kept)
        parts += map(incidents.filed_line, found.postmortems)
        parts += map(plain, decided(found))
    return "\n".join(parts) or f"no monitored model is stable in {environment}"


def decided(found: Watched) -> Iterator[str]:
    """Yield what was decided about a retraining: whether it is due, what it lacks, and the pull request."""
    if found.decision is not None:
        yield f"retraining: {found.decision.reason}"
    if found.lacks:
        yield found.lacks
    if found.pull is not None:
        number = found.pull.number
        said = f"pull request {number} asks for it already" if found.already else f"opened pull request {number}"
        yield f"{said}: {found.pull.title}"


def data(environment: str, watched: Sequence[Watched]) -> list[dict[str, Any]]:
    """Return what was found about every model, and what was decided."""
    return [
        {
            "model": found.seat.model,
            "environment": environment,
            "release": found.release,
            "report": report_data(found.report),
            "silent": found.silent or None,
            "retraining": None
            if found.decision is None
            else {
                "fire": found.decision.fire,
                "trigger": found.decision.trigger,
                "reason": found.decision.reason,
                "lacks": found.lacks or None,
            },
            "pullRequest": found.pull.number if found.pull is not None else None,
            "holdout": None if found.holdout is None else found.holdout.model_dump(by_alias=True),
            "earlier": [_past(past) for past in found.earlier[-LOOKS:]],
            "triage": incidents.data(found.kept),
            "postmortems": [incidents.filed(one) for one in found.postmortems],
            "objective": None if found.aim is None else aims.data(found.aim),
        }
        for found in watched
    ]


def _past(past: Past) -> dict[str, Any]:
    known = past.value is not None
    return {
        "since": format_instant(past.since),
        "until": format_instant(past.until),
        "release": past.release,
        "level": past.level,
        "strength": past.strength,
        "verdict": past.verdict,
        "value": {"value": past.value, "lower": past.lower, "upper": past.upper} if known else None,
    }


def report_data(report: WindowReport) -> dict[str, Any]:
    """Return a window's report."""
    return {
        "model": report.model,
        "since": format_instant(report.since),
        "until": format_instant(report.until),
        "release": report.release,
        "like": report.like or None,
        "against": report.against or None,
        "rows": report.rows,
        "failed": report.failed,
        "level": report.level,
        "findings": list(report.findings),
        "features": [_feature(feature) for feature in report.features],
        "scores": _scores(report.scores),
        "distribution": _distribution(report.answers),
        "arms": [
            {
                "release": arm.release,
                "rows": arm.rows,
                "level": worst(arm.scores.values()),
                "scores": _scores(arm.scores),
                "distribution": _distribution(arm.distribution),
            }
            for arm in report.arms
        ],
        "domain": None
        if report.domain is None
        else {
            "area": report.domain.area,
            "lower": report.domain.lower,
            "upper": report.domain.upper,
            "critical": report.domain.critical,
            "level": report.domain.level,
            "referenceRows": report.domain.reference_n,
            "windowRows": report.domain.window_n,
            "reason": report.domain.reason,
        },
        "performance": _performance(report.performance),
        "estimated": _estimated(report.estimated),
        "feedback": _feedback(report.feedback),
        "suspects": [
            {
                "source": one.name,
                "owner": one.owner,
                "contact": one.contact,
                "features": list(one.features),
                "missing": list(one.gone),
                "silent": one.silent,
            }
            for one in report.suspects
        ],
        "detected": [_seen(one) for one in report.detected],
        "slices": [
            {
                "name": part.name,
                "rows": part.rows,
                "share": part.share,
                "performance": _performance(part.performance),
            }
            for part in report.slices
        ],
        "labelDelay": None
        if report.delay is None
        else {
            "labels": report.delay.labels,
            "medianDays": report.delay.within(0.5) / timedelta(days=1),
            "nineTenthsDays": report.delay.within(0.9) / timedelta(days=1),
            "complete": report.delay.complete,
            "early": report.delay.early,
        },
    }


def _seen(one: Detected) -> dict[str, Any]:
    return {
        "detector": one.detector,
        "at": format_instant(one.at),
        "label": one.label,
        "labels": one.labels,
        "before": one.before,
        "after": one.after,
    }


def _performance(performance: PerformanceReport | None) -> dict[str, Any] | None:
    if performance is None:
        return None
    return {
        "metric": performance.metric,
        "verdict": performance.verdict,
        "value": None if performance.value is None else performance.value.model_dump(by_alias=True),
        "minimum": performance.minimum,
        "maximum": performance.maximum,
        "labelled": performance.labelled,
        "predictions": performance.predictions,
        "labelledShare": performance.labelled_share,
        "looks": performance.looks,
        "selection": performance.selection or None,
        "reason": performance.reason,
    }


def _feedback(found: Feedback | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "loop": found.loop,
        "fired": [{"detector": name, "reason": said} for name, said in found.fired],
        "told": list(found.told),
        "answers": found.answers,
        "labels": found.labels,
        "coverage": [
            {"from": one.low, "to": one.high, "answers": one.answers, "labels": one.labels, "upper": one.upper}
            for one in found.buckets
        ],
        "selectionArea": found.area,
        "positivity": found.positivity,
        "leastChance": found.least,
        "effectiveLabels": found.effective,
        "meanWeight": found.mean_weight,
        "drawn": found.drawn,
        "reviewed": found.reviewed,
        "reviewedPositives": found.positives,
        "recall": None if found.recall is None else dict(zip(("value", "lower", "upper"), found.recall, strict=True)),
        "recallOfLabels": found.seen,
        "unverifiedNegatives": found.unverified,
        "ownPositives": found.own,
        "effectiveAnswers": found.kinds,
    }


def _estimated(found: EstimatedReport | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "metric": found.metric,
        "verdict": found.verdict,
        "value": None
        if found.value is None
        else {
            "value": found.value.value,
            "lower": found.value.lower,
            "upper": found.value.upper,
            "level": found.value.level,
            "n": found.value.n,
            "method": found.value.method,
            "calibrationError": found.value.calibration_error,
        },
        "reason": found.reason,
    }


def _scores(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {key: _score(score) for key, score in scores.items()}


def _score(score: Score) -> dict[str, Any]:
    return {
        "name": score.name,
        "value": score.value,
        "expected": score.expected,
        "critical": score.critical,
        "warn": score.warn,
        "alert": score.alert,
        "level": score.level,
        "direction": score.direction or None,
        "referenceRows": score.reference_n,
        "windowRows": score.window_n,
        "reason": score.reason,
    }


def _rate(rate: Rate | None) -> dict[str, Any] | None:
    return None if rate is None else {"value": rate.value, "reference": rate.reference, "raised": rate.raised}


def _feature(feature: FeatureReport) -> dict[str, Any]:
    return {
        "name": feature.name,
        "level": feature.level,
        "importance": feature.share,
        "carries": feature.carries,
        "scores": _scores(feature.scores),
        "missing": _rate(feature.missing),
        "unseen": _rate(feature.unseen),
        "outOfRange": _rate(feature.out_of_range),
        "distribution": _distribution(feature.distribution),
    }


def _distribution(found: Distribution | None) -> list[dict[str, Any]] | None:
    """Return the rows of reference and window in each bin; of numbers with the ends that it has."""
    if found is None:
        return None
    edges = found.reference.edges if found.reference.kind == "number" else ()
    lows, highs = (None, *edges), (*edges, None)
    ends = [{"from": low, "below": high} for low, high in zip(lows, highs, strict=True)] if edges else []
    return [
        {"name": each.name, "reference": each.reference, "window": each.window, **(ends[at] if at < len(ends) else {})}
        for at, each in enumerate(found.bins)
    ]


def window_line(report: WindowReport) -> str:
    """Say which window it is, and how many rows it has."""
    failed = f", {report.failed} of them failed" if report.failed else ""
    return f"{format_instant(report.since)} to {format_instant(report.until)}: {report.rows} rows{failed}"


def _table(report: WindowReport) -> list[list[str]]:
    """Return header and rows: name, each score beside what chance gives, missing, level; what carries it first."""
    told = ranked(report.features)
    shown = [report.scores, *(feature.scores for feature in told)]
    names = {key: score.name for scores in shown for key, score in scores.items()}

    def row(name: str, scores: Mapping[str, Score], missing: str, level: str) -> list[str]:
        cells = [name]
        for key in names:
            score = scores.get(key)
            cells += ["", ""] if score is None else [f"{score.value:.3f}", f"{score.critical:.3f}"]
        return [*cells, missing, level]

    rows = [row(each.name, each.scores, f"{each.missing.value:.1%}", each.level) for each in told]
    if report.scores:
        rows.append(row("(score)", report.scores, "", worst(report.scores.values())))
    header = ["feature", *(cell for name in names.values() for cell in (name, "chance")), "missing", "level"]
    return [header, *rows] if rows else []


def _slices(report: WindowReport) -> list[str]:
    """Return a line for each declared part: its answers, and the metric on its labels."""
    lines = []
    for part in report.slices:
        measured = f"; {part.performance.reason}" if part.performance is not None else ""
        lines.append(f"{part.name}: {part.rows} answers, {part.share:.1%}{measured}")
    return lines


def report_text(report: WindowReport) -> str:
    """Return a window's report, the findings first, then a row for each feature."""
    lines = [f"{window_line(report)}, level {report.level}", *(f"  {plain(sentence)}" for sentence in report.findings)]
    if report.performance is not None and report.performance.verdict == "pass":
        lines.append(f"  {plain(report.performance.reason)}")
    if report.against:
        lines.append(f"  held against {plain(report.against)}")
    if report.domain is not None and report.domain.level == "none":
        lines.append(f"  {plain(report.domain.reason)}")
    if report.estimated is not None and report.estimated.verdict in ("pass", "inconclusive"):
        lines.append(f"  {plain(report.estimated.reason)}")
    lines += [f"  {plain(line)}" for line in _slices(report)]
    cells = [[plain(cell) for cell in row] for row in _table(report)]
    return "\n".join([*lines, *(f"  {line}" for line in table(cells[0], cells[1:]).splitlines())] if cells else lines)


def report_markdown(report: WindowReport) -> str:
    """Return a window's report for a pull request."""
    lines = [f"**Window** {window_line(report)}. **Level** {report.level}.", ""]
    lines += [f"- {escape(sentence)}" for sentence in report.findings]
    if report.performance is not None and report.performance.verdict == "pass":
        lines.append(f"- {escape(report.performance.reason)}.")
    cells = _table(report)
    lines += ["", markdown_table([escape(cell) for cell in cells[0]], cells[1:])] if cells else []
    return "\n".join(lines) + "\n"
