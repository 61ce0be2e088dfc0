"""The cells of a confusion matrix, and of the joint one of two models, with what a row of each counts for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from modelops.metrics.rows import FloatArray


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows by cell, shape (cells,), the label codes of every cell, and the rows that a prior counts for in each.

    Of weighted rows a cell has as many as they are worth, and ``scale`` is what one counts for; 1 where all count the
    same.
    """

    counts: FloatArray
    labels: tuple[FloatArray, ...]
    prior: float
    scale: FloatArray | float = 1.0

    @property
    def totals(self) -> FloatArray:
        """What the rows of each cell count for together, shape (1, cells)."""
        return (self.counts * self.scale)[None, :]


def cells_of(columns: tuple[FloatArray, ...], weight: FloatArray | None = None) -> Cells:
    """Count the cells of label columns.

    The first column is the truth: labels that are only ever predicted share one code, which is right for no row. With
    more than 10 classes only occupied cells are kept and there is no prior (Rubin's Bayesian bootstrap): a prior on
    thousands of empty cells would outweigh the data. The weights of a cell's rows, each drawn as often as Rubin's
    bootstrap draws it, have the mean and the variance of a gamma law: that of as many rows as they are worth.
    """
    labels = np.unique(columns[0])
    labels = np.array([0.0, 1.0]) if set(labels) <= {0.0, 1.0} else labels
    k = len(labels)
    codes = []
    for column in columns:
        place = np.minimum(np.searchsorted(labels, column), k - 1)
        codes.append(np.where(labels[place] == column, place, k))
    shape = (k, *(k + 1 for _ in columns[1:]))
    flat = np.ravel_multi_index(tuple(codes), shape)
    if k > 10:
        occupied, flat = np.unique(flat, return_inverse=True)
        counts = np.bincount(flat)
        prior = 0.0
    else:
        counts = np.bincount(flat, minlength=int(np.prod(shape)))
        # Cells of a label that occurs in no truth stay empty unless a row is in them.
        grid = np.unravel_index(np.arange(len(counts)), shape)
        occupied = np.flatnonzero((counts > 0) | np.all([axis < k for axis in grid], axis=0))
        flat, counts = np.searchsorted(occupied, flat), counts[occupied]
        prior = 1.0 / k ** (len(columns) - 1)
    of_cells = tuple(axis.astype(np.float64) for axis in np.unravel_index(occupied, shape))
    if weight is None:
        return Cells(counts.astype(np.float64), of_cells, prior)
    sums, squares = (np.bincount(flat, weights=each, minlength=len(occupied)) for each in (weight, np.square(weight)))
    usual = float(np.square(weight).sum() / weight.sum())
    scale = np.divide(squares, sums, out=np.full(len(sums), usual), where=sums > 0)
    return Cells(sums / scale, of_cells, prior, scale)
