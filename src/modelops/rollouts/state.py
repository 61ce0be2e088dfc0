"""What the runtime remembers of a rollout: its arms, its steps, and every decision with the numbers behind it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from modelops import __version__
from modelops.clock import format_instant, parse_instant
from modelops.errors import ModelOpsError
from modelops.rollouts.salt import strategy_digest
from modelops.spec.meta import Plugin
from modelops.strategies import Check, Smoke, Traffic

RolloutEnd = Literal["promote", "keep", "rollback"]
Role = str
"""The name of an arm: stable, candidate, or challenger-<release>."""
FIRST_STEP = "firstStep"
"""The key by which what is written says that its steps count from 1; modelops 0.1.0 counted from 0 and did not say."""


@dataclass(frozen=True, slots=True)
class StepState:
    """One step of a rollout: who answers in it, when it began (ISO 8601), and what smoke requests found in it.

    Once the whole runtime has ``answered`` by its routes, it began then: before that, some answered as in the step
    before.
    """

    traffic: Traffic
    started: str
    smoke: Smoke | None = None
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """One move of a rollout and what it rests on, so that it can be repeated; ``step`` is 0 for its beginning.

    ``since`` and ``until`` (ISO 8601) bound the time in which the deciding step ran; ``strategy`` is the digest of the
    strategy with its parameters, ``version`` that of the code.
    """

    action: str
    step: int
    since: str
    until: str
    reason: str
    checks: tuple[Mapping[str, Any], ...]
    strategy: str
    version: str

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """The comparisons that showed harm."""
        return tuple(check for check in self.checks if check.get("verdict") == "fail")


@dataclass(frozen=True, slots=True)
class RolloutState:
    """How far a rollout came, as the runtime remembers it; losing it restarts the rollout at its first step.

    ``arms`` maps the name of every arm to its release, ``steps`` holds each step so far, the last one is running.
    ``winner`` and ``failed`` name arms.
    """

    arms: Mapping[str, int]
    salt: str
    steps: tuple[StepState, ...]
    outcome: RolloutEnd | None = None
    winner: str = "candidate"
    failed: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()

    @property
    def step(self) -> int:
        """The number of the running step; as everywhere, the first one is 1, and 0 is before any."""
        return len(self.steps)

    @property
    def traffic(self) -> Traffic:
        """Who answers in the running step."""
        return self.steps[-1].traffic

    @property
    def smoke(self) -> Smoke | None:
        """What smoke requests found in the running step."""
        return self.steps[-1].smoke

    @property
    def evicted(self) -> tuple[str, ...]:
        """The arms that guards have taken out while others went on."""
        traffic, on_trial = self.traffic, [arm for arm in self.arms if arm != "stable"]
        out = [arm for arm in on_trial if not traffic.weights.get(arm) and not traffic.shadows.get(arm)]
        return tuple(out) if len(out) < len(on_trial) else ()

    @property
    def held(self) -> Decision | None:
        """The decision to hold for a person, made when a guard failed; nothing but a person takes it back."""
        return next((made for made in self.decisions if made.action == "hold"), None)

    @property
    def reason(self) -> str:
        """Why the last decision was made."""
        return self.decisions[-1].reason if self.decisions else ""

    @property
    def checks(self) -> tuple[Mapping[str, Any], ...]:
        """The comparisons of the last decision."""
        return self.decisions[-1].checks if self.decisions else ()


def arms_in_order(stable: int | None, candidate: int | None, challengers: Iterable[int]) -> dict[str, int]:
    """Return releases by the arm that they are, in the one order that strategies see: stable, candidate, challengers.

    The order is the same whoever reads it from where, as what is drawn for arms depends on it.
    """
    named = {"stable": stable, "candidate": candidate}
    named |= {f"challenger-{release}": release for release in sorted(challengers)}
    return {arm: release for arm, release in named.items() if release is not None}


def seed_of(salt: str, step: int) -> int:
    """Return the seed of what a strategy draws in a step; the first step draws with the salt itself."""
    return int(salt, 16) + step - 1


def decision(
    action: str,
    state: RolloutState | None,
    reason: str,
    checks: tuple[Check, ...],
    strategy: Plugin | None,
    now: datetime,
) -> Decision:
    """Return a decision made now about the running step of a rollout, or about its beginning."""
    until = format_instant(now)
    return Decision(
        action,
        state.step if state is not None else 0,
        state.steps[-1].started if state is not None else until,
        until,
        reason,
        checks_as_data(checks),
        strategy_digest(strategy) if strategy is not None else "",
        __version__,
    )


def from_plain(data: Mapping[str, Any]) -> RolloutState:
    """Return a rollout from its plain data; anything that does not fit raises KeyError, TypeError or ValueError."""
    steps = tuple(_step(step) for step in data["steps"])
    first = data.get(FIRST_STEP, 0)
    if first not in (0, 1):
        raise ValueError(f"the first step of a rollout is 1, not {first!r}")
    decisions = tuple(_decision(each, first) for each in data["decisions"])
    given = data["arms"]
    # The file is the runtime's own, and may still be cut short, edited, or of another version.
    if not steps or any({*step.traffic.weights, *step.traffic.shadows} - set(given) for step in steps):
        raise ValueError("the steps of a rollout name its arms")
    if data.get("outcome") not in (None, "promote", "keep", "rollback") or data.get("winner", "stable") not in given:
        raise ValueError(f"a rollout does not end with {data.get('outcome')!r} of {data.get('winner')!r}")
    int(data["salt"], 16)
    challengers = (release for arm, release in given.items() if arm.startswith("challenger-"))
    arms = arms_in_order(given.get("stable"), given.get("candidate"), challengers)
    kept = {key: value for key, value in data.items() if key != FIRST_STEP}
    return RolloutState(
        **{**kept, "arms": arms, "steps": steps, "decisions": decisions, "failed": tuple(data["failed"])}
    )


def _decision(data: Mapping[str, Any], first: int) -> Decision:
    """Return a decision about a step that counts from 1; ``first`` says from where what is written counts."""
    number = int(data["step"]) + (1 - first if data["action"] != "begin" else 0)
    return Decision(**{**data, "step": number, "checks": tuple(data["checks"])})


def _step(data: Mapping[str, Any]) -> StepState:
    traffic = Traffic(dict(data["traffic"]["weights"]), dict(data["traffic"]["shadows"]))
    shares = [*traffic.weights.values(), *traffic.shadows.values()]
    if not all(0 <= share <= 1 for share in shares) or not math.isclose(sum(traffic.weights.values()), 1, abs_tol=1e-6):
        raise ValueError(f"the weights of a step are shares that sum to 1, not {shares}")
    try:
        parse_instant(data["started"])
    except ModelOpsError as error:
        raise ValueError(f"a step began at {data['started']!r}") from error
    smoke = Smoke(**data["smoke"]) if data["smoke"] else None
    return StepState(traffic, data["started"], smoke, bool(data.get("answered", False)))


def to_plain(state: RolloutState) -> dict[str, Any]:
    """Return a rollout as plain data."""
    return asdict(state) | {FIRST_STEP: 1}


def course(state: RolloutState) -> dict[str, Any]:
    """Return the steps and decisions of a rollout as plain data, as signed evidence tells of them."""
    plain = to_plain(state)
    return {key: plain[key] for key in ("steps", "decisions", FIRST_STEP)}


def checks_as_data(checks: tuple[Check, ...]) -> tuple[Mapping[str, Any], ...]:
    """Return a decision's comparisons as plain data for the rollout's evidence; what is not finite is None."""
    return tuple(
        {
            "name": check.name,
            "arm": check.arm,
            "verdict": check.verdict,
            "reason": check.reason,
            "statistic": _finite(check.statistic),
            "threshold": _finite(check.threshold),
            "alpha": _finite(check.alpha),
            "lower": _finite(check.lower),
            "upper": _finite(check.upper),
            "pValue": _finite(check.p_value),
            "counts": dict(check.counts or {}),
        }
        for check in checks
    )


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
