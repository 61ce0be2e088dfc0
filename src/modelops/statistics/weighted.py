"""Metrics of confusion cells and of weighted rows, their influence functions, and how many rows weights leave."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from modelops.statistics import Array

Weighted = Callable[[Array], Array]
"""From counts of rows, shape (draws, n), to values of a metric, shape (draws,)."""


def worth(weight: Array) -> float:
    """Return of how many equally weighted rows a weighted mean would vary as much, if weights tell nothing of values.

    Parameters
    ----------
    weight : array of shape (n,)
        Not negative, not all 0, in any unit.

    Returns
    -------
    float
        From 1 to n.

    References
    ----------
    L. Kish, "Survey Sampling" (1965), section 11.7.

    Examples
    --------
    >>> worth(np.ones(10)), worth(np.array([1.0, 1, 1, 7]))
    (10.0, 1.9230769230769231)
    """
    return float(weight.sum()) ** 2 / float(np.square(weight).sum())


def trials(hits: Array, weight: Array) -> tuple[float, float]:
    """Return a weighted share, and of how many trials an unweighted one would vary at least as much.

    That is the size after which the linearised variance of the share asks, or what the weights alone leave (``worth``),
    whichever is smaller; the exact interval of so many trials is Korn and Graubard's.

    Parameters
    ----------
    hits : array of shape (n,)
        1 for a hit, 0 for a miss; of a difference of two hits also -1.
    weight : array of shape (n,)
        Above 0, in any unit.

    Returns
    -------
    (float, float)
        The weighted mean of ``hits``, and the number of trials, from 1 to n.

    References
    ----------
    E. L. Korn and B. I. Graubard, "Confidence intervals for proportions with small expected number of positive counts
    estimated from survey data", Survey Methodology 24 (1998).

    Examples
    --------
    >>> trials(np.array([1.0, 0, 1, 0]), np.ones(4)), trials(np.array([1.0, 0, 0, 0]), np.array([3.0, 1, 1, 1]))
    ((0.5, 4.0), (0.5, 3.0))
    """
    mean, left = float(np.average(hits, weights=weight)), worth(weight)
    of_one = float(np.average(np.square(hits), weights=weight)) - mean**2
    own = float(np.square(weight * (hits - mean)).sum()) / float(weight.sum()) ** 2
    return mean, min(left, of_one / own) if own > 0 and of_one > 0 else left


def from_cells(name: str, weights: Array, true: Array, predicted: Array) -> Array:
    """Return a metric of confusion cells, shape (draws,).

    Parameters
    ----------
    name : str
        A metric of counts.
    weights : array of shape (draws, cells)
        Counts or probabilities of the cells; their scale does not matter.
    true, predicted : arrays of shape (cells,)
        The label codes of each cell.

    Returns
    -------
    array of shape (draws,)
        In [0, 1]; NaN where the metric is undefined.

    Notes
    -----
    ``balanced-accuracy`` and ``macro-f1`` average over the classes that occur in ``true``.

    References
    ----------
    M. Sokolova and G. Lapalme, "A systematic analysis of performance measures for classification tasks", Information
    Processing and Management 45 (2009).

    Examples
    --------
    >>> true, predicted = np.array([0.0, 0, 1, 1]), np.array([0.0, 1, 0, 1])
    >>> from_cells("f1", np.array([[50.0, 10, 5, 35]]), true, predicted).round(4).tolist()
    [0.8235]
    """
    labels = np.array([1.0]) if name in ("f1", "precision", "recall") else np.unique(true)
    is_true = (true[:, None] == labels).astype(np.float64)
    is_predicted = (predicted[:, None] == labels).astype(np.float64)
    hits = weights @ (is_true * is_predicted)
    actual, chosen = weights @ is_true, weights @ is_predicted
    below = {"balanced-accuracy": actual, "recall": actual, "precision": chosen}.get(name, (actual + chosen) / 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        value: Array = np.asarray((hits / below).mean(axis=1))
    return value


def weighted_average_precision(y_true: Array, y_score: Array) -> Weighted:
    """Return average precision as a function of how often each row was drawn.

    Parameters
    ----------
    y_true : array of shape (n,)
        1.0 for the positive class, else 0.0; at least one of each.
    y_score : array of shape (n,)
        Scores, larger for the positive class, in any unit.

    Returns
    -------
    callable
        From counts of shape (draws, n) to values of shape (draws,), in [0, 1].

    References
    ----------
    W. Su, Y. Yuan, M. Zhu, "A relationship between the average precision and the area under the ROC curve", ICTIR
    (2015).

    Examples
    --------
    >>> value = weighted_average_precision(np.array([0.0, 1, 0, 1]), np.array([0.1, 0.3, 0.35, 0.8]))
    >>> value(np.array([[1.0, 1, 1, 1], [1, 1, 9, 1]])).round(4).tolist()
    [0.8333, 0.5909]
    """
    order = np.argsort(-y_score, kind="stable")
    score, positive = y_score[order], y_true[order]
    last_of_ties = np.flatnonzero(np.append(np.diff(score) != 0, True))

    def value(counts: Array) -> Array:
        sorted_counts = counts[:, order]
        found = np.cumsum(sorted_counts * positive, axis=1)[:, last_of_ties]
        returned = np.cumsum(sorted_counts, axis=1)[:, last_of_ties]
        gained = np.diff(found, axis=1, prepend=0.0)
        precision = np.divide(found, returned, out=np.zeros_like(found), where=returned > 0)
        area: Array = (gained * precision).sum(axis=1) / found[:, -1]
        return area

    return value


def influence_of_average_precision(y_true: Array, y_score: Array, weight: Array | None = None) -> Array:
    r"""Return what each row adds to average precision: sum of zero, variance n times the metric's.

    With P(t) and N(t) the shares of the m positives and n negatives that score at least t and
    :math:`\pi(t) = mP / (mP + nN)`, a positive at x has

    .. math:: \pi(x) - AP + \frac1m \sum_{z \in +} \frac{m n N(z)}{(mP(z) + nN(z))^2} [1(x \ge z) - P(z)]

    and a negative the same sum with :math:`-n m P(z)` and N in place of P; both are scaled from their class to all
    rows. Of weighted rows m and n are sums of weights, and each adds by its own.

    Parameters
    ----------
    y_true : array of shape (n,)
        1.0 for the positive class, else 0.0; at least one of each.
    y_score : array of shape (n,)
        Scores, larger for the positive class, in any unit.
    weight : array of shape (n,), optional
        What each row counts for, above 0; all the same unless given.

    Returns
    -------
    array of shape (n,)
        In units of the metric.

    References
    ----------
    F. R. Hampel, "The influence curve and its role in robust estimation", JASA 69 (1974).

    Examples
    --------
    >>> terms = influence_of_average_precision(np.array([0.0, 1, 0, 1]), np.array([0.1, 0.4, 0.35, 0.3]))
    >>> terms.round(3).tolist(), abs(round(float(terms.sum()), 9))
    ([0.222, 0.333, -0.222, -0.333], 0.0)
    """
    score, positive = y_score, y_true == 1
    own = np.ones(len(score)) if weight is None else weight
    levels, place = np.unique(-score, return_inverse=True)
    here = np.bincount(place, weights=own * positive, minlength=len(levels))
    above, wrong = np.cumsum(here), np.cumsum(np.bincount(place, weights=own * ~positive, minlength=len(levels)))
    m, n = above[-1], wrong[-1]
    precision = above / (above + wrong)
    share = here / m / np.square(above + wrong)

    def pull(slope: Array, reached: Array) -> Array:
        # An observation at x counts in every threshold z at or below it: a sum from its own level to the end.
        tail = np.cumsum((share * slope)[::-1])[::-1]
        return np.asarray(tail - (share * slope * reached).sum())

    value = (here / m * precision).sum()
    of_positive = precision - value + pull(m * wrong, above / m)
    of_negative = pull(-n * above, wrong / n) if n else np.zeros(len(levels))
    scale = own * np.where(positive, len(score) / m, len(score) / n if n else 1.0)
    return np.asarray(np.where(positive, of_positive[place], of_negative[place]) * scale)
