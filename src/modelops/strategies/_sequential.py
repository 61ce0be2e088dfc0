"""Always-valid statistics: they may be looked at after every request and still keep their error rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import numpy as np
import scipy

Array = np.ndarray[Any, np.dtype[np.float64]]
Units = np.ndarray[Any, np.dtype[np.uint64]]

CONCENTRATION = 10.0
_PAST_CONCENTRATION = 100.0  # measured: at 10 or 1,000 a switch is caught less often
_PAST_TRUSTED = 0.25  # the part of the bet on the past that is never at stake, so that a long past costs ln 4 at most
_DECISION_SIZE = 1_000.0  # the effective sample size at which the confidence sequence is about tightest
_FEWEST = 20  # values an arm needs in a segment before its variance is believed
_GOLDEN = (math.sqrt(5) - 1) / 2


def log_beta_tail(a: float, b: float, x: float) -> float:
    r"""Return :math:`\ln P(X > x)` for X ~ Beta(a, b), also where the probability underflows.

    Far in the tail the hypergeometric series of the incomplete beta function is summed:
    :math:`P(X > x) = \frac{x^a (1 - x)^b}{b B(a, b)} \sum_k \frac{(a + b)_k}{(b + 1)_k} (1 - x)^k`
    (DLMF 8.17.8 with the arguments exchanged).
    """
    tail = float(scipy.special.betaincc(a, b, x))
    if tail > 1e-280:
        return math.log(tail)
    k = np.arange(20_000, dtype=np.float64)
    series = 1 + float(np.cumprod((a + b + k) / (b + 1 + k) * (1 - x)).sum())
    return a * math.log(x) + b * math.log1p(-x) - math.log(b) - float(scipy.special.betaln(a, b)) + math.log(series)


def log_share_evalue(events: int, others: int, share: float, concentration: float = CONCENTRATION) -> float:
    r"""Return the logarithm of the e-value against "the share of these events is at most ``share``".

    Of e + o events e belong to the arm under trial, whose share is :math:`\theta` at most when it is no worse than the
    other arm. The alternative is a Beta prior with mean :math:`\theta` truncated to shares above it:

    .. math:: \ln E = \ln\frac{B(a + e, b + o)}{B(a, b)} - e \ln\theta - o \ln(1 - \theta)
              + \ln\frac{P(X > \theta \mid a + e, b + o)}{P(X > \theta \mid a, b)}

    with :math:`a = c\theta` and :math:`b = c(1 - \theta)`.
    Under any share up to :math:`\theta` this is a non-negative supermartingale that starts at 1, so the chance that it
    ever reaches :math:`1/\alpha` is at most :math:`\alpha` (Ville). It needs two counts, and what changes for both
    arms alike, such as the time of day, cancels.

    Parameters
    ----------
    events, others : int
        Events (errors, slow answers) of the arm under trial, and all the other events.
    share : float
        :math:`\theta`; at 0 or 1 nothing can be learned and 0.0 is returned.
    concentration : float
        c, how many events the prior counts for.

    References
    ----------
    M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 35 (2022).
    """
    if not 0 < share < 1:
        return 0.0
    a, b = concentration * share, concentration * (1 - share)
    two_sided = float(scipy.special.betaln(a + events, b + others) - scipy.special.betaln(a, b))
    two_sided -= events * math.log(share) + others * math.log1p(-share)
    return two_sided + log_beta_tail(a + events, b + others, share) - _prior_tail(share, concentration)


@lru_cache(maxsize=4096)
def _prior_tail(share: float, concentration: float) -> float:
    """Return the prior's part of the e-value, which every look at a step asks for again."""
    return log_beta_tail(concentration * share, concentration * (1 - share), share)


def share_bounds(events: int, others: int, alpha: float) -> tuple[float, float]:
    """Return bounds of the share of ``events`` that hold at every look, each with an error rate of ``alpha``.

    A share outside has an e-value of at least 1 / alpha against it. Without data they are 0 and 1.
    """
    return _lower_share(events, others, alpha), 1 - _lower_share(others, events, alpha)


def _lower_share(events: int, others: int, alpha: float) -> float:
    if events == 0:
        return 0.0
    centre = math.log(events / max(others, 0.5))
    found = bisect(lambda at: log_share_evalue(events, others, _expit(at)) + math.log(alpha), centre - 60, centre)
    return _expit(found)


