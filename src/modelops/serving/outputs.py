"""From a release's predictions to the response of the protocol, as JSON or with binary tensors."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from modelops.artifacts import Outputs, Signature
from modelops.predictions import label_text
from modelops.serving.protocol import InferRequest, refusal

__all__ = ["Encoder"]


class Encoder:
    """Writes the outputs of one release; made once per loaded release."""

    def __init__(self, signature: Signature) -> None:
        self.task = signature.task
        self.classes = signature.classes
        self._width = len(signature.classes)
        self.label_type = _label_type(signature.classes)
        self.names = ("prediction",) if self.task == "regression" else ("probability", "label")

    def metadata(self) -> list[dict[str, Any]]:
        """Return the outputs as the protocol's metadata describes them."""
        if self.task == "regression":
            return [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]
        shape = [-1, self._width] if self.task == "multiclass-classification" else [-1]
        return [
            {"name": "probability", "datatype": "FP64", "shape": shape},
            {"name": "label", "datatype": self.label_type, "shape": [-1]},
        ]

    def logged(self, outputs: Outputs) -> tuple[list[float], list[str | None]]:
        """Return score and label of each row as they are logged (see ``predictions.Row``)."""
        if self.task == "regression":
            return outputs.scores.tolist(), [None] * len(outputs.scores)
        scores = outputs.scores if outputs.scores.ndim == 1 else outputs.scores.max(axis=1)
        return scores.tolist(), [label_text(label) for label in outputs.labels]

    def encode(self, head: dict[str, Any], request: InferRequest, outputs: Outputs) -> tuple[bytes, int | None]:
        """Return the body, and the length of its JSON part if binary tensors follow it."""
        wanted = request.outputs
        if not wanted and not (request.parameters and request.parameters.get("binary_data_output")):
            head["outputs"] = [self._tensor(name, outputs) for name in self.names]
            return orjson.dumps(head), None
        return self._encode_requested(head, request, outputs)

    def check_requested(self, request: InferRequest) -> None:
        """Refuse outputs that this release does not have."""
        for wanted in request.outputs or ():
            if wanted.name not in self.names:
                raise refusal(f"{wanted.name[:80]!r} is not an output of this model; it has {', '.join(self.names)}")

    def _encode_requested(
        self, head: dict[str, Any], request: InferRequest, outputs: Outputs
    ) -> tuple[bytes, int | None]:
        by_default = bool(request.parameters and request.parameters.get("binary_data_output"))
        asked = {o.name: bool((o.parameters or {}).get("binary_data", by_default)) for o in request.outputs or ()}
        parts: list[bytes] = []
        head["outputs"] = tensors = []
        for name, binary in (asked or dict.fromkeys(self.names, by_default)).items():
            tensor = self._tensor(name, outputs)
            if binary:
                raw = _raw(tensor.pop("data"), tensor["datatype"])
                tensor["parameters"] = {"binary_data_size": len(raw)}
                parts.append(raw)
            tensors.append(tensor)
        body = orjson.dumps(head)
        return (b"".join((body, *parts)), len(body)) if parts else (body, None)

    def _tensor(self, name: str, outputs: Outputs) -> dict[str, Any]:
        if name == "label":
            labels = outputs.labels.tolist()
            if self.label_type == "BYTES":
                labels = [label_text(label) for label in labels]
            return {"name": "label", "datatype": self.label_type, "shape": [len(labels)], "data": labels}
        scores = outputs.scores
        data = scores.tolist() if scores.ndim == 1 else scores.ravel().tolist()
        return {"name": name, "datatype": "FP64", "shape": list(scores.shape), "data": data}


def _label_type(classes: Sequence[object]) -> str:
    if classes and all(isinstance(label, bool) for label in classes):
        return "BOOL"
    if classes and all(isinstance(label, int) and not isinstance(label, bool) for label in classes):
        return "INT64"
    return "BYTES"


def _raw(data: list[Any], datatype: str) -> bytes:
    if datatype == "BYTES":
        texts = [text.encode() for text in data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.array(data, dtype={"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[datatype]).tobytes()
