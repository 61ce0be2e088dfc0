"""The changes of a model up to a release: who wrote, approved and tested each, as an audit of changes asks (CC8.1)."""

from __future__ import annotations

from collections import Counter

from modelops.audit import PromotionAnswer, ReleaseAnswer
from modelops.documents.facts import Facts
from modelops.documents.paper import Paper, Section, Statement, Table
from modelops.documents.said import about, approvers, unapproved

__all__ = ["change_record"]


def change_record(facts: Facts) -> Paper:
    """Return the population of changes: every release up to this one, every promotion of them, and what is missing."""
    releases = (*facts.earlier, facts.release)
    source = f"signed evidence and records at {facts.release.revision[:12]}"
    headers = ("release", "built from", "made", "pull request", "author", "approved by", "tests", "waivers", "proven")
    population = Section(
        "releases",
        "Releases",
        "Every change of the model that was released, with its author, its approval and its tests.",
        [Statement(f"{len(releases)} releases, all of this model up to {facts.release.release}.", source)],
        [Table("Releases", headers, tuple(map(_release, releases)), source)],
        [gap for one in releases for gap in _release_gaps(one)],
    )
    headers = ("record", "release", "environment", "when", "how", "pull request", "author", "approved by", "proven")
    promotions = Section(
        "promotions",
        "Promotions",
        "Every change of what an environment runs.",
        [Statement(f"{len(facts.promotions)} promotions of these releases.", source)],
        [Table("Promotions", headers, tuple(map(_promotion, facts.promotions)), source)] if facts.promotions else [],
        [gap for one in facts.promotions for gap in _promotion_gaps(one)],
    )
    extra = unapproved(facts)
    title = f"Changes of {facts.release.model} up to release {facts.release.release}"
    return Paper("change-record", title, about(facts), [population, promotions, *([extra] if extra else [])])


def _release(one: ReleaseAnswer) -> tuple[str, ...]:
    pull, author, who = approvers(one)
    words = Counter(verdict.verdict for verdict in one.verdicts)
    tests = ", ".join(f"{count} {word}" for word, count in sorted(words.items()))
    waivers = {verdict.waiver.name for verdict in one.verdicts if verdict.waiver} | {each.name for each in one.waivers}
    made = one.made.finished if one.made is not None else "-"
    named = ", ".join(sorted(waivers)) or "-"
    return str(one.release), one.code.commit[:12], made, pull, author, who, tests, named, _proven(one.trust.ok)


def _release_gaps(one: ReleaseAnswer) -> list[str]:
    name = f"release {one.release}"
    if not one.trust.ok:
        return [f"{name} is not proven: {'; '.join(one.trust.problems) or one.trust.status}"]
    _, author, who = approvers(one)
    gaps = [f"{name}: its evidence has no approval"] if one.approval is None else []
    if one.approval is not None and who == "-" and not one.approval.get("reason"):
        gaps.append(f"{name}: nobody approved it, and its evidence does not say why nobody had to")
    logins = [each.get("login") for each in (one.approval or {}).get("approvals") or []]
    if author in logins:
        gaps.append(f"{name}: its author {author} is among those who approved it")
    gaps += [] if one.made is not None else [f"{name}: when and on what it was made is not in its evidence"]
    return gaps


def _promotion(one: PromotionAnswer) -> tuple[str, ...]:
    pull = f"#{one.pull_request.number}" if one.pull_request is not None else "-"
    author = one.pull_request.author if one.pull_request is not None else "-"
    who = ", ".join(f"{each.login} ({each.submitted_at})" for each in one.approvals) or "-"
    number = str(one.release)
    return one.name, number, one.environment, one.promoted_at, one.path, pull, author, who, _proven(one.trust.ok)


def _promotion_gaps(one: PromotionAnswer) -> list[str]:
    if not one.trust.ok:
        return [f"{one.name} is not proven: {'; '.join(one.trust.problems) or one.trust.status}"]
    author = one.pull_request.author if one.pull_request is not None else None
    gaps = []
    if one.path == "emergency":
        gaps.append(f"{one.name} was an emergency ({one.reason}): see to its review afterwards")
    if any(each.login == author for each in one.approvals):
        gaps.append(f"{one.name}: its author {author} is among those who approved it")
    return gaps


def _proven(ok: bool) -> str:
    return "yes" if ok else "NO"
