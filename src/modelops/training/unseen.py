"""Which test rows neither the candidate nor the stable release was trained on: only those can tell which is better.

A release's build says by position which rows of its snapshot tested it; the others with a target trained it. In the
same snapshot positions tell rows; in another one a hash of their values does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts import BuildRecord, columns
from modelops.artifacts.frame import spelling
from modelops.errors import ModelOpsError, failure
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.stores import Store
from modelops.training.building import Divided
from modelops.training.rows import holdout_predictions
from modelops.training.target import Target, encode

__all__ = ["unseen"]

Array = np.ndarray[Any, Any]

ALIKE = 0.05
"""Up to which share of rows that repeat the values of another one equal values are taken for the same row."""


def unseen(
    spec: ModelSpec, parts: Divided, root: str, stable: ReleaseSpec, store: Store, table: Callable[[], pa.Table]
) -> Array:
    """Return the mask of the candidate's test rows that trained neither it nor the stable release.

    Parameters
    ----------
    spec, parts, root : ModelSpec, Divided, str
        The candidate, its rows, and the root digest of their snapshot.
    stable : ReleaseSpec
        The release it is compared with.
    store : Store
        Holds the build of that release.
    table : callable
        Reads all rows of the snapshot that the stable release was trained on; not called for the candidate's own.

    Notes
    -----
    In another snapshot a row is the same if all features that both have, and the target, are equal: numbers as far as
    single precision tells them. Where more than 5 % of the stable release's rows repeat another one's values, id and
    time have to be equal too, as far as they are declared; where even those repeat, the k-th of equal rows is taken for
    the k-th. Where values tell rows, copies of the candidate's own training rows are seen as well.
    """
    record, tested = _build_of(stable, store)
    if stable.data.root == root:
        trained = _trained(parts.target, tested, record, stable)
        return ~np.isin(parts.test, trained)
    before = _read(table, stable)
    target = encode(before, spec.data, spec.task)
    trained = _trained(target, tested, record, stable)
    shared = [one for one in spec.data.features if one.name in before.column_names]
    features = (columns(parts.table, shared), columns(before, shared))
    now, then = _hashes(features[0], parts.target), _hashes(features[1], target)
    if _repeated(then) <= ALIKE:
        known = np.concatenate([then[np.isin(target.rows, trained)], now[np.isin(parts.target.rows, parts.train)]])
    else:
        for name in (spec.data.id, spec.data.time):
            if name is not None and name in parts.table.column_names and name in before.column_names:
                now = _joined(now, _texts(parts.table, name, parts.target))
                then = _joined(then, _texts(before, name, target))
        if _repeated(then) > ALIKE:
            now, then = _joined(now, _occurrence(now)), _joined(then, _occurrence(then))
        known = then[np.isin(target.rows, trained)]
    return ~np.isin(now[np.searchsorted(parts.target.rows, parts.test)], known)


def _build_of(stable: ReleaseSpec, store: Store) -> tuple[BuildRecord, Array]:
    """Return the record of a release's build, and the positions of the rows that tested it."""
    try:
        record = BuildRecord.parse(store.get(stable.build))
        tested, _ = holdout_predictions(store.get(record.holdout), record.task, record.classes)
    except ModelOpsError as error:
        if error.first.code != "not-in-store":
            raise
        raise _untold(stable, error) from None
    return record, tested


def _read(table: Callable[[], pa.Table], stable: ReleaseSpec) -> pa.Table:
    try:
        return table()
    except ModelOpsError as error:
        raise _untold(stable, error) from None


def _untold(stable: ReleaseSpec, error: ModelOpsError) -> ModelOpsError:
    said = f"which rows release {stable.version} was trained on cannot be told: {error.first.message}"
    return failure("champion-differs", said)


def _trained(target: Target, tested: Array, record: BuildRecord, stable: ReleaseSpec) -> Array:
    """Return the positions that trained a release: those with a target that did not test it."""
    trained: Array = np.setdiff1d(target.rows, tested)
    if len(trained) != record.rows_train:
        raise failure(
            "champion-differs",
            f"release {stable.version} was trained on {record.rows_train} rows of {record.snapshot}, which now has "
            f"{len(trained)} with a target that did not test it",
        )
    return trained


def _hashes(features: dict[str, Array], target: Target) -> Array:
    """Return a hash of the values of each row with a target, shape (n,), uint64."""
    labels = np.array([spelling(label) for label in target.classes], dtype=object)
    answer = labels[target.values.astype(np.intp)] if len(labels) else target.values.astype(np.float32)
    found = _hashed(answer)
    for values in features.values():
        found = _joined(found, _plain(values[target.rows]))
    return found


def _plain(values: Array) -> Array:
    """Return values of which equal ones are equal however a file stores them; whole numbers keep all digits."""
    if values.dtype == object:
        return values
    single = values.astype(np.float32).astype(np.float64)
    return np.where(values == np.rint(values), values, single) + 0.0


def _texts(table: pa.Table, name: str, target: Target) -> Array:
    found = np.array([str(value) for value in table[name].to_pylist()], dtype=object)
    return found[target.rows]


def _hashed(values: Array) -> Array:
    import pandas as pd

    found: Array = pd.util.hash_array(values, categorize=True)
    return found


def _joined(hashes: Array, values: Array) -> Array:
    """Return hashes of hashes with one more value; the order of the values counts."""
    mixed: Array = hashes * np.uint64(0x9E3779B97F4A7C15) + _hashed(values)
    mixed ^= mixed >> np.uint64(29)
    return mixed


def _repeated(hashes: Array) -> float:
    """Return the share of rows that are like an earlier one."""
    return 1 - len(np.unique(hashes)) / len(hashes)


def _occurrence(hashes: Array) -> Array:
    """Return for each row how many equal ones come before it."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    counts = np.arange(len(hashes)) - np.repeat(starts, np.diff(np.append(starts, len(hashes))))
    result = np.empty(len(hashes), dtype=np.int64)
    result[order] = counts
    return result
