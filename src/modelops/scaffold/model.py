"""A working model from a table: its spec with the reasons as comments, training code, gates, rollout and monitor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from modelops.errors import failure
from modelops.scaffold.annotate import annotate, printable
from modelops.scaffold.columns import Finding, examine
from modelops.scaffold.gates import Shape, gate_policy, shape_of
from modelops.scaffold.target import Target, infer_target, require_column
from modelops.spec.delivery import DeploymentSpec, MonitorSpec, Performance, Retraining, RolloutPlanSpec
from modelops.spec.dump import block, dump, quoted, schema_comment
from modelops.spec.meta import API_VERSION, Plugin, Risk, Scalar
from modelops.spec.model import Feature, ModelData, ModelSpec, Serving, Split, Task, Training

LARGE = 500_000
"""Rows times columns times classes from which histograms are used to find splits."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user said about the model to be."""

    name: str
    target: str
    snapshot: str
    owner: str
    source: str
    risk: Risk = "limited"
    id: str | None = None
    time: str | None = None
    task: Task | None = None
    positive: str | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What was made of a table: files by repository path, the spec, and what was found for the user to read."""

    files: dict[str, bytes]
    spec: ModelSpec
    target: Target
    left_out: tuple[Finding, ...]


def draft_model(table: pa.Table, wish: Wish, environments: Sequence[str], unreadable: Sequence[Finding] = ()) -> Draft:
    """Return the files of a new model; see the sibling modules for what is inferred and how.

    ``unreadable`` are columns of the data that the table does not have, with the reason.

    Errors: ``duplicate-column``, ``unknown-column``, ``no-rows``, ``no-features``, and those of ``infer_target``.
    """
    names = table.column_names
    _refuse_duplicates(names)
    for column, option in ((wish.target, "--target"), (wish.id, "--id"), (wish.time, "--time")):
        if column is not None:
            require_column(column, names, option)
    if table.num_rows < 10:
        raise failure(
            "no-rows", f"the data has {table.num_rows} rows; 10 is the least that a model can be scaffolded from"
        )
    target = infer_target(wish.target, table[wish.target], task=wish.task, positive=wish.positive)
    found = [examine(name, table[name]) for name in names if name not in (wish.target, wish.id, wish.time)]
    identity = wish.id or next((finding.name for finding in found if finding.identifies), None)
    used = [finding for finding in found if finding.type is not None]
    unused = tuple(finding for finding in found if finding.type is None and finding.name != identity)
    left_out = (*unused, *unreadable)
    if not used:
        reasons = "; ".join(f"{finding.name}: {finding.remark}" for finding in left_out[:5])
        raise failure(
            "no-features", f"no column can be used to predict {wish.target!r}: {reasons or 'there is no other'}"
        )
    shape = shape_of(table, target, used, identity, wish.time)
    spec = _spec(wish, target, used, identity, shape)
    files = _files(wish, spec, target, used, left_out, shape, environments)
    return Draft(files, spec, target, left_out)


def _refuse_duplicates(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise failure("duplicate-column", f"two columns are called {twice[0]!r}", hint="rename one of them")


def policy_name(wish: Wish) -> str:
    """Return the name of the model's own gate policy; rules know high-risk ones by their ending."""
    stem = wish.name.replace("/", "-")
    return f"{stem}-high-risk" if wish.risk == "high" else stem


def _spec(wish: Wish, target: Target, used: Sequence[Finding], identity: str | None, shape: Shape) -> ModelSpec:
    large = shape.rows * len(used) * max(1, len(target.classes) - 1) > LARGE
    parameters: dict[str, Scalar] = {"learning_rate": 0.1}
    if large:
        parameters |= {"max_iter": 150, "max_leaf_nodes": 31, "min_samples_leaf": 20}
    else:
        leaf = 10 if shape.rows >= 500 else 3
        parameters |= {"n_estimators": 100, "max_depth": 3, "subsample": 0.8, "min_samples_leaf": leaf}
    features = tuple(Feature(name=f.name, type=f.type, nullable=f.nullable) for f in used if f.type is not None)
    split: Literal["time", "hash", "random"] = "time" if wish.time else "hash" if identity else "random"
    return ModelSpec(
        description=f"Predicts {wish.target} from {wish.source}.",
        owner=wish.owner,
        risk=wish.risk,
        task=target.task,
        intended_use=f"Estimate {wish.target} for rows like those of {wish.source}.",
        limitations=(
            f"Trained on {shape.rows} rows of {wish.source}; other populations and times are not represented.",
            "No sensitive column is named, so fairness is not measured.",
        ),
        data=ModelData(
            snapshot=wish.snapshot, target=wish.target, positive=target.positive, id=identity, time=wish.time,
            features=features,
        ),
        training=Training(
            entrypoint="train.py", parameters=parameters, seed=1, split=Split(type=split, test=shape.test),
        ),
        gates=(policy_name(wish),),
        serving=Serving(
            log="acknowledged" if wish.risk == "high" else "buffered", entity=identity, threshold=_threshold(target)
        ),
    )  # fmt: skip


