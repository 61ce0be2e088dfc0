"""Showing on the forge what a pass left running: who looks there sees a canary go, and nothing depends on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from modelops.digests import digest_bytes
from modelops.errors import ModelOpsError
from modelops.files import write_atomically
from modelops.forges import MACHINE, Deployed, Shows
from modelops.project.workspace import Workspace
from modelops.reconcile.facts import ModelFacts
from modelops.targets import Running

__all__ = ["show_deployments"]

_SHOWN = "deployments.json"


def show_deployments(
    workspace: Workspace,
    name: str,
    tip: str,
    everything: Sequence[ModelFacts],
    running: Running,
    say: Callable[[str], None],
) -> None:
    """Let the forge show what runs in an environment, if it shows such a thing and something has changed.

    A forge that refuses is told of, once a pass.
    """
    loaded = {(arm.model, arm.release) for arm in running.arms if arm.ready}
    wanted = {facts.seat.model: _arms(facts, loaded) for facts in everything if facts.observed.held_by is None}
    path = workspace.site(name).runtime / _SHOWN
    shown = _read(path)
    digests = {model: _digest(arms) for model, arms in wanted.items()}
    changed = [model for model, digest in digests.items() if shown.get(model) != digest]
    if not changed:
        return
    try:
        forge = workspace.forge_as(MACHINE)
        if not isinstance(forge, Shows):
            return
        for model in changed:
            denied = next(facts.desired.denied for facts in everything if facts.seat.model == model)
            forge.deployed(name, model, tip, wanted[model], denied)
            shown[model] = digests[model]
    except ModelOpsError as error:
        say(f"deployments are not shown: {error.first.message}")
    write_atomically(path, json.dumps(shown, indent=2, sort_keys=True).encode())


def _arms(facts: ModelFacts, loaded: set[tuple[str, int]]) -> tuple[Deployed, ...]:
    model, desired, rollout = facts.seat.model, facts.desired, facts.observed.rollout
    if rollout is not None and not facts.observed.about(desired):
        rollout = None
    found = []
    for arm, release in desired.arms.items():
        ready = (model, release) in loaded
        if arm == "stable":
            said = f"{model} release {release} " + ("is stable" if ready else "is not answering yet")
            found.append(Deployed(release, "success" if ready else "in_progress", said))
            continue
        share = _share(rollout.traffic.weights, rollout.traffic.shadows, arm) if rollout is not None else "waits"
        kind = desired.strategy.type if desired.strategy is not None else "direct"
        step = f", step {rollout.step}" if rollout is not None else ""
        found.append(Deployed(release, "in_progress", f"{model} release {release}: {kind} {share}{step}"))
    return tuple(found)


def _share(weights: Mapping[str, float], shadows: Mapping[str, float], arm: str) -> str:
    if arm in shadows:
        return f"shadow {shadows[arm]:.0%}"
    return f"{weights.get(arm, 0.0):.0%}"


def _digest(arms: tuple[Deployed, ...]) -> str:
    return digest_bytes(json.dumps([[arm.release, arm.state, arm.description] for arm in arms]).encode())


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
        return {str(model): str(digest) for model, digest in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}
