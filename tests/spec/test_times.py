"""No time in a spec is so long that it is no date any more when it is counted from today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelops.spec.kinds import KINDS

NOW = datetime(2026, 5, 1, tzinfo=UTC)
UNITS = {"days": 1.0, "hours": 1 / 24}


def limits(schema: Any) -> list[float]:
    """Return the maximum of a number, in each of the forms that it may have."""
    numbers = [one for one in (schema, *schema.get("anyOf", ())) if one.get("type") in ("integer", "number")]
    return [one.get("maximum", float("inf")) for one in numbers]


def times(kind: str) -> Iterator[tuple[str, float]]:
    """Yield the longest time of each field of a kind that is in days or hours, in days."""
    schema = KINDS[kind].model_json_schema()
    for record in (schema, *schema.get("$defs", {}).values()):
        fields: Mapping[str, Any] = record.get("properties", {})
        for name, found in fields.items():
            unit = next((days for word, days in UNITS.items() if name.lower().endswith(word)), None)
            if unit is not None:
                yield from ((f"{kind}.{record.get('title')}.{name}", unit * limit) for limit in limits(found))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_time_can_be_counted_from_today(kind: str) -> None:
    """Both ways, whatever number of days or hours a file may say."""
    for where, days in times(kind):
        assert days < 10**6, where
        assert NOW - timedelta(days=days) < NOW < NOW + timedelta(days=days), where


def test_the_fields_are_found() -> None:
    """What is looked at are those that people write."""
    found = [where.split(".")[-1] for kind in KINDS for where, _ in times(kind)]
    assert {"windowDays", "everyDays", "lookbackDays", "expiresDays", "logDays", "hours"} <= set(found)
