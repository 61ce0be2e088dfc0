"""References of models: every name that a file of a model's folder mentions leads to something that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modelops.errors import Problem
from modelops.spec.data import Column, DataSnapshotSpec
from modelops.spec.delivery import DeploymentSpec, PromotionSpec, ReleaseSpec
from modelops.spec.explain import nearest, show
from modelops.spec.kinds import AnyResource, Resource
from modelops.spec.locations import refusal
from modelops.spec.model import Feature, ModelSpec
from modelops.spec.tree import Folder

# Which measured types of a column can be read as a feature's type.
_READABLE: dict[str, frozenset[str]] = {
    "number": frozenset({"number", "integer", "boolean"}),
    "integer": frozenset({"integer", "boolean"}),
    "boolean": frozenset({"boolean"}),
    "category": frozenset({"category", "boolean", "integer"}),
    "datetime": frozenset({"datetime"}),
}


@dataclass(frozen=True, slots=True)
class Known:
    """Names that exist, as (kind, model, name), whether or not their files are valid; None when all were looked at.

    ``locations`` are those outside of the repository that the Project lists for data (None: not known).
    """

    names: frozenset[tuple[str, str | None, str]]
    metrics: frozenset[str] | None = None
    paths: frozenset[str] | None = None
    locations: tuple[str, ...] | None = None

    def has(self, kind: str, model: str | None, name: str) -> bool:
        """Tell whether a file for this resource exists."""
        return (kind, model, name) in self.names

    def all(self, kind: str, model: str | None = None) -> list[str]:
        """Return the names of a kind, of one model or of the policies."""
        return [name for its_kind, its_model, name in self.names if its_kind == kind and its_model == model]


def at(resource: AnyResource, dotted: str, code: str, message: str, hint: str | None = None) -> Problem:
    """Return a Problem at the place of a value in a resource."""
    return Problem(code, message, resource.where(dotted), dotted, hint)


def folder_problems(folder: Folder, known: Known) -> Iterator[Problem]:
    """Yield what is wrong between the files of one model's folder and the policies."""
    if folder.only("Model") is None and not known.has("Model", folder.name, folder.name):
        first = next(iter(next(iter(folder.parts.values())).values()))
        said = f"models/{folder.name} has no model.yaml"
        yield at(first, "", "missing-model", said, "add the model, or remove its folder")
    for resources in folder.parts.values():
        for resource in resources.values():
            yield from reference_problems(resource, folder, known)


def reference_problems(resource: AnyResource, folder: Folder, known: Known) -> Iterator[Problem]:
    """Yield what one file of a model's folder says about others that does not hold."""
    check = _CHECKS.get(resource.kind)
    if check is not None:
        yield from check(resource, folder, known)


def _model_problems(model: Resource[ModelSpec], folder: Folder, known: Known) -> Iterator[Problem]:
    spec = model.spec
    for index, policy in enumerate(spec.gates):
        if not known.has("GatePolicy", None, policy):
            hint = nearest(policy, known.all("GatePolicy"), "gate policies")
            yield at(model, f"spec.gates[{index}]", "unknown-gate-policy", f"there is no gate policy {policy!r}", hint)
    if len(set(spec.gates)) < len(spec.gates):
        yield at(model, "spec.gates", "duplicate-name", "a gate policy is named twice", "name each once")
    entrypoint = PurePosixPath(spec.training.entrypoint)
    outside = entrypoint.is_absolute() or ".." in entrypoint.parts or entrypoint.suffix != ".py"
    path = f"models/{folder.name}/{entrypoint}"
    if outside or (known.paths is not None and path not in known.paths):
        said = f"{show(spec.training.entrypoint)} is not a Python file of the model's folder"
        yield at(model, "spec.training.entrypoint", "unknown-entrypoint", said, f"add {path}" if not outside else None)
    snapshot = folder.of("DataSnapshot").get(spec.data.snapshot)
    if snapshot is not None:
        yield from _column_problems(model, snapshot)
    elif not known.has("DataSnapshot", folder.name, spec.data.snapshot):
        names = known.all("DataSnapshot", folder.name)
        hint = nearest(spec.data.snapshot, names, "snapshots") if names else "take one: modelops data snapshot"
        said = f"there is no snapshot {spec.data.snapshot!r}"
        yield at(model, "spec.data.snapshot", "unknown-snapshot", said, hint)
    yield from _role_problems(model)


