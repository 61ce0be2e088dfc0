"""Reasons on request: ``parameters.explain`` asks why a row has its score, and the answer and the log say it."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
import orjson

from modelops.artifacts import Outputs
from modelops.errors import ModelOpsError
from modelops.reasons import not_explained
from modelops.serving.forms import Form
from modelops.serving.inputs import Bound
from modelops.serving.protocol import InferRequest, refusal, shown
from modelops.serving.table import LoadedArm

__all__ = ["MOST_ROWS", "Reasons", "reasons_of", "wanted"]

MOST_ROWS = 16
"""Rows of one request that are explained at most."""
USUAL = 5
"""Features that are named where the caller says no number."""
_MOST = 1000


class Reasons:
    """What is told and logged about the rows of a request; ``why`` says why some or all have no reasons."""

    __slots__ = ("logged", "told", "why")

    def __init__(self, rows: int) -> None:
        self.told: list[dict[str, Any] | None] = [None] * rows
        self.logged: list[str] = []
        self.why: str | None = None

    def parameters(self) -> dict[str, str]:
        """Return the parameters of the answer: the reasons as a list in JSON, and why there are none."""
        found = {"reasons": orjson.dumps(self.told).decode()} if any(self.told) else {}
        return found | ({"no_reasons": self.why} if self.why is not None else {})


def wanted(request: InferRequest, form: Form) -> int:
    """Return how many features of each row the reasons are to name, 0 where none are asked for."""
    value = (request.parameters or {}).get("explain")
    if value is None or value is False:
        return 0
    many = USUAL if value is True else value
    if type(many) is not int or not 1 <= many <= _MOST:
        said = f"the parameter explain is {shown(value)}"
        raise refusal(said, hint=f"it is true, or how many features to name, 1 to {_MOST}")
    if not form.tells:
        raise refusal("the answer of /invocations has no room for reasons", hint="ask /v2/models/NAME/predict for them")
    return many


def reasons_of(arm: LoadedArm, bound: Bound, outputs: Outputs, many: int, began: float, limit: float) -> Reasons:
    """Explain the rows of a request within ``limit`` seconds since it ``began`` to be waited for.

    Nothing here fails a prediction: what cannot be explained is answered, and says why.
    """
    found = Reasons(bound.rows)
    explainer = arm.explainer
    try:
        if limit <= 0:
            raise not_explained("reasons are switched off for this model: spec.serving.reasonsLimitMs is 0")
        if isinstance(explainer, str):
            raise not_explained(explainer)
        if bound.rows > MOST_ROWS:
            raise not_explained(f"the request has {bound.rows} rows, reasons are given for at most {MOST_ROWS}")
        for row in range(bound.rows):
            left = limit - (perf_counter() - began)
            if left <= 0:
                raise not_explained(
                    f"the {limit * 1000:g} ms that reasons may take were over before row {row} had its turn"
                )
            columns = _columns(arm.binder.names, bound, row)
            explanation = explainer.explain(columns, outputs.scores[row : row + 1], left)
            values = dict(zip(arm.binder.names, bound.logged[row], strict=True))
            found.told[row] = explanation.told(values, many)
            found.logged.append(explanation.logged())
    except ModelOpsError as error:
        found.why = error.first.message
        missing = orjson.dumps({"none": found.why}).decode()
        found.logged += [missing] * (bound.rows - len(found.logged))
    return found


def _columns(names: Sequence[str], bound: Bound, row: int) -> dict[str, np.ndarray[Any, Any]]:
    if bound.matrix is None:
        return {name: bound.columns[name][row : row + 1] for name in names}
    return {name: bound.matrix[row : row + 1, at] for at, name in enumerate(names)}
