"""A rehearsal: a release answers what was logged, offline, before it meets anybody; held beside what was answered."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from modelops.artifacts import Predictor
from modelops.predictions import positive_spellings
from modelops.rollouts.answering import Answers, answered
from modelops.rollouts.measures import losses, units
from modelops.rollouts.sample import Drawn
from modelops.spec.kinds.model import ModelSpec
from modelops.statistics import Array, Units
from modelops.statistics.bands import distribution_distance
from modelops.statistics.dispersion import clustered_mean, clustered_share
from modelops.statistics.selection import label_shares

__all__ = ["LEVEL", "Features", "Known", "Outcome", "Rehearsal", "Share", "Shift", "rehearsed"]

LEVEL = 0.95
Flags = np.ndarray[Any, np.dtype[np.bool_]]
_MOST_EXAMPLES = 5
_VOID = 0.001  # by chance labels look as if they depended on the answer in at most so many rehearsals


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with an interval that allows for answers to one entity to hang together."""

    count: int
    of: int
    share: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Shift:
    """How far the scores of the same requests are apart, the release's minus stable's.

    ``mean`` with its interval; ``half`` and ``most`` are what 50 % and 95 % of the differences stay within, ``largest``
    the largest one. ``distance`` is that of the distributions: the largest share that can change side at any threshold.
    """

    n: int
    mean: float
    lower: float
    upper: float
    half: float
    most: float
    largest: float
    distance: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """A measure over answers whose truth is known, of both releases on the same rows, and the difference."""

    name: str
    n: int
    stable: float
    release: float
    difference: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Known:
    """What became of answers; ``early`` are labels from before the release was made, which may be what it learned from.

    ``void`` says why nothing is compared: labels depend on what stable answered.
    """

    labelled: int
    early: int
    outcomes: tuple[Outcome, ...]
    void: str


@dataclass(frozen=True, slots=True)
class Features:
    """How the features of the log and of the release differ, by name.

    ``absent`` are those that no logged request has, ``unused`` those that it does not take.
    """

    absent: tuple[str, ...]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class Rehearsal:
    """How a release answers logged traffic, beside the release that answered it.

    ``logged`` are all answers of that release in the window, ``rows`` those that were drawn of them, ``others`` the
    answers of other releases and ``pinned`` those to callers who asked for a version. ``failures`` are reasons for
    which rows were not answered; ``errors`` are those that stable had answered, ``rescued`` those that it had not and
    the release does. ``changes`` counts decisions by what they were and are; ``examples`` are ids of predictions.
    """

    stable: int
    logged: int
    rows: int
    entities: int
    others: int
    pinned: int
    features: Features
    failures: tuple[tuple[str, int], ...]
    errors: Share | None
    stable_failed: int
    rescued: int
    changed: Share | None
    changes: tuple[tuple[str, str, int], ...]
    shift: Shift | None
    known: Known
    examples: tuple[str, ...]


def rehearsed(spec: ModelSpec, predictor: Predictor, drawn: Drawn, made: datetime | None) -> Rehearsal:
    """Answer what was drawn once more and compare; ``made`` is when the release's inputs were committed."""
    rows = drawn.rows
    features = rows.column("features").to_pylist()
    answers = answered(predictor, features)
    who = units(rows.column("entity").to_pylist())
    ok = np.array([not why for why in answers.why], dtype=np.bool_)
    before = rows.column("status").to_numpy() < 500
    both = ok & before
    labels = rows.column("label").to_pylist()
    changed = _changed(labels, answers, both)
    return Rehearsal(
        stable=drawn.release,
        logged=drawn.logged,
        rows=len(rows),
        entities=len(np.unique(who)),
        others=drawn.others,
        pinned=drawn.pinned,
        features=_features(predictor, features),
        failures=tuple(answers.failures.most_common()),
        errors=_share(~ok[before], who[before]),
        stable_failed=int((~before).sum()),
        rescued=int((ok & ~before).sum()),
        changed=_share(changed[both], who[both]) if spec.task != "regression" else None,
        changes=_changes(labels, answers, changed),
        shift=_shift(rows, answers, both, who),
        known=_known(spec, rows, answers, both, who, made),
        examples=_examples(rows, answers, changed, both),
    )


def _features(predictor: Predictor, features: Sequence[str]) -> Features:
    seen = Counter[str]()
    for text in features:
        try:
            row = orjson.loads(text)
        except ValueError:
            continue
        seen.update(list(row) if isinstance(row, dict) else ())
    taken = [feature.name for feature in predictor.signature.features]
    absent = tuple(name for name in taken if name not in seen)
    return Features(absent, tuple(sorted(set(seen) - set(taken))))


def _share(hits: Flags, who: Units) -> Share | None:
    if not len(hits):
        return None
    return Share(int(hits.sum()), len(hits), float(hits.mean()), *clustered_share(hits.astype(np.float64), who, LEVEL))


def _changed(labels: Sequence[str | None], answers: Answers, both: Flags) -> Flags:
    pairs = zip(labels, answers.labels, both.tolist(), strict=True)
    return np.array([answered and was != now for was, now, answered in pairs], dtype=np.bool_)


