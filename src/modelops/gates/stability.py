"""Whether another seed would have decided otherwise: the model is trained again with other seeds, and compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy.stats import chi2

from modelops.gates import Answers, Need, Subject, Verdict
from modelops.gates._parts.findings import at_most, no_data
from modelops.metrics import COMPARABLE, MetricName, Predictions, greater_is_better, measure, undefined
from modelops.metrics.catalog import metric as metric_of
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.intervals import mean_interval, ratio_interval, student, wilson
from modelops.statistics.weighted import trials

__all__ = ["NEEDS", "Params", "decided", "evaluate", "spread", "vacuous"]

NEEDS: tuple[Need, ...] = ("predictions", "retraining")

Array = np.ndarray[Any, np.dtype[np.float64]]
Bounds = tuple[float, float]
_SAME = 1e-9
"""How near answers of two trainings are that are one model, absolute below 1 and relative above."""
_OWN = 1e-4
"""How near they are where the candidate was trained on another machine: what machines differ by."""
_STREAM = 0x5EED


class Params(Strict):
    """How much may depend on the seed that the candidate happened to be trained with.

    The model is trained again with ``seeds`` other seeds, drawn at random and the same each time, on the same training
    rows, behind the same fence and with the same limits, all trained within ``seconds``; keeping each and asking it has
    the limits of any build. The seed of the split stays.

    Without a ``metric``, ``maximum`` bounds the share of test rows that a model of another seed gives another label
    than the candidate; for regression the mean absolute change of the answer, as a share of the standard deviation of
    the candidate's. Its interval is of all seeds and all rows like these. With one it bounds the standard deviation of
    the metric between seeds, in its unit, on these test rows; the interval takes metrics of several seeds for normal.
    ``level`` is that of the two-sided interval, and the test rows have to be ``minimumRows``.

    Few seeds say little: of 5 the upper bound of the standard deviation is 2.9 times what was found, of 10 it is 1.8
    times; and what one seed in ten does is among 5 seeds in 41 %. Where all seeds give the same answers, the training
    does not depend on chance or ignores ``seed``, which cannot be told apart: ``whenSame`` is the verdict then.
    """

    maximum: Annotated[float, Field(gt=0)]
    metric: MetricName | None = None
    seeds: Annotated[int, Field(ge=3, le=50)] = 5
    level: OpenShare = 0.95
    minimum_rows: Annotated[int, Field(ge=2)] = 50
    seconds: Annotated[float, Field(gt=0)] = 900.0
    when_same: Literal["pass", "no-data"] = "no-data"


def vacuous(params: Params) -> Iterator[tuple[str, str]]:
    """Yield the maximum if nothing can vary so much."""
    if params.metric is not None:
        found = metric_of(params.metric)
        # Of n values between two ends none deviates more than half of each at either end, with n - 1 below the line.
        widest = (found.most - found.least) / 2 * math.sqrt(params.seeds / (params.seeds - 1))
        if params.maximum >= widest:
            yield "maximum", f"it cannot fail, as {params.metric} never varies by more than {widest:.3g}"


@dataclass(frozen=True, slots=True)
class _Trained:
    """What the model of one seed answers to the test rows."""

    seed: int
    answers: Predictions


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Train again with other seeds, compare the answers to the test rows, and judge the bound of what differs."""
    own, n = subject.holdout, len(subject.holdout)
    if params.metric is None and own.task != "regression" and params.maximum >= 1:
        return no_data(
            f"the share of labels that change is never above 1: with a maximum of {params.maximum:g} it cannot fail", n
        )
    if n < params.minimum_rows:
        return no_data(f"{n} test rows are fewer than {params.minimum_rows}", n)
    if not (np.isfinite(own.y_score).all() and np.isfinite(own.y_pred).all()):
        return no_data("some answers are not finite numbers", n)
    why = undefined(params.metric, own) if params.metric is not None else _flat(own)
    if why is not None:
        return no_data(why, n)
    trained = _trained_again(params, subject)
    if isinstance(trained, str):
        return no_data(trained, n)
    same = _same(params, own, trained, n)
    if same is not None:
        return same
    found = _decisions(params, own, trained) if params.metric is None else _metric(params, params.metric, own, trained)
    # With so large a share of all seeds doing it, none of these does with a chance of 5 %.
    rarely = 1 - 0.05 ** (1 / len(trained))
    reason = f"{found.reason}; {len(trained)} seeds, which show with 95 % what {rarely:.0%} of all seeds do"
    return replace(found, reason=reason, details=_details(params, own, trained))


