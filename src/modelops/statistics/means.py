"""Means that may be looked at any time: confidence sequences of one mean, of two arms, and of values by entity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from modelops.statistics import Array, Units

_DECISION_SIZE = 1_000.0  # the effective sample size at which the confidence sequence is about tightest
_FEWEST = 20  # values, or entities, that an arm needs before its variance is believed


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference with bounds that hold at every look at once; n counts the effective pairs of values behind it.

    ``deviation`` is s and ``tuning`` :math:`r^2` of ``mean_contrast``.
    """

    difference: float
    lower: float
    upper: float
    n: float
    deviation: float
    tuning: float

    def at(self, alpha: float) -> Self:
        """Return the same difference with the bounds of another error rate, under the same tuning.

        Parameters
        ----------
        alpha : float
            Error rate over all looks, two-sided, in (0, 1).

        Returns
        -------
        Contrast
            With other bounds.

        References
        ----------
        As for ``mean_contrast``.

        Examples
        --------
        >>> found = Contrast(0.1, 0.0, 0.0, 1000.0, 0.5, tuning(0.05)).at(0.05)
        >>> round(found.lower, 4), round(found.upper, 4)
        (0.052, 0.148)
        """
        nr2 = self.n * self.tuning
        half = self.deviation * math.sqrt(2 * (nr2 + 1) / (self.n * nr2) * math.log(math.sqrt(nr2 + 1) / alpha))
        return replace(self, lower=self.difference - half, upper=self.difference + half)

    def log_evalue(self, limit: float) -> float:
        """Return the logarithm of the e-value against "the difference is at most limit"; the bounds invert it.

        At or below the limit there is no evidence, and the value is 0 or less.

        Parameters
        ----------
        limit : float
            In the unit of the difference.

        Returns
        -------
        float
            In nats.

        References
        ----------
        As for ``mean_contrast``.

        Examples
        --------
        >>> found = Contrast(0.1, 0.0, 0.0, 1000.0, 0.5, tuning(0.05))
        >>> round(found.log_evalue(0.0), 3), found.log_evalue(0.2) <= 0
        (16.667, True)
        """
        nr2, beyond = self.n * self.tuning, max(0.0, self.difference - limit)
        exponent = beyond**2 * self.n * nr2 / (2 * self.deviation**2 * (nr2 + 1))
        return exponent - math.log(nr2 + 1) / 2


def entity_means(values: Array, units: Units) -> tuple[Array, Units]:
    """Return the mean value of every entity, and the entities; without entities what is given.

    Parameters
    ----------
    values : array of shape (n,)
        In any unit.
    units : array of shape (n,) or (0,)
        Hashes of the entities; empty where none are known.

    Returns
    -------
    (array of shape (k,), array of shape (k,))
        One mean and one hash for each of the k entities, in the order of the hashes.

    References
    ----------
    A. Deng, U. Knoblich, J. Lu, "Applying the delta method in metric analytics", KDD (2018): the unit of
    randomisation is the unit of analysis.

    Examples
    --------
    >>> means, entities = entity_means(np.array([1.0, 0.0, 1.0]), np.array([7, 7, 9], dtype=np.uint64))
    >>> means.tolist(), entities.tolist()
    ([0.5, 1.0], [7, 9])
    """
    if not len(units):
        return values, units
    different, places, counts = np.unique(units, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(places, values) / counts), different


