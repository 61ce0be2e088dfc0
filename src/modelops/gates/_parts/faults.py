"""What happens to values on their way to a model: noise, missing ones, other units and categories, clipped ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from modelops.artifacts.pandas_columns import feature_columns, is_missing
from modelops.gates import Subject
from modelops.spec.kinds.model import Feature

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fault", "disturbed", "hit"]

Array = np.ndarray[Any, Any]
Fault = Literal["noise", "missing", "units", "categories", "clip"]
_TRIES = 30


def hit(fault: Fault, feature: Feature) -> bool:
    """Say whether a fault can meet a feature: a value that has to be there is refused where it is missing."""
    match fault:
        case "missing":
            return feature.nullable
        case "categories":
            return feature.type == "category"
        case "noise" | "units" | "clip":
            return feature.type in ("number", "integer")


def disturbed(
    fault: Fault, strength: float, share: float, subject: Subject, test: pd.DataFrame, feature: Feature
) -> pd.Series[Any] | Array:
    """Return a feature of the test rows as the fault leaves it, shape (n,).

    ``strength`` is that of the noise in standard deviations of the training rows, the factor between two units, or the
    share of the training rows beyond each end of what a clipped value can be; ``share`` of the values are hit. Equal
    arguments hit the same values, and a larger share hits those of a smaller one too.
    """
    generator = np.random.default_rng([subject.seed, *feature.name.encode()])
    chosen = generator.random(len(test)) < share
    if fault == "missing":
        return test[feature.name].where(~chosen)
    if fault == "categories":
        return _swapped(subject.train, test, feature, chosen, generator)
    (train,), (own,) = (feature_columns(rows, [feature]).values() for rows in (subject.train, test))
    present = train[np.isfinite(train)]
    if fault == "noise":
        spread = float(present.std()) if len(present) else 0.0
        values = own + strength * spread * generator.standard_normal(len(test))
    elif fault == "units":
        values = own * strength
    else:
        ends = np.quantile(present, [strength, 1 - strength]) if len(present) else (-np.inf, np.inf)
        values = np.clip(own, *ends)
    values = np.where(chosen, values, own)
    return np.rint(values) if feature.type == "integer" else values


def _swapped(
    train: pd.DataFrame, test: pd.DataFrame, feature: Feature, chosen: Array, generator: np.random.Generator
) -> Array:
    """Return categories of which the chosen ones are those of other training rows, and no longer their own."""
    (known,), (own,) = (feature_columns(rows, [feature]).values() for rows in (train, test))
    rows = np.flatnonzero(~is_missing(known))
    values: Array = test[feature.name].to_numpy(dtype=object, copy=True)
    left = np.flatnonzero(chosen & ~is_missing(own))
    for _ in range(_TRIES if len(rows) else 0):
        drawn = generator.choice(rows, size=len(left))
        other = known[drawn] != own[left]
        values[left[other]] = train[feature.name].to_numpy(dtype=object)[drawn[other]]
        left = left[~other]
    return values
