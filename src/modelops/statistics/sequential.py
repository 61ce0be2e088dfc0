"""Tests with counts that may be looked at after every request and still keep their error rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy

CONCENTRATION = 10.0
_PAST_CONCENTRATION = 100.0  # measured: at 10 or 1,000 a switch is caught less often
_PAST_TRUSTED = 0.25  # the part of the bet on the past that is never at stake, so that a long past costs ln 4 at most
_SPLIT_CONCENTRATION = 100.0  # how many entities the prior on a split counts for
_LARGEST = 1e12  # e-values are written down up to here; more says nothing more
_GOLDEN = (math.sqrt(5) - 1) / 2


def log_beta_tail(a: float, b: float, x: float) -> float:
    r"""Return :math:`\ln P(X > x)` for X ~ Beta(a, b), also where the probability underflows.

    Far in the tail the hypergeometric series of the incomplete beta function is summed:
    :math:`P(X > x) = \frac{x^a (1 - x)^b}{b B(a, b)} \sum_k \frac{(a + b)_k}{(b + 1)_k} (1 - x)^k`
    (DLMF 8.17.8 with the arguments exchanged).

    Parameters
    ----------
    a, b : float
        Parameters of the distribution, above 0.
    x : float
        In (0, 1).

    Returns
    -------
    float
        In nats, at most 0.

    References
    ----------
    NIST Digital Library of Mathematical Functions, 8.17.

    Examples
    --------
    >>> round(log_beta_tail(2.0, 3.0, 0.5), 6), round(log_beta_tail(1.0, 5000.0, 0.5), 1)
    (-1.163151, -3465.7)
    """
    tail = float(scipy.special.betaincc(a, b, x))
    if tail > 1e-280:
        return math.log(tail)
    k = np.arange(20_000, dtype=np.float64)
    series = 1 + float(np.cumprod((a + b + k) / (b + 1 + k) * (1 - x)).sum())
    return a * math.log(x) + b * math.log1p(-x) - math.log(b) - float(scipy.special.betaln(a, b)) + math.log(series)


def log_share_evalue(events: float, others: float, share: float, concentration: float = CONCENTRATION) -> float:
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
    events, others : float
        Events (errors, slow answers) of the arm under trial, and all the other events; fractions where several count
        as one.
    share : float
        :math:`\theta`; at 0 or 1 nothing can be learned and 0.0 is returned.
    concentration : float
        c, how many events the prior counts for.

    Returns
    -------
    float
        In nats; above 0 it speaks against the share.

    References
    ----------
    M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 35 (2022).

    Examples
    --------
    >>> [round(log_share_evalue(events, 10, 0.5), 3) for events in (5, 10, 30)]
    [-1.128, -0.566, 4.069]
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

    Parameters
    ----------
    events, others : int
        Counts of what the share is of, and of all else.
    alpha : float
        Error rate of each bound over all looks, in (0, 1).

    Returns
    -------
    (float, float)
        In [0, 1].

    References
    ----------
    As for ``log_share_evalue``.

    Examples
    --------
    >>> [round(bound, 3) for bound in share_bounds(30, 70, 0.025)]
    [0.175, 0.448]
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
    """Return the largest argument between low and high where a decreasing function is not negative, else ``low``.

    Parameters
    ----------
    decreasing : callable
        From float to float, without a jump where it changes its sign.
    low, high : float
        Where to look.

    Returns
    -------
    float
        To the part 2**-32 of the span.

    Examples
    --------
    >>> round(bisect(lambda x: 2 - x * x, 0.0, 2.0), 6)
    1.414214
    """
    if decreasing(low) < 0:
        return low
    for _ in range(32):
        middle = (low + high) / 2
        low, high = (middle, high) if decreasing(middle) >= 0 else (low, middle)
    return low


def log_rise_evalue(
    now: tuple[float, float], before: tuple[float, float], ratio: float = 1.0, difference: float = 0.0
) -> float:
    """Return the logarithm of the e-value against "the rate now is at most ratio * the rate before + difference".

    ``now`` and ``before`` are (events, others) of two arms that did not run beside each other. For each rate p that the
    earlier one may have had, the product of an e-value against "the earlier rate is at least p" and one against "the
    later one is at most ratio * p + difference" is a supermartingale; a quarter of the former stays 1. The smallest
    product over all p is therefore an e-value whatever p is (universal inference): no part of alpha is set aside for
    the past, and the past may have ended at any look. What is at most 0 is an upper bound, not the minimum itself.

    Parameters
    ----------
    now, before : (float, float)
        Events and others of the later and of the earlier arm.
    ratio, difference : float
        The limit: ``ratio`` is at least 0, ``difference`` in units of probability.

    Returns
    -------
    float
        In nats; above 0 it speaks against the hypothesis.

    References
    ----------
    L. Wasserman, A. Ramdas, S. Balakrishnan, "Universal inference", PNAS 117 (2020).

    Examples
    --------
    >>> round(log_rise_evalue((30, 970), (10, 4990)), 2), log_rise_evalue((2, 998), (10, 4990)) <= 0
    (29.85, True)
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

    Parameters
    ----------
    p_values : sequence of n floats
        In [0, 1].
    alpha : float
        Error rate of the whole family, in (0, 1).

    Returns
    -------
    list of n Held
        In the order of ``p_values``.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6 (1979).

    Examples
    --------
    >>> [(held.rejected, round(held.level, 4)) for held in holm([0.04, 0.001, 0.03], 0.05)]
    [(False, 0.025), (True, 0.0167), (False, 0.025)]
    """
    left, found = len(p_values), [Held(False, alpha)] * len(p_values)
    stopped = False
    for place in sorted(range(len(p_values)), key=p_values.__getitem__):
        level = alpha / left
        stopped = stopped or p_values[place] > level
        found[place] = Held(not stopped, level)
        left -= not stopped
    return found


def p_value(log_evalue: float) -> float:
    """Return the p-value that an e-value is worth: one over it, at most 1.

    Parameters
    ----------
    log_evalue : float
        In nats.

    Returns
    -------
    float
        In [exp(-700), 1].

    References
    ----------
    V. Vovk and R. Wang, "E-values: calibration, combination and applications", Annals of Statistics 49 (2021).

    Examples
    --------
    >>> p_value(-1.0), round(p_value(3.0), 4)
    (1.0, 0.0498)
    """
    return math.exp(-min(max(log_evalue, 0.0), 700.0))


def evalue(log_evalue: float) -> float:
    """Return an e-value as it is written down.

    Parameters
    ----------
    log_evalue : float
        In nats.

    Returns
    -------
    float
        At most 1e12: more says nothing more.

    References
    ----------
    As for ``p_value``.

    Examples
    --------
    >>> evalue(0.0), evalue(1000.0)
    (1.0, 1000000000000.0)
    """
    return min(_LARGEST, math.exp(min(log_evalue, 100.0)))


def part_of_alpha(place: int) -> float:
    r"""Return the part of an error rate for the place-th of any number of looks: :math:`6 / (\pi (place + 1))^2`.

    Parameters
    ----------
    place : int
        From 0.

    Returns
    -------
    float
        In (0, 1); the parts of all places sum to 1.

    References
    ----------
    K. K. G. Lan and D. L. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983), for
    spending an error rate over looks.

    Examples
    --------
    >>> round(part_of_alpha(0), 4), round(sum(map(part_of_alpha, range(100_000))), 4)
    (0.6079, 1.0)
    """
    return 6 / (math.pi * (place + 1)) ** 2


def share_at_ratio(weight: float, ratio: float) -> float:
    r"""Return an arm's share of the events when its rate is so many times that of the other arm.

    .. math:: \theta = \frac{\rho w}{\rho w + 1 - w}

    Parameters
    ----------
    weight : float
        The arm's share of the requests, in [0, 1].
    ratio : float
        Its rate as a multiple of the other's, at least 0.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    As for ``log_share_evalue``.

    Examples
    --------
    >>> share_at_ratio(0.5, 1.0), round(share_at_ratio(0.1, 2.0), 4)
    (0.5, 0.1818)
    """
    return ratio * weight / (ratio * weight + 1 - weight)


def log_split_evalue(counts: Sequence[float], shares: Sequence[float]) -> float:
    r"""Return the logarithm of the e-value against "entities are split in these shares".

    The alternative is a Dirichlet prior around the intended shares :math:`\theta`, worth c = 100 entities:

    .. math:: \ln E = \ln\frac{\Gamma(c)}{\Gamma(c + n)} + \sum_i \ln\frac{\Gamma(c\theta_i + n_i)}{\Gamma(c\theta_i)}
              - \sum_i n_i \ln\theta_i

    Unlike a chi-square test it may be looked at after every entity: the chance that E ever reaches
    :math:`1/\alpha` under the intended split is at most :math:`\alpha`.

    Parameters
    ----------
    counts : sequence of k floats
        Entities seen in each arm; fractions where several count as one.
    shares : sequence of k floats
        The shares that were intended, above 0; they need not sum to 1.

    Returns
    -------
    float
        In nats; above 0 it speaks against the split.

    References
    ----------
    M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data", NeurIPS 35 (2022).

    Examples
    --------
    >>> round(log_split_evalue([500, 500], [0.5, 0.5]), 2), round(log_split_evalue([600, 400], [0.5, 0.5]), 2)
    (-1.2, 17.1)
    """
    n, theta = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    prior = _SPLIT_CONCENTRATION * theta / theta.sum()
    gammaln = scipy.special.gammaln
    found = gammaln(prior.sum()) - gammaln(prior.sum() + n.sum()) + (gammaln(prior + n) - gammaln(prior)).sum()
    return float(found - (n * np.log(theta / theta.sum())).sum())
