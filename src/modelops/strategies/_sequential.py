"""Always-valid statistics: they may be looked at after every request and still keep their error rate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

Array = np.ndarray[Any, np.dtype[np.float64]]

CONCENTRATION = 10.0
_DECISION_SIZE = 1_000.0  # the effective sample size at which the confidence sequence is about tightest
_FEWEST = 20  # values an arm needs in a segment before its variance is believed


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
    return two_sided + log_beta_tail(a + events, b + others, share) - log_beta_tail(a, b, share)


@dataclass(frozen=True, slots=True)
class Contrast:
    """A difference with bounds that hold at every look at once; n counts the effective pairs of values behind it."""

    difference: float
    lower: float
    upper: float
    n: float


def mean_contrast(pairs: Sequence[tuple[Array, Array]], ratio: float, alpha: float) -> Contrast | None:
    r"""Return an asymptotic confidence sequence of mean(candidate) - ratio * mean(stable), stratified by segment.

    Segment k with :math:`n_c` and :math:`n_s` values has :math:`n_k = n_c n_s / (n_c + n_s)` effective pairs, contrast
    :math:`d_k` and variance :math:`v_k`. Arms are only ever compared within a segment, so a change over time that
    coincides with a change of weights cannot pass for a difference. With :math:`n = \sum n_k`,
    :math:`d = \sum n_k d_k / n` and :math:`s^2 = \sum n_k^2 v_k / n` the half-width is

    .. math:: s \sqrt{\frac{2 (n r^2 + 1)}{(n r)^2} \ln\frac{\sqrt{n r^2 + 1}}{\alpha}}, \quad
              r^2 = \frac{-2 \ln\alpha + \ln(1 - 2 \ln\alpha)}{n^*}

    with :math:`n^*` = 1,000.

    Parameters
    ----------
    pairs : sequence of (candidate, stable)
        Values of both arms per segment, shapes (n_c,) and (n_s,). Segments in which an arm has fewer than 20 values,
        or a value that is not finite, are left out.
    ratio : float
        What the stable mean is multiplied with.
    alpha : float
        Error rate over all looks, two-sided, in (0, 1).

    Returns
    -------
    Contrast or None
        None when no segment can be used, or when nothing varies, which says nothing about the error.

    References
    ----------
    I. Waudby-Smith, D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences", Annals of Statistics 52 (2024).
    """
    n, total, spread = 0.0, 0.0, 0.0
    for candidate, stable in pairs:
        if min(len(candidate), len(stable)) < _FEWEST:
            continue
        if not (np.isfinite(candidate).all() and np.isfinite(stable).all()):
            continue
        size = len(candidate) * len(stable) / (len(candidate) + len(stable))
        variance = _variance(candidate) / len(candidate) + ratio**2 * _variance(stable) / len(stable)
        n += size
        total += size * (float(candidate.mean()) - ratio * float(stable.mean()))
        spread += size**2 * variance
    if spread <= 0:
        return None
    r2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / _DECISION_SIZE
    deviation = math.sqrt(spread / n)
    half = deviation * math.sqrt(2 * (n * r2 + 1) / (n * n * r2) * math.log(math.sqrt(n * r2 + 1) / alpha))
    return Contrast(total / n, total / n - half, total / n + half, n)


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
