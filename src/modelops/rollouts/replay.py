"""Deciding a rollout again from the prediction log, with its own thresholds or with others."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from modelops import strategies
from modelops.clock import format_instant, parse_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.logs import Log
from modelops.plugins import Bound
from modelops.project.target import target_of
from modelops.project.workspace import Workspace, model_entry
from modelops.rollouts.recorded import Recorded
from modelops.rollouts.state import checks_as_data, seed_of
from modelops.rollouts.timeline import Timeline, read_timeline
from modelops.rollouts.values import ArmValue, values_of_arms
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin
from modelops.spec.parameters import usage
from modelops.strategies import Progress, Step, Strategy

_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_ENDS = {"promote": "succeeded", "keep": "withdrawn", "rollback": "failed"}

NextStep = Callable[[Progress], Step]


@dataclass(frozen=True, slots=True)
class Look:
    """The first look of a step at which the strategy did more than hold, or its last look."""

    action: str
    at: str
    requests: int
    reason: str
    checks: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One step, as it was decided and as it is decided again."""

    step: int
    weights: Mapping[str, float]
    started: str
    until: str
    requests: int
    recorded: str
    recorded_reason: str
    again: Look
    same: bool


@dataclass(frozen=True)
class Replay:
    """A rollout decided again by a strategy, beside what was decided; ``missing`` says what its log does not hold.

    ``values`` are what the arms would have earned alone, where the strategy follows what they earn.
    """

    seat: Seat
    rollout: Recorded
    strategy: Plugin
    steps: tuple[Replayed, ...]
    values: tuple[ArmValue, ...]
    missing: str

    @property
    def outcome(self) -> str:
        """How the rollout ends when it is decided again, in the word that is signed; ``held`` where it does not."""
        return _ENDS.get(self.steps[-1].again.action, "held")

    @property
    def agrees(self) -> bool:
        """Whether every step is decided as it was."""
        return all(step.same for step in self.steps) and len(self.steps) == len(self.rollout.steps)


