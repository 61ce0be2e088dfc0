"""What the fence promises, by the names that a project demands them by."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["PROMISES", "Promise"]

Promise = Literal["files", "secrets", "network", "sockets", "signals", "processes", "rights"]
"""What the fence promises; a Project may require some of them."""

PROMISES: tuple[Promise, ...] = get_args(Promise)
