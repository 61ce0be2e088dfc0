"""Scores that are sums of one term a feature on some scale: linear models, and all that are so without saying it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelops.reasons.asking import Budget, Columns, Mixer
from modelops.reasons.scales import SCALES, Turn
from modelops.spec.kinds.model import Task

__all__ = ["TOLERANCE", "Additive", "find_additive"]

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

TOLERANCE = 1e-6
"""How far a sum may be from the score it stands for, relative above 1."""
_FEW = 3


@dataclass(frozen=True, slots=True)
class Additive:
    """A score that is m(r) + the sum over features of m(r with the feature) - m(r), for one background row r.

    ``first`` is m(r), shape (c,); ``means`` are the terms' averages over the background, shape (k, c).
    """

    scale: str
    turn: Turn
    first: FloatArray
    means: FloatArray

    def __call__(
        self, mixer: Mixer, row: Columns, scored: FloatArray, budget: Budget
    ) -> tuple[FloatArray, FloatArray, FloatArray] | None:
        """Return baseline (c,), contributions (k, c) and value (c,), or None where this row's score is no such sum."""
        changed, value = self.turn(mixer.swapped(row, budget)), self.turn(scored)[0]
        if not (np.isfinite(changed).all() and np.isfinite(value).all()):
            return None
        terms = changed - self.first
        if not _close(self.first + terms.sum(axis=0), value):
            return None
        return self.first + self.means.sum(axis=0), terms - self.means, value


def find_additive(mixer: Mixer, task: Task, scores: FloatArray, budget: Budget) -> Additive | None:
    """Return the scale on which the release is additive on all rows of the background, None where it is on none.

    ``scores`` are those of the background. A single feature is additive on any scale, and explained on its own.
    """
    if mixer.rows < _FEW:
        return None
    swapped = mixer.swapped(mixer.background, budget)
    for scale, turn in SCALES[task].items():
        whole, changed = turn(scores), turn(swapped)
        if not (np.isfinite(whole).all() and np.isfinite(changed).all()):
            continue
        first = whole[0]
        terms = changed.reshape(len(mixer.names), mixer.rows, -1) - first
        if _close(first + terms.sum(axis=0), whole):
            return Additive(scale, turn, first, terms.mean(axis=1))
    return None


def _close(found: FloatArray, expected: FloatArray) -> bool:
    return bool((np.abs(found - expected) <= TOLERANCE * np.maximum(1.0, np.abs(expected))).all())
