"""What attacks are carried out on: what version 0.1.0 left of a whole story, with real git and real servers."""

from __future__ import annotations

from training.conftest import built, workshop
from world.conftest import configuration, put

__all__ = ["built", "configuration", "put", "workshop"]
