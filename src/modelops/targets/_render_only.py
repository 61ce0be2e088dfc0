"""What a target that only renders answers to everything else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelops.errors import Exit, failure
from modelops.targets import Observed

Refusal = Callable[..., Observed]


def render_only(target: str, runtime: str, hint: str) -> Refusal:
    """Return the ``observe`` and ``apply`` of a target that never talks to its runtime."""

    def refuse(*_: Any) -> Observed:
        message = f"the target {target} only renders: modelops does not talk to {runtime}"
        raise failure("render-only", message, exit=Exit.USAGE, hint=hint)

    return refuse
