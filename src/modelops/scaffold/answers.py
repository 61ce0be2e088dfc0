"""Columns that hold the answer: what determines the target in every row is no feature of a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from modelops.artifacts.frame import column as convert
from modelops.scaffold.columns import Finding
from modelops.scaffold.target import Target
from modelops.statistics.determination import determining

__all__ = ["without_answers"]

Array = np.ndarray[Any, Any]
WAY_BACK = "if it is known before that, add it with knownAtPrediction and why"


def without_answers(table: pa.Table, target: Target, found: Sequence[Finding]) -> list[Finding]:
    """Return the findings with every column left out that determines the target, alone or with others.

    The whole table is at hand here, so no sample can hide it.
    """
    codes = _codes(table, target)
    known = np.isfinite(codes)
    columns = {f.name: convert(table[f.name], f.type, f.name)[known] for f in found if f.type is not None}
    reasons: dict[str, str] = {}
    for one in determining(columns, codes[known], classes=target.task != "regression"):
        for name in one.columns:
            reasons[name] = f"{one} {target.name} {one.where(int(known.sum()))}, so it holds the answer; {WAY_BACK}"
    return [
        replace(finding, type=None, remark=reasons[finding.name]) if finding.name in reasons else finding
        for finding in found
    ]


def _codes(table: pa.Table, target: Target) -> Array:
    """Return the target as numbers, NaN where it is missing."""
    if target.task == "regression":
        return np.asarray(convert(table[target.name], "number", target.name), dtype=np.float64)
    places = {label: float(code) for code, label in enumerate(target.classes)}
    # A whole number that missing values turned into a fraction is equal to it.
    return np.array([places.get(label, np.nan) for label in table[target.name].to_pylist()])
