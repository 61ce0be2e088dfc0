"""The records of a repository at one commit, each with the outcome of verifying it; reading never raises for them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

from modelops.audit.answers import PromotionAnswer, Trust
from modelops.errors import ModelOpsError, Problem
from modelops.evidence import (
    APPROVAL,
    CARD_FILE,
    ROLLOUT_OUTCOME,
    SIGNATURE_FILE,
    Statement,
    check_promotion,
    check_release,
    check_release_files,
    promotion_evidence_path,
    release_evidence_path,
)
from modelops.repository import Repository
from modelops.spec.kinds import AnyResource, Resource, place
from modelops.spec.load import load_resource
from modelops.spec.policy import ProjectSpec, TrustPolicySpec

_NO_TRUST = Problem("trust-missing", "there is no trust policy at policies/trust.yaml, so no signature counts")


def project_of(repository: Repository) -> ProjectSpec:
    """Return the project's settings as checked out, or the defaults where there are none."""
    path = "policies/project.yaml"
    if path not in repository.paths("HEAD", path):
        return ProjectSpec()
    spec = load_resource(repository.read("HEAD", path), path).spec
    assert isinstance(spec, ProjectSpec)
    return spec


class Records:
    """The files of one commit; ``trust`` is its trust policy, or the problems that leave it without one."""

    def __init__(self, repository: Repository, revision: str) -> None:
        self.repository = repository
        self.revision = repository.resolve(revision)
        self._read: dict[str, bytes] = {}

    @cached_property
    def paths(self) -> frozenset[str]:
        """Every path of the commit."""
        return frozenset(self.repository.paths(self.revision))

    def prefetch(self, *folders: str) -> None:
        """Read every file below some folders at once, so that a long history costs one process and not one a file."""
        wanted = [path for path in self.paths if path.startswith(folders) and path not in self._read]
        if wanted:
            self._read |= self.repository.read_many(self.revision, wanted)

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, None when there is none."""
        if path not in self._read and path in self.paths:
            self._read[path] = self.repository.read(self.revision, path)
        return self._read.get(path)

    def load(self, path: str) -> AnyResource | None:
        """Return the resource of a file, None when there is none; a file that cannot be read raises its problems."""
        data = self.read(path)
        return None if data is None else load_resource(data, path)

    @cached_property
    def trust(self) -> TrustPolicySpec | tuple[Problem, ...]:
        """The trust policy, or why there is none that can be used."""
        try:
            resource = self.load("policies/trust.yaml")
        except ModelOpsError as error:
            return error.problems
        return (_NO_TRUST,) if resource is None else resource.spec

    def places(self, kind: str, model: str | None = None) -> Iterator[tuple[str, str, str]]:
        """Yield (path, model, name) of the files of a kind, sorted by path."""
        for path in sorted(self.paths):
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
            folder = release.path.removesuffix("release.yaml")
            card, signature = self.read(folder + CARD_FILE), self.read(folder + SIGNATURE_FILE)
            check_release_files(release, statements, self.trust, card=card, signature=signature)
        except ModelOpsError as error:
            return _refused(error.problems), ()
        return _verified(statements), statements

    def promotions(
        self, model: str, release: int | None = None, environment: str | None = None
    ) -> tuple[PromotionAnswer, ...]:
        """Return the promotions of a model, oldest first; one whose file cannot be read is told as refused."""
        self.prefetch(f"models/{model}/promotions/")
        found = []
        for path, _, name in self.places("Promotion", model):
            try:
                resource = self.load(path)
            except ModelOpsError as error:
                answer = _unreadable(name, path, error.problems)
                found += [answer] if environment in (None, answer.environment) else []
                continue
            if resource is None or (release is not None and resource.spec.release != release):
                continue
            if environment in (None, resource.spec.environment):
                found.append(self._promotion(resource))
        return tuple(sorted(found, key=lambda one: (one.promoted_at, one.name)))

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
        )

    def _judge_promotion(self, resource: AnyResource) -> tuple[Trust, tuple[Statement, ...]]:
        if isinstance(self.trust, tuple):
            return _refused(self.trust), ()
        evidence = self.read(promotion_evidence_path(resource.path))
        release = f"models/{resource.spec.model}/releases/{resource.spec.release}/release.yaml"
        released = self.read(release_evidence_path(release))
        try:
            statements = check_promotion(resource, evidence, self.trust, release_evidence=released)
        except ModelOpsError as error:
            return _refused(error.problems), ()
        return _verified(statements), statements


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
