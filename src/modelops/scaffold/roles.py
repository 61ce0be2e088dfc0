"""What columns do beside being features: which names rows or groups of rows, which is their time; so which test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelops.artifacts.frame import column as convert
from modelops.data.dates import timely
from modelops.errors import Exit, ModelOpsError, failure
from modelops.scaffold.columns import Finding, is_year
from modelops.scaffold.personal import personal
from modelops.spec.kinds.model import Split
from modelops.spec.meta import FeatureType

__all__ = ["SPLIT", "Roles", "Said", "roles_of", "settled"]

Array = np.ndarray[Any, Any]
_ORDERED = 20
"""Different times from which on rows in their order are a series."""
SPLIT = "split of the rows"
"""What a line about the split is called by, beside those of columns."""
_KINDS = 50
"""Different rows from which on equal ones are kept on one side: with fewer, a part would have none like the other."""
_TOLERATED = 0.05
"""Share of rows with the features of a row about something else, from which on a split by what they are about leaks."""
_PANEL = 20
"""Values of a column from which on equally many rows of each are taken for groups."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a person says about columns: which are features, of which type (None: the one that fits), and which not.

    ``only`` says that no other column is one.
    """

    id: str | None = None
    time: str | None = None
    features: Mapping[str, FeatureType | None] = field(default_factory=dict)
    exclude: tuple[str, ...] = ()
    weight: str | None = None
    only: bool = False


@dataclass(frozen=True, slots=True)
class Roles:
    """Identity, time and split of the rows; ``said`` has a line for each column that something was decided about."""

    identity: str | None
    time: str | None
    split: Split
    said: dict[str, str] = field(default_factory=dict)
    hints: tuple[str, ...] = ()


def settled(found: Sequence[Finding], examined: Sequence[Finding], said: Said) -> list[Finding]:
    """Return the findings as a person wants them; what cannot be a feature stays none, and that is an error.

    ``examined`` are the findings before those were left out that hold the answer: a person may want these.
    """
    result = []
    for finding, before in zip(found, examined, strict=True):
        if finding.name in said.exclude:
            result.append(replace(finding, type=None, remark="excluded", identifies=False, groups=False))
        elif finding.name in said.features:
            why = "As the code has it." if said.only else "As asked for."
            result.append(_wanted(finding, before, said.features[finding.name], why))
        elif said.only and finding.type is not None:
            result.append(replace(finding, type=None, remark="the code that was adopted does not use it"))
        else:
            result.append(finding)
    return result


def _wanted(finding: Finding, before: Finding, kind: FeatureType | None, why: str) -> Finding:
    if before.type is None and before.keeps is None:
        said = f"--feature {finding.name!r} cannot be a feature: {before.remark}"
        raise failure("bad-feature", said, exit=Exit.USAGE)
    answer = finding.remark if before.type is not None and finding.type is None else ""
    remark = f"{why} {answer}".strip()
    return replace(
        before, type=kind or before.type or before.keeps, remark=remark, said=answer, identifies=False, groups=False
    )


def roles_of(
    table: pa.Table, target: str, found: Sequence[Finding], used: Sequence[Finding], said: Said, share: float
) -> Roles:
    """Decide how the rows of a table are divided: by time where they are a series, else by what they are about."""
    lines: dict[str, str] = {}
    _require_other(said, target)
    if said.time is not None:
        lines[said.time] = _checked_time(said.time, table[said.time])
    time = said.time or (None if said.id is not None else _series(table, target, said, used, lines))
    identity, hints = _identity(table, target, found, said, share, lines)
    if time is not None:
        if identity is not None:
            lines[identity] = "names what a row is about (--id names another column)"
        return Roles(identity, time, Split(type="time", test=share), lines, hints)
    equal, kinds, largest = _equal_rows(table, used)
    many = kinds >= _KINDS and largest <= table.num_rows / 10
    if many and said.id is None and identity is not None and _across(table, used, identity) > _TOLERATED:
        # Whoever is left out of training, rows like theirs are in it: only equal rows together tell what was learnt.
        lines.pop(identity)
        hints = (*hints, f"rows repeat {identity}: --id {identity} keeps all rows of one on one side of the split")
        identity = None
    if equal and many and not (identity is not None and _repeats(table[identity])) and said.id is None:
        rows = f"{equal:,} of {table.num_rows:,} rows have the features of another"
        lines[SPLIT] = f"{rows}: equal rows are kept on one side"
        if identity is not None:
            lines[identity] = "identifies a row (--id names another column)"
        return Roles(identity, None, Split(type="random", test=share, equal_rows="together"), lines, hints)
    if equal > table.num_rows / 100 and not many:
        lines[SPLIT] = (
            f"the features of the {table.num_rows:,} rows have {kinds:,} different values in all, so test rows are "
            "like training rows: a model that learned them by heart is not told apart"
        )
    return Roles(identity, None, Split(type="hash" if identity else "random", test=share), lines, hints)


def _require_other(said: Said, target: str) -> None:
    """Refuse a column that is asked to be two things."""
    for option, names in (("--id", (said.id,)), ("--time", (said.time,)), ("--feature", said.features)):
        if target in names:
            what = f"{option} {target!r} is the target"
            raise failure(f"bad-{option[2:]}", what, exit=Exit.USAGE, hint="name another column")
    if target in said.exclude:
        what = f"--exclude {target!r} is the target, which is no feature anyway"
        raise failure("bad-exclude", what, exit=Exit.USAGE, hint="leave it out")
    both = next((name for name in said.features if name in said.exclude), None)
    if both is not None:
        what = f"--exclude {both!r} is asked for with --feature too"
        raise failure("bad-exclude", what, exit=Exit.USAGE, hint="say one of the two")


def _checked_time(name: str, values: pa.ChunkedArray) -> str:
    """Return what is to be said of the column that a person calls the time; one that is none is an error."""
    kind = values.type
    if values.null_count == len(values):
        said = f"--time {name!r} is missing in all {len(values):,} rows"
        raise failure("bad-time", said, exit=Exit.USAGE, hint="name another column")
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    if not pa.types.is_temporal(kind) and not numeric and not _reads_as_time(name, values):
        row, shown = next((row, str(value)) for row, value in enumerate(values.to_pylist(), 1) if value is not None)
        raise failure(
            "bad-time",
            f"--time {name!r} holds texts such as {shown[:40]!r} (row {row}), which have no order in time",
            exit=Exit.USAGE,
            hint="write dates as 2024-01-31, or name another column",
        )
    if values.null_count:
        raise failure(
            "bad-time",
            f"--time {name!r} is missing in {values.null_count:,} of {len(values):,} rows, first in row "
            f"{_first_missing(values)}, which is neither before nor after",
            exit=Exit.USAGE,
            hint="fill it, drop these rows, or name another column",
        )
    distinct = pc.count_distinct(values).as_py()
    if distinct < 2:
        said = f"--time {name!r} is {values[0].as_py()} in all {len(values):,} rows"
        raise failure("bad-time", said, exit=Exit.USAGE, hint="name another column")
    if numeric:
        ends = pc.min_max(values).as_py()
        span = f"the {distinct:,} numbers from {ends['min']} to {ends['max']} are no dates"
        return f"the order of the rows: {span}; the largest test"
    return ""


def _first_missing(values: pa.ChunkedArray) -> int:
    return int(np.argmax(np.asarray(pc.is_null(values).to_numpy(), dtype=np.bool_))) + 1


def _reads_as_time(name: str, values: pa.ChunkedArray) -> bool:
    try:
        return bool(np.isfinite(convert(values, "datetime", name)).any())
    except ModelOpsError:
        return False


def _identity(
    table: pa.Table, target: str, found: Sequence[Finding], said: Said, share: float, lines: dict[str, str]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the column that names rows or groups of them, and hints about columns that may."""
    if said.id is not None:
        if table[said.id].null_count == table.num_rows:
            what = f"--id {said.id!r} is missing in all {table.num_rows:,} rows"
            raise failure("bad-id", what, exit=Exit.USAGE, hint="name another column")
        lines[said.id] = _about(said.id, table[said.id], _tested(table, said.id, target, share, asked=True))
        return said.id, ()
    groups = [finding.name for finding in found if finding.groups]
    if len(groups) == 1 and (tested := _tested(table, groups[0], target, share)) is not None:
        lines[groups[0]] = _about(groups[0], table[groups[0]], tested)
        return groups[0], ()
    hints: tuple[str, ...] = ()
    if groups:
        hints = (f"rows repeat {', '.join(groups)}: --id keeps all rows of one on one side of the split",)
    else:
        panel = _panel(table, target)
        if panel is not None:
            name, values, each = panel
            what = f"each of {values:,} values of {name} has {each:,} rows or almost"
            hints = (f"{what}: --id {name} keeps them on one side of the split",)
    persons = personal(table)
    unique = [finding.name for finding in found if finding.identifies and finding.name not in persons]
    if unique:
        lines[unique[0]] = "identifies a row: its hash decides which rows test (--id names another column)"
    return (unique[0] if unique else None), hints


