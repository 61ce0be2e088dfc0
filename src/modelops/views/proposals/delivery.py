"""What a delivery did: what was released, where it runs now, and which word of somebody it waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelops.errors import ModelOpsError
from modelops.governance.proposals import Proposal
from modelops.markup import plain
from modelops.reconcile.loop import Result
from modelops.views import reconciliation
from modelops.views.proposals import promotion

__all__ = ["data", "intention", "text"]


def intention(environments: Sequence[str], asked: str | None) -> str:
    """Return what comes after the release, a line each."""
    lines = [f"~ reconcile {name}: it takes releases by itself" for name in environments]
    if asked is not None:
        lines.append(f"+ pull requests to {asked}: for what is stable in the environment before")
    return "\n".join(lines)


def text(
    released: Sequence[dict[str, str]],
    results: Sequence[Result],
    failed: Mapping[str, ModelOpsError],
    proposals: Sequence[Proposal],
    asked: str | None,
) -> str:
    """Return what was done, in its order, and the environments that could not be reconciled."""
    lines = [plain(row["result"]) for row in released]
    for result in results:
        lines += [f"{result.plan.environment}:", reconciliation.text(result)]
    lines += [f"{name}: not reconciled: {plain(error.first.message)}" for name, error in failed.items()]
    lines += map(promotion.text, proposals)
    if asked is not None and not proposals:
        lines.append(f"nothing to ask for: {asked} has what proved itself before it, or it is on trial")
    return "\n".join(lines)


def data(
    released: Sequence[dict[str, str]],
    results: Sequence[Result],
    failed: Mapping[str, ModelOpsError],
    proposals: Sequence[Proposal],
) -> dict[str, Any]:
    """Return what was done as plain values."""
    return {
        "released": list(released),
        "reconciled": [reconciliation.data(result) for result in results],
        "failed": [
            {"environment": name, "code": error.first.code, "message": error.first.message}
            for name, error in failed.items()
        ],
        "proposals": [promotion.data(one) for one in proposals],
    }
