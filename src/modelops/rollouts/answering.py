"""Logged requests answered once more, by another release and offline: what it says, and why it says nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from modelops.artifacts import Predictor, columns
from modelops.errors import ModelOpsError
from modelops.predictions import label_text
from modelops.statistics import Array

__all__ = ["Answers", "answered"]

_BATCH = 2_000

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answers:
    """What a release says to n rows; ``why`` is "" where it answered, else what was wrong, which names no value.

    ``scores`` is what the log would hold: the probability of the positive class or of the answered one, or the value;
    NaN where there is none. ``labels`` is None there, and for a regression.
    """

    scores: Array
    labels: tuple[str | None, ...]
    why: tuple[str, ...]

    @property
    def failures(self) -> Counter[str]:
        """How many rows were not answered, by what was wrong."""
        return Counter(why for why in self.why if why)


def answered(predictor: Predictor, features: Sequence[str | bytes]) -> Answers:
    """Answer logged features, as the server would that a caller sends them to: what it refuses is not answered."""
    n = len(features)
    scores, labels, why = np.full(n, np.nan), [None] * n, [""] * n
    found = Answers(scores, (), ())
    for start in range(0, n, _BATCH):
        places, rows = [], []
        for place in range(start, min(n, start + _BATCH)):
            row = _read(features[place])
            why[place] = "the logged features are no object" if row is None else _unfit(predictor, row)
            if row is not None and not why[place]:
                places.append(place)
                rows.append(row)
        _predict(predictor, places, rows, (scores, labels, why))
    return Answers(found.scores, tuple(labels), tuple(why))


def _read(text: str | bytes) -> Row | None:
    try:
        row = orjson.loads(text)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def _unfit(predictor: Predictor, row: Row) -> str:
    """Return why a caller who sends these features would be refused, "" where they would be taken."""
    for feature in predictor.signature.features:
        if feature.name not in row:
            return f"{feature.name} is not in the log"
        if row[feature.name] is None and not feature.nullable and feature.type != "category":
            return f"{feature.name} is missing, and has to be there"
    return ""


def _predict(
    predictor: Predictor, places: Sequence[int], rows: Sequence[Row], into: tuple[Array, list[Any], list[str]]
) -> None:
    """Predict rows at once; where that does not work the halves, until what is wrong is alone."""
    if not rows:
        return
    scores, labels, why = into
    try:
        outputs = _outputs(predictor, rows)
    except (ModelOpsError, ValueError, TypeError, ArithmeticError) as error:
        if len(rows) == 1:
            why[places[0]] = _said(predictor, rows[0], error)
            return
        half = len(rows) // 2
        _predict(predictor, places[:half], rows[:half], into)
        _predict(predictor, places[half:], rows[half:], into)
        return
    regression = predictor.signature.task == "regression"
    told = outputs.scores if outputs.scores.ndim == 1 else outputs.scores.max(axis=1)
    for place, score, label in zip(places, told.tolist(), outputs.labels.tolist(), strict=True):
        if not np.isfinite(score):
            why[place] = "the score is no number"
            continue
        scores[place] = score
        labels[place] = None if regression else label_text(label)


def _outputs(predictor: Predictor, rows: Sequence[Row]) -> Any:
    features, text = predictor.signature.features, predictor.signature.text
    table = {}
    for feature in features:
        values = [row[feature.name] for row in rows]
        if text is not None and feature.type == "category":
            values = [text.read(value) if isinstance(value, str) and value else value for value in values]
        table[feature.name] = values
    arrays = columns(table, features)
    if predictor.takes_matrix:
        return predictor.predict_matrix(np.column_stack(list(arrays.values())))
    return predictor.predict_columns(arrays)


def _said(predictor: Predictor, row: Row, error: Exception) -> str:
    """Say what is wrong with a row without a value of it: people may be behind them."""
    for feature in predictor.signature.features:
        try:
            columns({feature.name: [row[feature.name]]}, [feature])
        except ModelOpsError:
            return f"{feature.name} is no {feature.type}"
    code = f" ({error.first.code})" if isinstance(error, ModelOpsError) else f" ({type(error).__name__})"
    return f"the model fails on it{code}"
