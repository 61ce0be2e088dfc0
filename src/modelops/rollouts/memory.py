"""What is remembered of rollouts: in the runtime directory, or by a runtime that several machines look after."""

from __future__ import annotations

import json
from pathlib import Path

from modelops.files import write_atomically
from modelops.rollouts.state import RolloutState, from_plain, to_plain
from modelops.spec.layout import slug
from modelops.targets import Site


def _rollout_path(site: Site, model: str) -> Path:
    return site.runtime / "rollouts" / f"{slug(model)}.json"


def read_rollout(site: Site, model: str) -> RolloutState | None:
    """Return the remembered rollout of a model; an unreadable one counts as forgotten."""
    try:
        if site.rollouts is not None:
            said = site.rollouts.recall(model)
            return from_plain(json.loads(said)) if said is not None else None
        return from_plain(json.loads(_rollout_path(site, model).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_rollout(site: Site, model: str, state: RolloutState) -> None:
    """Remember a rollout before anything acts on it."""
    data = json.dumps(to_plain(state), indent=2, sort_keys=True).encode()
    if site.rollouts is not None:
        site.rollouts.remember(model, data)
    else:
        write_atomically(_rollout_path(site, model), data)


def forget_rollout(site: Site, model: str) -> None:
    """Forget a rollout whose end is in git."""
    if site.rollouts is not None:
        site.rollouts.remember(model, None)
    _rollout_path(site, model).unlink(missing_ok=True)
