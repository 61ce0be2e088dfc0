"""The runtime `scikit-learn`: fitted estimators and pipelines as skops files with an exact list of types.

What it takes: every estimator of scikit-learn that can be written without pickle. A fitted search is kept as the best
estimator that it found, and the threshold of `FixedThresholdClassifier` and `TunedThresholdClassifierCV` is taken over.
Models of XGBoost, LightGBM and CatBoost may stand anywhere in it; each is kept by its own runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelops.artifacts.canonical import dump_canonical, load_canonical
from modelops.artifacts.signature import Held
from modelops.runtimes import Asked, Kept
from modelops.runtimes._checks import is_of
from modelops.spec.meta import Strict

FILE = "model.skops"
DECLARED = False


class Params(Strict):
    """Nothing is to be said: what is kept follows from the model."""


def owns(found: Any) -> bool:
    """Tell whether an object is an estimator of scikit-learn."""
    return is_of(found, "sklearn") and hasattr(type(found), "__sklearn_tags__")


def keep(params: Params, found: Any, asked: Asked) -> Kept:
    """Return the bytes of an estimator and the types that loading it needs."""
    data, types = dump_canonical(found)
    return Kept({FILE: data}, {"types": list(types)})


def load(held: Held, files: Mapping[str, bytes]) -> Any:
    """Load an estimator; its types must be exactly those that were kept with it, and allowed."""
    return load_canonical(files[FILE], held.facts["types"])
