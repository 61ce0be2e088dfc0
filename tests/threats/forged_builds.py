"""A store that somebody else wrote to: builds replaced in part or whole, under the names of honest ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from modelops.artifacts import BuildRecord
from modelops.artifacts.signature import canonical_json
from modelops.metrics import Predictions
from modelops.stores import Store
from modelops.training import reference
from modelops.training.rows import holdout_bytes, holdout_predictions

RECORD = "application/vnd.modelops.build.v1+json"
HOLDOUT = "application/vnd.apache.parquet"
SEAL = "application/vnd.dsse.envelope.v1+json"


def manifest_of(store: Store, inputs: str) -> dict[str, Any]:
    """Return the manifest of a stored build."""
    digest = store.resolve(reference(inputs))
    assert digest is not None
    found: dict[str, Any] = json.loads(store.get(digest))
    return found


def part(store: Store, inputs: str, kind: str) -> bytes:
    """Return one part of a stored build."""
    (layer,) = (one for one in manifest_of(store, inputs)["layers"] if one["mediaType"] == kind)
    return store.get(layer["digest"])


def rewrite(store: Store, inputs: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Name another manifest as the build of some inputs."""
    manifest = manifest_of(store, inputs)
    change(manifest)
    store.tag(reference(inputs), store.put(canonical_json(manifest)))


def replace(store: Store, inputs: str, parts: Mapping[str, bytes | None]) -> None:
    """Replace parts of a stored build by type; None leaves one out."""

    def change(manifest: dict[str, Any]) -> None:
        kept = [layer for layer in manifest["layers"] if layer["mediaType"] not in parts]
        made = [
            {"mediaType": kind, "digest": store.put(data), "size": len(data)}
            for kind, data in parts.items()
            if data is not None
        ]
        order = [RECORD, HOLDOUT, SEAL]
        manifest["layers"] = sorted([*kept, *made], key=lambda layer: order.index(layer["mediaType"]))

    rewrite(store, inputs, change)


def perfect(holdout: bytes, record: BuildRecord) -> bytes:
    """Return predictions of the same rows that are always right."""
    rows, honest = holdout_predictions(holdout, record.task, record.classes)
    truth = honest.y_true
    return holdout_bytes(rows, Predictions(record.task, truth, truth, truth * 0.98 + 0.01, record.classes))


def forged(record: BuildRecord, store: Store, **changes: Any) -> BuildRecord:
    """Return a record with perfect predictions and 0.999 for every metric, as one who can write to the store would."""
    holdout = perfect(store.get(record.holdout), record)
    metrics = tuple(
        metric.model_copy(update={"value": 0.999, "lower": 0.99, "upper": 1.0}) for metric in record.metrics
    )
    return record.model_copy(update={"holdout": store.put(holdout), "metrics": metrics, **changes})


def poison(store: Store, inputs: str, record: BuildRecord, seal: bytes | None) -> None:
    """Put a record with its predictions in the place of an honest build."""
    replace(store, inputs, {RECORD: record.dump(), HOLDOUT: store.get(record.holdout), SEAL: seal})


def shifted(holdout: bytes, record: BuildRecord, by: float) -> bytes:
    """Return predictions whose scores are moved towards the truth by less than anybody sees."""
    rows, honest = holdout_predictions(holdout, record.task, record.classes)
    score = np.clip(honest.y_score + by * (2 * honest.y_true - 1), 0, 1)
    return holdout_bytes(rows, Predictions(record.task, honest.y_true, honest.y_pred, score, record.classes))
