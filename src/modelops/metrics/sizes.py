"""Below which size an interval does not hold: there a gate has no verdict, whatever its limits are.

The sizes are those from which on the simulations of ``tests/benchmarks/bench_intervals.py`` find no bound beyond the
truth more often than it says.
"""

from __future__ import annotations

from math import floor, inf
from typing import Any

import numpy as np

from modelops.metrics.catalog import metric
from modelops.metrics.rows import FloatArray, Predictions, alike
from modelops.metrics.support import supported
from modelops.metrics.values import rmse_terms, row_terms, squared_errors, squared_spread
from modelops.statistics.intervals import carrying
from modelops.statistics.weighted import worth

__all__ = ["unsettled"]

FEWEST_OF_CLASS = 5
"""Rows of the rarer class, or positives, for what ranks or scores two classes."""
FEWEST_ROWS = 30
"""Rows for a mean of losses, and for what is made of squared errors."""
FEWEST_CHOSEN = 20
"""Rows that each of two models calls positive, for a difference of their precision."""
FEWEST_WORTH = 30
"""Rows that weights leave, for any share or matrix of weighted rows."""
FEWEST_CARRYING = 5.0
"""How many equally large deviations a mean has to rest on: with fewer a single row makes most of its variance."""


def unsettled(
    name: str, first: Predictions, second: Predictions | None = None, *, limit: float | None = None
) -> str | None:
    """Say why the interval of a metric, or of a difference, does not hold for so few rows; None if it does.

    The metric has to be defined for both. Two that answer every row alike differ by nothing, whatever the rows. Where
    only the side of a ``limit`` is asked for, r2 rests on what is left at that limit, which is the whole spread of the
    target where the limit is far: a few large errors of a good model leave no doubt that it is better than none.
    """
    first, second = first.counted(), None if second is None else second.counted()
    if second is not None and alike(first, second):
        return None
    of_class = _of_class(name, first)
    if of_class is not None and of_class[0] < FEWEST_OF_CLASS:
        return f"the interval of {name} does not hold with {of_class[0]} {of_class[1]}, it takes {FEWEST_OF_CLASS}"
    if name == "precision" and second is not None:
        chosen = min(_rows(one, one.y_pred == 1) for one in (first, second))
        if chosen < FEWEST_CHOSEN:
            said = (
                f"the interval of a difference of precision does not hold with {chosen} rows that are called positive"
            )
            return f"{said}, it takes {FEWEST_CHOSEN}"
    left = _left(name, first) if second is None else min(_left(name, first), _left(name, second))
    if left < FEWEST_WORTH:
        said = f"rows whose weights leave what {floor(left)} are worth"
        return f"the interval of {name} does not hold with {said}, it takes {FEWEST_WORTH}"
    terms = _terms(name, first, second, limit)
    if terms is None:
        return None
    if len(terms) < FEWEST_ROWS:
        return f"the interval of {name} does not hold with {len(terms)} rows, it takes {FEWEST_ROWS}"
    carried = carrying(terms)
    if carried < FEWEST_CARRYING:
        few = f"as many as {floor(carried) or 1} of {len(terms)} rows" if carried else "no row differs from another"
        what = "almost all of its variance comes from " + few if carried else few
        return f"the interval of {name} does not hold, as {what}"
    return None


def _of_class(name: str, predictions: Predictions) -> tuple[int, str] | None:
    """Return how many rows of a class the interval rests on, and what they are called."""
    if predictions.task != "binary-classification" or name not in ("roc-auc", "average-precision", "log-loss", "brier"):
        return None
    positives, negatives = (_rows(predictions, predictions.y_true == one) for one in (1, 0))
    if name == "average-precision":
        return positives, "positives"
    return min(positives, negatives), "rows of the rarer class"


def _left(name: str, predictions: Predictions) -> float:
    """Return how many rows weights leave to what a metric is measured on, of a matrix to its smallest part."""
    if predictions.sample_weight is None:
        return inf
    of_all = worth(predictions.sample_weight)
    return supported(name, predictions) if metric(name).interval == "cells" else of_all


def _rows(predictions: Predictions, which: Any = slice(None)) -> int:
    """Count rows; of weighted ones how many they are worth."""
    found = predictions.y_true[which]
    return (
        len(found)
        if predictions.sample_weight is None or not len(found)
        else int(worth(predictions.sample_weight[which]))
    )


def _terms(name: str, first: Predictions, second: Predictions | None, limit: float | None) -> FloatArray | None:
    """Return the values whose mean, or the ratio of whose mean, is bounded; None where no such mean is."""
    weight = first.sample_weight
    if metric(name).interval == "mean":
        return _around(row_terms(name, first) - (row_terms(name, second) if second is not None else 0.0), weight)
    if name not in ("rmse", "r2"):
        return None
    one = squared_errors(first)
    other = squared_errors(second) if second is not None else None
    if name == "rmse":
        return _around(one if other is None else rmse_terms(one, other, weight), weight)
    above, spread = (one if other is None else other - one), squared_spread(first)
    ratio = float(np.average(above, weights=weight) / np.average(spread, weights=weight))
    if limit is not None:
        ratio = limit if other is not None else 1 - limit
    terms: FloatArray = (above - ratio * spread) * (1.0 if weight is None else weight)
    return terms


def _around(terms: FloatArray, weight: FloatArray | None) -> FloatArray:
    """Return what each row adds to a weighted mean; terms as they are where rows count the same."""
    return terms if weight is None else weight * (terms - np.average(terms, weights=weight))