def _seeds(params: Params, subject: Subject) -> list[int]:
    """Return other seeds than the candidate's, the same for the same candidate."""
    drawn = np.random.SeedSequence([subject.seed, _STREAM]).generate_state(2 * params.seeds + 1)
    others = dict.fromkeys(int(seed) for seed in drawn if int(seed) != subject.model.training.seed)
    return list(others)[: params.seeds]


def _trained_again(params: Params, subject: Subject) -> list[_Trained] | str:
    """Return the answers of a model of each seed, or why there is no verdict about them."""
    began, found = perf_counter(), list[_Trained]()
    for seed in _seeds(params, subject):
        left = params.seconds - (perf_counter() - began)
        ahead = (params.seconds - left) / max(1, len(found)) * (params.seeds - len(found))
        if left <= 0 or ahead > left:
            each = (params.seconds - left) / max(1, len(found))
            said = f"training took {each:.3g} s a seed, and {params.seeds} seeds have {params.seconds:g} s"
            return f"{said}: ask for fewer seeds, or give them more seconds"
        answers = subject.retrain(seed, left)
        if isinstance(answers, str):
            if perf_counter() - began >= params.seconds:
                done = f"{len(found)} of {params.seeds} seeds were trained within {params.seconds:g} s"
                return f"{done}: ask for fewer seeds, or give them more seconds"
            return f"training with the seed {seed} fails: {answers}"
        told = _told(answers, subject.holdout, seed)
        if isinstance(told, str):
            return told
        found.append(_Trained(seed, told))
    return found


def _told(answers: Answers, own: Predictions, seed: int) -> Predictions | str:
    if answers.scores.shape != own.y_score.shape:
        return f"a model of the seed {seed} answers {answers.scores.shape} numbers, the candidate {own.y_score.shape}"
    if not (np.isfinite(answers.scores).all() and np.isfinite(answers.labels).all()):
        return f"some answers of a model of the seed {seed} are not finite numbers"
    return replace(own, y_pred=answers.labels, y_score=answers.scores)


def _near(first: Array, second: Array, within: float) -> bool:
    return bool((np.abs(first - second) <= within * np.maximum(1.0, np.abs(first))).all())


def _same(params: Params, own: Predictions, trained: Sequence[_Trained], n: int) -> Verdict | None:
    """Return the verdict where no seed makes a difference, None where one does."""
    first, *others = (one.answers.y_score for one in trained)
    if not all(_near(first, other, _SAME) for other in others):
        return None
    if not _near(own.y_score, first, _OWN):
        said = f"{len(trained)} seeds give the same answers, and the candidate other ones: it cannot be made again here"
        return no_data(said, n)
    said = (
        f"{len(trained)} seeds give the same answers: the training does not depend on chance, or ignores its `seed` "
        "(a number in its place looks the same)"
    )
    hint = "" if params.when_same == "pass" else "; whenSame: pass where nothing is left to chance"
    details = {"seeds": [one.seed for one in trained], "same": True}
    return Verdict(params.when_same, said + hint, 0.0, None, None, params.maximum, n, details)


def _flat(own: Predictions) -> str | None:
    """Return why changes of answers have no unit, None where they have one or need none."""
    if own.task == "regression" and own.y_score.std() <= _SAME * max(1.0, float(np.abs(own.y_score).max())):
        return "the answers to all test rows are the same"
    return None


def _changes(own: Predictions, other: Predictions) -> Array:
    """Return what changes in each row, shape (n,): 0 or 1 for a label, else in standard deviations of the answers."""
    if own.task != "regression":
        return np.asarray(own.y_pred != other.y_pred, dtype=np.float64)
    return np.asarray(np.abs(other.y_score - own.y_score) / own.y_score.std())


def _decisions(params: Params, own: Predictions, trained: Sequence[_Trained]) -> Verdict:
    counted = own.counted()
    kept = own.sample_weight > 0 if own.sample_weight is not None else np.ones(len(own), dtype=bool)
    changes = np.stack([_changes(own, one.answers)[kept] for one in trained])
    value, lower, upper = decided(changes, params.level, weight=counted.sample_weight, shares=own.task != "regression")
    what = "mean change of the answer" if own.task == "regression" else "share of labels that change"
    return at_most(f"{what} under another seed", value, lower, upper, params.maximum, len(counted))


def _metric(params: Params, name: str, own: Predictions, trained: Sequence[_Trained]) -> Verdict:
    values = [_measured(name, one.answers) for one in trained]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return no_data(f"{name} is undefined for {len(values) - len(known)} of {len(values)} seeds", len(own))
    value, lower, upper = spread(np.array(known), params.level)
    what = f"standard deviation of {name} between seeds"
    return at_most(what, value, lower, upper, params.maximum, len(own))


