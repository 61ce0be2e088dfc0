"""Asking a release about made-up rows: the row to be explained and rows of the background, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from modelops.artifacts.predictor import MODEL_ERRORS
from modelops.errors import ModelOpsError, failure

__all__ = ["Budget", "Mixer", "not_explained"]

Array = np.ndarray[Any, Any]
FloatArray = np.ndarray[Any, np.dtype[np.float64]]
Columns = Mapping[str, Array]
Score = Callable[[Columns], FloatArray]

CHUNK = 2048
"""So many rows are asked at once: the time is looked at in between, and others get their turn."""
_FIRST = 16


def not_explained(why: str) -> ModelOpsError:
    """Return the error of a row, or of a release, that cannot be explained; the prediction stands all the same."""
    return failure("not-explained", why)


class Budget:
    """Seconds that may be spent; None is no limit."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._began = perf_counter()

    def require(self, ahead: float = 0.0) -> None:
        """Raise ``not-explained`` where the time is over, or would be with what lies ``ahead`` in seconds."""
        if self.seconds is not None and perf_counter() - self._began + ahead > self.seconds:
            took = f"it would take about {ahead:.2g} s more" if ahead else "the time is over"
            raise not_explained(f"the release cannot be explained within {self.seconds:g} s: {took}")

    def allows(self, ahead: float = 0.0) -> bool:
        """Tell whether there is time left, and for what lies ahead."""
        return self.seconds is None or perf_counter() - self._began + ahead <= self.seconds


class Mixer:
    """Scores rows whose values are partly those of one row, and partly those of rows of the background."""

    def __init__(self, score: Score, background: Columns) -> None:
        self.names = tuple(background)
        self.background = background
        self.rows = len(next(iter(background.values())))
        self._score = score
        self.seconds = 0.0
        """What one row among many costs, as last measured; zero before."""

    def ask(self, make: Callable[[Array], Columns], count: int, budget: Budget) -> FloatArray:
        """Return the scores of ``count`` rows, which are made by their positions, chunk by chunk.

        A score that is not finite raises ``not-explained``, as does what would take longer than is left.
        """
        found, begin, size = [], 0, CHUNK if self.seconds else _FIRST
        while begin < count:
            budget.require(self.seconds * (count - begin))
            before = perf_counter()
            try:
                found.append(self._score(make(np.arange(begin, min(begin + size, count)))))
            except MODEL_ERRORS as error:
                name = error.first.code if isinstance(error, ModelOpsError) else type(error).__name__
                raise not_explained(
                    f"the release failed on rows that were put together to explain it: {name}"
                ) from None
            if len(found[-1]) > _FIRST:
                # What a call costs by itself makes few rows look dear.
                self.seconds = (perf_counter() - before) / len(found[-1])
            begin, size = begin + size, min(CHUNK, size * 8)
        scores = np.concatenate(found)
        if not np.isfinite(scores).all():
            raise not_explained("the release has no finite score for a row of its background")
        return scores

    def mixed(
        self,
        row: Columns,
        given: Callable[[Array], Array],
        behind: Callable[[Array], Array],
        count: int,
        budget: Budget,
    ) -> FloatArray:
        """Return the scores of rows that have the values of ``row`` where they are given, and else of the background.

        By their positions ``given`` says which features are, shape (n, k), and ``behind`` which rows of the background
        stand in, shape (n,).
        """

        def make(positions: Array) -> Columns:
            taken, stand_in = given(positions), behind(positions)
            return {
                name: np.where(taken[:, at], row[name], self.background[name][stand_in])
                for at, name in enumerate(self.names)
            }

        return self.ask(make, count, budget)

    def swap(self, rows: Columns, positions: Array) -> Columns:
        """Return the first row of the background with one feature at a time from each of some rows.

        Of n rows and k features there are k n, feature by feature; they are made by their positions.
        """
        count = len(next(iter(rows.values())))
        feature, source = np.divmod(positions, count)
        return {
            name: np.where(feature == at, rows[name][source], self.background[name][0])
            for at, name in enumerate(self.names)
        }

    def swapped(self, rows: Columns, budget: Budget) -> FloatArray:
        """Return the scores of what ``swap`` makes."""
        count = len(next(iter(rows.values()))) * len(self.names)
        return self.ask(lambda positions: self.swap(rows, positions), count, budget)
