"""The records of a repository at one commit, each with the outcome of verifying it; reading never raises for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice

from modelops.audit.answers import PromotionAnswer, Trust, Unapproved
from modelops.clock import parse_instant
from modelops.errors import ModelOpsError, Problem
from modelops.evidence import (
    APPROVAL,
    CARD_FILE,
    ROLLOUT_OUTCOME,
    SIGNATURE_FILE,
    Keyring,
    Statement,
    check_promotion,
    check_release,
    check_release_files,
    promotion_evidence_path,
    release_evidence_path,
)
from modelops.evidence.envelope import CLOCK, GIVEN
from modelops.project.retired import gone_files
from modelops.project.signing import mistimed
from modelops.project.snapshots import read_seal, seal_path
from modelops.project.trust import TrustChain, read_trust
from modelops.repository import Repository
from modelops.repository.dates import Dates, read_dates
from modelops.repository.line import Version
from modelops.spec.kinds import AnyResource, Resource, place
from modelops.spec.layout import MODELS, POLICIES, RELEASE, RELEASE_FILE, Seat, model_folder, promotions_folder
from modelops.spec.load import load_resource

_NO_TRUST = Problem("trust-missing", "there is no trust policy at policies/trust.yaml, so no signature counts")


@dataclass(frozen=True, slots=True)
class Asked:
    """When a question is asked, which new roots of trust the machine was told to take, and how the branch was judged.

    Of the ``unapproved`` commits an answer names those that it depends on; what the ``distrusted`` did to the trust
    policy does not count.
    """

    now: datetime
    accepted: frozenset[str] = frozenset()
    unapproved: tuple[Unapproved, ...] = ()
    distrusted: frozenset[str] = frozenset()


_VERSIONS = 20
"""How many versions of a file that cannot be read are tried."""

_RECORDED_WITHIN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Record:
    """A promotion's file as it is read: without a ``resource`` it is told what is wrong with it."""

    name: str
    path: str
    resource: AnyResource | None
    problems: tuple[Problem, ...] = ()

    @property
    def environment(self) -> str:
        return self.name.rpartition("-")[0] if self.resource is None else str(self.resource.spec.environment)

    @property
    def promoted_at(self) -> str:
        return "" if self.resource is None else str(self.resource.spec.promoted_at)

    def not_after(self, at: datetime) -> bool:
        try:
            return parse_instant(self.promoted_at) <= at
        except ModelOpsError:
            return False


