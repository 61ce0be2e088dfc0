"""One estimator of all that was fitted, and its construction over the data's own columns."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.scaffold.adopting.allowed import loaded
from modelops.scaffold.adopting.cells import Code, Gap, Place
from modelops.scaffold.adopting.columns import Lists, chosen_columns
from modelops.scaffold.adopting.found import Fit, Followed
from modelops.scaffold.adopting.values import (
    NOTHING,
    Column,
    Data,
    Expression,
    Made,
    Table,
    Unknown,
    call,
    constant,
    fresh,
    part_of,
)
from modelops.spec.kinds.model import Task
from modelops.spec.meta import FeatureType, Scalar

__all__ = ["Assembled", "assembled", "chosen", "task_of"]

_INNER = ("estimator", "base_estimator", "regressor", "classifier")
_BY_NAME = ("Classifier", "Regressor")
_PATIENT = ("HistGradientBoosting", "RandomForest", "ExtraTrees", "DecisionTree", "Bagging", "XGB", "LGBM", "CatBoost")
"""Estimators that take missing numbers as they are, by how their names begin."""
_PROBABLE = ("log_loss", "modified_huber")


@dataclass(frozen=True)
class Assembled:
    """The construction of an estimator, over features that are columns of the data.

    ``node`` may name ``seed`` and ``parameters``. ``features`` maps columns to the type that they are read as, in the
    order in which the estimator sees them.
    """

    node: ast.expr
    features: dict[str, FeatureType]
    parameters: dict[str, Scalar]
    seed: int
    estimator: str
    place: Place | None
    gaps: tuple[Gap, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass
class _Parts:
    """The construction while it is put together."""

    node: ast.expr
    gaps: list[Gap] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def chosen(found: Followed, code: Code, asked: str | None) -> Fit:
    """Return the fit that makes the model: the only one, or that of the estimator that was asked for.

    Errors: ``no-estimator`` where none can be read, ``several-estimators`` where nobody said which.
    """
    fits = [fit for fit in found.fits if _predicts(fit.estimator) and not _is_dummy(fit.estimator)]
    if asked is not None:
        named = [fit for fit in fits if fit.name == asked or final_of(fit.estimator.node).endswith(f".{asked}")]
        if not named:
            raise failure(
                "no-estimator", f"--estimator {asked!r}: no fit of it can be read in {code.name}", exit=Exit.USAGE,
                hint=f"these are: {_listed(fits)}" if fits else "none can; see the code that is fitted",
            )  # fmt: skip
        fits = named
    by_text = {fit.estimator.text: fit for fit in fits}
    if not by_text:
        raise _nothing(found, code)
    if len(by_text) > 1:
        raise failure(
            "several-estimators", f"{code.name} fits {len(by_text)} estimators: {_listed(list(by_text.values()))}",
            exit=Exit.USAGE, hint="say which is the model: --estimator NAME",
        )  # fmt: skip
    return next(iter(by_text.values()))


def _listed(fits: Sequence[Fit]) -> str:
    unique = {fit.name: fit for fit in fits}
    return ", ".join(f"{name} ({fit.place})" for name, fit in list(unique.items())[:10])


def _nothing(found: Followed, code: Code) -> ModelOpsError:
    why = "; ".join(f"{gap.place}: {gap.code}: {gap.what}" for gap in found.unread[:3])
    return failure(
        "no-estimator", f"no estimator that is fitted can be read in {code.name}{f' ({why})' if why else ''}",
        hint="a model is read where an estimator of scikit-learn is made and fitted by plain statements; write that "
        "cell so, or begin with modelops init --model and put your fit into train.py",
    )  # fmt: skip


def _predicts(expression: Expression) -> bool:
    return task_of(expression.node) is not None


def _is_dummy(expression: Expression) -> bool:
    return final_of(expression.node).rpartition(".")[2].startswith("Dummy")


def task_of(node: ast.expr) -> str | None:
    """Return ``classifier`` or ``regressor`` by the class of an estimator, None where it is neither."""
    name = final_of(node)
    found = loaded(name)
    if found is None:
        return next((each.lower() for each in _BY_NAME if name.endswith(each)), None)
    from sklearn.base import ClassifierMixin, RegressorMixin

    if not isinstance(found, type):
        return None
    if issubclass(found, ClassifierMixin):
        return "classifier"
    return "regressor" if issubclass(found, RegressorMixin) else None


def final_call(node: ast.expr) -> ast.Call | None:
    """Return the call that makes what predicts in the end: within pipelines and searches."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        name = node.func.id.rpartition(".")[2]
        options = {each.arg: each.value for each in node.keywords}
        inner: ast.expr | None
        if name == "Pipeline":
            steps = node.args[0] if node.args else options.get("steps")
            last = steps.elts[-1] if isinstance(steps, (ast.List, ast.Tuple)) and steps.elts else None
            inner = last.elts[-1] if isinstance(last, (ast.Tuple, ast.List)) and last.elts else None
        elif name == "make_pipeline":
            inner = node.args[-1] if node.args else None
        elif name.endswith("SearchCV") or name in ("CalibratedClassifierCV", "TransformedTargetRegressor"):
            inner = node.args[0] if node.args else next((options[key] for key in _INNER if key in options), None)
        else:
            return node
        if inner is None:
            return None
        node = inner
    return None


