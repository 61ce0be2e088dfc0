"""What each row counts for: the weight column of a model, checked once, and how training code is given it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelops.artifacts.frame import column
from modelops.errors import ModelOpsError, failure
from modelops.spec.kinds.model import ModelData
from modelops.spec.meta import Scalar

__all__ = ["PARAMETER", "not_taken", "require_classes", "require_parameter", "weights"]

Array = np.ndarray[Any, Any]

PARAMETER = "sample_weight"
"""What the parameter of training code is called, as everywhere in scikit-learn."""
_WAY = (
    "def train(features, target, parameters, seed, sample_weight), and give it to fit: "
    "estimator.fit(features, target, sample_weight=sample_weight); a pipeline, or a search over one, takes it for its "
    "last step: pipeline.fit(features, target, STEP__sample_weight=sample_weight)"
)
_OTHER_WAY = (
    "choose an estimator whose fit takes sample_weight (linear and tree models, boosting and forests do; nearest "
    "neighbours and multi-layer perceptrons do not), or take spec.data.weight out; of a pipeline the last step takes "
    "it: fit(features, target, STEP__sample_weight=sample_weight)"
)


def weights(table: Any, name: str | None, rows: Array, said: str = "spec.data.weight") -> Array | None:
    """Return what each of some rows counts for, shape (n,); None where no column is named.

    Raises ``missing-column``, ``bad-value``, and ``bad-weight`` for a weight that is missing, infinite or negative, and
    where all are 0. ``said`` is what named the column.
    """
    if name is None:
        return None
    if name not in table.column_names:
        raise failure("missing-column", f"there is no column {name!r}", dotted="spec.data.weight")
    try:
        values = column(table[name], "number", name)[rows]
    except ModelOpsError as error:
        raise _bad(f"{said} {name!r} cannot be read as a number: {error.first.message}") from None
    for what, wrong in (("missing or infinite", ~np.isfinite(values)), ("negative", values < 0)):
        if wrong.any():
            first = int(np.argmax(wrong))
            shown = "" if np.isnan(values[first]) else f" ({values[first]:g})"
            raise _bad(
                f"{said} {name!r} is {what} in {int(wrong.sum()):,} of {len(values):,} rows, first in row "
                f"{int(rows[first]) + 1}{shown}"
            )
    if not values.any():
        raise _bad(f"{said} {name!r} is 0 in all rows")
    return values


def require_classes(weight: Array, codes: Array, classes: Sequence[Scalar], data: ModelData) -> None:
    """Refuse a class whose training rows all count for nothing: nobody can learn it."""
    for place, name in enumerate(classes):
        mine = weight[codes == place]
        if len(mine) and not mine.any():
            raise failure(
                "bad-weight",
                f"spec.data.weight {data.weight!r} is 0 in all {len(mine):,} rows that train and whose {data.target} "
                f"is {name!r}",
                dotted="spec.data.weight",
                hint="give some of them a weight, or take these rows out of the data",
            )


def _bad(message: str) -> ModelOpsError:
    hint = "a weight is a number that is not negative: 0 for a row that counts for nothing"
    return failure("bad-weight", message, dotted="spec.data.weight", hint=hint)


def require_parameter(train: Callable[..., Any], entrypoint: str) -> None:
    """Refuse training code that takes no weights, or takes them and never looks at them."""
    asked = inspect.signature(train).parameters
    takes = [name for name, one in asked.items() if name == PARAMETER or one.kind is inspect.Parameter.VAR_KEYWORD]
    if not takes:
        raise failure(
            "weight-not-taken",
            f"the model has a weight column, and train of {entrypoint} has no parameter {PARAMETER}",
            dotted="spec.data.weight",
            hint=_WAY,
        )
    if not _used(train, takes):
        raise failure(
            "weight-not-taken",
            f"train of {entrypoint} takes {takes[0]} and never uses it, so it would train on unweighted rows",
            dotted="spec.data.weight",
            hint=_WAY,
        )


def _used(train: Callable[..., Any], names: list[str]) -> bool:
    """Tell whether a function reads one of its parameters; what cannot be read is believed."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(train)))
    except (OSError, SyntaxError, TypeError):
        return True
    return any(
        isinstance(node, ast.Name) and node.id in names and isinstance(node.ctx, ast.Load) for node in ast.walk(tree)
    )


def not_taken(error: Exception, entrypoint: str) -> ModelOpsError | None:
    """Return what to say of an estimator that refused weights, None for any other error."""
    text = str(error)
    refused = isinstance(error, TypeError | ValueError) and (PARAMETER in text or "sample weight" in text)
    words = ("unexpected keyword", "does not accept", "doesn't support", "does not support", "not supported")
    if not refused or not any(word in text for word in (*words, "not requested", "only supported if")):
        return None
    said = f"an estimator of {entrypoint} takes no weights: {text.splitlines()[0][:200]}"
    return failure("weight-not-taken", said, dotted="spec.data.weight", hint=_OTHER_WAY)
