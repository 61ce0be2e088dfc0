"""The resources of a repository, put together as the places of their files say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from modelops.errors import Problem
from modelops.spec.kinds import STALLING_KINDS, place
from modelops.spec.kinds.access_policy import AccessPolicySpec
from modelops.spec.kinds.approval_policy import ApprovalPolicySpec
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.environment import EnvironmentSpec
from modelops.spec.kinds.gate_policy import GatePolicySpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec
from modelops.spec.kinds.outcomes import Figure
from modelops.spec.kinds.project import ProjectSpec
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.spec.kinds.rule import RuleSpec
from modelops.spec.kinds.trust_policy import TrustPolicySpec
from modelops.spec.layout import governs_all, model_folder, promoted
from modelops.spec.resource import AnyResource, Resource

K = TypeVar("K")
_NONE: Mapping[str, AnyResource] = {}


class Shelved(Mapping[K, AnyResource]):
    """Resources of one kind whose names are known; each is loaded when somebody asks for it."""

    __slots__ = ("_load", "_paths")

    def __init__(self, paths: Mapping[K, str], load: Callable[[str], AnyResource]) -> None:
        self._paths = paths
        self._load = load

    def __getitem__(self, name: K) -> AnyResource:
        return self._load(self._paths[name])

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[K]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


class Numbered(Mapping[int, AnyResource]):
    """Resources that are named by a number, in the order of their numbers."""

    __slots__ = ("_named", "_names")

    def __init__(self, named: Mapping[str, AnyResource]) -> None:
        self._named = named
        self._names = {int(name): name for name in sorted(filter(str.isdigit, named), key=int)}

    def __getitem__(self, number: int) -> AnyResource:
        return self._named[self._names[number]]

    def __contains__(self, number: object) -> bool:
        return number in self._names

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class ModelEntry:
    """One model with everything in its folder by kind and name; what is not asked for may never be loaded."""

    name: str
    parts: Mapping[str, Mapping[str, AnyResource]]

    @property
    def model(self) -> Resource[ModelSpec]:
        """The model itself."""
        return self.parts["Model"][self.name]

    @property
    def rollout(self) -> Resource[RolloutPlanSpec] | None:
        """How a candidate is tried, if that is said."""
        return self._of("RolloutPlan").get(self.name)

    @property
    def monitor(self) -> Resource[MonitorSpec] | None:
        """How it is watched, if it is."""
        return self._of("Monitor").get(self.name)

    @property
    def outcomes(self) -> tuple[Figure, ...]:
        """What its objective came to so far, the oldest first."""
        found = self._of("Outcomes").get(self.name)
        values: tuple[Figure, ...] = found.spec.values if found is not None else ()
        return values

    @property
    def snapshots(self) -> Mapping[str, Resource[DataSnapshotSpec]]:
        """The snapshots of its data."""
        return self._of("DataSnapshot")

    @property
    def deployments(self) -> Mapping[str, Resource[DeploymentSpec]]:
        """What runs where, by environment."""
        return self._of("Deployment")

    @cached_property
    def releases(self) -> Mapping[int, Resource[ReleaseSpec]]:
        """The releases by number, the first one first."""
        return Numbered(self._of("Release"))

    @property
    def promotions(self) -> Mapping[str, Resource[PromotionSpec]]:
        """The records of promotions, ``<environment>-<number>``."""
        return self._of("Promotion")

    def _of(self, kind: str) -> Mapping[str, AnyResource]:
        return self.parts.get(kind, _NONE)

    @property
    def folder(self) -> str:
        """The model's folder in the repository, without a trailing slash."""
        return model_folder(self.name).rstrip("/")

    @property
    def snapshot(self) -> Resource[DataSnapshotSpec]:
        """The snapshot that the model is trained on."""
        return self.snapshots[self.model.spec.data.snapshot]

    def deployed(self, deployment: Resource[DeploymentSpec]) -> ModelEntry:
        """Return the entry as it is with another deployment in the place of the one of its name."""
        return ModelEntry(self.name, {**self.parts, "Deployment": {**self.deployments, deployment.name: deployment}})


@dataclass(frozen=True, slots=True)
class Graph:
    """A repository in which every reference leads somewhere.

    ``policies`` has every policy by kind and name. ``refused`` is what is wrong all the same and stops one model only:
    the loop refuses what comes of it. ``stalled`` has, by path, what is wrong with files in whose place an older
    version stands; whatever needs one of them may only stay as it is, or go back.
    """

    project: Resource[ProjectSpec]
    approvals: Resource[ApprovalPolicySpec]
    trust: Resource[TrustPolicySpec]
    environments: Mapping[str, Resource[EnvironmentSpec]]
    gate_policies: Mapping[str, Resource[GatePolicySpec]]
    rules: Mapping[str, Resource[RuleSpec]]
    models: Mapping[str, ModelEntry]
    access: Mapping[str, Resource[AccessPolicySpec]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    refused: tuple[Problem, ...] = ()
    policies: Mapping[str, Mapping[str, AnyResource]] = field(default_factory=dict)
    stalled: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict)

    def troubles(self, model: str | None = None, environment: str | None = None) -> tuple[Problem, ...]:
        """Return what is wrong with the files that a model, an environment, or a model in an environment needs.

        Rules, approvals, trust and the project are needed by all; gate policies by the models that name them, and an
        access policy by the environment that does.
        """
        return tuple(
            problem
            for path, problems in self.stalled.items()
            if self._needs(path, model, environment)
            for problem in problems
        )

    def _needs(self, path: str, model: str | None, environment: str | None) -> bool:
        found = place(path)
        record = promoted(path)
        if record is not None:
            return record[0] == model and environment in (None, record[1])
        if found is None:
            return governs_all(path) or (model is not None and path.startswith(model_folder(model)))
        kind, owner, name = found
        if owner is not None:
            return owner == model and (kind != "Deployment" or environment in (None, name))
        match kind:
            case "Environment":
                return name == environment
            case "AccessPolicy":
                where = self.environments.get(environment or "")
                return where is not None and where.spec.access == name
            case "GatePolicy":
                entry = self.models.get(model or "")
                return entry is not None and name in entry.model.spec.gates
            case _:
                return kind in STALLING_KINDS

    @property
    def stalled_models(self) -> tuple[str, ...]:
        """The models that a wrong file of their own stalls, whether or not an older version of it stands; sorted."""
        found = (place(path) for path in self.stalled)
        return tuple(sorted({each[1] for each in found if each is not None and each[1] is not None}))
