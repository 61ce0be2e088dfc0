"""The runtime `lightgbm`: boosters in LightGBM's own text, and their exact form in ONNX.

What it takes: `LGBMClassifier`, `LGBMRegressor` and a `Booster` of `lightgbm.train`, alone or inside of scikit-learn's
estimators. Of a training that stopped early the best iteration is kept. Custom objectives are refused for classifiers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Answer, Graph, Table, not_exportable
from modelops.artifacts.onnx_trees import Ensemble, Nodes
from modelops.artifacts.parts.part import ClassifierPart, DecidingPart, Part
from modelops.artifacts.signature import Held
from modelops.errors import failure
from modelops.runtimes import Asked, Kept
from modelops.runtimes._checks import (
    Array,
    answering,
    bad,
    by_column,
    check_branches,
    check_columns,
    is_of,
    library,
    limited,
    loading,
)
from modelops.spec.meta import Strict

FILE = "model.txt"

_CATEGORICAL, _DEFAULT_LEFT, _ZERO, _NAN = 1, 2, 4, 8
_TREES = "Tree="
_NOTHING = float(np.float32(1e-35))
"""What is not larger is a zero for LightGBM."""
_BY_LEAF = ("leaf_weight", "leaf_count")
_BY_NODE = ("split_gain", "internal_value", "internal_weight", "internal_count")
_MOST_LINES = 22
"""Lines that LightGBM reads of a tree."""
DECLARED = False


class Params(Strict):
    """Nothing is to be said: what is kept follows from the model."""


def owns(found: Any) -> bool:
    """Tell whether an object is a model of LightGBM."""
    return is_of(found, "lightgbm") and hasattr(found, "predict")


def keep(params: Params, found: Any, asked: Asked) -> Kept | None:
    """Return the booster as text."""
    alone = type(found).__name__ == "Booster"
    if not alone and not found.__sklearn_is_fitted__():
        return None
    data = (found if alone else found.booster_).model_to_string().encode()
    header = _header(data.decode())
    words = header.get("objective", "").split(" ")
    answers = words[0] in ("binary", "cross_entropy", "multiclass", "multiclassova")
    kind = "classifier" if (asked.task != "regression" if alone else hasattr(found, "classes_")) else "regressor"
    if kind == "classifier" and not answers:
        raise failure(
            "unsupported-type",
            "a classifier of LightGBM with an objective of its own answers no probabilities",
            hint="use the objective binary or multiclass",
        )
    count = int(header.get("num_class", "1"))
    classes = [] if kind == "regressor" else list(range(max(2, count)))
    if not alone and kind == "classifier":
        classes = np.asarray(found.classes_).tolist()
    decides = kind == "classifier" and hasattr(found, "decision_function")
    return Kept({FILE: data}, {"kind": kind, "classes": classes, "decides": decides})


def load(held: Held, files: Mapping[str, bytes]) -> Part:
    """Check the trees of a booster before LightGBM reads them, and load it."""
    lightgbm = library("lightgbm")
    with loading("a booster of LightGBM", lightgbm.basic.LightGBMError):
        text = limited(files[FILE], FILE).decode()
        model = _parsed(text)
        booster = lightgbm.Booster(model_str=text)
        categories = bool(booster.pandas_categorical)
        kind, classes = held.facts["kind"], held.facts["classes"]
        decides = bool(held.facts.get("decides"))

    def asked(rows: Any, *, raw: bool) -> Array:
        given = by_column(rows, categories=categories)
        with answering(lightgbm.basic.LightGBMError):
            return np.asarray(booster.predict(given, raw_score=raw, num_threads=1))

    def scores(rows: Any) -> Array:
        return asked(rows, raw=False)

    more: dict[str, Any] = {
        "width": model.width,
        "write": lambda graph, table: _without(decides, _written(graph, table, model)),
        "thresholds": lambda: _thresholds(model),
    }
    if kind == "regressor":
        return Part(held, files, scores, **more)
    if len(classes) != max(2, model.classes):
        raise bad(f"a booster of {model.classes} classes names {len(classes)}")
    if decides:
        return DecidingPart(held, files, scores, decisions=lambda rows: asked(rows, raw=True), classes=classes, **more)
    return ClassifierPart(held, files, scores, classes=classes, **more)


@dataclass(frozen=True, slots=True)
class _Tree:
    """One tree: arrays by node, of which leaf ``k`` is named as ``-k - 1``; ``plain`` is one without linear leaves."""

    columns: Array
    thresholds: Array
    decisions: Array
    left: Array
    right: Array
    leaves: Array
    plain: bool


@dataclass(frozen=True, slots=True)
class _Model:
    header: Mapping[str, str]
    trees: tuple[_Tree, ...]
    width: int
    classes: int
    each: int


def _header(text: str) -> dict[str, str]:
    return _fields(text.partition(f"\n{_TREES}")[0])


def _fields(block: str) -> dict[str, str]:
    """Read lines as LightGBM does; of a name that stands there twice it would take the other value."""
    found: dict[str, str] = {}
    for line in filter(None, block.split("\n")):
        name, _, value = line.partition("=")
        if name in found or "\r" in line:
            raise bad(f"it says {name[:40]!r} twice, or ends a line in its midst")
        found[name] = value
    return found


def _block(block: str) -> dict[str, str]:
    """Read the lines of a tree: LightGBM reads so many and no blank one, and takes all up to a = for the name."""
    number, _, body = block.partition("\n")
    lines = body.rstrip("\n").split("\n")
    if not number.isdecimal() or len(lines) > _MOST_LINES or not all("=" in line for line in lines):
        raise bad("a tree has lines that are not its own")
    return _fields(body)


def _parsed(text: str) -> _Model:
    """Read the text of a booster; trees that lead out of themselves are refused."""
    if not text.startswith("tree\n"):
        raise bad("it is not the text of a booster")
    header = _header(text)
    head, end, rest = text.partition("\nend of trees\n")
    if not end or "\nend of parameters\n" not in rest:
        raise bad("it is cut")
    blocks = head.split(f"\n{_TREES}")[1:]
    _check_sizes(head, header)
    if not header.get("objective", "of its own").strip():
        raise bad("its objective has no name")
    width, each = int(header["max_feature_idx"]) + 1, int(header["num_tree_per_iteration"])
    trees = tuple(_tree(_block(block), width) for block in blocks)
    if each < 1 or len(trees) % each:
        raise bad("its trees contradict their number")
    return _Model(header, trees, width, int(header["num_class"]), each)


def _check_sizes(head: str, header: Mapping[str, str]) -> None:
    """Refuse sizes of trees that are not theirs: LightGBM reads by them, and ends the process where they are wrong."""
    start = head.encode().find(f"\n{_TREES}".encode()) + 1
    sizes = [int(size) for size in header.get("tree_sizes", "").split()]
    body = head.encode()[start:] if start else b""
    for size in sizes:
        if size <= 0 or not body.startswith(_TREES.encode()):
            raise bad("its trees are not of the sizes that it names")
        body = body[size:]
    if body.strip():
        raise bad("it has more trees than it names sizes of")


def _tree(fields: Mapping[str, str], width: int) -> _Tree:
    count = int(fields["num_leaves"])
    inner = count - 1

    def numbers(name: str, length: int, kind: Any) -> Array:
        found = np.array(fields.get(name, "").split(), dtype=kind)
        if len(found) != length:
            raise bad(f"a tree has {len(found)} values of {name}, not {length}")
        return found

    left, right = numbers("left_child", inner, np.int64), numbers("right_child", inner, np.int64)
    leaves = numbers("leaf_value", count, np.float64)
    columns = numbers("split_feature", inner, np.int64)
    check_columns(columns, width)
    places = np.arange(inner)
    # As nodes of one array, with the leaves behind: every node has one parent, and none leads out.
    moved = [np.where(child < 0, inner - child - 1, child) for child in (left, right)]
    check_branches(moved[0], moved[1], places, inner + count)
    for name in _BY_LEAF:
        numbers(name, count if fields.get(name) else 0, np.float64)
    for name in _BY_NODE:
        numbers(name, inner if fields.get(name) else 0, np.float64)
    decisions, thresholds = numbers("decision_type", inner, np.int64), numbers("threshold", inner, np.float64)
    linear = fields.get("is_linear", "0")
    if linear not in ("0", "1"):
        raise bad(f"a tree is linear or not, not {linear[:40]!r}")
    if linear == "1":
        numbers("leaf_const", count, np.float64)
        sizes = numbers("num_features", count, np.int64)
        if ((sizes < 0) | (sizes > width)).any():
            raise bad("a leaf is linear in columns that do not exist")
        numbers("leaf_coeff", int(sizes.sum()), np.float64)
        check_columns(numbers("leaf_features", int(sizes.sum()), np.int64), width)
    _check_categories(fields, thresholds[(decisions & _CATEGORICAL) != 0])
    return _Tree(columns, thresholds, decisions, moved[0], moved[1], leaves, linear == "0")


def _check_categories(fields: Mapping[str, str], places: Array) -> None:
    """Refuse a split on categories whose list of them is not there."""
    count = int(fields.get("num_cat", "0"))
    bounds = np.array(fields.get("cat_boundaries", "0").split(), dtype=np.int64)
    words = len(fields.get("cat_threshold", "").split())
    listed = len(bounds) == count + 1 and (np.diff(bounds) >= 0).all() and bounds[0] == 0 and bounds[-1] == words
    if ((places < 0) | (places >= count)).any() or (count and not listed):
        raise bad("a tree splits on categories that it does not list")


def _thresholds(model: _Model) -> dict[int, Array]:
    found: dict[int, list[float]] = {}
    for tree in model.trees:
        plain = (tree.decisions & _CATEGORICAL) == 0
        for column, threshold in zip(tree.columns[plain], tree.thresholds[plain], strict=True):
            found.setdefault(int(column), []).append(float(threshold))
    return {column: np.array(values) for column, values in found.items()}


def _nodes(tree: _Tree) -> Nodes:
    count = len(tree.leaves)
    if (tree.decisions & (_CATEGORICAL | _ZERO)).any() or not tree.plain:
        raise not_exportable(
            "trees of LightGBM that split on categories, or whose leaves are linear, have no exact form"
        )
    # A gap is a zero for LightGBM unless there were gaps in training.
    as_zero = (tree.thresholds >= 0).astype(np.int64)
    missing = np.where(tree.decisions & _NAN, (tree.decisions & _DEFAULT_LEFT) != 0, as_zero).astype(np.int64)
    nothing = np.zeros(count, dtype=np.int64)

    def padded(values: Array) -> Array:
        return np.concatenate([values, nothing.astype(values.dtype)])

    leaf = np.concatenate([np.zeros(len(tree.columns), dtype=bool), np.ones(count, dtype=bool)])
    branches = padded(tree.left), padded(tree.right)
    return Nodes(padded(tree.columns), padded(tree.thresholds), *branches, padded(missing), leaf)


def _without(decides: bool, answer: Answer) -> Answer:
    """Return an answer without decisions where the model itself gives none."""
    return answer if decides else replace(answer, decision="")


def _written(graph: Graph, table: Table, model: _Model) -> Answer:
    words = model.header.get("objective", "").split(" ")
    options = {name: value for name, _, value in (word.partition(":") for word in words[1:])}
    ensemble = Ensemble(model.each)
    for place, tree in enumerate(model.trees):
        weights = np.concatenate([np.zeros(len(tree.columns)), tree.leaves])
        ensemble.add(_nodes(tree), weights, place % model.each)
    value = graph.matrix(table)
    # Of a sparse matrix it takes every value as it is.
    if not table.sparse and any((np.abs(tree.thresholds) <= _NOTHING).any() for tree in model.trees):
        tiny = graph.node("LessOrEqual", graph.node("Abs", value), graph.numbers([_NOTHING]))
        value = graph.node("Where", tiny, graph.numbers([0.0]), value)
    found = total = ensemble.write(graph, value)
    if "average_output" in model.header:
        # Decisions are not averaged.
        found = graph.node("Div", total, graph.numbers([len(model.trees) // model.each]))
    match words[0]:
        case "binary":
            scaled = graph.node("Mul", found, graph.numbers([float(options.get("sigmoid", "1"))]))
            return Answer(graph.node("Sigmoid", scaled), total)
        case "cross_entropy":
            return Answer(graph.node("Sigmoid", found), total)
        case "multiclass":
            return Answer(graph.node("Softmax", found, axis=1), total)
        case "poisson" | "gamma" | "tweedie":
            return Answer(value=graph.node("Exp", found))
        case "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape" if "sqrt" not in words:
            return Answer(value=found)
    raise not_exportable(f"the objective {words[0] or 'of its own'} of LightGBM has no exact form in ONNX")
