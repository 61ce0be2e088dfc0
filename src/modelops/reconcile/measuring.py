"""From logged answers to the numbers that strategies judge: losses, outcomes, units."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelops.predictions import ArmRows, ShadowPairs, label_text
from modelops.predictions.schema import unit_of
from modelops.spec.model import ModelSpec
from modelops.strategies import ArmData, PairData, Traffic

Array = np.ndarray[Any, np.dtype[np.float64]]
Units = np.ndarray[Any, np.dtype[np.uint64]]
_TRUE = {"true", "1"}


def losses(model: ModelSpec, scores: Array, labels: Sequence[str | None], truths: Sequence[str]) -> Array:
    """Return one loss per answer with a label: 0/1 for classes, the squared error for a regression; shape (n,)."""
    if model.task == "regression":
        return np.square(scores - numbers(truths))
    wrong = [label != truth for label, truth in zip(labels, truths, strict=True)]
    return np.array(wrong, dtype=np.float64)


def outcomes(model: ModelSpec, truths: Sequence[str]) -> Array:
    """Return the labels as numbers: 1 for the positive class, the value of a regression, any other class as it reads.

    A class that is no number is NaN: a metric over it has no data.
    """
    if model.task == "binary-classification":
        positive = _TRUE if model.data.positive is None else {label_text(model.data.positive)}
        return np.array([truth in positive for truth in truths], dtype=np.float64)
    return numbers(truths)


def arm_data(model: ModelSpec, rows: ArmRows) -> ArmData:
    """Return what one arm did in one step as strategies take it."""
    return ArmData(
        rows.requests,
        rows.errors,
        rows.slow,
        rows.scores,
        losses(model, rows.labelled_scores, rows.labels, rows.truths),
        outcomes(model, rows.truths),
        rows.units,
        rows.entities,
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
    """Return what the shadows of one step said; ``pairs`` are by logged step, which count from 1."""
    asked = arms["stable"].requests if "stable" in arms else 0
    return {
        arm: pair_data(model, pairs[step + 1, arm], asked, share)
        for arm, share in traffic.shadows.items()
        if (step + 1, arm) in pairs
    }


def numbers(texts: Sequence[str]) -> Array:
    """Return texts as numbers, NaN for what is none."""
    return np.array([_number(text) for text in texts], dtype=np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def units(entities: Sequence[str]) -> Units:
    """Return the 64 bits that stand for each entity in the log."""
    return np.array([unit_of(entity) for entity in entities], dtype=np.int64).view(np.uint64)
