"""What the objects of an environment are called and labelled: by names that no other environment or model has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from modelops.errors import Exit, failure

__all__ = [
    "ENVIRONMENT",
    "MANAGED",
    "MODEL",
    "PART",
    "REPOSITORY",
    "SPEC",
    "TERM",
    "Owner",
    "name_of",
    "named",
    "release_name",
    "selector_of",
]

_READABLE = 43
"""How much of a name is for people; with the hash it stays within the 52 characters that a StatefulSet may have."""
MANAGED = {"app.kubernetes.io/managed-by": "modelops"}
ENVIRONMENT, MODEL, REPOSITORY = "modelops.dev/environment", "modelops.dev/model", "modelops.dev/repository"
PART = "app.kubernetes.io/part-of"
"""The label by which the pods of an environment are found: what does not change with a release."""
SPEC = "modelops.dev/spec"
"""The annotation with the digest of what was applied."""
TERM = "modelops.dev/term"
"""The annotation with the term of the lease under which a ConfigMap was written."""


def _joined(told: str, whole: str) -> str:
    if told[0].isdigit():
        # The name of a Service begins with a letter.
        told = f"m-{told}"
    return f"{told[:_READABLE].rstrip('-')}-{sha256(whole.encode()).hexdigest()[:8]}"


def name_of(environment: str, model: str) -> str:
    """Return the name that the objects of one model in one environment have, and no others in the cluster.

    Joined names alone are not enough: ``a/b`` and ``a-b`` are two models, and ``a`` in ``b-staging`` is not ``a-b`` in
    ``staging``. What is read is cut to what a Service and the revisions of a workload leave room for.
    """
    return _joined(f"{model.replace('/', '-')}-{environment}", f"{environment}/{model}")


def release_name(environment: str, model: str, release: int) -> str:
    """Return the name of what holds one release of a model alone; it is nobody else's either."""
    return _joined(f"{model.replace('/', '-')}-r{release}-{environment}", f"{environment}/{model}@{release}")


def named(kind: str, name: str, namespace: str) -> str:
    """Return what an object is called in what people read."""
    return f"{kind} {name} of the namespace {namespace}"


def selector_of(environment: str, model: str) -> dict[str, str]:
    """Return the labels that select the pods of one model in one environment."""
    return {"app.kubernetes.io/name": "modelops", "app.kubernetes.io/instance": name_of(environment, model)}


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose objects they are: an environment of a project, which every clone of it names alike."""

    environment: str
    repository: str

    @property
    def stem(self) -> str:
        """What the name of everything begins with that is of the environment and of no model."""
        return _joined(f"modelops-{self.environment}", self.environment)

    @property
    def inventory(self) -> str:
        """The ConfigMap that lists what was applied."""
        return f"{self.stem}-inventory"

    @property
    def lease(self) -> str:
        """The Lease of who reconciles."""
        return f"{self.stem}-reconciler"

    @property
    def mark(self) -> str:
        """What tells the project from others, as a label can hold it."""
        return sha256(self.repository.encode()).hexdigest()[:32]

    @property
    def labels(self) -> dict[str, str]:
        """The labels that everything has which is ours."""
        return {**MANAGED, ENVIRONMENT: self.environment, REPOSITORY: self.mark}

    @property
    def selects(self) -> str:
        """The labels as a selector."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))

    def require(self, live: Mapping[str, Any]) -> None:
        """Refuse what has our name and is not ours; what this environment was rendered to is taken over."""
        metadata = live["metadata"]
        labels = metadata.get("labels") or {}
        rendered = {**MANAGED, ENVIRONMENT: self.environment}
        mine = {key: labels.get(key) for key in rendered} == rendered
        if mine and labels.get(REPOSITORY, self.mark) == self.mark:
            return
        whose = f"{labels.get(ENVIRONMENT)} of another project" if labels.get(REPOSITORY) else "somebody else"
        raise failure(
            "name-taken",
            f"the {named(live['kind'], metadata['name'], metadata['namespace'])} is of {whose}, "
            f"not of {self.environment} of this one",
            exit=Exit.WORLD,
            hint="give the target of one of them a namespace of its own: namespace, in its parameters",
        )
