"""What metrics are worth to who knows nothing but the training targets, and which class was taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from modelops.metrics.measuring import measure
from modelops.metrics.rows import FloatArray, Predictions
from modelops.spec.kinds.release import Baseline, Confusion

__all__ = ["baseline", "confusion"]


def baseline(
    predictions: Predictions, trained: FloatArray, names: Sequence[str], weight: FloatArray | None = None
) -> Baseline | None:
    """Return the metrics of one answer for every test row: the most frequent class of the training rows, or their mean.

    Parameters
    ----------
    predictions : Predictions
        n test rows with known truth; nothing else of them is looked at.
    trained : array of float, shape (m,)
        The targets of the training rows, coded like the truth. The scores of classes are their shares there.
    names : sequence of str
        Metrics of the task; those that such an answer leaves undefined, as precision where nobody is positive, are
        left out.
    weight : array of float, shape (m,), optional
        What each training row counts for; all the same unless given.
    """
    n = len(predictions)
    if not len(trained) or n < 2:
        return None
    if predictions.task == "regression":
        mean = float(np.average(trained, weights=weight))
        constant = np.full(n, mean)
        answers, said = replace(predictions, y_pred=constant, y_score=constant), mean
    else:
        total = len(trained) if weight is None else float(weight.sum())
        shares = np.bincount(trained.astype(np.intp), weight, max(2, len(predictions.classes))) / total
        usual = int(np.argmax(shares))
        binary = predictions.task == "binary-classification"
        scores = np.full(n, shares[1]) if binary else np.tile(shares, (n, 1))
        labels = np.full(n, float(usual))
        answers = replace(predictions, y_pred=labels, y_score=scores)
        said = usual
    values = {name: found.value for name in names if (found := measure(name, answers)) is not None}
    label = said if predictions.task == "regression" or not predictions.classes else predictions.classes[int(said)]
    return Baseline(answer=label, metrics=values)


def confusion(predictions: Predictions, threshold: float) -> Confusion | None:
    """Return how many test rows of each class were taken for each; None for regression, and for too many classes.

    They are rows, whatever each counts for.
    """
    count = 2 if predictions.task == "binary-classification" else len(predictions.classes)
    if predictions.task == "regression" or count > MOST:
        return None
    pairs = predictions.y_true.astype(np.intp) * count + predictions.y_pred.astype(np.intp)
    counts = np.bincount(pairs, minlength=count * count).reshape(count, count)
    rows = tuple(tuple(int(each) for each in row) for row in counts)
    return Confusion(threshold=threshold if predictions.task == "binary-classification" else None, counts=rows)


MOST = 50
"""Classes above which a table of all pairs tells nobody anything."""
