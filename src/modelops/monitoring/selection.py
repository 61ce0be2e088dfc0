"""Labels that depend on the answer: found, weighted where every kind of answer has labels, withheld where not.

Truth often arrives only for what the model flagged. A metric of such labels is one of the flagged alone: recall is 1
whatever was missed. Answers are parted by label and by height of score; labels are taken to depend on the answer where
their share differs among the parts by more than chance gives. Each part then counts by its answers, which is right if
within a part labels come by chance. Whether they depend on the truth itself cannot be seen; that all labels of a part
contradict the model says so.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from modelops.metrics import Predictions
from modelops.metrics.catalog import metric
from modelops.metrics.values import row_terms
from modelops.statistics import Array
from modelops.statistics.clusters import Codes
from modelops.statistics.intervals import percentile
from modelops.statistics.weighted import from_cells

__all__ = ["Parts", "parted", "selected", "weighted", "withheld"]

CHANCE = 0.001
"""Labels that do not depend on the answer are taken to do so in so many of all windows."""
FEWEST = 10
"""A part of the answers needs so many labels to count for all of its answers."""
_DRAWS, _SEED = 4000, 0
_COUNTED = ("accuracy", "balanced-accuracy", "f1", "macro-f1", "precision", "recall")


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of the answers: their names, how many answers and labels each has, and the part of each labelled row."""

    names: tuple[str, ...]
    answers: Codes
    labels: Codes
    rows: Codes

    def shares(self) -> str:
        """Say how many answers of each kind have a label."""
        return ", ".join(
            f"{label} of {answer} answered {name}"
            for name, answer, label in zip(self.names, self.answers.tolist(), self.labels.tolist(), strict=True)
        )


def parted(answers: Any, scores: Array, known: Any) -> Parts:
    """Part all answers by label; ``known`` marks those with a label.

    One label's answers are parted once more at the median of the score, where the share of labels differs there.
    """
    if len(set(answers)) > 2:
        sizes = Counter(answers)
        answers = [each if sizes[each] >= 5 * FEWEST else "(rarer)" for each in answers]
    names: list[str] = []
    code = np.zeros(len(scores), dtype=np.int64)
    for label in sorted(set(answers)):
        mine = np.array([each == label for each in answers], dtype=np.bool_)
        halves = _halves(mine, scores, known)
        for part, where in halves or ((mine, ""),):
            code[part] = len(names)
            names.append(" ".join(filter(None, (repr(label) if label else "", where))))
    count = len(names)
    return Parts(
        tuple(names),
        np.bincount(code, minlength=count).astype(np.int64),
        np.bincount(code[known], minlength=count).astype(np.int64),
        code[known],
    )


def _halves(mine: Any, scores: Array, known: Any) -> tuple[tuple[Any, str], ...]:
    """Return the answers of low and of high score, if labels depend on it."""
    if not mine.any() or not np.isfinite(scores[mine]).all():
        return ()
    high = mine & (scores > np.median(scores[mine]))
    low = mine & ~high
    table = [[int((part & known).sum()), int((part & ~known).sum())] for part in (low, high)]
    if not high.any() or scipy.stats.fisher_exact(table).pvalue >= CHANCE:
        return ()
    return ((low, "(low score)"), (high, "(high score)"))


def selected(parts: Parts) -> bool:
    """Tell whether the share of labelled answers differs among the parts by more than chance gives."""
    labels, rest = parts.labels, parts.answers - parts.labels
    if len(labels) < 2 or not labels.sum() or not rest.sum():
        return False
    if len(labels) == 2:
        return bool(scipy.stats.fisher_exact([labels, rest]).pvalue < CHANCE)
    expected = np.outer([labels.sum(), rest.sum()], parts.answers) / parts.answers.sum()
    statistic = float((np.square(np.array([labels, rest]) - expected) / expected).sum())
    return bool(scipy.special.chdtrc(len(labels) - 1, statistic) < CHANCE)


