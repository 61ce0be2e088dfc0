"""From logged answers to the numbers that strategies judge: losses, outcomes, units."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from modelops.predictions import ArmRows, ShadowPairs, label_number, positive_spellings
from modelops.predictions.schema import unit_of
from modelops.spec.kinds.model import ModelSpec
from modelops.statistics import Array, Units
from modelops.statistics.dispersion import clusters_of
from modelops.statistics.losses import squared_loss, zero_one_loss
from modelops.strategies import ArmData, PairData, Traffic


def losses(model: ModelSpec, scores: Array, labels: Sequence[str | None], truths: Sequence[str]) -> Array:
    """Return one loss per answer with a label: 0/1 for classes, the squared error for a regression; shape (n,)."""
    if model.task == "regression":
        return squared_loss(numbers(truths), scores)
    return zero_one_loss(np.array(truths, dtype=object), np.array(labels, dtype=object))


def outcomes(model: ModelSpec, truths: Sequence[str]) -> Array:
    """Return the labels as numbers: 1 for the positive class, the value of a regression, any other class as it reads.

    A class that is no number is NaN: a metric over it has no data.
    """
    if model.task == "binary-classification":
        positive = positive_spellings(model.data.positive)
        return np.array([truth in positive for truth in truths], dtype=np.float64)
    return numbers(truths)


_STRETCHES = 4096
_SHORTEST = 1 / 16  # seconds
_FEWEST = 4


def stretch(times: Iterable[Array]) -> float | None:
    """Return the length in seconds of the stretches in which time is cut: a few thousand over all that was answered.

    None where all came within fewer than four of them: a clock that stands says nothing of what gathers.
    """
    known = [one for one in times if len(one)]
    if not known:
        return None
    span = max(float(one.max()) for one in known) - min(float(one.min()) for one in known)
    length = _SHORTEST * 2.0 ** math.ceil(math.log2(max(1.0, span / _STRETCHES / _SHORTEST)))
    different = np.unique(np.concatenate([np.unique(stretches(one, length)) for one in known]))
    return length if len(different) >= _FEWEST else None


def stretches(times: Array, length: float) -> Units:
    """Return the number of the stretch of every time."""
    return np.maximum(np.floor_divide(times, length), 0).astype(np.uint64)


def arm_data(model: ModelSpec, rows: ArmRows, length: float | None = None) -> ArmData:
    """Return what one arm did in one step as strategies take it; ``length`` is that of ``stretch`` over all arms."""
    return ArmData(
        rows.requests,
        rows.errors,
        rows.slow,
        rows.scores,
        losses(model, rows.labelled_scores, rows.labels, rows.truths),
        outcomes(model, rows.truths),
        rows.units,
        rows.entities,
        clusters_of(rows.people, rows.failed, rows.late),
        None if length is None else clusters_of(stretches(rows.times, length), rows.failed, rows.late),
        rows.by_answer,
    )


def pair_data(model: ModelSpec, rows: ShadowPairs, requests: int, share: float) -> PairData:
    """Return what a shadow said beside stable, which answered so many requests and had a share of them copied.

    Which requests are copied is drawn for each of them, so that copies count as dropped only when fewer were answered
    than such a draw leaves; where all are copied, that is every missing one.
    """
    both = (rows.statuses < 500) & (rows.primary_statuses < 500)
    objective = model.serving.latency_objective_ms
    pairs = zip(rows.labels, rows.primary_labels, both, strict=True)
    spread = 3 * math.sqrt(requests * share * (1 - share))
    return PairData(
        pairs=len(rows),
        errors=int((rows.statuses >= 500).sum()),
        slow=int((rows.latency_ms > objective).sum()),
        stable_errors=int((rows.primary_statuses >= 500).sum()),
        stable_slow=int((rows.primary_latency_ms > objective).sum()),
        dropped=max(0, math.floor(requests * share - len(rows) - spread)),
        agreed=None if model.task == "regression" else sum(one == two for one, two, answered in pairs if answered),
        differences=(rows.scores - rows.primary_scores)[both],
    )


def shadow_data(
    model: ModelSpec,
    pairs: Mapping[tuple[int, str], ShadowPairs],
    step: int,
    arms: Mapping[str, ArmData],
    traffic: Traffic,
) -> dict[str, PairData]:
    """Return what the shadows of one step said; ``pairs`` are by step and arm."""
    asked = arms["stable"].requests if "stable" in arms else 0
    return {
        arm: pair_data(model, pairs[step, arm], asked, share)
        for arm, share in traffic.shadows.items()
        if (step, arm) in pairs
    }


def numbers(texts: Sequence[str]) -> Array:
    """Return logged labels as numbers, NaN for what is none."""
    return np.array([label_number(text) for text in texts], dtype=np.float64)


def units(entities: Sequence[str]) -> Units:
    """Return the 64 bits that stand for each entity in the log."""
    return np.array([unit_of(entity) for entity in entities], dtype=np.int64).view(np.uint64)
