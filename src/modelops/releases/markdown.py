"""Values to Markdown: whatever a spec says stays text and never becomes markup, HTML or a table's cell border."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from modelops.spec.delivery import MetricValue, VerdictRecord

# Controls, and the marks that turn the direction of text and so hide what is written.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]+")
_MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_LEADING = re.compile(r"^(?:(#{1,6}|[+-])(?=\s|$)|(\d+)(?=[.)](?:\s|$)))")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Markup(str):
    """Markdown that was made here and is not escaped again."""

    __slots__ = ()


def escape(value: object, limit: int = 4000) -> Markup:
    """Return any value as one line of plain text in Markdown, cut to a number of characters."""
    text = _UNSEEN.sub(" ", str(value)).strip()
    if len(text) > limit:
        text = text[: limit - 1] + "…"
    text = _MARKUP.sub(r"\\\g<0>", text)
    # A number keeps its digits: "1\. " is a text, "1. " begins a list.
    text = _LEADING.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\", text)
    return Markup(text.translate(_ENTITIES))


def code(value: object, limit: int = 200) -> Markup:
    """Return a value as inline code that also fits into a table."""
    text = _UNSEEN.sub(" ", str(value)).strip()[:limit] or " "
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return Markup(f"{fence}{pad}{text}{pad}{fence}".replace("|", "\\|"))


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], limit: int | None = None) -> Markup:
    """Return a table; rows beyond the limit are counted in a last line, never dropped in silence."""
    body = [[cell if isinstance(cell, Markup) else escape(cell, 160) for cell in row] for row in rows]
    shown = body[:limit]
    lines = [f"| {' | '.join(headers)} |", "|" + " --- |" * len(headers), *(f"| {' | '.join(row)} |" for row in shown)]
    if len(shown) < len(body):
        lines += ["", f"… and {len(body) - len(shown)} more."]
    return Markup("\n".join(lines))


def number(value: float | None) -> Markup:
    """Return a number with four significant digits, or a dash."""
    return Markup("–" if value is None else f"{value:.4g}")


def interval(lower: float | None, upper: float | None) -> Markup:
    """Return the bounds of an interval; an open side is a dash."""
    return Markup("–") if lower is None and upper is None else Markup(f"{number(lower)} to {number(upper)}")


WORDS = {"pass": "✅ pass", "fail": "❌ fail", "inconclusive": "❔ inconclusive", "no-data": "⚪ no data"}


def gates_table(verdicts: Iterable[VerdictRecord], limit: int | None = None) -> Markup:
    """Return what each gate measured, against what, and what follows from it."""
    headers = ("Gate", "Verdict", "Value", "Interval", "Limit", "n", "Why")
    rows = [
        (
            code(f"{one.policy}/{one.gate}", 80),
            Markup(WORDS[one.verdict] + (" (blocks)" if one.blocking else "")),
            number(one.value),
            interval(one.lower, one.upper),
            number(one.limit),
            Markup("–" if one.n is None else f"{one.n:,}"),
            one.reason,
        )
        for one in verdicts
    ]
    return table(headers, rows, limit)


def metric_cell(metric: MetricValue | None) -> Markup:
    """Return a metric with its interval."""
    return Markup("–") if metric is None else Markup(f"{number(metric.value)} ({interval(metric.lower, metric.upper)})")
