"""Rows that repeat others, and how many would by chance: the one rule for what is a copy and what has few values."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Order = Callable[[int], Array]

_SURE = 3.0
"""Standard errors beyond which numbers of rows are no chance."""
_MULTIPLE = 20
"""Different rows from which on it is no chance that all come a multiple of two times, or of three."""
_ABSENT = 0.3
"""Share of the rows that chance would have met three times, below which they are absent."""
_MOSTLY = 4
"""A column has many values if it has at least one for so many rows."""
_HARDLY = 8
_ORDERED = 8
"""Different rows from which on it is no chance that two columns are in the same order."""
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


def by_chance(columns: Sequence[Array], *, order: Order | None = None, seed: int = 0) -> list[Array]:
    r"""Return the columns as they would be of rows that copy nobody: what repeats in them does so by its few values.

    Rows are judged by how often they come, whatever their columns have to do with each other. Of rows that are drawn,
    with :math:`d_k` met k times, :math:`(k + 1) d_{k-1} d_{k+1}` is :math:`k d_k^2` at least: by Cauchy's inequality
    for any likelihoods of any rows. Who is met twice by chance has others that are met three times; who was copied has
    not. Rows that are no copies come back as they are.

    Of others, columns are dealt into two halves, those of most values first, and one half is shuffled against the
    other. So what goes together in a half stays together, and rows that are equal in both are so by chance. A column
    of many values that are copied themselves has none that are equal.

    Parameters
    ----------
    columns : sequence of arrays of uint64, shape (n,)
        Hashes of the values, equal where these are.
    order : callable, optional
        Given where the columns are all that is known of a row, with what is predicted: from the place of a column to
        numbers in the order of its values, shape (n,). Then two columns of many values that are equal in the same rows,
        and hardly in others, show copies in tables that are too small to count, unless one follows from the other:
        a gross price rises with the net one, and is equal wherever that is.
    seed : int
        The same seed gives the same order.

    Returns
    -------
    list of arrays of uint64, shape (n,)
        As ``columns`` where no row is a copy, else in another order.

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
    if not _copies(columns, order):
        return list(columns)
    random = np.random.default_rng(seed)
    n = len(columns[0])
    counted = [np.unique(values, return_counts=True)[1] for values in columns]
    by_size = sorted(range(len(columns)), key=lambda place: -len(counted[place]))
    shuffled = random.permutation(n)
    found = []
    for turn, place in enumerate(by_size):
        values = columns[place]
        if _copied(counted[place]):
            values = np.arange(n, dtype=np.uint64)
        found.append(values[shuffled] if turn % 2 else values)
    return found


def _copies(columns: Sequence[Array], order: Order | None) -> bool:
    """Tell whether rows that are equal are copies rather than met again."""
    counts = np.unique(keyed(columns), return_counts=True)[1]
    n, rows = int(counts.sum()), len(counts)
    if rows == n:
        return False
    if rows >= _MULTIPLE and np.gcd.reduce(counts) > 1:
        return True
    if _too_regular(counts):
        return True
    once, twice, thrice = (int((counts == times).sum()) for times in (1, 2, 3))
    if order is None or rows * _MOSTLY < n or 3 * once * thrice >= _ABSENT * 2 * twice**2:
        return False
    many = [len(np.unique(values)) for values in columns]
    alike = [place for place, count in enumerate(many) if rows - count <= (n - rows) / _HARDLY]
    own: list[Array] = []
    for place in sorted(alike, key=lambda place: -many[place]) if len(alike) > 1 and rows >= _ORDERED else ():
        values = order(place)
        if not any(_follows(values, other) for other in own):
            own.append(values)
    return len(own) > 1


def _follows(values: Array, other: Array) -> bool:
    """Tell whether a column is equal wherever another is, and rises or falls with it throughout."""
    sorted_by = np.lexsort((values, other))
    steps, stays = np.diff(values[sorted_by]), np.diff(other[sorted_by]) == 0
    return not steps[stays].any() and bool((steps >= 0).all() or (steps <= 0).all())


def _too_regular(counts: Array) -> bool:
    """Tell whether some number of times is met so often, beside one less and one more, that no chance explains it."""
    met = np.bincount(counts, minlength=4).astype(np.float64)
    met = np.append(met, 0.0)
    times = np.arange(2, len(met) - 1, dtype=np.float64)
    less, here, more = met[1:-2], met[2:-1], met[3:]
    beyond = times * here**2 - (times + 1) * less * more
    below, above = less + 1, more + 1
    spread = 4 * times**2 * here**3 + (times + 1) ** 2 * below * above * (below + above)
    return bool((beyond > _SURE * np.sqrt(spread)).any())


def _copied(counts: Array) -> bool:
    """Tell whether equal values of a column of many values are copies rather than met again."""
    many = len(counts) * _MOSTLY >= counts.sum() and len(counts) < counts.sum()
    return many and (not (counts == 1).any() or _too_regular(counts))


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