def _snapshot_problems(snapshot: Resource[DataSnapshotSpec], _: Folder, known: Known) -> Iterator[Problem]:
    problem = location_problem(snapshot, known.locations) if known.locations is not None else None
    if problem is not None:
        yield problem


def location_problem(snapshot: Resource[DataSnapshotSpec], allowed: tuple[str, ...]) -> Problem | None:
    """Return the Problem of a snapshot whose bytes come from where they may not; ``allowed`` as the Project lists."""
    source = snapshot.spec.source
    refused = refusal(source.location, allowed) if source.type == "files" and source.location else None
    return at(snapshot, "spec.source.location", "data-location", *refused) if refused else None


def _role_problems(model: Resource[ModelSpec]) -> Iterator[Problem]:
    """Check what the model's own columns say of each other."""
    data, split = model.spec.data, model.spec.training.split
    seen: set[str] = set()
    for index, feature in enumerate(data.features):
        where = f"spec.data.features[{index}].name"
        if feature.name in seen:
            yield at(model, where, "duplicate-name", f"the feature {feature.name!r} is listed twice", "list it once")
        if feature.name == data.target:
            said = f"the target {data.target!r} is also a feature"
            yield at(model, where, "target-leak", said, "a model may not see what it predicts: remove the feature")
        seen.add(feature.name)
    if split.type == "hash" and data.id is None:
        yield at(
            model, "spec.training.split.type", "split-needs-id", "a hash split needs data.id", "name the id column"
        )
    if split.type == "time" and data.time is None:
        yield at(
            model,
            "spec.training.split.type",
            "split-needs-time",
            "a time split needs data.time",
            "name the time column",
        )
    if data.positive is not None and model.spec.task != "binary-classification":
        said = f"a {model.spec.task} task has no positive label"
        yield at(model, "spec.data.positive", "bad-positive", said, "remove data.positive")


def _column_problems(model: Resource[ModelSpec], snapshot: Resource[DataSnapshotSpec]) -> Iterator[Problem]:
    data = model.spec.data
    columns = {column.name: column for column in snapshot.spec.columns}

    def absent(dotted: str, name: str) -> Problem:
        said = f"the snapshot {snapshot.name!r} has no column {name!r}"
        return at(model, dotted, "unknown-column", said, nearest(name, columns, "columns"))

    for dotted, name in (("target", data.target), ("id", data.id), ("time", data.time)):
        if name is not None and name not in columns:
            yield absent(f"spec.data.{dotted}", name)
    for index, name in enumerate(data.sensitive):
        if name not in columns:
            yield absent(f"spec.data.sensitive[{index}]", name)
    for index, feature in enumerate(data.features):
        column = columns.get(feature.name)
        if column is None:
            yield absent(f"spec.data.features[{index}].name", feature.name)
        else:
            yield from _feature_problems(model, index, feature, column, snapshot.name)
    time = columns.get(data.time) if data.time else None
    if time is not None and time.type in ("boolean", "category"):
        said = f"the column {time.name!r} is {time.type}, which has no order in time"
        yield at(model, "spec.data.time", "column-type", said, "name a datetime column")
    balance = snapshot.spec.balance
    if balance and data.positive is not None and not _is_label(data.positive, balance):
        said = f"{show(data.positive)} is not a label of {data.target!r}"
        yield at(model, "spec.data.positive", "bad-positive", said, nearest(str(data.positive), balance, "labels"))


