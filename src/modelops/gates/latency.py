"""How long the served artifact takes for one row, and how large it is."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

import numpy as np
import scipy
from pydantic import Field, model_validator

from modelops.gates import Subject, Verdict
from modelops.gates._findings import at_most, no_data, worst
from modelops.spec.meta import OpenShare, Strict

__all__ = ["Params", "evaluate", "quantile_interval"]

Milliseconds = Annotated[float, Field(gt=0)]


class Params(Strict):
    """At least one maximum: of the median, of the 99th percentile (milliseconds a prediction), of the bytes."""

    p50_ms: Milliseconds | None = None
    p99_ms: Milliseconds | None = None
    maximum_bytes: Annotated[int, Field(gt=0)] | None = None
    level: OpenShare = 0.95

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.p50_ms is None and self.p99_ms is None and self.maximum_bytes is None:
            raise ValueError("give at least one of p50Ms, p99Ms and maximumBytes")
        return self


def quantile_interval(
    ordered: np.ndarray[Any, np.dtype[np.float64]], quantile: float, level: float
) -> tuple[float, float, float]:
    r"""Return a sample quantile and its distribution-free bounds from order statistics.

    The k-th smallest of n values is above the true q-quantile with probability :math:`P(Bin(n, q) \le k - 1)`.

    Parameters
    ----------
    ordered : array of shape (n,)
        Sorted ascending, n >= 1.
    quantile, level : float
        In (0, 1); each bound holds with confidence (1 + level) / 2.

    Returns
    -------
    tuple of value, lower, upper
        The lower bound is minus infinity, and the upper one infinity, where n values cannot give it (the upper bound
        of the 99th percentile takes 368 values at level 0.95).

    References
    ----------
    H. A. David and H. N. Nagaraja, "Order Statistics", 3rd edition (2003), section 7.1.
    """
    n, confidence = len(ordered), 0.5 + level / 2
    at_most_k = scipy.special.bdtr(np.arange(n, dtype=np.float64), n, quantile)  # P(Bin(n, q) <= k), k = 0 .. n - 1
    above = np.flatnonzero(at_most_k >= confidence)
    below = np.flatnonzero(1 - at_most_k >= confidence)
    value = float(ordered[max(0, math.ceil(quantile * n) - 1)])
    lower = float(ordered[below[-1]]) if len(below) else -math.inf
    return value, lower, float(ordered[above[0]]) if len(above) else math.inf


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
        findings.append(_judge(name, value, lower, upper, limit, len(ordered)))
    if params.maximum_bytes is not None:
        findings.append(_size(subject.artifact_size, params.maximum_bytes))
    found = worst(findings)
    return Verdict(
        found.verdict, found.reason, found.value, found.lower, found.upper, found.limit, found.n, details=details
    )


def _judge(name: str, value: float, lower: float, upper: float, limit: float, n: int) -> Verdict:
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
