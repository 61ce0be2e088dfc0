"""kind: Model — what a model is for, who owns it, its risk, data, training, gates and serving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest, show
from modelops.spec.kinds.data_snapshot import RARER, Column, DataSnapshotSpec
from modelops.spec.kinds.data_source import deciding
from modelops.spec.kinds.gate_policy import named
from modelops.spec.kinds.outcomes import BusinessObjective
from modelops.spec.layout import in_model
from modelops.spec.meta import (
    LONGEST_DAYS,
    FeatureType,
    ModelName,
    Name,
    OpenShare,
    Plugin,
    Risk,
    Scalar,
    Shelf,
    Strict,
)
from modelops.spec.resource import AnyResource, Resource, at

PLACE = layout.MODEL


Task = Literal["binary-classification", "multiclass-classification", "regression"]


class Feature(Strict):
    """One input column of the model, in the order in which the estimator sees it.

    ``knownAtPrediction`` is the reason why a column that gives the target away is known before the target is; without
    one the data quality gate refuses such a column. ``source`` names the DataSource that it comes from.
    """

    name: str = Field(min_length=1)
    type: FeatureType
    nullable: bool = False
    description: str = ""
    known_at_prediction: str = ""
    source: Name | None = None


class Claim(Strict):
    """What reviewed rows are to prove: that ``recall`` is above a limit, where it really is ``expected``.

    ``base_rate`` is the share of positives among the answers, by default that of the snapshot. ``power`` is the chance
    that a model which is as good as expected is proven to be above the limit, with an interval of ``level``.
    """

    recall: OpenShare
    expected: OpenShare
    base_rate: OpenShare | None = None
    power: OpenShare = 0.8
    level: OpenShare = 0.95


class Exploration(Strict):
    """Answers that get a label whatever was answered, so that what the model missed can be seen.

    ``share`` of all answers is drawn by chance when they are given, told to the caller as ``review``, and logged with
    that chance. Whoever labels has to find out the truth of each of them: by looking, or by acting as if the answer had
    been one that brings a label.
    """

    share: OpenShare
    claim: Claim | None = None


class Labels(Strict):
    """Where the labels of answers come from.

    ``by`` says who labels: a team, a process, the world. ``source`` names the DataSource that they come through.
    ``decisions`` are the answers that bring a label, where not every answer does: a fraud case that is investigated
    because the model flagged it. Then the model learns from what it decided itself, and needs ``exploration``, or the
    reason why that is ``accepted``. ``delay_days`` is how long labels take, as long as that cannot be learnt from them.
    """

    by: str = Field(min_length=1)
    source: Name | None = None
    decisions: tuple[Scalar, ...] = ()
    delay_days: Annotated[float, Field(ge=0, le=LONGEST_DAYS)] | None = None
    exploration: Exploration | None = None
    accepted: str = ""


class ModelData(Strict):
    """Which snapshot the model is trained on and what its columns mean.

    ``positive`` is the label counted as positive in a binary task. ``id`` names the row identity (used by the hash
    split and the leakage check), ``time`` the event time (used by the time split), ``sensitive`` the columns that only
    fairness gates may read; a sensitive column is a feature only if it is listed under ``features`` too. ``weight`` is
    what each row counts for, in training and in every metric: a number that is not negative, in any unit. It is never a
    feature, so nothing that is served needs it. ``labels`` says where the truth of answers comes from.
    """

    snapshot: Name
    target: str = Field(min_length=1)
    positive: Scalar = None
    id: str | None = None
    time: str | None = None
    weight: str | None = None
    sensitive: tuple[str, ...] = ()
    features: tuple[Feature, ...] = Field(min_length=1)
    labels: Labels | None = None

    @property
    def told(self) -> tuple[str, ...]:
        """What is told of a row, by which copies are known: features, target, id and time; not what it counts for."""
        roles = (self.target, self.id, self.time)
        names = (*(feature.name for feature in self.features), *(name for name in roles if name is not None))
        return tuple(dict.fromkeys(names))


class Split(Strict):
    """How rows are divided: by hash of ``data.id``, by ``data.time`` (the last rows are the test), or seeded random.

    With ``equalRows: together`` a random split keeps rows whose features are all equal on one side, so that no test row
    was trained on.
    """

    type: Literal["hash", "time", "random"] = "random"
    test: OpenShare = 0.25
    equal_rows: Literal["together"] | None = None


class Training(Strict):
    """The training code and the limits it runs under.

    ``entrypoint`` is a file of the model's folder with ``train(features, target, parameters, seed) -> estimator``.
    ``runtime`` says what keeps, loads and serves what it returns; without one that follows from what it returns.
    """

    entrypoint: str = "train.py"
    parameters: dict[str, Scalar] = {}
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    split: Split = Split()
    timeout_seconds: Annotated[int, Field(ge=1)] = 900
    memory_mib: Annotated[int, Field(ge=256)] = 4096
    runtime: Annotated[Plugin | None, Shelf("runtimes")] = None


LogMode = Literal["acknowledged", "buffered", "off"]
WhenLogFull = Literal["refuse", "drop"]


class Serving(Strict):
    """How predictions are answered and logged.

    ``log``: ``acknowledged`` answers after the row is on disk, ``buffered`` within a bounded window, ``off`` never.
    ``log_full``: when the log takes no more, ``refuse`` the request or ``drop`` the row and count it.
    ``side_effects`` says that a prediction does something in the world, so that no copy of a request may be sent.
    ``entity`` names the feature or request parameter whose value is assigned to an arm and sticks to it.
    ``reasons_limit_ms`` is how long the reasons of one request may take that asks for them, 0 where none are given.
    """

    log: LogMode = "buffered"
    log_full: WhenLogFull = "refuse"
    entity: str | None = None
    threshold: OpenShare = 0.5
    latency_objective_ms: Annotated[float, Field(gt=0)] = 50.0
    side_effects: bool = False
    reasons_limit_ms: Annotated[float, Field(ge=0, le=60_000)] = 250.0


class ModelSpec(Strict):
    """The spec of a Model; ``objective`` is what it is for in the terms of the business."""

    description: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    risk: Risk
    task: Task
    intended_use: str = Field(min_length=1)
    objective: BusinessObjective | None = None
    out_of_scope: tuple[str, ...] = ()
    limitations: tuple[str, ...] = ()
    data: ModelData
    training: Training = Training()
    gates: tuple[Name, ...] = Field(min_length=1, description="names of gate policies")
    serving: Serving = Serving()
    formerly: tuple[ModelName, ...] = Field(default=(), description="names that it had before; its past goes on there")

    @property
    def review(self) -> float:
        """The share of the answers that are drawn for review."""
        labels = self.data.labels
        return labels.exploration.share if labels is not None and labels.exploration is not None else 0.0


# Which measured types of a column can be read as a feature's type.
READABLE: dict[str, frozenset[str]] = {
    "number": frozenset({"number", "integer", "boolean"}),
    "integer": frozenset({"integer", "boolean"}),
    "boolean": frozenset({"boolean"}),
    "category": frozenset({"category", "boolean", "integer"}),
    "datetime": frozenset({"datetime"}),
}


def problems(model: Resource[ModelSpec], around: Around) -> Iterator[Problem]:
    """Yield what a model says about its policies, code, snapshot and columns that does not hold."""
    spec, folder = model.spec, around.folder
    for index, policy in enumerate(spec.gates):
        if not around.known.has("GatePolicy", None, policy):
            hint = nearest(policy, around.known.all("GatePolicy"), "gate policies")
            yield at(model, f"spec.gates[{index}]", "unknown-gate-policy", f"there is no gate policy {policy!r}", hint)
    if len(set(spec.gates)) < len(spec.gates):
        yield at(model, "spec.gates", "duplicate-name", "a gate policy is named twice", "name each once")
    entrypoint = PurePosixPath(spec.training.entrypoint)
    outside = entrypoint.is_absolute() or ".." in entrypoint.parts or entrypoint.suffix != ".py"
    path = in_model(folder.name, str(entrypoint))
    if outside or (around.known.paths is not None and path not in around.known.paths):
        said = f"{show(spec.training.entrypoint)} is not a Python file of the model's folder"
        yield at(model, "spec.training.entrypoint", "unknown-entrypoint", said, f"add {path}" if not outside else None)
    snapshot = folder.of("DataSnapshot").get(spec.data.snapshot)
    if snapshot is not None:
        yield from _column_problems(model, snapshot)
        yield from _gate_problems(model, snapshot, around)
    elif not around.known.has("DataSnapshot", folder.name, spec.data.snapshot):
        names = around.known.all("DataSnapshot", folder.name)
        hint = nearest(spec.data.snapshot, names, "snapshots") if names else "take one: modelops data snapshot"
        said = f"there is no snapshot {spec.data.snapshot!r}"
        yield at(model, "spec.data.snapshot", "unknown-snapshot", said, hint)
    yield from _role_problems(model)
    yield from _name_problems(model, around)
    yield from _source_problems(model, around)
    yield from _label_problems(model, around)


def _source_problems(model: Resource[ModelSpec], around: Around) -> Iterator[Problem]:
    """Yield the data sources that are named and do not exist."""
    data = model.spec.data
    named = [(f"spec.data.features[{index}].source", each.source) for index, each in enumerate(data.features)]
    named += [("spec.data.labels.source", data.labels.source)] if data.labels is not None else []
    objective = model.spec.objective
    named += [("spec.objective.source.name", objective.source.name)] if objective and objective.source else []
    for where, name in named:
        if name is not None and not around.known.has("DataSource", None, name):
            hint = nearest(name, around.known.all("DataSource"), "data sources")
            yield at(model, where, "unknown-source", f"there is no data source {name!r}", hint)


def _label_problems(model: Resource[ModelSpec], around: Around) -> Iterator[Problem]:
    """Check what a model says of its labels; one that feeds itself without any exploration is refused."""
    labels, where = model.spec.data.labels, "spec.data.labels"
    if labels is None:
        return
    if labels.decisions and model.spec.task == "regression":
        said = "a regression answers numbers, and no single number brings a label"
        yield at(model, f"{where}.decisions", "bad-labels", said, "remove decisions")
    explored = labels.exploration
    if explored is not None and model.spec.serving.log == "off":
        said = "answers are drawn for review, and nothing logs which"
        yield at(model, f"{where}.exploration", "bad-labels", said, "set spec.serving.log to another mode than off")
    claim = explored.claim if explored is not None else None
    if claim is not None and model.spec.task != "binary-classification":
        said = f"recall of one class is claimed, and the task is {model.spec.task}"
        yield at(model, f"{where}.exploration.claim", "bad-labels", said, "remove the claim")
    elif claim is not None and claim.expected <= claim.recall:
        said = f"a recall of {claim.expected:g} is expected, which is not above the {claim.recall:g} that is claimed"
        hint = "no sample proves a claim that is not true: claim less, or expect more"
        yield at(model, f"{where}.exploration.claim", "bad-labels", said, hint)
    fed = fed_by(model, around.policies.of("DataSource"))
    if fed and explored is None and not labels.accepted.strip():
        dotted = f"{where}.decisions" if labels.decisions else f"{where}.source"
        said = f"{fed}, and nothing is explored: what the model misses never gets a label"
        hint = "declare spec.data.labels.exploration, or say in spec.data.labels.accepted why the loop may be"
        yield at(model, dotted, "feedback-loop", said, hint)


def fed_by(model: Resource[ModelSpec], sources: Mapping[str, AnyResource]) -> str:
    """Say how decisions choose which answers get a label, nothing where they do not as far as is declared."""
    labels = model.spec.data.labels
    if labels is None:
        return ""
    if labels.decisions:
        answers = ", ".join(show(each) for each in labels.decisions)
        return f"labels come only where it answered {answers}"
    chain = deciding(labels.source, sources) if labels.source is not None else None
    if chain is None:
        return ""
    *through, decider = chain
    whose = "its own answers" if decider == model.name else f"the answers of {decider}"
    return f"labels come through {' from '.join(through)}, which {whose} feed"


def _name_problems(model: Resource[ModelSpec], around: Around) -> Iterator[Problem]:
    """Check that what a model was called before is no model now."""
    for index, name in enumerate(model.spec.formerly):
        if name == around.folder.name or name in around.known.models:
            said = f"there is a model {name!r}, so this one was not called so before"
            yield at(model, f"spec.formerly[{index}]", "still-there", said, "remove the old folder, or this name")


def _role_problems(model: Resource[ModelSpec]) -> Iterator[Problem]:
    """Check what the model's own columns say of each other."""
    data, split = model.spec.data, model.spec.training.split
    seen: set[str] = set()
    for index, feature in enumerate(data.features):
        where = f"spec.data.features[{index}].name"
        if feature.name in seen:
            yield at(model, where, "duplicate-name", f"the feature {feature.name!r} is listed twice", "list it once")
        if feature.name == data.weight:
            said = f"the weight {data.weight!r} is also a feature"
            hint = "what a row counts for is not known of a row to come: remove the feature"
            yield at(model, where, "bad-weight", said, hint)
        if feature.name == data.target:
            said = f"the target {data.target!r} is also a feature"
            yield at(model, where, "target-leak", said, "a model may not see what it predicts: remove the feature")
        seen.add(feature.name)
    for role, name in (("target", data.target), ("id", data.id), ("time", data.time)):
        if name is not None and name == data.weight:
            said = f"the weight {data.weight!r} is the {role} too"
            yield at(model, "spec.data.weight", "bad-weight", said, "name a column that says what a row counts for")
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
    if split.equal_rows is not None and split.type != "random":
        said = f"a {split.type} split has a side for each row already, equal or not"
        yield at(model, "spec.training.split.equalRows", "bad-split", said, "remove it, or write `type: random`")
    if data.positive is not None and model.spec.task != "binary-classification":
        said = f"a {model.spec.task} task has no positive label"
        yield at(model, "spec.data.positive", "bad-positive", said, "remove data.positive")


