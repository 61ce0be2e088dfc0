"""What the server says of itself and of its models, as the protocol words it."""

from __future__ import annotations

from typing import Any

import orjson

from modelops import __version__
from modelops.errors import failure
from modelops.serving.guard import without_paths
from modelops.serving.protocol import refusal
from modelops.serving.table import LoadedModel, LoadedTable

__all__ = ["SERVER", "configuration", "index", "metadata"]

# The index of the repository extension is answered; the extension is not announced, as load and unload are not.
_EXTENSIONS = ["binary_tensor_data", "model_configuration", "parameters", "statistics"]
SERVER = {"name": "modelops", "version": __version__, "extensions": _EXTENSIONS}


_PLATFORMS = {"onnx": "onnx_onnxv1", "sklearn": "sklearn_skops"}


def metadata(model: LoadedModel, release: int | None) -> dict[str, Any]:
    """Return what a model takes and gives, by the release that a caller names or by the main one."""
    arm = model.main if release is None else model.of_release(release)
    if arm is None:
        raise failure("not-ready", f"no release of {model.name} could be loaded")
    inputs = arm.binder.metadata()
    if arm.binder.numeric:
        parameters = {"matrix_input": "features", "features": len(inputs)}
    else:
        parameters = {"features": len(inputs)}
    return {
        "name": model.name,
        "versions": [str(loaded.release) for loaded in model.arms],
        "platform": _PLATFORMS.get(arm.predictor.engine, f"{arm.predictor.engine}_native"),
        "inputs": inputs,
        "outputs": arm.encoder.metadata(),
        "parameters": parameters,
    }


def configuration(model: LoadedModel, release: int | None) -> dict[str, Any]:
    """Return the metadata in the form of the configuration extension."""
    described = metadata(model, release)

    def tensors(kind: str) -> list[dict[str, Any]]:
        return [
            {
                "name": each["name"],
                "data_type": "TYPE_STRING" if each["datatype"] == "BYTES" else f"TYPE_{each['datatype']}",
                "dims": each["shape"],
            }
            for each in described[kind]
        ]

    return {
        "name": model.name,
        "platform": described["platform"],
        "backend": described["platform"].partition("_")[0],
        "max_batch_size": 0,
        "input": tensors("inputs"),
        "output": tensors("outputs"),
        "version_policy": {"specific": {"versions": [int(version) for version in described["versions"]]}},
    }


def index(table: LoadedTable, body: bytes) -> list[dict[str, str]]:
    """Return the arms of a table."""
    try:
        ready = bool(orjson.loads(body or b"{}").get("ready"))
    except (orjson.JSONDecodeError, AttributeError):
        raise refusal("the request is not a JSON object") from None
    return [
        {
            "name": arm.model,
            "version": str(arm.release),
            "state": "READY" if arm.ready else "UNAVAILABLE",
            "reason": without_paths(arm.error or ""),
        }
        for arm in table.arms
        if arm.ready or not ready
    ]
