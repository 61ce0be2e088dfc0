"""Which rows train and which test: a pure function of the spec and the rows."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from modelops.artifacts.frame import column
from modelops.errors import failure
from modelops.spec.model import ModelData, Split

__all__ = ["by_hash", "by_time", "divide", "seeded"]

Array = np.ndarray[Any, Any]


def divide(
    split: Split, data: ModelData, table: Any, rows: Array, strata: Array | None, seed: int
) -> tuple[Array, Array]:
    """Return (train, test) as sorted positions in the snapshot.

    Parameters
    ----------
    split, data : Split, ModelData
        How to divide, and which columns hold identity and time.
    table : pa.Table
        All rows of the snapshot.
    rows : array of int, shape (n,)
        Positions of the rows that have a target.
    strata : array of int, shape (n,), optional
        Class of each of these rows; a seeded split keeps the classes' shares.
    seed : int
        For the seeded split.

    Raises
    ------
    ModelOpsError
        ``bad-split`` when a needed column is not declared, a time is missing, or a part would be empty.
    """
    match split.type:
        case "hash":
            test = by_hash(column(table[_declared(data.id, "id")], "category", str(data.id))[rows], split.test)
        case "time":
            test = by_time(column(table[_declared(data.time, "time")], "datetime", str(data.time))[rows], split.test)
        case "random":
            test = seeded(np.zeros(len(rows), dtype=np.intp) if strata is None else strata, split.test, seed)
    if test.all() or not test.any():
        raise failure(
            "bad-split",
            f"of {len(rows)} rows {int(test.sum())} are test rows, so one part of the {split.type} split is empty",
        )
    return rows[~test], rows[test]


def _declared(name: str | None, what: str) -> str:
    if name is None:
        raise failure("bad-split", f"a split by {what} needs spec.data.{what}", dotted="spec.training.split.type")
    return name


def by_hash(ids: Array, share: float) -> Array:
    """Return the mask of test rows: those whose SHA-256 of the id lies in the first ``share`` of its range.

    A row without an id is one of its own, known by its position: all of them in one part would leave the other blind.
    """
    limit = int(share * 2**64)
    keys = (str(value) if value != "" else f"\0{position}" for position, value in enumerate(ids))
    return np.array([int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") < limit for key in keys], bool)


def by_time(times: Array, share: float) -> Array:
    """Return the mask of the last ``share`` of rows by time; rows of one instant are never divided.

    ``times`` are seconds, shape (n,), in any order. The instant at the border goes to the part it is nearer to.
    """
    if np.isnan(times).any():
        row = int(np.argmax(np.isnan(times))) + 1
        raise failure("bad-split", f"row {row} of those with a target has no time, so it is neither before nor after")
    ordered = np.sort(times)
    border = ordered[min(len(ordered) - 1, round(len(ordered) * (1 - share)))]
    choices = (times >= border, times > border)
    usable = [mask for mask in choices if mask.any() and not mask.all()] or [choices[0]]
    return min(usable, key=lambda mask: abs(float(mask.mean()) - share))


def seeded(strata: Array, share: float, seed: int) -> Array:
    """Return the mask of a random ``share`` of each stratum; a stratum of two or more rows is in both parts.

    numpy's RandomState is used because its streams are frozen for all versions.
    """
    random = np.random.RandomState(seed)
    mask = np.zeros(len(strata), dtype=bool)
    for value in np.unique(strata):
        members = np.flatnonzero(strata == value)
        count = round(len(members) * share)
        count = min(max(count, 1), len(members) - 1) if len(members) > 1 else count
        mask[random.permutation(members)[:count]] = True
    return mask