def _column_problems(model: Resource[ModelSpec], snapshot: Resource[DataSnapshotSpec]) -> Iterator[Problem]:
    data = model.spec.data
    columns = {column.name: column for column in snapshot.spec.columns}

    def absent(dotted: str, name: str) -> Problem:
        said = f"the snapshot {snapshot.name!r} has no column {name!r}"
        return at(model, dotted, "unknown-column", said, nearest(name, columns, "columns"))

    for dotted, name in (("target", data.target), ("id", data.id), ("time", data.time), ("weight", data.weight)):
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
    yield from _weight_problems(model, columns, snapshot.name)
    balance = snapshot.spec.balance
    if balance and data.positive is not None and not _is_label(data.positive, balance):
        said = f"{show(data.positive)} is not a label of {data.target!r}"
        yield at(model, "spec.data.positive", "bad-positive", said, nearest(str(data.positive), balance, "labels"))


def _gate_problems(
    model: Resource[ModelSpec], snapshot: Resource[DataSnapshotSpec], around: Around
) -> Iterator[Problem]:
    """Yield the columns that gates of the model name and its data do not have: they would end in no data, and block.

    One policy judges many models, so a gate that lets no data by may name what only some of them have.
    """
    features = {feature.name for feature in model.spec.data.features}
    known = {"feature": features, "column": features | {column.name for column in snapshot.spec.columns}}
    for index, name in enumerate(model.spec.gates):
        policy = around.policies.of("GatePolicy").get(name)
        for place, gate in enumerate(policy.spec.gates if policy is not None else ()):
            for dotted, role, column in named(gate) if "no-data" in gate.block else ():
                if column in known[role]:
                    continue
                assert policy is not None, "its gates are looked at"
                where = policy.where(f"spec.gates[{place}].{dotted}")
                of = "the model" if role == "feature" else f"the snapshot {snapshot.name!r}"
                said = f"{of} has no {role} {column!r}, which the gate {gate.name!r} names ({where.path}:{where.line})"
                code = "unknown-feature" if role == "feature" else "unknown-column"
                yield at(model, f"spec.gates[{index}]", code, said, nearest(column, known[role], f"{role}s"))


