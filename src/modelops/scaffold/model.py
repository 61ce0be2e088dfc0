"""A working model from a table: its spec with the reasons as comments, training code, gates, rollout and monitor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from modelops.artifacts.frame import spelling
from modelops.errors import ModelOpsError, failure
from modelops.scaffold.annotate import annotate, printable
from modelops.scaffold.answers import without_answers
from modelops.scaffold.columns import Finding, examine
from modelops.scaffold.files import TEMPLATES
from modelops.scaffold.gates import Shape, gate_policy, judged_by, shape_of, test_share
from modelops.scaffold.roles import Roles, Said, roles_of, settled
from modelops.scaffold.rollout import hourly, rollout_plan
from modelops.scaffold.target import Target, infer_target, require_column
from modelops.scaffold.weighing import Weighing, weighing
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec, Serving, Split, Task, Training
from modelops.spec.kinds.monitor import MonitorSpec, Performance, Retraining
from modelops.spec.layout import GATE_POLICY, model_folder
from modelops.spec.meta import API_VERSION, FeatureType, Risk, Scalar
from modelops.spec.yaml.dump import block, dump, quoted, schema_comment

LARGE = 500
"""Rows with a target from which histogram boosting with early stopping is used: below, shallow trees do as well."""
RARE_SHARE = 0.2
"""Share of the rarer label below which one half is no threshold to answer by."""
TUNED = 20
"""Training rows of the rarer label from which training can choose the threshold."""
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Written:
    """Training code that somebody has already: its parameters and seed, the share of rows that test, and its metric.

    The model's features are then those that were asked for and no other ones, in their order.
    """

    code: bytes
    parameters: Mapping[str, Scalar]
    seed: int
    test: float | None = None
    metric: str | None = None


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
    features: Mapping[str, FeatureType | None] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    weight: str | None = None
    written: Written | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """What was made of a table: files by repository path, the spec, and what was found for the user to read."""

    files: dict[str, bytes]
    spec: ModelSpec
    target: Target
    left_out: tuple[Finding, ...]
    roles: Roles
    used: tuple[Finding, ...] = ()
    warnings: tuple[str, ...] = ()


def draft_model(
    table: pa.Table,
    wish: Wish,
    environments: Sequence[str],
    unreadable: Sequence[Finding] = (),
) -> Draft:
    """Return the files of a new model; see the sibling modules for what is inferred and how.

    ``unreadable`` are columns of the data that the table does not have, with the reason.

    Errors: ``duplicate-column``, ``unknown-column``, ``no-rows``, ``no-features``, and those of ``infer_target``.
    """
    names = table.column_names
    _refuse_duplicates(names)
    asked = [(wish.target, "--target"), (wish.id, "--id"), (wish.time, "--time"), (wish.weight, "--weight")]
    asked += [(name, "--feature") for name in wish.features] + [(name, "--exclude") for name in wish.exclude]
    for column, option in asked:
        if column is not None:
            require_column(column, names, option)
    if table.num_rows < 10:
        raise failure(
            "no-rows", f"the data has {table.num_rows} rows; 10 is the least that a model can be scaffolded from"
        )
    target = infer_target(wish.target, table[wish.target], task=wish.task, positive=wish.positive)
    said = Said(wish.id, wish.time, wish.features, wish.exclude, wish.weight, only=wish.written is not None)
    weighed = None if wish.weight is None else weighing(table, target, wish.weight, said)
    table = table.drop_columns([wish.weight]) if wish.weight is not None else table
    share = test_share(target) if wish.written is None or wish.written.test is None else wish.written.test
    given = (wish.target, wish.id, wish.time, wish.weight)
    found = [examine(name, table[name]) for name in names if name not in given]
    found = settled(without_answers(table, target, found), found, said)
    used = [finding for finding in found if finding.type is not None]
    roles = roles_of(table, wish.target, found, used, said, share)
    if weighed is not None:
        roles = replace(roles, said={weighed.name: weighed.said, **roles.said})
    wish = replace(wish, time=roles.time)
    identity = roles.identity
    used = [finding for finding in used if finding.name not in (roles.time, identity) or finding.name in wish.features]
    if wish.written is not None:
        order = list(wish.features)
        used.sort(key=lambda finding: order.index(finding.name))
    unused = tuple(f for f in found if f.type is None and f.name not in (identity, roles.time))
    left_out = (*unused, *unreadable)
    if not used:
        raise _no_features(wish, left_out, roles)
    shape = shape_of(table, target, used, identity, wish.time, share, wish.written.metric if wish.written else None)
    if roles.split.equal_rows is not None:
        shape = replace(shape, coarse_features=0.0)
    spec = _spec(wish, target, used, identity, shape, roles.split, weighed)
    files = _files(wish, spec, target, used, left_out, shape, environments, hourly(table, wish.time))
    return Draft(files, spec, target, left_out, roles, tuple(used), tuple(_warnings(shape, identity)))


def _no_features(wish: Wish, left_out: Sequence[Finding], roles: Roles) -> ModelOpsError:
    """Say of every column but the target why no model learns from it, and how one of them is kept."""
    roled = ((roles.identity, "names the rows"), (roles.time, "the time of the rows"), (wish.weight, "their weight"))
    taken = {name: what for name, what in roled if name is not None}
    reasons = [f"{name}: {roles.said.get(name) or what}" for name, what in taken.items()]
    reasons += [f"{finding.name}: {finding.remark}" for finding in left_out[:5]]
    asked = (wish.id, wish.time, wish.weight)
    other = [name for name in taken if name not in asked] + [f.name for f in left_out if f.keeps is not None]
    way = f"; --feature keeps one that was left out, as --feature {other[0]}" if other else "; add some to the data"
    return failure(
        "no-features",
        f"no column can be used to predict {wish.target!r}: {'; '.join(reasons) or 'there is no other'}",
        hint=f"a model learns from columns beside the target and the time{way}",
    )


def _warnings(shape: Shape, identity: str | None) -> Iterator[str]:
    """Yield what is odd about the rows and decided by nobody yet."""
    if shape.copies:
        apart = "" if identity else "; --id names what tells them apart"
        yield (
            f"{shape.repeated_rows:.0%} of the rows repeat another one in every column, where the few values that "
            f"columns have account for {shape.coarse_rows:.0%}: the gate data-quality will fail. Drop the copies if "
            f"that is what they are, or say in its maximumDuplicates how many may repeat{apart}"
        )


def _refuse_duplicates(names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise failure("duplicate-column", f"two columns are called {twice[0]!r}", hint="rename one of them")


def policy_name(wish: Wish) -> str:
    """Return the name of the model's own gate policy; rules know high-risk ones by their ending."""
    stem = wish.name.replace("/", "-")
    return f"{stem}-high-risk" if wish.risk == "high" else stem


