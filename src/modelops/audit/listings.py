"""Questions about many releases at once: a package, a data source, a period, exceptions, and what did not pass.

They go through the records of every model that the branch has or had. A record that cannot be read, or is not proven,
may hide just what is asked for: each answer names it, and is not ``ok`` with one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from modelops.audit.answers import PromotionAnswer, Trust
from modelops.audit.making import made_of
from modelops.audit.records import Records, approval_in
from modelops.clock import parse_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.kinds import place
from modelops.spec.kinds.release import VerdictRecord, WaiverUse
from modelops.spec.layout import MODELS, PROMOTION, RELEASE, SNAPSHOT

__all__ = [
    "Approvals",
    "Approved",
    "Dependent",
    "Dependents",
    "Unpassed",
    "Unproven",
    "Verdicts",
    "Waived",
    "WaiverUses",
    "approvals_between",
    "dependents_of_package",
    "dependents_of_source",
    "unpassed",
    "uses_of_waivers",
]


@dataclass(frozen=True, slots=True)
class Unproven:
    """A record that says nothing that counts, so that what it would say is not known.

    ``unread``: its file cannot be read. ``unproven``: its evidence does not prove it. ``gone``: it was taken away
    without its model, or was never there though it is told to run.
    """

    path: str
    status: Literal["unread", "unproven", "gone"]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dependent:
    """A release that a question is about: what it has of it, where it is told to run now, and whether it is proven.

    ``has`` is the version of a package, or the snapshot of a source; None where the release's evidence does not say.
    """

    model: str
    release: int
    has: str | None
    runs: tuple[str, ...]
    trust: Trust


@dataclass(frozen=True, slots=True)
class Dependents:
    """What depends on a package or a data source; ``unknown`` are releases of which that is not known.

    ``of`` says what was asked about. ``releases`` is how many there are in all.
    """

    of: str
    revision: str
    releases: int
    found: tuple[Dependent, ...]
    unknown: tuple[Dependent, ...]
    unproven: tuple[Unproven, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing that runs depends on it, it is known of everything that runs, and every record is proven."""
        return not self.unproven and not any(one.runs for one in (*self.found, *self.unknown))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def dependents_of_package(records: Records, name: str, versions: str = "") -> Dependents:
    """Return the releases that were built with a package, in versions that a specifier such as ``<2.1`` names.

    What is installed where a release runs is that of its build, by the lock. A version that is none by PEP 440 counts
    as named: an advisory must not miss it.
    """
    try:
        wanted = SpecifierSet(versions)
    except InvalidSpecifier:
        hint = "write it as in a requirement: '<2.1', '>=1,<1.5', '==1.2.3'"
        raise failure("bad-version", f"{versions!r} names no versions", exit=Exit.USAGE, hint=hint) from None

    def of(statements: Sequence[Any], _: Any, __: Trust) -> tuple[bool, str | None]:
        making = made_of(tuple(statements))
        if making is None:
            return True, None
        version = next((v for package, v in making.packages.items() if _normal(package) == _normal(name)), None)
        return version is not None and _within(version, wanted), version

    return _dependents(records, f"{name}{' ' + versions if versions else ''}", of)


def _within(version: str, wanted: SpecifierSet) -> bool:
    try:
        return wanted.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return True


def dependents_of_source(records: Records, source: str) -> Dependents:
    """Return the releases that were trained on a snapshot of which a data source is upstream, by name or address."""

    def of(_: Sequence[Any], release: Any, trust: Trust) -> tuple[bool, str | None]:
        try:
            snapshot = records.load(SNAPSHOT.path(release.spec.model, release.spec.data.snapshot))
        except ModelOpsError:
            snapshot = None
        if snapshot is None or snapshot.spec.root != release.spec.data.root:
            return True, None
        if source in snapshot.spec.source.upstream:
            return True, release.spec.data.snapshot
        # That it is of other data counts only where it is proven.
        seal = records.judge_snapshot(snapshot)
        return not trust.ok or (seal is not None and not seal.ok), None

    return _dependents(records, source, of)


def _dependents(records: Records, what: str, of: Any) -> Dependents:
    doubts: list[Unproven] = []
    running = _running(records, doubts)
    found: list[Dependent] = []
    unknown: list[Dependent] = []
    told: set[tuple[str, int]] = set()
    for release, trust, statements in _releases(records, doubts):
        spec = release.spec
        key = (spec.model, spec.version)
        told.add(key)
        concerned, has = of(statements, release, trust)
        if concerned:
            one = Dependent(*key, has, running.get(key, ()), trust)
            (found if has is not None else unknown).append(one)
    for (model, number), path in _untold(running, told, doubts).items():
        missing = Trust("missing", problems=(f"{path} cannot be read or is not there",))
        unknown.append(Dependent(model, number, None, running.get((model, number), ()), missing))
    return Dependents(what, records.revision, len(told), tuple(found), tuple(unknown), tuple(doubts))


