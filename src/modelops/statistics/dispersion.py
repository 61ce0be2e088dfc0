"""How many independent events clustered ones are worth: the design effect of entities, and of what happens together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from modelops.statistics import Array, Units
from modelops.statistics.intervals import wilson

__all__ = [
    "Clusters",
    "Part",
    "clustered_mean",
    "clustered_share",
    "clusters_of",
    "design_effect",
    "merged_effect",
    "tallied",
]

_BEYOND_CHANCE = 1.0  # an estimate within so many standard deviations of 1 is chance, and 1 is taken
_FEW = 20  # clusters below which an arm's own spread is not believed alone
_HALVINGS = 12
_LARGEST_PART = 0.9  # of an arm's requests, that one cluster is taken to have


@dataclass(frozen=True, slots=True)
class Clusters:
    """Requests and their events by cluster, shape (k,) each: an entity, or a stretch of time, by its key."""

    keys: Units
    requests: Array
    errors: Array
    slow: Array


@dataclass(frozen=True, slots=True)
class Part:
    """The events of one arm in one step by cluster, shape (k,) each; ``weight`` is what one counts in the contrast."""

    keys: Units
    events: Array
    requests: Array
    weight: float = 1.0


def clusters_of(keys: Units, errors: Any, slow: Any) -> Clusters:
    """Return requests by the cluster they belong to.

    Parameters
    ----------
    keys : array of shape (n,)
        The cluster of every request.
    errors, slow : arrays of shape (n,)
        Whether it failed, and whether it was slow.

    Returns
    -------
    Clusters
        In the order of the keys.

    Examples
    --------
    >>> found = clusters_of(np.array([7, 7, 9], dtype=np.uint64), np.array([1, 1, 0]), np.array([0, 0, 1]))
    >>> found.keys.tolist(), found.requests.tolist(), found.errors.tolist(), found.slow.tolist()
    ([7, 9], [2.0, 1.0], [2.0, 0.0], [0.0, 1.0])
    """
    different, places = np.unique(keys, return_inverse=True)
    return tallied(different, places, errors, slow)


def tallied(keys: Units, places: Any, errors: Any, slow: Any) -> Clusters:
    """Return requests by cluster, where it is known at which place of ``keys`` that of every request lies.

    Parameters
    ----------
    keys : array of shape (k,)
        The clusters.
    places : array of shape (n,)
        The place of every request's cluster.
    errors, slow : arrays of shape (n,)
        Whether it failed, and whether it was slow.

    Returns
    -------
    Clusters
        Without those that have no request.

    Examples
    --------
    >>> tallied(np.array([7, 8, 9], dtype=np.uint64), [0, 0, 2], [1, 1, 0], [0, 0, 1]).keys.tolist()
    [7, 9]
    """
    k = len(keys)
    counts, of_errors, of_slow = (
        np.bincount(places, weights, k).astype(np.float64) for weights in (None, errors, slow)
    )
    kept = counts > 0
    return Clusters(keys[kept], counts[kept], of_errors[kept], of_slow[kept])


def design_effect(arm: Sequence[Part], control: Sequence[Part]) -> float:
    r"""Return how many events of an arm count as one, from how events gather in entities.

    Within a step arm and control have rates :math:`p`, and cluster i has the residual :math:`u_i = w (e_i - p r_i)` of
    its events over all steps; the weight w of the control is negative, so that what strikes both cancels. If events
    were independent, :math:`\sum u_i^2` would be about :math:`V = \sum w^2 e_i`; the design effect is
    :math:`\sum u_i^2 / V`, at least 1. What lies within one standard deviation of 1, for independent events, is taken
    for chance.

    A cluster with much of an arm's requests makes its rate and leaves no residual; what it takes is given back. The
    arm's own residuals are none where it has one cluster, and few say little: with fewer than 20, or as few that make
    most of its requests, the control's count where they are larger, as its law is the same where there is no effect.

    Parameters
    ----------
    arm, control : sequences of Part
        One for each step in which both answer.

    Returns
    -------
    float
        At least 1.

    References
    ----------
    J. N. K. Rao and A. J. Scott, "A simple method for the analysis of clustered binary data", Biometrics 48 (1992):
    counts divided by their design effect are analysed as if they were independent. J. G. MacKinnon and H. White,
    "Some heteroskedasticity-consistent covariance matrix estimators", Journal of Econometrics 29 (1985), for HC3.

    Examples
    --------
    >>> keys = np.arange(100, dtype=np.uint64)
    >>> alone = Part(keys, np.tile([1.0, 0.0], 50), np.full(100, 10.0))
    >>> gathered = Part(keys, np.tile([10.0] + [0.0] * 9, 10), np.full(100, 10.0))
    >>> design_effect([alone], []), round(design_effect([gathered], []), 2)
    (1.0, 9.18)
    """
    found = _effect([*arm, *control])
    if sum(_worth(part.requests) for part in arm) < _FEW:
        found = max(found, _effect(arm), _effect(control))
    return found


def merged_effect(arm: Sequence[Part], control: Sequence[Part]) -> float:
    """Return how many events of an arm count as one, from how they gather in time.

    Time is halved into ever longer stretches, down to four; the largest design effect counts. What happens to both arms
    in a stretch cancels, as the day and an outage of both do. With fewer than four stretches nothing is known of how
    events gather: those of one stretch count as one.

    Parameters
    ----------
    arm, control : sequences of Part
        One for each step in which both answer; keys are numbers of stretches of equal length.

    Returns
    -------
    float
        At least 1.

    References
    ----------
    As for ``design_effect``.

    Examples
    --------
    >>> keys = np.arange(64, dtype=np.uint64)
    >>> even, burst = np.ones(64), np.zeros(64)
    >>> burst[8:16] = 8.0
    >>> quiet = Part(keys, even, np.full(64, 100.0))
    >>> merged_effect([quiet], [quiet]), merged_effect([Part(keys, burst, np.full(64, 100.0))], [quiet]) > 20
    (1.0, True)
    """
    stretches = len(np.unique(np.concatenate([part.keys for part in arm]))) if arm else 0
    events = sum(float(part.events.sum()) for part in arm)
    if stretches < 4:
        struck = len(np.unique(np.concatenate([part.keys[part.events > 0] for part in arm]))) if arm else 0
        return max(1.0, events / max(1, struck))
    return _effect([*arm, *control], halvings=_HALVINGS, fewest=4)


def clustered_share(hits: Array, units: Units, level: float) -> tuple[float, float]:
    """Return the interval of a share of answers where the answers to one entity hang together.

    Parameters
    ----------
    hits : array of shape (n,)
        0 or 1, at least one.
    units : array of shape (n,)
        Hashes of the entities.
    level : float
        Two-sided confidence, in (0, 1).

    Returns
    -------
    (float, float)
        In [0, 1]: Wilson's interval of so many answers as they are worth.

    References
    ----------
    Rao and Scott (1992), as for ``design_effect``.

    Examples
    --------
    >>> hits, alone = np.tile([1.0, 0.0], 200), np.arange(400, dtype=np.uint64)
    >>> [round(bound, 3) for bound in clustered_share(hits, alone, 0.95)]
    [0.451, 0.549]
    >>> [round(bound, 3) for bound in clustered_share(np.sort(hits), alone // np.uint64(20), 0.95)]
    [0.295, 0.705]
    """
    n, k = len(hits), float(hits.sum())
    spread = k * (n - k) / n
    worth = max(1.0, _between(hits - k / n, units) / spread) if spread > 0 else max(1.0, n / len(np.unique(units)))
    return wilson(k / worth, n / worth, level)


def clustered_mean(values: Array, units: Units, level: float) -> tuple[float, float]:
    """Return the interval of a mean over answers where the answers to one entity hang together.

    Parameters
    ----------
    values : array of shape (n,)
        In any unit.
    units : array of shape (n,)
        Hashes of at least two entities.
    level : float
        Two-sided confidence, in (0, 1).

    Returns
    -------
    (float, float)
        In the unit of the values.

    References
    ----------
    K.-Y. Liang and S. L. Zeger, "Longitudinal data analysis using generalized linear models", Biometrika 73 (1986).

    Examples
    --------
    >>> values = np.tile([1.0, 2.0, 3.0], 20)
    >>> [round(bound, 3) for bound in clustered_mean(values, np.arange(60, dtype=np.uint64), 0.95)]
    [1.787, 2.213]
    """
    mean, k = float(values.mean()), len(np.unique(units))
    half = (
        float(scipy.special.stdtrit(k - 1, 0.5 + level / 2)) * math.sqrt(_between(values - mean, units)) / len(values)
    )
    return mean - half, mean + half


def _between(residuals: Array, units: Units) -> float:
    """Return the variance of a sum over answers whose entities are independent."""
    _, places = np.unique(units, return_inverse=True)
    sums = np.bincount(places, residuals)
    return float(np.square(sums).sum()) * len(sums) / max(1, len(sums) - 1)


def _effect(parts: Sequence[Part], halvings: int = 0, fewest: int = 2) -> float:
    """Return the design effect of parts whose residuals add up by cluster; 1.0 where it is no more than chance.

    With ``halvings`` clusters are joined with their neighbours so many times, and the largest effect counts.
    """
    told = [_residuals(part) for part in parts if len(part.keys) > 1 and part.requests.sum() > 0]
    if not told:
        return 1.0
    keys, places = np.unique(np.concatenate([one[0] for one in told]), return_inverse=True)
    residual, variance, fourth = (
        np.bincount(places, np.concatenate([one[column] for one in told])) for column in (1, 2, 3)
    )
    expected, largest = float(variance.sum()), 1.0
    for _ in range(halvings + 1):
        if expected <= 0 or len(keys) < fewest:
            break
        found = float(np.square(residual).sum()) / expected
        if halvings:
            found *= len(keys) / (len(keys) - 1)
        chance = math.sqrt(float((2 * np.square(variance) + fourth).sum())) / expected
        largest = max(largest, found if found > 1 + _BEYOND_CHANCE * chance else 1.0)
        keys = keys >> np.uint64(1)
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        keys = keys[starts]
        residual, variance, fourth = (np.add.reduceat(one, starts) for one in (residual, variance, fourth))
    return largest


def _residuals(part: Part) -> tuple[Units, Array, Array, Array]:
    """Return keys, residuals, and the second and fourth cumulant of each if events were independent.

    The arm's own rate takes a part of each residual away, which its share of the requests gives back (HC3).
    """
    requests, asked = float(part.requests.sum()), part.requests
    expected = float(part.events.sum()) / requests * asked
    residual = part.weight * (part.events - expected) / (1 - np.minimum(asked / requests, _LARGEST_PART))
    return part.keys, residual, part.weight**2 * expected, part.weight**4 * expected


def _worth(requests: Array) -> float:
    """Return how many clusters of equal size would weigh as these do."""
    squares = float(np.square(requests).sum())
    return float(requests.sum()) ** 2 / squares if squares > 0 else 0.0
