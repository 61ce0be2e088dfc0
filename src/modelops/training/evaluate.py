"""From a trained estimator to the files of an artifact, and its predictions on the rows it has never seen."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelops.artifacts import package
from modelops.artifacts.canonical import load_canonical
from modelops.artifacts.onnx_export import Export, export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.predictor import Predictor, Score, sklearn_score, smoke_document
from modelops.artifacts.signature import Signature
from modelops.errors import failure
from modelops.training.rows import read_rows

__all__ = ["evaluate"]

Array = np.ndarray[Any, Any]

SMOKE_ROWS = 8


def evaluate(request: dict[str, Any], folder: Path) -> None:
    """Load what training wrote, as data; export it, predict the test rows, and write the artifact's files.

    Leaves ``artifact/…``, ``scores.npy`` and ``result.json`` in ``folder``.
    """
    trained = Path(request["scratch"])
    types = tuple(json.loads((trained / "trained.json").read_bytes())["types"])
    data = (trained / "model.skops").read_bytes()
    estimator = load_canonical(data, types)
    rows, _ = read_rows(folder / "test.arrow", request["features"])
    signature = Signature.model_validate_json(json.dumps(request["signature"] | {"trustedTypes": types}))
    _scored(sklearn_score(estimator, signature), rows)
    export = export_onnx(estimator, signature, rows)
    signature = _with_engine(signature, export)
    score = onnx_score(export.data, signature) if export.data else sklearn_score(estimator, signature)
    scores = _scored(score, rows)
    files = {package.SKOPS: data, package.SIGNATURE: signature.dump()}
    if export.data:
        files[package.ONNX] = export.data
    files[package.SMOKE] = smoke_document(Predictor(signature, score), rows, _smoke_rows(len(scores)))
    for path, content in files.items():
        target = folder / "artifact" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    np.save(folder / "scores.npy", scores, allow_pickle=False)
    (folder / "result.json").write_text(json.dumps({"files": sorted(files)}))


def _with_engine(signature: Signature, export: Export) -> Signature:
    changes = {
        "engine": "onnx" if export.data else "sklearn",
        "engine_reason": export.reason,
        "onnx_difference": export.difference,
    }
    return signature.model_copy(update=changes)


def _scored(score: Score, rows: Mapping[str, Array]) -> Array:
    """Return the scores of the test rows; an estimator that refuses a row or answers no number fails the build."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            scores = score(rows)
        except (ValueError, TypeError) as error:
            text = str(error).strip().splitlines()
            raise failure(
                "prediction-failed",
                f"the estimator refuses the test rows: {text[0] if text else type(error).__name__}",
                hint="serving would meet such rows too; impute missing values and allow unknown categories",
            ) from None
    bad = ~np.isfinite(scores).reshape(len(scores), -1).all(axis=1)
    if bad.any():
        raise failure(
            "prediction-not-finite",
            f"the estimator predicts no finite number for {int(bad.sum())} of {len(scores)} test rows",
        )
    return scores


def _smoke_rows(count: int) -> list[int]:
    return sorted({int(row) for row in np.linspace(0, count - 1, min(count, SMOKE_ROWS))})
