"""What a build answered on its test rows, taken from a store by digest, and the curves of that."""

from __future__ import annotations

from typing import Any

import numpy as np

from modelops.artifacts import BuildRecord
from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError, failure
from modelops.markup import plain
from modelops.metrics import Predictions
from modelops.metrics.curves import Curves, curves
from modelops.spec.kinds.release import ReleaseSpec
from modelops.stores import Store
from modelops.training.rows import holdout_predictions

__all__ = ["answers_of", "curves_of", "curves_of_release"]

Array = np.ndarray[Any, Any]


def answers_of(store: Store, record: BuildRecord) -> tuple[Array, Predictions]:
    """Return the positions of a build's test rows in its snapshot, and what it answered there.

    Bytes that are not there are ``not-in-store``, and other ones ``digest-mismatch`` or ``bad-holdout``.
    """
    return holdout_predictions(_bytes(store, record.holdout), record.task, record.classes)


def curves_of(store: Store, record: BuildRecord) -> Curves | str:
    """Return the curves of a build, or why the store cannot give its answers."""
    try:
        _, predictions = answers_of(store, record)
    except ModelOpsError as error:
        return plain(error.first.message)
    return curves(predictions, record.confusion.threshold if record.confusion is not None else None)


def curves_of_release(store: Store, release: ReleaseSpec) -> Curves | str:
    """Return the curves of a release, or why the store cannot give them: its record is found by its signed digest."""
    try:
        record = BuildRecord.parse(_bytes(store, release.build))
    except ModelOpsError as error:
        return plain(error.first.message)
    if record.artifact.digest != release.artifact.digest:
        return "the record of its build is of another artifact"
    return curves_of(store, record)


def _bytes(store: Store, digest: str) -> bytes:
    data = store.get(digest)
    if digest_bytes(data) != digest:
        raise failure("digest-mismatch", f"the blob {digest} has other bytes: {digest_bytes(data)}")
    return data
