"""The closed set of kinds: the envelope, the kind's spec, and where each kind's files live."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from modelops.errors import Location
from modelops.spec.access import AccessPolicySpec
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.delivery import DeploymentSpec, MonitorSpec, PromotionSpec, ReleaseSpec, RolloutPlanSpec
from modelops.spec.meta import Metadata, Strict
from modelops.spec.model import ModelSpec
from modelops.spec.policy import (
    ApprovalPolicySpec,
    EnvironmentSpec,
    GatePolicySpec,
    ProjectSpec,
    RuleSpec,
    TrustPolicySpec,
)

KINDS: dict[str, type[Strict]] = {
    "Model": ModelSpec,
    "DataSnapshot": DataSnapshotSpec,
    "RolloutPlan": RolloutPlanSpec,
    "Monitor": MonitorSpec,
    "Deployment": DeploymentSpec,
    "Release": ReleaseSpec,
    "Promotion": PromotionSpec,
    "Project": ProjectSpec,
    "Environment": EnvironmentSpec,
    "GatePolicy": GatePolicySpec,
    "Rule": RuleSpec,
    "ApprovalPolicy": ApprovalPolicySpec,
    "TrustPolicy": TrustPolicySpec,
    "AccessPolicy": AccessPolicySpec,
}
IMMUTABLE_KINDS = frozenset({"Release", "Promotion", "DataSnapshot"})

_MODEL = r"models/(?P<model>[^/]+(?:/[^/]+){0,3}?)"
PLACES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern + r"\.yaml"), kind)
    for pattern, kind in (
        (_MODEL + r"/model", "Model"),
        (_MODEL + r"/data/(?P<name>[^/]+)", "DataSnapshot"),
        (_MODEL + r"/rollout", "RolloutPlan"),
        (_MODEL + r"/monitor", "Monitor"),
        (_MODEL + r"/environments/(?P<name>[^/]+)", "Deployment"),
        (_MODEL + r"/releases/(?P<name>[^/]+)/release", "Release"),
        (_MODEL + r"/promotions/(?P<name>[^/]+)", "Promotion"),
        (r"policies/project", "Project"),
        (r"policies/environments/(?P<name>[^/]+)", "Environment"),
        (r"policies/gates/(?P<name>[^/]+)", "GatePolicy"),
        (r"policies/rules/(?P<name>[^/]+)", "Rule"),
        (r"policies/approvals", "ApprovalPolicy"),
        (r"policies/trust", "TrustPolicy"),
        (r"policies/access/(?P<name>[^/]+)", "AccessPolicy"),
    )
)

S = TypeVar("S", bound=Strict)


@dataclass(frozen=True, slots=True)
class Resource(Generic[S]):
    """A validated document: its kind, its place in the tree, its spec, and the marks of every node in it.

    ``name`` is the identity from the path: the model's name for Model, RolloutPlan and Monitor; the file's (or for a
    release the folder's) own name otherwise. ``model`` is the model whose folder holds the file, if any. ``marks``
    maps a dotted path such as ``spec.gates[0].params`` to the location of its value.
    """

    kind: str
    name: str
    model: str | None
    path: str
    metadata: Metadata
    spec: S
    digest: str
    marks: Mapping[str, Location]

    def where(self, dotted: str) -> Location:
        """Return the location of a dotted path, or of its nearest ancestor that was written."""
        while dotted and dotted not in self.marks:
            dotted = re.sub(r"(\.[^.\[]+|\[\d+\]|^[^.\[]+)$", "", dotted)
        return self.marks.get(dotted, Location(self.path))


AnyResource = Resource[Any]


@lru_cache(maxsize=100_000)
def place(path: str) -> tuple[str, str | None, str] | None:
    """Return (kind, model, name) for a repository path, or None when no kind lives there."""
    for pattern, kind in PLACES:
        match = pattern.fullmatch(path)
        if match:
            groups = match.groupdict()
            model = groups.get("model")
            return kind, model, groups.get("name") or model or path.removeprefix("policies/").removesuffix(".yaml")
    return None