def mean_contrast(
    pairs: Sequence[tuple[Array, Array]],
    ratio: float,
    alpha: float,
    tuned: float | None = None,
    units: Sequence[tuple[Units, Units]] = (),
) -> Contrast | None:
    r"""Return an asymptotic confidence sequence of mean(candidate) - ratio * mean(stable), stratified by segment.

    Segment k with :math:`n_c` and :math:`n_s` values has :math:`n_k = n_c n_s / (n_c + n_s)` effective pairs, contrast
    :math:`d_k` and variance :math:`v_k`. Arms are only ever compared within a segment, so a change over time that
    coincides with a change of weights cannot pass for a difference. With :math:`n = \sum n_k`,
    :math:`d = \sum n_k d_k / n` and :math:`s^2 = \sum n_k^2 v_k / n` the half-width is

    .. math:: s \sqrt{\frac{2 (n r^2 + 1)}{(n r)^2} \ln\frac{\sqrt{n r^2 + 1}}{\alpha}}, \quad
              r^2 = \frac{-2 \ln\alpha + \ln(1 - 2 \ln\alpha)}{n^*}

    with :math:`n^*` = 1,000; r is tuned for ``tuned`` where that is given, so that sequences of several error rates
    lie inside each other. An entity that comes back in another segment is no independent evidence: where ``units`` are
    known, :math:`s^2` grows by as much as adding up what each entity contributes, before it is squared, makes of it.

    Parameters
    ----------
    pairs : sequence of (candidate, stable)
        Values of both arms per segment, shapes (n_c,) and (n_s,). Segments in which an arm has fewer than 20 values,
        or a value that is not finite, are left out.
    ratio : float
        What the stable mean is multiplied with.
    alpha : float
        Error rate over all looks, two-sided, in (0, 1).
    tuned : float, optional
        The error rate that r is tuned for; ``alpha`` by default.
    units : sequence of (candidate, stable), optional
        The entities of the values, each at most once in a segment.

    Returns
    -------
    Contrast or None
        None when no segment can be used, or when nothing varies, which says nothing about the error.

    References
    ----------
    I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences", Annals of Statistics 52 (2024).

    Examples
    --------
    >>> candidate, stable = np.tile([0.0, 0.0, 1.0], 400), np.tile([0.0, 0.0, 0.0, 1.0], 300)
    >>> found = mean_contrast([(candidate, stable)], 1.0, 0.05)
    >>> round(found.difference, 4), round(found.lower, 4), round(found.upper, 4), found.n
    (0.0833, 0.0255, 0.1412, 600.0)
    """
    n, total, spread, told = 0.0, 0.0, 0.0, []
    for place, (candidate, stable) in enumerate(pairs):
        if min(len(candidate), len(stable)) < _FEWEST:
            continue
        if not (np.isfinite(candidate).all() and np.isfinite(stable).all()):
            continue
        size = len(candidate) * len(stable) / (len(candidate) + len(stable))
        of_candidate, of_stable = _variances(candidate, stable)
        variance = of_candidate / len(candidate) + ratio**2 * of_stable / len(stable)
        n += size
        total += size * (float(candidate.mean()) - ratio * float(stable.mean()))
        spread += size**2 * variance
        if units:
            told.append((size / len(candidate) * (candidate - candidate.mean()), units[place][0]))
            told.append((ratio * size / len(stable) * (stable - stable.mean()), units[place][1]))
    if spread <= 0:
        return None
    spread *= _inflation(told)
    squared = tuning(alpha if tuned is None else tuned)
    return Contrast(total / n, 0.0, 0.0, n, math.sqrt(spread / n), squared).at(alpha)


def tuning(alpha: float) -> float:
    """Return the :math:`r^2` of a confidence sequence that is about tightest at the decision size.

    Parameters
    ----------
    alpha : float
        Error rate, in (0, 1).

    Returns
    -------
    float
        Per value, above 0.

    References
    ----------
    As for ``mean_contrast``.

    Examples
    --------
    >>> round(tuning(0.05), 6)
    0.007936
    """
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / _DECISION_SIZE


