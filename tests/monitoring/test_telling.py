"""Who is told what, when: the decision alone, held against what people may rely on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.alerts import Happening, Incident
from modelops.clock import format_instant, parse_instant
from modelops.monitoring.telling.due import Rules, due, rationed, unheard, way_of
from modelops.monitoring.telling.memory import Book, Cause, Memory, Seen, Trouble
from modelops.spec.kinds.alert_policy import AlertPolicySpec
from modelops.spec.kinds.silence import SilenceSpec
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


def rules(spec: AlertPolicySpec, forgets: frozenset[str] = frozenset(), **silences: SilenceSpec) -> Rules:
    return Rules(spec, MODELS, silences, forgets)


def stalled(seat: Seat, code: str) -> Cause:
    return Cause("stalled", seat, code, f"{seat} is stalled", "look")


def one_pass(
    spec: AlertPolicySpec, memory: Memory, states: dict[Seat, str], now: datetime, takes: bool = True
) -> list[tuple[str, str, str, str]]:
    """Return what one pass would tell: way, event, model, code; what is taken is remembered as ``tell`` does."""
    causes = tuple(stalled(seat, state) for seat, state in states.items() if state not in ("well", "unknown"))
    well = {seat for seat, state in states.items() if state == "well"}
    told = []
    for message in due(rules(spec), memory, Seen("r", causes, {"stalled": well}), now):
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
    (message,) = due(rules(spec), memory, seen, START)
    (key,) = message.keys
    memory.told[key] = memory.told[key].__class__(memory.told[key].since, format_instant(START))
    assert due(rules(spec), memory, seen, START + timedelta(days=1)) == ()
    assert due(rules(spec), memory, Seen("r", (), {"stalled": [seat]}), START) == ()
    assert memory.told == {}


# Urgency, silences, and how many pages there are.

PAGED: dict[str, Any] = {**ROUTE, "pagesPerDay": 2}
WAY = way_of(policy(ROUTE).routes[0].send)
HOUR = timedelta(hours=1)


def silence(**said: Any) -> SilenceSpec:
    return SilenceSpec.model_validate(
        {"models": ["*"], "reason": "we move the data", **said}, by_alias=True, strict=False
    )


def paging(*routes: dict[str, Any]) -> AlertPolicySpec:
    """Return a policy in which a stalled seat is a page."""
    given = {"routes": routes, "tiers": {"stalled": "page"}}
    return AlertPolicySpec.model_validate(given, by_alias=True, strict=False)


class Days:
    """Passes one after the other: what is taken is remembered, as a process does that is not killed."""

    def __init__(self, told_by: Rules, takes: bool = True) -> None:
        self.rules, self.takes, self.memory = told_by, takes, Memory(Path("nowhere"), format_instant(START))
        self.book = Book(Path("nowhere"))

    def look(self, states: dict[Seat, str], now: datetime, event: Happening = "stalled") -> list[Incident]:
        """Return what is told by one pass."""
        causes = tuple(
            Cause(event, seat, state, f"{seat} {state}", "look") for seat, state in states.items() if state != "well"
        )
        well = {seat for seat, state in states.items() if state == "well"}
        messages = due(self.rules, self.memory, Seen("r", causes, {event: well}), now)
        messages = rationed(self.rules, messages, self.memory, self.book)
        for message in messages:
            pages = self.book.pages.setdefault(message.who, {})
            if message.incident.tier == "page" and not message.over:
                pages.setdefault(message.incident.id, format_instant(now))
            for key in message.keys if self.takes else ():
                if message.over:
                    del self.memory.told[key]
                else:
                    self.memory.told[key] = replace(self.memory.told[key], at=format_instant(now), why="")
            if self.takes and message.incident.event == "digest":
                pages[f"digest {message.incident.id}"] = format_instant(now)
        return [message.incident for message in messages]


def test_routes_choose_by_owner_and_tier() -> None:
    """A route for pages of one team hears no ticket and nothing of another team; records go to who asks for them."""
    routes = ({**ROUTE, "owners": ["growth"], "tiers": ["page"]}, {**OTHER, "tiers": ["record"]})
    for tier, heard in (("page", 1), ("ticket", 0), ("record", 1)):
        spec = policy(*routes).model_copy(update={"tiers": {"stalled": tier}})
        found = Days(rules(spec)).look({SEATS[0]: "x"}, START)
        assert (len(found), [one.tier for one in found]) == (heard, [tier] * heard), tier
    other = policy({**ROUTE, "owners": ["payments"]})
    assert Days(rules(other)).look({SEATS[0]: "x"}, START) == []


def test_one_incident_has_one_key_until_it_is_over() -> None:
    """Another reason and the end are of the incident that began; what comes back later is another one."""
    days, seat = Days(rules(policy(ROUTE))), SEATS[0]
    told = [days.look({seat: state}, START + hour * HOUR) for hour, state in enumerate(("x", "y", "well", "x"))]
    keys = [one.key for some in told for one in some]
    assert (keys[0] == keys[1] == keys[2], keys[3] in keys[:3]) == (True, False)
    assert [one.event for some in told for one in some] == ["stalled", "stalled", "recovered", "stalled"]
    assert len({one.id for some in told for one in some}) == 4


def test_the_urgent_is_told_first() -> None:
    """A page goes before tickets, whatever the order of routes and causes: time may run out."""
    spec = policy({**ROUTE, "events": ["stalled"]}, {**OTHER, "events": ["performance"]})
    causes = (stalled(SEATS[0], "x"), Cause("performance", SEATS[1], "recall", "it fell", "look"))
    memory = Memory(Path("nowhere"), format_instant(START))
    found = due(rules(spec), memory, Seen("r", causes, {}), START)
    assert [one.incident.tier for one in found] == ["page", "ticket"]


def test_a_silence_holds_back_until_it_expires() -> None:
    """What is silenced is known and not told, with the reason in the memory; what lasts longer is told then."""
    until = silence(models=["a"], expires="2026-03-01T15:00:00Z")
    days = Days(rules(policy(ROUTE), moving=until))
    assert [one.seat.model for one in days.look({SEATS[0]: "x", SEATS[1]: "x"}, START)] == ["b"]
    assert [told.why for told in days.memory.told.values()] == ["the silence moving", ""]
    assert days.look({SEATS[0]: "x"}, START + 2 * HOUR) == []
    (late,) = days.look({SEATS[0]: "x"}, START + 3 * HOUR)
    assert (late.seat.model, late.since) == ("a", format_instant(START))


def test_a_silence_repeats_nothing_and_lets_the_end_through() -> None:
    """Who was told before a silence began hears no repeat while it lasts, and does hear that it is over."""
    route = {**ROUTE, "atMostEvery": 60}
    days = Days(rules(policy(route), moving=silence(begins="2026-03-01T13:00:00Z", expires="2026-03-01")))
    assert len(days.look({SEATS[0]: "x"}, START)) == 1
    assert days.look({SEATS[0]: "x"}, START + 2 * HOUR) == []
    assert [one.event for one in days.look({SEATS[0]: "well"}, START + 3 * HOUR)] == ["recovered"]


def test_what_was_over_within_its_silence_was_never_told() -> None:
    """A cause that nobody was told of has no end that somebody is told of."""
    days = Days(rules(policy(ROUTE), moving=silence(expires="2026-03-01")))
    assert days.look({SEATS[0]: "x"}, START) == []
    assert days.look({SEATS[0]: "well"}, START + HOUR) == []
    assert days.memory.told == {}


@pytest.mark.parametrize(
    ("expires", "last"),
    [("2026-03-01", "2026-03-01T23:59:59Z"), ("2026-03-01T18:00:00Z", "2026-03-01T17:59:59Z")],
)
def test_a_silence_ends_when_it_says(expires: str, last: str) -> None:
    """A day counts to its end in UTC, an instant is where it ends."""
    found, end = silence(expires=expires), parse_instant(last)
    assert (found.counts(end), found.counts(end + timedelta(seconds=1))) == (True, False)


def test_more_pages_than_an_owner_may_get_are_one_digest() -> None:
    """The third page of a day comes in a digest with all that are more; what comes after it waits a day from then."""
    many: Any = {f"m{number}": MODELS["a"] for number in range(9)}
    seats = [Seat(name, "production") for name in many]
    days = Days(Rules(paging(PAGED), many))
    first = days.look(dict.fromkeys(seats[:5], "x"), START)
    assert [one.event for one in first] == ["stalled", "stalled", "digest"]
    assert (first[2].seat.model, first[2].tier, len(first[2].held)) == ("*", "ticket", 3)
    assert days.look(dict.fromkeys(seats[:5], "x"), START + HOUR) == []
    assert days.look(dict.fromkeys(seats[:7], "x"), START + 2 * HOUR) == []
    waiting = [key.model for key, told in days.memory.told.items() if told.why == "the next digest"]
    assert waiting == ["m5", "m6"]
    # The end of what was told, by itself or in a digest, is told, and is no page.
    over = days.look({seats[4]: "well"}, START + 3 * HOUR)
    assert [(one.event, one.seat.model) for one in over] == [("recovered", "m4")]
    days.book = Book.of(days.book, START + 25 * HOUR)
    late = days.look(dict.fromkeys((*seats[:4], *seats[5:9]), "x"), START + 25 * HOUR)
    assert [one.event for one in late] == ["stalled", "stalled", "digest"]
    assert len(late[2].held) == 2


@given(st.lists(st.tuples(STATES, st.integers(0, 600)), max_size=25), st.integers(1, 3))
def test_no_owner_gets_more_pages_in_a_day_than_the_policy_says(
    passes: list[tuple[dict[Seat, str], int]], limit: int
) -> None:
    """Whatever comes and goes: in no 24 hours more pages than the number and one digest, and nothing is lost."""
    days, now = Days(rules(paging({**ROUTE, "pagesPerDay": limit}))), START
    sent: list[tuple[datetime, Incident]] = []
    for states, minutes in passes:
        now += timedelta(minutes=minutes)
        days.book = Book.of(days.book, now)
        known = {seat: state for seat, state in states.items() if state != "unknown"}
        sent += ((now, one) for one in days.look(known, now))
        for at, _ in sent:
            within = [one for when, one in sent if at <= when < at + timedelta(days=1)]
            assert sum(one.event == "stalled" for one in within) <= limit
            assert sum(one.event == "digest" for one in within) <= 1
        for told in days.memory.told.values():
            assert told.at is not None or told.why == "the next digest"


def test_a_page_that_is_sent_again_counts_once() -> None:
    """Who died between sending and remembering sends the same id again, beyond no number."""
    days = Days(rules(paging({**ROUTE, "pagesPerDay": 1})), takes=False)
    first = days.look({SEATS[0]: "x"}, START)
    again = days.look({SEATS[0]: "x"}, START + HOUR)
    assert ([one.id for one in first], [one.event for one in again]) == ([one.id for one in again], ["stalled"])


def test_a_reminder_is_news_to_who_forgets_repeats() -> None:
    """It has an id of its own, the same one until it is taken, and is a page like any other."""
    days = Days(rules(paging({**ROUTE, "atMostEvery": 60, "pagesPerDay": 3})))
    told = [one for hour in range(6) for one in days.look({SEATS[0]: "x"}, START + hour * HOUR)]
    assert [one.event for one in told] == ["stalled", "stalled", "stalled", "digest"]
    assert [one.reminds for one in told] == [None, *(format_instant(START + hour * HOUR) for hour in range(3))]
    assert (len({one.id for one in told}), len({one.key for one in told[:3]})) == (4, 1)
    days.takes, days.book = False, Book(Path("nowhere"))
    late = [days.look({SEATS[0]: "x"}, START + hour * HOUR)[0] for hour in (30, 31)]
    assert late[0].id == late[1].id not in {one.id for one in told}


def test_a_digest_that_is_sent_again_is_the_same() -> None:
    """A digest that was not taken is sent again with its id."""
    days = Days(rules(paging({**ROUTE, "pagesPerDay": 1})), takes=False)
    first, again = (days.look(dict.fromkeys(SEATS, "x"), START + hour * HOUR)[-1] for hour in range(2))
    assert (first.event, first.id) == ("digest", again.id)


def test_who_keeps_its_own_state_is_told_all_and_reminded() -> None:
    """A way whose other side forgets hears each page, and what lasts again after a minute; a silence holds it back."""
    days = Days(rules(paging(PAGED), frozenset({WAY})))
    assert [one.event for one in days.look({SEATS[0]: "x"}, START)] == ["stalled"]
    assert days.look({SEATS[0]: "x"}, START + timedelta(seconds=30)) == []
    for hour in range(1, 6):
        assert [one.event for one in days.look({SEATS[0]: "x"}, START + hour * HOUR)] == ["stalled"]
    days.rules = replace(days.rules, silences={"moving": silence(expires="2026-03-01")})
    assert days.look({SEATS[0]: "x"}, START + 7 * HOUR) == []


def test_a_clock_that_is_moved_back_delays_nothing() -> None:
    """A repeat that was told ahead is due now, pages that lie ahead count from now, and no way waits longer."""
    days = Days(rules(policy({**ROUTE, "atMostEvery": 60})))
    days.look({SEATS[0]: "x"}, START + 1000 * HOUR)
    assert len(days.look({SEATS[0]: "x"}, START)) == 1
    assert days.look({SEATS[0]: "x"}, START + timedelta(minutes=59)) == []
    ahead = Book(Path("nowhere"), {"w o": {"1": format_instant(START + 1000 * HOUR)}})
    assert Book.of(ahead, START).pages == {"w o": {"1": format_instant(START)}}
    assert not Trouble.after(None, START + HOUR, "c", "s", None).waits(START)


def test_a_way_that_fails_is_asked_less_and_less_often() -> None:
    """The first failure is tried again in the next pass, the next ones after half a minute, twice that, and so on."""
    trouble, pauses = None, []
    for _ in range(12):
        trouble = Trouble.after(trouble, START, "alert-unreachable", "no", None)
        pauses.append(int((parse_instant(trouble.again) - START).total_seconds()))
    assert pauses == [0, 30, 60, 120, 240, 480, 960, 1800, 1800, 1800, 1800, 1800]
    assert trouble is not None
    assert (trouble.tries, trouble.waits(START), trouble.waits(START + HOUR)) == (12, True, False)


def test_owners_whose_pages_nobody_hears_are_named() -> None:
    """A route for another team, or for tickets alone, leaves pages untold."""
    for route, deaf in (
        (ROUTE, ()),
        ({**ROUTE, "owners": ["payments"]}, ("growth",)),
        ({**ROUTE, "tiers": ["ticket"]}, ("growth",)),
        ({**ROUTE, "events": ["performance"]}, ("growth",)),
        ({**ROUTE, "environments": ["staging"]}, ("growth",)),
    ):
        assert unheard(rules(policy(route)), "production", ["a", "b"]) == deaf, route