def _feature_problems(
    model: Resource[ModelSpec], index: int, feature: Feature, column: Column, snapshot: str
) -> Iterator[Problem]:
    where = f"spec.data.features[{index}]"
    zero_or_one = column.type in ("integer", "number") and (column.minimum, column.maximum) == (0, 1)
    if column.type not in _READABLE[feature.type] and not (feature.type == "boolean" and zero_or_one):
        said = f"{feature.name!r} is {column.type} in the snapshot {snapshot!r}, not {feature.type}"
        yield at(model, f"{where}.type", "column-type", said, f"write `type: {column.type}`")
    if column.missing and not feature.nullable:
        said = f"{feature.name!r} is missing in {column.missing:,} rows of the snapshot {snapshot!r}"
        yield at(model, where, "not-nullable", said, "add `nullable: true`, or clean the data")


def _is_label(positive: Any, balance: dict[str, int]) -> bool:
    """Compare a label in YAML with labels counted as text."""
    text = str(positive).lower()
    if text in {label.lower() for label in balance}:
        return True
    if not isinstance(positive, int | float):
        return False
    numbers = [label for label in balance if label.replace(".", "", 1).removeprefix("-").isdigit()]
    return float(positive) in {float(label) for label in numbers}


def _deployment_problems(deployment: Resource[DeploymentSpec], folder: Folder, known: Known) -> Iterator[Problem]:
    spec = deployment.spec
    if not known.has("Environment", None, deployment.name):
        hint = nearest(deployment.name, known.all("Environment"), "environments")
        said = f"there is no environment {deployment.name!r}"
        yield at(deployment, "metadata.name", "unknown-environment", said, hint)
    denied = {item.release for item in spec.denied}
    named = [("spec.stable", spec.stable), ("spec.candidate", spec.candidate)]
    named += [(f"spec.challengers[{index}]", number) for index, number in enumerate(spec.challengers)]
    named += [(f"spec.denied[{index}].release", item.release) for index, item in enumerate(spec.denied)]
    for dotted, number in named:
        if number is None:
            continue
        if not known.has("Release", folder.name, str(number)):
            yield at(
                deployment, dotted, "unknown-release", f"there is no release {number}", _release_hint(folder, known)
            )
        elif not dotted.startswith("spec.denied") and number in denied:
            said = f"release {number} is on the deny list of this environment"
            hint = "it failed here; clear its entry under `denied` in a reviewed change first"
            yield at(deployment, dotted, "denied-release", said, hint)
    if spec.candidate is not None and spec.candidate == spec.stable:
        said = f"release {spec.candidate} is stable already"
        yield at(deployment, "spec.candidate", "candidate-is-stable", said, "remove `candidate`")
    if spec.candidate is not None and not known.has("RolloutPlan", folder.name, folder.name):
        said = "a candidate needs a rollout plan"
        yield at(deployment, "spec.candidate", "missing-rollout", said, f"add models/{folder.name}/rollout.yaml")
    yield from _challenger_problems(deployment)


def _challenger_problems(deployment: Resource[DeploymentSpec]) -> Iterator[Problem]:
    spec = deployment.spec
    taken: set[int | None] = {spec.stable, spec.candidate}
    for index, number in enumerate(spec.challengers):
        where = f"spec.challengers[{index}]"
        if index == 0 and spec.candidate is None:
            hint = "challengers are on trial beside a candidate: name the first of them `candidate`"
            yield at(deployment, where, "missing-candidate", "there are challengers and no candidate", hint)
        if number in taken:
            said = f"release {number} has an arm already"
            yield at(deployment, where, "duplicate-arm", said, "name each release once")
        taken.add(number)


def _release_hint(folder: Folder, known: Known) -> str:
    names = sorted((name for name in known.all("Release", folder.name) if name.isdigit()), key=int)
    return f"releases: {', '.join(names[-12:])}" if names else "this model has no release yet: modelops release"