def withheld(name: str, parts: Parts, predictions: Predictions, positive: Any) -> str:
    """Say why a metric is not told although there are labels, nothing where weights make up for the selection."""
    if metric(name).interval in ("rank", "rows"):
        return f"weights for {name} are not known"
    counts = [
        (part, f"{parts.labels[part]} of {parts.answers[part]} answered {parts.names[part]} have a label")
        for part in range(len(parts.names))
        if name != "precision" or positive[part]
    ]
    few = [said for part, said in counts if parts.labels[part] < min(FEWEST, parts.answers[part])]
    if few:
        return f"{'; '.join(few)}, and nothing is known of the others"
    if predictions.task == "regression":
        return ""
    wrong = predictions.y_true != predictions.y_pred
    for part, said in counts:
        mine = parts.rows == part
        if 2 * parts.labels[part] < parts.answers[part] and wrong[mine].all():
            return f"{said}, and each contradicts the answer: labels depend on the truth"
    return ""


def weighted(name: str, parts: Parts, predictions: Predictions, level: float) -> tuple[float, float, float, int] | None:
    """Return the metric with each part counted by its answers, its interval, and the labels that it rests on.

    Shares of each part are drawn from their posterior, with one more error for the lower bound and one more right
    answer for the upper one, as in Clopper and Pearson's interval: a part without a single error among few labels is
    not taken to have none. Means have Student's t in each part. None where the metric is undefined.
    """
    if name in _COUNTED:
        return _of_cells(name, parts, predictions, level)
    return _of_means(name, parts, predictions, level)


def _of_cells(
    name: str, parts: Parts, predictions: Predictions, level: float
) -> tuple[float, float, float, int] | None:
    classes = np.unique(np.concatenate([predictions.y_true, predictions.y_pred]))
    if predictions.task == "binary-classification":
        classes = np.array([0.0, 1.0])
    truth = np.searchsorted(classes, predictions.y_true)
    answered = np.searchsorted(classes, predictions.y_pred)
    # A part is of one label, but for that of the rarer ones.
    pairs = sorted(set(zip(parts.rows.tolist(), answered.tolist(), strict=True)))
    true = np.tile(classes, len(pairs))
    predicted = np.repeat([classes[label] for _, label in pairs], len(classes))
    wrong = classes[:, None] != classes[None, :]
    cells: list[Array] = []
    low: list[Array] = []
    high: list[Array] = []
    generator = np.random.default_rng(_SEED)
    for part, label in pairs:
        mine = (parts.rows == part) & (answered == label)
        answers = parts.answers[part] * (mine.sum() / parts.labels[part])
        counts = np.bincount(truth[mine], minlength=len(classes)).astype(np.float64)
        cells.append(counts / counts.sum() * answers)
        size = generator.standard_gamma(answers, size=(_DRAWS, 1))
        for draws, prior in ((low, wrong[:, label]), (high, ~wrong[:, label])):
            drawn = generator.standard_gamma(np.where(counts + prior > 0, counts + prior, 1e-9), (_DRAWS, len(counts)))
            draws.append(size * drawn / drawn.sum(axis=1, keepdims=True))
    value = float(from_cells(name, np.concatenate(cells)[None, :], true, predicted)[0])
    if not np.isfinite(value):
        return None
    bounds = [from_cells(name, np.concatenate(draws, axis=1), true, predicted) for draws in (low, high)]
    lower, upper = (percentile(found[np.isfinite(found)], level)[side] for side, found in enumerate(bounds))
    return value, min(lower, value), max(upper, value), len(predictions)


def _of_means(
    name: str, parts: Parts, predictions: Predictions, level: float
) -> tuple[float, float, float, int] | None:
    terms = row_terms(name, predictions)
    if not np.isfinite(terms).all():
        return None
    value, variance, least = 0.0, 0.0, np.inf
    total = float(parts.answers.sum())
    for part in range(len(parts.names)):
        mine, share = terms[parts.rows == part], parts.answers[part] / total
        if not len(mine):
            return None
        value += share * float(mine.mean())
        left = 1 - len(mine) / parts.answers[part]
        if len(mine) > 1:
            variance += share**2 * left * float(mine.var(ddof=1)) / len(mine)
            least = min(least, len(mine) - 1)
    half = float(scipy.stats.t.isf((1 - level) / 2, max(1.0, least)) * np.sqrt(variance))
    return value, value - half if name == "bias" else max(0.0, value - half), value + half, len(predictions)