def _repeats(values: pa.ChunkedArray) -> bool:
    return bool(pc.count_distinct(values, mode="only_valid").as_py() < len(values) - values.null_count)


def _about(name: str, values: pa.ChunkedArray, tested: float | None) -> str:
    missing = f"; {values.null_count:,} rows without one stand alone" if values.null_count else ""
    if not _repeats(values):
        return f"identifies a row: its hash decides which rows test{missing}"
    distinct = pc.count_distinct(values, mode="only_valid").as_py()
    part = f", {tested:.0%} of the rows" if tested is not None else ""
    return f"groups the rows: all rows of one of its {distinct:,} values train or all test{part}{missing}"


def _tested(table: pa.Table, name: str, target: str, share: float, *, asked: bool = False) -> float | None:
    """Return the share of rows that a split by the hash of a column tests; None where that is far off what is meant."""
    from modelops.training.split import by_hash

    ids = convert(table[name], "category", name)
    mask = by_hash(ids, share)
    found = float(mask.mean())
    if asked and (mask.all() or not mask.any()):
        distinct = len(np.unique(ids))
        raise failure(
            "bad-split",
            f"--id {name!r} has {distinct} value{'s' * (distinct > 1)}, such as {str(ids[0])[:40]!r} (row 1), and all "
            "of them fall on one side of the split",
            exit=Exit.USAGE,
            hint="name a column of more values",
        )
    return found if asked or share / 2 <= found <= 2 * share else None


