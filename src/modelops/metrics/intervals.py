"""Confidence intervals: closed forms, posteriors of counts, and resampling with a fixed seed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy

from modelops.metrics.rows import FloatArray

RESAMPLES = 2000
BOOTSTRAP_ROWS = 5_000  # above this many rows 2,000 resamples take seconds and tell nothing new
_CHUNK = 4_000_000  # cells held at a time: 32 MB of float64

Bounds = tuple[float, float]
IntArray = np.ndarray[Any, np.dtype[np.int64]]


def normal_quantile(level: float) -> float:
    """Return z with P(-z <= Z <= z) = level for a standard normal Z."""
    return float(scipy.special.ndtri(0.5 + level / 2))


def wilson(successes: float, n: float, level: float) -> Bounds:
    r"""Return the score interval of a proportion.

    .. math:: \frac{k + z^2/2}{n + z^2} \pm \frac{z}{n + z^2}\sqrt{\frac{k (n - k)}{n} + \frac{z^2}{4}}

    Parameters
    ----------
    successes, n : float
        k of n trials; n must be positive.
    level : float
        Two-sided confidence, in (0, 1).

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
    """
    z = normal_quantile(level)
    centre = (successes + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(successes * (n - successes) / n + z * z / 4)
    # At 0 and n the bound is exactly 0 or 1; the formula leaves rounding dust there.
    return (0.0 if successes == 0 else max(0.0, centre - half)), (1.0 if successes == n else min(1.0, centre + half))


def student(values: FloatArray, level: float) -> Bounds:
    """Return Student's t interval of the mean of independent values, shape (n,) with n >= 2."""
    n = len(values)
    half = float(scipy.special.stdtrit(n - 1, 0.5 + level / 2)) * float(values.std(ddof=1)) / math.sqrt(n)
    mean = float(values.mean())
    return mean - half, mean + half


def paired_proportions(only_first: int, only_second: int, n: int, level: float) -> Bounds:
    r"""Return the interval of a difference of two proportions measured on the same rows.

    With b rows that only the first gets right and c that only the second does,

    .. math:: \tilde p_b = \frac{b + 1}{n + 2}, \quad \tilde p_c = \frac{c + 1}{n + 2}, \quad
              \tilde p_b - \tilde p_c \pm z \sqrt{\frac{\tilde p_b + \tilde p_c - (\tilde p_b - \tilde p_c)^2}{n + 2}}

    References
    ----------
    D. G. Bonett and R. M. Price, "Adjusted Wald confidence interval for a difference of binomial proportions based on
    paired data", Journal of Educational and Behavioral Statistics 37 (2012).
    """
    first, second = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    half = normal_quantile(level) * math.sqrt((first + second - (first - second) ** 2) / (n + 2))
    return max(-1.0, first - second - half), min(1.0, first - second + half)


def percentile(draws: FloatArray, level: float) -> Bounds:
    """Return the central interval of draws, NaN draws left out."""
    lower, upper = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(lower), float(upper)


def posterior_cells(counts: FloatArray, prior: float, seed: int, draws: int = RESAMPLES) -> Iterator[FloatArray]:
    """Yield draws of unnormalised cell probabilities, shape (chunk, cells), from the Dirichlet posterior of counts.

    Unlike resampled counts these do not collapse to a point when a classifier makes no mistake in a small sample.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, min(draws, _CHUNK // max(1, len(counts))))
    for start in range(0, draws, chunk):
        yield generator.standard_gamma(counts + prior, size=(min(chunk, draws - start), len(counts)))


def resampled_counts(strata: tuple[IntArray, ...], n: int, seed: int) -> Iterator[FloatArray]:
    """Yield how often each row was drawn, shape (chunk, n), sampling with replacement inside each stratum.

    ``strata`` holds the row indices of each stratum; together they cover all n rows.
    """
    generator = np.random.default_rng(seed)
    chunk = max(1, min(RESAMPLES, _CHUNK // n))
    for start in range(0, RESAMPLES, chunk):
        size = min(chunk, RESAMPLES - start)
        offsets = np.arange(size, dtype=np.int64)[:, None] * n
        counts = np.zeros(size * n, dtype=np.int64)
        for rows in strata:
            drawn = rows[generator.integers(0, len(rows), size=(size, len(rows)))] + offsets
            counts += np.bincount(drawn.ravel(), minlength=size * n)
        yield counts.reshape(size, n).astype(np.float64)
