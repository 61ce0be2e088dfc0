"""Rollouts as they were: from the runtime while they run, from signed evidence in git when they have ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import ROLLOUT_OUTCOME, check_promotion
from modelops.reconcile.concluding import remembered
from modelops.reconcile.promotion import promotion_evidence
from modelops.reconcile.rollback import deployment_of
from modelops.reconcile.rollout import Decision, StepState, from_plain
from modelops.reconcile.workspace import Workspace, model_entry, trust
from modelops.spec.graph import Graph
from modelops.spec.meta import Plugin


@dataclass(frozen=True)
class Recorded:
    """A rollout as it was; ``ended`` is None while it runs, ``source`` says where this is written."""

    source: str
    arms: Mapping[str, int]
    salt: str
    strategy: Plugin
    tolerant: bool
    steps: tuple[StepState, ...]
    decisions: tuple[Decision, ...]
    outcome: str | None
    reason: str
    ended: str | None

    def decided(self, step: int) -> Decision | None:
        """Return the decision that ended a step; one that a person ended has none."""
        found = [each for each in self.decisions if each.step == step and each.action != "begin"]
        return found[-1] if found else None


def recorded_rollout(workspace: Workspace, model: str, name: str, salt: str | None) -> Recorded:
    """Return the rollout with a salt, or the running one, or else the newest that has ended."""
    tip, graph = workspace.desired()
    deployment_of(workspace, graph, model, name)
    running = _running(workspace, graph, tip, model, name)
    if running is not None and salt in (None, running.salt):
        return running
    ended = {found.salt: found for found in _ended(workspace, graph, tip, model, name)}
    if salt is None and ended:
        return list(ended.values())[-1]
    if salt is not None and salt in ended:
        return ended[salt]
    known = ", ".join(ended) or "none"
    asked = f"rollout with the salt {salt!r}" if salt is not None else "rollout"
    raise failure(
        "no-rollout-recorded",
        f"no {asked} of {model} in {name} is recorded in signed evidence, and none like it runs here",
        exit=Exit.NO if salt is None else Exit.USAGE,
        hint=f"salts that are: {known}",
    )


def _running(workspace: Workspace, graph: Graph, tip: str, model: str, name: str) -> Recorded | None:
    state = remembered(workspace, tip, model, name)
    plan = model_entry(graph, model).rollout
    if state is None or plan is None:
        return None
    return Recorded(
        "the runtime",
        state.arms,
        state.salt,
        plan.spec.strategy,
        plan.spec.on_failure == "alert",
        state.steps,
        state.decisions,
        state.outcome,
        state.reason,
        None,
    )


def _ended(workspace: Workspace, graph: Graph, tip: str, model: str, name: str) -> Iterator[Recorded]:
    """Yield the rollouts that signed evidence tells of, the oldest first; what does not verify is passed over."""
    records = [found for found in model_entry(graph, model).promotions.values() if found.spec.environment == name]
    told: list[tuple[str, Recorded]] = []
    for record in records:
        evidence = promotion_evidence(workspace, tip, model, record.name)
        try:
            said = check_promotion(record, evidence, trust(graph))
        except ModelOpsError:
            continue
        for one in said:
            rollout = one.predicate.get("rollout")
            if one.predicate_type == ROLLOUT_OUTCOME and isinstance(rollout, Mapping) and "steps" in rollout:
                found = _from_evidence(record.name, one.predicate, rollout)
                told += [(str(one.predicate.get("at")), found)] if found is not None else []
    yield from (found for _, found in sorted(told, key=lambda pair: pair[0]))


def _from_evidence(name: str, predicate: Mapping[str, Any], rollout: Mapping[str, Any]) -> Recorded | None:
    keys = ("arms", "salt", "steps", "decisions")
    try:
        state = from_plain({**{key: rollout[key] for key in keys}, "failed": ()})
        strategy = Plugin(type=rollout["strategy"]["type"], params=rollout["strategy"]["params"])
    except (KeyError, TypeError, ValueError):
        # Written by another version: it can be read by a person, not decided again.
        return None
    return Recorded(
        f"promotions/{name}.intoto.jsonl",
        state.arms,
        state.salt,
        strategy,
        rollout.get("onFailure") == "alert",
        state.steps,
        state.decisions,
        str(predicate.get("outcome")),
        str(predicate.get("reason")),
        str(predicate.get("at")),
    )
