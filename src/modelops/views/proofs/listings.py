"""What an auditor is told of many releases at once: who depends, who approved, what did not pass, what was waived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelops.audit.answers import Trust, to_dict
from modelops.audit.entities import Answered
from modelops.audit.listings import Approvals, Dependent, Dependents, Unproven, Verdicts, WaiverUses
from modelops.governance.waivers import Standing
from modelops.markup import plain
from modelops.views.proofs import waivers
from modelops.views.terminal import colored, table

Answer = Dependents | Approvals | Verdicts


def data(answer: Answer) -> Any:
    """Return an answer as plain values."""
    return to_dict(answer)


def text(answer: Answer) -> str:
    """Return an answer for a terminal: a line for each, what it comes to, and the records that prove nothing."""
    if isinstance(answer, Dependents):
        said = _of_dependents(answer)
    else:
        said = _of_approvals(answer) if isinstance(answer, Approvals) else _of_verdicts(answer)
    return "\n".join([said, *_unproven(answer.unproven)])


_WHY = {"unread": "cannot be read", "unproven": "is not proven", "gone": "is not there"}


def _unproven(found: Sequence[Unproven]) -> list[str]:
    """Return the records of which it is not known what they would say, each with why."""
    if not found:
        return []
    lines = [colored("NOT PROVEN", "red", bold=True) + ": what these would say is not known"]
    for one in found:
        why = "; ".join(problem.partition("\n")[0] for problem in one.problems)
        lines.append(f"  {plain(one.path)} {_WHY[one.status]}: {plain(why)}")
    return lines


def _rows(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    return [table(headers, [[plain(str(cell)) for cell in row] for row in rows])] if rows else []


def _proven(trust: Trust) -> str:
    return "proven" if trust.ok else "NOT PROVEN"


def _of_dependents(answer: Dependents) -> str:
    def rows(found: Sequence[Dependent]) -> list[tuple[object, ...]]:
        return [
            (one.model, one.release, one.has or "unknown", ", ".join(one.runs) or "-", _proven(one.trust))
            for one in found
        ]

    running = sum(bool(one.runs) for one in answer.found)
    lines = _rows(("MODEL", "RELEASE", "HAS", "RUNS IN", ""), [*rows(answer.found), *rows(answer.unknown)])
    lines.append(
        f"{len(answer.found)} of {answer.releases} releases depend on {plain(answer.of)}; {running} of them run"
    )
    if answer.unknown:
        lines.append(colored(f"of {len(answer.unknown)} more it is not known: their records do not say", "yellow"))
    return "\n".join(lines)


def _of_approvals(answer: Approvals) -> str:
    rows = [
        (
            *(one.time, one.login, f"{one.model} {one.release}", one.environment or "the release"),
            f"#{one.pull_request}" if one.pull_request is not None else "-",
            *(one.commit[:12], _proven(one.trust)),
        )
        for one in answer.found
    ]
    lines = _rows(("WHEN", "WHO", "WHAT", "INTO", "PULL REQUEST", "HEAD", ""), rows)
    period = f"from {answer.since or 'the beginning'} until {answer.until or 'now'}"
    return "\n".join([*lines, f"{len(rows)} approvals {period}"])


def _of_verdicts(answer: Verdicts) -> str:
    rows = [
        (
            *(one.model, one.release, f"{one.verdict.policy}/{one.verdict.gate}", one.verdict.verdict),
            f"waived by {one.verdict.waiver.name}" if one.verdict.waiver else "" if one.verdict.blocking else "let by",
            *(", ".join(one.runs) or "-", _proven(one.trust)),
        )
        for one in answer.found
    ]
    lines = _rows(("MODEL", "RELEASE", "GATE", "VERDICT", "WHY RELEASED", "RUNS IN", ""), rows)
    counted = f"{len(rows)} of {answer.judged} verdicts of {answer.releases} releases"
    return "\n".join([*lines, f"{counted}; what never became a release is in no commit"])


def waivers_text(standing: Sequence[Standing], used: WaiverUses, unread: str | None = None) -> str:
    """Return the waivers that there are, or why that cannot be told, and everything that one let through."""
    rows = [
        (
            *(one.use.name, one.use.of, f"{one.model} {one.release}", one.environment or "the release"),
            *(one.use.expires, ", ".join(one.use.granted_by), one.use.reason, _proven(one.trust)),
        )
        for one in used.found
    ]
    now = waivers.text(standing) or "there is no waiver now"
    if unread is not None:
        now = f"{colored('NOT KNOWN', 'red', bold=True)} how waivers stand now: {plain(unread)}"
    used_lines = _rows(("USED", "OF", "FOR", "INTO", "EXPIRES", "GRANTED BY", "REASON", ""), rows)
    return "\n".join([now, *(used_lines or ["none was ever relied on"]), *_unproven(used.unproven)])


def waivers_data(standing: Sequence[Standing], used: WaiverUses, unread: str | None = None) -> dict[str, Any]:
    """Return the same as plain values."""
    return {
        "standing": [waivers.row(one) for one in standing],
        "unread": unread,
        "used": [to_dict(one) for one in used.found],
        "unproven": [to_dict(one) for one in used.unproven],
    }


def entity_text(found: Sequence[Answered], count: int) -> str:
    """Return the answers about an entity, the newest first."""
    rows = [
        (
            *(one.time, one.id, one.environment, f"{one.model} {one.release} ({one.arm})"),
            "failed" if one.status >= 500 else one.label if one.label is not None else "-",
            "-" if one.score is None else f"{one.score:.4g}",
            one.truth if one.truth is not None else "-",
        )
        for one in found
    ]
    lines = _rows(("WHEN", "PREDICTION", "ENVIRONMENT", "BY", "ANSWER", "SCORE", "TRUTH"), rows)
    more = f", the newest {len(rows)} above" if count > len(rows) else ""
    return "\n".join([*lines, f"{count} predictions{more}; modelops audit prediction ID tells all about one"])
