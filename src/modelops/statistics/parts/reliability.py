"""How far answers are from what they promise, in bins of equally many rows: probabilities and means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelops.statistics import Array, Bounds
from modelops.statistics.intervals import exact_proportion, mean_interval, ratio_interval
from modelops.statistics.weighted import trials

__all__ = ["Bin", "apart", "bins", "by_noise"]

_ROOT = float(np.sqrt(2 / np.pi))


@dataclass(frozen=True, slots=True)
class Bin:
    """The rows whose score is in a range: what they were promised on average, what came true, and what they weigh.

    ``values`` and ``scores`` have shape (n,), ``weight`` too, or is None where all rows count the same.
    """

    values: Array
    scores: Array
    weight: Array | None

    @property
    def promised(self) -> float:
        """The mean score."""
        return float(np.average(self.scores, weights=self.weight))

    @property
    def found(self) -> float:
        """The mean of what came true."""
        return float(np.average(self.values, weights=self.weight))


def bins(values: Array, scores: Array, most: int, fewest: int, weight: Array | None = None) -> list[Bin]:
    """Cut rows into bins of equally many by their scores; rows of one score are always in one bin.

    Parameters
    ----------
    values, scores : arrays of shape (n,)
        What came true and what was promised, in one unit.
    most : int
        How many bins, where the scores are various enough.
    fewest : int
        Rows of a bin; there are fewer bins rather than smaller ones.
    weight : array of shape (n,), optional
        What each row counts for, above 0.

    Returns
    -------
    list of Bin
        From low scores to high ones; at least one, and one alone where n is below twice ``fewest``.

    References
    ----------
    D. W. Hosmer and S. Lemeshow, "Goodness of fit tests for the multiple logistic regression model", Communications in
    Statistics A 9 (1980), for bins of equally many.

    Examples
    --------
    >>> scores = np.array([0.1, 0.1, 0.1, 0.4, 0.6, 0.9])
    >>> [len(one.scores) for one in bins(np.zeros(6), scores, 3, 1)]
    [3, 1, 2]
    """
    order = np.argsort(scores, kind="stable")
    ordered, n = scores[order], len(scores)
    count = max(1, min(most, n // max(1, fewest)))
    # A cut between equal scores moves to where these begin.
    cuts = np.unique(np.searchsorted(ordered, ordered[[n * place // count for place in range(1, count)]], side="left"))
    edges = [0]
    for cut in cuts.tolist():
        if cut - edges[-1] >= fewest and n - cut >= fewest:
            edges.append(cut)
    found = []
    for start, end in zip(edges, [*edges[1:], n], strict=True):
        rows = order[start:end]
        found.append(Bin(values[rows], scores[rows], None if weight is None else weight[rows]))
    return found


def apart(one: Bin, level: float, *, shares: bool) -> Bounds:
    r"""Return the bounds of how far what comes true is from what was promised in a bin, whichever way.

    Given the scores, each row comes true with a chance of its own, so hits are no binomial number but one of more
    even rows, which varies less; Clopper and Pearson's bounds of the mean chance hold for it all the more.

    Parameters
    ----------
    one : Bin
        Of at least one row; of values that are no shares at least two.
    level : float
        Two-sided confidence, in (0, 1).
    shares : bool
        Whether values are 0 or 1, and scores chances; else both are in one unit.

    Returns
    -------
    (float, float)
        Bounds of :math:`|\bar q - \bar s|`, with :math:`\bar q` the mean chance (or mean) of the rows.

    References
    ----------
    W. Hoeffding, "On the distribution of the number of successes in independent trials", Annals of Mathematical
    Statistics 27 (1956); C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).

    Examples
    --------
    >>> rows = Bin(np.repeat([1.0, 0.0], [30, 70]), np.full(100, 0.1), None)
    >>> [round(bound, 3) for bound in apart(rows, 0.95, shares=True)]
    [0.112, 0.3]
    """
    if shares:
        if one.weight is None:
            low, high = exact_proportion(float(one.values.sum()), len(one.values), level)
        else:
            share, size = trials(one.values, one.weight)
            low, high = exact_proportion(share * size, size, level)
        low, high = low - one.promised, high - one.promised
    elif one.weight is None:
        low, high = mean_interval(one.values - one.scores, level)
    else:
        low, high = ratio_interval(one.weight * (one.values - one.scores), one.weight, level)
    return max(0.0, low, -high), max(abs(low), abs(high))


def by_noise(one: Bin, *, shares: bool) -> float:
    """Return how far apart a bin's mean and its promise are on average by chance alone, were the promise true.

    Parameters
    ----------
    one : Bin
        As for ``apart``.
    shares : bool
        As for ``apart``.

    Returns
    -------
    float
        In the unit of the scores.

    References
    ----------
    The mean of a normal variable's absolute value, R. C. Geary, "The ratio of the mean deviation to the standard
    deviation as a test of normality", Biometrika 27 (1935).

    Examples
    --------
    >>> round(by_noise(Bin(np.zeros(100), np.full(100, 0.5), None), shares=True), 4)
    0.0399
    """
    weight = np.ones(len(one.scores)) if one.weight is None else one.weight
    of_row = (
        one.scores * (1 - one.scores) if shares else np.square(one.values - one.scores - (one.found - one.promised))
    )
    return _ROOT * float(np.sqrt(np.square(weight) @ of_row)) / float(weight.sum())