def _spec(
    wish: Wish,
    target: Target,
    used: Sequence[Finding],
    identity: str | None,
    shape: Shape,
    split: Split,
    weighed: Weighing | None,
) -> ModelSpec:
    # A search for the best threshold counts every held back row once.
    tuned = weighed is None and wish.written is None and _tuned(target, shape)
    written = wish.written
    parameters = _parameters(shape, tuned=tuned) if written is None else dict(written.parameters)
    features = tuple(Feature(name=f.name, type=f.type, nullable=f.nullable) for f in used if f.type is not None)
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
            weight=wish.weight, features=features,
        ),
        training=Training(
            entrypoint="train.py", parameters=parameters, seed=1 if written is None else written.seed, split=split,
        ),
        gates=(policy_name(wish),),
        serving=Serving(
            log="acknowledged" if wish.risk == "high" else "buffered", entity=identity,
            threshold=0.5 if tuned or written is not None else _threshold(target, weighed),
        ),
    )  # fmt: skip


def _parameters(shape: Shape, *, tuned: bool) -> dict[str, Scalar]:
    """Return the parameters of the booster: of as many trees as help where rows can be held back to tell, else few."""
    if shape.rows < LARGE:
        return {"learning_rate": 0.1, "n_estimators": 100, "max_depth": 3, "subsample": 0.8, "min_samples_leaf": 3}
    found: dict[str, Scalar] = {
        "learning_rate": 0.06,
        "max_iter": 500,
        "early_stopping": True,
        "n_iter_no_change": 20,
        "l2_regularization": 1.0,
    }
    return found | {"tune_threshold": "f1"} if tuned else found


def _tuned(target: Target, shape: Shape) -> bool:
    """Return whether training chooses the threshold: positives are rare, and enough of them train to tell by."""
    enough = shape.rows >= LARGE and target.rarest * (1 - shape.test) >= TUNED
    return target.task == "binary-classification" and target.rarest < RARE_SHARE * target.rows and enough


def _threshold(target: Target, weighed: Weighing | None) -> float:
    """Return the share of positives where they are rare: at one half a good classifier would never say yes."""
    if target.task != "binary-classification":
        return 0.5
    share = target.counts[target.classes.index(target.positive)] / target.rows
    share = share if weighed is None else weighed.shares[spelling(target.positive)]
    if min(share, 1 - share) >= RARE_SHARE:
        return 0.5
    return round(min(max(share, 0.01), 0.99), 2)


