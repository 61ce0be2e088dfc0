"""Rows that repeat others, and how many would by chance: the one rule for what is a copy and what has few values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_TELLING = 3.0
"""Values met three times that chance has to promise before their absence says anything."""
_ABSENT = 0.3
_MOSTLY = 4
"""A column has many values if it has at least one for so many rows."""
_NEVER = 0x9E3779B97F4A7C15


def keyed(columns: Sequence[Array]) -> Array:
    """Return one hash of each row from the hashes of its values.

    Parameters
    ----------
    columns : sequence of arrays of uint64, shape (n,)
        Hashes of the values, equal where these are.

    Returns
    -------
    array of uint64, shape (n,)
        Equal for rows that are equal in all columns.

    References
    ----------
    D. E. Knuth, "The Art of Computer Programming", volume 3, section 6.4, for the multiplier.

    Examples
    --------
    >>> rows = keyed([np.array([1, 1, 2], np.uint64), np.array([5, 5, 5], np.uint64)])
    >>> bool(rows[0] == rows[1]), bool(rows[1] == rows[2])
    (True, False)
    """
    found = np.zeros(len(columns[0]), dtype=np.uint64)
    for values in columns:
        found = found * np.uint64(_NEVER) + values.astype(np.uint64)
        found ^= found >> np.uint64(29)
    return found


def repeated(columns: Sequence[Array]) -> float:
    """Return the share of rows that repeat an earlier one in every column.

    Parameters
    ----------
    columns : sequence of arrays of uint64, shape (n,)
        Hashes of the values, equal where these are; n is at least 1.

    Returns
    -------
    float
        From 0 to 1.

    References
    ----------
    As for ``keyed``.

    Examples
    --------
    >>> repeated([np.array([1, 1, 2, 2], np.uint64)]), repeated([np.array([1, 2, 3, 4], np.uint64)])
    (0.5, 0.0)
    """
    return 1 - len(np.unique(keyed(columns))) / len(columns[0])


def by_chance(columns: Sequence[Array], seed: int = 0) -> list[Array]:
    r"""Return the columns as they would be of rows that copy nobody: what repeats in them does so by its few values.

    Columns are dealt into two halves, those of most values first, and one half is shuffled against the other. So what
    goes together in a half stays together, and rows that are equal in both are so by chance. A column alone, whose
    order tells nothing, is looked at by how often its values occur. Of k equally likely values drawn n times, with
    d1 met once and d2 twice, about :math:`2 d_2^2 / (3 d_1)` are met three times; of values that are copied there are
    hardly any. Such a column, or one of many values none of which occurs once, would have no equal values but for the
    copies.

    Parameters
    ----------
    columns : sequence of arrays of uint64, shape (n,)
        Hashes of the values, equal where these are.
    seed : int
        The same seed gives the same order.

    Returns
    -------
    list of arrays of uint64, shape (n,)
        In another order than ``columns``.

    References
    ----------
    I. J. Good, "The population frequencies of species and the estimation of population parameters", Biometrika 40
    (1953), for what the numbers of values met once, twice and three times tell.

    Examples
    --------
    >>> generator = np.random.default_rng(0)
    >>> few, many = generator.integers(0, 4, (2, 900)).astype(np.uint64), np.arange(900, dtype=np.uint64)
    >>> round(repeated(by_chance(list(few))), 2), round(repeated(by_chance([np.append(many, many)])), 2)
    (0.98, 0.0)
    """
    random = np.random.default_rng(seed)
    n = len(columns[0])
    counted = [np.unique(values, return_counts=True)[1] for values in columns]
    order = sorted(range(len(columns)), key=lambda place: -len(counted[place]))
    shuffled = random.permutation(n)
    found = []
    for turn, place in enumerate(order):
        values = columns[place]
        if _copied(counted[place]):
            values = np.arange(n, dtype=np.uint64)
        found.append(values[shuffled] if turn % 2 else values)
    return found


def _copied(counts: Array) -> bool:
    """Tell whether equal values of a column of many values are copies rather than met again."""
    if len(counts) * _MOSTLY < counts.sum() or len(counts) == counts.sum():
        return False
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    if not once:
        return True
    expected = 2 * twice**2 / (3 * once)
    return expected >= _TELLING and int((counts > 2).sum()) < _ABSENT * expected


def most(share: float, n: int) -> float:
    """Return the most of a share that chance gives in n rows: three standard errors, and two percent at least.

    Parameters
    ----------
    share : float
        What is expected, from 0 to 1.
    n : int
        Rows.

    Returns
    -------
    float
        Above ``share``; may be above 1.

    References
    ----------
    J. Neyman, "On the two different aspects of the representative method", JRSS 97 (1934), for the standard error.

    Examples
    --------
    >>> most(0.0, 1000), round(most(0.5, 100), 2)
    (0.02, 0.65)
    """
    return share + max(0.02, 3 * math.sqrt(share * (1 - share) / max(1, n)))
