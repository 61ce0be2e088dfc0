"""What documents are made from: a proven release, and the files that stand beside it at the commit it was made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modelops.audit import Asked, PromotionAnswer, ReleaseAnswer, release
from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.project.retired import lineage
from modelops.repository import Repository
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.access_policy import AccessPolicySpec
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.dossier import DossierSpec
from modelops.spec.kinds.environment import EnvironmentSpec
from modelops.spec.kinds.gate_policy import GatePolicySpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.spec.layout import (
    ACCESS,
    DEPLOYMENT,
    DOSSIER,
    ENVIRONMENT,
    GATE_POLICY,
    LOCK,
    MODEL,
    MONITOR,
    RELEASE,
    ROLLOUT,
    SNAPSHOT,
    ReleaseFiles,
)
from modelops.spec.load import load_resource
from modelops.training.request import spec_digest

__all__ = ["Facts", "gather"]


@dataclass(frozen=True)
class Facts:
    """A proven release, the specs that it was made of, and what is said of its model now.

    ``model``, ``snapshot``, ``policies`` and ``lock`` are of the commit that it was built from; a snapshot or lock that
    is not the one that the evidence binds is none. ``dossier``, ``rollout`` and ``monitor`` are of the branch's tip:
    ``release.revision``; so are the ``environments`` that the release was promoted to, and ``access``, who may call
    those of them that do not let everybody. ``card`` is the signed model card. Earlier releases come oldest first.
    ``root`` is the first commit of the branch's own line, which forks alone share, and the project's folder.
    ``on_trial`` are the environments whose candidate the release is at the tip.
    """

    release: ReleaseAnswer
    model: ModelSpec
    license: str
    snapshot: DataSnapshotSpec | None
    policies: Mapping[str, GatePolicySpec]
    lock: bytes
    dossier: DossierSpec
    rollout: RolloutPlanSpec | None
    monitor: MonitorSpec | None
    environments: Mapping[str, EnvironmentSpec]
    access: Mapping[str, AccessPolicySpec]
    card: bytes
    earlier: tuple[ReleaseAnswer, ...]
    root: str
    on_trial: frozenset[str]

    @property
    def name(self) -> str:
        """The release, as people call it."""
        return f"{self.release.model} {self.release.release}"

    @property
    def evidence(self) -> str:
        """The source of what is signed."""
        return f"signed evidence of release {self.release.release} ({', '.join(self.release.trust.keys)})"

    @property
    def spec_source(self) -> str:
        """The source of what the model's own file says."""
        return f"{MODEL.path(self.release.model)} at {self.release.code.commit[:12]}"

    @property
    def dossier_source(self) -> str:
        """The source of what people answered."""
        return f"{DOSSIER.path(self.release.model)} at {self.release.revision[:12]}"

    @property
    def promotions(self) -> tuple[PromotionAnswer, ...]:
        """Every promotion of this release and of those before it, oldest first."""
        found = (one for answer in (*self.earlier, self.release) for one in answer.promotions)
        return tuple(sorted(found, key=lambda one: (one.promoted_at, one.name)))


def gather(repository: Repository, model: str, number: int, *, branch: str, asked: Asked) -> Facts:
    """Return the facts about a release; one that is not proven has none (``not-proven``)."""
    answer = release(repository, model, number, branch=branch, asked=asked)
    if not answer.trust.ok:
        why = "; ".join(answer.trust.problems) or answer.trust.status
        said = f"release {number} of {model} is not proven, so no document says anything about it: {why}"
        hint = f"see modelops audit release {model} {number}"
        raise failure("not-proven", said, exit=Exit.NO, hint=hint)
    then = _Files(repository, answer.code.commit)
    now = _Files(repository, answer.revision)
    spec = then.load(MODEL.path(answer.model))
    if spec is None:
        said = f"{MODEL.path(answer.model)} cannot be read at {answer.code.commit[:12]}, of which release {number} is"
        raise failure("not-proven", said, exit=Exit.NO, hint="fetch the whole history: git fetch --unshallow")
    snapshot = then.load(SNAPSHOT.path(answer.model, answer.data.snapshot))
    if snapshot is not None and snapshot.spec.root != answer.data.root:
        snapshot = None
    if spec_digest(spec.spec) != answer.spec:
        said = (
            f"{MODEL.path(answer.model)} at {answer.code.commit[:12]} is not the spec that release {number} was made of"
        )
        raise failure("not-proven", said, exit=Exit.NO, hint=f"see modelops audit release {model} {number}")
    lock = then.read(LOCK) or b""
    policies = {name: found.spec for name in spec.spec.gates if (found := then.load(GATE_POLICY.path(None, name)))}
    dossier = now.load(DOSSIER.path(answer.model))
    places = sorted({one.environment for one in answer.promotions if one.trust.ok})
    environments = {name: found.spec for name in places if (found := now.load(ENVIRONMENT.path(None, name)))}
    asked_for = {name: one.access for name, one in environments.items() if one.access is not None}
    access = {name: found.spec for name, key in asked_for.items() if (found := now.load(ACCESS.path(None, key)))}
    first = repository.log(revision=answer.revision, first_parent=True)[-1]
    rollout, monitor = now.load(ROLLOUT.path(answer.model)), now.load(MONITOR.path(answer.model))
    return Facts(
        release=answer,
        model=spec.spec,
        license=spec.metadata.annotations.get("license", ""),
        snapshot=snapshot.spec if snapshot is not None else None,
        policies=policies,
        lock=lock if digest_bytes(lock) == answer.environment_lock else b"",
        dossier=dossier.spec if dossier is not None else DossierSpec(),
        rollout=rollout.spec if rollout is not None else None,
        monitor=monitor.spec if monitor is not None else None,
        environments=environments,
        access=access,
        card=now.read(ReleaseFiles(answer.model, answer.release).card) or b"",
        earlier=tuple(_earlier(repository, answer, branch, asked)),
        on_trial=frozenset(name for name in places if _candidate(now, answer.model, name) == answer.release),
        root="/".join([first.id, *([repository.folder] if repository.folder else [])]),
    )


def _candidate(now: _Files, model: str, environment: str) -> int | None:
    deployment = now.load(DEPLOYMENT.path(model, environment))
    return None if deployment is None else deployment.spec.candidate


def _earlier(repository: Repository, answer: ReleaseAnswer, branch: str, asked: Asked) -> Iterable[ReleaseAnswer]:
    """Return the releases before this one, under every name that the model had."""
    paths = repository.paths(answer.revision)
    names = lineage(repository, answer.revision, answer.model)
    numbers = {int(found[1]) for path in paths if (found := RELEASE.parse(path)) and found[0] in names}
    for number in sorted(one for one in numbers if one < answer.release):
        yield release(repository, answer.model, number, branch=branch, asked=asked)


class _Files:
    """The files of one commit, as far as this clone has it; what cannot be read is not there."""

    def __init__(self, repository: Repository, revision: str) -> None:
        self._repository, self._revision = repository, revision
        try:
            self._paths = frozenset(repository.paths(revision))
        except ModelOpsError:
            self._paths = frozenset()

    def read(self, path: str) -> bytes | None:
        return self._repository.read(self._revision, path) if path in self._paths else None

    def load(self, path: str) -> AnyResource | None:
        data = self.read(path)
        try:
            return None if data is None else load_resource(data, path)
        except ModelOpsError:
            return None
