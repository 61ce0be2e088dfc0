"""What a look found becomes incidents: one for each cause, by stated rules, whoever looks and however often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.errors import Exit, ModelOpsError
from modelops.monitoring import Span, triage
from modelops.monitoring.triage import Change, Incident, Kept, Look, Signal, step
from modelops.monitoring.triage.incidents import Rows
from modelops.spec.kinds.monitor import Triage
from monitoring.test_windows import labelled
from monitoring.windows import NOW, RECALL, SINCE, inputs, log, model, report

N = 1000
EACH = timedelta(days=30) / N
AT = SINCE + 600 * EACH
"""What changes in these windows changes with row 600."""
DAY = timedelta(days=1)


def looked(columns: dict[str, list[Any]], *, changes: Sequence[Change] = (), below: Sequence[str] = ()) -> Any:
    """Return the signals of a window whose rows are evenly spread over its time, by kind."""
    times = [(SINCE + row * EACH).timestamp() for row in range(N)]
    table = log(columns, time=times)
    found = report(table, np.random.default_rng(3), release=1)
    return {one.kind: one for one in triage.signals(found, table, model(), changes=changes, below=below)}


@pytest.fixture(scope="module")
def columns() -> dict[str, list[Any]]:
    return inputs(np.random.default_rng(1), N)


def late(values: list[Any], other: Any) -> list[Any]:
    """Return values that are other ones from row 600 on."""
    return [other(value) if row >= 600 else value for row, value in enumerate(values)]


def test_ordinary_rows_are_no_signal(columns: dict[str, list[Any]]) -> None:
    """Nothing is found where nothing is, and the look knows that it is well."""
    assert looked(columns) == {}


def test_features_that_go_missing_together_have_one_cause(columns: dict[str, list[Any]]) -> None:
    """One signal names them, the time, and the release that began to answer then; one that came earlier is none."""
    gone = {name: late(columns[name], lambda value: None) for name in ("amount", "count")}
    changes = (Change(AT - timedelta(hours=1), 7, "candidate"), Change(AT - 5 * DAY, 6, "stable"))
    (found,) = looked(columns | gone, changes=changes).values()
    assert (found.kind, found.event, found.code) == ("data", "inputs", "missing")
    assert set(found.features) == {"amount", "count"}
    assert found.cause == "amount, count went missing together, when release 7 began to answer as candidate"
    assert abs(found.began - AT) < 3 * EACH
    assert all(abs(span.since - AT) < 3 * EACH and span.until is None for span in found.spans)
    assert any("within 0 s of each other" in line for line in found.evidence)


def test_what_is_made_of_a_broken_feature_is_no_second_cause(columns: dict[str, list[Any]]) -> None:
    """Drift that began with a fault is evidence of it, also when the window holds nothing from before any more."""
    broken = {"amount": late(columns["amount"], lambda value: None), "count": late(columns["count"], lambda value: 9)}
    (found,) = looked(columns | broken).values()
    assert found.features == ("amount", "count")
    assert "count drifted at the same time" in found.evidence
    whole = {"amount": [None] * N, "count": [value % 5 for value in columns["count"]]}
    assert set(looked(columns | whole)) == {"data", "drift"}
    assert set(looked(columns | whole, below=["count"])) == {"data"}


def test_drift_of_its_own_time_is_its_own_cause(columns: dict[str, list[Any]]) -> None:
    """A feature that drifts at another time than one that breaks is told beside it."""
    shifted = [value + 2 * (row >= 200) for row, value in enumerate(columns["amount"])]
    found = looked(columns | {"amount": shifted, "count": late(columns["count"], lambda value: None)})
    assert (found["data"].features, found["drift"].features) == (("count",), ("amount",))


FAULTS = [
    ("gone", {"amount": lambda value: None}, "is missing in 100.0% of rows"),
    ("constant", {"count": lambda value: 3}, "has one value in all 1000 rows"),
    ("units", {"amount": lambda value: value * 1000}, "values are larger, 1,000 to 1"),
    ("units", {"amount": lambda value: value * 1.8 + 32}, "in degrees Fahrenheit"),
    ("units", {"amount": lambda value: value / 60}, "values are smaller, 60 to 1"),
    ("recoded", {"channel": str.upper}, "that the reference does not have"),
]


@pytest.mark.parametrize(("code", "changed", "said"), FAULTS, ids=[f"{one[0]}-{one[2][-12:]}" for one in FAULTS])
def test_a_fault_is_told_from_drift(
    columns: dict[str, list[Any]], code: str, changed: dict[str, Any], said: str
) -> None:
    """Values that are gone, one, in other units or in other words are a fault, of which all rows are kept out."""
    broken = {name: [other(value) for value in columns[name]] for name, other in changed.items()}
    (found,) = looked(columns | broken).values()
    assert (found.kind, found.code) == ("data", code)
    assert said in found.said
    assert found.spans == (Span(None, None),)


@pytest.mark.parametrize("shift", [lambda value: value + 2, lambda value: value * 1.7 + 0.5, lambda value: abs(value)])
def test_another_distribution_is_no_fault(columns: dict[str, list[Any]], shift: Any) -> None:
    """What moved, spread or was cut is drift: the model may well be trained on it."""
    (found,) = looked(columns | {"amount": [shift(value) for value in columns["amount"]]}).values()
    assert (found.kind, found.event, found.spans) == ("drift", "drift", ())


def test_a_new_category_is_told_and_may_be_trained_on(columns: dict[str, list[Any]]) -> None:
    """Some unseen values are the owner's to look at; they keep no row out."""
    some = [("shop" if row % 8 == 0 else value) for row, value in enumerate(columns["channel"])]
    found = looked(columns | {"channel": some})["data"]
    assert (found.code, found.spans) == ("unseen", ())


