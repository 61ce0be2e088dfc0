"""A window report as plain data, as text for a terminal, and as Markdown for a pull request."""

from __future__ import annotations

from typing import Any

from modelops.clock import format_instant
from modelops.drift import Score
from modelops.monitoring.report import FeatureReport, Rate, WindowReport

__all__ = ["to_json", "to_markdown", "to_text"]


def to_json(report: WindowReport) -> dict[str, Any]:
    """Return a report as plain data with camelCase keys."""
    performance = report.performance
    return {
        "model": report.model,
        "since": format_instant(report.since),
        "until": format_instant(report.until),
        "rows": report.rows,
        "failed": report.failed,
        "level": report.level,
        "findings": list(report.findings),
        "features": [_feature(feature) for feature in report.features],
        "score": None if report.score is None else _score(report.score),
        "performance": None
        if performance is None
        else {
            "metric": performance.metric,
            "verdict": performance.verdict,
            "value": None if performance.value is None else performance.value.model_dump(by_alias=True),
            "minimum": performance.minimum,
            "maximum": performance.maximum,
            "labelled": performance.labelled,
            "predictions": performance.predictions,
            "labelledShare": performance.labelled_share,
            "reason": performance.reason,
        },
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "value": score.value,
        "expected": score.expected,
        "critical": score.critical,
        "level": score.level,
        "referenceRows": score.reference_n,
        "windowRows": score.window_n,
        "reason": score.reason,
    }


def _rate(rate: Rate | None) -> dict[str, Any] | None:
    return None if rate is None else {"value": rate.value, "reference": rate.reference, "raised": rate.raised}


def _feature(feature: FeatureReport) -> dict[str, Any]:
    return {
        "name": feature.name,
        "drift": _score(feature.drift),
        "missing": _rate(feature.missing),
        "unseen": _rate(feature.unseen),
        "outOfRange": _rate(feature.out_of_range),
    }


def _window(report: WindowReport) -> str:
    failed = f", {report.failed} of them failed" if report.failed else ""
    return f"{format_instant(report.since)} to {format_instant(report.until)}: {report.rows} rows{failed}"


def _rows(report: WindowReport) -> list[tuple[str, str, str, str, str]]:
    """Return the table's rows: name, PSI, what chance gives, missing, level; the most drifted first."""
    ranked = sorted(report.features, key=lambda feature: -feature.drift.value)
    rows: list[tuple[str, str, str, str, str]] = [
        (f.name, f"{f.drift.value:.3f}", f"{f.drift.critical:.3f}", f"{f.missing.value:.1%}", f.drift.level)
        for f in ranked
    ]
    if report.score is not None:
        rows.append(("(score)", f"{report.score.value:.3f}", f"{report.score.critical:.3f}", "", report.score.level))
    return rows


_HEADER = ("feature", "PSI", "chance", "missing", "level")


def to_text(report: WindowReport) -> str:
    """Return a report for a terminal."""
    lines = [f"{_window(report)}, level {report.level}", *(f"  {sentence}" for sentence in report.findings)]
    if report.performance is not None and report.performance.verdict == "pass":
        lines.append(f"  {report.performance.reason}")
    rows = _rows(report)
    if rows:
        cells = [_HEADER, *rows]
        widths = [max(len(row[index]) for row in cells) for index in range(len(_HEADER))]
        for row in cells:
            lines.append("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())
    return "\n".join(lines)


def to_markdown(report: WindowReport) -> str:
    """Return a report for a pull request."""
    lines = [f"**Window** {_window(report)}. **Level** {report.level}.", ""]
    lines += [f"- {_escaped(sentence)}" for sentence in report.findings]
    if report.performance is not None and report.performance.verdict == "pass":
        lines.append(f"- {_escaped(report.performance.reason)}.")
    rows = _rows(report)
    if rows:
        lines += ["", f"| {' | '.join(_HEADER)} |", f"|{' --- |' * len(_HEADER)}"]
        lines += [f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Keep names of columns, which come from files, from being read as markup."""
    for character in "\\`*_{}[]<>|#":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")