def final_of(node: ast.expr) -> str:
    """Return the full name of the class that predicts in the end, empty for none."""
    found = final_call(node)
    return found.func.id if found is not None and isinstance(found.func, ast.Name) else ""


def assembled(fit: Fit, table: Table, label: str, positive: Any, task: Task) -> Assembled:
    """Put an estimator together over the columns of the data.

    Errors: ``no-features`` where none of its columns can be had of the data, ``features-unread`` where it picks columns
    that pandas made.
    """
    parts = _Parts(fresh(fit.estimator.node))
    outputs = dict(_usable(table, label, parts))
    if not outputs:
        raise failure(
            "no-features", f"no feature of {fit.name} ({fit.place}) is a column of {table.data.path}",
            hint="write the rows as they are trained on to a file, and give it as --data",
        )  # fmt: skip
    parts.gaps += table.gaps
    outputs = _patient(outputs, table.data, parts)
    prepare = _prepared(outputs)
    lists = Lists(list(table.columns), outputs, table.data.missing, by_position=prepare is not None)
    inner = [fresh(step.node) for step in table.whole] + [parts.node]
    if any(made.indicators for made in outputs.values()) and any(map(lists.named, inner)):
        raise failure(
            "features-unread", f"{fit.name} ({fit.place}) picks columns by name that get_dummies made",
            hint="put a OneHotEncoder into the pipeline in place of get_dummies",
        )  # fmt: skip
    inner = [*([fresh(prepare.node)] if prepare is not None else []), *(chosen_columns(each, lists) for each in inner)]
    if len(inner) > 1:
        parts.node = ast.Call(ast.Name(id="sklearn.pipeline.make_pipeline"), inner, [])
    if task != "regression":
        parts.node = _probable(parts)
        _class_weights(parts.node, table.data.labels.get(label, ()), positive, task)
    seed = _seeded(parts)
    parameters = _parameters(parts.node)
    order = dict.fromkeys(made.origin for made in outputs.values())
    reads = {made.origin: made.read for made in outputs.values()}
    return Assembled(
        parts.node, {origin: reads[origin] for origin in order}, parameters, seed,
        final_of(fit.estimator.node).rpartition(".")[2], fit.place, tuple(dict.fromkeys(parts.gaps)),
        tuple(parts.remarks),
    )  # fmt: skip


def _usable(table: Table, label: str, parts: _Parts) -> Iterator[tuple[str, Made]]:
    """Yield the columns that can be made of the data; of the others say why not."""
    for name, made in table.columns.items():
        if made.lost is not None:
            parts.gaps.append(replace(made.lost, what=f"left out {name}: {made.lost.what}"))
        elif made.origin == label:
            parts.gaps.append(Gap(None, name, f"left out {name}: it is the label, which is not known of a row to come"))
        elif made.kind == "datetime":
            parts.gaps.append(
                Gap(None, name, f"left out {name}: a date keeps growing; make a number of it in the data")
            )
        elif table.data.distinct.get(made.origin, 2) < 2:
            parts.gaps.append(Gap(None, name, f"left out {name}: it has one value only"))
        else:
            yield name, made


