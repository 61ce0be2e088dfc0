"""The column that says what each row counts for, as a person names it: checked against the data, and described."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from modelops.artifacts.frame import spelling
from modelops.errors import Exit, ModelOpsError, failure
from modelops.scaffold.roles import Said
from modelops.scaffold.target import Target
from modelops.statistics.weighted import worth

__all__ = ["Weighing", "weighing"]


@dataclass(frozen=True, slots=True)
class Weighing:
    """A column of weights: what is to be said of it, and the weighted share of each label."""

    name: str
    said: str
    shares: Mapping[str, float]


def weighing(table: pa.Table, target: Target, name: str, asked: Said) -> Weighing:
    """Describe the column that is asked for as weights; one that is something else too, or no weight, is refused."""
    from modelops.training.weights import weights

    others: tuple[tuple[str, Collection[str | None]], ...] = (
        ("the target", (target.name,)),
        ("--id too", (asked.id,)),
        ("--time too", (asked.time,)),
        ("asked for with --feature too", tuple(asked.features)),
        ("asked for with --exclude too", asked.exclude),
    )
    for what, names in others:
        if name in names:
            hint = "a column of weights is never a feature: say one of the two"
            raise failure("bad-weight", f"--weight {name!r} is {what}", exit=Exit.USAGE, hint=hint)
    labels = table[target.name].to_pylist()
    rows = np.array([place for place, label in enumerate(labels) if label not in (None, "")], dtype=np.intp)
    try:
        found = weights(table, name, rows, "--weight")
    except ModelOpsError as error:
        problems = [replace(problem, dotted="") for problem in error.problems]
        raise ModelOpsError(*problems, exit=Exit.USAGE) from None
    assert found is not None
    zero = int((found == 0).sum())
    said = f"what each row counts for, from {found.min():g} to {found.max():g}"
    said += f"; {zero:,} rows count for nothing" if zero else ""
    if float(np.ptp(found)) == 0:
        said += ": all alike, so it says nothing"
    else:
        said += f"; {len(found):,} rows are worth {worth(found):,.0f} equally weighted ones"
    sums: dict[str, float] = {}
    for place, weight in zip(rows, found, strict=True):
        label = spelling(labels[place])
        sums[label] = sums.get(label, 0.0) + float(weight)
    total = float(found.sum())
    nothing = [label for label, each in sums.items() if each == 0] if target.task != "regression" else []
    if nothing:
        said = f"--weight {name!r} is 0 in all rows whose {target.name} is {nothing[0]!r}"
        hint = "nobody learns a class that counts for nothing: give it a weight, or take these rows out of the data"
        raise failure("bad-weight", said, exit=Exit.USAGE, hint=hint)
    return Weighing(name, said, {label: each / total for label, each in sums.items()})
