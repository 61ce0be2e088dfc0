"""A model of another library, as scikit-learn's estimators around it see it; what was kept of it are files, no pickle.

Importing this loads no library; those of a part are imported by the runtime that loads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelops.artifacts.onnx_graph import Answer, Graph, Table, not_exportable
from modelops.artifacts.signature import Held, Input
from modelops.errors import failure
from modelops.spec.kinds.model import Task
from modelops.spec.meta import Scalar

__all__ = ["Asked", "ClassifierPart", "DecidingPart", "Kept", "Part", "Unfitted"]

Array = np.ndarray[Any, Any]
Write = Callable[[Graph, Table], Answer]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the model is for: its task, its inputs in their order, and its labels as training code was given them."""

    task: Task
    features: tuple[Input, ...]
    classes: tuple[Scalar, ...] = ()
    entrypoint: str = "train.py"


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a model; ``runtime`` is another one's key where that one loads it."""

    files: Mapping[str, bytes]
    facts: Mapping[str, Any] = field(default_factory=dict)
    runtime: str | None = None


class Unfitted:
    """Stands where an estimator was a template of others: it tells its kind and does nothing."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type=self.kind,
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags() if self.kind == "classifier" else None,
            regressor_tags=RegressorTags() if self.kind == "regressor" else None,
            input_tags=InputTags(sparse=True, allow_nan=True, categorical=True),
        )

    def fit(self, *_: Any, **__: Any) -> Any:
        """Refuse: what was kept is not trained again."""
        raise failure("kept-model", "a model that was kept is not fitted again")


class Part(Unfitted):
    """A fitted model: ``scores`` answers rows, a frame or an array, with values or with one probability per class.

    ``write`` gives its exact form in ONNX, ``thresholds`` what its trees compare each column with, ``onnx`` the model
    that it is itself; what a part does not have is None. One that answers ``apart`` is asked in another process.
    """

    def __init__(
        self,
        held: Held,
        files: Mapping[str, bytes],
        scores: Callable[[Any], Array],
        *,
        width: int | None = None,
        write: Write | None = None,
        thresholds: Callable[[], Mapping[int, Array]] | None = None,
        onnx: bytes | None = None,
        apart: bool = False,
        kind: str = "regressor",
    ) -> None:
        super().__init__(kind)
        self.held = held
        self.files = dict(files)
        self.learnt = {name: np.frombuffer(data, dtype=np.uint8) for name, data in sorted(files.items())}
        self.onnx, self.apart = onnx, apart
        self._scores, self._write, self._thresholds = scores, write, thresholds
        if width is not None:
            self.n_features_in_ = width

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def predict(self, rows: Any) -> Array:
        """Return the values of rows, shape (n,)."""
        return np.asarray(self._scores(rows), dtype=np.float64).reshape(-1)

    def write(self, graph: Graph, table: Table) -> Answer:
        """Write the exact form in ONNX."""
        if self._write is None:
            raise not_exportable(f"a model of {self.held.runtime} has no exact form in ONNX")
        return self._write(graph, table)

    def thresholds(self) -> Mapping[int, Array]:
        """Return what its trees compare each column with."""
        return self._thresholds() if self._thresholds is not None else {}


class ClassifierPart(Part):
    """A fitted classifier: two classes or more, in the order of the columns of its probabilities."""

    def __init__(self, *given: Any, classes: Sequence[Any], **more: Any) -> None:
        super().__init__(*given, kind="classifier", **more)
        self.name_classes(classes)

    def name_classes(self, classes: Sequence[Any]) -> None:
        """Call the classes by other names, in the same order."""
        texts = any(isinstance(label, str) for label in classes)
        self.classes_ = np.array(list(classes), dtype=object if texts else None)

    def predict_proba(self, rows: Any) -> Array:
        """Return the probability of each class, shape (n, k)."""
        found = np.asarray(self._scores(rows), dtype=np.float64)
        return np.column_stack([1.0 - found, found]) if found.ndim == 1 else found

    def predict(self, rows: Any) -> Array:
        """Return the most probable class of each row; of several the first."""
        labels: Array = self.classes_[np.argmax(self.predict_proba(rows), axis=1)]
        return labels


class DecidingPart(ClassifierPart):
    """A fitted classifier that answers decisions too, from which those around it would rather calibrate."""

    def __init__(self, *given: Any, decisions: Callable[[Any], Array], **more: Any) -> None:
        super().__init__(*given, **more)
        self._decisions = decisions

    def decision_function(self, rows: Any) -> Array:
        """Return the decision of each row, shape (n,) for two classes, or that for each class."""
        return np.asarray(self._decisions(rows), dtype=np.float64)
