"""Rows on their way into the build's process and predictions on their way out, as Arrow files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelops.artifacts.frame import columns
from modelops.artifacts.signature import Input
from modelops.errors import ModelOpsError, failure
from modelops.metrics import Predictions
from modelops.spec.kinds.model import Task
from modelops.spec.meta import Scalar

__all__ = ["holdout_bytes", "holdout_predictions", "read_rows", "read_weights", "write_rows"]

KEPT = "kept"
"""The folder with the files of a trained model, numbered in the order in which ``trained.json`` names them."""

Array = np.ndarray[Any, Any]
TARGET = "modelops target"
"""Name of the coded target's column beside the features."""
_WEIGHT = "modelops weight"
"""Name of the column of weights beside it."""


def write_rows(
    path: Path, table: pa.Table, features: Iterable[str], rows: Array, codes: Array, weight: Array | None = None
) -> None:
    """Write the feature columns and the coded target of some rows, and what each counts for where they have weights."""
    chosen = table.select(list(dict.fromkeys(features))).take(pa.array(rows))
    chosen = chosen.append_column(TARGET, pa.array(codes, pa.float64()))
    if weight is not None:
        chosen = chosen.append_column(_WEIGHT, pa.array(weight, pa.float64()))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, chosen.schema) as writer:
        writer.write_table(chosen)


def read_rows(path: Path, features: Iterable[dict[str, Any]]) -> tuple[dict[str, Array], Array]:
    """Return the frame's columns and the target codes of a file that ``write_rows`` wrote."""
    with pa.OSFile(str(path), "rb") as source:
        table = pa.ipc.open_file(source).read_all()
    inputs = [Input.model_validate(feature) for feature in features]
    return columns(table, inputs), table[TARGET].to_numpy()


def read_weights(path: Path) -> Array:
    """Return what each row of a file that ``write_rows`` wrote with weights counts for, their mean 1.

    Which unit they were in tells nothing, and would change what regularisation and limits on leaves mean.
    """
    with pa.OSFile(str(path), "rb") as source:
        found: Array = pa.ipc.open_file(source).read_all()[_WEIGHT].to_numpy()
    return np.ones(len(found)) if float(np.ptp(found)) == 0 else found / found.mean()


def holdout_bytes(rows: Array, predictions: Predictions) -> bytes:
    """Return the Parquet bytes of holdout predictions; equal predictions give equal bytes."""
    scores, weight = predictions.y_score, predictions.sample_weight
    named = {"score": scores} if scores.ndim == 1 else {f"score_{i}": scores[:, i] for i in range(scores.shape[1])}
    table = pa.table(
        {
            "row": pa.array(rows, pa.int64()),
            "y_true": pa.array(predictions.y_true, pa.float64()),
            "y_pred": pa.array(predictions.y_pred, pa.float64()),
            **{name: pa.array(values, pa.float64()) for name, values in named.items()},
            **({} if weight is None else {"weight": pa.array(weight, pa.float64())}),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="none", use_dictionary=False, store_schema=False)
    return sink.getvalue()


def holdout_predictions(data: bytes, task: Task, classes: tuple[Scalar, ...]) -> tuple[Array, Predictions]:
    """Return the rows' positions in the snapshot and their predictions from the bytes of a holdout blob."""
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise _bad(f"cannot be read: {error}") from None
    several = task == "multiclass-classification"
    names = [f"score_{index}" for index in range(len(classes))] if several else ["score"]
    weighted = ["weight"] if "weight" in table.column_names else []
    wanted = [("row", pa.int64()), *((name, pa.float64()) for name in ("y_true", "y_pred", *names, *weighted))]
    found = [(field.name, field.type) for field in table.schema]
    if found != wanted or any(column.null_count for column in table.columns):
        raise _bad(f"have other columns: {', '.join(name for name, _ in found)[:200]}")
    scores = [table[name].to_numpy() for name in names]
    y_score = np.column_stack(scores) if several else scores[0]
    y_true, y_pred = table["y_true"].to_numpy(), table["y_pred"].to_numpy()
    weight = table["weight"].to_numpy() if weighted else None
    return table["row"].to_numpy(), Predictions(task, y_true, y_pred, y_score, classes, weight)


def _bad(what: str) -> ModelOpsError:
    return failure("bad-holdout", f"the holdout predictions {what}")
