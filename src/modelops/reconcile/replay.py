"""Deciding a rollout again from the prediction log, with its own thresholds or with others."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelops import __version__, plugins
from modelops.clock import format_instant, parse_instant
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.predictions import DIRECTORY
from modelops.predictions.segments import day_of, day_text, segments
from modelops.reconcile.recorded import Recorded, recorded_rollout
from modelops.reconcile.rollout import checks_as_data, strategy_digest
from modelops.reconcile.timeline import Timeline, read_timeline
from modelops.reconcile.valuing import values_of_arms
from modelops.reconcile.workspace import Workspace, model_entry
from modelops.spec.meta import Plugin
from modelops.strategies import Progress, Step

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


def replay_rollout(
    workspace: Workspace,
    model: str,
    name: str,
    *,
    changes: Sequence[str] = (),
    salt: str | None = None,
    every: int = 50,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Return how a rollout is decided again, step by step, as plain data; ``changes`` are PATH=VALUE of its strategy.

    The traffic stays what it was: where the strategy now decides to end, the replay ends, and where it now moves on
    earlier or later than it did, the next step is looked at as it ran.
    """
    rollout = recorded_rollout(workspace, model, name, salt)
    strategy = changed(rollout.strategy, changes)
    module = plugins.load("strategies", strategy.type)
    params = validated(module, strategy)
    _, graph = workspace.known()
    spec = model_entry(graph, model).model.spec
    say(f"replaying the rollout {rollout.salt} of {model} in {name}, as {rollout.source} tells it")
    path = workspace.site(name).runtime / DIRECTORY
    timeline = read_timeline(path, model, spec, rollout.salt, tuple(rollout.arms))
    steps = tuple(
        decide_again(rollout, timeline, lambda seen: module.next_step(params, seen), every, workspace.clock())
    )
    last = steps[-1]
    reward = getattr(params, "reward", None)
    values = values_of_arms(path, model, spec, rollout.salt, tuple(rollout.arms), reward) if reward is not None else []
    return {
        "model": model,
        "environment": name,
        "salt": rollout.salt,
        "source": rollout.source,
        "arms": dict(rollout.arms),
        "strategy": {
            "type": strategy.type,
            "recorded": strategy_digest(rollout.strategy),
            "replayed": strategy_digest(strategy),
        },
        "versions": sorted({each.version for each in rollout.decisions} | {__version__}),
        "recorded": {"outcome": rollout.outcome, "reason": rollout.reason, "at": rollout.ended},
        "replayed": {"outcome": _ENDS.get(last.again.action, "held"), "reason": last.again.reason, "at": last.again.at},
        "agrees": all(step.same for step in steps) and len(steps) == len(rollout.steps),
        "missing": dropped(path, rollout),
        "steps": [asdict(step) for step in steps],
        "values": values,
    }


def dropped(path: Path, rollout: Recorded) -> str:
    """Return that the log of a rollout does not reach back to its beginning, "" when it does."""
    days = [segment.day for segment in segments(path)]
    began = rollout.steps[0].started
    if days and min(days) <= day_of(parse_instant(began).timestamp()):
        return ""
    kept = f"begins on {day_text(min(days))}" if days else "holds nothing"
    return f"the prediction log here {kept}, and the rollout began at {began}: what was answered before is not replayed"


def decide_again(
    rollout: Recorded, timeline: Timeline, next_step: NextStep, every: int, now: datetime
) -> Iterator[Replayed]:
    """Yield each step of a rollout decided again, until one ends it."""
    for number, step in enumerate(rollout.steps):
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
            again.action == recorded or (made is None and again.action == "hold"),
        )
        if again.action in _ENDS:
            return


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
    steps = rollout.steps[: number + 1]
    found = Look("hold", steps[-1].started, 0, "", ())
    for position, now in looks:
        progress = Progress(
            number,
            parse_instant(steps[-1].started),
            now,
            timeline.segments(steps, position, now.timestamp()),
            tuple(rollout.arms),
            parse_instant(steps[0].started),
            steps[-1].smoke,
            seed=int(rollout.salt, 16) + number,
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


def validated(module: Any, strategy: Plugin) -> Any:
    """Return a strategy's parameters, or say which of them is wrong."""
    try:
        return module.Params.model_validate_json(json.dumps(strategy.params))
    except ValidationError as error:
        problems = [
            Problem("bad-change", f"{'.'.join(map(str, one['loc']))}: {one['msg']}", hint="--set PATH=VALUE")
            for one in error.errors(include_url=False)
        ]
        raise ModelOpsError(*problems, exit=Exit.USAGE) from None


def replay_text(found: Mapping[str, Any]) -> str:
    """Return a replay for people."""
    lines = [f"rollout {found['salt']} of {found['model']} in {found['environment']}, from {found['source']}"]
    for step in found["steps"]:
        weights = ", ".join(f"{arm} {weight:.0%}" for arm, weight in step["weights"].items())
        again = step["again"]
        lines += [
            f"step {step['step'] + 1}: {weights}; {step['requests']} answers from {step['started']}",
            f"  then:  {step['recorded']} at {step['until']}: {step['recorded_reason']}",
            f"  again: {again['action']} at {again['at']} after {again['requests']}: {again['reason']}",
        ]
        lines += [f"    {check['verdict']:12} {check['arm']}: {check['reason']}" for check in again["checks"]]
    for row in found["values"]:
        told = [f"{name} {_told(row[name])}" for name in ("ips", "snips", "doublyRobust")]
        lines.append(f"value of {row['arm']} alone: {'; '.join(told)}")
    recorded, replayed = found["recorded"], found["replayed"]
    word = "the same" if found["agrees"] else "not the same"
    lines.append(f"then {recorded['outcome'] or 'running'}, again {replayed['outcome']}: {word}")
    lines += [found["missing"]] if found["missing"] else []
    return "\n".join(lines)


def _told(estimate: Mapping[str, Any]) -> str:
    return f"{estimate['value']:.4g} [{estimate['lower']:.4g}, {estimate['upper']:.4g}]"
