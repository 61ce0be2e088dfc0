"""What a build is made from, and the digest that says when two builds are the same."""

from __future__ import annotations

import hashlib
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from modelops import plugins
from modelops.artifacts.onnx_export import EXPORTER
from modelops.artifacts.signature import canonical_json
from modelops.digests import digest_bytes
from modelops.errors import failure
from modelops.evidence.making import Making
from modelops.spec.kinds import Resource
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.meta import Plugin

__all__ = ["BuildRequest", "code_files", "differing_inputs", "inputs_digest", "machine_inputs", "spec_digest"]

LIBRARIES = ("numpy", "onnx", "onnxruntime", "pandas", "pyarrow", "scikit-learn", "scipy", "skl2onnx", "skops")
"""Installed libraries whose versions can change the bytes of an artifact or of its holdout predictions."""


@dataclass(frozen=True)
class BuildRequest:
    """Everything a build depends on.

    ``code`` maps the paths of the model's code files, relative to its folder, to their bytes; ``code_tree`` is the git
    id of that tree; ``lock`` are the bytes of the environment lock. ``withheld`` are those of them that training does
    not get, each with the reason.
    """

    model: Resource[ModelSpec]
    snapshot: Resource[DataSnapshotSpec]
    code: Mapping[str, bytes]
    code_tree: str
    lock: bytes
    withheld: Mapping[str, str] = field(default_factory=dict)

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
    data = spec.data.model_dump(mode="json", by_alias=True, exclude={"sensitive", "features", "labels"})
    if spec.data.weight is None:
        del data["weight"]  # which version 0.1.0 did not know
    data["features"] = [
        feature.model_dump(mode="json", by_alias=True, exclude={"description", "known_at_prediction", "source"})
        for feature in spec.data.features
    ]
    limits = {"timeout_seconds", "memory_mib"}
    unsaid = limits if spec.training.runtime is not None else {*limits, "runtime"}
    training = spec.training.model_dump(mode="json", by_alias=True, exclude=unsaid)
    if spec.training.split.equal_rows is None:
        del training["split"]["equalRows"]  # which version 0.1.0 did not know
    return {"task": spec.task, "data": data, "training": training, "threshold": spec.serving.threshold}


def spec_digest(spec: ModelSpec) -> str:
    """Return the digest of the part of a model spec that changes the result of a build."""
    return digest_bytes(canonical_json(_relevant(spec)))


def _text_of(snapshot: DataSnapshotSpec) -> dict[str, Any]:
    """Return how the bytes of a snapshot are read, as far as version 0.1.0 did not read all of them that way."""
    reading = snapshot.reading()
    if reading is None:
        return {}
    known = reading.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {"text": known, "encodings": snapshot.encodings, "sheet": snapshot.sheet}


def inputs_digest(request: BuildRequest) -> str:
    """Return the digest of all that changes the result of a build: equal digests mean equal artifacts.

    It covers the relevant part of the spec, the snapshot's bytes and column types, the code files, the environment
    lock, the installed libraries, Python, the processor's architecture and the exporter.
    """
    snapshot = request.snapshot.spec
    return digest_bytes(
        canonical_json(
            {
                "model": request.model.name,
                "spec": _relevant(request.model.spec),
                "snapshot": {
                    "root": snapshot.root,
                    "format": snapshot.format,
                    "columns": [[column.name, column.type] for column in snapshot.columns],
                    **_text_of(snapshot),
                },
                "code": code_files(request),
                "lock": digest_bytes(request.lock),
                **machine_inputs(),
            }
        )
    )


def code_files(request: BuildRequest) -> dict[str, str]:
    """Return the SHA-256 of every code file by its path: git's own ids are of SHA-1."""
    return {path: hashlib.sha256(data).hexdigest() for path, data in request.code.items()}


def runs_code(runtime: Plugin | None) -> bool:
    """Tell whether a model is served by running its own code."""
    return runtime is not None and bool(plugins.load("runtimes", runtime.type).DECLARED)


def served_code(request: BuildRequest) -> dict[str, bytes]:
    """Return the code that an artifact carries, for a model that is served by running it."""
    if not runs_code(request.model.spec.training.runtime):
        return {}
    return {path: data for path, data in request.code.items() if path not in request.withheld}


def machine_inputs() -> dict[str, Any]:
    """Return the inputs of a build that no file of the repository says."""
    return {
        "libraries": {name: version(name) for name in LIBRARIES},
        "python": f"{sys.implementation.name} {sys.version_info.major}.{sys.version_info.minor}",
        "architecture": platform.machine(),
        "exporter": EXPORTER,
    }


def differing_inputs(release: ReleaseSpec, making: Making | None, request: BuildRequest) -> tuple[str, ...]:
    """Return which inputs of a release are other ones now, in words; ``making`` is what its evidence says of its build.

    Releases of 0.1.0 did not record the Python and libraries that they were made with: what is left is said to be in
    those.
    """
    snapshot = request.snapshot
    found = []
    if release.spec != spec_digest(request.model.spec):
        found.append("the spec")
    if release.data.root != snapshot.spec.root:
        same = release.data.snapshot == snapshot.name
        found.append("the data" if same else f"the data ({snapshot.name} instead of {release.data.snapshot})")
    if making is not None and making.code:
        now = code_files(request)
        paths = [path for path in sorted({*now, *making.code}) if now.get(path) != making.code.get(path)]
        found += [f"the code ({_few(paths)})"] if paths else []
    elif release.code.tree != request.code_tree:
        found.append("the code")
    if release.environment_lock != digest_bytes(request.lock):
        found.append("the lock")
    if release.inputs != inputs_digest(request):
        found += _machine_differences(making) or (
            [] if found else ["Python, a library or the processor's architecture"]
        )
    return tuple(found)


def _machine_differences(making: Making | None) -> list[str]:
    then = making.environment.get("inputs") if making is not None else None
    if not isinstance(then, Mapping):
        return []
    now, found = machine_inputs(), []
    if then.get("python") != now["python"]:
        found.append(f"{_python(now['python'])} instead of {_python(str(then.get('python'))).removeprefix('Python ')}")
    libraries = then.get("libraries")
    before: Mapping[str, Any] = libraries if isinstance(libraries, Mapping) else {}
    for name in sorted({*before, *now["libraries"]}):
        if before.get(name) != now["libraries"].get(name):
            found.append(f"{name} {now['libraries'].get(name, 'none')} instead of {before.get(name, 'none')}")
    for key in ("architecture", "exporter"):
        if then.get(key) != now[key]:
            found.append(f"{key} {now[key]} instead of {then.get(key)}")
    return found


def _python(text: str) -> str:
    return text.replace("cpython ", "Python ")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