def _patient(outputs: dict[str, Made], data: Data, parts: _Parts) -> dict[str, Made]:
    """Fill missing numbers where nothing in the code does and the estimator takes none: they cannot be dropped here."""
    text = ast.unparse(parts.node)
    last = final_of(parts.node).rpartition(".")[2]
    if "Imputer" in text or last.startswith(_PATIENT):
        return outputs
    filled = {}
    for name, made in outputs.items():
        count = made.misses(data.missing)
        number = made.read in ("number", "integer")
        # A label that no encoder knows is a missing number there.
        coded = not number and "numpy.nan" in " ".join(step.text for step in made.steps)
        if count and (number or coded):
            what = f"{name} misses {count:,} values, and {last} takes none missing"
            strategy = "median" if number else "most_frequent"
            told = strategy.replace("_", " ") + (" value" if coded else "")
            parts.gaps.append(Gap(None, name, f"{what}: they are filled with the {told}, which is yours to decide"))
            imputer = call("sklearn.impute.SimpleImputer", strategy=constant(strategy))
            made = replace(made, steps=(imputer, *made.steps) if number else (*made.steps, imputer))
        filled[name] = made
    return filled


def _prepared(outputs: Mapping[str, Made]) -> Expression | None:
    """Return the transformer that does what pandas did to columns, None where it did nothing."""
    if all(not made.steps for made in outputs.values()) and len({m.origin for m in outputs.values()}) == len(outputs):
        return None
    groups: list[tuple[str, tuple[Expression, ...], list[str]]] = []
    for made in outputs.values():
        text = " ".join(step.text for step in made.steps)
        if groups and groups[-1][0] == text and not made.indicators:
            groups[-1][2].append(made.origin)
        else:
            groups.append((text, made.steps, [made.origin]))
    entries: list[ast.Tuple] = []
    for place, (_, steps, names) in enumerate(groups):
        step = constant("passthrough")
        if len(steps) == 1:
            step = steps[0]
        elif steps:
            step = call("sklearn.pipeline.make_pipeline", *steps)
        title = "as they are" if not steps else names[0] if len(names) == 1 else f"{names[0]} and more"
        key = f"{title} {place}" if any(title == _title(each) for each in entries) else title
        entries.append(ast.Tuple([constant(key).node, step.node, constant(names).node], ast.Load()))
    node = ast.List([*entries], ast.Load())
    return Expression(
        ast.Call(
            ast.Name(id="sklearn.compose.ColumnTransformer"), [node],
            [ast.keyword("sparse_threshold", ast.Constant(0))],
        ),
        sum(1 for _ in ast.walk(node)),
    )  # fmt: skip


def _title(entry: ast.Tuple) -> str:
    first = entry.elts[0]
    return str(first.value) if isinstance(first, ast.Constant) else ""


def _probable(parts: _Parts) -> ast.expr:
    """Return a classifier that gives probabilities: one that does not is wrapped in one that does."""
    last = final_call(parts.node)
    name = final_of(parts.node)
    if last is None or (found := loaded(name)) is None:
        return parts.node
    options = {each.arg: part_of(each.value).value for each in last.keywords}
    short = name.rpartition(".")[2]
    silent = not hasattr(found, "predict_proba")
    silent |= short in ("SVC", "NuSVC") and options.get("probability") is not True
    silent |= short == "SGDClassifier" and options.get("loss") not in _PROBABLE
    if not silent or "CalibratedClassifierCV" in ast.unparse(parts.node):
        return parts.node
    what = f"{short} gives no probabilities, which metrics and thresholds need: it is wrapped in CalibratedClassifierCV"
    parts.gaps.append(Gap(None, short, f"{what}, which answers otherwise near the border"))
    return ast.Call(ast.Name(id="sklearn.calibration.CalibratedClassifierCV"), [parts.node], [])


