"""The salt of a rollout: what assigns entities to its arms, and by which its traffic is told from that of others."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from modelops.digests import digest_bytes
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin

__all__ = ["salt_of", "strategy_digest"]


def salt_of(seat: Seat, times: int, arms: Mapping[str, int], strategy: Plugin | None) -> str:
    """Return the salt of the assignment: a function of git alone, new for every rollout and after every rollback.

    What was logged for a rollout counts for no other one: neither for a later one of the same releases, as ``times``
    counts how often the environment's arms have been named anew, nor for one by another plan.
    """
    plan = [strategy_digest(strategy)] if strategy is not None else []
    text = "\n".join(
        (seat.model, seat.environment, str(times), *(f"{arm} {release}" for arm, release in arms.items()), *plan)
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def strategy_digest(strategy: Plugin) -> str:
    """Return the digest of a strategy and its parameters."""
    text = json.dumps({"type": strategy.type, "params": strategy.params}, sort_keys=True, default=str)
    return digest_bytes(text.encode())
