"""The resources of a repository, put together as the places of their files say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from modelops.errors import Problem
from modelops.spec.access import AccessPolicySpec
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.delivery import DeploymentSpec, MonitorSpec, PromotionSpec, ReleaseSpec, RolloutPlanSpec
from modelops.spec.kinds import AnyResource, Resource
from modelops.spec.model import ModelSpec
from modelops.spec.policy import (
    ApprovalPolicySpec,
    EnvironmentSpec,
    GatePolicySpec,
    ProjectSpec,
    RuleSpec,
    TrustPolicySpec,
)


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model with everything in its folder; releases by number, deployments by environment."""

    model: Resource[ModelSpec]
    rollout: Resource[RolloutPlanSpec] | None = None
    monitor: Resource[MonitorSpec] | None = None
    snapshots: Mapping[str, Resource[DataSnapshotSpec]] = field(default_factory=dict)
    deployments: Mapping[str, Resource[DeploymentSpec]] = field(default_factory=dict)
    releases: Mapping[int, Resource[ReleaseSpec]] = field(default_factory=dict)
    promotions: Mapping[str, Resource[PromotionSpec]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The model's name, its path below ``models/``."""
        return self.model.name

    @property
    def folder(self) -> str:
        """The model's folder in the repository, without a trailing slash."""
        return f"models/{self.model.name}"

    @property
    def snapshot(self) -> Resource[DataSnapshotSpec]:
        """The snapshot that the model is trained on."""
        return self.snapshots[self.model.spec.data.snapshot]


@dataclass(frozen=True, slots=True)
class Graph:
    """A repository in which every reference leads somewhere.

    ``refused`` is what is wrong all the same and stops one model only: the loop refuses what comes of it.
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


@dataclass(slots=True)
class Folder:
    """What was found of one model, complete or not."""

    name: str
    parts: dict[str, dict[str, AnyResource]] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, AnyResource]:
        """Return the resources of a kind by name."""
        return self.parts.get(kind, {})

    def only(self, kind: str) -> AnyResource | None:
        """Return the resource of a kind that a model has at most once."""
        return self.parts.get(kind, {}).get(self.name)

    def entry(self, model: Resource[ModelSpec]) -> ModelEntry:
        """Return the folder as an entry of the graph."""
        releases = {int(name): release for name, release in self.of("Release").items() if name.isdigit()}
        return ModelEntry(
            model,
            self.only("RolloutPlan"),
            self.only("Monitor"),
            self.of("DataSnapshot"),
            self.of("Deployment"),
            dict(sorted(releases.items())),
            self.of("Promotion"),
        )


@dataclass(slots=True)
class Collection:
    """Resources by kind and name for the policies, and by model."""

    policies: dict[str, dict[str, AnyResource]] = field(default_factory=dict)
    folders: dict[str, Folder] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, AnyResource]:
        """Return the policies of a kind by name."""
        return self.policies.get(kind, {})

    def risks(self) -> dict[str, str]:
        """Return the risk tier of every valid model by name."""
        found = ((name, folder.only("Model")) for name, folder in self.folders.items())
        return {name: model.spec.risk for name, model in found if model is not None}


def collect(resources: Iterable[AnyResource]) -> Collection:
    """Sort resources into the folders of models and the policies."""
    collection = Collection()
    for resource in resources:
        if resource.model is None:
            collection.policies.setdefault(resource.kind, {})[resource.name] = resource
            continue
        folder = collection.folders.get(resource.model)
        if folder is None:
            folder = collection.folders[resource.model] = Folder(resource.model)
        folder.parts.setdefault(resource.kind, {})[resource.name] = resource
    return collection
