"""How facts are put into words that several documents share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelops.audit import ReleaseAnswer
from modelops.documents.facts import Facts
from modelops.documents.paper import Section, Statement, Table
from modelops.spec.kinds.release import VerdictRecord
from modelops.spec.layout import MONITOR

__all__ = ["about", "approvers", "gates_table", "metrics_table", "number", "unapproved", "unwatched"]


def about(facts: Facts) -> list[tuple[str, str]]:
    """Return what stands at the head of every document."""
    found = facts.release
    return [
        ("release", facts.name),
        ("artifact", found.artifact),
        ("code", found.code.commit),
        ("data", f"{found.data.snapshot} ({found.data.root})"),
        ("branch read at", found.revision),
        ("evidence signed by", ", ".join(found.trust.keys)),
    ]


def number(value: float | None) -> str:
    """Return a number with four digits, or a dash."""
    return "-" if value is None else f"{value:.4g}"


def metrics_table(facts: Facts) -> Table:
    """Return every metric with its interval."""
    rows = tuple(
        (one.name, number(one.value), number(one.lower), number(one.upper), f"{one.level:.0%}", str(one.n), one.method)
        for one in facts.release.metrics
    )
    return Table("Metrics", ("metric", "value", "lower", "upper", "level", "n", "method"), rows, facts.evidence)


def gates_table(facts: Facts, types: Iterable[str] | None = None, title: str = "Gates") -> Table:
    """Return the verdicts of all gates, or of those of some types."""
    wanted = None if types is None else frozenset(types)
    chosen = [one for one in facts.release.verdicts if wanted is None or one.type in wanted]
    return Table(
        title, ("gate", "type", "verdict", "value", "limit", "n", "reason"), tuple(map(_row, chosen)), facts.evidence
    )


def _row(one: VerdictRecord) -> tuple[str, ...]:
    verdict = f"{one.verdict} (waived)" if one.waived else one.verdict
    n = "-" if one.n is None else str(one.n)
    return f"{one.policy}/{one.gate}", one.type, verdict, number(one.value), number(one.limit), n, one.reason


def approvers(release: ReleaseAnswer) -> tuple[str, str, str]:
    """Return the pull request of a release, who wrote it, and who approved it and when; dashes where there is none."""
    approval: Mapping[str, Any] = release.approval or {}
    pull = approval.get("pullRequest") or {}
    given = approval.get("approvals") or []
    who = ", ".join(f"{one.get('login')} ({one.get('submittedAt')})" for one in given if isinstance(one, dict))
    number = f"#{pull['number']}" if "number" in pull else "-"
    return number, str(pull.get("author", "-")), who or "-"


def unapproved(facts: Facts) -> Section | None:
    """Return a section about commits that changed the release's files and that nobody approved, if there are any."""
    found = facts.release.unapproved
    if not found:
        return None
    gaps = tuple(f"commit {one.commit[:12]} by {one.author} was approved by nobody: {one.reason}" for one in found)
    return Section("approval", "Changes that nobody approved", gaps=gaps)


def from_people(text: str, source: str) -> Statement:
    """Return what people wrote, as it is."""
    return Statement(" ".join(text.split()), source)


def unwatched(facts: Facts) -> str:
    """Return that nothing watches a model in service, which is a gap wherever it is asked for."""
    return f"nothing watches it: there is no {MONITOR.path(facts.release.model)}"
