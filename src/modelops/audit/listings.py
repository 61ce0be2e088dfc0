"""Questions about many releases at once: a package, a data source, a period, exceptions, and what did not pass."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from modelops.audit.answers import Trust
from modelops.audit.making import made_of
from modelops.audit.records import Records, approval_in
from modelops.clock import parse_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.kinds.release import VerdictRecord, WaiverUse
from modelops.spec.layout import SNAPSHOT

__all__ = [
    "Approvals",
    "Approved",
    "Dependent",
    "Dependents",
    "Unpassed",
    "Verdicts",
    "Waived",
    "approvals_between",
    "dependents_of_package",
    "dependents_of_source",
    "unpassed",
    "uses_of_waivers",
]


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

    @property
    def ok(self) -> bool:
        """Whether nothing that runs depends on it, and it is known of everything that runs."""
        return not any(one.runs for one in (*self.found, *self.unknown))


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

    def of(statements: Sequence[Any], _: Any) -> tuple[bool, str | None]:
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

    def of(_: Sequence[Any], release: Any) -> tuple[bool, str | None]:
        try:
            snapshot = records.load(SNAPSHOT.path(release.spec.model, release.spec.data.snapshot))
        except ModelOpsError:
            snapshot = None
        if snapshot is None or snapshot.spec.root != release.spec.data.root:
            return True, None
        upstream = snapshot.spec.source.upstream
        return source in upstream, release.spec.data.snapshot if source in upstream else ""

    return _dependents(records, source, of)


def _dependents(records: Records, what: str, of: Any) -> Dependents:
    running = _running(records)
    found: list[Dependent] = []
    unknown: list[Dependent] = []
    count = 0
    for release, trust, statements in _releases(records):
        count += 1
        spec = release.spec
        concerned, has = of(statements, release)
        if not concerned:
            continue
        runs = running.get((spec.model, spec.version), ())
        one = Dependent(spec.model, spec.version, has, runs, trust)
        (found if has is not None else unknown).append(one)
    return Dependents(what, records.revision, count, tuple(found), tuple(unknown))


def _releases(records: Records) -> Iterator[tuple[Any, Trust, Sequence[Any]]]:
    """Yield every release that can be read, its standing, and its statements where they are proven."""
    for model in sorted({name for _, name, _ in records.places("Release")}):
        for number in records.releases(model):
            path = next(p for p, _, name in records.places("Release", model) if name == str(number))
            try:
                resource = records.load(path)
            except ModelOpsError:
                continue
            if resource is not None:
                yield resource, *records.judge_release(resource)


def _running(records: Records) -> dict[tuple[str, int], tuple[str, ...]]:
    """Return where each release is told to run now, as ``environment (arm)``."""
    found: dict[tuple[str, int], list[str]] = {}
    for path, model, environment in records.places("Deployment"):
        deployment, _ = records.standing(path)
        if deployment is None:
            continue
        spec = deployment.spec
        arms = [("stable", spec.stable), ("candidate", spec.candidate)]
        arms += [("challenger", number) for number in spec.challengers]
        for arm, number in arms:
            if number is not None:
                found.setdefault((model, number), []).append(f"{environment} ({arm})")
    return {key: tuple(sorted(places)) for key, places in found.items()}


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

    @property
    def ok(self) -> bool:
        """Whether each of them is in a record that is proven."""
        return all(one.trust.ok for one in self.found)


def approvals_between(
    records: Records, since: datetime | None, until: datetime | None, who: str | None = None
) -> Approvals:
    """Return who approved what from ``since`` on and before ``until``, by the records of releases and promotions.

    An approval without a time that can be read is told whatever the period is.
    """
    found = [one for one in _approved(records) if who in (None, one.login) and _in(one.time, since, until)]
    ordered = tuple(sorted(found, key=lambda one: (one.time, one.model, one.release, one.login, one.environment or "")))
    said = [None if at is None else at.isoformat() for at in (since, until)]
    return Approvals(said[0], said[1], records.revision, ordered)


def _in(text: str, since: datetime | None, until: datetime | None) -> bool:
    try:
        at = parse_instant(text)
    except ModelOpsError:
        return True
    return (since is None or at >= since) and (until is None or at < until)


def _approved(records: Records) -> Iterator[Approved]:
    models = sorted({name for kind in ("Release", "Promotion") for _, name, _ in records.places(kind)})
    for resource, trust, statements in _releases(records):
        spec, approval = resource.spec, approval_in(tuple(statements))
        for one in approval.predicate.get("approvals", ()) if approval is not None else ():
            pulled = (approval.predicate.get("pullRequest") or {}) if approval is not None else {}
            yield Approved(
                str(one.get("login")), str(one.get("submittedAt")), spec.model, spec.version, None,
                pulled.get("number"), str(one.get("commit")), trust,
            )  # fmt: skip
    for model in models:
        for promotion in records.promotions(model):
            pull = promotion.pull_request.number if promotion.pull_request is not None else None
            for given in promotion.approvals:
                yield Approved(
                    given.login, given.submitted_at, model, promotion.release, promotion.environment, pull,
                    given.commit, promotion.trust,
                )  # fmt: skip


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

    @property
    def ok(self) -> bool:
        """Whether none of them is of a release that runs."""
        return not any(one.runs for one in self.found)


def unpassed(records: Records, words: Sequence[str] = ("fail", "inconclusive", "no-data")) -> Verdicts:
    """Return the verdicts of all releases with one of some words. What never became a release is in no commit."""
    running, found, judged, count = _running(records), [], 0, 0
    for resource, trust, _ in _releases(records):
        spec, count = resource.spec, count + 1
        judged += len(spec.verdicts)
        runs = running.get((spec.model, spec.version), ())
        found += [Unpassed(spec.model, spec.version, one, runs, trust) for one in spec.verdicts if one.verdict in words]
    return Verdicts(records.revision, count, judged, tuple(found))


@dataclass(frozen=True, slots=True)
class Waived:
    """What a waiver let through: a verdict of a release, or a promotion into an environment."""

    use: WaiverUse
    model: str
    release: int
    by: Literal["release", "promotion"]
    environment: str | None
    trust: Trust


def uses_of_waivers(records: Records) -> tuple[Waived, ...]:
    """Return everything that a waiver let through, by its name, whether the waiver is still there or not."""
    found = [
        Waived(use, resource.spec.model, resource.spec.version, "release", None, trust)
        for resource, trust, _ in _releases(records)
        for use in resource.spec.waivers
    ]
    models = sorted({name for _, name, _ in records.places("Promotion")})
    found += [
        Waived(use, model, promotion.release, "promotion", promotion.environment, promotion.trust)
        for model in models
        for promotion in records.promotions(model)
        for use in promotion.waivers
    ]
    return tuple(sorted(found, key=lambda one: (one.use.name, one.model, one.release, one.by, one.environment or "")))
