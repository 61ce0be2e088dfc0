"""From a release's predictions to the response of the protocol, as JSON or with binary tensors."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from modelops.artifacts import Outputs, Signature
from modelops.predictions import label_text
from modelops.serving.protocol import InferRequest, refusal

__all__ = ["Encoder", "raw_values"]


_NOT_OFFERED = frozenset({"classification", "shared_memory_region"})


_OF_CLASSES: Mapping[str, str] = {"predict": "label", "output-0": "label", "predict_proba": "probabilities"}
_OF_REGRESSION: Mapping[str, str] = {"predict": "prediction", "output-0": "prediction"}
"""What clients of MLServer and KServe ask for by these names: scikit-learn's methods."""


_ONE = (1,)


class Encoder:
    """Writes the outputs of one release; made once per loaded release."""

    def __init__(self, signature: Signature) -> None:
        self.task = signature.task
        self.classes = signature.classes
        self.target = signature.target
        self.text = signature.text
        self._width = len(signature.classes)
        self.label_type = _label_type(signature.classes)
        self.names = ("prediction",) if self.task == "regression" else ("probability", "label")
        self.class_names = tuple(label_text(label) for label in signature.classes)
        self._texts = dict(zip(self.classes, self.class_names, strict=True))
        self.label_values = self.class_names if self.label_type == "BYTES" else signature.classes
        self._aliases = _OF_REGRESSION if self.task == "regression" else _OF_CLASSES

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
        if len(outputs.labels) == 1:
            return scores.tolist(), [self._texts[outputs.labels[0]]]
        return scores.tolist(), [self._texts[label] for label in outputs.labels]

    def encode(self, head: dict[str, Any], request: InferRequest, outputs: Outputs) -> tuple[bytes, int | None]:
        """Return the body, and the length of its JSON part if binary tensors follow it."""
        if not request.outputs and not (request.parameters and request.parameters.get("binary_data_output")):
            scores, one = outputs.scores, len(outputs.labels) == 1 and outputs.scores.ndim == 1
            if one and self.label_type == "INT64" and len(self.names) == 2:
                # The commonest answer of all, at half the cost of the general way.
                head["outputs"] = (
                    {"name": "probability", "datatype": "FP64", "shape": _ONE, "data": (float(scores[0]),)},
                    {"name": "label", "datatype": "INT64", "shape": _ONE, "data": (outputs.labels[0],)},
                )
            else:
                head["outputs"] = self.tensors(request, outputs)
            return orjson.dumps(head), None
        return self._encode_requested(head, request, outputs)

    def tensors(self, request: InferRequest, outputs: Outputs) -> list[dict[str, Any]]:
        """Return the outputs that were asked for, all where none was named: name, datatype, shape and data of each."""
        names = dict.fromkeys(wanted.name for wanted in request.outputs) if request.outputs else self.names
        return [self._tensor(name, outputs) for name in names]

    def check_requested(self, request: InferRequest) -> None:
        """Refuse outputs that this release does not have."""
        for wanted in request.outputs or ():
            if wanted.name not in self.names and wanted.name not in self._aliases:
                told = f"it has {', '.join(self.names)}, and {', '.join(self._aliases)} as other servers name them"
                raise refusal(f"{wanted.name[:80]!r} is not an output of this model; {told}")
            foreign = _NOT_OFFERED.intersection(wanted.parameters or ())
            if foreign:
                # Passed over, these would answer something else than what was asked for.
                raise refusal(f"output {wanted.name!r}: the extension behind {min(foreign)} is not offered here")

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
                raw = raw_values(tensor.pop("data"), tensor["datatype"])
                tensor["parameters"] = {"binary_data_size": len(raw)}
                parts.append(raw)
            tensors.append(tensor)
        body = orjson.dumps(head)
        return (b"".join((body, *parts)), len(body)) if parts else (body, None)

    def labels(self, outputs: Outputs) -> list[Any]:
        """Return the predicted labels as JSON has them."""
        labels: list[Any] = outputs.labels.tolist()
        return [label_text(label) for label in labels] if self.label_type == "BYTES" else labels

    def _tensor(self, name: str, outputs: Outputs) -> dict[str, Any]:
        meant = self._aliases.get(name, name)
        if meant == "label":
            labels = self.labels(outputs)
            return {"name": name, "datatype": self.label_type, "shape": [len(labels)], "data": labels}
        scores = outputs.scores
        if meant == "probabilities" and scores.ndim == 1:
            # As predict_proba of the estimator has it: negative, positive.
            scores = np.stack((1.0 - scores, scores), axis=1)
        data = scores.tolist() if scores.ndim == 1 else scores.ravel().tolist()
        return {"name": name, "datatype": "FP64", "shape": list(scores.shape), "data": data}


def _label_type(classes: Sequence[object]) -> str:
    if classes and all(isinstance(label, bool) for label in classes):
        return "BOOL"
    if classes and all(isinstance(label, int) and not isinstance(label, bool) for label in classes):
        return "INT64"
    return "BYTES"


def raw_values(data: list[Any], datatype: str) -> bytes:
    """Return values as the binary tensor extension has them: little endian, texts behind their lengths."""
    if datatype == "BYTES":
        texts = [text.encode() for text in data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.array(data, dtype={"FP64": "<f8", "INT64": "<i8", "BOOL": "?"}[datatype]).tobytes()
