"""The audit of a batch of labels: whether what the model is told of itself is the world, or its own decisions (D1-D7).

Each detector is a few counts of answers and labels. What is judged is beyond chance: bounds are corrected for the
number of buckets and features that are looked at, so that labels which come by chance alone seldom raise anything,
however few answers there are. A label counts as verified where somebody looked: it came by a decision or a review that
is declared, or nothing is declared of where labels come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy

from modelops.monitoring.feedback.exploration import Design, Mask, decided, designed, drawn_of
from modelops.monitoring.feedback.found import Bucket, Detector, Feedback
from modelops.monitoring.performance import labelled_predictions
from modelops.monitoring.report import PerformanceReport
from modelops.monitoring.selection import weighted
from modelops.predictions import positive_spellings
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.release import MetricValue
from modelops.statistics import Array
from modelops.statistics.auc import interval as auc_interval
from modelops.statistics.intervals import exact_proportion

__all__ = ["CHANCE", "audited", "collapse", "doubted"]

LEVEL = 0.95
CHANCE = 0.001
"""Without a loop, each detector fires by chance in at most so many of all looks."""
FEWEST = 200
"""With fewer answers nothing is said."""
NO_LABELS = 0.005
"""A bucket whose share of verified labels is surely below this has none."""
TOLD_APART = 0.95
"""Scores that tell labelled answers from others so well chose them."""
POSITIVITY = 0.99
"""So large a share of the answers has to have a chance of a label."""
UNVERIFIED = 0.5
"""So large a share of negative labels may be of answers that, as is declared, nobody looked at."""
REVIEWED = 0.9
"""So large a share of the answers that were drawn has to be reviewed."""
_BUCKETS = 10


@dataclass(frozen=True, slots=True)
class _Seen:
    """The answers of a window, as arrays: scores, which are labelled, verified, positive by truth and by answer."""

    scores: Array
    known: Mask
    verified: Mask
    positive: Mask
    flagged: Mask
    certain: Mask | None
    chances: Array
    drawn: Mask


def audited(model: ModelSpec, table: pa.Table, stated: MetricValue | None = None) -> Feedback | None:
    """Audit the labels of a window of answers; None with fewer than 200 answers, or without any label.

    Parameters
    ----------
    model : ModelSpec
        What it declares of its labels, and its positive label.
    table : pa.Table
        Answers old enough to have their labels, with ``score``, ``label``, ``status``, ``truth`` and, where they are
        known, ``review`` and ``drawn``.
    stated : MetricValue, optional
        Recall that the release has on the rows that tested it.

    References
    ----------
    D. Sculley et al., "Hidden technical debt in machine learning systems", NeurIPS 28 (2015), on hidden feedback loops;
    D. G. Horvitz and D. J. Thompson, Journal of the American Statistical Association 47 (1952), on weights; L. Kish,
    "Survey sampling" (1965), on what weighted rows are worth.
    """
    rows = table.filter(pc.and_(pc.less(table.column("status"), 500), pc.is_valid(table.column("score"))))
    if rows.num_rows < FEWEST:
        return None
    known = np.asarray(pc.is_valid(rows.column("truth")).to_numpy(), dtype=np.bool_)
    if not known.any():
        return None
    return _judged(model, _seen(model, rows, known), designed(model, rows, known), rows, stated)


def doubted(performance: PerformanceReport, feedback: Feedback | None) -> PerformanceReport:
    """Withhold a metric of labels that nobody gave: what was not looked at is taken for negative (D6).

    Precision is of flagged answers alone, which were looked at.
    """
    implied = dict(feedback.fired).get("D6") if feedback is not None else None
    if implied is None or performance.metric == "precision" or performance.value is None:
        return performance
    said = f"{performance.metric} is withheld: {implied}"
    return replace(performance, verdict="no-data", value=None, reason=said, looks=performance.looks - 1)


def _seen(model: ModelSpec, rows: pa.Table, known: Mask) -> _Seen:
    certain = decided(model, rows)
    chances, drawn = drawn_of(rows)
    spelt = positive_spellings(model.data.positive)
    binary = model.task == "binary-classification"

    def among(column: str) -> Mask:
        return np.array([binary and text in spelt for text in rows.column(column).to_pylist()], dtype=np.bool_)

    scores = rows.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    verified = known if certain is None else known & (certain | drawn)
    return _Seen(scores, known, verified, among("truth"), among("label"), certain, chances, drawn)


def _judged(
    model: ModelSpec, seen: _Seen, design: Design | None, rows: pa.Table, stated: MetricValue | None
) -> Feedback:
    fired: list[tuple[Detector, str]] = []
    buckets, dark = _coverage(seen)
    if dark:
        fired.append(("D1", dark))
    area, lower = _told_apart(seen)
    explored = bool((seen.chances > 0).any())
    if lower is not None and lower > TOLD_APART and not explored:
        fired.append(("D2", f"the score tells which answers have a label with an area of {area:.3f}: it chose them"))
    positivity, least, effective, mean_weight = _weights(seen, design, fired)
    binary = model.task == "binary-classification"
    dashboard = _share(seen.positive & seen.flagged & seen.known, seen.positive & seen.known) if binary else None
    recall = _recall(model, rows, design) if binary and design is not None else None
    unverified = _share(seen.known & ~seen.positive & ~seen.verified, seen.known & ~seen.positive)
    own = _share(seen.positive & seen.flagged & seen.verified & ~seen.drawn, seen.positive & seen.known)
    implied = _implied(seen, unverified, stated) if binary else ""
    if implied:
        fired.append(("D6", implied))
    return Feedback(
        answers=len(seen.scores),
        labels=int(seen.known.sum()),
        buckets=buckets,
        area=area,
        area_lower=lower,
        positivity=positivity,
        least=least,
        effective=effective,
        mean_weight=mean_weight,
        drawn=int(seen.drawn.sum()),
        reviewed=int((seen.drawn & seen.known).sum()),
        positives=design.positives if design is not None else 0,
        recall=recall,
        seen=dashboard,
        unverified=unverified if binary else None,
        own=own if binary else None,
        kinds=None if model.task == "regression" else collapse(_counts(rows))[0],
        fired=tuple(fired),
        told=tuple(_told(design, dashboard, recall)) if design is not None else (),
    )


def _recall(model: ModelSpec, rows: pa.Table, design: Design) -> tuple[float, float, float] | None:
    """Return the recall of all answers with its interval of 95 % (D5), None where it cannot be told."""
    predictions, _ = labelled_predictions(model, rows)
    found = weighted("recall", design.parts, predictions.take(design.kept), LEVEL)
    if found is None or design.holes or min(design.parts.labels, default=0) == 0:
        return None
    return found[0], found[1], found[2]


def _told(design: Design, dashboard: float | None, recall: tuple[float, float, float] | None) -> Iterator[str]:
    """Say whether enough was reviewed to tell what is missed (D4), and what labels alone would show of it (D5)."""
    if recall is not None and dashboard is not None and dashboard > recall[2]:
        value, lower, upper = recall
        said = f"recall is {value:.3f} [{lower:.3f}, {upper:.3f}] of all answers"
        yield f"{said}, and the labels alone would show {dashboard:.3f}"
    if design.underpowered:
        yield design.underpowered
    if design.reviewed < REVIEWED * design.drawn:
        said = f"{design.reviewed} of {design.drawn} answers that were drawn for review have a label"
        yield f"{said}: the others are taken to be like them"


def _share(part: Mask, whole: Mask) -> float | None:
    count = int(whole.sum())
    return float(part.sum()) / count if count else None


def _coverage(seen: _Seen) -> tuple[tuple[Bucket, ...], str]:
    """Count verified labels by tenths of the score (D1), and say which tenths surely never get one."""
    edges = np.unique(np.quantile(seen.scores, np.linspace(0, 1, _BUCKETS + 1)[1:-1]))
    place = np.searchsorted(edges, seen.scores, side="right")
    used, place = np.unique(place, return_inverse=True)
    buckets, dark = [], []
    share = float(seen.verified.mean())
    for at in range(len(used)):
        mine = place == at
        answers, labels = int(mine.sum()), int((mine & seen.verified).sum())
        upper = exact_proportion(labels, answers, 1 - 2 * CHANCE / len(used))[1]
        scores = seen.scores[mine]
        buckets.append(Bucket(float(scores.min()), float(scores.max()), answers, labels, upper))
        # What is drawn for review with a small chance is no hole, as long as what was drawn does get its label.
        drawn = int((mine & seen.drawn).sum())
        reachable = float(seen.chances[mine].sum())
        hidden = upper < min(NO_LABELS, share) and not drawn
        bare = labels == 0 and answers * np.log1p(-min(share, 1 - 1e-9)) < np.log(CHANCE / len(used)) and not reachable
        if hidden or bare or (labels == 0 and drawn and reachable > -np.log(CHANCE / len(used))):
            dark.append(buckets[-1])
    if not dark or not any(each.labels for each in buckets):
        return tuple(buckets), ""
    answers = sum(each.answers for each in dark)
    labels = sum(each.labels for each in dark)
    low, high = min(each.low for each in dark), max(each.high for each in dark)
    said = f"{labels} of {answers} answers with scores from {low:.3g} to {high:.3g} have a verified label"
    return tuple(buckets), f"{said}: what the model misses there is never found"


def _told_apart(seen: _Seen) -> tuple[float | None, float | None]:
    """Return how well the score tells which answers have a verified label (D2), with the lower end of its interval."""
    if min(seen.verified.sum(), (~seen.verified).sum()) < 1:
        return None, None
    found = auc_interval(seen.verified.astype(np.float64), seen.scores, 1 - 2 * CHANCE)
    return found[0], found[1]


def _weights(
    seen: _Seen, design: Design | None, fired: list[tuple[Detector, str]]
) -> tuple[float | None, float | None, float | None, float | None]:
    """Return share of answers with a chance of a label, the least chance, effective labels and mean weight (D3)."""
    if seen.certain is None:
        return None, None, None, None
    chances = np.where(seen.certain, 1.0, seen.chances)
    reachable = chances > 0
    positivity = float(reachable.mean())
    used = seen.verified & reachable
    weights = 1 / chances[used]
    effective = float(weights.sum() ** 2 / np.square(weights).sum()) if used.any() else 0.0
    mean = float(weights.sum() / len(chances))
    if design is not None and positivity < POSITIVITY:
        share = 1 - positivity
        fired.append(
            ("D3", f"{share:.1%} of the answers had no chance of a label: they were not drawn from for review")
        )
    asked = seen.chances[(seen.chances > 0) & (seen.chances < 1)]
    if len(asked):
        got = int((seen.drawn & (seen.chances > 0) & (seen.chances < 1)).sum())
        away = (got - asked.sum()) / np.sqrt(np.sum(asked * (1 - asked)))
        if abs(away) > scipy.stats.norm.isf(CHANCE / 2):
            fired.append(
                ("D3", f"{got} answers were drawn for review, and by what was logged {asked.sum():.0f} would be")
            )
    return positivity, float(chances[reachable].min()) if reachable.any() else None, effective, mean


def _implied(seen: _Seen, unverified: float | None, stated: MetricValue | None) -> str:
    """Say that answers which nobody looked at are taken for negative (D6).

    Where decisions are declared, that is a fact. Else the labels say that nothing was missed, which is told where the
    release, by the rows that tested it, misses too many for that to be luck.
    """
    if seen.certain is not None:
        if unverified is None or unverified <= UNVERIFIED:
            return ""
        return f"{unverified:.0%} of the negative labels were never verified: not to be looked at is taken for negative"
    others, found = seen.known & ~seen.flagged, int((seen.known & seen.flagged & seen.positive).sum())
    if not others.any() or seen.positive[others].any() or stated is None:
        return ""
    missed = stated.n - round(stated.value * stated.n)
    # Fisher's exact test: all that were missed are among the tested ones, none among those that were labelled here.
    if scipy.stats.hypergeom.sf(missed - 1, stated.n + found, missed, stated.n) >= CHANCE:
        return ""
    said = f"all {found} positive labels were flagged and none of {int(others.sum())} others is positive, while the "
    said += (
        f"release has a recall of {stated.value:.3f} [{stated.lower:.3f}, {stated.upper:.3f}] on rows that tested it"
    )
    return f"{said}: not to be looked at is taken for negative"


def _counts(rows: pa.Table) -> Array:
    found = pc.value_counts(rows.column("label").drop_null()).field("counts")
    return np.asarray(found.to_numpy(), dtype=np.float64)


def collapse(counts: Any) -> tuple[float, float]:
    """Return how many kinds of answers there are in effect: exp of the entropy, and the inverse Simpson index (D7).

    A policy that learns to prefer one answer makes both fall, so that it is shown and never judged.

    Examples
    --------
    >>> [round(each, 6) for each in collapse([0.7, 0.1, 0.1, 0.05, 0.05])]
    [2.74495, 1.941748]
    """
    shares = np.asarray(counts, dtype=np.float64)
    shares = shares[shares > 0] / shares.sum()
    return float(np.exp(-(shares * np.log(shares)).sum())), float(1 / np.square(shares).sum())
