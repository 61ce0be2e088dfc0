"""Which arm answers whom: a pure function of the salt and the entity."""

from __future__ import annotations

import hashlib

__all__ = ["assignment"]

_BITS = 53  # what a float holds exactly, so that the result never rounds up to 1.0


def assignment(salt: str, entity: str) -> float:
    """Return the place of an entity in [0, 1): the first 53 bits of SHA-256 of salt and entity.

    An arm with weight w takes [0, w), so an entity stays with the candidate while its weight grows.
    """
    digest = hashlib.sha256((salt + entity).encode()).digest()
    return float(int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / float(1 << _BITS)