class Records:
    """The files of one commit; ``trust`` is its trust policy, or the problems that leave it without one."""

    def __init__(self, repository: Repository, revision: str, asked: Asked) -> None:
        self.repository = repository
        self.revision = repository.resolve(revision)
        self.asked = asked
        self._read: dict[str, bytes] = {}

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path of the commit."""
        return frozenset(self.repository.paths(self.revision))

    @cached_property
    def gone(self) -> Mapping[str, str]:
        """The files that the branch had and that went with their whole model, with the commit that had each last.

        A clone that lacks a part of history knows of none.
        """
        return {} if self.repository.is_shallow else gone_files(self.repository, self.revision)

    def below(self, folder: str) -> Iterator[str]:
        """Return the paths below a folder, sorted, whatever else there is; of what went with its model, too."""
        here = self.repository.paths(self.revision, folder)
        if here and "gone" not in self.__dict__:
            return iter(here)
        return iter(sorted({*here, *(path for path in self.gone if path.startswith(folder))}))

    def prefetch(self, paths: Iterable[str]) -> None:
        """Read files at once, so that many models or a long history cost one question and not one a file."""
        wanted = [path for path in paths if path in self.paths and path not in self._read]
        if wanted:
            self._read |= self.repository.read_many(self.revision, wanted)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, as they were last where it went with its model; None when there is none."""
        if path not in self._read:
            revision = self.revision if path in self.paths else self.gone.get(path)
            if revision is not None:
                self._read[path] = self.repository.read(revision, path)
        return self._read.get(path)

    def load(self, path: str) -> AnyResource | None:
        """Return the resource of a file, None when there is none; a file that cannot be read raises its problems."""
        data = self.read(path)
        return None if data is None else load_resource(data, path)

    def standing(self, path: str) -> tuple[AnyResource | None, str | None]:
        """Return the resource of a file, and why it is that of an older version, or none, where it cannot be read."""
        try:
            return self.load(path), None
        except ModelOpsError as error:
            found = error.first
            unread = f"{found.location}: {found.message}" if found.location is not None else found.message
        for data in islice(self.repository.older(self.revision, path), _VERSIONS):
            with suppress(ModelOpsError):
                if data is not None:
                    return load_resource(data, path), unread
        return None, unread

    @cached_property
    def chain(self) -> TrustChain | None:
        """The trust policies along the line of the commit, None where there is none that can be used."""
        asked = self.asked
        return read_trust(self.repository, self.revision, asked.now, asked.accepted, asked.distrusted)

    @cached_property
    def trust(self) -> Keyring | tuple[Problem, ...]:
        """The keys that count, or why there are none."""
        try:
            return (_NO_TRUST,) if self.chain is None else self.chain.keyring
        except ModelOpsError as error:
            return error.problems

    @cached_property
    def dates(self) -> Dates:
        """The dates of the commit's line as its order allows them."""
        if self.chain is not None:
            return self.chain.dates
        line = self.repository.line(self.revision, POLICIES)
        return read_dates(line.dates[: line.top + 1], self.asked.now)

    def places(self, kind: str, model: str | None = None) -> Iterator[tuple[str, str, str]]:
        """Yield (path, model, name) of the files of a kind, sorted by path."""
        for path in sorted(self.paths if model is None else self.below(model_folder(model))):
            found = place(path)
            if found and found[0] == kind and found[1] and model in (None, found[1]):
                yield path, found[1], found[2]

    def releases(self, model: str) -> tuple[int, ...]:
        """Return the numbers of a model's releases, sorted."""
        return tuple(sorted(int(name) for _, _, name in self.places("Release", model) if name.isdigit()))

    def judge_release(self, release: Resource) -> tuple[Trust, tuple[Statement, ...]]:  # type: ignore[type-arg]
        """Return whether a release's evidence proves it and the files beside it, and the statements if so."""
        if isinstance(self.trust, tuple):
            return _refused(self.trust), ()
        evidence = self.read(release_evidence_path(release.path))
        try:
            statements = check_release(release, evidence, self.trust)
            folder = release.path.removesuffix(RELEASE_FILE)
            card, signature = self.read(folder + CARD_FILE), self.read(folder + SIGNATURE_FILE)
            check_release_files(release, statements, self.trust, card=card, signature=signature)
        except ModelOpsError as error:
            return _refused(error.problems), ()
        return _verified(statements), statements

    def judge_snapshot(self, snapshot: AnyResource) -> Trust | None:
        """Return whether the signature of a snapshot proves it, None where it has none."""
        model, name = str(snapshot.model), snapshot.name
        data, document = self.read(seal_path(model, name)), self.read(snapshot.path)
        if data is None or document is None:
            return None
        if isinstance(self.trust, tuple):
            return _refused(self.trust)
        found = read_seal(data, self.trust, model, name, snapshot.spec, document)
        return _refused((found.problem,)) if found.problem else Trust("verified", (str(found.key),))

    def promotions(self, model: str, release: int | None = None) -> tuple[PromotionAnswer, ...]:
        """Return the promotions of a model, oldest first; one whose file cannot be read is told as refused."""
        return tuple(map(self._answer, self._records(model, release)))

    def covers(self, seat: Seat, arm: str, release: int, since: Version) -> bool:
        """Tell whether a proven record is about the commit that set an arm of an environment.

        That is the record of its pull request, one that came with it, or the signed good end of the release's trial.
        """
        return any(
            self._covers(one.resource, arm, since)
            for one in self._records(seat.model, release)
            if one.resource is not None and one.environment == seat.environment
        )

    def _covers(self, resource: AnyResource, arm: str, since: Version) -> bool:
        spec = resource.spec
        direct = spec.commit == since.commit
        with_it = spec.path in ("automatic", "emergency") and spec.commit == since.parent
        path = promotion_evidence_path(resource.path)
        versions = self.repository.line(self.revision, MODELS).versions(path) if arm == "stable" else ()
        ended = any(one.commit == since.commit for one in versions)
        if not (direct or with_it or ended):
            return False
        trust, statements = self._judge_promotion(resource)
        outcomes = [one.predicate.get("outcome") for one in statements if one.predicate_type == ROLLOUT_OUTCOME]
        return trust.ok and (direct or with_it or bool({"succeeded", "overridden"}.intersection(outcomes)))

    def promotion_before(self, model: str, release: int, environment: str, at: datetime) -> PromotionAnswer | None:
        """Return the newest promotion not after an instant, else the first of the next day.

        The record of a merge is written by the pass after it; one of a later time does not say why the release ran
        before. Only the one that is told is verified.
        """
        here = [one for one in self._records(model, release) if one.environment == environment]
        before = [one for one in here if one.not_after(at)]
        # One that cannot be read has no time, and may be the one.
        soon = [one for one in here if not one.promoted_at or one.not_after(at + _RECORDED_WITHIN)]
        found = before[-1] if before else soon[0] if soon else None
        return self._answer(found) if found is not None else None

    def _records(self, model: str, release: int | None) -> list[_Record]:
        """Return the records of a model, of one release and those that cannot be read, oldest first."""
        self.prefetch(path for path in self.below(promotions_folder(model)) if path.endswith(".yaml"))
        found = []
        for path, _, name in self.places("Promotion", model):
            try:
                resource = self.load(path)
            except ModelOpsError as error:
                found.append(_Record(name, path, None, error.problems))
                continue
            if resource is not None and release in (None, resource.spec.release):
                found.append(_Record(name, path, resource))
        return sorted(found, key=lambda one: (one.promoted_at, one.name))

    def _answer(self, record: _Record) -> PromotionAnswer:
        if record.resource is None:
            return _unreadable(record.name, record.path, record.problems)
        return self._promotion(record.resource)

    def _promotion(self, resource: AnyResource) -> PromotionAnswer:
        spec = resource.spec
        trust, statements = self._judge_promotion(resource)
        outcomes = tuple(one.predicate for one in statements if one.predicate_type == ROLLOUT_OUTCOME)
        return PromotionAnswer(
            name=resource.name,
            environment=spec.environment,
            release=spec.release,
            path=spec.path,
            reason=spec.reason,
            promoted_at=spec.promoted_at,
            pull_request=spec.pull_request,
            approvals=spec.approvals,
            outcomes=outcomes,
            trust=trust,
            file=resource.path,
            clock_given=given_clock(statements),
            waivers=spec.waivers,
        )

    def _judge_promotion(self, resource: AnyResource) -> tuple[Trust, tuple[Statement, ...]]:
        if isinstance(self.trust, tuple):
            return _refused(self.trust), ()
        evidence = self.read(promotion_evidence_path(resource.path))
        release = RELEASE.path(resource.spec.model, resource.spec.release)
        released = self.read(release_evidence_path(release))
        try:
            statements = check_promotion(resource, evidence, self.trust, release_evidence=released)
        except ModelOpsError as error:
            return _refused(error.problems), ()
        wrong = self._mistimed(resource, statements)
        return (_verified(statements) if wrong is None else _refused((wrong,))), statements

    def _mistimed(self, resource: AnyResource, statements: tuple[Statement, ...]) -> Problem | None:
        """Return what is wrong with the time of a record: in the future, or before the commit that it builds on.

        Records from before the trust policy asked for signatures are taken at their word.
        """
        chain = self.chain
        if chain is None:
            return None
        versions = self.repository.line(chain.tip, MODELS).versions(resource.path)
        return mistimed(chain, resource, statements, versions[-1].commit if versions else None, self.asked.now)


def given_clock(statements: tuple[Statement, ...]) -> bool:
    """Tell whether the environment of whoever signed said what time it was."""
    return any(one.predicate.get(CLOCK) == GIVEN for one in statements)


def approval_in(statements: tuple[Statement, ...]) -> Statement | None:
    """Return the approval among statements, if there is one."""
    return next((one for one in statements if one.predicate_type == APPROVAL), None)


def missing(message: str) -> Trust:
    """Return the outcome for something that is not there."""
    return Trust("missing", problems=(message,))


def _verified(statements: tuple[Statement, ...]) -> Trust:
    return Trust("verified", tuple(sorted({one.key for one in statements})))


def _refused(problems: tuple[Problem, ...]) -> Trust:
    absent = all(problem.code in ("evidence-missing", "trust-missing") for problem in problems)
    return Trust("missing" if absent else "refused", problems=tuple(str(problem) for problem in problems))


def _unreadable(name: str, path: str, problems: tuple[Problem, ...]) -> PromotionAnswer:
    environment, _, _ = name.rpartition("-")
    return PromotionAnswer(name, environment, 0, "", "", "", None, (), (), _refused(problems), path)
