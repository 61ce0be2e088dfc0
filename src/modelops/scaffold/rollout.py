"""The rollout plan of a new model: short steps, and what they can see at the traffic that is to be expected."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from modelops import strategies
from modelops.spec.kinds.rollout_plan import Expectation, RolloutPlanSpec
from modelops.spec.meta import Plugin

__all__ = ["ASSUMED", "hourly", "rollout_plan"]

ASSUMED = 100.0
"""Requests an hour where the data does not tell."""
_STEPS = tuple({"weight": weight, "minRequests": 200} for weight in (0.05, 0.25, 0.5, 1.0))
_EFFECTS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)


def hourly(table: pa.Table, time: str | None) -> float | None:
    """Return how many rows came in an hour, in two digits; None without a time, or where all came at once."""
    if time is None or not (pa.types.is_timestamp(table[time].type) or pa.types.is_date(table[time].type)):
        return None
    kind = table[time].type
    values = table[time].cast(pa.timestamp("us", kind.tz if pa.types.is_timestamp(kind) else None), safe=False)
    first, last = pc.min_max(values.cast(pa.int64())).as_py().values()
    hours = (last - first) / 3.6e9 if first is not None else 0.0
    return float(f"{table.num_rows / hours:.2g}") if hours > 0 else None


def rollout_plan(requests: float | None) -> tuple[RolloutPlanSpec, str]:
    """Return a canary with what its first step can see, and a comment that says so.

    ``requests`` are those of an hour, as the rows of the data came; None where it has no time.
    """
    strategy = Plugin(type="canary", params={"steps": [dict(step) for step in _STEPS]})
    bound = strategies.bind(strategy)
    rate = requests or ASSUMED

    def chance(effect: float) -> float:
        expected = Expectation(requests_per_hour=rate, effect=effect)
        return bound.module.forecast(bound.params, expected)[0].chance or 0.0

    effect = next((each for each in _EFFECTS if chance(each) >= Expectation(requests_per_hour=1).power), _EFFECTS[-1])
    expect = Expectation(requests_per_hour=rate, effect=effect, on_too_short="warn")
    source = "as the rows of the data came" if requests else "assumed: nobody knows it yet"
    seen = (
        f"Of {expect.error_rate:.0%} errors the first step sees {effect:g} times as many with a chance of "
        f"{chance(effect):.0%}, twice as many with {chance(2.0):.0%}.\nMore minRequests see less harm: `modelops plan` "
        "says what each step needs, `modelops rollout simulate` what it would decide.\n"
        f"requestsPerHour: {source}; correct it."
    )
    return RolloutPlanSpec(strategy=strategy, expect=expect), seen