def _panel(table: pa.Table, target: str) -> tuple[str, int, int] | None:
    """Return a column of texts of whose many values all have about equally many rows, as in a panel."""
    for name in table.column_names:
        values = table[name]
        if name == target or not pa.types.is_string(values.type):
            continue
        counted = pc.value_counts(values.drop_null())
        counts = np.asarray(counted.field("counts"))
        if len(counts) >= _PANEL and counts.min() >= 3 and counts.max() <= 1.2 * counts.min():
            return name, len(counts), int(counts.max())
    return None


def _series(table: pa.Table, target: str, said: Said, used: Sequence[Finding], lines: dict[str, str]) -> str | None:
    """Return the one column of times in whose order the rows stand, if others are left to learn from."""
    skipped = {target, *said.features, *said.exclude}
    times = [name for name in table.column_names if name not in skipped and _is_time(name, table[name])]
    ordered: list[str] = [name for name in times if _in_order(table[name])]
    if len(ordered) != 1 or all(finding.name == ordered[0] for finding in used):
        return None
    lines[ordered[0]] = (
        "the rows are in its order, so it is their time and the newest test "
        "(--time names another, --id divides by what rows are about)"
    )
    return ordered[0]


def _is_time(name: str, values: pa.ChunkedArray) -> bool:
    if values.null_count:
        return False
    numbered = pa.types.is_integer(values.type) and (timely(name) or is_year(name))
    return numbered or pa.types.is_timestamp(values.type) or pa.types.is_date(values.type)


def _in_order(values: pa.ChunkedArray) -> bool:
    numbers = np.asarray(values.cast(pa.int64(), safe=False), dtype=np.int64)
    steps = np.diff(numbers)
    return len(np.unique(numbers)) >= _ORDERED and (bool((steps >= 0).all()) or bool((steps <= 0).all()))


def _across(table: pa.Table, used: Sequence[Finding], identity: str) -> float:
    """Return the share of rows whose features are those of a row about something else, 0 where no id repeats."""
    if not _repeats(table[identity]):
        return 0.0
    features = _hashed(table, used)
    if features is None:
        return 0.0
    several = table[identity].to_pandas().groupby(features.to_numpy()).nunique() > 1
    return float(features.map(several).mean())


def _hashed(table: pa.Table, used: Sequence[Finding]) -> pd.Series[int] | None:
    arrays = {f.name: convert(table[f.name], f.type, f.name) for f in used if f.type is not None}
    return pd.util.hash_pandas_object(pd.DataFrame(arrays), index=False) if arrays else None


def _equal_rows(table: pa.Table, used: Sequence[Finding]) -> tuple[int, int, int]:
    """Count the rows whose features are those of another row, the different ones, and the rows of the most frequent."""
    features = _hashed(table, used)
    if features is None:
        return 0, 0, 0
    counts = features.value_counts()
    return int(counts[counts > 1].sum()), len(counts), int(counts.max())
