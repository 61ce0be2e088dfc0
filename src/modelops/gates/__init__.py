"""Gates: each file measures one requirement of a candidate and returns a verdict.

A gate file exposes ``Params`` and ``evaluate(params, subject)``; it is pure and reads nothing but its subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from modelops.spec.data import Sketch
from modelops.spec.delivery import VerdictWord
from modelops.spec.meta import Strict
from modelops.spec.model import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from modelops.metrics import Predictions

__all__ = ["Gate", "Subject", "Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate found: the measured value, its interval, the limit it was held against, and on how many rows."""

    verdict: VerdictWord
    reason: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    n: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """Everything that may be asked about a candidate.

    ``train`` and ``test`` hold features, target, id, time and sensitive columns of the snapshot's rows, as read;
    ``holdout`` are the candidate's predictions on ``test`` in row order and ``champion`` the stable release's on the
    same rows: None when there is none, or when it cannot answer them, which ``incomparable`` then explains.
    ``latency`` are seconds per single-row prediction of the served artifact.
    """

    model: ModelSpec
    train: pd.DataFrame
    test: pd.DataFrame
    holdout: Predictions
    champion: Predictions | None
    champion_release: int | None
    latency: np.ndarray[Any, np.dtype[np.float64]]
    artifact_size: int
    profile: Mapping[str, Sketch]
    champion_profile: Mapping[str, Sketch] | None
    declared_columns: Mapping[str, str]
    seed: int = 0
    incomparable: str = ""


class Gate(Protocol):
    """What a module on this shelf exposes."""

    @property
    def Params(self) -> type[Strict]: ...

    def evaluate(self, params: Any, subject: Subject) -> Verdict: ...