def mean_bounds(values: Array, limit: float, alpha: float) -> Contrast | None:
    """Return an asymptotic confidence sequence of the mean of one sample, as ``mean_contrast`` makes one of two.

    One value at ``limit`` is added to the sample for its variance, so that equal values still leave room for doubt.
    None with fewer than 20 values, with one that is not finite, or with all of them at the limit.

    Parameters
    ----------
    values : array of shape (n,)
        In any unit.
    limit : float
        What the mean is held against, in the same unit.
    alpha : float
        Error rate over all looks, two-sided, in (0, 1).

    Returns
    -------
    Contrast or None
        None with fewer than 20 values, with one that is not finite, or with all of them at the limit.

    References
    ----------
    As for ``mean_contrast``.

    Examples
    --------
    >>> found = mean_bounds(np.tile([0.01, 0.03], 200), 0.05, 0.05)
    >>> round(found.difference, 4), round(found.upper, 4)
    (0.02, 0.0216)
    """
    n = len(values)
    if n < _FEWEST or not np.isfinite(values).all():
        return None
    enlarged = np.append(values, limit)
    if np.ptp(enlarged) == 0:
        return None
    deviation = float(enlarged.std(ddof=1))
    return Contrast(float(values.mean()), 0.0, 0.0, n, deviation, tuning(alpha)).at(alpha)


def _inflation(told: Sequence[tuple[Array, Units]]) -> float:
    """Return by how much entities that come back make a variance larger; they stay with their arm."""
    known = [(parts, units) for parts, units in told if len(units)]
    single = sum(float(np.square(parts).sum()) for parts, _ in known)
    if len(known) <= 2 or single <= 0:
        return 1.0
    parts, units = (np.concatenate(column) for column in zip(*known, strict=True))
    _, places = np.unique(units, return_inverse=True)
    return max(1.0, float(np.square(np.bincount(places, parts)).sum()) / single)


def _variances(first: Array, second: Array) -> tuple[float, float]:
    """Return the variances of two samples; of shares none is smaller than both together say.

    A small arm in which a rare event has not happened yet is not known to have none.
    """
    found = _variance(first), _variance(second)
    if min(first.min(), second.min()) < 0 or max(first.max(), second.max()) > 1:
        return found
    shares = [(float(values.sum()) + 1) / (len(values) + 2) for values in (first, second)]
    both = (shares[0] * len(first) + shares[1] * len(second)) / (len(first) + len(second))
    larger = [max(1.0, both * (1 - both) / (share * (1 - share))) for share in shares]
    return found[0] * larger[0], found[1] * larger[1]


def _variance(values: Array) -> float:
    """Return the sample variance; of 0/1 values with one success and one failure added, so that it is never zero."""
    if np.isin(values, (0.0, 1.0)).all():
        share = (float(values.sum()) + 1) / (len(values) + 2)
        return share * (1 - share)
    return float(values.var(ddof=1)) if np.ptp(values) > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """An arm's metric: its mean and the variance of that mean, from so many entities and answers.

    ``size`` is how many independent answers would give that mean the same variance; it lies between the two. ``share``
    is the mean of 0/1 values with one success and one failure added, None for other values.
    """

    mean: float
    variance: float
    size: float
    entities: int
    answers: int
    share: float | None = None


def is_binary(values: Array) -> bool:
    """Tell whether all values are 0 or 1.

    Parameters
    ----------
    values : array of shape (n,)
        In any unit.

    Returns
    -------
    bool
        True for no values at all.

    Examples
    --------
    >>> is_binary(np.array([0.0, 1.0])), is_binary(np.array([0.5]))
    (True, False)
    """
    return bool(((values == 0) | (values == 1)).all())


def _spread(values: Array, binary: bool) -> float:
    """Return the variance; of shares with one failure and one success added, so that it is never zero."""
    if binary:
        return float(np.append(values, (0.0, 1.0)).var())
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def sample_of_events(events: int, requests: int, entities: int) -> Sample | None:
    """Return the rate of an event of which only counts are known, worth one answer for each entity.

    None with fewer than 20 entities. Every answer of an entity counts as if they went wrong together.

    Parameters
    ----------
    events, requests, entities : int
        How many answers had the event, how many there were, and of how many different entities.

    Returns
    -------
    Sample or None
        A rate; None with fewer than 20 entities.

    References
    ----------
    E. T. Jaynes, "Probability Theory: The Logic of Science" (2003), chapter 18, for the added success and failure.

    Examples
    --------
    >>> found = sample_of_events(5, 1000, 200)
    >>> found.mean, round(found.variance, 8), found.size
    (0.005, 2.976e-05, 200.0)
    >>> sample_of_events(5, 1000, 19) is None
    True
    """
    entities = min(requests, entities)
    if entities < _FEWEST:
        return None
    share = (events + 1) / (requests + 2)
    return Sample(events / requests, share * (1 - share) / entities, float(entities), entities, requests, share)