def _changes(labels: Sequence[str | None], answers: Answers, changed: Flags) -> tuple[tuple[str, str, int], ...]:
    pairs = Counter((str(labels[at]), str(answers.labels[at])) for at in np.flatnonzero(changed).tolist())
    return tuple((was, now, count) for (was, now), count in pairs.most_common())


def _scores(rows: pa.Table) -> Array:
    scores: Array = rows.column("score").to_numpy(zero_copy_only=False).astype(np.float64)
    return scores


def _shift(rows: pa.Table, answers: Answers, both: Flags, who: Units) -> Shift | None:
    before = _scores(rows)
    kept = both & np.isfinite(before) & np.isfinite(answers.scores)
    if len(np.unique(who[kept])) < 2:
        return None
    was, now = before[kept], answers.scores[kept]
    moved = now - was
    half, most = (float(one) for one in np.quantile(np.abs(moved), (0.5, 0.95)))
    bounds = clustered_mean(moved, who[kept], LEVEL)
    distance = distribution_distance(now, was)
    return Shift(len(moved), float(moved.mean()), *bounds, half, most, float(np.abs(moved).max()), distance)


def _examples(rows: pa.Table, answers: Answers, changed: Flags, both: Flags) -> tuple[str, ...]:
    """Return ids of the predictions that move most: of changed decisions, or of all where nothing is decided."""
    moved = np.nan_to_num(np.abs(answers.scores - _scores(rows)))
    chosen = np.flatnonzero(changed if changed.any() else both & (moved > 0))
    largest = chosen[np.argsort(-moved[chosen], kind="stable")][:_MOST_EXAMPLES]
    ids = rows.column("id").to_pylist()
    return tuple(ids[at] for at in largest)


# What became of the answers.


def _known(spec: ModelSpec, rows: pa.Table, answers: Answers, both: Flags, who: Units, made: datetime | None) -> Known:
    truths, labels = rows.column("truth").to_pylist(), rows.column("label").to_pylist()
    has = np.array([truth is not None for truth in truths], dtype=np.bool_) & both
    places = np.flatnonzero(has)
    came = rows.column("truth_time").to_numpy(zero_copy_only=False).astype(np.float64)[has]
    early = int((came <= made.timestamp()).sum()) if made is not None else 0
    told = [truths[at] for at in places]
    pair = (
        losses(spec, _scores(rows)[has], [labels[at] for at in places], told),
        losses(spec, answers.scores[has], [answers.labels[at] for at in places], told),
    )
    selected = _selected(rows, who)
    if selected:
        return Known(len(told), early, (), selected)
    outcomes: list[Outcome | None]
    if spec.task == "regression":
        outcomes = [_outcome("mean squared error", *pair, who[has])]
    else:
        outcomes = [_outcome("wrong answers", *pair, who[has])]
        if spec.task == "binary-classification":
            outcomes += _binary(
                spec, told, [labels[at] for at in places], [answers.labels[at] for at in places], who[has]
            )
    return Known(len(told), early, tuple(one for one in outcomes if one is not None), "")


def _binary(
    spec: ModelSpec, truths: Sequence[str], was: Sequence[str | None], now: Sequence[str | None], who: Units
) -> list[Outcome | None]:
    """Return the positives that were found, and the alarms that were false."""
    positive = positive_spellings(spec.data.positive)
    true = np.array([truth in positive for truth in truths], dtype=np.bool_)
    flagged = [np.array([label in positive for label in labels], dtype=np.float64) for labels in (was, now)]
    return [
        _outcome(name, flagged[0][kept], flagged[1][kept], who[kept])
        for name, kept in (("positives found", true), ("false alarms", ~true))
    ]


def _outcome(name: str, stable: Array, release: Array, who: Units) -> Outcome | None:
    kept = np.isfinite(stable) & np.isfinite(release)
    stable, release, who = stable[kept], release[kept], who[kept]
    if len(np.unique(who)) < 2:
        return None
    difference = release - stable
    lower, upper = clustered_mean(difference, who, LEVEL)
    if lower == upper:
        # No row tells them apart: what is still possible is what as many rows can miss.
        room = 3 / len(np.unique(who)) * float(np.ptp(np.concatenate([stable, release])) or 1.0)
        lower, upper = lower - room, upper + room
    return Outcome(
        name, len(stable), float(stable.mean()), float(release.mean()), float(difference.mean()), lower, upper
    )


def _selected(rows: pa.Table, who: Units) -> str:
    """Return that labels depend on what stable answered, "" where that is not shown."""
    said: dict[str, tuple[int, int]] = {}
    columns = (rows.column(name).to_pylist() for name in ("label", "truth", "status"))
    for label, truth, status in zip(*columns, strict=True):
        if label is not None and status < 500:
            count, known = said.get(label, (0, 0))
            said[label] = (count + 1, known + (truth is not None))
    worth = max(1.0, len(rows) / max(1, len(np.unique(who))))
    shown = [one for one in label_shares(said, worth) if one.apart and one.log_evalue >= -math.log(_VOID)]
    if not shown:
        return ""
    most = max(shown, key=lambda one: one.log_evalue)
    text = f"labels depend on what was answered: {most.share:.1%} of {most.answers} answers {most.label!r} have one"
    return f"{text}, {most.others_share:.1%} of the other {most.others}"
