"""Rollouts as they were: from the runtime while they run, from signed evidence in git when they have ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import ROLLOUT_OUTCOME, check_promotion
from modelops.governance.endings import remembered
from modelops.governance.history import deployment_of
from modelops.governance.judged import desired
from modelops.governance.promotions import promotion_evidence
from modelops.project.workspace import Workspace, model_entry, trusted
from modelops.rollouts.recorded import Recorded
from modelops.rollouts.state import FIRST_STEP, from_plain
from modelops.spec.graph import Graph
from modelops.spec.layout import PROMOTION_EVIDENCE, Seat, model_folder, promotions_in
from modelops.spec.meta import Plugin


def recorded_rollout(workspace: Workspace, seat: Seat, salt: str | None) -> Recorded:
    """Return the rollout with a salt, or the running one, or else the newest that has ended."""
    tip, graph = desired(workspace)
    deployment_of(workspace, graph, seat)
    running = _running(workspace, graph, tip, seat)
    if running is not None and salt in (None, running.salt):
        return running
    ended = {found.salt: found for found in _ended(workspace, graph, tip, seat)}
    if salt is None and ended:
        return list(ended.values())[-1]
    if salt is not None and salt in ended:
        return ended[salt]
    asked = f"rollout with the salt {salt!r}" if salt is not None else "rollout"
    raise failure(
        "no-rollout-recorded",
        f"no {asked} of {seat} is recorded in signed evidence, and none like it runs here",
        exit=Exit.NO if salt is None else Exit.USAGE,
        hint=f"salts that are: {', '.join(ended)}"
        if ended
        else f"a trial is recorded when it ends; see what runs: modelops status {seat.model}",
    )


def _running(workspace: Workspace, graph: Graph, tip: str, seat: Seat) -> Recorded | None:
    state = remembered(workspace, tip, seat)
    plan = model_entry(graph, seat.model).rollout
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


def _ended(workspace: Workspace, graph: Graph, tip: str, seat: Seat) -> Iterator[Recorded]:
    """Yield the rollouts that signed evidence tells of, the oldest first; what does not verify is passed over."""
    promotions = model_entry(graph, seat.model).promotions
    records = [promotions[each] for each in promotions_in(promotions, seat.environment)]
    told: list[tuple[str, Recorded]] = []
    for record in records:
        evidence = promotion_evidence(workspace, tip, seat.model, record.name)
        try:
            said = check_promotion(record, evidence, trusted(workspace, tip))
        except ModelOpsError:
            continue
        for one in said:
            rollout = one.predicate.get("rollout")
            if one.predicate_type == ROLLOUT_OUTCOME and isinstance(rollout, Mapping) and "steps" in rollout:
                found = _from_evidence(record.name, one.predicate, rollout)
                told += [(str(one.predicate.get("at")), found)] if found is not None else []
    yield from (found for _, found in sorted(told, key=lambda pair: pair[0]))


def _from_evidence(name: str, predicate: Mapping[str, Any], rollout: Mapping[str, Any]) -> Recorded | None:
    keys = ("arms", "salt", "steps", "decisions", FIRST_STEP)
    try:
        state = from_plain({**{key: rollout[key] for key in keys if key in rollout}, "failed": ()})
        strategy = Plugin(type=rollout["strategy"]["type"], params=rollout["strategy"]["params"])
    except (KeyError, TypeError, ValueError):
        # Written by another version: it can be read by a person, not decided again.
        return None
    return Recorded(
        PROMOTION_EVIDENCE.path("", name).removeprefix(model_folder("")),
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
