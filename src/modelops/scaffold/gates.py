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
from modelops.scaffold.target import RARE, Target
from modelops.spec.kinds.gate_policy import Gate, GatePolicySpec
from modelops.spec.meta import Risk, VerdictWord
from modelops.spec.yaml.dump import dump
from modelops.statistics.repeats import by_chance, keyed, most
from modelops.statistics.repeats import repeated as repeats

Array = np.ndarray[Any, Any]

ENOUGH = 50
"""Test rows of the rarest class (all of them for regression) from which an inconclusive verdict blocks."""
_TOLERATED = 0.05


@dataclass(frozen=True, slots=True)
class Shape:
    """What the data quality gate has to allow, measured: shares of missing values, repeated rows and features.

    ``coarse_rows`` and ``coarse_features`` are the shares that repeat by chance (``statistics.repeats``): what the few
    values that columns have account for, without any row being a copy. ``metric`` is the one that somebody judges by.
    """

    rows: int
    test: float
    chance: float
    missing: dict[str, float] = field(default_factory=dict)
    repeated_rows: float = 0.0
    coarse_rows: float = 0.0
    coarse_features: float = 0.0
    repeated_ids: float = 0.0
    shared_ids: float = 0.0
    metric: str | None = None

    @property
    def copies(self) -> bool:
        """Whether more rows repeat another one than the gate's default allows and than their few values account for."""
        return self.repeated_rows > max(_TOLERATED, most(self.coarse_rows, self.rows))


def test_share(target: Target) -> float:
    """Return the share of rows that test: more of them where there are few."""
    return 0.3 if target.rows < 300 else 0.25


def shape_of(
    table: pa.Table, target: Target, used: Sequence[Finding], identity: str | None, time: str | None,
    share: float | None = None, metric: str | None = None,
) -> Shape:  # fmt: skip
    """Measure a table; ``chance`` is what balanced accuracy, ROC area or R² are worth to a model that knows nothing."""
    arrays = {f.name: convert(table[f.name], f.type, f.name) for f in used if f.type is not None}
    others = [name for name in (target.name, identity, time) if name is not None]
    keys = [
        pd.util.hash_array(np.asarray(table[name].cast(pa.string()).to_pandas(), dtype=object).astype(str))
        for name in others
    ]
    features = [pd.util.hash_pandas_object(pd.Series(values), index=False).to_numpy() for values in arrays.values()]
    whole = [*features, *keys]

    def order(place: int) -> Array:
        values = [*arrays.values(), *(table[name].to_pandas().to_numpy() for name in others)][place]
        return np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)[1]

    empty = {
        name: float(((values == "") if values.dtype == object else np.isnan(values)).mean())
        for name, values in arrays.items()
    }
    ids = table[identity] if identity else None
    repeated = float(pd.Series(ids.to_pandas()).duplicated(keep=False).mean()) if ids is not None else 0.0
    return Shape(
        rows=target.rows,
        test=test_share(target) if share is None else share,
        chance=_chance(target, metric),
        missing={name: share for name, share in empty.items() if share > 0},
        repeated_rows=repeats(whole),
        coarse_rows=repeats(by_chance(whole, order=order)),
        coarse_features=_shared(by_chance(features)),
        repeated_ids=repeated,
        # Only a split by time divides the rows of one id.
        shared_ids=repeated if time else 0.0,
        metric=metric,
    )


def _shared(columns: Sequence[Array]) -> float:
    """Return the share of rows that have the values of another one."""
    return float(pd.Series(keyed(columns)).duplicated(keep=False).mean())


_MARGINS = {"r2": 0.05, "roc-auc": 0.03, "accuracy": 0.02, "balanced-accuracy": 0.05}


def judged_by(target: Target, asked: str | None = None) -> tuple[str, float]:
    """Return the metric that tells a model from none, and the margin that one may be worse by than another.

    Where classes have too few rows to be measured each, it is the share of rows that are right; ``asked`` is one that
    somebody judges by already.
    """
    if asked is not None:
        return asked, _MARGINS[asked]
    if target.task == "regression":
        return "r2", _MARGINS["r2"]
    if target.task == "binary-classification":
        return "roc-auc", _MARGINS["roc-auc"]
    name = "accuracy" if target.rarest < RARE else "balanced-accuracy"
    return name, _MARGINS[name]


def _chance(target: Target, asked: str | None = None) -> float:
    """Return what the metric is worth to who knows nothing: who ranks by chance, or names the most frequent class."""
    by = {"r2": 0.0, "roc-auc": 0.5, "accuracy": target.majority}
    found = by.get(judged_by(target, asked)[0])
    return round(1 / max(1, len(target.classes)) if found is None else found, 4)


def gate_policy(name: str, path: str, target: Target, shape: Shape, risk: Risk) -> bytes:
    """Return the file of the model's own gate policy, its thresholds explained."""
    counted = target.rows if judged_by(target, shape.metric)[0] == "accuracy" else target.rarest
    rare = counted * shape.test
    settled: tuple[VerdictWord, ...] = ("fail", "inconclusive", "no-data")
    block = settled if rare >= ENOUGH or risk == "high" else ("fail", "no-data")
    metric, margin = judged_by(target, shape.metric)
    least = 20 if rare >= ENOUGH else 2
    limits: dict[str, Any] = {"metric": metric, "minimum": shape.chance, "minimumRows": least}
    against: dict[str, Any] = {"metric": metric, "margin": margin, "minimumRows": least}
    quality, why = _quality(shape)
    gates = (
        Gate(name="better-than-chance", type="metric", params=limits, block=block),
        Gate(name="not-worse-than-stable", type="champion", params=against, block=block),
        Gate(name="data-quality", type="data-quality", params=quality, block=("fail", "no-data")),
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
        else f" About {rare:.0f} test rows of the rarest class settle little, so only a clear failure blocks, "
        "and that nothing could be measured."
    )
    remarks = {
        "spec.gates[0]": f"{metric} of {shape.chance:g} is what a model scores that has learned nothing"
        f"{' and always names the most frequent class' if metric == 'accuracy' else ''}: the lower "
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
    few = "by the few values that columns have"
    for share, key, count, default, said in (
        (shape.coarse_rows, "maximumDuplicates", shape.rows, 0.05, f"of the rows repeat another {few}"),
        (shape.coarse_features, "maximumLeakage", test_rows, 0.05, f"of the rows have the features of another {few}"),
        (shape.shared_ids, "maximumSharedIds", test_rows, 0.0, "of the rows share their id"),
    ):
        # In the few rows of a test part a share is off by chance.
        allowed = most(share, count)
        if share > 0 and allowed > default:
            params[key] = math.ceil(100 * min(1.0, max(allowed, share + _TOLERATED))) / 100
            why.append(f"{share:.0%} {said}")
    said = f"Wider than the defaults, because {'; '.join(why)}." if why else ""
    if shape.copies:
        params.pop("maximumDuplicates", None)
        said += (
            f" {shape.repeated_rows:.0%} of the rows repeat another, where their few values account for "
            f"{shape.coarse_rows:.0%}: no limit is widened for copies, and this gate fails until they are dropped. If "
            "they are no copies, say how many may repeat: maximumDuplicates."
        )
    return params, said.strip()