def _releases(records: Records, doubts: list[Unproven]) -> Iterator[tuple[Any, Trust, Sequence[Any]]]:
    """Yield every release that can be read, its standing, and its statements where they are proven."""
    for path, _, _ in _ever(records, "Release"):
        try:
            resource = records.load(path)
        except ModelOpsError as error:
            doubts.append(Unproven(path, "unread", tuple(str(one) for one in error.problems)))
            continue
        if resource is not None:
            trust, statements = records.judge_release(resource)
            if not trust.ok:
                doubts.append(Unproven(path, "unproven", trust.problems))
            yield resource, trust, statements


def _ever(records: Records, kind: str) -> list[tuple[str, str, str]]:
    """Return (path, model, name) of the files of a kind, of models that are gone too; by model, then by number."""
    found: list[tuple[str, str, str]] = []
    for path in {*records.paths, *records.gone}:
        placed = place(path)
        if placed is not None and placed[0] == kind and placed[1] is not None:
            found.append((path, placed[1], placed[2]))
    records.prefetch(path for path, _, _ in found)
    return sorted(found, key=lambda one: (one[1], int(one[2]) if one[2].isdecimal() else 0, one[2]))


def _running(records: Records, doubts: list[Unproven]) -> dict[tuple[str, int], tuple[str, ...]]:
    """Return where each release is told to run now, as ``environment (arm)``; by what was before an unread file.

    A model that was taken away by a commit that nobody approved goes on running.
    """
    found: dict[tuple[str, int], list[str]] = {}
    for path, model, environment in _ever(records, "Deployment"):
        if path not in records.paths and not _went_unapproved(records, path):
            continue
        deployment, unread = records.standing(path)
        if unread is not None:
            doubts.append(Unproven(path, "unread", (unread,)))
        if deployment is None:
            continue
        spec = deployment.spec
        arms = [("stable", spec.stable), ("candidate", spec.candidate)]
        arms += [("challenger", number) for number in spec.challengers]
        for arm, number in arms:
            if number is not None:
                found.setdefault((model, number), []).append(f"{environment} ({arm})")
    return {key: tuple(sorted(places)) for key, places in found.items()}


def _went_unapproved(records: Records, path: str) -> bool:
    newest = next(iter(records.repository.line(records.revision, MODELS).versions(path)), None)
    return newest is not None and newest.commit in records.asked.distrusted


def _untold(
    running: Iterable[tuple[str, int]], told: set[tuple[str, int]], doubts: list[Unproven]
) -> dict[tuple[str, int], str]:
    """Return the paths of releases of which nothing is told: those that cannot be read, or run without a record."""
    unread = ((RELEASE.parse(one.path), one.path) for one in doubts if one.status == "unread")
    found = {(str(at[0]), int(at[1])): path for at, path in unread if at is not None and at[1].isdecimal()}
    for model, number in sorted(running):
        path = RELEASE.path(model, number)
        if (model, number) not in told and (model, number) not in found:
            doubts.append(Unproven(path, "gone", ("it is told to run, and there is no record of it",)))
            found[model, number] = path
    return dict(sorted(found.items()))


def _taken_away(records: Records) -> Iterator[Unproven]:
    """Yield the records that the branch had and that went without their model, so that nothing of them is told."""
    if records.repository.is_shallow:
        said = "this clone lacks a part of the history, so what was removed is not known: git fetch --unshallow"
        yield Unproven(MODELS, "unread", (said,))
        return
    line = records.repository.line(records.revision, MODELS)
    for path in sorted(line.files):
        if path in records.paths or path in records.gone or not (RELEASE.parse(path) or PROMOTION.parse(path)):
            continue
        newest = next(iter(line.versions(path)), None)
        if newest is not None and newest.blob is None:
            yield Unproven(path, "gone", (f"commit {newest.commit[:12]} took it away without its model",))


@dataclass(frozen=True, slots=True)
class Approved:
    """One approval: who gave it when, and what it let in: a release of a model, or one into an environment."""

    login: str
    time: str
    model: str
    release: int
    environment: str | None
    pull_request: int | None
    commit: str
    trust: Trust


