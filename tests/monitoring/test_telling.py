"""Who is told what, when: the decision alone, held against what people may rely on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from modelops.clock import format_instant
from modelops.monitoring.telling import Cause, Memory, Seen, due
from modelops.spec.kinds.alert_policy import AlertPolicySpec
from modelops.spec.layout import Seat

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SEATS = (Seat("a", "production"), Seat("b", "production"))
MODELS: Any = {
    name: SimpleNamespace(model=SimpleNamespace(spec=SimpleNamespace(owner="growth", risk="high"))) for name in "ab"
}
ROUTE: dict[str, Any] = {"send": {"type": "file"}}
OTHER: dict[str, Any] = {"send": {"type": "file", "params": {"path": "other.jsonl"}}}


def policy(*routes: dict[str, Any]) -> AlertPolicySpec:
    return AlertPolicySpec.model_validate({"routes": routes}, by_alias=True, strict=False)


def stalled(seat: Seat, code: str) -> Cause:
    return Cause("stalled", seat, code, f"{seat} is stalled", "look")


def one_pass(
    spec: AlertPolicySpec, memory: Memory, states: dict[Seat, str], now: datetime, takes: bool = True
) -> list[tuple[str, str, str, str]]:
    """Return what one pass would tell: way, event, model, code; what is taken is remembered as ``tell`` does."""
    causes = tuple(stalled(seat, state) for seat, state in states.items() if state not in ("well", "unknown"))
    well = {seat for seat, state in states.items() if state == "well"}
    told = []
    for message in due(spec, MODELS, memory, Seen("r", causes, {"stalled": well}), now):
        told.append((message.way, message.incident.event, message.incident.seat.model, message.incident.code))
        for key in message.keys if takes else ():
            if message.over:
                del memory.told[key]
            else:
                at = format_instant(now)
                memory.told[key] = memory.told[key].__class__(memory.told[key].since, at, memory.told[key].over)
    return told


STATES = st.fixed_dictionaries({seat: st.sampled_from(["well", "unknown", "code-x", "code-y"]) for seat in SEATS})


@given(st.lists(st.tuples(STATES, st.booleans()), max_size=12))
def test_every_cause_is_told_once_and_every_end_once(passes: list[tuple[dict[Seat, str], bool]]) -> None:
    """Whatever comes and goes, and whether or not it is taken: no repeat without an end, no end without a cause."""
    spec, memory = policy(ROUTE), Memory(Path("nowhere"), format_instant(START))
    open_: dict[str, set[str]] = {seat.model: set() for seat in SEATS}
    for minute, (states, takes) in enumerate(passes):
        told = one_pass(spec, memory, states, START + timedelta(minutes=minute), takes)
        assert len(told) == len(set(told))
        for _, event, model, code in told:
            if event == "recovered":
                assert code in open_[model], "an end of what nobody was told of"
                assert states[Seat(model, "production")] == "well"
            else:
                assert code not in open_[model], "told twice"
                assert states[Seat(model, "production")] == code
            if takes:
                open_[model] = set() if event == "recovered" else open_[model] | {code}
        for seat, state in states.items():
            # What nobody takes is tried again, and what is taken is known.
            if takes:
                assert state not in ("code-x", "code-y") or state in open_[seat.model]
                assert state != "well" or not open_[seat.model]


def test_a_cause_that_changes_its_name_ends_once() -> None:
    """A seat that stalls for another reason is told of it; the first one again is not news; all of it ends once."""
    spec, memory, seat = policy(ROUTE), Memory(Path("nowhere"), format_instant(START)), SEATS[0]
    told = []
    for minute, state in enumerate(("code-x", "code-y", "code-x", "well", "well")):
        told += one_pass(spec, memory, {seat: state}, START + timedelta(minutes=minute))
    assert [(event, code) for _, event, _, code in told] == [
        ("stalled", "code-x"), ("stalled", "code-y"), ("recovered", "code-y"),
    ]  # fmt: skip
    assert memory.told == {}


def test_two_routes_by_one_way_tell_once() -> None:
    """Routes that overlap do not double what arrives; another way hears it too."""
    memory = Memory(Path("nowhere"), format_instant(START))
    told = one_pass(policy(ROUTE, {**ROUTE, "atMostEvery": 5}, OTHER), memory, {SEATS[0]: "code-x"}, START)
    assert (len(told), len({way for way, *_ in told})) == (2, 2)


def test_the_order_of_routes_is_no_news() -> None:
    """A policy that is written anew, with the same ways, repeats nothing; a new way is told what lasts."""
    memory = Memory(Path("nowhere"), format_instant(START))
    states = {SEATS[0]: "code-x"}
    assert len(one_pass(policy(ROUTE), memory, states, START)) == 1
    assert len(one_pass(policy(OTHER, ROUTE), memory, states, START)) == 1
    assert one_pass(policy(ROUTE, OTHER), memory, states, START) == []


def test_an_end_goes_nowhere_when_its_way_is_gone() -> None:
    """Who is no longer in the policy, or does not want to hear of ends, is forgotten with the cause."""
    for after in (policy(OTHER), policy({**ROUTE, "events": ["stalled"]})):
        memory = Memory(Path("nowhere"), format_instant(START))
        one_pass(policy(ROUTE), memory, {SEATS[0]: "code-x"}, START)
        assert one_pass(after, memory, {SEATS[0]: "well"}, START) == []
        assert memory.told == {}


def test_what_happened_once_is_told_once() -> None:
    """A withdrawn release is no lasting cause: ``atMostEvery`` does not repeat it, and it has no end."""
    spec, memory, seat = policy({**ROUTE, "atMostEvery": 1}), Memory(Path("nowhere"), format_instant(START)), SEATS[0]
    cause = Cause("rolled-back", seat, "rollout-failed", "it failed", "look", 3, format_instant(START))
    seen = Seen("r", (cause,), {})
    (message,) = due(spec, MODELS, memory, seen, START)
    (key,) = message.keys
    memory.told[key] = memory.told[key].__class__(memory.told[key].since, format_instant(START))
    assert due(spec, MODELS, memory, seen, START + timedelta(days=1)) == ()
    assert due(spec, MODELS, memory, Seen("r", (), {"stalled": [seat]}), START) == ()
    assert memory.told == {}
