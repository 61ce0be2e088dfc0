"""Export to ONNX: the exact form, or else the general converter's, if it predicts as scikit-learn does; or none."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import IR_VERSION, OPSET, Column, Graph, Table
from modelops.artifacts.onnx_models import answer
from modelops.artifacts.onnx_session import MATRIX, TEXTS, check_model, onnx_score
from modelops.artifacts.predictor import Predictor, difference, sklearn_score
from modelops.artifacts.probe import Probe, probes, scored
from modelops.artifacts.signature import Signature
from modelops.errors import ModelOpsError
from modelops.spec.kinds.release import Compared

__all__ = ["Export", "export_onnx", "first_line"]

Array = np.ndarray[Any, Any]

TOLERANCE = 1e-6
"""Largest accepted difference of a score: absolute below 1, relative above."""
MARGIN = 2
"""So much nearer the general converter's form has to be on the rows that are looked at: on others it is further off."""

EXPORTER = "3"
"""Part of the inputs digest: raised when right bytes become others, as every model is then to be trained again.

A check that became stricter does not raise it: it judges from the next build on.
"""

_CONVERSION_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)


_UNKNOWN = re.compile(r"for type '<class '[\w.]*?(\w+)'>'")


@dataclass(frozen=True, slots=True)
class Export:
    """The served ONNX bytes and the largest difference seen in the check, or the reason why there are none."""

    data: bytes | None
    difference: float | None
    reason: str
    equality: tuple[Compared, ...] = ()


@dataclass(frozen=True, slots=True)
class _Variant:
    name: str
    matrix: bool
    double: bool


def export_onnx(estimator: Any, signature: Signature, rows: Mapping[str, Array]) -> Export:
    """Convert a fitted estimator and check it against scikit-learn on ``rows`` and on the rows that ``probe`` makes.

    ``rows`` are frame columns, one array of shape (n,) per feature. A conversion is accepted when no score differs by
    more than ``TOLERANCE``, of the general converter by more than half of it, no label differs, and it refuses the
    unknown categories that scikit-learn refuses. The exact form is tried first; estimators that have none go through
    the general converter.
    """
    asked = tuple(probes(estimator, signature.features, rows))
    expected = list(scored(sklearn_score(estimator, signature), asked))
    refused = next((probe.kind for probe, scores in expected if scores is None and probe.must_accept), None)
    if refused:
        return Export(None, None, f"the estimator refuses {refused}")
    given = getattr(estimator, "onnx", None) if signature.parts else None
    exact = given or _exact(estimator, signature)
    if isinstance(exact, bytes):
        found = _compare(exact, signature, expected)
        if isinstance(found, tuple):
            return _accepted(exact, found)
        return Export(None, None, _subject("its exact form in ONNX", found))
    if signature.parts:
        # The general converter knows scikit-learn's own estimators.
        return Export(None, None, exact)
    partings: list[str] = []
    failures: list[str] = []
    for variant in _variants(signature):
        converted = _converted(estimator, signature, variant)
        if isinstance(converted, str):
            failures.append(converted)
            continue
        found = _compare(converted, signature, expected, TOLERANCE / MARGIN)
        if isinstance(found, tuple):
            return _accepted(converted, found)
        (failures if found.startswith("the ONNX model") else partings).append(found)
    # Where a conversion runs and parts says more to its reader than why another one did not come about.
    general = _subject("that of the general converter", partings[0]) if partings else failures[0]
    return Export(None, None, f"{exact}, and {general}")


def _accepted(data: bytes, equality: tuple[Compared, ...]) -> Export:
    return Export(data, max((each.difference for each in equality), default=0.0), "", equality)


def _subject(what: str, found: str) -> str:
    """Return how a conversion parts as a whole clause."""
    return f"{what} {found}" if found.startswith(("differs", "flips", "gives")) else found


def _exact(estimator: Any, signature: Signature) -> bytes | str:
    """Return the bytes of the exact form in float64, or why there is none."""
    graph = Graph()
    numbers = [feature.name for feature in signature.features if feature.type != "category"]
    texts = [feature.name for feature in signature.features if feature.type == "category"]
    for name, names, text in ((MATRIX, numbers, False), (TEXTS, texts, True)):
        if names:
            graph.input(name, len(names), text=text)
    columns = tuple(
        Column(TEXTS, texts.index(feature.name))
        if feature.type == "category"
        else Column(MATRIX, numbers.index(feature.name))
        for feature in signature.features
    )
    classes = len(signature.classes) if signature.task != "regression" else 1
    called = "value" if signature.task == "regression" else ("probabilities" if classes > 2 else "probability")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            found = answer(graph, estimator, Table(columns, tuple(feature.name for feature in signature.features)))
        except ModelOpsError as error:
            return error.first.message
        except _CONVERSION_ERRORS as error:
            return f"{type(estimator).__name__} has no exact form in ONNX: {first_line(error)}"
    output = found.value if signature.task == "regression" else found.probability
    if not output:
        return f"the exact form of {type(estimator).__name__} answers no {called}"
    return _checked(graph.finish(output, called, classes if classes > 2 else 1, _graph_name(signature)))


def _checked(data: bytes) -> bytes | str:
    """Return a model that holds the standard's operators alone, or what else it needs."""
    try:
        check_model(data)
    except ModelOpsError as error:
        return error.first.message
    return data


