"""How long the served artifact takes for one row, and how large it is."""

from __future__ import annotations

import math
from typing import Annotated, Self

import numpy as np
from pydantic import Field, model_validator

from modelops.gates import Need, Subject, Verdict
from modelops.gates._parts.findings import at_most, no_data, worst
from modelops.spec.meta import OpenShare, Strict
from modelops.statistics.intervals import quantile_interval

__all__ = ["NEEDS", "Params", "evaluate"]

NEEDS: tuple[Need, ...] = ("latency",)

Milliseconds = Annotated[float, Field(gt=0)]


class Params(Strict):
    """At least one maximum: of the median, of the 99th percentile (milliseconds a prediction), of the bytes.

    What is judged is the artifact on an idle processor of the machine that builds: of each row the fastest of three
    timings. Queues, networks and neighbours are what rollouts look at.
    """

    p50_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    maximum_bytes: Annotated[int, Field(gt=0)] | None = None
    level: OpenShare = 0.95

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.p50_ms is None and self.p99_ms is None and self.maximum_bytes is None:
            raise ValueError("give at least one of p50Ms, p99Ms and maximumBytes")
        return self


def evaluate(params: Params, subject: Subject) -> Verdict:
    """Judge every declared maximum; the worst finding is the verdict."""
    findings: list[Verdict] = []
    details: dict[str, object] = {"bytes": subject.artifact_size, "samples": len(subject.latency)}
    ordered = np.sort(subject.latency.astype(np.float64) * 1000)
    for name, quantile, limit in (("p50", 0.50, params.p50_ms), ("p99", 0.99, params.p99_ms)):
        if limit is None:
            continue
        if len(ordered) == 0 or not np.isfinite(ordered).all():
            findings.append(no_data(f"no usable timings for {name}", len(ordered)))
            continue
        value, lower, upper = quantile_interval(ordered, quantile, params.level)
        details[f"{name}Ms"] = value
        findings.append(_quantile(name, value, lower, upper, limit, len(ordered)))
    if params.maximum_bytes is not None:
        findings.append(_size(subject.artifact_size, params.maximum_bytes))
    found = worst(findings)
    return Verdict(
        found.verdict, found.reason, found.value, found.lower, found.upper, found.limit, found.n, details=details
    )


def _quantile(name: str, value: float, lower: float, upper: float, limit: float, n: int) -> Verdict:
    found = at_most(f"{name} in ms", value, lower, upper, limit, n)
    if math.isfinite(upper) and math.isfinite(lower):
        return found
    reason = found.reason if math.isfinite(upper) else f"{n} timings are too few to bound the {name} from above"
    return Verdict(
        found.verdict,
        reason,
        value,
        lower if math.isfinite(lower) else None,
        upper if math.isfinite(upper) else None,
        limit,
        n,
    )


def _size(size: int, limit: int) -> Verdict:
    if size <= 0:
        return no_data("the size of the artifact is not known")
    word, answer = ("pass", "within") if size <= limit else ("fail", "above")
    return Verdict(word, f"the artifact has {size} bytes, {answer} {limit}", float(size), limit=float(limit))  # type: ignore[arg-type]
