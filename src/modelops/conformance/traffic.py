"""Traffic for strategies: what any number of arms and shadows answer, drawn, and put together."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np

from modelops.strategies import ArmData, PairData, StepData, Traffic

__all__ = ["START", "answered", "joined"]

START = datetime(2026, 5, 1, tzinfo=UTC)


def answered(
    generator: np.random.Generator,
    step: int,
    traffic: Traffic,
    total: int,
    *,
    errors: Mapping[str, float] | None = None,
    slow: float = 0.01,
    labelled: float = 1.0,
) -> StepData:
    """Draw what any number of arms and shadows answer to ``total`` requests; ``errors`` are rates by arm, or 1 %.

    Every request is from an entity of its own, and every arm's loss is 0.1.
    """
    rates = dict.fromkeys((*traffic.weights, *traffic.shadows), 0.01) | dict(errors or {})
    names = [name for name, weight in traffic.weights.items() if weight > 0]
    counts = generator.multinomial(total, [traffic.weights[name] for name in names])
    arms = {}
    for name, n in zip(names, counts.tolist(), strict=True):
        failed = int(generator.binomial(n, rates[name]))
        labels = int((n - failed) * labelled)
        arms[name] = ArmData(
            n,
            failed,
            int(generator.binomial(n, slow)),
            generator.beta(2, 5, n - failed),
            generator.binomial(1, 0.1, labels).astype(float),
            generator.binomial(1, 0.3, labels).astype(float),
            generator.integers(0, 2**63, labels, dtype=np.uint64),
            n,
        )
    shadows = {
        name: _pairs(generator, int(generator.binomial(total, share)), rates[name], slow)
        for name, share in traffic.shadows.items()
    }
    return StepData(step, traffic, arms, shadows)


def _pairs(generator: np.random.Generator, pairs: int, error_rate: float, slow: float) -> PairData:
    failed = int(generator.binomial(pairs, error_rate))
    both = pairs - failed
    return PairData(
        pairs,
        failed,
        int(generator.binomial(pairs, slow)),
        0 if error_rate > 0.5 else failed,
        int(generator.binomial(pairs, slow)),
        0,
        int(generator.binomial(both, 0.99)),
        generator.normal(0, 0.01, both),
    )


def joined(first: StepData, second: StepData) -> StepData:
    """Return one step with the traffic of both."""
    arms = {name: _arms_joined(first.arm(name), second.arm(name)) for name in sorted({*first.arms, *second.arms})}
    shadows = {
        name: _pairs_joined(first.shadows.get(name, PairData()), second.shadows.get(name, PairData()))
        for name in sorted({*first.shadows, *second.shadows})
    }
    return StepData(first.step, first.traffic, arms, shadows)


def _arms_joined(a: ArmData, b: ArmData) -> ArmData:
    return ArmData(
        a.requests + b.requests,
        a.errors + b.errors,
        a.slow + b.slow,
        np.concatenate([a.scores, b.scores]),
        np.concatenate([a.losses, b.losses]),
        np.concatenate([a.outcomes, b.outcomes]),
        np.concatenate([a.units, b.units]),
        a.entities + b.entities,
    )


def _pairs_joined(a: PairData, b: PairData) -> PairData:
    return PairData(
        a.pairs + b.pairs,
        a.errors + b.errors,
        a.slow + b.slow,
        a.stable_errors + b.stable_errors,
        a.stable_slow + b.stable_slow,
        a.dropped + b.dropped,
        (a.agreed or 0) + (b.agreed or 0),
        np.concatenate([a.differences, b.differences]),
    )