def _class_weights(node: ast.expr, labels: Sequence[Any], positive: Any, task: Task) -> None:
    """Name classes in weights as training knows them: the positive one of two is 1 there."""
    if task != "binary-classification":
        return
    for each in ast.walk(node):
        if isinstance(each, ast.keyword) and each.arg == "class_weight" and isinstance(each.value, ast.Dict):
            weights = part_of(each.value).value
            if weights is NOTHING or (set(weights) == {0, 1} and not isinstance(positive, str)):
                continue
            if set(map(str, weights)) <= set(labels):
                each.value = constant({int(str(key) == str(positive)): value for key, value in weights.items()}).node


def _seeded(parts: _Parts) -> int:
    """Let every part that draws numbers draw them from the seed, so that a build can be repeated; return the seed."""
    last = final_call(parts.node)
    given = [
        each.value.value
        for each in (*(last.keywords if last is not None else ()), *_random_states(parts.node))
        if each.arg == "random_state" and isinstance(each.value, ast.Constant) and type(each.value.value) is int
    ]
    seed = given[0] if given and 0 <= given[0] < 2**32 else 1
    added = []
    for node in ast.walk(parts.node):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        node.keywords = [each for each in node.keywords if each.arg != "n_jobs"]
        states = [each for each in node.keywords if each.arg == "random_state"]
        for state in states:
            if isinstance(state.value, ast.Constant) and state.value.value in (seed, None):
                state.value = ast.Name(id="seed")
        if not states and _draws(node.func.id):
            node.keywords.append(ast.keyword("random_state", ast.Name(id="seed")))
            added.append(node.func.id.rpartition(".")[2])
    if added:
        parts.remarks.append(
            f"random_state of {', '.join(dict.fromkeys(added))}: the seed, so that a build can be repeated"
        )
    return seed


def _random_states(node: ast.expr) -> Iterator[ast.keyword]:
    for each in ast.walk(node):
        if isinstance(each, ast.keyword) and each.arg == "random_state":
            yield each


def _draws(name: str) -> bool:
    found = loaded(name)
    if not isinstance(found, type):
        return False
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return False
    # A splitter that does not shuffle refuses to be given one.
    return "random_state" in signature.parameters and "shuffle" not in signature.parameters


def _parameters(node: ast.expr) -> dict[str, Scalar]:
    """Move the scalar options of what predicts into the model's parameters, which can be tried and reviewed there."""
    last = final_call(node)
    if last is None:
        return {}
    found: dict[str, Scalar] = {}
    for each in last.keywords:
        literal = each.value.value if isinstance(each.value, ast.Constant) else part_of(each.value).value
        if each.arg and each.arg != "random_state" and isinstance(literal, (str, int, float, bool)):
            if isinstance(literal, float) and not math.isfinite(literal):
                continue
            found[each.arg] = literal
    last.keywords = [each for each in last.keywords if each.arg not in found]
    last.keywords.append(ast.keyword(None, ast.Name(id="parameters")))
    return found


def label_of(fit: Fit, asked: str | None) -> tuple[str, Any, Column | None]:
    """Return the column that is predicted and the label that was made 1, if any.

    Errors: ``label-unread`` where the code does not say it and nobody else did.
    """
    if isinstance(fit.target, Column) and (asked is None or fit.target.made.origin == asked):
        made = fit.target.made
        if made.lost is None or made.positive is not NOTHING:
            return made.origin, made.positive, fit.target
    if asked is not None:
        return asked, NOTHING, None
    why = fit.target.why if isinstance(fit.target, Unknown) else "it is computed of a column"
    if isinstance(fit.target, Column) and fit.target.made.lost is not None:
        why = f"{fit.target.made.lost.code}: {why}"
    raise failure(
        "label-unread", f"what {fit.name} predicts ({fit.place}) cannot be read: {why}",
        hint="name a column of the data: --label NAME",
    )  # fmt: skip
