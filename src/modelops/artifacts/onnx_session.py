"""Running ONNX: the checks before a model is loaded, the session's settings, and how columns become its inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from modelops.artifacts.signature import Signature
from modelops.errors import ModelOpsError, failure

__all__ = ["OnnxScore", "check_model", "feeder", "onnx_score", "session"]

Array = np.ndarray[Any, Any]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]

STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
MATRIX = "features"
"""Name of the input that takes all numeric features, in their order, as a matrix of shape (n, k)."""
TEXTS = "categories"
"""Name of the input that takes all categories, in their order, as a matrix of shape (n, m)."""

_TYPES = {"tensor(double)": np.float64, "tensor(float)": np.float32, "tensor(string)": object}

_PREFACE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
_KNOWN = re.compile("Name:'(known values of .*?)' Status")


def check_model(data: bytes) -> None:
    """Refuse a model with operators outside the ONNX standard, with local functions or with external data."""
    from google.protobuf.message import DecodeError

    from modelops.artifacts.onnx_described import HERE, parse_model

    try:
        model = parse_model(data)
    except DecodeError:
        raise _bad("it is not an ONNX model") from None
    foreign = sorted({entry.domain for entry in model.opset_import} - STANDARD_DOMAINS)
    if foreign or len(model.functions):
        raise _bad(f"it needs operators outside the standard: {foreign[0] if foreign else 'local functions'}")
    for graph in _graphs(model.graph):
        for node in graph.node:
            if node.domain not in STANDARD_DOMAINS:
                raise _bad(f"it needs the operator {node.domain}.{node.op_type}")
        for tensor in _tensors(graph):
            if tensor.data_location != HERE or len(tensor.external_data):
                raise _bad(f"its tensor {tensor.name!r} is in another file")


def session(data: bytes) -> Any:
    """Return a checked onnxruntime session on one thread that never spins."""
    import onnxruntime as ort

    check_model(data)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 4
    # Rows are small and come one by one: keeping memory of its own is slower than asking for some, and is never freed.
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except _runtime_errors() as error:
        raise _bad(str(error).strip().splitlines()[0][:200]) from None


@dataclass(frozen=True, slots=True)
class OnnxScore:
    """Scores from frame columns; from a float64 matrix of shape (n, k) too when the model takes all features in one."""

    feed: Callable[[Mapping[str, Array]], dict[str, Array]]
    run: Callable[[dict[str, Array]], Array]
    finish: Callable[[Array], FloatArray]
    matrix_type: Any

    def __call__(self, columns: Mapping[str, Array]) -> FloatArray:
        """Return the scores of rows given as columns."""
        return self.finish(self.run(self.feed(columns)))

    def matrix(self, values: FloatArray) -> FloatArray:
        """Return the scores of rows given as a matrix in the order of the features."""
        if self.matrix_type is np.float32:
            with np.errstate(over="ignore"):
                return self.finish(self.run({MATRIX: values.astype(np.float32)}))
        return self.finish(self.run({MATRIX: values}))


def onnx_score(data: bytes, signature: Signature) -> OnnxScore:
    """Return the scoring function of an ONNX model; its inputs are the features by name or one matrix of all."""
    loaded = session(data)
    outputs = [entry.name for entry in loaded.get_outputs()]
    if len(outputs) != 1:
        raise _bad(f"it has {len(outputs)} outputs, not one")
    feed, matrix_type = _feeder(loaded, signature)
    return OnnxScore(feed, _guarded(_native(loaded), outputs), _finisher(signature), matrix_type)


def feeder(loaded: Any, signature: Signature) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    """Return what makes the inputs of a session from columns."""
    return _feeder(loaded, signature)[0]


def _feeder(loaded: Any, signature: Signature) -> tuple[Callable[[Mapping[str, Array]], dict[str, Array]], Any]:
    """Return what makes the inputs, and their type where they are one matrix of numbers."""
    inputs = {entry.name: _TYPES.get(entry.type) for entry in loaded.get_inputs()}
    widths = {entry.name: entry.shape[1] if len(entry.shape) == 2 else None for entry in loaded.get_inputs()}
    numbers = [feature.name for feature in signature.features if feature.type != "category"]
    texts = [feature.name for feature in signature.features if feature.type == "category"]
    names = [feature.name for feature in signature.features]
    if widths != {name: len(names) for name, names in ((MATRIX, numbers), (TEXTS, texts)) if names}:
        return _column_feeder(inputs, names), None
    dtype = inputs.get(MATRIX, np.float64)
    if dtype not in (np.float64, np.float32) or inputs.get(TEXTS, object) is not object:
        raise _bad(f"its inputs {sorted(inputs)} have other types than the features")
    return _matrix_feeder(dtype, numbers, texts), dtype if numbers and not texts else None


def _finisher(signature: Signature) -> Callable[[Array], FloatArray]:
    width = len(signature.classes)
    if signature.task == "multiclass-classification":
        return lambda found: np.asarray(found, dtype=np.float64).reshape(-1, width)
    if signature.task == "regression":
        return lambda found: np.asarray(found, dtype=np.float64).reshape(-1)
    return _positive


def _positive(found: Array) -> FloatArray:
    """Return P(positive) from probabilities of shape (n, 2), or as it is from shape (n,) or (n, 1)."""
    scores = np.asarray(found, dtype=np.float64)
    if scores.ndim == 1:
        return scores
    return np.ascontiguousarray(scores[:, 1]) if scores.size == 2 * len(scores) else scores.reshape(-1)


def _matrix_feeder(
    dtype: Any, numbers: list[str], texts: list[str]
) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    def merged(columns: Mapping[str, Array], names: list[str]) -> Array:
        arrays = [columns[name] for name in names]
        # One row needs no interleaving; joining is the fastest way that numpy has.
        return np.concatenate(arrays).reshape(1, -1) if len(arrays[0]) == 1 else np.stack(arrays, axis=1)

    def feed(columns: Mapping[str, Array]) -> dict[str, Array]:
        made = {}
        if numbers:
            # What is beyond float32 is infinite for the model, as it is for scikit-learn's trees.
            made[MATRIX] = merged(columns, numbers)
            if dtype is np.float32:
                with np.errstate(over="ignore"):
                    made[MATRIX] = made[MATRIX].astype(np.float32)
        if texts:
            made[TEXTS] = merged(columns, texts)
        return made

    return feed


def _column_feeder(inputs: dict[str, Any], names: list[str]) -> Callable[[Mapping[str, Array]], dict[str, Array]]:
    if not set(inputs) <= set(names) or None in inputs.values():
        raise _bad(f"its inputs {sorted(inputs)} are not the features {names}")
    wanted = tuple(inputs.items())

    def single(columns: Mapping[str, Array]) -> dict[str, Array]:
        with np.errstate(over="ignore"):
            return {name: columns[name].astype(dtype, copy=False).reshape(-1, 1) for name, dtype in wanted}

    return single


def _native(loaded: Any) -> Callable[..., list[Array]]:
    """Return the call into the runtime itself: what its wrapper checks each time was checked when the model loaded."""
    native = getattr(loaded, "_sess", None)
    if native is None:
        found: Callable[..., list[Array]] = loaded.run
        return found
    return cast("Callable[..., list[Array]]", native.run)


def _guarded(run: Callable[..., list[Array]], outputs: list[str]) -> Callable[[dict[str, Array]], Array]:
    errors = _runtime_errors()

    def guarded(feed: dict[str, Array]) -> Array:
        try:
            return run(outputs, feed, None)[0]
        except errors as error:
            known = _KNOWN.search(str(error))
            said = f"one is not among the {known[1]}" if known else _said(error)
            raise failure("bad-input", f"the model refused its input: {said}") from None

    return guarded


def _said(error: Exception) -> str:
    """Return what a runtime says without its own preface."""
    return _PREFACE.sub("", " ".join(str(error).split()))[:200]


def _runtime_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = (
        "Fail",
        "InvalidArgument",
        "InvalidGraph",
        "InvalidProtobuf",
        "NotImplemented",
        "RuntimeException",
        "NoModel",
    )
    return (*(getattr(state, name) for name in names), ValueError)


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            # One that is not there reads as an empty one.
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _bad(what: str) -> ModelOpsError:
    return failure("bad-model", f"the ONNX model is refused: {what}")
