"""Gates alone: the predictions of any model, with the truth beside them, held against a policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts.frame import column, spelling
from modelops.data import Wanted
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.gates import Need, Subject
from modelops.metrics import Predictions, default_metrics, measure_all
from modelops.metrics.curves import Curves, curves
from modelops.outside.tables import Reader, Rows
from modelops.releases.verdicts import Finding, Policy, bind_policy, judge, passed
from modelops.spec.explain import nearest
from modelops.spec.kinds import Resource
from modelops.spec.kinds.gate_policy import Gate, GatePolicySpec
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec, Task
from modelops.spec.kinds.release import MetricValue
from modelops.spec.layout import GATE_POLICY
from modelops.spec.load import load_resource
from modelops.spec.meta import FeatureType
from modelops.spec.yaml.dump import dump
from modelops.training.target import Target, encode

__all__ = ["Columns", "Judgement", "judgement", "limits", "read_policy"]

Array = np.ndarray[Any, Any]
ALONE: frozenset[Need] = frozenset({"predictions", "rows", "champion"})
"""What a table of predictions can give to gates."""
_VALUES = 20
"""A numeric truth of more distinct values is one of a regression, unless somebody says otherwise."""

_ROUNDED = 1e-6
"""So far beyond 0 or 1 single precision leaves a probability."""


@dataclass(frozen=True)
class Columns:
    """Which columns of a table say what, each one thing.

    ``score`` is the probability of the positive class, or the predicted value; of several classes ``scores`` has one
    column each. ``label`` is the predicted label, without one it follows from the scores. ``stable_score`` is the score
    of the model that is served now, on the same rows, which neither of the two was trained on.
    """

    truth: str
    score: str | None = None
    scores: Mapping[str, str] | None = None
    label: str | None = None
    stable_score: str | None = None
    weight: str | None = None
    positive: str | None = None
    task: Task | None = None
    threshold: float = 0.5


@dataclass(frozen=True)
class Judgement:
    """What gates found about the predictions of a file, with its metrics and curves."""

    rows: Rows
    task: Task
    positive: str | None
    classes: tuple[str, ...]
    metrics: tuple[MetricValue, ...]
    findings: tuple[Finding, ...]
    curves: Curves
    without_truth: int

    @property
    def passed(self) -> bool:
        """Whether the policy lets the model through."""
        return passed([one.record for one in self.findings])


def read_policy(path: Path) -> Resource[GatePolicySpec]:
    """Return the GatePolicy of a file, wherever it lies; problems are told with its own path."""
    try:
        data = path.read_bytes()
    except OSError as error:
        said = f"the policy {path} cannot be read: {error.strerror}"
        raise failure("unreadable", said, exit=Exit.USAGE, hint="name a GatePolicy file") from None
    place = GATE_POLICY.path(None, path.stem)
    try:
        found: Resource[GatePolicySpec] = load_resource(data, place)
    except ModelOpsError as error:
        problems = (
            replace(one, location=Location(str(path), one.location.line, one.location.column))
            if one.location is not None and one.location.path == place
            else one
            for one in error.problems
        )
        raise ModelOpsError(*problems, exit=error.exit) from None
    return found


def limits(least: Sequence[str], most: Sequence[str]) -> Resource[GatePolicySpec]:
    """Return the policy of limits such as ``roc-auc=0.8``: each holds for the bound of the interval, and blocks."""
    gates = [_limit(text, "minimum") for text in least] + [_limit(text, "maximum") for text in most]
    names = [gate.name for gate in gates]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise failure("bad-limit", f"{twice} is limited twice", exit=Exit.USAGE, hint="give each limit once")
    path = GATE_POLICY.path(None, "limits")
    resource: Resource[GatePolicySpec] = load_resource(
        dump("GatePolicy", "limits", GatePolicySpec(gates=tuple(gates)), None, path), path
    )
    return resource


def _limit(text: str, kind: str) -> Gate:
    name, found, value = text.partition("=")
    try:
        limit = float(value)
    except ValueError:
        found = ""
        limit = 0.0
    if not found or not np.isfinite(limit):
        said = f"--{kind} {text!r} is no limit"
        raise failure("bad-limit", said, exit=Exit.USAGE, hint="METRIC=NUMBER, as roc-auc=0.8")
    from modelops.metrics import NAMES

    if name not in NAMES:
        raise failure("unknown-metric", f"there is no metric {name!r}", exit=Exit.USAGE, hint=nearest(name, NAMES))
    return Gate(name=f"{name}-{kind}", type="metric", params={"metric": name, kind: limit})


def judgement(reader: Reader, path: Path, columns: Columns, policy: Resource[GatePolicySpec]) -> Judgement:
    """Read predictions and hold them against a policy; nothing about the model but these is known, or asked for.

    Rows without a truth are counted, and left out. Errors beside those of the reader: ``unknown-column``,
    ``column-twice``, ``bad-target``, ``bad-score``, ``bad-label``, ``gate-needs-model``.
    """
    bound = bind_policy(policy)
    _require_alone(bound, policy)
    # Labels are compared as they are spelt: yes and no are words here as they are in the truth.
    types: dict[str, FeatureType] = {columns.label: "category"} if columns.label is not None else {}
    rows = reader.rows(path, Wanted(target=columns.truth, features=(), types=types))
    named = [columns.truth, columns.score, columns.label, columns.stable_score, columns.weight]
    named += list((columns.scores or {}).values())
    for name in named:
        if name is not None and name not in rows.table.column_names:
            hint = nearest(name, rows.table.column_names, "columns")
            raise failure("unknown-column", f"{rows.file} has no column {name!r}", exit=Exit.USAGE, hint=hint)
    _require_apart(columns)
    task = columns.task or _task(rows.table, columns)
    model = _model(rows, columns, task)
    try:
        target = encode(rows.table, model.data, task)
        found = _predictions(rows, columns, task, target, columns.score)
        stable = None
        if columns.stable_score is not None:
            stable = _predictions(rows, replace(columns, label=None), task, target, columns.stable_score)
    except ModelOpsError as error:
        # What is wrong is a value of the file, which knows no lines: its row is in the message.
        told = [replace(one, location=one.location or Location(rows.file)) for one in error.problems]
        raise ModelOpsError(*told, exit=error.exit) from None
    frame = rows.table.take(pa.array(target.rows)).to_pandas()
    subject = Subject(
        model=model,
        declared_columns={each.name: each.type for each in rows.spec.columns},
        artifact_size=0,
        train=frame,
        test=frame,
        holdout=found,
        champion=stable,
        incomparable="",
        unseen=np.ones(len(found), dtype=bool) if stable is not None else None,
    )

    def subject_of(needs: Collection[Need]) -> Subject:
        return subject.only(needs)

    return Judgement(
        rows,
        task,
        None if target.positive is None else spelling(target.positive),
        tuple(map(spelling, found.classes)),
        measure_all(found, names=default_metrics(task)),
        judge(bound, subject_of),
        curves(found, columns.threshold if task == "binary-classification" else None),
        target.missing,
    )


def _require_alone(policy: Policy, resource: Resource[GatePolicySpec]) -> None:
    for index, (gate, bound) in enumerate(policy.gates):
        more = sorted(set(bound.module.NEEDS) - ALONE)
        if more or gate.type == "data-quality":
            what = f"its {', '.join(more)}" if more else "the rows that it was trained on"
            raise failure(
                "gate-needs-model",
                f"the gate {gate.name!r} asks about the model itself ({what}), and here are its predictions alone",
                location=resource.where(f"spec.gates[{index}]"),
                dotted=f"spec.gates[{index}]",
                hint="leave it out; metric, champion and fairness judge predictions",
            )


def _require_apart(columns: Columns) -> None:
    """Refuse a column that is to say two things: scores that are the truth would be perfect."""
    said = {"truth": columns.truth, "score": columns.score, "label": columns.label, "weight": columns.weight}
    said |= {"stable score": columns.stable_score}
    said |= {f"score of {name}": column for name, column in (columns.scores or {}).items()}
    seen: dict[str, str] = {}
    for what, name in said.items():
        if name is not None and seen.setdefault(name, what) != what:
            twice = f"{name!r} is both the {seen[name]} and the {what}"
            raise failure("column-twice", twice, exit=Exit.USAGE, hint="name another column for one of them")


def _task(table: pa.Table, columns: Columns) -> Task:
    """Return what the columns look like: several score columns, two labels, or a number of many values."""
    if columns.scores:
        return "multiclass-classification"
    truth = table[columns.truth].combine_chunks().drop_null()
    distinct = len(truth.unique())
    numeric = pa.types.is_floating(truth.type) or pa.types.is_integer(truth.type)
    if distinct == 2:
        return "binary-classification"
    if numeric and distinct > _VALUES:
        return "regression"
    hint = "--task regression, or a score for each class: --score CLASS=COLUMN" if numeric else "--score CLASS=COLUMN"
    raise failure(
        "unknown-task",
        f"{columns.truth!r} has {distinct} values, so what was predicted is not sure",
        exit=Exit.USAGE,
        hint=hint,
    )


def _model(rows: Rows, columns: Columns, task: Task) -> ModelSpec:
    """Return as much of a spec as gates ask for: every column of the table may make groups."""
    types = {each.name: each.type for each in rows.spec.columns}
    taken = {columns.truth, columns.weight}
    features = tuple(
        Feature(name=name, type=types[name], nullable=True) for name in rows.table.column_names if name not in taken
    )
    return ModelSpec(
        description=f"The predictions of {rows.file}.",
        owner="nobody",
        risk="limited",
        task=task,
        intended_use="To be judged by its predictions.",
        data=ModelData(
            snapshot="predictions",
            target=columns.truth,
            positive=columns.positive,
            weight=columns.weight,
            features=features,
        ),
        gates=("limits",),
    )


def _predictions(rows: Rows, columns: Columns, task: Task, target: Target, score: str | None) -> Predictions:
    table = rows.table.take(pa.array(target.rows))
    weight = _numbers(rows, table, columns.weight) if columns.weight is not None else None
    if weight is not None and (not np.isfinite(weight).all() or (weight < 0).any() or not weight.any()):
        raise failure(
            "bad-weight",
            f"{columns.weight!r} has values that are no weights, or none above 0",
            hint="not negative numbers",
        )
    if task == "multiclass-classification":
        named = columns.scores or {}
        known = [spelling(label) for label in target.classes]
        lacking = [name for name in known if name not in named]
        if lacking or score is not None:
            said = (
                f"the classes {', '.join(lacking)} have no column of scores"
                if lacking
                else "several classes have a score each"
            )
            raise failure("bad-score", said, exit=Exit.USAGE, hint="--score CLASS=COLUMN for each")
        # A class that no row has is answered all the same: left out, its rows would count as right.
        others = [name for name in named if name not in known]
        scores = np.column_stack([_shares(rows, table, named[name]) for name in (*known, *others)])
        called = scores.argmax(axis=1).astype(np.float64)
        if columns.label is not None:
            called = _called(rows, table, columns.label, (*known, *others))
        return Predictions(task, target.values, called, scores, (*target.classes, *others), weight)
    if score is None:
        raise failure("bad-score", "no column has the scores", exit=Exit.USAGE, hint="--score COLUMN")
    if task == "regression":
        if columns.label is not None:
            said = f"a regression predicts values, and {columns.label!r} is to be a label"
            raise failure("bad-label", said, exit=Exit.USAGE, hint="leave out --label, or say --task")
        values = _numbers(rows, table, score)
        return Predictions(task, target.values, values, values, (), weight)
    share = _shares(rows, table, score)
    called = (share >= columns.threshold).astype(np.float64)
    if columns.label is not None:
        called = _called(rows, table, columns.label, [spelling(label) for label in target.classes])
    return Predictions(task, target.values, called, share, target.classes, weight)


def _called(rows: Rows, table: pa.Table, name: str, known: Sequence[str]) -> Array:
    """Return the places of predicted labels among those that there are; another one is no prediction of them."""
    places = {_plain(label): float(place) for place, label in enumerate(known)}
    labels = [None if one is None else _plain(spelling(one)) for one in table[name].to_pylist()]
    row = next((row for row, label in enumerate(labels) if label not in places), None)
    if row is not None:
        what = "no label" if labels[row] is None else repr(str(labels[row])[:80])
        said = f"{name!r} of {rows.file} says {what} in row {row + 1} of those with a truth"
        raise failure("bad-label", said, hint=f"predicted labels are spelt as the truth is: {', '.join(known[:10])}")
    return np.array([places[str(label)] for label in labels], dtype=np.float64)


def _plain(text: str) -> str:
    """Return one spelling of what files write in several ways: 1.0 as 1, True as true."""
    if text.lower() in ("true", "false"):
        return text.lower()
    try:
        return spelling(float(text))
    except (ValueError, OverflowError):
        return text


def _numbers(rows: Rows, table: pa.Table, name: str) -> Array:
    values = column(table[name], "number", name)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        said = f"{name!r} of {rows.file} has no finite number in {int((~np.isfinite(values)).sum())} rows"
        raise failure("bad-score", said, hint=f"the first is row {row} of those with a truth")
    return values


def _shares(rows: Rows, table: pa.Table, name: str) -> Array:
    values = _numbers(rows, table, name)
    beyond = values[(values < -_ROUNDED) | (values > 1 + _ROUNDED)]
    if len(beyond):
        said = f"{name!r} of {rows.file} has values that are no probabilities, such as {float(beyond[0]):.4g}"
        raise failure("bad-score", said, hint="give probabilities, from 0 to 1")
    return np.clip(values, 0.0, 1.0)
