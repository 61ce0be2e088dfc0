"""Shapley values by asking the release: all coalitions of few features, or orders drawn at random."""

from __future__ import annotations

from math import comb
from typing import Any

import numpy as np

from modelops.errors import ModelOpsError
from modelops.reasons.asking import Budget, Columns, Mixer
from modelops.reasons.explanation import MOST_ROUNDS
from modelops.reasons.scales import plain

__all__ = ["enumerable", "enumerated", "sampled"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

MOST_ENUMERATED = 8192
"""So many rows are asked at most to go through all coalitions."""
SEED = 20_240_229


def enumerable(mixer: Mixer) -> bool:
    """Tell whether all coalitions can be gone through."""
    return len(mixer.names) <= 12 and mixer.rows << len(mixer.names) <= MOST_ENUMERATED


def enumerated(mixer: Mixer, row: Columns, target: int, budget: Budget) -> tuple[float, FloatArray]:
    """Return the mean score of the background and exact contributions, shape (k,), on the scale of the scores."""
    width, rows = len(mixer.names), mixer.rows
    coalitions = (np.arange(1 << width)[:, None] >> np.arange(width)) & 1 == 1
    asked = mixer.mixed(row, lambda at: coalitions[at // rows], lambda at: at % rows, len(coalitions) * rows, budget)
    values = plain(asked)[:, target].reshape(len(coalitions), rows).mean(axis=1)
    sizes = coalitions.sum(axis=1)
    weights = np.array([1.0 / (width * comb(width - 1, size)) if size < width else 0.0 for size in sizes])
    found = np.empty(width)
    for at in range(width):
        without = np.flatnonzero(~coalitions[:, at])
        found[at] = (weights[without] * (values[without | (1 << at)] - values[without])).sum()
    return float(values[0]), found


def sampled(
    mixer: Mixer,
    row: Columns,
    ends: tuple[FloatArray, float],
    target: int,
    budget: Budget,
    rounds: int | None = None,
) -> tuple[FloatArray, FloatArray, int]:
    """Return contributions and their standard errors, shape (k,), and how many rounds there was time for.

    ``ends`` are the scores of the background rows, shape (n,), and of the row. Each round takes every row of the
    background once, with one order of the features and its reverse (Mitchell et al. 2022, antithetic permutations), so
    that contributions add up exactly. The orders are the same for every row and machine. ``rounds`` asks for so many.
    """
    width, rows = len(mixer.names), mixer.rows
    random = np.random.default_rng(SEED)
    found: list[FloatArray] = []
    least = 2 * rows * max(width - 1, 0)
    while len(found) < (rounds or MOST_ROUNDS):
        if found and rounds is None and not budget.allows(mixer.seconds * least):
            break
        orders = random.permuted(np.tile(np.arange(width), (rows, 1)), axis=1)
        try:
            there = _along(mixer, row, orders, ends, target, budget)
            back = _along(mixer, row, orders[:, ::-1], ends, target, budget)
        except ModelOpsError:
            # What a round was thought to take was too little; those before it count.
            if not found:
                raise
            break
        found.append((there + back) / 2)
    samples = np.array(found)
    return samples.mean(axis=(0, 1)), _errors(samples), len(found)


def _errors(samples: FloatArray) -> FloatArray:
    """Return the standard errors of means of samples, shape (rounds, rows, k).

    Rows of the background are no chance: each is taken in every round, so that only what differs between the rounds of
    one row counts. Of a single round it is what differs between rows, which is more.
    """
    rounds, rows, _ = samples.shape
    if rounds > 1:
        errors: FloatArray = np.sqrt(samples.var(axis=0, ddof=1).sum(axis=0) / rounds) / rows
        return errors
    return samples[0].std(axis=0, ddof=1) / np.sqrt(rows) if rows > 1 else np.zeros(samples.shape[2])


def _along(
    mixer: Mixer,
    row: Columns,
    orders: np.ndarray[Any, Any],
    ends: tuple[FloatArray, float],
    target: int,
    budget: Budget,
) -> FloatArray:
    """Return what each feature changed when features were given in an order, from each row of the background on."""
    rows, width = orders.shape
    rank = np.argsort(orders, axis=1)
    steps = width - 1
    between = np.empty((rows, 0))
    if steps:
        asked = mixer.mixed(
            row,
            lambda at: rank[at // steps] <= (at % steps)[:, None],
            lambda at: at // steps,
            rows * steps,
            budget,
        )
        between = plain(asked)[:, target].reshape(rows, steps)
    path = np.column_stack([ends[0], between, np.full(rows, ends[1])])
    changes = np.empty((rows, width))
    np.put_along_axis(changes, orders, np.diff(path, axis=1), axis=1)
    return changes
