"""Which rows train and which test: a pure function of the spec and the rows."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from modelops.artifacts.frame import column
from modelops.errors import failure
from modelops.spec.kinds.model import ModelData, Split

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
            groups = _equal_rows(table, data, rows) if split.equal_rows is not None else None
            test = seeded(np.zeros(len(rows), dtype=np.intp) if strata is None else strata, split.test, seed, groups)
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


def _equal_rows(table: Any, data: ModelData, rows: Array) -> Array:
    """Return a number for each row, the same for rows whose features are all equal."""
    import pandas as pd

    arrays = {feature.name: column(table[feature.name], feature.type, feature.name)[rows] for feature in data.features}
    hashes = pd.util.hash_pandas_object(pd.DataFrame(arrays), index=False).to_numpy()
    found: Array = np.unique(hashes, return_inverse=True)[1]
    return found


def seeded(strata: Array, share: float, seed: int, groups: Array | None = None) -> Array:
    """Return the mask of a random ``share`` of each stratum; a stratum of two or more rows is in both parts.

    Rows of one of the ``groups`` are never divided; the stratum of a group is that of its first row. numpy's
    RandomState is used because its streams are frozen for all versions.
    """
    random = np.random.RandomState(seed)
    mask = np.zeros(len(strata), dtype=bool)
    if groups is not None:
        return _seeded_groups(strata, share, random, groups)
    for value in np.unique(strata):
        members = np.flatnonzero(strata == value)
        count = round(len(members) * share)
        count = min(max(count, 1), len(members) - 1) if len(members) > 1 else count
        mask[random.permutation(members)[:count]] = True
    return mask


def _seeded_groups(strata: Array, share: float, random: np.random.RandomState, groups: Array) -> Array:
    """Return the mask of rows whose groups were drawn, in each stratum until the share of its rows is reached."""
    firsts, places, sizes = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)[1:]
    chosen = np.zeros(len(firsts), dtype=bool)
    for value in np.unique(strata):
        members = random.permutation(np.flatnonzero(strata[firsts] == value))
        if len(members) < 2:
            continue
        filled = np.cumsum(sizes[members])
        # The number of groups whose rows come nearest to the share, at least one on each side.
        count = int(np.argmin(np.abs(filled - filled[-1] * share))) + 1
        chosen[members[: min(count, len(members) - 1)]] = True
    mask: Array = chosen[places]
    return mask
