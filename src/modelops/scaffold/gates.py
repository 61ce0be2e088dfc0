"""Gates for a model of which nothing is known yet: better than no model, on data as clean as what it was made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from modelops.artifacts.frame import column as convert
from modelops.scaffold.annotate import annotate
from modelops.scaffold.columns import Finding
from modelops.scaffold.target import Target
from modelops.spec.delivery import VerdictWord
from modelops.spec.dump import dump
from modelops.spec.meta import Risk
from modelops.spec.policy import Gate, GatePolicySpec

ENOUGH = 50
"""Test rows of the rarest class (all of them for regression) from which an inconclusive verdict blocks."""
_TOLERATED = 0.05


@dataclass(frozen=True, slots=True)
class Shape:
    """What the data quality gate has to allow, measured: shares of missing values, repeated rows and features."""

    rows: int
    test: float
    chance: float
    missing: dict[str, float] = field(default_factory=dict)
    repeated_rows: float = 0.0
    repeated_features: float = 0.0
    repeated_ids: float = 0.0


def shape_of(table: pa.Table, target: Target, used: Sequence[Finding], identity: str | None, time: str | None) -> Shape:
    """Measure a table; ``chance`` is what balanced accuracy, ROC area or R² are worth to a model that knows nothing."""
    arrays = {f.name: convert(table[f.name], f.type, f.name) for f in used if f.type is not None}
    features = pd.util.hash_pandas_object(pd.DataFrame(arrays), index=False).to_numpy()
    others = [name for name in (target.name, identity, time) if name is not None]
    keys = [
        pd.util.hash_array(np.asarray(table[name].cast(pa.string()).to_pandas(), dtype=object).astype(str))
        for name in others
    ]
    whole = pd.DataFrame({str(number): hashes for number, hashes in enumerate([features, *keys])})
    empty = {
        name: float(((values == "") if values.dtype == object else np.isnan(values)).mean())
        for name, values in arrays.items()
    }
    ids = table[identity] if identity and time else None
    binary = {"binary-classification": 0.5, "regression": 0.0}
    return Shape(
        rows=target.rows,
        test=0.3 if target.rows < 300 else 0.25,
        chance=binary.get(target.task, round(1 / max(1, len(target.classes)), 4)),
        missing={name: share for name, share in empty.items() if share > 0},
        repeated_rows=float(whole.duplicated().mean()),
        repeated_features=float(pd.Series(features).duplicated(keep=False).mean()),
        repeated_ids=float(pd.Series(ids.to_pandas()).duplicated(keep=False).mean()) if ids is not None else 0.0,
    )


def gate_policy(name: str, path: str, target: Target, shape: Shape, risk: Risk) -> bytes:
    """Return the file of the model's own gate policy, its thresholds explained."""
    rare = target.rarest * shape.test
    settled: tuple[VerdictWord, ...] = ("fail", "inconclusive", "no-data")
    block = settled if rare >= ENOUGH or risk == "high" else ("fail",)
    metric, margin = {
        "binary-classification": ("roc-auc", 0.03),
        "multiclass-classification": ("balanced-accuracy", 0.05),
        "regression": ("r2", 0.05),
    }[target.task]
    least = 20 if rare >= ENOUGH else 2
    limits: dict[str, Any] = {"metric": metric, "minimum": shape.chance, "minimumRows": least}
    against: dict[str, Any] = {"metric": metric, "margin": margin, "minimumRows": least}
    quality, why = _quality(shape)
    gates = (
        Gate(name="better-than-chance", type="metric", params=limits, block=block),
        Gate(name="not-worse-than-stable", type="champion", params=against, block=block),
        Gate(
            name="data-quality", type="data-quality", params=quality, block=("fail", "no-data") if quality else settled
        ),
        Gate(
            name="latency",
            type="latency",
            params={"p99Ms": 100.0, "maximumBytes": 50_000_000},
            block=("fail", "no-data"),
        ),
    )
    spec = GatePolicySpec(description=f"What a release of {name} has to show.", gates=gates)
    few = (
        ""
        if block is settled
        else f" About {rare:.0f} test rows of the rarest class settle little, so only a clear failure blocks."
    )
    remarks = {
        "spec.gates[0]": f"{metric} of {shape.chance:g} is what a model scores that has learned nothing: the lower "
        f"bound of the interval must reach it. Raise it towards the first release's value.{few}",
        "spec.gates[1]": "On the same test rows as the stable release; the first release has none to be compared with.",
        "spec.gates[2]": why,
        "spec.gates[3]": "Measured on the machine that builds, which may be busy: only a clear failure blocks.",
    }
    return annotate(dump("GatePolicy", name, spec, None, path), path, remarks)


def _quality(shape: Shape) -> tuple[dict[str, Any], str]:
    """Return parameters that the data at hand meets, and a remark that says which defaults were widened and why."""
    params: dict[str, Any] = {"allowConstant": True}
    why: list[str] = []
    test_rows = int(shape.rows * min(shape.test, 1 - shape.test))
    if test_rows < 100:
        params["minimumRows"] = max(2, test_rows // 2)
        why.append(f"there are about {test_rows} test rows")
    wide = {name: round(min(1.0, share + 0.1), 2) for name, share in sorted(shape.missing.items()) if share > 0.25}
    if wide:
        params["missing"] = wide
        why.append("these columns miss more than a quarter of their values")
    for share, key, rows, default, said in (
        (shape.repeated_rows, "maximumDuplicates", shape.rows, 0.05, "of the rows repeat another"),
        (shape.repeated_features, "maximumLeakage", test_rows, 0.05, "of the rows have the features of another"),
        (shape.repeated_ids, "maximumSharedIds", test_rows, 0.0, "of the rows share their id"),
    ):
        # In the few rows of a test part a share is off by chance: three standard errors are left for that.
        most = share + max(0.02, 3 * math.sqrt(share * (1 - share) / max(1, rows)))
        if share > 0 and most > default:
            params[key] = math.ceil(100 * min(1.0, max(most, share + _TOLERATED))) / 100
            why.append(f"{share:.0%} {said}")
    return params, f"Wider than the defaults, because {'; '.join(why)}." if why else ""
