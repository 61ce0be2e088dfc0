"""What a branch is made of, and what of it nobody approved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelops.audit import Unapproved
from modelops.governance.judged import Judgement
from modelops.governance.judging.course import Violation
from modelops.markup import plain
from modelops.views.terminal import colored

_WORDS = {
    "root": ("commit of the beginning", "commits of the beginning"),
    "pull": ("commit of approved pull requests", "commits of approved pull requests"),
    "loop": ("signed commit of the loop", "signed commits of the loop"),
    "back": ("way back by git alone", "ways back by git alone"),
    "free": ("commit that the policy asks nobody about", "commits that the policy asks nobody about"),
    "idle": ("commit that changes nothing", "commits that change nothing"),
}
_FIRST = 5


def made_of(commits: Mapping[str, int], violations: int) -> str:
    """Return what a stretch of a branch is made of, in words."""
    said = [f"{commits[kind]} {words[commits[kind] != 1]}" for kind, words in _WORDS.items() if commits.get(kind)]
    return ", ".join([*said, f"{violations} violation{'' if violations == 1 else 's'}"])


def met(line: Mapping[str, Any] | None) -> str:
    """Return what the signed approval of a release says of the branch up to it."""
    if line is None:
        return "made before the whole branch was judged"
    start = f"from {str(line['from'])[:12]}" if line.get("from") else "from the first commit"
    commits = {str(kind): int(count) for kind, count in (line.get("commits") or {}).items()}
    made = made_of(commits, len(line.get("violations") or ()))
    return f"everything {start} to {str(line.get('to'))[:12]}: {made}"


def text(found: Judgement) -> str:
    """Return how a branch stands, what is open last."""
    start = found.since[:12] if found.since is not None else "the first commit"
    lines = [f"judged from {start} to {found.to[:12]}: {made_of(found.commits, len(found.open))}"]
    lines += [f"  cleared: {one.commit[:12]}, by pull request #{one.pull}" for one in found.cleared]
    for one in found.open:
        state = "" if one.commit in found.in_force else " (nothing of it is left)"
        lines += [f"  {_line(one)}{state}"]
    lines += [f"to clear one: {found.way_out}"] if found.open else []
    return "\n".join(lines)


def data(found: Judgement) -> dict[str, Any]:
    """Return how a branch stands as plain values."""
    return {
        "from": found.since,
        "to": found.to,
        "proven": found.proven,
        "commits": dict(found.commits),
        "violations": [row(one) | {"inForce": one.commit in found.in_force} for one in found.open],
        "cleared": [{"commit": one.commit, "pullRequest": one.pull} for one in found.cleared],
        "ok": not found.open,
    }


def row(one: Violation) -> dict[str, Any]:
    """Return a violation as plain values."""
    return {
        "commit": one.commit,
        "author": one.author,
        "time": one.time,
        "subject": one.subject,
        "rule": one.code,
        "reason": one.reason,
        "paths": list(one.touched),
        "files": one.count,
    }


def _line(one: Violation) -> str:
    head = colored("not approved", "red", bold=True)
    said = plain(f"{one.commit[:10]} by {one.author}, {one.time}: {one.paths}: {one.reason} [{one.code}]")
    return f"{head}: {said}"


def open_lines(found: Sequence[Violation]) -> list[str]:
    """Return a bounded number of lines about the open violations of a branch."""
    lines = [_line(one) for one in found[:_FIRST]]
    rest = len(found) - len(lines)
    return [*lines, f"and {rest} more: modelops audit branch"] if rest else lines


def clears_line(one: Violation) -> str:
    """Return which commit a pull request lets in that nobody approved so far."""
    said = f"clears {one.commit[:10]} by {one.author}, {one.time} ({one.subject}), which changed {one.paths}"
    return plain(f"{said}: who approves this approves that as well")


def unapproved_line(one: Unapproved) -> str:
    """Return one commit that nobody approved, for who asks about what it changed."""
    said = f"{one.commit[:10]} by {one.author}, {one.time} ({one.subject}): {one.reason} [{one.rule}]"
    return f"{colored('NOT APPROVED', 'red', bold=True)}: {plain(said)}"