@dataclass(frozen=True, slots=True)
class Approvals:
    """The approvals of a period, oldest first."""

    since: str | None
    until: str | None
    revision: str
    found: tuple[Approved, ...]
    unproven: tuple[Unproven, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every record is proven, so that these are all, and each was given."""
        return not self.unproven and all(one.trust.ok for one in self.found)


def approvals_between(
    records: Records, since: datetime | None, until: datetime | None, who: str | None = None
) -> Approvals:
    """Return who approved what from ``since`` on and before ``until``, by the records of releases and promotions.

    An approval without a time that can be read is told whatever the period is, and so is a record that is not proven.
    """
    doubts: list[Unproven] = []
    found = [one for one in _approved(records, doubts) if who in (None, one.login) and _in(one.time, since, until)]
    ordered = tuple(sorted(found, key=lambda one: (one.time, one.model, one.release, one.login, one.environment or "")))
    said = [None if at is None else at.isoformat() for at in (since, until)]
    return Approvals(said[0], said[1], records.revision, ordered, (*doubts, *_taken_away(records)))


def _in(text: str, since: datetime | None, until: datetime | None) -> bool:
    try:
        at = parse_instant(text)
    except ModelOpsError:
        return True
    return (since is None or at >= since) and (until is None or at < until)


def _approved(records: Records, doubts: list[Unproven]) -> Iterator[Approved]:
    for resource, trust, statements in _releases(records, doubts):
        spec, approval = resource.spec, approval_in(tuple(statements))
        for one in approval.predicate.get("approvals", ()) if approval is not None else ():
            pulled = (approval.predicate.get("pullRequest") or {}) if approval is not None else {}
            yield Approved(
                str(one.get("login")), str(one.get("submittedAt")), spec.model, spec.version, None,
                pulled.get("number"), str(one.get("commit")), trust,
            )  # fmt: skip
    for model, promotion in _promotions(records, doubts):
        pull = promotion.pull_request.number if promotion.pull_request is not None else None
        for given in promotion.approvals:
            yield Approved(
                given.login, given.submitted_at, model, promotion.release, promotion.environment, pull,
                given.commit, promotion.trust,
            )  # fmt: skip


def _promotions(records: Records, doubts: list[Unproven]) -> Iterator[tuple[str, PromotionAnswer]]:
    """Yield every promotion with its model."""
    for model in sorted({model for _, model, _ in _ever(records, "Promotion")}):
        for promotion in records.promotions(model):
            if not promotion.trust.ok:
                status: Literal["unread", "unproven"] = "unproven" if promotion.path else "unread"
                doubts.append(Unproven(promotion.file, status, promotion.trust.problems))
            yield model, promotion


@dataclass(frozen=True, slots=True)
class Unpassed:
    """A verdict of a release that is no pass, and where the release is told to run now."""

    model: str
    release: int
    verdict: VerdictRecord
    runs: tuple[str, ...]
    trust: Trust


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts that are no pass, of ``judged`` verdicts of ``releases`` releases."""

    revision: str
    releases: int
    judged: int
    found: tuple[Unpassed, ...]
    unproven: tuple[Unproven, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether none of them is of a release that runs, and every record is proven."""
        return not self.unproven and not any(one.runs for one in self.found)


def unpassed(records: Records, words: Sequence[str] = ("fail", "inconclusive", "no-data")) -> Verdicts:
    """Return the verdicts of all releases with one of some words. What never became a release is in no commit."""
    doubts: list[Unproven] = []
    running, found, judged, told = _running(records, doubts), [], 0, set()
    for resource, trust, _ in _releases(records, doubts):
        spec = resource.spec
        told.add((spec.model, spec.version))
        judged += len(spec.verdicts)
        runs = running.get((spec.model, spec.version), ())
        found += [Unpassed(spec.model, spec.version, one, runs, trust) for one in spec.verdicts if one.verdict in words]
    _untold(running, told, doubts)
    return Verdicts(records.revision, len(told), judged, tuple(found), tuple(doubts))


@dataclass(frozen=True, slots=True)
class Waived:
    """What a waiver let through: a verdict of a release, or a promotion into an environment."""

    use: WaiverUse
    model: str
    release: int
    by: Literal["release", "promotion"]
    environment: str | None
    trust: Trust


@dataclass(frozen=True, slots=True)
class WaiverUses:
    """Everything that waivers let through, by their names."""

    revision: str
    found: tuple[Waived, ...]
    unproven: tuple[Unproven, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every record is proven, so that this is all."""
        return not self.unproven


def uses_of_waivers(records: Records) -> WaiverUses:
    """Return everything that a waiver let through, by its name, whether the waiver is still there or not."""
    doubts: list[Unproven] = []
    found = [
        Waived(use, resource.spec.model, resource.spec.version, "release", None, trust)
        for resource, trust, _ in _releases(records, doubts)
        for use in resource.spec.waivers
    ]
    found += [
        Waived(use, model, promotion.release, "promotion", promotion.environment, promotion.trust)
        for model, promotion in _promotions(records, doubts)
        for use in promotion.waivers
    ]
    ordered = sorted(found, key=lambda one: (one.use.name, one.model, one.release, one.by, one.environment or ""))
    return WaiverUses(records.revision, tuple(ordered), (*doubts, *_taken_away(records)))