def sample_of_values(values: Array, units: Units) -> Sample | None:
    r"""Return a mean over entities; None while fewer than 20 are known, or nothing varies.

    Every entity counts once, with the mean of its values: entities are what is assigned, and so what is independent,
    and no heavy user outweighs the others. With K entities whose means have variance :math:`s^2`, and single answers
    of variance :math:`\sigma^2`, the variance of the mean is :math:`s^2 / K`, worth
    :math:`\sigma^2 K / s^2` independent answers.

    Parameters
    ----------
    values : array of shape (n,)
        In any unit.
    units : array of shape (n,) or (0,)
        Hashes of the entities; empty where none are known.

    Returns
    -------
    Sample or None
        In the unit of the values.

    References
    ----------
    Deng et al. (2018), as for ``entity_means``.

    Examples
    --------
    >>> found = sample_of_values(np.tile([1.0, 2.0, 3.0], 20), np.arange(60, dtype=np.uint64) // 2)
    >>> found.mean, found.entities, found.answers, round(found.size)
    (2.0, 30, 60, 118)
    """
    means, _ = entity_means(values, units)
    if len(means) < _FEWEST:
        return None
    binary = is_binary(values)
    variance = _spread(means, binary) / len(means)
    if variance <= 0:
        return None
    size = max(float(len(means)), _spread(values, binary) / variance)
    smoothed = float(np.append(values, (0.0, 1.0)).mean()) if binary else None
    return Sample(float(means.mean()), variance, size, len(means), len(values), smoothed)


def _believed(arm: Sample, control: Sample) -> tuple[float, float]:
    """Return the variances of two means; of 0/1 values none is smaller than the shares of both arms together say.

    A small arm that has had no event yet is not known to have none.
    """
    if arm.share is None or control.share is None:
        return arm.variance, control.variance
    both = (arm.share * arm.entities + control.share * control.entities) / (arm.entities + control.entities)
    first, second = (max(1.0, both * (1 - both) / (share * (1 - share))) for share in (arm.share, control.share))
    return arm.variance * first, control.variance * second


def improvement(arm: Sample, control: Sample, sign: float, alpha: float) -> Contrast:
    """Return by how much an arm is better than the control: ``sign`` times the difference of their means.

    The bounds are the asymptotic confidence sequence of ``mean_contrast``, and hold at every look at once. What plays
    the number of values there is the number of independent answers that the observed variance is worth: while the same
    entities come back the variance falls, and looks still count as looks at new data.

    Parameters
    ----------
    arm, control : Sample
        Of the same metric.
    sign : float
        1.0 where more is better, else -1.0.
    alpha : float
        Error rate over all looks, two-sided, in (0, 1).

    Returns
    -------
    Contrast
        In the unit of the metric; positive is better.

    References
    ----------
    As for ``mean_contrast``.

    Examples
    --------
    >>> better = improvement(sample_of_events(5, 9000, 9000), sample_of_events(90, 9000, 9000), -1.0, 0.05)
    >>> round(better.difference, 5), round(better.lower, 5), round(better.upper, 5)
    (0.00944, 0.00534, 0.01355)
    """
    n = arm.size * control.size / (arm.size + control.size)
    deviation = math.sqrt(sum(_believed(arm, control)) * n)
    return Contrast(sign * (arm.mean - control.mean), 0.0, 0.0, n, deviation, tuning(alpha)).at(alpha)
