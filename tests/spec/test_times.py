"""No time in a spec is so long that it is no date any more when it is counted from today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelops.clock import end_of_day, parse_instant
from modelops.errors import ModelOpsError
from modelops.metrics.aims import aim_of
from modelops.spec.kinds import KINDS
from modelops.spec.kinds.outcomes import BusinessObjective
from modelops.spec.kinds.silence import SilenceSpec

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


def test_the_last_day_that_there_is_ends() -> None:
    """A day that means for ever is one: what it is the end of goes on, in a target and in a silence."""
    assert end_of_day("2026-04-30") == NOW
    last = datetime.max.replace(tzinfo=UTC)
    assert (end_of_day("9999-12-30"), end_of_day("9999-12-31")) == (datetime(9999, 12, 31, tzinfo=UTC), last)
    target = {"value": 1.0, "by": "9999-12-31"}
    said = {"question": "q", "kpi": "k", "better": "lower", "target": target}
    said |= {"baseline": {"until": "9999-12-31", "value": 2.0}}
    found = aim_of("churn", BusinessObjective.model_validate(said), (), NOW)
    assert (found.over, found.late) == (False, "THE VALUE IS OF A PERIOD THAT IS NOT OVER: it ends on 9999-12-31")
    silence = SilenceSpec.model_validate({"models": ("*",), "reason": "r", "expires": "9999-12-31"})
    assert silence.counts(NOW)
    assert silence.ends == last


@pytest.mark.parametrize("text", ["9999-12-31T23:00:00-05:00", "0001-01-01T00:00:00+01:00"])
def test_an_instant_that_utc_has_not_is_none(text: str) -> None:
    """Beyond the first and the last year an offset leads to no date."""
    with pytest.raises(ModelOpsError, match="years are 1 to 9999") as caught:
        parse_instant(text)
    assert caught.value.first.code == "bad-instant"
