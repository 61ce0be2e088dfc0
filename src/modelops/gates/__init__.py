"""Gates: each file measures one requirement of a candidate and returns a verdict.

A gate file exposes ``Params``, ``NEEDS`` and ``evaluate(params, subject)``; it is pure, reads nothing but its subject
and of that no part but those that NEEDS names. What no gate names is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from modelops.errors import failure
from modelops.plugins import Bound
from modelops.spec import parameters
from modelops.spec.kinds import AnyResource
from modelops.spec.kinds.data_snapshot import Summary
from modelops.spec.kinds.gate_policy import Gate as GateSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.meta import Strict, VerdictWord

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from modelops.metrics import Predictions
    from modelops.spec.kinds.release import Importance

    Array = np.ndarray[Any, np.dtype[np.float64]]
    Mask = np.ndarray[Any, np.dtype[np.bool_]]

__all__ = [
    "PARTS",
    "PROTOCOL",
    "Answers",
    "Explain",
    "Explained",
    "Gate",
    "Need",
    "Predict",
    "Retrain",
    "Subject",
    "Verdict",
    "bind",
]

Need = Literal[
    "rows",
    "predictions",
    "champion",
    "profile",
    "latency",
    "predictor",
    "importance",
    "previous",
    "reasons",
    "retraining",
]
PARTS: Mapping[str, Need] = {
    "train": "rows",
    "test": "rows",
    "holdout": "predictions",
    "champion": "champion",
    "incomparable": "champion",
    "unseen": "champion",
    "profile": "profile",
    "champion_profile": "profile",
    "latency": "latency",
    "predict": "predictor",
    "importance": "importance",
    "previous": "previous",
    "unreadable": "previous",
    "explain": "reasons",
    "champion_explain": "reasons",
    "retrain": "retraining",
}
"""Which need gives which part of a subject; all others are there for every gate."""
_UNNAMED: Any = object()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate found: the measured value, its interval, the limit it was held against, and on how many rows.

    ``details`` are the numbers behind it, as JSON has them. They are signed with the release and shown to people, so
    no value of a single person belongs there.
    """

    verdict: VerdictWord
    reason: str
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    n: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answers:
    """What a model answers to n rows: ``labels`` and ``scores`` as ``y_pred`` and ``y_score`` of Predictions."""

    labels: Array
    scores: Array


@dataclass(frozen=True, slots=True)
class Explained:
    """Why rows have their scores: ``contributions``, shape (n, k), in the order of the model's features.

    ``method`` and ``scale`` are those of ``modelops.reasons``; ``gap`` is how far the parts of a row are from adding up
    to its score at most, relative above 1.
    """

    contributions: Array
    method: str
    scale: str
    gap: float


Predict = Callable[["pd.DataFrame"], Answers]
Explain = Callable[["pd.DataFrame"], "Explained | str"]
"""Explains rows, or says why it cannot."""
Retrain = Callable[[int, float], "Answers | str"]
"""Trains with another seed within so many seconds, and answers the test rows; or says why it cannot."""


@dataclass(frozen=True)
class Subject:
    """What a gate may ask about a candidate; a part that the gate's NEEDS do not name is an error when it is read.

    rows: ``train`` and ``test`` hold features, target, id, time and sensitive columns of the snapshot's rows, as read.
    predictions: ``holdout`` are the candidate's predictions on the test rows, in row order.
    champion: the stable release's on the same rows; None when there is none, or when it cannot answer them, which
    ``incomparable`` then explains. ``unseen`` is the mask, shape (n,), of those rows that trained neither of the two:
    on others whoever was trained on them looks better than it is. None where there is no stable release.
    profile: what the snapshot measured of each feature, the candidate's and the stable release's.
    latency: seconds per single-row prediction of the served artifact, the fastest of a few timings of each row.
    predictor: ``predict`` asks the served artifact about any frame with the columns of ``test``.
    importance: what the build measured of how much each feature carries; None where it could not.
    previous: the rows of the snapshot that the stable release was made from, as read, those without a target included;
    None when there is no stable release, or when they cannot be read, which ``unreadable`` then explains.
    reasons: ``explain`` says why the served artifact scores rows of the columns of ``test`` as it does, and
    ``champion_explain`` the stable release's; that is None when there is no stable release.
    retraining: ``retrain`` trains the candidate again with another seed, and gives that model's answers to the test
    rows, coded and ordered as ``holdout``.
    """

    model: ModelSpec
    declared_columns: Mapping[str, str]
    artifact_size: int
    champion_release: int | None = None
    seed: int = 0
    train: pd.DataFrame = _UNNAMED
    test: pd.DataFrame = _UNNAMED
    holdout: Predictions = _UNNAMED
    champion: Predictions | None = _UNNAMED
    incomparable: str = _UNNAMED
    unseen: Mask | None = _UNNAMED
    profile: Mapping[str, Summary] = _UNNAMED
    champion_profile: Mapping[str, Summary] | None = _UNNAMED
    latency: Array = _UNNAMED
    predict: Predict = _UNNAMED
    importance: Importance | None = _UNNAMED
    previous: pd.DataFrame | None = _UNNAMED
    unreadable: str = _UNNAMED
    explain: Explain = _UNNAMED
    champion_explain: Explain | None = _UNNAMED
    retrain: Retrain = _UNNAMED

    def __getattribute__(self, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if value is _UNNAMED:
            need = PARTS[name]
            raise failure("need-unnamed", f"the gate reads {name!r} of its subject, and its NEEDS do not name {need!r}")
        return value

    def only(self, needs: Iterable[Need]) -> Subject:
        """Return the subject without the parts that some needs do not name."""
        named = frozenset(needs)
        return Subject(**{name: at for name, at in self.__dict__.items() if name not in PARTS or PARTS[name] in named})

    def with_parts(self, parts: Mapping[str, Any]) -> Subject:
        """Return the subject with more of its parts, by name; unlike ``dataclasses.replace`` it reads none."""
        return Subject(**{**self.__dict__, **parts})


class Gate(Protocol):
    """What a module on this shelf exposes."""

    NEEDS: tuple[Need, ...]

    @property
    def Params(self) -> type[Strict]: ...

    def evaluate(self, params: Any, subject: Subject, /) -> Verdict: ...


PROTOCOL = Gate
"""What every file of this shelf is held against."""


def bind(gate: GateSpec, resource: AnyResource | None = None, dotted: str = "") -> Bound[Gate]:
    """Return a gate with its validated parameters; what is wrong is told with its place in ``resource``."""
    return parameters.bind("gates", gate, resource, dotted)