def _release_problems(release: Resource[ReleaseSpec], folder: Folder, known: Known) -> Iterator[Problem]:
    spec = release.spec
    if str(spec.version) != release.name:
        said = f"version {spec.version} lies in the folder of release {release.name}"
        yield at(release, "spec.version", "name-mismatch", said, "releases are written by modelops release")
    if spec.model != folder.name:
        yield at(release, "spec.model", "name-mismatch", f"{spec.model!r} is another model", f"write {folder.name}")
    snapshot = folder.of("DataSnapshot").get(spec.data.snapshot)
    if snapshot is not None and snapshot.spec.root != spec.data.root:
        said = f"the snapshot {snapshot.name!r} has another root digest than this release was trained on"
        yield at(
            release, "spec.data.root", "digest-mismatch", said, "snapshots are immutable: restore it, take a new one"
        )
    elif snapshot is None and not known.has("DataSnapshot", folder.name, spec.data.snapshot):
        said = f"there is no snapshot {spec.data.snapshot!r}"
        hint = "the snapshot of a release must stay: restore it from git"
        yield at(release, "spec.data.snapshot", "unknown-snapshot", said, hint)
    if spec.champion is not None and not known.has("Release", folder.name, str(spec.champion)):
        said = f"there is no release {spec.champion}"
        yield at(release, "spec.champion", "unknown-release", said, _release_hint(folder, known))
    if known.paths is not None:
        for name in ("evidence.intoto.jsonl", "MODEL_CARD.md"):
            path = f"models/{folder.name}/releases/{release.name}/{name}"
            if path not in known.paths:
                said = f"{name} is missing beside the release"
                yield at(release, "", "missing-file", said, "restore it from git: a release is signed as a whole")


def _promotion_problems(promotion: Resource[PromotionSpec], folder: Folder, known: Known) -> Iterator[Problem]:
    spec = promotion.spec
    # Numbered per environment, as one release can come back: production-3 may be the second promotion of release 1.
    environment, _, number = promotion.name.rpartition("-")
    if environment != spec.environment or not number.isdigit():
        said = f"the record is about {spec.environment}, so its name is {spec.environment}-<number>"
        yield at(promotion, "metadata.name", "name-mismatch", said, "promotions are written by modelops")
    if spec.model != folder.name:
        yield at(promotion, "spec.model", "name-mismatch", f"{spec.model!r} is another model", f"write {folder.name}")
    if not known.has("Environment", None, spec.environment):
        said = f"there is no environment {spec.environment!r}"
        hint = nearest(spec.environment, known.all("Environment"), "environments")
        yield at(promotion, "spec.environment", "unknown-environment", said, hint)
    release = folder.of("Release").get(str(spec.release))
    if release is not None and release.spec.artifact.digest != spec.artifact:
        said = f"release {spec.release} has another artifact than the one that was promoted"
        yield at(promotion, "spec.artifact", "digest-mismatch", said, "releases are immutable: restore it from git")
    elif release is None and not known.has("Release", folder.name, str(spec.release)):
        said = f"there is no release {spec.release}"
        yield at(promotion, "spec.release", "unknown-release", said, _release_hint(folder, known))


def _monitor_problems(monitor: AnyResource, _: Folder, known: Known) -> Iterator[Problem]:
    performance = monitor.spec.performance
    if performance is None:
        return
    if known.metrics is not None and performance.metric not in known.metrics:
        yield unknown_metric(monitor, performance.metric, known.metrics)
    if performance.minimum is None and performance.maximum is None:
        said = "neither a minimum nor a maximum is set"
        yield at(monitor, "spec.performance", "missing-limit", said, "add `minimum:` or `maximum:`")


def unknown_metric(monitor: AnyResource, metric: str, known: frozenset[str]) -> Problem:
    """Return the Problem of a monitor that watches a metric which does not exist."""
    hint = nearest(metric, known, "metrics")
    return at(monitor, "spec.performance.metric", "unknown-metric", f"there is no metric {metric!r}", hint)


_CHECKS: dict[str, Callable[[AnyResource, Folder, Known], Iterator[Problem]]] = {
    "Model": _model_problems,
    "DataSnapshot": _snapshot_problems,
    "Deployment": _deployment_problems,
    "Release": _release_problems,
    "Promotion": _promotion_problems,
    "Monitor": _monitor_problems,
}