def replay_rollout(
    workspace: Workspace,
    seat: Seat,
    rollout: Recorded,
    *,
    changes: Sequence[str] = (),
    every: int = 50,
    log: Log | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Replay:
    """Return how a rollout is decided again, step by step; ``changes`` are PATH=VALUE of its strategy.

    The log is that of the environment's runtime unless another one is given. The traffic stays what it was: where the
    strategy now decides to end, the replay ends, and where it now moves on earlier or later than it did, the next step
    is looked at as it ran.
    """
    strategy = changed(rollout.strategy, changes)
    bound = validated(strategy)
    module, params = bound.module, bound.params
    _, graph = workspace.known()
    spec = model_entry(graph, seat.model).model.spec
    say(f"replaying the rollout {rollout.salt} of {seat}, as {rollout.source} tells it")
    log = log or target_of(workspace, graph, seat.environment).log()
    timeline = read_timeline(log, seat.model, spec, rollout.salt, tuple(rollout.arms))
    steps = tuple(
        decide_again(rollout, timeline, lambda seen: module.next_step(params, seen), every, workspace.clock())
    )
    reward = module.reward(params)
    values = (
        values_of_arms(log, seat.model, spec, rollout.salt, tuple(rollout.arms), reward) if reward is not None else []
    )
    return Replay(
        seat,
        rollout,
        strategy,
        steps,
        values=tuple(values),
        missing=dropped(log, rollout),
    )


def dropped(log: Log, rollout: Recorded) -> str:
    """Return that the log of a rollout does not reach back to its beginning, "" when it does."""
    begins, began = log.begins(), rollout.steps[0].started
    if begins is not None and begins <= parse_instant(began):
        return ""
    kept = f"begins on {begins:%Y-%m-%d}" if begins is not None else "holds nothing"
    return f"the prediction log here {kept}, and the rollout began at {began}: what was answered before is not replayed"


def decide_again(
    rollout: Recorded, timeline: Timeline, next_step: NextStep, every: int, now: datetime
) -> Iterator[Replayed]:
    """Yield each step of a rollout decided again, until one ends it."""
    for number, step in enumerate(rollout.steps, start=1):
        made = rollout.decided(number)
        until = made.until if made is not None else rollout.ended or format_instant(now)
        # Instants are written down in whole seconds, so that the second itself belongs to the step.
        end = parse_instant(until) + timedelta(seconds=1)
        count = timeline.count(number, end.timestamp())
        again = _look(rollout, timeline, next_step, number, _looks(timeline, number, count, every, end))
        recorded = made.action if made is not None else "none"
        yield Replayed(
            number,
            dict(step.traffic.weights),
            step.started,
            until,
            count,
            recorded,
            made.reason if made is not None else rollout.reason,
            again,
            again.action == recorded or (made is None and again.action == "hold") or _both_failed(recorded, again),
        )
        if again.action in _ENDS:
            return


def _both_failed(recorded: str, again: Look) -> bool:
    """Tell whether a guard failed both times, where it was left to a person what follows."""
    return recorded == "hold" and any(check["verdict"] == "fail" for check in again.checks)


def _looks(timeline: Timeline, number: int, count: int, every: int, end: datetime) -> Iterator[tuple[int, datetime]]:
    """Yield after how many answers of a step, and when, the strategy is asked: every so many, and at its end."""
    times = timeline.times.get(number)
    for position in range(every, count, every):
        assert times is not None, "there are answers"
        yield position, datetime.fromtimestamp(float(times[position - 1]), UTC)
    yield count, end


def _look(
    rollout: Recorded,
    timeline: Timeline,
    next_step: NextStep,
    number: int,
    looks: Iterator[tuple[int, datetime]],
) -> Look:
    steps = rollout.steps[:number]
    found = Look("hold", steps[-1].started, 0, "", ())
    for position, now in looks:
        progress = Progress(
            number,
            parse_instant(steps[-1].started),
            now,
            timeline.data(steps, position, now.timestamp()),
            tuple(rollout.arms),
            parse_instant(steps[0].started),
            steps[-1].smoke,
            seed=seed_of(rollout.salt, number),
            tolerant=rollout.tolerant,
        )
        step = next_step(progress)
        # Requests that were never sent cannot be sent now: the strategy goes on waiting for them.
        action = "hold" if step.action == "smoke" else step.action
        found = Look(action, format_instant(now), position, step.reason, checks_as_data(step.checks))
        if action != "hold":
            break
    return found


def changed(strategy: Plugin, changes: Sequence[str]) -> Plugin:
    """Return a strategy with some parameters changed, each given as PATH=VALUE with VALUE in JSON or as text."""
    params: Any = copy.deepcopy(json.loads(json.dumps(strategy.params)))
    for text in changes:
        path, separator, value = text.partition("=")
        parts = [int(index) if index else key for index, key in _PART.findall(path.removeprefix("params."))]
        if not separator or not parts:
            raise failure("bad-change", f"{text!r} is not PATH=VALUE", exit=Exit.USAGE, hint="--set alpha=0.01")
        here = params
        try:
            for part in parts[:-1]:
                here = here.setdefault(part, {}) if isinstance(here, dict) and isinstance(part, str) else here[part]
            here[parts[-1]] = _value(value)
        except (IndexError, KeyError, TypeError, AttributeError):
            raise failure(
                "bad-change",
                f"the strategy {strategy.type} of this rollout has no parameter {path!r}",
                exit=Exit.USAGE,
                hint=f"its parameters: {', '.join(sorted(params))}",
            ) from None
    return Plugin(type=strategy.type, params=params)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def validated(strategy: Plugin) -> Bound[Strategy]:
    """Return a strategy with its changed parameters, or say which of them is wrong."""
    try:
        return strategies.bind(strategy)
    except ModelOpsError as error:
        raise usage(error, "bad-change", "--set PATH=VALUE") from None
