r"""What tools that judge by Prometheus ask it: tests on what the server counts, with an error rate that is stated.

modelops looks at a rollout as often as it likes; these tools look once at each step, at the window of that step. What
they ask is an e-value: a number that is at most 1 on average while the candidate is within its limit, so that it is
:math:`1/\alpha` or more with a chance of at most :math:`\alpha` (Markov). Of the events of both arms (errors, slow
answers) the candidate's share at the limit follows from its share q of the requests and the ratio :math:`\rho` that is
allowed; against it stand rates that are k times as high:

.. math:: E = \frac{1}{3} \sum_{k} \exp\left(e \ln k - (e + o) \ln\frac{\rho k q + 1 - q}{\rho q + 1 - q}\right)

Prometheus has no logarithm of the gamma function, so few alternatives stand for the prior of modelops' own judgement.
Requests count as independent, and q is the weight of the route, which draws an arm for each of them.

References
----------
V. Vovk and R. Wang, "E-values: calibration, combination and applications", Annals of Statistics 49 (2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from modelops.exports import ModelView, Trial
from modelops.exports._promql import bound, job_of, selector
from modelops.exports._routes import RUN_IT, gateway_divides, refused
from modelops.spec.routing import Route
from modelops.strategies import Stage
from modelops.strategies.canary import Params as Canary

__all__ = ["TIMES", "Check", "Url", "checks", "guards_of", "plan_of", "seconds_of", "unjudged"]

TIMES = (1.5, 2.0, 4.0)
"""By how many times the limit is exceeded in the alternatives."""
Url = Annotated[str, Field(pattern=r"^https?://[^\s{}]+$", description="http:// or https:// URL")]
_QUICKEST = 60.0


@dataclass(frozen=True, slots=True)
class Check:
    """A query and what it must be: at least ``minimum``, which only traffic can bring, or below ``limit``."""

    name: str
    query: str
    minimum: int | None = None
    limit: float | None = None


def plan_of(model: ModelView | None, route: Route, tool: str) -> tuple[Trial, Canary] | None:
    """Return the plan of a model that is on trial; one that the tool cannot judge, or a gateway divide, is refused."""
    trial = model.trial if model is not None else None
    if model is None or trial is None:
        return None
    gateway_divides(model, route, RUN_IT)
    who = f"{tool} cannot do what {model.name} asks for"
    if trial.strategy != "canary" or not isinstance(trial.params, Canary):
        raise refused(trial, "", f"{who}: {_CANNOT.get(trial.strategy, _OTHER)}", RUN_IT)
    plan = trial.params
    for harm, name in ((plan.errors, "errors"), (plan.slow, "slow")):
        if harm is not None and harm.required_ratio is not None:
            said = f"{who}: what must be shown rests on all steps together, and it looks at one at a time"
            raise refused(
                trial, f"strategy.params.{name}.requiredRatio", said, "remove requiredRatio, or let modelops run it"
            )
    if plan.outcome is not None and plan.outcome.required:
        said = f"{who}: it never sees a label, and the outcome is required"
        raise refused(trial, "strategy.params.outcome.required", said, RUN_IT)
    if plan.scores is not None and plan.scores.maximum_shift is not None:
        said = f"{who}: it never sees a score, and maximumShift limits them"
        raise refused(trial, "strategy.params.scores.maximumShift", said, RUN_IT)
    if plan.warmup_requests:
        said = f"{who}: it cannot tell the first answers of a release from others"
        raise refused(trial, "strategy.params.warmupRequests", said, "set warmupRequests to 0")
    if any(stage.traffic.weights["stable"] <= 0 for stage in trial.stages):
        said = f"{who}: nothing runs beside the candidate in a step of weight 1, and it compares with nothing else"
        raise refused(trial, "strategy.params.holdback", said, "leave a holdback to stable")
    if not guards_of(model, plan):
        raise refused(
            trial, "strategy.params", f"{who}: none of its guards is about errors or times", "leave errors or slow on"
        )
    return trial, plan


_OTHER = "nothing is known of what this strategy judges by"
_CANNOT = {
    "bandit": "the traffic of a bandit follows what its arms earn, and its steps are fixed",
    "ab-test": "an A/B test counts each entity once and keeps it with its arm, and it counts requests",
    "shadow": "answers of a shadow are compared in pairs, request by request, and it counts requests",
    "blue-green": "a switch is watched beside a holdback after smoke requests, and it has neither",
}


def guards_of(model: ModelView, plan: Canary) -> list[str]:
    """Return the guards of a plan that can be asked: the server counts slow answers up to a time alone."""
    told = {
        "errors": plan.errors is not None,
        "slow": plan.slow is not None and bound(model.latency_objective_ms / 1000) is not None,
        "error-rate": plan.maximum_error_rate is not None,
    }
    return [name for name, there in told.items() if there]


def unjudged(model: ModelView, plan: Canary) -> list[str]:
    """Return the guards of a plan that decide nothing here, though they are not required."""
    on = {"errors": plan.errors, "slow": plan.slow, "outcome": plan.outcome, "error-rate": plan.maximum_error_rate}
    return sorted(name for name, guard in on.items() if guard is not None and name not in guards_of(model, plan))


def seconds_of(trial: Trial, stage: Stage, least: float) -> int:
    """Return how long a step lasts: its own minutes, and until its requests have come at the expected traffic."""
    weight = min(stage.traffic.weights.values())
    expected = 3600 * stage.requests / (weight * trial.requests_per_hour) if trial.requests_per_hour else 0.0
    return math.ceil(max(stage.minutes * 60, expected, least * 60, _QUICKEST))


def checks(
    environment: str, model: ModelView, plan: Canary, stage: Stage, seconds: int, looks: int, requests: int
) -> Iterator[Check]:
    """Yield what is asked after a step: whether the candidate answered enough, and the e-values of its guards.

    ``looks`` is how often the whole rollout asks at most: they share the plan's alpha, and so do the guards.
    """
    told = guards_of(model, plan)
    limit = looks * len(told) / plan.alpha
    weights = stage.traffic.weights
    both = _Both(environment, model, seconds, weights["candidate"] / sum(weights.values()))
    yield Check("requests", both.requests("candidate"), minimum=max(requests, plan.judge_after))
    if "errors" in told and plan.errors is not None:
        events = {arm: both.errors(arm) for arm in ("candidate", "stable")}
        query = both.evalue(events, plan.errors.maximum_ratio, plan.errors.minimum_difference)
        yield Check("errors", query, limit=limit)
    le = bound(model.latency_objective_ms / 1000)
    if "slow" in told and plan.slow is not None and le is not None:
        events = {arm: both.slow(arm, le) for arm in ("candidate", "stable")}
        query = both.evalue(events, plan.slow.maximum_ratio, plan.slow.minimum_difference)
        yield Check("slow", query, limit=limit)
    if plan.maximum_error_rate is not None:
        yield Check("error-rate", both.rate_evalue(plan.maximum_error_rate), limit=limit)


@dataclass(frozen=True, slots=True)
class _Both:
    """What both arms did within the last ``seconds``; ``share`` is the candidate's part of the traffic."""

    environment: str
    model: ModelView
    seconds: int
    share: float

    def _count(self, series: str, arm: str, **more: str) -> str:
        release = str(self.model.arms[arm])
        # Of what is scraped under several jobs each request would count as often.
        job, model = job_of(self.environment), self.model.name
        where = selector(job=job, environment=self.environment, model=model, release=release, **more)
        return f"(sum(increase({series}{where}[{self.seconds}s])) or vector(0))"

    def requests(self, arm: str) -> str:
        return self._count("modelops_requests_total", arm)

    def errors(self, arm: str) -> str:
        return self._count("modelops_errors_total", arm)

    def slow(self, arm: str, le: str) -> str:
        every = self._count("modelops_request_seconds_count", arm)
        return f"({every} - {self._count('modelops_request_seconds_bucket', arm, le=le)})"

    def evalue(self, events: dict[str, str], ratio: float, difference: float) -> str:
        """Return the e-value against a rate of at most ``ratio`` times that of stable.

        It is 0 where the rates are less than ``difference`` apart as observed, and where there is nothing to compare.
        """
        mine, its = self.requests("candidate"), self.requests("stable")
        of_mine, of_both = events["candidate"], f"({events['candidate']} + {events['stable']})"
        parts = []
        for times in TIMES:
            odds = math.log((1 + self.share * (ratio * times - 1)) / (1 + self.share * (ratio - 1)))
            parts.append(f"exp({of_mine} * {math.log(times):.9g} - {of_both} * {odds:.9g})")
        apart = f"{of_mine} / {mine} - {events['stable']} / {its} >= {difference:.9g}"
        return f"(({' + '.join(parts)}) / {len(TIMES)} and ({apart})) or vector(0)"

    def rate_evalue(self, limit: float) -> str:
        """Return the e-value against a share of errors of at most ``limit``."""
        bad, mine = self.errors("candidate"), self.requests("candidate")
        rates = [min(times * limit, (1 + limit) / 2) for times in TIMES]
        parts = (
            f"exp({bad} * {math.log(rate / limit):.9g} + ({mine} - {bad}) * {math.log((1 - rate) / (1 - limit)):.9g})"
            for rate in rates
        )
        return f"({' + '.join(parts)}) / {len(rates)}"
