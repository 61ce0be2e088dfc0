"""From logged answers to the numbers that strategies judge: losses, outcomes, units."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelops.predictions import label_text
from modelops.spec.model import ModelSpec

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


def numbers(texts: Sequence[str]) -> Array:
    """Return texts as numbers, NaN for what is none."""
    return np.array([_number(text) for text in texts], dtype=np.float64)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def units(entities: Sequence[str]) -> Units:
    """Return 64 bits of a hash per entity, equal for equal ones."""
    digests = [hashlib.blake2b(entity.encode(), digest_size=8).digest() for entity in entities]
    return np.frombuffer(b"".join(digests), dtype=np.uint64)
