"""The runtime `catboost`: models in CatBoost's own binary form, and their exact form in ONNX.

What it takes: `CatBoostClassifier`, `CatBoostRegressor` and a `CatBoost`, alone or inside of scikit-learn's estimators;
categories may be given to CatBoost itself (`cat_features`), which then serves them. Say `allow_writing_files=False`
where training is not to leave files in its folder.

The binary form is not checked but for its beginning and its length: a changed file may end the process that reads it,
or worse. It comes from `train` or a signed artifact, and a server tries it in a process of its own first.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Answer, Graph, Table, not_exportable
from modelops.artifacts.onnx_trees import Ensemble, Nodes, float64_thresholds
from modelops.artifacts.parts.part import ClassifierPart, Part
from modelops.artifacts.signature import Held
from modelops.errors import failure
from modelops.runtimes import Asked, Kept
from modelops.runtimes._checks import Array, answering, bad, column_kinds, is_of, library, limited, loading
from modelops.spec.meta import Strict

FILE = "model.cbm"

_MAGIC = b"CBM1"
_UNLIKE = ("model_guid", "train_finish_time")
"""What differs between two equal models."""
DECLARED = False


class Params(Strict):
    """Nothing is to be said: what is kept follows from the model."""


def owns(found: Any) -> bool:
    """Tell whether an object is a model of CatBoost."""
    return is_of(found, "catboost") and hasattr(found, "predict")


def keep(params: Params, found: Any, asked: Asked) -> Kept | None:
    """Return the model in its binary form, without what says when it was made."""
    if not found.is_fitted():
        return None
    copy = found.copy()
    metadata = copy.get_metadata()
    for name in _UNLIKE:
        if name in metadata.keys():  # noqa: SIM118 - it is no mapping
            del metadata[name]
    kind = "classifier" if asked.task != "regression" else "regressor"
    if type(found).__name__ != "CatBoost":
        kind = "classifier" if "Classifier" in type(found).__name__ else "regressor"
    classes = np.asarray(copy.classes_).tolist() if kind == "classifier" else []
    if kind == "classifier" and len(classes) < 2:
        raise failure(
            "unsupported-type",
            "a model of CatBoost without classes answers no probabilities",
            hint="use CatBoostClassifier, or the loss function Logloss or MultiClass",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        copy.save_model(str(path))
        data = path.read_bytes()
    exponent = type(found).__name__ == "CatBoostRegressor" and _loss(found) in ("Poisson", "Tweedie")
    facts = {"kind": kind, "classes": classes, "answers": "Exponent" if exponent else "RawFormulaVal"}
    return Kept({FILE: data}, facts)


def load(held: Held, files: Mapping[str, bytes]) -> Part:
    """Load a model; CatBoost reads its file as it is, whatever stands in it."""
    catboost = library("catboost")
    with loading("a model of CatBoost", catboost.CatBoostError):
        data = limited(files[FILE], FILE)
        if not data.startswith(_MAGIC) or int.from_bytes(data[4:8], "little") > len(data) - 8:
            raise bad("it is not a model of CatBoost, or a part of one")
        kind, classes, answers = held.facts["kind"], held.facts["classes"], held.facts["answers"]
        model = catboost.CatBoostClassifier() if kind == "classifier" else catboost.CatBoostRegressor()
        model.load_model(blob=data)
        width = len(model.feature_names_)
        if kind == "classifier" and [str(each) for each in np.asarray(model.classes_).tolist()] != list(
            map(str, classes)
        ):
            raise bad("its classes are not those that were recorded")

    def scores(rows: Any) -> Array:
        given = rows.to_numpy(dtype=np.float64) if hasattr(rows, "columns") and not column_kinds(rows) else rows
        with answering(catboost.CatBoostError):
            if kind == "regressor":
                return np.asarray(model.predict(given, prediction_type=answers, thread_count=1))
            return np.asarray(model.predict_proba(given, thread_count=1))

    described: list[dict[str, Any]] = []

    def told() -> dict[str, Any]:
        if not described:
            described.append(_described(model))
        return described[0]

    more: dict[str, Any] = {
        "width": width,
        "write": lambda graph, table: _written(graph, table, told(), model, answers),
        "thresholds": lambda: _thresholds(told()),
    }
    if kind == "regressor":
        return Part(held, files, scores, **more)
    return ClassifierPart(held, files, scores, classes=classes, **more)


def _loss(model: Any) -> str:
    """Return the name of a model's loss function."""
    return str(model.get_all_params().get("loss_function", "")).partition(":")[0]