def _files(
    wish: Wish, spec: ModelSpec, target: Target, used: Sequence[Finding], left_out: Sequence[Finding], shape: Shape,
    environments: Sequence[str], requests: float | None,
) -> dict[str, bytes]:  # fmt: skip
    folder, policy = model_folder(wish.name).rstrip("/"), policy_name(wish)
    path = f"{folder}/model.yaml"
    # Neither requests nor labels bring what a row counts for.
    alone = wish.risk != "high" and wish.weight is None
    retraining = Retraining(minimum_rows=min(500, shape.rows)) if alone else None
    performance = Performance(metric=judged_by(target, shape.metric)[0], minimum=shape.chance, minimum_labels=100)
    rollout, seen = rollout_plan(requests)
    monitor = MonitorSpec(performance=performance, retraining=retraining)
    head = _MONITOR if wish.weight is None else f"{_MONITOR} {_UNWEIGHTED}"
    remarks = _remarks(spec, target, used, left_out, grouped=shape.repeated_ids > 0)
    files = {
        path: annotate(dump("Model", wish.name, spec, _HEAD, path), path, remarks),
        f"{folder}/train.py": training_code(target.task, shape.rows) if wish.written is None else wish.written.code,
        GATE_POLICY.path(None, policy): gate_policy(policy, GATE_POLICY.path(None, policy), target, shape, wish.risk),
        f"{folder}/rollout.yaml": dump("RolloutPlan", wish.name, rollout, seen, f"{folder}/rollout.yaml"),
        f"{folder}/monitor.yaml": dump("Monitor", wish.name, monitor, head, f"{folder}/monitor.yaml"),
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


def training_code(task: Task, rows: int) -> bytes:
    """Return the text of train.py: a pipeline with the booster for the task and the number of rows."""
    name = "small" if rows < LARGE else "values" if task == "regression" else "classes"
    code = (TEMPLATES / f"{name}.py").read_text(encoding="utf-8")
    return (code.replace("Classifier", "Regressor") if task == "regression" else code).encode()


_HEAD = "Inferred from the data: read it, correct it, and say what the model is for. Comments say why."
_MONITOR = "The minimum is that of a model that has learned nothing; raise it towards the metrics of the first release."
_UNWEIGHTED = "No retraining: requests and labels bring no weight; take a snapshot of rows with weights instead."


def _about_id(split: Split, *, grouped: bool) -> str:
    if grouped:
        return "Groups the rows: all of one value train, or all test. It is no feature."
    by = "; also decides by its hash which rows test" if split.type == "hash" else ""
    return f"Identifies a row{by}, and is no feature."


def _remarks(
    spec: ModelSpec, target: Target, used: Sequence[Finding], left_out: Sequence[Finding], *, grouped: bool = False
) -> dict[str, str | Sequence[str]]:
    remarks: dict[str, str | Sequence[str]] = {
        "spec.task": "; ".join([f"{spec.data.target}: {target.reason}", *target.remarks])
    }
    if target.classes:
        shares = ", ".join(
            f"{quoted(str(label))} {count} rows" for label, count in zip(target.classes, target.counts, strict=True)
        )
        remarks["spec.data.target"] = f"Labels: {shares}."
    if target.positive is not None:
        remarks["spec.data.positive"] = f"Chosen {target.positive_reason}."
    if spec.data.id:
        remarks["spec.data.id"] = _about_id(spec.training.split, grouped=grouped)
    if spec.data.weight:
        remarks["spec.data.weight"] = "What a row counts for, in training and in every metric; it is no feature."
    for index, finding in enumerate(used):
        remarks[f"spec.data.features[{index}]"] = finding.remark
    if left_out:
        listed = [f"  {quoted(finding.name)}: {finding.remark}" for finding in left_out[:_SHOWN]]
        more = [f"  and {len(left_out) - _SHOWN} more"] if len(left_out) > _SHOWN else []
        remarks["spec.data.features"] = ["Left out:", *map(printable, listed), *more]
    if spec.training.split.equal_rows is not None:
        remarks["spec.training.split"] = "Rows repeat: those of equal features are on one side, so none tests itself."
    if "tune_threshold" in spec.training.parameters:
        remarks["spec.training.parameters"] = (
            "The threshold is chosen in training, for the best F1 on rows held back: `build` shows what it answers. "
            "Take tune_threshold out to name one yourself, under serving, by what a miss and a false alarm cost."
        )
    if spec.serving.threshold != 0.5:
        remarks["spec.serving.threshold"] = (
            f"The share of positives, {'weighted' if spec.data.weight else 'of which too few train to choose better'}; "
            "`build` shows what it answers. Set it by what a miss and a false alarm cost."
        )
    return remarks
