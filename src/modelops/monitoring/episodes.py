"""When something began among rows in the order of their time: the stretch in which they are unlike a reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelops.statistics import Array
from modelops.statistics.clusters import Codes

__all__ = ["Episode", "episode"]

_CERTAIN = 6.9
"""Natural logarithm of the likelihood ratio from which on rows are called ordinary, or unlike: by chance it gets there
with a probability of at most one in a thousand (Ville's inequality, with the shares known)."""
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Episode:
    """The rows ``start <= i < stop`` are unlike the reference; with ``whole`` there are no ordinary rows before them.

    ``lasts`` says that no ordinary rows follow. ``gain`` is the log-likelihood ratio of the stretch, in nats.
    """

    start: int
    stop: int
    whole: bool
    lasts: bool
    gain: float


def episode(codes: Codes, shares: Array) -> Episode | None:
    r"""Return the stretch of rows that is most unlike a reference, None where no stretch is.

    With reference shares :math:`p` and shares :math:`q` of the stretch, it is the run of rows with the largest sum of
    :math:`\ln (q_{c_i} / p_{c_i})`, found from the shares of all rows first and again from those of the run: with both
    shares known that is the maximum-likelihood estimate of where a change begins and ends.

    Parameters
    ----------
    codes : array of int, shape (n,)
        The cell of each row, in the order of time.
    shares : array of float, shape (k,)
        The reference's share of each cell.

    Returns
    -------
    Episode or None
        Rows are taken to be independent; a single change is found within a few rows where the cells differ much.

    References
    ----------
    D. V. Hinkley, "Inference about the change-point in a sequence of random variables", Biometrika 57 (1970);
    J. Bentley, "Programming pearls: algorithm design techniques", Communications of the ACM 27 (1984), for the run.

    Examples
    --------
    >>> rows = np.array([0, 1] * 50 + [2] * 40 + [0, 1] * 30)
    >>> found = episode(rows, np.array([0.5, 0.5, 0.0]))
    >>> (found.start, found.stop, found.whole, found.lasts)
    (100, 140, False, False)
    """
    n = len(codes)
    if n == 0:
        return None
    floor = max(0.5 / n, 1e-4)
    before = np.maximum(shares, floor)
    start, stop, sums = 0, n, np.zeros(n + 1)
    for _ in range(_ROUNDS):
        counted = np.bincount(codes[start:stop], minlength=len(shares))[: len(shares)]
        now = np.maximum(counted / (stop - start), floor)
        sums = np.concatenate([[0.0], np.cumsum(np.log(now / before)[codes])])
        lowest = np.minimum.accumulate(sums)[:-1]
        last = int(np.argmax(sums[1:] - lowest)) + 1
        first = int(np.argmin(sums[:last]))
        if (first, last) == (start, stop):
            break
        start, stop = first, last
    gain = float(sums[stop] - sums[start])
    if gain <= _CERTAIN:
        return None
    whole = float(sums[start]) > -_CERTAIN
    lasts = float(sums[n] - sums[stop]) > -_CERTAIN
    return Episode(0 if whole else start, n if lasts else stop, whole, lasts, gain)
