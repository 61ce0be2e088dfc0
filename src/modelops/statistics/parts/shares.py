"""What share of a sum one of its terms has, when each term is known up to an error."""

from __future__ import annotations

import math

from modelops.statistics import Array, Bounds
from modelops.statistics.intervals import normal_quantile

__all__ = ["share_of_sum"]


def share_of_sum(values: Array, errors: Array, place: int, level: float) -> tuple[float, Bounds]:
    r"""Return the share that one term has of the sum of all, with its bounds.

    They are those shares r at which :math:`v_j - r \sum_i v_i` may be 0. Terms that were measured on the same rows
    depend on each other in ways that their errors do not tell, so the standard error of that difference is taken to be
    as large as it can be, :math:`(1 - r) e_j + r \sum_{i \ne j} e_i`: the bounds hold whatever the dependence.

    Parameters
    ----------
    values, errors : arrays of shape (k,)
        The terms and their standard errors, in one unit; normal errors, which means of some hundred rows have.
    place : int
        Of the term.
    level : float
        Two-sided confidence, in (0, 1).

    Returns
    -------
    (float, (float, float))
        The share, NaN where the sum is not above 0, and its bounds. The upper one is infinite where the sum is not
        shown to be above 0: then nothing is known of any share.

    References
    ----------
    E. C. Fieller, "Some problems in interval estimation", Journal of the Royal Statistical Society B 16 (1954).

    Examples
    --------
    >>> share, (low, high) = share_of_sum(np.array([8.0, 1.0, 1.0]), np.array([0.2, 0.1, 0.1]), 1, 0.95)
    >>> round(share, 3), round(low, 3), round(high, 3)
    (0.1, 0.076, 0.127)
    """
    z, total, error = normal_quantile(level), float(values.sum()), float(errors.sum())
    value, own = float(values[place]), float(errors[place])
    around = z * (error - 2 * own)

    def edge(side: int) -> float:
        # value + side z own = r (total - side around), with the error of the difference at its largest.
        below = total - side * around
        if below <= 0:
            return math.inf
        at = (value + side * z * own) / below
        # Beyond a share of 1 the error of the term itself counts the other way round.
        return at if at <= 1 else (value - side * z * own) / max(total - side * z * error, 1e-300)

    share = value / total if total > 0 else math.nan
    if total - z * error <= 0:
        return share, (0.0, math.inf)
    return share, (edge(-1), edge(1))
