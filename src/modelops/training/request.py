"""What a build is made from, and the digest that says when two builds are the same."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from modelops.artifacts.onnx_export import EXPORTER
from modelops.artifacts.package import sha256
from modelops.artifacts.signature import canonical_json
from modelops.errors import failure
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.kinds import Resource
from modelops.spec.model import ModelSpec

__all__ = ["BuildRequest", "inputs_digest", "spec_digest"]

LIBRARIES = ("numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "scipy", "skl2onnx", "skops")
"""Installed libraries whose versions can change the bytes of an artifact or of its holdout predictions."""


@dataclass(frozen=True)
class BuildRequest:
    """Everything a build depends on.

    ``code`` maps the paths of the model's code files, relative to its folder, to their bytes; ``code_tree`` is the git
    id of that tree; ``lock`` are the bytes of the environment lock.
    """

    model: Resource[ModelSpec]
    snapshot: Resource[DataSnapshotSpec]
    code: Mapping[str, bytes]
    code_tree: str
    lock: bytes

    @property
    def entrypoint(self) -> bytes:
        """The bytes of the training code; a file that is not there raises ``missing-entrypoint``."""
        path = self.model.spec.training.entrypoint
        if path not in self.code:
            raise failure(
                "missing-entrypoint",
                f"the model {self.model.name!r} has no file {path!r}",
                location=self.model.where("spec.training.entrypoint"),
                dotted="spec.training.entrypoint",
                hint="it must define train(features, target, parameters, seed)",
            )
        return self.code[path]


def _relevant(spec: ModelSpec) -> dict[str, Any]:
    """Return the part of a spec that changes the result; not who owns the model, how it is judged or its limits."""
    data = spec.data.model_dump(mode="json", by_alias=True, exclude={"sensitive", "features"})
    data["features"] = [
        feature.model_dump(mode="json", by_alias=True, exclude={"description"}) for feature in spec.data.features
    ]
    training = spec.training.model_dump(mode="json", by_alias=True, exclude={"timeout_seconds", "memory_mib"})
    return {"task": spec.task, "data": data, "training": training, "threshold": spec.serving.threshold}


def spec_digest(spec: ModelSpec) -> str:
    """Return the digest of the part of a model spec that changes the result of a build."""
    return sha256(canonical_json(_relevant(spec)))


def inputs_digest(request: BuildRequest) -> str:
    """Return the digest of all that changes the result of a build: equal digests mean equal artifacts.

    It covers the relevant part of the spec, the snapshot's bytes and column types, the code files, the environment
    lock, the installed libraries, Python, the processor's architecture and the exporter.
    """
    snapshot = request.snapshot.spec
    return sha256(
        canonical_json(
            {
                "model": request.model.name,
                "spec": _relevant(request.model.spec),
                "snapshot": {
                    "root": snapshot.root,
                    "format": snapshot.format,
                    "columns": [[column.name, column.type] for column in snapshot.columns],
                },
                "code": {path: hashlib.sha256(data).hexdigest() for path, data in request.code.items()},
                "lock": sha256(request.lock),
                "libraries": {name: version(name) for name in LIBRARIES},
                "python": f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}",
                "architecture": platform.machine(),
                "exporter": EXPORTER,
            }
        )
    )
