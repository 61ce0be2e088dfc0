"""Distances between two distributions that are given as counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

_SMALLEST_SHARE = 1e-4


@dataclass(frozen=True, slots=True)
class Stability:
    """A population stability index with its mean (``expected``) and ``critical`` value when nothing changed."""

    value: float
    expected: float
    critical: float


def population_stability(reference: Sequence[int], window: Sequence[int], significance: float = 0.05) -> Stability:
    r"""Compare the counts of two samples over the same B bins.

    .. math:: PSI = \sum_i (q_i - p_i) \ln (q_i / p_i)

    With no change PSI is distributed like :math:`(1/n + 1/m)\,\chi^2_{B - 1}` for n reference and m window rows. A
    share is taken as at least half a row of the smaller sample and at least 0.0001, so empty bins are finite.

    Parameters
    ----------
    reference, window : sequences of B counts
        Each must sum to more than zero.
    significance : float
        Probability, in (0, 1), that PSI exceeds ``critical`` when nothing changed.

    References
    ----------
    B. Yurdakul and J. Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
    Validation 14 (2020).
    """
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(window, dtype=np.float64)
    n, m = first.sum(), second.sum()
    filled = (first > 0) | (second > 0)
    floor = max(0.5 / min(n, m), _SMALLEST_SHARE)
    p, q = np.maximum(first[filled] / n, floor), np.maximum(second[filled] / m, floor)
    noise, degrees = 1 / n + 1 / m, int(filled.sum()) - 1
    return Stability(
        value=float(np.sum((q - p) * np.log(q / p))),
        expected=float(degrees * noise),
        critical=float(noise * scipy.special.chdtri(degrees, significance)) if degrees else 0.0,
    )
