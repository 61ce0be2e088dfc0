"""kind: RolloutPlan — how a candidate is tried before it becomes stable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from modelops.spec import layout
from modelops.spec.kinds.model import Serving, Task
from modelops.spec.meta import OpenShare, Plugin, Risk, Shelf, Strict

PLACE = layout.ROLLOUT


class Expectation(Strict):
    """What a rollout is planned for: the traffic, and the harm that its steps must be able to see.

    ``error_rate`` is that of stable, ``effect`` how many times as many errors must be noticed, ``power`` the chance
    of noticing them. A step that cannot see it before its deadline is refused, or warned about.
    """

    requests_per_hour: Annotated[float, Field(gt=0)]
    error_rate: OpenShare = 0.01
    effect: Annotated[float, Field(gt=1)] = 2.0
    power: OpenShare = 0.8
    on_too_short: Literal["refuse", "warn"] = "refuse"


@dataclass(frozen=True, slots=True)
class Served:
    """What a strategy may know of a model: its task, its risk and how it is served."""

    task: Task
    risk: Risk
    serving: Serving


class RolloutPlanSpec(Strict):
    """The spec of a RolloutPlan: one strategy, what it is planned for, and what its end does.

    ``on_failure``: ``rollback`` withdraws and denies the candidate, ``hold`` leaves the traffic as it is until a person
    acts, ``alert`` reports the failure and goes on. ``on_success``: ``commit`` makes the winner stable,
    ``pull-request`` opens one, so that a person decides. ``restore_inputs``: after the loop withdrew a release that
    failed, ``pull-request`` opens one that takes the model's spec and code back to those of the stable release.
    """

    strategy: Annotated[Plugin, Shelf("strategies")]
    expect: Expectation | None = None
    on_failure: Literal["rollback", "hold", "alert"] = "rollback"
    on_success: Literal["commit", "pull-request"] = "commit"
    restore_inputs: Literal["pull-request", "never"] = "pull-request"