def _expit(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def bisect(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Return the largest argument between low and high where a decreasing function is not negative, else ``low``."""
    if decreasing(low) < 0:
        return low
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (middle, high) if decreasing(middle) >= 0 else (low, middle)
    return low


def log_rise_evalue(
    now: tuple[int, int], before: tuple[int, int], ratio: float = 1.0, difference: float = 0.0
) -> float:
    r"""Return the logarithm of the e-value against "the rate now is at most ratio * the rate before + difference".

    ``now`` and ``before`` are (events, others) of two arms that did not run beside each other. For each rate p that the
    earlier one may have had, the product of an e-value against "the earlier rate is at least p" and one against "the
    later one is at most ratio * p + difference" is a supermartingale; a quarter of the former stays 1. The smallest
    product over all p is therefore an e-value whatever p is (universal inference): no part of alpha is set aside for
    the past, and the past may have ended at any look. What is at most 0 is an upper bound, not the minimum itself.

    References
    ----------
    L. Wasserman, A. Ramdas, S. Balakrishnan, "Universal inference", PNAS 117 (2020).
    """
    events, others = before

    def product(logit: float) -> float:
        rate = _expit(logit)
        against = log_share_evalue(others, events, 1 - rate, _PAST_CONCENTRATION)
        past = float(np.logaddexp(math.log(_PAST_TRUSTED), math.log(1 - _PAST_TRUSTED) + against))
        return past + log_share_evalue(*now, min(ratio * rate + difference, 1.0))

    # At 1 or less an e-value says nothing, and what it is exactly is not worth the search.
    observed = min(math.log((events + 0.01) / (others + 0.01)), 19.0)
    there = product(observed)
    return there if there <= 0 else min(there, _smallest(product, observed - 2, 20.0))


def _smallest(unimodal: Callable[[float], float], low: float, high: float) -> float:
    """Return the minimum of a function with one valley, by golden section."""
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = unimodal(left), unimodal(right)
    while high - low > 1e-3:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = unimodal(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = unimodal(right)
    return min(at_left, at_right)


@dataclass(frozen=True, slots=True)
class Held:
    """What Holm's procedure said of one hypothesis: whether it is rejected, and the level it was held to."""

    rejected: bool
    level: float


def holm(p_values: Sequence[float], alpha: float) -> list[Held]:
    """Return Holm's step-down decision on each of several hypotheses; at most ``alpha`` for any false rejection.

    With p-values that hold at every look the decisions do too: a true hypothesis is only ever the first false
    rejection with a p-value of at most alpha divided by the number of true ones.
    """
    left, found = len(p_values), [Held(False, alpha)] * len(p_values)
    stopped = False
    for place in sorted(range(len(p_values)), key=p_values.__getitem__):
        level = alpha / left
        stopped = stopped or p_values[place] > level
        found[place] = Held(not stopped, level)
        left -= not stopped
    return found


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
        """Return the same difference with the bounds of another error rate, under the same tuning."""
        nr2 = self.n * self.tuning
        half = self.deviation * math.sqrt(2 * (nr2 + 1) / (self.n * nr2) * math.log(math.sqrt(nr2 + 1) / alpha))
        return replace(self, lower=self.difference - half, upper=self.difference + half)

    def log_evalue(self, limit: float) -> float:
        """Return the logarithm of the e-value against "the difference is at most limit"; the bounds invert it.

        At or below the limit there is no evidence, and the value is 0 or less.
        """
        nr2, beyond = self.n * self.tuning, max(0.0, self.difference - limit)
        exponent = beyond**2 * self.n * nr2 / (2 * self.deviation**2 * (nr2 + 1))
        return exponent - math.log(nr2 + 1) / 2


def entity_means(values: Array, units: Units) -> tuple[Array, Units]:
    """Return the mean value of every entity, and the entities; without entities what is given."""
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
    """Return the :math:`r^2` of a confidence sequence that is about tightest at the decision size."""
    return (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / _DECISION_SIZE


def mean_bounds(values: Array, limit: float, alpha: float) -> Contrast | None:
    """Return an asymptotic confidence sequence of the mean of one sample, as ``mean_contrast`` makes one of two.

    One value at ``limit`` is added to the sample for its variance, so that equal values still leave room for doubt.
    None with fewer than 20 values, with one that is not finite, or with all of them at the limit.
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


def distribution_distance(first: Array, second: Array) -> float:
    """Return the two-sample Kolmogorov-Smirnov distance: the largest difference of the two distribution functions."""
    ordered_first, ordered_second = np.sort(first), np.sort(second)
    points = np.concatenate([ordered_first, ordered_second])
    share_first = np.searchsorted(ordered_first, points, side="right") / len(first)
    share_second = np.searchsorted(ordered_second, points, side="right") / len(second)
    return float(np.abs(share_first - share_second).max())


def distribution_radius(n: int, alpha: float) -> float:
    r"""Return how far an empirical distribution function of n values may be from the truth, at every n >= 1 at once.

    .. math:: 0.85 \sqrt{\frac{\ln\ln(e n) + 0.8 \ln(1612 / \alpha)}{n}}

    References
    ----------
    S. R. Howard and A. Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
    identification", Bernoulli 28 (2022), corollary 2.
    """
    return 0.85 * math.sqrt((math.log(math.log(math.e * n)) + 0.8 * math.log(1612 / alpha)) / n)


def distribution_p_value(distance: float, first: int, second: int, limit: float) -> float:
    """Return the p-value, valid at every look, of "the distributions are at most ``limit`` apart".

    ``first`` and ``second`` are the numbers of values behind the observed distance. It is the error rate, shared
    equally by the two samples, at which their bands just reach from the distance down to the limit.
    """

    def short(log_alpha: float) -> float:
        part = math.exp(log_alpha) / 2
        return distribution_radius(first, part) + distribution_radius(second, part) - (distance - limit)

    return 1.0 if short(0.0) >= 0 else math.exp(bisect(short, -600.0, 0.0))
