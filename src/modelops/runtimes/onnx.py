"""The runtime `onnx`: models that were made elsewhere and come as ONNX, served as they are.

What it takes: what `train` returns as `onnx.ModelProto`, as its bytes, or as the path of a file in the model's folder.
The model takes all numbers as one matrix of shape (n, k) in the order of the features, and all categories as another,
or one input of shape (n, 1) for each feature, called as it is. It answers values, or the probabilities of the labels in
their sorted order, the positive one last; other outputs are left out. Operators outside of the standard, local
functions and tensors in other files are refused. Numbers arrive as float64 and are converted to what the model takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelops.artifacts.onnx_session import MATRIX, TEXTS, check_model, session
from modelops.artifacts.parts.part import Asked, ClassifierPart, Kept, Part
from modelops.artifacts.signature import Held
from modelops.errors import failure
from modelops.runtimes._checks import Array, bad, is_of, limited, loading
from modelops.spec.meta import Strict

FILE = "model.onnx"

_FLOATS = {1: "FLOAT", 10: "FLOAT16", 11: "DOUBLE", 16: "BFLOAT16"}
_NUMBERS = {**_FLOATS, 2: "UINT8", 3: "INT8", 5: "INT16", 6: "INT32", 7: "INT64", 9: "BOOL"}
_TEXT, _DOUBLE = 8, 11
DECLARED = False


class Params(Strict):
    """`output` names the output that holds the values or probabilities, where a model has several of that kind."""

    output: str = ""


def owns(found: Any) -> bool:
    """Tell whether an object is a model in ONNX, its bytes, or where they lie."""
    proto = is_of(found, "onnx") and type(found).__name__ == "ModelProto"
    return proto or isinstance(found, bytes) or (isinstance(found, Path) and found.suffix == ".onnx")


def keep(params: Params, found: Any, asked: Asked) -> Kept:
    """Return the model with inputs in float64 that are called as the features are, and with one output."""
    import onnx

    with loading("a model in ONNX"):
        data = found if isinstance(found, bytes) else None
        if isinstance(found, Path):
            data = found.read_bytes()
        if data is not None:
            check_model(limited(data, FILE))
        model = onnx.ModelProto()
        model.ParseFromString(data) if data is not None else model.CopyFrom(found)
    _rename_inputs(model.graph, asked)
    _one_output(model.graph, params.output, asked)
    kept: bytes = model.SerializeToString(deterministic=True)
    check_model(kept)
    numbers, texts = _by_kind(asked)
    classes = 0 if asked.task == "regression" else max(2, len(asked.classes))
    return Kept({FILE: kept}, {"numbers": numbers, "texts": texts, "classes": classes})


def load(held: Held, files: Mapping[str, bytes]) -> Part:
    """Load a model whose operators are the standard's."""
    data = limited(files[FILE], FILE)
    loaded = session(data)
    with loading("a model in ONNX"):
        feed = _feeder(loaded, held.facts["numbers"], held.facts["texts"])
        classes, name = int(held.facts["classes"]), loaded.get_outputs()[0].name

    def scores(rows: Any) -> Array:
        found = np.asarray(loaded.run([name], feed(rows))[0], dtype=np.float64)
        found = found.reshape(len(rows), -1)
        if classes > 2 and found.shape[1] != classes:
            raise bad(f"it answers {found.shape[1]} numbers a row for {classes} classes")
        return found if classes > 2 else found[:, -1]

    if not classes:
        return Part(held, files, scores, onnx=data)
    return ClassifierPart(held, files, scores, onnx=data, classes=list(range(classes)))


def _by_kind(asked: Asked) -> tuple[list[str], list[str]]:
    texts = [feature.name for feature in asked.features if feature.type == "category"]
    return [feature.name for feature in asked.features if feature.name not in texts], texts


def _feeder(loaded: Any, numbers: list[str], texts: list[str]) -> Callable[[Any], dict[str, Array]]:
    """Return what makes the inputs of a model from a frame."""
    names = {entry.name for entry in loaded.get_inputs()}

    def feed(rows: Any) -> dict[str, Array]:
        if names <= {MATRIX, TEXTS} and not names <= {*numbers, *texts}:
            made = {MATRIX: rows[numbers].to_numpy(dtype=np.float64)} if MATRIX in names else {}
            return {**made, TEXTS: rows[texts].to_numpy(dtype=object)} if TEXTS in names else made
        return {name: rows[[name]].to_numpy(dtype=object if name in texts else np.float64) for name in names}

    return feed