def decided(
    changes: Array, level: float, *, weight: Array | None = None, shares: bool = True
) -> tuple[float, float, float]:
    r"""Return the mean change of rows under other seeds, with an interval over seeds and rows together.

    Parameters
    ----------
    changes : array of shape (k, n)
        What changed in each of n rows under each of k seeds, 2 at least; for ``shares`` 0 or 1.
    level : float
        Two-sided confidence in (0, 1).
    weight : array of shape (n,), optional
        What each row counts for, above 0.
    shares : bool
        Whether the mean is a share: then rows have Wilson's interval, else Student's or, weighted, Fieller's.

    Returns
    -------
    tuple of three floats
        Mean, lower and upper bound; these are not below 0.

    Notes
    -----
    Seeds are drawn, and so are rows. On either side, with :math:`w` the width of the interval over rows, of the mean
    of each row over the seeds, and :math:`s` that of ``mean_interval`` over the means of the seeds, it is
    :math:`\sqrt{w^2 + s^2}` wide (Zou and Donner's variance recovered from limits). What seeds and rows do together
    is in both, so that it is rather too wide. Means of few seeds of a skewed law are below its mean too often: of 5
    seeds that differ by a gamma law of shape 4, 4 % of the bounds of ``s`` alone are. Seeds that do something rare may
    be missing.

    References
    ----------
    G. Y. Zou and A. Donner, "Construction of confidence limits about effect measures", Statistics in Medicine 27
    (2008). A. F. Cooper et al., "Arbitrariness and social prediction", AAAI 2024, for what is measured.

    Examples
    --------
    >>> changes = np.zeros((5, 100)); changes[:, :8] = 1.0; changes[0, 8:12] = 1.0
    >>> [round(bound, 4) for bound in decided(changes, 0.95)]
    [0.088, 0.0411, 0.1888]
    """
    rows = changes.mean(axis=0)
    n = float(len(rows))
    if shares:
        value, size = trials(rows, weight) if weight is not None else (float(rows.mean()), n)
        below, above = wilson(value * size, size, level)
    elif weight is not None:
        value = float(np.average(rows, weights=weight))
        below, above = ratio_interval(weight * rows, weight, level)
    else:
        value = float(rows.mean())
        below, above = student(rows, level)
    each = np.average(changes, axis=1, weights=weight)
    low, high = mean_interval(each, level)
    lower, upper = value - math.hypot(value - below, value - low), value + math.hypot(above - value, high - value)
    return value, max(0.0, lower), upper


def spread(values: Array, level: float) -> tuple[float, float, float]:
    r"""Return the standard deviation of a metric between seeds, with its interval.

    Parameters
    ----------
    values : array of shape (k,)
        The metric of each of k seeds, 2 at least.
    level : float
        Two-sided confidence in (0, 1).

    Returns
    -------
    tuple of three floats
        Standard deviation with k - 1 below the line, lower and upper bound, in the unit of the metric.

    Notes
    -----
    :math:`(k - 1) s^2 / \sigma^2` has a chi-squared law of k - 1 degrees of freedom where the metrics of seeds are
    normal. Tails that are heavier make the interval too narrow.

    References
    ----------
    G. W. Snedecor and W. G. Cochran, "Statistical methods", section 5.11.

    Examples
    --------
    >>> [round(bound, 4) for bound in spread(np.array([0.80, 0.82, 0.81, 0.79, 0.83]), 0.95)]
    [0.0158, 0.0095, 0.0454]
    """
    free, side = len(values) - 1, (1 - level) / 2
    found = float(values.std(ddof=1))
    lower, upper = (found * math.sqrt(free / float(chi2.ppf(at, free))) for at in (1 - side, side))
    return found, lower, upper


def _measured(name: str, predictions: Predictions) -> float | None:
    if undefined(name, predictions) is not None:
        return None
    found = measure(name, predictions)
    return None if found is None else found.value


def _details(params: Params, own: Predictions, trained: Sequence[_Trained]) -> dict[str, object]:
    weight = own.sample_weight
    rows: list[dict[str, object]] = []
    for one in trained:
        row: dict[str, object] = {"seed": one.seed}
        if _flat(own) is None:
            row["changed"] = float(np.average(_changes(own, one.answers), weights=weight))
        if params.metric is not None:
            row["metric"] = _measured(params.metric, one.answers)
        rows.append(row)
    details: dict[str, object] = {"seeds": rows, "level": params.level}
    if params.metric is not None:
        mine = _measured(params.metric, own)
        details |= {"metric": params.metric, "candidate": mine}
        others = [row["metric"] for row in rows if isinstance(row["metric"], float)]
        if mine is not None and params.metric in COMPARABLE:
            sign = 1 if greater_is_better(params.metric) else -1
            # A seed that was chosen for its luck is better than what the others give.
            details["worseThanCandidate"] = sum(sign * other < sign * mine for other in others)
    return details