def _threshold(target: Target) -> float:
    """Return the share of positives where they are rare: at one half a good classifier would never say yes."""
    if target.task != "binary-classification":
        return 0.5
    share = target.counts[target.classes.index(target.positive)] / target.rows
    return 0.5 if 0.2 <= share <= 0.8 else round(min(max(share, 0.01), 0.99), 2)


def _files(
    wish: Wish, spec: ModelSpec, target: Target, used: Sequence[Finding], left_out: Sequence[Finding], shape: Shape,
    environments: Sequence[str],
) -> dict[str, bytes]:  # fmt: skip
    folder, policy = f"models/{wish.name}", policy_name(wish)
    path = f"{folder}/model.yaml"
    retraining = None if wish.risk == "high" else Retraining(minimum_rows=min(500, shape.rows))
    baseline = {
        "binary-classification": "roc-auc",
        "multiclass-classification": "balanced-accuracy",
        "regression": "r2",
    }
    performance = Performance(metric=baseline[target.task], minimum=shape.chance, minimum_labels=100)
    steps = [{"weight": weight, "minRequests": 200} for weight in (0.05, 0.25, 0.5, 1.0)]
    rollout = RolloutPlanSpec(strategy=Plugin(type="canary", params={"steps": steps}))
    monitor = MonitorSpec(performance=performance, retraining=retraining)
    remarks = _remarks(spec, target, used, left_out)
    files = {
        path: annotate(dump("Model", wish.name, spec, _HEAD, path), path, remarks),
        f"{folder}/train.py": training_code(target.task, large="max_iter" in spec.training.parameters),
        f"policies/gates/{policy}.yaml": gate_policy(policy, f"policies/gates/{policy}.yaml", target, shape, wish.risk),
        f"{folder}/rollout.yaml": dump("RolloutPlan", wish.name, rollout, None, f"{folder}/rollout.yaml"),
        f"{folder}/monitor.yaml": dump("Monitor", wish.name, monitor, _MONITOR, f"{folder}/monitor.yaml"),
    }
    for environment in environments:
        place = f"{folder}/environments/{environment}.yaml"
        files[place] = deployment(environment, place)
    return files


def deployment(environment: str, path: str) -> bytes:
    """Return a Deployment that runs nothing yet, in block style so that a promotion is a one-line diff."""
    body = {
        "apiVersion": API_VERSION,
        "kind": "Deployment",
        "metadata": {"name": environment},
        "spec": {"stable": None},
    }
    DeploymentSpec.model_validate(body["spec"])
    return ("\n".join([schema_comment(path, "Deployment"), *block(body)]) + "\n").encode()


def training_code(task: Task, *, large: bool) -> bytes:
    """Return the text of train.py: the pipeline beside this file with the booster for the task and size."""
    code = (Path(__file__).parent / "pipeline.py").read_text(encoding="utf-8")
    booster = ("Hist" if large else "") + "GradientBoosting" + ("Regressor" if task == "regression" else "Classifier")
    return code.replace("GradientBoostingClassifier", booster).encode()


_HEAD = "Inferred from the data: read it, correct it, and say what the model is for. Comments say why."
_MONITOR = "The minimum is that of a model that has learned nothing; raise it towards the metrics of the first release."


def _remarks(
    spec: ModelSpec, target: Target, used: Sequence[Finding], left_out: Sequence[Finding]
) -> dict[str, str | Sequence[str]]:
    remarks: dict[str, str | Sequence[str]] = {"spec.task": f"{spec.data.target}: {target.reason}"}
    if target.classes:
        shares = ", ".join(
            f"{quoted(str(label))} {count} rows" for label, count in zip(target.classes, target.counts, strict=True)
        )
        remarks["spec.data.target"] = f"Labels: {shares}."
    if target.positive is not None:
        remarks["spec.data.positive"] = f"Chosen {target.positive_reason}."
    if spec.data.id:
        remarks["spec.data.id"] = "Identifies a row; also decides by its hash which rows test, and is no feature."
    for index, finding in enumerate(used):
        remarks[f"spec.data.features[{index}]"] = finding.remark
    if left_out:
        listed = [f"  {quoted(finding.name)}: {finding.remark}" for finding in left_out[:_SHOWN]]
        more = [f"  and {len(left_out) - _SHOWN} more"] if len(left_out) > _SHOWN else []
        remarks["spec.data.features"] = ["Left out:", *map(printable, listed), *more]
    if spec.serving.threshold != 0.5:
        remarks["spec.serving.threshold"] = "The share of positives; set it by what a miss and a false alarm cost."
    return remarks
