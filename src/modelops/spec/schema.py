"""JSON Schemas of the kinds, for editors and for other tools."""

from __future__ import annotations

from typing import Any

from modelops.spec.kinds import KINDS


def json_schema(kind: str) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a kind's files."""
    return KINDS[kind].model_json_schema(by_alias=True)