def _rename_inputs(graph: Any, asked: Asked) -> None:
    """Call a model's inputs as modelops feeds them, and let numbers arrive as float64."""
    from onnx import TensorProto

    constant = {one.name for one in graph.initializer}
    given = [one for one in graph.input if one.name not in constant]
    numbers, texts = _by_kind(asked)
    named = {one.name for one in given}
    if not named <= {*numbers, *texts}:
        kinds = [one.type.tensor_type.elem_type == _TEXT for one in given]
        if len(given) != bool(numbers) + bool(texts) or sum(kinds) != bool(texts):
            raise bad(f"its inputs are {sorted(named)}, and neither one matrix of all numbers nor {[*numbers, *texts]}")
        for one, text in zip(given, kinds, strict=True):
            _check_width(one, len(texts if text else numbers))
            _replace(graph, one.name, TEXTS if text else MATRIX)
            one.name = TEXTS if text else MATRIX
    for one in given:
        kind = one.type.tensor_type.elem_type
        if (kind == _TEXT) != (one.name in texts or one.name == TEXTS) or kind not in {*_NUMBERS, _TEXT}:
            raise bad(f"its input {one.name!r} is of another type than the features")
        if kind not in (_TEXT, _DOUBLE):
            _cast_input(graph, one, kind)
            one.type.tensor_type.elem_type = TensorProto.DOUBLE


def _check_width(one: Any, count: int) -> None:
    sizes = one.type.tensor_type.shape.dim
    width = sizes[1].dim_value if len(sizes) == 2 else 0
    if len(sizes) != 2 or width not in (0, count):
        raise bad(f"its input {one.name!r} is not a matrix of {count} columns")
    # The number of rows is free, and the number of columns is known.
    sizes[0].dim_param, sizes[1].dim_value = "n", count


def _replace(graph: Any, old: str, new: str) -> None:
    """Call a tensor by another name wherever it is read."""
    taken = {name for node in graph.node for name in node.output} | {one.name for one in graph.initializer}
    if new in taken:
        raise bad(f"a tensor inside of it is called {new!r}")
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]


def _cast_input(graph: Any, one: Any, kind: int) -> None:
    from onnx import helper

    inner = f"{one.name} as {_NUMBERS[kind].lower()}"
    _replace(graph, one.name, inner)
    graph.node.insert(0, helper.make_node("Cast", [one.name], [inner], to=kind))


def _one_output(graph: Any, wanted: str, asked: Asked) -> None:
    """Leave the output with the values or probabilities, in float64, and what it needs."""
    from onnx import TensorProto, helper

    found = [one for one in graph.output if not wanted or one.name == wanted]
    if any(one.type.WhichOneof("value") != "tensor_type" for one in found):
        found = [one for one in found if one.type.WhichOneof("value") == "tensor_type"]
        if not any(one.type.tensor_type.elem_type in _FLOATS for one in found):
            raise failure(
                "bad-model",
                "the ONNX model answers dictionaries",
                hint="convert it without ZipMap: options={id(model): {'zipmap': False}}",
            )
    kinds = _FLOATS if asked.task != "regression" else _NUMBERS
    found = [one for one in found if one.type.tensor_type.elem_type in kinds]
    likely = [one for one in found if "prob" in one.name.lower()] if len(found) > 1 else found
    if len(likely) != 1:
        names = [one.name for one in graph.output]
        raise failure(
            "bad-model",
            f"the ONNX model has the outputs {names}, and none of them is the one to serve",
            dotted="spec.training.runtime.params.output",
            hint="name it: runtime: {type: onnx, params: {output: NAME}}",
        )
    kept = likely[0]
    answer = "value" if asked.task == "regression" else "probabilities"
    answer = answer if not any(answer in (*node.input, *node.output) for node in graph.node) else f"{answer} served"
    graph.node.append(helper.make_node("Cast", [kept.name], [answer], to=TensorProto.DOUBLE))
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(answer, TensorProto.DOUBLE, None))
    needed, nodes = {answer}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= {*node.input, *(name for one in node.attribute for name in _inside(one))}
    del graph.node[:]
    graph.node.extend(reversed(nodes))


def _inside(attribute: Any) -> set[str]:
    """Return the names of tensors that the graphs of a node read, from outside too."""
    graphs = [*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs]
    return {
        name
        for graph in graphs
        for node in graph.node
        for name in (*node.input, *(inner for one in node.attribute for inner in _inside(one)))
    }