def _weight_problems(model: Resource[ModelSpec], columns: dict[str, Column], snapshot: str) -> Iterator[Problem]:
    """Check what a snapshot says of the column of weights; who reads the rows looks at the values themselves."""
    data = model.spec.data
    weight, target = columns.get(data.weight or ""), columns.get(data.target)
    if weight is None:
        return
    if weight.type not in ("number", "integer"):
        said = f"the weight {weight.name!r} is {weight.type} in the snapshot {snapshot!r}, not a number"
        yield at(model, "spec.data.weight", "bad-weight", said, "name a column of numbers that are not negative")
    elif target is not None and weight.missing > target.missing:
        said = f"the weight {weight.name!r} is missing in {weight.missing:,} rows of the snapshot {snapshot!r}"
        yield at(model, "spec.data.weight", "bad-weight", said, "fill it, with 0 for rows that count for nothing")


def _feature_problems(
    model: Resource[ModelSpec], index: int, feature: Feature, column: Column, snapshot: str
) -> Iterator[Problem]:
    where = f"spec.data.features[{index}]"
    zero_or_one = column.type in ("integer", "number") and (column.minimum, column.maximum) == (0, 1)
    if column.type not in READABLE[feature.type] and not (feature.type == "boolean" and zero_or_one):
        said = f"{feature.name!r} is {column.type} in the snapshot {snapshot!r}, not {feature.type}"
        yield at(model, f"{where}.type", "column-type", said, f"write `type: {column.type}`")
    if column.missing and not feature.nullable:
        said = f"{feature.name!r} is missing in {column.missing:,} rows of the snapshot {snapshot!r}"
        yield at(model, where, "not-nullable", said, "add `nullable: true`, or clean the data")


def _is_label(positive: Any, balance: dict[str, int]) -> bool:
    """Compare a label in YAML with labels counted as text."""
    text = str(positive).lower()
    if text in {label.lower() for label in balance} or RARER in balance:
        return True
    if not isinstance(positive, int | float):
        return False
    numbers = [label for label in balance if label.replace(".", "", 1).removeprefix("-").isdigit()]
    return float(positive) in {float(label) for label in numbers}
