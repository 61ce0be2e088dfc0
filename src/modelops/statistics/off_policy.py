"""Off-policy estimates: what another split of the traffic would have earned, from rewards that were logged.

Arms were drawn with known propensities, so an answer that had a chance of 0.1 stands for ten. Every function takes a
``Log`` and ``policy``, the probabilities with which the policy in question answers with each arm: shape (k,), or (n, k)
where they differ by request.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.errors import failure
from modelops.statistics import Array, Units
from modelops.statistics.intervals import mean_interval, ratio_interval

__all__ = ["Estimate", "Log", "doubly_robust", "ips", "snips"]

Places = np.ndarray[Any, np.dtype[np.intp]]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Log:
    """n logged answers: which arm gave each, how likely that was, and the reward.

    ``arms`` are places of arms, ``propensities`` lie in (0, 1], ``rewards`` are finite; all of shape (n,), n >= 2.
    ``units`` are hashes of the entities, two different ones at least; with them the answers of one entity are taken as
    one observation. They stay with an arm, so that their answers are not independent.
    """

    arms: Places
    propensities: Array
    rewards: Array
    units: Units | None = None

    def __post_init__(self) -> None:
        """Refuse a log that no estimate can be made from."""
        columns = [self.arms, self.propensities, self.rewards, *([] if self.units is None else [self.units])]
        if len(self.arms) < 2 or any(column.shape != self.arms.shape for column in columns):
            shapes = ", ".join(str(column.shape) for column in columns)
            raise failure("off-policy-log", f"columns of shapes {shapes} are no log of two or more answers")
        if self.units is not None and (self.units == self.units[0]).all():
            raise failure("off-policy-log", "all answers are those of one entity, whose spread tells of no other one")
        if not ((self.propensities > 0) & (self.propensities <= 1)).all():
            lowest = float(self.propensities.min())
            raise failure("off-policy-log", f"propensities must be above 0 and at most 1, and one is {lowest:g}")
        if not np.isfinite(self.rewards).all():
            raise failure("off-policy-log", "a logged reward is not a finite number")


@dataclass(frozen=True, slots=True)
class Estimate:
    """The value of a policy, a reward per request, with a confidence interval.

    ``n`` counts the answers, ``effective`` how many equally weighted ones their weights are worth (Kish).
    """

    value: float
    lower: float
    upper: float
    n: int
    effective: float


def ips(log: Log, policy: Array, alpha: float = 0.05) -> Estimate:
    r"""Return the inverse-propensity estimate :math:`\frac{1}{n} \sum_i w_i r_i`, :math:`w_i = \pi(a_i) / p_i`.

    It is unbiased. The interval is that of a mean of skewed values (``intervals.mean_interval``), with one more answer
    of the greatest reward for the upper bound, and of the least for the lower one, where no answer with a weight had
    it: an arm of whose few answers none was rewarded is not taken to earn nothing.

    Parameters
    ----------
    log : Log
        n answers.
    policy : array of shape (k,) or (n, k)
        Probabilities of the k arms, each row summing to 1.
    alpha : float
        Error rate of the two-sided interval, in (0, 1).

    Returns
    -------
    Estimate
        In the unit of the rewards.

    Raises
    ------
    ModelOpsError
        ``off-policy-policy`` where ``policy`` is none, or has fewer arms than the log.

    References
    ----------
    D. G. Horvitz and D. J. Thompson, "A generalization of sampling without replacement from a finite universe",
    Journal of the American Statistical Association 47 (1952).

    Examples
    --------
    >>> log = Log(np.array([0, 0, 1, 1]), np.array([0.8, 0.8, 0.2, 0.2]), np.array([0.0, 1.0, 1.0, 1.0]))
    >>> found = ips(log, np.array([0.5, 0.5]))
    >>> round(found.value, 4), round(found.lower, 4), round(found.upper, 4), round(found.effective, 2)
    (1.4062, -0.7911, 3.4565, 2.94)
    """
    weights = _weights(log, policy)
    terms, usual, (least, greatest) = weights * log.rewards, _usual(weights), _range(log)
    extremes = min(0.0, usual * least), max(0.0, usual * greatest)
    return _estimate(log, weights, float(terms.mean()), terms, np.ones(len(terms)), extremes, alpha)


def snips(log: Log, policy: Array, alpha: float = 0.05) -> Estimate:
    r"""Return the self-normalised estimate :math:`\sum_i w_i r_i / \sum_i w_i`.

    It is consistent, keeps within the range of the rewards and does not change when a constant is added to them. The
    interval is that of a ratio of means (``intervals.ratio_interval``), with one more answer of the greatest reward for
    the upper bound, and of the least for the lower one. Fails when the policy never answers as any logged answer did.

    Parameters
    ----------
    log : Log
        n answers.
    policy : array of shape (k,) or (n, k)
        Probabilities of the k arms, each row summing to 1.
    alpha : float
        Error rate of the two-sided interval, in (0, 1).

    Returns
    -------
    Estimate
        In the unit of the rewards, within their range.

    Raises
    ------
    ModelOpsError
        ``off-policy-policy`` as for ``ips``, and ``off-policy-overlap`` where all weights are 0.

    References
    ----------
    A. Swaminathan and T. Joachims, "The self-normalized estimator for counterfactual learning", NeurIPS 28 (2015).

    Examples
    --------
    >>> log = Log(np.array([0, 0, 1, 1]), np.array([0.8, 0.8, 0.2, 0.2]), np.array([0.0, 1.0, 1.0, 1.0]))
    >>> found = snips(log, np.array([0.5, 0.5]))
    >>> round(found.value, 4), round(found.lower, 4), round(found.upper, 4)
    (0.9, -0.6431, 1.7149)
    """
    weights = _weights(log, policy)
    if not weights.any():
        raise failure("off-policy-overlap", "the policy never answers with an arm that was logged")
    terms, usual, (least, greatest) = weights * log.rewards, _usual(weights), _range(log)
    extremes = usual * least, usual * greatest
    return _estimate(log, weights, float(terms.sum() / weights.sum()), terms, weights, extremes, alpha)


def doubly_robust(log: Log, policy: Array, predicted: Array, alpha: float = 0.05) -> Estimate:
    r"""Return the doubly robust estimate: a reward model, corrected where it was wrong on what was logged.

    .. math:: \frac{1}{n} \sum_i \left[\sum_a \pi(a) \hat r(i, a) + w_i (r_i - \hat r(i, a_i))\right]

    It is right when the propensities or the model are, and its interval, which is made as that of ``ips``, is the
    narrower the better the model.

    Parameters
    ----------
    log, policy, alpha
        As for ``ips``.
    predicted : array of shape (n, k) or (k,)
        Reward that a model expects of every arm. It must not have seen the reward it predicts, or the interval is too
        narrow.

    Returns
    -------
    Estimate
        In the unit of the rewards.

    Raises
    ------
    ModelOpsError
        ``off-policy-policy`` as for ``ips``, and ``off-policy-model`` where ``predicted`` has another shape, or is not
        finite.

    References
    ----------
    M. Dudik, J. Langford, L. Li, "Doubly robust policy evaluation and learning", ICML (2011).

    Examples
    --------
    >>> log = Log(np.array([0, 0, 1, 1]), np.array([0.8, 0.8, 0.2, 0.2]), np.array([0.0, 1.0, 1.0, 1.0]))
    >>> found = doubly_robust(log, np.array([0.5, 0.5]), np.array([0.5, 1.0]))
    >>> round(found.value, 4), round(found.lower, 4), round(found.upper, 4)
    (0.75, 0.344, 1.156)
    """
    weights = _weights(log, policy)
    chances, expected = _by_arm(log, policy), _by_arm(log, predicted)
    if expected.shape != chances.shape or not np.isfinite(expected).all():
        raise failure("off-policy-model", f"predicted rewards must be {chances.shape} finite numbers")
    modelled = (chances * expected).sum(axis=1)
    terms = modelled + weights * (log.rewards - _taken(log, expected))
    mean, usual, (least, greatest) = float(modelled.mean()), _usual(weights), _range(log)
    extremes = mean + usual * min(0.0, least - mean), mean + usual * max(0.0, greatest - mean)
    return _estimate(log, weights, float(terms.mean()), terms, np.ones(len(terms)), extremes, alpha)


def _by_arm(log: Log, table: Array) -> Array:
    """Return a value per arm, or per answer and arm, in shape (n, k)."""
    return np.broadcast_to(table, (len(log.arms), table.shape[-1]))


def _taken(log: Log, table: Array) -> Array:
    taken: Array = table[np.arange(len(log.arms)), log.arms]
    return taken


def _weights(log: Log, policy: Array) -> Array:
    chances = _by_arm(log, policy)
    if not ((log.arms >= 0) & (log.arms < chances.shape[1])).all():
        raise failure("off-policy-policy", f"the policy knows {chances.shape[1]} arms, and the log has others")
    if (chances < 0).any() or not np.allclose(chances.sum(axis=1), 1, atol=1e-6):
        raise failure("off-policy-policy", "the probabilities of a policy must not be negative, and must sum to 1")
    return _taken(log, chances) / log.propensities


def _estimate(
    log: Log, weights: Array, value: float, terms: Array, counted: Array, extremes: Bounds, alpha: float
) -> Estimate:
    """Bound a ratio of two means, of ``terms`` to what each answer is ``counted`` for, with one more answer at need.

    ``extremes`` are what the least and the greatest reward would add as terms of an answer of usual weight. It counts
    for ``counted`` as much as that weight does, and comes once in a unit of usual size.
    """
    above, below = terms, counted
    if log.units is not None:
        _, places = np.unique(log.units, return_inverse=True)
        above, below = (np.bincount(places, each).astype(np.float64) for each in (above, below))
    size, own = len(log.arms) / len(above), _usual(weights) if counted is weights else 1.0
    met = log.rewards[weights > 0]
    ends = []
    for side, (end, beyond) in enumerate(zip(extremes, _range(log), strict=True)):
        # A ratio of few answers may have no bound without it.
        wanted = counted is weights or beyond not in met
        more, once = (size * end, size * own) if wanted else (np.empty(0), np.empty(0))
        ends.append(_interval(np.append(above, more), np.append(below, once), 1 - alpha)[side])
    total = float(np.square(weights).sum())
    effective = float(weights.sum()) ** 2 / total if total > 0 else 0.0
    return Estimate(value, min(ends[0], value), max(ends[1], value), len(log.arms), effective)


def _interval(above: Array, below: Array, level: float) -> Bounds:
    """Return the interval of the ratio of two means, which that of one is where the other is known."""
    if np.ptp(below) == 0:
        lower, upper = mean_interval(above, level)
        return lower / float(below[0]), upper / float(below[0])
    return ratio_interval(above, below, level)


def _usual(weights: Array) -> float:
    """Return the weight that the weight of an answer has on average; 0 where none has any."""
    return float(np.square(weights).sum() / weights.sum()) if weights.any() else 0.0


def _range(log: Log) -> Bounds:
    """Return the least and the greatest reward; where all are alike, 0 and 1 are taken to be possible too."""
    least, greatest = float(log.rewards.min()), float(log.rewards.max())
    return (least, greatest) if least < greatest else (min(least, 0.0), max(greatest, 1.0))
