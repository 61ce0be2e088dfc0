"""Which arm answers whom: a pure function of the salt, the weights and the entity."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable

__all__ = ["assign", "drawn", "place"]

_BITS = 53  # what a float holds exactly


def place(salt: str, arm: str, entity: str) -> float:
    """Return the draw of an entity for an arm in (0, 1): 53 bits of SHA-256 of salt, arm and entity."""
    digest = hashlib.sha256(f"{salt}\0{arm}\0{entity}".encode()).digest()
    return float(max(int.from_bytes(digest[:8], "big") >> (64 - _BITS), 1)) / float(1 << _BITS)


def drawn(salt: str, share: float, prediction: str) -> bool:
    """Tell whether an answer is drawn for review: by its id alone, which nobody can guess and anybody can check."""
    return share > 0 and place(salt, "review", prediction) <= share


def assign(salt: str, weights: Iterable[tuple[str, float]], entity: str) -> str | None:
    """Return the arm of an entity by weighted rendezvous hashing, None when no arm has a weight.

    Each arm draws u for the entity and the smallest -ln(u)/weight wins, so the shares are the weights for any number of
    arms and an entity sticks to its arm. When weights change, an entity moves only to an arm that grew by a larger
    factor than its own; with two arms these are the fewest that must move, with more a few percent above that.
    """
    chosen, least = None, math.inf
    for arm, weight in weights:
        if weight > 0:
            cost = -math.log(place(salt, arm, entity)) / weight
            if cost < least:
                chosen, least = arm, cost
    return chosen
