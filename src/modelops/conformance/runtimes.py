"""What every runtime keeps: data that is the same for the same model, that answers as the model did, or is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelops.artifacts.onnx_export import TOLERANCE, export_onnx
from modelops.artifacts.package import CODE
from modelops.artifacts.parts.part import Part
from modelops.artifacts.predictor import difference, sklearn_score
from modelops.artifacts.signature import Held, Signature
from modelops.conformance.shelf import check_module, params_of
from modelops.errors import ModelOpsError
from modelops.runtimes import Asked, Kept, Runtime

__all__ = ["CHECKS", "Example", "check", "loaded"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Example:
    """A model that training code might return, and what it answers by itself.

    ``columns`` are rows as the frame has them; ``scores`` their values, or the probability of the positive class, or of
    each class. ``code`` are files of the model's folder, for a runtime that runs them.
    """

    found: Any
    asked: Asked
    columns: Mapping[str, Array]
    scores: Array
    code: Mapping[str, bytes] = field(default_factory=dict)


def check(runtime: Runtime, params: Mapping[str, object], example: Example) -> None:
    """Run every check."""
    for one in CHECKS:
        one(runtime, params, example)


def check_shelf(runtime: Runtime, params: Mapping[str, object], example: Example) -> None:
    """It exposes what the Protocol names and refuses unknown parameters."""
    check_module("runtimes", runtime, params)


def check_it_knows_its_own(runtime: Runtime, params: Mapping[str, object], example: Example) -> None:
    """Its own models are its own, unless code must be declared; what is plain never is."""
    assert runtime.owns(example.found) is not runtime.DECLARED, "it does not know its own model"
    for other in (None, 3, "model", {}, [], object(), type(example.found)):
        assert not runtime.owns(other), f"it takes {other!r} for a model of its library"


def check_what_is_kept_is_data(runtime: Runtime, params: Mapping[str, object], example: Example) -> None:
    """The same model is kept as the same bytes and facts, facts are JSON, and no file is a pickle."""
    once, again = kept(runtime, params, example), kept(runtime, params, example)
    assert once == again, "the same model is kept in two ways"
    assert once.files, "nothing is kept"
    assert json.loads(json.dumps(once.facts)) == dict(once.facts), "facts are not what JSON has"
    for name, data in once.files.items():
        assert not data.startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")), f"{name} is a pickle"


def check_it_answers_as_before(runtime: Runtime, params: Mapping[str, object], example: Example) -> None:
    """What is loaded again answers the rows as the model did, one by one too."""
    score = sklearn_score(loaded(runtime, params, example), signature_of(example.asked))
    assert difference(score(example.columns), example.scores) <= TOLERANCE, "it answers otherwise once it was kept"
    for row in range(3):
        one = {name: values[row : row + 1] for name, values in example.columns.items()}
        assert difference(score(one), example.scores[row : row + 1]) <= TOLERANCE, "a row alone is answered otherwise"


def check_its_exact_form_is_equal(runtime: Runtime, params: Mapping[str, object], example: Example) -> None:
    """Where it has a form in ONNX, that passes the build's own comparison."""
    part = loaded(runtime, params, example)
    if not isinstance(part, Part) or part.apart:
        return
    signature = signature_of(example.asked).model_copy(update={"parts": (part.held,)})
    export = export_onnx(part, signature, example.columns)
    assert export.data is not None or export.reason, "no form in ONNX, and no reason"
    assert export.data is None or export.equality, "a form in ONNX that was compared on nothing"


def check_what_is_no_model_is_refused(runtime: Runtime, params: Mapping[str, object], example: Example) -> None:
    """Files that are cut, empty or of something else are an error in words, whatever they hold."""
    whole = kept(runtime, params, example)
    for name, data in whole.files.items():
        cut = (data[: len(data) // 2], data[: len(data) // 7], data[::-1])
        for wrong in (b"", b"\x00", b"{}", b"\x80\x04K\x01.", *cut):
            broken = Kept({**whole.files, name: wrong}, whole.facts, whole.runtime)
            assert _refused(runtime, broken, example), f"{name} is loaded although it is broken"


def _refused(runtime: Runtime, broken: Kept, example: Example) -> str:
    """Return the words with which a model is refused."""
    try:
        _load(runtime, broken, example)
    except ModelOpsError as error:
        return error.first.message
    return ""


def kept(runtime: Runtime, params: Mapping[str, object], example: Example) -> Kept:
    """Return what a runtime keeps of an example."""
    found = runtime.keep(params_of(runtime, params), example.found, example.asked)
    assert found is not None, "a fitted model is taken for one that is not"
    return found


def loaded(runtime: Runtime, params: Mapping[str, object], example: Example) -> Any:
    """Return the model of an example after it was kept and loaded again."""
    return _load(runtime, kept(runtime, params, example), example)


def _load(runtime: Runtime, found: Kept, example: Example) -> Any:
    from modelops import plugins

    module = plugins.load("runtimes", found.runtime) if found.runtime else runtime
    held = Held(runtime=found.runtime or "example", files=tuple(sorted(found.files)), facts=dict(found.facts))
    return module.load(held, {**found.files, **{CODE + path: data for path, data in example.code.items()}})


def signature_of(asked: Asked) -> Signature:
    """Return a signature for what a model is asked."""
    positive = asked.classes[-1] if asked.task == "binary-classification" else None
    return Signature(
        model="example",
        task=asked.task,
        features=asked.features,
        target="target",
        positive=positive,
        classes=asked.classes,
        engine="sklearn",
    )


CHECKS: tuple[Callable[[Runtime, Mapping[str, object], Example], None], ...] = (
    check_shelf,
    check_it_knows_its_own,
    check_what_is_kept_is_data,
    check_it_answers_as_before,
    check_its_exact_form_is_equal,
    check_what_is_no_model_is_refused,
)
