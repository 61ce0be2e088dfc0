"""Whether metrics that are said to be of the same rows can be: what no predictions can give is a contradiction.

It reads the metrics alone, without the rows, so whoever holds a release can ask again. Checked are, with the symbols of
a confusion matrix (P positives, C predicted positive, TP hits, N rows):

- each metric by itself: known, of the task, once, finite, in its range, inside its own interval, on at least one row;
- rows: all that count every row count the same, P of recall and average-precision, the rarer class of roc-auc and
  balanced-accuracy, P + C - TP of f1;
- counts: recall * P, precision * C and accuracy * N are whole numbers, and the first two are the same TP;
- accuracy = (N - P - C + 2 TP) / N, f1 = 2 TP / (P + C), balanced-accuracy = (TP / P + TN / (N - P)) / 2;
- roc-auc between TPR * (1 - FPR) and 1 - (1 - TPR) * FPR: the labels are those of a threshold on the same scores;
- brier and log-loss between what right and wrong labels at that threshold cost at least and at most, and
  log-loss >= 2.455 * brier, which holds for every row (-ln(1 - e) >= 2.455 e**2 on [0, 1));
- several classes: log-loss >= (1 - accuracy) ln 2, for a wrong row gives its class at most one half;
- regression: rmse >= mae >= |bias|.

Weighted rows are no whole numbers: recall, precision and accuracy give their matrix as shares of all weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from modelops.metrics.catalog import METRICS
from modelops.spec.kinds.model import Task
from modelops.spec.kinds.release import MetricValue

__all__ = ["contradictions"]

CLOSE = 1e-6
"""How far a number may be from what an identity gives, absolute below 1 and relative above."""

_UNBOUNDED = frozenset({"log-loss", "mae", "rmse", "mape"})
_ANY = frozenset({"bias", "r2"})
_WORST = -math.log(2.0**-52)
"""The log-loss of one row can be no larger: probabilities are clipped to machine epsilon."""
_BRIER_FACTOR = 2.455
_SOLVED = 1e-3
"""Below this a share that is found by dividing by it is too unsure to be held against anything."""
_ALL_ROWS = ("accuracy", "log-loss", "brier", "mae", "rmse", "r2", "bias", "mape", "macro-f1")

Found = Mapping[str, MetricValue]


def contradictions(metrics: Sequence[MetricValue], task: Task, threshold: float = 0.5) -> tuple[str, ...]:
    """Return what is wrong with metrics of the same predictions, one sentence each; nothing when all can be true.

    ``threshold`` is the score from which on a row is called positive.
    """
    alone = tuple(said for metric in metrics for said in _alone(metric, task))
    names = [metric.name for metric in metrics]
    alone += tuple(f"{name} is there twice" for name in sorted({name for name in names if names.count(name) > 1}))
    if alone:
        return alone
    found = {metric.name: metric for metric in metrics}
    together = _rows(found)
    match task:
        case "binary-classification":
            return (*together, *_binary(found, threshold))
        case "multiclass-classification":
            return (*together, *_multiclass(found))
        case "regression":
            return (*together, *_regression(found))


def _alone(metric: MetricValue, task: Task) -> Iterator[str]:
    known = METRICS.get(metric.name)
    if known is None or task not in known.tasks:
        yield f"{metric.name} is no metric of {task}"
        return
    numbers = (metric.value, metric.lower, metric.upper)
    if not all(map(math.isfinite, numbers)) or metric.n < 1 or not 0 < metric.level < 1:
        yield f"{metric.name} is {metric.value} [{metric.lower}, {metric.upper}] at {metric.level} of {metric.n} rows"
        return
    if not metric.lower <= metric.value <= metric.upper:
        yield f"{metric.name} {metric.value:.6g} lies outside its own interval [{metric.lower:.6g}, {metric.upper:.6g}]"
    low = -math.inf if metric.name in _ANY else 0.0
    high = 1.0 if metric.name not in _UNBOUNDED | {"bias"} else math.inf
    if metric.value < low - CLOSE or metric.value > high + CLOSE:
        yield f"{metric.name} is {metric.value:.6g}, and lies between {low:g} and {high:g} on any rows"


def _far(one: float, other: float) -> bool:
    return abs(one - other) > CLOSE * max(1.0, abs(other))


def _rows(found: Found) -> Iterator[str]:
    for group in (_ALL_ROWS, ("recall", "average-precision"), ("roc-auc", "balanced-accuracy")):
        counts = {name: found[name].n for name in group if name in found}
        if len(set(counts.values())) > 1:
            yield "the same rows are counted differently: " + ", ".join(f"{name} {n}" for name, n in counts.items())


def _whole(metric: MetricValue) -> Iterator[str]:
    hits = metric.value * metric.n
    if _far(hits, round(hits)):
        yield f"{metric.name} {metric.value:.9g} is no share of {metric.n} rows"


def _binary(found: Found, threshold: float) -> Iterator[str]:
    weighted = any(metric.effective is not None for metric in found.values())
    for name in () if weighted else ("recall", "precision", "accuracy"):
        if name in found:
            yield from _whole(found[name])
    brier, loss = found.get("brier"), found.get("log-loss")
    if brier and loss and loss.value < _BRIER_FACTOR * brier.value - CLOSE:
        yield f"log-loss {loss.value:.6g} is below {_BRIER_FACTOR} times brier {brier.value:.6g}"
    if "recall" not in found or "precision" not in found:
        return
    if weighted:
        yield from _shares(found, threshold)
        return
    hits, again = (round(found[name].value * found[name].n) for name in ("recall", "precision"))
    if hits != again:
        yield f"recall finds {hits} positives, precision {again}"
        return
    yield from _counted(found, found["recall"].n, found["precision"].n, hits, threshold)


def _counted(found: Found, positives: int, chosen: int, hits: int, threshold: float) -> Iterator[str]:
    """Check what follows from the counts of a matrix, which recall, precision and a count of all rows give."""
    if "f1" in found:
        yield from _equal(found["f1"], 2 * hits / (positives + chosen))
        if found["f1"].n != positives + chosen - hits:
            yield f"f1 counts {found['f1'].n} rows, recall and precision {positives + chosen - hits}"
    total = next((found[name].n for name in ("accuracy", "log-loss", "brier") if name in found), None)
    if total is None:
        return
    negatives, wrong = total - positives, chosen - hits
    if negatives < wrong:
        yield f"{positives} positives and {wrong} false alarms are more than {total} rows"
        return
    if "accuracy" in found:
        yield from _equal(found["accuracy"], (total - (positives - hits) - wrong) / total)
    if negatives < 1:
        return
    for name in ("roc-auc", "balanced-accuracy"):
        rarer = min(positives, negatives)
        if name in found and found[name].n != rarer:
            yield f"{name} rests on {found[name].n} rows of the rarer class, of which there are {rarer}"
    yield from _matrix(found, (total, positives, chosen, hits), threshold)


def _shares(found: Found, threshold: float) -> Iterator[str]:
    """Check what follows from weighted recall, precision and accuracy: the matrix, as shares of all weight."""
    recall, precision = found["recall"].value, found["precision"].value
    if "f1" in found and recall + precision > 0:
        yield from _equal(found["f1"], 2 * recall * precision / (recall + precision))
    off = 1 + recall / precision - 2 * recall if precision > 0 else 0.0
    if "accuracy" not in found or off < _SOLVED:
        return
    positives = (1 - found["accuracy"].value) / off
    hits = recall * positives
    chosen = hits / precision
    if 1 - positives < chosen - hits - CLOSE:
        yield f"recall, precision and accuracy make {positives:.4g} of all weight positive, and leave too few negatives"
    elif 1 - positives > _SOLVED and chosen > 0:
        yield from _matrix(found, (1.0, positives, chosen, hits), threshold)


def _matrix(found: Found, shares: tuple[float, float, float, float], threshold: float) -> Iterator[str]:
    """Check what follows from a confusion matrix: all rows, positives, those called positive and hits."""
    total, positives, chosen, hits = shares
    negatives, missed, wrong = total - positives, positives - hits, chosen - hits
    found_rate, alarm_rate = hits / positives, wrong / negatives
    if "balanced-accuracy" in found:
        yield from _equal(found["balanced-accuracy"], (found_rate + 1 - alarm_rate) / 2)
    if "roc-auc" in found:
        yield from _between(found["roc-auc"], found_rate * (1 - alarm_rate), 1 - (1 - found_rate) * alarm_rate)
    yield from _losses(found, (hits, negatives - wrong, missed, wrong), threshold)


def _losses(found: Found, matrix: tuple[float, float, float, float], threshold: float) -> Iterator[str]:
    """Check the losses of scores against what their labels at a threshold allow."""
    hits, quiet, missed, wrong = matrix
    total, above, below = sum(matrix), threshold, 1 - threshold
    if "brier" in found:
        least = (missed * below**2 + wrong * above**2) / total
        most = (hits * below**2 + quiet * above**2 + missed + wrong) / total
        yield from _between(found["brier"], least, most)
    if "log-loss" in found and 0 < threshold < 1:
        least = -(missed * math.log(above) + wrong * math.log(below)) / total
        most = (-hits * math.log(above) - quiet * math.log(below) + (missed + wrong) * _WORST) / total
        yield from _between(found["log-loss"], least, most)


def _equal(metric: MetricValue, expected: float) -> Iterator[str]:
    if _far(metric.value, expected):
        yield f"{metric.name} is {metric.value:.6g}, the other metrics make it {expected:.6g}"


def _between(metric: MetricValue, least: float, most: float) -> Iterator[str]:
    if metric.value < least - CLOSE or metric.value > most + CLOSE:
        yield (f"{metric.name} is {metric.value:.6g}, the other metrics leave it between {least:.6g} and {most:.6g}")


def _multiclass(found: Found) -> Iterator[str]:
    if "accuracy" not in found:
        return
    if found["accuracy"].effective is None:
        yield from _whole(found["accuracy"])
    if "log-loss" in found:
        yield from _between(found["log-loss"], (1 - found["accuracy"].value) * math.log(2), _WORST)


def _regression(found: Found) -> Iterator[str]:
    for larger, smaller in (("rmse", "mae"), ("mae", "bias")):
        if larger in found and smaller in found:
            above, below = found[larger].value, abs(found[smaller].value)
            if above < below - CLOSE * max(1.0, below):
                yield f"{larger} {above:.6g} is below {smaller} {found[smaller].value:.6g}"