def _described(model: Any) -> dict[str, Any]:
    """Return a model as CatBoost itself tells it in JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _columns(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(model["features_info"].get("float_features", ()))


def _thresholds(model: Mapping[str, Any]) -> dict[int, Array]:
    return {
        int(one["flat_feature_index"]): np.array(one["borders"], dtype=np.float64)
        for one in _columns(model)
        if one.get("borders")
    }


def _written(graph: Graph, table: Table, model: Mapping[str, Any], loaded: Any, answers: str) -> Answer:
    columns = _columns(model)
    scale, bias = model["scale_and_bias"]
    bias = list(bias) if isinstance(bias, list) else [bias]
    trees = list(_oblivious(model, columns)) if "oblivious_trees" in model else list(_others(model, columns))
    if not trees:
        raise not_exportable("a model of CatBoost without trees has no exact form in ONNX")
    targets = trees[0][1].shape[1]
    ensemble = Ensemble(targets)
    for nodes, weights in trees:
        for target in range(targets):
            ensemble.add(nodes, weights[:, target], target)
    found = ensemble.write(graph, graph.matrix(table))
    if scale != 1:
        found = graph.node("Mul", found, graph.numbers([scale]))
    if any(bias):
        found = graph.node("Add", found, graph.row(np.broadcast_to(bias, (targets,))))
    return _answer(graph, found, loaded, answers)


def _answer(graph: Graph, found: str, loaded: Any, answers: str) -> Answer:
    loss = _loss(loaded)
    match loss:
        case "Logloss" | "CrossEntropy":
            return Answer(graph.node("Sigmoid", found))
        case "MultiClass":
            return Answer(graph.node("Softmax", found, axis=1))
        case "Poisson" | "Tweedie":
            return Answer(value=graph.node("Exp", found) if answers == "Exponent" else found)
        case "RMSE" | "MAE" | "Quantile" | "Huber" | "MAPE" | "LogCosh" | "Expectile" | "Lq":
            return Answer(value=found)
    raise not_exportable(f"the loss {loss or 'of its own'} of CatBoost has no exact form in ONNX")


def _split(split: Mapping[str, Any], columns: list[Mapping[str, Any]]) -> tuple[int, float, int]:
    """Return the column, the threshold for float64, and whether a gap is on the side of what is at most that."""
    if split.get("split_type") != "FloatFeature":
        raise not_exportable("trees of CatBoost that split on categories have no exact form in ONNX")
    column = columns[int(split["float_feature_index"])]
    threshold = float(float64_thresholds(np.array([split["border"]], dtype=np.float64))[0])
    return int(column["flat_feature_index"]), threshold, int(column.get("nan_value_treatment") != "AsTrue")


def _oblivious(model: Mapping[str, Any], columns: list[Mapping[str, Any]]) -> Iterator[tuple[Nodes, Array]]:
    """Yield trees that ask one question per level, as binary ones; bit i of a leaf's number answers question i."""
    for tree in model["oblivious_trees"]:
        splits = [_split(one, columns) for one in tree.get("splits") or ()]
        depth = len(splits)
        leaves = np.asarray(tree["leaf_values"], dtype=np.float64).reshape(1 << depth, -1)
        inner = (1 << depth) - 1
        place = np.arange(inner)
        level = np.log2(place + 1).astype(np.int64) if depth else np.zeros(0, dtype=np.int64)
        asked = [splits[one] for one in level]
        # The last level's nodes lead to the leaves, numbered from the questions on the way.
        path = place + 1 - (1 << level)
        turned = np.array(
            [_reversed(int(value), int(bits)) for value, bits in zip(path, level, strict=True)], dtype=int
        )
        last = level == depth - 1
        left = np.where(last, inner + turned, 2 * place + 1)
        right = np.where(last, inner + turned + (1 << level), 2 * place + 2)
        yield _nodes(asked, left, right, leaves)


def _reversed(value: int, bits: int) -> int:
    return int(format(value, f"0{bits}b")[::-1], 2) if bits else 0


def _others(model: Mapping[str, Any], columns: list[Mapping[str, Any]]) -> Iterator[tuple[Nodes, Array]]:
    """Yield trees whose branches ask questions of their own."""
    for root in model.get("trees", ()):
        inner: list[Mapping[str, Any]] = []
        leaves: list[Any] = []
        waiting = [root]
        places: dict[int, int] = {}
        for node in waiting:
            if "split" in node:
                places[id(node)] = len(inner)
                inner.append(node)
                waiting += [node["left"], node["right"]]
            else:
                places[id(node)] = -len(leaves) - 1
                leaves.append(node["value"])
        count = len(inner)

        def at(node: Mapping[str, Any], places: dict[int, int] = places, count: int = count) -> int:
            place = places[id(node)]
            return place if place >= 0 else count - place - 1

        left, right = (np.array([at(node[side]) for node in inner], dtype=int) for side in ("left", "right"))
        values = np.asarray(leaves, dtype=np.float64).reshape(len(leaves), -1)
        yield _nodes([_split(node["split"], columns) for node in inner], left, right, values)


def _nodes(splits: list[tuple[int, float, int]], left: Array, right: Array, leaves: Array) -> tuple[Nodes, Array]:
    """Return a tree with its leaves behind its inner nodes, and what each of them adds."""
    count, more = len(splits), len(leaves)

    def padded(values: list[Any], kind: Any) -> Array:
        return np.concatenate([np.array(values, dtype=kind), np.zeros(more, dtype=kind)])

    nodes = Nodes(
        padded([one[0] for one in splits], np.int64),
        padded([one[1] for one in splits], np.float64),
        padded(left.tolist(), np.int64),
        padded(right.tolist(), np.int64),
        padded([one[2] for one in splits], np.int64),
        np.concatenate([np.zeros(count, dtype=bool), np.ones(more, dtype=bool)]),
    )
    return nodes, np.concatenate([np.zeros((count, leaves.shape[1])), leaves])
