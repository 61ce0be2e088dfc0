"""The runtime `pytorch`: networks of PyTorch, exported to ONNX while training ends and served from that.

What it takes: a `torch.nn.Module` whose `forward` takes one matrix of all features, all of them numbers, and answers
values, or the probabilities of the labels in their sorted order: let it end with `Sigmoid` or `Softmax(dim=1)`. It is
exported in float64, and compared there with itself. No file of PyTorch is kept, and none is ever loaded: serving needs
no PyTorch.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelops import plugins
from modelops.artifacts.parts.part import Asked, Kept
from modelops.artifacts.signature import Held
from modelops.errors import failure
from modelops.runtimes._checks import Array, bad, is_of, loading
from modelops.spec.meta import Strict

OPSET = 18
ROWS = 64
ALIKE = 1e-6
DECLARED = False


class Params(Strict):
    """Nothing is to be said: what is kept follows from the model."""


def owns(found: Any) -> bool:
    """Tell whether an object is a network of PyTorch, of whatever class."""
    kinds = () if isinstance(found, type) else type(found).__mro__
    return is_of(found, "torch") or any(kind.__module__.startswith("torch.nn.") for kind in kinds)


def keep(params: Params, found: Any, asked: Asked) -> Kept:
    """Return the network in ONNX, which is what is loaded and served."""
    import torch

    texts = [feature.name for feature in asked.features if feature.type == "category"]
    if not isinstance(found, torch.nn.Module) or texts:
        what = f"categories, such as {texts[0]!r}" if texts else f"a {type(found).__name__}"
        raise failure(
            "unsupported-type",
            f"a network of PyTorch takes one matrix of numbers, not {what}",
            hint="code the categories as numbers in the data, or say `runtime: {type: python}`",
        )
    network = copy.deepcopy(found).cpu().double().eval()
    rows = torch.from_numpy(_rows(len(asked.features)))
    buffer = io.BytesIO()
    with warnings.catch_warnings(), loading("the network's form in ONNX"), torch.no_grad():
        warnings.simplefilter("ignore")
        expected = network(rows).numpy().reshape(ROWS, -1)
        torch.onnx.export(
            network,
            (rows,),
            buffer,
            dynamo=False,
            input_names=["features"],
            output_names=["answer"],
            dynamic_axes={"features": {0: "n"}, "answer": {0: "n"}},
            opset_version=OPSET,
        )
    onnx = plugins.load("runtimes", "onnx")
    kept: Kept = onnx.keep(onnx.Params(), buffer.getvalue(), asked)
    _compare(kept, expected)
    return Kept(kept.files, kept.facts, "onnx")


def load(held: Held, files: Mapping[str, bytes]) -> Any:
    """Refuse: nothing is kept of PyTorch."""
    raise bad("networks of PyTorch are kept in ONNX")


def _rows(width: int) -> Array:
    """Return rows of small and large numbers, the same each time."""
    random = np.random.default_rng(0)
    return random.normal(size=(ROWS, width)) * 10.0 ** random.integers(-3, 4, size=(ROWS, 1))


def _compare(kept: Kept, expected: Array) -> None:
    """Refuse an export that answers otherwise than the network, on any number of rows."""
    from modelops.artifacts.onnx_session import session

    (data,) = kept.files.values()
    loaded = session(data)
    rows = _rows(len(kept.facts["numbers"]))
    name = loaded.get_inputs()[0].name
    parts = [
        loaded.run(None, {name: rows[start:end]})[0].reshape(end - start, -1) for start, end in ((0, 1), (1, ROWS))
    ]
    found = np.concatenate(parts)
    distance = np.abs(found - expected) / np.maximum(1.0, np.abs(expected)) if found.shape == expected.shape else np.inf
    largest = float(np.max(distance, initial=0.0))
    if not largest <= ALIKE:
        raise failure(
            "kept-differs",
            f"the network answers {largest:.3g} away from itself in ONNX",
            hint="forward may not depend on the number of rows, on chance, or on values by way of Python",
        )
