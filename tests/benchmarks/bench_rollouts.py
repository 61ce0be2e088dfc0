"""What rollouts decide and how soon, over many simulated runs; beside tests that are not made to be looked at often.

Run as ``python tests/benchmarks/bench_rollouts.py [--runs N] [canary] [guards] [ab-test] [bandit]``.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from modelops import plugins
from modelops.rollouts.simulation import Run, Simulation, World, simulate
from modelops.rollouts.worlds import Truth
from modelops.spec.kinds.rollout_plan import Expectation
from modelops.statistics.intervals import wilson

LOOK, LOOKS = 100, 200
"""Requests between looks, and how many looks there are: 20,000 requests in all."""
BASE = 0.01
QUIET = {"slow": None, "outcome": None, "scores": None}


def params_of(strategy: str, **values: Any) -> Any:
    """Return the parameters of a strategy."""
    return plugins.load("strategies", strategy).Params.model_validate(values, strict=False)


def world(arms: dict[str, Truth], **more: Any) -> World:
    """Return a world with a look every minute, and ``LOOK`` requests between looks."""
    settings: dict[str, Any] = {"labelled": 0.0, "every": 1.0, "until": float(LOOKS)} | more
    return World(requests_per_hour=60.0 * LOOK, arms=arms, **settings)


def of(seen: int, runs: int) -> str:
    """Return a share with its Wilson interval."""
    lower, upper = wilson(seen, runs, 0.95)
    return f"{seen / runs:6.1%} [{lower:5.1%}, {upper:5.1%}]"


def median(found: Simulation, end: str) -> str:
    """Return the median number of requests to an end."""
    values = [run.requests for run in found.runs if run.end == end]
    return f"{np.median(values):8,.0f}" if values else "       -"


def z_test(base: float, rate: float, weight: float, limit: float, runs: int) -> tuple[int, float]:
    """Return how many runs a pooled z-test stops at one of the looks, and the median requests of those."""
    generator = np.random.default_rng(1)
    total = generator.poisson(LOOK, (runs, LOOKS))
    trial = generator.binomial(total, weight)
    events, others = generator.binomial(trial, rate).cumsum(axis=1), generator.binomial(total - trial, base)
    of_trial, of_stable, others = trial.cumsum(axis=1), (total - trial).cumsum(axis=1), others.cumsum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (events + others) / (of_trial + of_stable)
        spread = np.sqrt(pooled * (1 - pooled) * (1 / of_trial + 1 / of_stable))
        z = (events / of_trial - others / of_stable) / spread
    stopped = np.nan_to_num(z, nan=0.0, posinf=0.0) >= limit
    seen = stopped.any(axis=1)
    at = stopped.argmax(axis=1)[seen]
    requests = (of_trial + of_stable)[np.flatnonzero(seen), at]
    return int(seen.sum()), float(np.median(requests)) if len(requests) else math.nan


def canary(runs: int) -> None:
    """False rollbacks, power and time of the guard on errors, at alpha 5 %."""
    print(f"\ncanary, errors guarded at alpha 5 %, a look every {LOOK} requests up to {LOOK * LOOKS:,}; {runs:,} runs")
    print("weight  errors      rolled back             median   bad    z-test at each look     median")
    for weight in (0.05, 0.1, 0.5):
        for effect in (1, 2, 5):
            params = params_of("canary", steps=[{"weight": weight, "min_requests": 10**6}], **QUIET)
            truth = {"stable": Truth(errors=BASE), "candidate": Truth(errors=BASE * effect)}
            found = simulate("canary", params, world(truth), runs=runs, seed=1)
            seen, at = z_test(BASE, BASE * effect, weight, 1.645, runs)
            print(
                f"{weight:5.0%}  1 % -> {effect} %  {of(found.rate('rollback').count, runs)} "
                f"{median(found, 'rollback')} {found.bad_requests[0]:5.1f}   {of(seen, runs)} {at:8,.0f}",
                flush=True,
            )


def guards(runs: int) -> None:
    """A whole plan with all its guards: errors, slow answers, outcome, full weight."""
    print(f"\ncanary 5 % - 25 % - 50 % - 100 %, all guards on, alpha 5 %; {runs:,} runs")
    steps = [{"weight": w, "min_requests": n} for w, n in ((0.05, 1000), (0.25, 2000), (0.5, 3000), (1.0, 3000))]
    params = params_of("canary", steps=steps)
    effects = {
        "no effect": {},
        "errors 2x": {"errors": 2 * BASE},
        "errors 5x": {"errors": 5 * BASE},
        "slow 2x": {"slow": 0.04},
        "loss 1.5x": {"loss": 0.15},
    }
    for name, changed in effects.items():
        truth = {"stable": Truth(errors=BASE), "candidate": Truth(**{"errors": BASE} | changed)}
        found = simulate("canary", params, world(truth, labelled=1.0, every=2.0, until=800.0), runs=runs, seed=2)
        print(
            f"{name:10} rolled back {of(found.rate('rollback').count, runs)} after {median(found, 'rollback')}, "
            f"promoted {found.rate('promote').share:6.1%} after {median(found, 'promote')} requests, "
            f"{found.bad_requests[0]:.1f} bad",
            flush=True,
        )


def ab_test(runs: int) -> None:
    """False winners under continuous peeking, and power at the forecast number of requests."""
    print(f"\nab-test on outcomes of 10 %, even split, alpha 5 %, a look every {LOOK} requests; {runs:,} runs")
    params = params_of("ab-test", metric="outcome", minimum_effect=0.02, deviation=0.313, **QUIET)
    same = {"stable": Truth(), "candidate": Truth()}
    seen, _ = z_test(0.1, 0.1, 0.5, 1.96, runs)
    for name, entities in (("every request its own entity", 0), ("500 entities that come again", 500)):
        found = simulate("ab-test", params, world(same, labelled=1.0, entities=entities), runs=runs, seed=3)
        print(f"no effect, {name}: false winners {of(found.rate('promote').count, runs)}", flush=True)
    print(f"no effect, z-test at 1.96 at each look: false winners {of(seen, runs)} (one side, nominally 2.5 %)")
    module: Any = plugins.load("strategies", "ab-test")
    (need,) = module.forecast(params, Expectation(requests_per_hour=60.0 * LOOK))
    better = {"stable": Truth(), "candidate": Truth(outcome=0.12)}
    until = need.requests / LOOK
    found = simulate("ab-test", params, world(better, labelled=1.0, until=until), runs=runs, seed=4)
    won = found.rate("promote").count
    print(f"10 % -> 12 %: won {of(won, runs)} by the forecast {need.requests:,} requests")
    print(f"              median {median(found, 'promote')} requests; a single look would need {need.fixed:,}")


def bandit(runs: int) -> None:
    """Outcomes lost in comparison with the best arm, beside a fixed split and an A/B test over the same traffic."""
    arms = {"stable": Truth(outcome=0.10), "candidate": Truth(outcome=0.12), "challenger-3": Truth(outcome=0.09)}
    hours, rate = 14 * 24.0, 300.0
    best = max(truth.outcome for truth in arms.values())
    total = hours * rate

    def lost(run: Run) -> float:
        winner = arms[run.winner] if run.end == "promote" else arms["stable"]
        rest = 0.0 if run.end == "hold" else total - run.requests
        return run.lost + rest * (best - winner.outcome)

    print(f"\nbandit: outcomes 10 %, 12 % and 9 %, {total:,.0f} requests in 14 days, three arms; {runs:,} runs")
    even = total * (best - sum(truth.outcome for truth in arms.values()) / len(arms))
    print(f"fixed even split, nothing decided: {even:6.0f} outcomes lost")
    setting = World(rate, arms, every=360.0, until=hours * 60)
    plans: dict[str, tuple[str, Any]] = {
        "ab-test": ("ab-test", params_of("ab-test", metric="outcome", minimum_effect=0.02, **QUIET)),
        "bandit, Thompson": ("bandit", params_of("bandit", epoch_minutes=360.0, **QUIET)),
        "bandit, epsilon-greedy": (
            "bandit",
            params_of("bandit", epoch_minutes=360.0, policy="epsilon-greedy", **QUIET),
        ),
    }
    for name, (strategy, params) in plans.items():
        found = simulate(strategy, params, setting, runs=runs, seed=5)
        values = [lost(run) for run in found.runs]
        right = sum(run.end == "promote" and run.winner == "candidate" for run in found.runs)
        wrong = sum(run.end == "keep" for run in found.runs) + found.rate("promote").count - right
        print(
            f"{name:24} {np.mean(values):6.0f} outcomes lost on average, {np.quantile(values, 0.9):6.0f} in 90 %; "
            f"best arm promoted {of(right, runs)}, another kept or promoted {of(wrong, runs)}",
            flush=True,
        )


PARTS: dict[str, Callable[[int], None]] = {"canary": canary, "guards": guards, "ab-test": ab_test, "bandit": bandit}


def main() -> None:
    """Print the parts asked for, all by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    asked = parser.parse_args()
    for part in asked.parts or PARTS:
        start = time.perf_counter()
        PARTS[part](asked.runs)
        print(f"({time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
