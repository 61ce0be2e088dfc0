"""The windows of a model that were scored on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modelops import monitoring
from modelops.clock import format_instant, parse_instant
from modelops.files import write_atomically
from modelops.monitoring import triage
from modelops.spec.layout import slug
from modelops.targets import Site

__all__ = ["remember", "windows"]

_KNOWN = ("release", "verdict", "looks", "strength", "value", "lower", "upper", "estimated")
"""What a window that an earlier version scored may lack."""


def _history_path(site: Site, model: str) -> Path:
    return site.runtime / "monitor" / f"{slug(model)}.json"


def windows(site: Site, model: str) -> list[monitoring.Past]:
    """Return what is remembered of the windows of a model that were scored here, the oldest first.

    Of windows that version 0.1.0 scored neither start nor release is known.
    """
    try:
        found = json.loads(_history_path(site, model).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    rows = found if isinstance(found, list) else []
    return [_past(row) for row in rows if isinstance(row, dict) and {"until", "level"} <= set(row)]


def _past(row: dict[str, Any]) -> monitoring.Past:
    until = parse_instant(row["until"])
    since = parse_instant(row["since"]) if "since" in row else until
    known = {key: row[key] for key in _KNOWN if key in row}
    return monitoring.Past(since, until, row["level"], **known)


def remember(site: Site, model: str, report: monitoring.WindowReport) -> None:
    """Keep one entry per window end, so that running twice at the same instant counts once."""
    new, until = monitoring.Past.of(report), format_instant(report.until)
    with triage.held(site.runtime, model):
        kept = [past for past in windows(site, model) if format_instant(past.until) != until]
        rows = [
            asdict(past) | {"since": format_instant(past.since), "until": format_instant(past.until)}
            for past in (*kept, new)
        ]
        write_atomically(_history_path(site, model), json.dumps(rows[-1000:], indent=1).encode())
