"""What of a model's answers was bad, hour by hour: counts that merge, so that a period is a sum and no scan."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.monitoring.performance import labelled_predictions
from modelops.monitoring.selection import CHANCE, FEWEST, Parts, selected
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import Objectives
from modelops.statistics import Array
from modelops.statistics.budgets import Counted

__all__ = ["COLUMNS", "WHAT", "Hours", "bad_of", "count", "merged"]

COLUMNS = ("time", "status", "latency_ms", "score", "label", "truth")
"""What of the log is counted."""
WHAT = ("requests", "failed", "slow", "truths", "labelled", "wrong", "scored")
"""What there is a number of in each hour; ``truths`` are answers with a label, ``labelled`` those that can be held
against it, ``scored`` those whose score is a number."""
_HOUR = 3600
_DAY = 24 * _HOUR
_FINE = 8
"""So many bins of scores there are between a number and its double."""
Counts = np.ndarray[Any, np.dtype[np.int64]]
Kind = tuple[int, str, int | None]
"""The day of an answer since 1970, its label, and the bin of its score, None for a score that is no number."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Numbers of answers by hour since 1970, UTC: ``counts`` of shape (hours, what) for the ``hours`` in their order.

    ``sums`` are the scores of each hour together, ``kinds`` all answers by day, label and height of score, with how
    many of them have a label.
    """

    hours: Counts
    counts: Counts
    sums: Array
    kinds: Mapping[Kind, tuple[int, int]] = field(default_factory=dict)

    def counted(self, bad: str, every: tuple[str, ...], since: float, until: float) -> Counted:
        """Count the whole hours between two moments in seconds: ``every`` is what to add, the rest to take off."""
        inside = (self.hours * _HOUR >= since) & (self.hours * _HOUR < until)
        totals = dict(zip(WHAT, self.counts[inside].sum(axis=0).tolist(), strict=True))
        first, *less = every
        return Counted(float(totals[bad]), float(totals[first] - sum(totals[name] for name in less)))

    def selected_by(self, since: float) -> str:
        """Say which answers have a label where that depends on the answer, nothing where it does not.

        Answers count from the day on that holds a moment in seconds: what was mended before says nothing of them.

        As ``selection.parted`` does of rows, but that the answers of a label are parted at the bin that holds the
        median of their scores: the test is of any two parts.
        """
        first = math.floor(since / _DAY)
        inside = {kind: many for kind, many in self.kinds.items() if kind[0] >= first}
        if not any(known for _, known in inside.values()):
            return ""
        names, answers, labels = [], [], []
        for name, kinds in sorted(_joined(inside).items()):
            for part, where in _halves(kinds):
                names.append(" ".join(filter(None, (repr(name) if name else "", where))))
                answers.append(sum(each for each, _ in part))
                labels.append(sum(known for _, known in part))
        parts = Parts(tuple(names), np.array(answers), np.array(labels), np.empty(0, dtype=np.int64))
        return parts.shares() if selected(parts) else ""


def _joined(kinds: Mapping[Kind, tuple[int, int]]) -> dict[str, dict[int | None, tuple[int, int]]]:
    """Return kinds of all days by label, the rarer of many labels as one."""
    sizes: Counter[str] = Counter()
    for (_, label, _), (answers, _known) in kinds.items():
        sizes[label] += answers
    rarer = {label for label, size in sizes.items() if len(sizes) > 2 and size < 5 * FEWEST}
    found: dict[str, dict[int | None, tuple[int, int]]] = {}
    for (_, label, bin_), (answers, known) in kinds.items():
        of = found.setdefault("(rarer)" if label in rarer else label, {})
        before = of.get(bin_, (0, 0))
        of[bin_] = (before[0] + answers, before[1] + known)
    return found


def _halves(kinds: Mapping[int | None, tuple[int, int]]) -> list[tuple[list[tuple[int, int]], str]]:
    """Part the answers of one label at the median of the score, where labels depend on it."""
    import scipy

    whole = [(list(kinds.values()), "")]
    if None in kinds or len(kinds) < 2:
        return whole
    bins = sorted(kinds, key=lambda each: each or 0)
    many = np.cumsum([kinds[each][0] for each in bins])
    middle = min(int(np.searchsorted(many, many[-1] / 2)), len(bins) - 2)
    low, high = ([kinds[each] for each in half] for half in (bins[: middle + 1], bins[middle + 1 :]))
    table = [[sum(known for _, known in half), sum(n - known for n, known in half)] for half in (low, high)]
    if scipy.stats.fisher_exact(table).pvalue >= CHANCE:
        return whole
    return [(low, "(low score)"), (high, "(high score)")]


def bad_of(objectives: Objectives, model: ModelSpec, table: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """Return for each row of the log whether it is each of ``WHAT``, as flags of shape (rows,)."""
    failed = np.asarray(pc.greater_equal(table.column("status"), 500).to_numpy(), dtype=np.bool_)
    latency, quality = objectives.latency, objectives.quality
    within = (latency.within_ms if latency is not None else None) or model.serving.latency_objective_ms
    slow = ~failed & (table.column("latency_ms").to_numpy().astype(np.float64) > within)
    truths = ~failed & np.asarray(pc.is_valid(table.column("truth")).to_numpy(), dtype=np.bool_)
    predictions, known = labelled_predictions(model, table)
    missed = predictions.y_true != predictions.y_pred
    if quality is not None and quality.within is not None:
        missed = np.abs(predictions.y_true - predictions.y_pred) > quality.within
    wrong = np.zeros(table.num_rows, dtype=np.bool_)
    wrong[np.flatnonzero(known)] = missed
    every = np.ones(table.num_rows, dtype=np.bool_)
    scored = ~failed & np.isfinite(_scores(table))
    return dict(zip(WHAT, (every, failed, slow, truths, known, wrong, scored), strict=True))


def _scores(table: pa.Table) -> Array:
    found: Array = table.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def count(objectives: Objectives, model: ModelSpec, table: pa.Table) -> Hours:
    """Count some rows of the log by the hour of their time.

    Parameters
    ----------
    objectives, model : Objectives, ModelSpec
        When an answer is slow, and when it is right.
    table : pa.Table
        Rows of the log, in any order, with ``COLUMNS``.

    Returns
    -------
    Hours
        Those of all parts of a log merge into those of the log.
    """
    flags = bad_of(objectives, model, table)
    at = np.floor(table.column("time").to_numpy().astype(np.float64) / _HOUR).astype(np.int64)
    hours, place = np.unique(at, return_inverse=True)
    counts = np.column_stack([np.bincount(place, flags[name], len(hours)) for name in WHAT]).astype(np.int64)
    sums = np.bincount(place, np.where(flags["scored"], _scores(table), 0.0), len(hours)).astype(np.float64)
    return Hours(hours, counts, sums, _kinds(model, table, at // 24, flags["failed"], flags["labelled"]))


def _kinds(model: ModelSpec, table: pa.Table, days: Counts, failed: Any, known: Any) -> dict[Kind, tuple[int, int]]:
    scores = _scores(table)
    labels = table.column("label").to_pylist() if model.task != "regression" else [""] * table.num_rows
    bins = _bins(scores)
    every: Counter[Kind] = Counter()
    labelled: Counter[Kind] = Counter()
    finite = np.isfinite(scores).tolist()
    for day, label, bin_, number, gone, there in zip(
        days.tolist(), labels, bins.tolist(), finite, failed.tolist(), known.tolist(), strict=True
    ):
        if not gone and label is not None:
            kind = (day, label, bin_ if number else None)
            every[kind] += 1
            labelled[kind] += there
    return {kind: (n, labelled[kind]) for kind, n in every.items()}


def _bins(scores: Array) -> Counts:
    """Return a bin for each score: of probabilities so many of one width, beyond them by ratio; NaN is in any."""
    known = np.nan_to_num(scores, nan=0.0, posinf=math.inf, neginf=-math.inf)
    size = np.clip(np.abs(known), 0.0, 2.0**200)
    beyond = np.ceil(_FINE * np.log2(np.maximum(size, 1.0))).astype(np.int64)
    within = np.floor(size * 8 * _FINE).astype(np.int64)
    place = np.where(size < 1, within, 8 * _FINE + beyond)
    found: Counts = np.where(known < 0, -place - 1, place)
    return found


def merged(parts: Iterable[Hours]) -> Hours:
    """Return the numbers of several parts of a log as those of one."""
    found = list(parts)
    if not found:
        return Hours(np.empty(0, dtype=np.int64), np.empty((0, len(WHAT)), dtype=np.int64), np.empty(0))
    hours, place = np.unique(np.concatenate([one.hours for one in found]), return_inverse=True)
    counts = np.zeros((len(hours), len(WHAT)), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([one.counts for one in found]))
    sums = np.bincount(place, np.concatenate([one.sums for one in found]), len(hours)).astype(np.float64)
    kinds: dict[Kind, tuple[int, int]] = {}
    for one in found:
        for kind, (answers, known) in one.kinds.items():
            before = kinds.get(kind, (0, 0))
            kinds[kind] = (before[0] + answers, before[1] + known)
    return Hours(hours, counts, sums, kinds)