def _graph_name(signature: Signature) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", signature.model)


def _variants(signature: Signature) -> Iterator[_Variant]:
    if signature.numeric and len(signature.features) > 1:
        yield _Variant("matrix of float64", matrix=True, double=True)
        yield _Variant("matrix of float32", matrix=True, double=False)
    yield _Variant("columns of float64", matrix=False, double=True)
    yield _Variant("columns of float32", matrix=False, double=False)


def _compare(
    data: bytes, signature: Signature, expected: list[tuple[Probe, Any]], tolerance: float = TOLERANCE
) -> tuple[Compared, ...] | str:
    """Return the table of the comparison over all probes, or the sentence that says where the conversion parts."""
    try:
        predictor = Predictor(signature, onnx_score(data, signature))
    except ModelOpsError as error:
        return error.first.message
    for probe, scores in expected:
        if scores is None and probe.kind.startswith(("missing", "an unseen")) and not _refuses(predictor, probe):
            whose = "the model's own library" if signature.parts else "scikit-learn"
            return f"{whose} refuses {probe.kind}, which ONNX would answer"
    truths = {probe.kind: scores for probe, scores in expected if scores is not None}
    answered = scored(
        lambda columns: predictor.predict_columns(columns).scores, [p for p, s in expected if s is not None]
    )
    table: dict[str, tuple[int, float]] = {}
    try:
        for probe, found in answered:
            part = _parts(predictor, signature, probe.kind, found, truths[probe.kind], tolerance)
            if isinstance(part, str):
                return part
            rows, largest = table.get(probe.what, (0, 0.0))
            table[probe.what] = rows + len(probe.rows), max(largest, part)
    except ModelOpsError as error:
        return error.first.message
    return tuple(Compared(rows_of=what, rows=rows, difference=most) for what, (rows, most) in table.items())


def _refuses(predictor: Predictor, probe: Probe) -> bool:
    """Tell whether the conversion refuses every row of a probe, each by itself."""
    for row in range(len(next(iter(probe.columns.values())))):
        try:
            predictor.predict_columns({name: values[row : row + 1] for name, values in probe.columns.items()})
        except ModelOpsError:
            continue
        return False
    return True


def _parts(
    predictor: Predictor, signature: Signature, kind: str, found: Array | None, scores: Array, tolerance: float
) -> float | str:
    """Return the distance between two implementations on one probe, or the sentence that says how they part."""
    if found is None:
        return f"gives no number at {kind}"
    distance = difference(found, scores)
    if distance > tolerance:
        return f"differs by {distance:.2g} at {kind}"
    if signature.task != "regression" and (predictor.indices(found) != predictor.indices(scores)).any():
        return f"flips a label at {kind}"
    return distance


def _converted(estimator: Any, signature: Signature, variant: _Variant) -> bytes | str:
    """Return the bytes of one conversion, or why it is not possible."""
    from skl2onnx import convert_sklearn

    options = {id(estimator): {"zipmap": False}} if signature.task != "regression" else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = convert_sklearn(
                estimator,
                name=_graph_name(signature),
                initial_types=_inputs(signature, variant),
                target_opset={"": OPSET, "ai.onnx.ml": 3},
                options=options,
            )
            data = _finished(model, signature)
        except _CONVERSION_ERRORS as error:
            unknown = _UNKNOWN.search(str(error)) if type(error).__name__.startswith("Missing") else None
            if unknown:
                return f"the general converter does not know {unknown[1]}"
            return f"the general converter fails: {type(error).__name__}: {first_line(error)}"
    return _checked(data)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]


def _inputs(signature: Signature, variant: _Variant) -> list[tuple[str, Any]]:
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    number = DoubleTensorType if variant.double else FloatTensorType
    if variant.matrix:
        return [(MATRIX, number([None, len(signature.features)]))]
    return [
        (feature.name, StringTensorType([None, 1]) if feature.type == "category" else number([None, 1]))
        for feature in signature.features
    ]


def _restore_names(graph: Any, names: list[str]) -> None:
    """Call the inputs by the features' names again: the converter rewrites those that are no identifiers."""
    if len(graph.input) != len(names):
        return
    renamed = {found.name: name for found, name in zip(graph.input, names, strict=True) if found.name != name}
    inner = {output for node in graph.node for output in node.output} | {item.name for item in graph.initializer}
    # A feature that is called like something inside the graph keeps the converter's name, and is refused later.
    if not renamed or inner & set(renamed.values()):
        return
    for found in graph.input:
        found.name = renamed.get(found.name, found.name)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]


def _finished(model: Any, signature: Signature) -> bytes:
    """Return the bytes of a converted model with one output and only the nodes that it needs."""
    graph = model.graph
    outputs = list(graph.output)
    named = [output for output in outputs if output.name == "probabilities"]
    kept = (named or outputs)[-1] if signature.task != "regression" else outputs[0]
    del graph.output[:]
    graph.output.append(kept)
    needed, nodes = {kept.name}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            nodes.append(node)
            needed |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(nodes))
    initializers = [item for item in graph.initializer if item.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)
    _restore_names(graph, [feature.name for feature in signature.features])
    model.ir_version = IR_VERSION
    data: bytes = model.SerializeToString(deterministic=True)
    return data
