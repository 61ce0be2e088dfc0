"""Values that came more often than before, with another label than before: what a planted trigger leaves in data."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy

from modelops.statistics import Array

__all__ = ["Counts", "Spike", "smallest_seen", "spikes"]

_APART = 0.25
"""By how much a label has to be more common among the additional rows than it was before."""
_TIMES = 2.0
"""How many times as often as before a cell has to come: of less, what is additional is lost in how the rest changed."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of several cells of a column by label, in new data and in old: all of shape (cells, labels).

    ``expected`` are the shares of the labels that rows of a cell had before; where few did, those of the rows around
    it. They rest on ``rests_on`` old rows, shape (cells,).
    """

    new: Array
    old: Array
    expected: Array
    rests_on: Array


@dataclass(frozen=True, slots=True)
class Spike:
    """A cell with more rows than before, whose additional rows have one label: its place, label and numbers.

    ``rows`` are new, ``additional`` those beyond the old share, ``purity`` is the share of these with the label, and
    ``expected`` that of the label before. ``p_value`` is that of the less sure of the two: more rows, other labels.
    """

    cell: int
    label: int
    rows: int
    additional: float
    purity: float
    expected: float
    p_value: float


def spikes(counts: Counts, new_rows: int, old_rows: int, purity: float) -> list[Spike]:
    r"""Find cells that got more rows, and other labels with them.

    With n new and m old rows, a and b of them in a cell, k and j of these with a label: the rows are more if
    :math:`P(Bin(a + b, n / (n + m)) \ge a)` is small, and the labels are others if k of a is more than the expected
    share allows, by Fisher's exact test of a new rows against those that the share rests on. Both have to hold, so the
    larger of the two is the p-value of a cell and label. Of the :math:`a - nb / m` additional rows the share ``purity``
    has to have the label at least, and it must not have been almost as common before. They have to be half of the rows
    or more: where a few more came to many, labels of the many that changed would be taken for theirs.

    Parameters
    ----------
    counts : Counts
        Of one column.
    new_rows, old_rows : int
        All rows of the new and of the old data, those outside of the cells included.
    purity : float
        In (0, 1].

    Returns
    -------
    list of Spike
        With their p-values, which no correction was made of yet: there are as many tests as cells and labels.

    References
    ----------
    T. Gu, B. Dolan-Gavitt, S. Garg, "BadNets: identifying vulnerabilities in the machine learning model supply chain"
    (2017), for triggers; R. A. Fisher, "The Design of Experiments" (1935), for the exact test.

    Examples
    --------
    >>> old, new = np.array([[40.0, 10.0]]), np.array([[41.0, 110.0]])
    >>> share = np.array([[0.8, 0.2]])
    >>> (found,) = spikes(Counts(new, old, share, np.array([50.0])), 5000, 5000, 0.9)
    >>> found.label, found.rows, found.additional, round(found.purity, 2), found.p_value < 1e-9
    (1, 151, 101.0, 0.99, True)
    """
    total, before = counts.new.sum(axis=1), counts.old.sum(axis=1)
    more = scipy.stats.binom.sf(total - 1, total + before, new_rows / (new_rows + old_rows))
    behind = np.rint(counts.expected * counts.rests_on[:, None])
    others = scipy.stats.hypergeom.sf(
        counts.new - 1, (total + counts.rests_on)[:, None], counts.new + behind, total[:, None]
    )
    additional = total - new_rows * before / old_rows
    gained = counts.new - new_rows * counts.old / old_rows
    with np.errstate(invalid="ignore", divide="ignore"):
        twice = (additional > 0) & (additional >= total * (1 - 1 / _TIMES))
        pure = np.where(twice[:, None], gained / additional[:, None], 0.0)
    p_values = np.maximum(more[:, None], others)
    return [
        Spike(
            int(cell),
            int(label),
            int(total[cell]),
            float(additional[cell]),
            float(min(1.0, pure[cell, label])),
            float(counts.expected[cell, label]),
            float(p_values[cell, label]),
        )
        for cell, label in zip(*np.nonzero((pure >= purity) & (pure - counts.expected >= _APART)), strict=True)
    ]


def smallest_seen(expected: float, new_rows: int, old_rows: int, p_value: float) -> int:
    """Return how many rows of one label a value that was never there before takes to be found at a p-value.

    Parameters
    ----------
    expected : float
        The share of the label in the rows around it, in (0, 1).
    new_rows, old_rows : int
        All rows of the new and of the old data.
    p_value : float
        In (0, 1).

    Returns
    -------
    int
        Rows; with many old rows around, on which ``expected`` is sure.

    References
    ----------
    As for ``spikes``: both probabilities are powers of the number of rows.

    Examples
    --------
    >>> smallest_seen(0.2, 5000, 5000, 1e-5), smallest_seen(0.5, 5000, 50_000, 1e-5)
    (17, 17)
    """
    often = max(expected, new_rows / (new_rows + old_rows))
    return math.ceil(math.log(p_value) / math.log(often)) if often < 1 else new_rows