def test_a_fall_names_its_likeliest_cause() -> None:
    """A metric beyond its limit is told with what the inputs say: here, nothing."""
    rng = np.random.default_rng(4)
    table = labelled(rng, 0.4, 200)
    found = report(table, rng, performance=RECALL)
    one = next(each for each in triage.signals(found, table, model()) if each.kind == "performance")
    assert (one.event, one.code) == ("performance", "recall")
    assert "what they mean may have changed" in one.cause


# From signals to incidents.

RULES = Triage(open_after=2, close_after=2)
DRIFT = Signal("drift", "drift", "drift", "the input has drifted: amount", "amount alone", features=("amount",))
FELL = Signal("performance", "performance", "recall", "the performance fell", "the inputs have drifted")
BROKEN = Signal("data", "inputs", "gone", "amount is missing", spans=(Span(AT, None),), features=("amount",))
ALL = frozenset({"data", "drift", "performance", "silent"})


def look(day: float, *signals: Signal, well: Any = ALL) -> Look:
    until = NOW + day * DAY
    return Look("production", 1, until - 7 * DAY, until, signals, well)


def after(*looks: Look, rules: Triage = RULES) -> tuple[Incident, ...]:
    found: tuple[Incident, ...] = ()
    for one in looks:
        found = step(found, one, rules)
    return found


def states(incidents: Sequence[Incident]) -> list[tuple[str, str]]:
    return [
        (one.kind, "closed" if one.closed is not None else "open" if one.open else "suspected") for one in incidents
    ]


def test_an_incident_opens_and_closes_after_stated_looks() -> None:
    """Two looks open it, two without it close it; looks at nearly the same rows do not count twice."""
    assert states(after(look(0, DRIFT))) == [("drift", "suspected")]
    assert states(after(look(0, DRIFT), look(0.5, DRIFT), look(0.9, DRIFT))) == [("drift", "suspected")]
    assert states(after(look(0, DRIFT), look(1, DRIFT))) == [("drift", "open")]
    opened = [look(0, DRIFT), look(1, DRIFT)]
    assert states(after(*opened, look(2), look(2.5))) == [("drift", "open")]
    assert states(after(*opened, look(2), look(3))) == [("drift", "closed")]
    assert after(look(0, DRIFT), look(1)) == ()


def test_an_incident_that_flaps_is_one() -> None:
    """What comes and goes with every look stays open, and is told once."""
    found = after(*(look(day, *([DRIFT] if day % 2 == 0 else [])) for day in range(20)), rules=Triage(open_after=1))
    assert states(found) == [("drift", "open")]
    (one,) = found
    assert one.id == "2026-05-01-production-drift"


def test_looks_that_know_nothing_change_nothing() -> None:
    """Too few rows or labels neither close an incident nor open one."""
    opened = [look(0, DRIFT), look(1, DRIFT)]
    assert states(after(*opened, *(look(day, well=frozenset({"silent"})) for day in range(2, 9)))) == [
        ("drift", "open")
    ]


