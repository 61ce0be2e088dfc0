"""What a run of the loop did, and how every model stands after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from modelops.markup import curl, plain
from modelops.reconcile.loop import Result
from modelops.views.terminal import table

_HEADERS = ("MODEL", "CONDITION", "REASON", "MESSAGE")


def text(result: Result) -> str:
    """Return what was done, a line each, and a row for each model."""
    rows = [tuple(map(plain, (c.model, c.type, c.reason, c.message))) for c in result.conditions]
    return "\n".join([*map(plain, result.done), table(_HEADERS, rows) if rows else "no model is deployed here"])


def call(url: str, model: str, record: Mapping[str, object], key: str) -> str:
    """Return the line by which a model is asked, with the API key in the variable ``key`` if there is one."""
    return f"ask {plain(model)}: {curl(f'{url}/v2/models/{model}/predict', record, key=key)}"


def data(result: Result) -> dict[str, Any]:
    """Return what was done, how it stands, and what is left to do."""
    return {
        "environment": result.plan.environment,
        "done": list(result.done),
        "conditions": [asdict(condition) for condition in result.conditions],
        "plan": result.plan.to_dict(),
    }