def test_a_fall_joins_the_drift_that_it_comes_of_and_makes_it_urgent() -> None:
    """One incident for one cause, told as what hurts most; it is over when both are."""
    opened = [look(0, DRIFT), look(1, DRIFT), look(2, DRIFT, FELL)]
    (one,) = after(*opened)
    assert (one.kind, one.event, one.events, one.code) == ("drift", "performance", ("drift", "performance"), "recall")
    unknown = ALL - {"performance"}
    assert states(after(*opened, *(look(day, well=unknown) for day in range(3, 9)))) == [("drift", "open")]
    assert states(after(*opened, look(3), look(4))) == [("drift", "closed")]


def test_silence_is_over_with_the_first_request() -> None:
    """Whether requests come needs no second look."""
    silent = Signal("silent", "silent", "silent", "there is no traffic")
    assert states(after(look(0, silent), look(1, silent), look(2))) == [("silent", "closed")]


def test_what_comes_back_is_another_incident() -> None:
    """It has a name of its own, also on the same day."""
    quick = Triage(open_after=1, close_after=1)
    found = after(look(0, DRIFT), look(1), look(1.1, DRIFT), look(1.2), look(1.3, DRIFT), rules=quick)
    assert [one.id.removeprefix("2026-05-0") for one in found] == [
        "1-production-drift", "2-production-drift", "2-production-drift-2",
    ]  # fmt: skip


MOMENTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.3, 1.0, 2.0]), st.sampled_from(["bad", "well", "unknown"])), max_size=12
)


@given(MOMENTS, st.integers(1, 3), st.integers(1, 3))
def test_a_look_that_is_gone_through_twice_changes_nothing_more(
    moments: list[tuple[float, str]], opens: int, closes: int
) -> None:
    """Whatever is found: two monitors at once, or one that was killed, leave what one monitor leaves."""
    day, once, twice, rules = 0.0, (), (), Triage(open_after=opens, close_after=closes)
    for wait, what in moments:
        day += wait
        one = look(day, *([DRIFT] if what == "bad" else []), well=ALL if what == "well" else frozenset())
        once = step(once, one, rules)
        twice = step(step(twice, one, rules), one, rules)
    assert [(one.id, one.opened, one.closed, one.bad, one.well) for one in once] == [
        (one.id, one.opened, one.closed, one.bad, one.well) for one in twice
    ]  # fmt: skip


def test_rows_with_a_fault_stay_out_when_it_is_over() -> None:
    """What a look learns of beginning and end is kept, whatever newer windows still hold of it."""
    ended = Signal("data", "inputs", "missing", "x", spans=(Span(None, AT + DAY),), features=("amount",))
    quick = Triage(open_after=1, close_after=1)
    (one,) = after(look(-3, BROKEN), look(-2, ended), rules=quick)
    assert one.rows == (Rows(since="2026-04-19T00:00:00Z", until="2026-04-20T00:00:01Z"),)
    assert triage.broken([one]) == one
    (one,) = after(look(-3, BROKEN), look(0), rules=quick)
    assert one.rows == (Rows(since="2026-04-19T00:00:00Z", until="2026-04-28T00:00:00Z"),)
    assert triage.broken([one]) is None
    assert triage.quarantined([one]) == (Span(AT, NOW - 3 * DAY),)
    (one,) = after(look(-9, BROKEN), look(0), rules=quick)
    assert one.rows == (Rows(since="2026-04-19T00:00:00Z", until="2026-04-24T00:00:00Z"),)


def test_what_is_remembered_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Incidents come back whole; one that is torn is no empty memory, as rows of broken data would be trained on."""
    assert triage.read_kept(tmp_path, "a/b") == Kept()
    kept = Kept(at="2026-05-01T00:00:00Z", incidents=after(look(0, DRIFT, BROKEN), look(1, FELL)))
    triage.write_kept(tmp_path, "a/b", kept)
    assert triage.read_kept(tmp_path, "a/b") == kept
    (path,) = tmp_path.rglob("*.json")
    for torn in (path.read_text()[:40], "", "[]", '{"at": "", "later": 1}'):
        path.write_text(torn)
        with pytest.raises(ModelOpsError) as caught:
            triage.read_kept(tmp_path, "a/b")
        assert (caught.value.first.code, caught.value.exit) == ("memory-unreadable", Exit.WORLD)
        assert triage.peeked(tmp_path, "a/b") == Kept()
        assert path.read_text() == torn


def test_a_clock_that_was_moved_back_stops_nothing() -> None:
    """Looks from before the last one that counted count as well."""
    rules = Triage(open_after=2, close_after=2)
    assert states(after(look(400, DRIFT), look(0, DRIFT), rules=rules)) == [("drift", "open")]
