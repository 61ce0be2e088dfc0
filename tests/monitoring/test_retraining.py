"""When a retraining pull request is due, and which rows it trains on."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelops.errors import ModelOpsError
from modelops.monitoring import Attempt, Attempts, Past, Span, WindowReport, labelled_rows, new_rows, should_retrain
from modelops.monitoring.report import EstimatedReport
from modelops.spec.kinds.data_snapshot import Column
from modelops.spec.kinds.model import Exploration, Labels
from modelops.spec.kinds.monitor import Retraining, Triggers
from modelops.spec.meta import Plugin
from modelops.spec.texts.reading import TextReading
from monitoring.test_windows import labelled
from monitoring.windows import NOW, RECALL, SINCE, inputs, log, model, report, snapshot

RULES = Retraining(sustained=2, cooldown_days=14)


@pytest.fixture(scope="module")
def drifted() -> WindowReport:
    rng = np.random.default_rng(2)
    return report(log(inputs(rng, 1000, shift=2)), rng)


def past(level: str, days: float = 30, *, length: float = 30, release: int | None = None) -> Past:
    """Return a window that ended so many days before the present one."""
    until = NOW - timedelta(days=days)
    return Past(until - timedelta(days=length), until, level, release)


def tried(*found: Any) -> Attempts:
    """Return the retrainings that were opened so many days ago, merged unless the next word says otherwise."""
    pairs = zip(found, [*found[1:], 0][: len(found)], strict=True)
    return Attempts(
        tuple(
            Attempt(NOW - timedelta(days=days), state if isinstance(state, str) else "merged")
            for days, state in pairs
            if not isinstance(days, str)
        )
    )


BEFORE = [past("alert")]
CASES = [
    ("first alert", [], {}, False, "2 are required"),
    ("second alert in a row", BEFORE, {}, True, "The inputs drifted: amount (PSI "),
    ("a window that overlaps", [past("alert", 1), past("alert", 29)], {}, False, "drift in 1 window(s)"),
    ("a schedule that is seconds early", [past("alert", 29.9999)], {}, True, "amount"),
    ("windows that overlap, back to one that does not", [past("alert", n) for n in (7, 14, 21, 30)], {}, True, "am"),
    ("a quiet window between", [past("alert", 30), past("none", 15)], {}, False, "drift in 1 window(s)"),
    ("a window of another release", [past("alert", release=1)], {}, False, "drift in 1 window(s)"),
    ("alert after a quiet window", [past("alert", 60), past("none")], {}, False, "drift in 1 window(s)"),
    ("a window without data between", [past("alert", 60), past("no-data")], {}, True, "amount"),
    ("one open already", BEFORE, {"attempts": tried(0, "open")}, False, "already open"),
    ("one merged and not stable yet", BEFORE, {"underway": "the retraining was merged"}, False, "was merged"),
    (
        "13 days after the last",
        BEFORE,
        {"attempts": tried(13)},
        False,
        "until 2026-05-02T00:00:00Z",
    ),
    ("14 days after the last", BEFORE, {"attempts": tried(14)}, True, "amount"),
]


@pytest.mark.parametrize(("earlier", "state", "fire", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_drift_fires_when_sustained_once_and_not_too_often(
    drifted: WindowReport, earlier: list[Past], state: dict[str, object], fire: bool, words: str
) -> None:
    """Sustained alerts fire; a cooldown and an open pull request hold back; the reason says which."""
    decision = should_retrain(drifted, earlier, RULES, **{"now": NOW} | state)
    assert decision.fire is fire
    assert words in decision.reason


def test_the_reason_says_which_scores_alerted() -> None:
    """A feature is named with every score of it that alerted, and only with those."""
    rng = np.random.default_rng(2)
    scores = ("psi", "kolmogorov-smirnov", "wasserstein")
    monitor = {"drift": tuple(Plugin(type=name) for name in scores)}
    found = report(log(inputs(rng, 1000, shift=2, abroad=0.6)), rng, monitor=monitor)
    decision = should_retrain(found, BEFORE, RULES, now=NOW)
    assert re.search(r"amount \(PSI \d\.\d\d, KS 0\.\d\d, Wasserstein \d\.\d\d\)", decision.reason)


def test_a_weekend_is_no_shift(drifted: WindowReport) -> None:
    """Windows of a day retrain only after a week of them has alerted, whatever few of them are required."""
    state = {"now": NOW}
    day = replace(drifted, since=NOW - timedelta(days=1))
    days = [past("alert", n, length=1) for n in range(1, 7)]
    two = should_retrain(day, days[:1], RULES, **state)
    assert (two.fire, "drift for 2.0 days" in two.reason) == (False, True)
    assert not should_retrain(day, days[:5], RULES, **state).fire
    assert should_retrain(day, days, RULES, **state).fire
    assert not should_retrain(day, [*days[:2], past("none", 3, length=1), *days[3:]], RULES, **state).fire


@pytest.mark.parametrize("level", ["none", "warn", "no-data"])
def test_without_an_alert_nothing_fires(drifted: WindowReport, level: str) -> None:
    """Whatever came before, a window that does not alert opens nothing."""
    calm = replace(drifted, level=level)
    decision = should_retrain(calm, BEFORE, RULES, now=NOW)
    assert not decision.fire
    assert level in decision.reason


def test_a_fallen_metric_fires_at_once() -> None:
    """An interval below the minimum is evidence by itself; it needs no second window, but respects the cooldown."""
    rng = np.random.default_rng(4)
    fallen = report(labelled(rng, 0.4, 200), rng, performance=RECALL)
    decision = should_retrain(fallen, [], RULES, now=NOW)
    assert decision.fire
    assert decision.reason.startswith("Recall is 0.")
    cooling = should_retrain(fallen, [], RULES, attempts=tried(5), now=NOW)
    assert not cooling.fire


def table() -> pa.Table:
    columns = {
        "amount": [1.0, 2.0, 3.0, 4.0, 5.0],
        "count": [1, None, 3, 4, 5],
        "abroad": [True, False, True, True, False],
        "channel": ["app", "web", "new", "app", "web"],
    }
    return log(columns, truth=["1", "false", None, "1", "maybe"], status=[200, 200, 200, 500, 200])


def test_labelled_rows_join_features_and_truth_in_the_snapshots_types() -> None:
    """Unlabelled and failed rows and truths of another kind are left out; time, id and entity come from the log."""
    rows = labelled_rows(table(), model(), snapshot())
    assert rows.to_pydict() == {
        "id": ["p0", "p1"],
        "when": [SINCE, SINCE + timedelta(seconds=1)],
        "customer": ["c0", "c1"],
        "amount": [1.0, 2.0],
        "count": [1, None],
        "abroad": [True, False],
        "channel": ["app", "web"],
        "fraud": [1, 0],
    }
    assert rows.schema.field("when").type == pa.timestamp("us", "UTC")
    assert rows.schema.field("fraud").type == pa.int64()


def test_what_the_caller_sent_comes_before_what_the_log_knows() -> None:
    """An id or time among the logged features is kept."""
    columns = {"amount": [1.0], "id": ["t-1"], "when": ["2026-01-02T00:00:00Z"], "customer": ["x"]}
    rows = labelled_rows(log(columns, truth=["0"]), model(), snapshot())
    assert rows.select(["id", "when", "customer"]).to_pylist() == [
        {"id": "t-1", "when": datetime(2026, 1, 2, tzinfo=UTC), "customer": "x"}
    ]


def test_reviewed_rows_count_for_those_that_were_not() -> None:
    """A decision's row counts once, a reviewed one by its chance, and one that complained by itself is left out."""
    columns = {"amount": [1.0, 2.0, 3.0], "channel": ["app"] * 3}
    table = log(columns, truth=["1", "1", "1"], label=["1", "0", "0"])
    table = table.append_column("review", pa.array([0.05] * 3)).append_column("drawn", pa.array([0, 1, 0]))
    weight = Column(name="w", type="number", missing=0, distinct=2)
    old = snapshot().model_copy(update={"columns": (*snapshot().columns, weight)})
    explored = Labels(by="analysts", decisions=(1,), exploration=Exploration(share=0.05))
    found = new_rows(table, model(weight="w", labels=explored), old)
    assert (found.labelled, found.fresh, found.unweighted) == (3, 2, 1)
    assert found.table.select(["amount", "w"]).to_pylist() == [{"amount": 1.0, "w": 1.0}, {"amount": 2.0, "w": 20.0}]


def test_rows_that_were_sent_without_a_weight_are_not_trained_on() -> None:
    """Where the model weights its rows, what a row counts for has to be known: it comes with the request, or not."""
    old = snapshot()
    old = old.model_copy(update={"columns": (*old.columns, Column(name="w", type="number", missing=0, distinct=2))})
    columns = {"amount": [1.0, 2.0, 3.0], "w": [2.5, None, -1.0]}
    found = new_rows(log(columns, truth=["0", "1", "1"]), model(weight="w"), old)
    assert (found.labelled, found.fresh, found.unweighted) == (3, 1, 2)
    assert found.table.column("w").to_pylist() == [2.5]
    assert new_rows(log(columns, truth=["0", "1", "1"]), model(), old).fresh == 3


def test_rows_of_the_previous_snapshot_come_first() -> None:
    """With the old rows the new snapshot is their union, in the old one's columns and types."""
    fresh = labelled_rows(table(), model(), snapshot())
    both = labelled_rows(table(), model(), snapshot(), fresh.slice(1, 1))
    assert both.schema == fresh.schema
    assert both.column("id").to_pylist() == ["p1", "p0"]


def test_rows_that_the_snapshot_holds_are_not_added_again() -> None:
    """A second retraining within the lookback adds only what came since, and learns what is known better now."""
    fresh = labelled_rows(table(), model(), snapshot())
    again = new_rows(table(), model(), snapshot(), fresh)
    assert (again.labelled, again.fresh, again.known, again.corrected) == (2, 0, 2, 0)
    assert again.table.equals(fresh)
    changed = table().set_column(9, "truth", pa.array(["0", "false", None, "1", "maybe"]))
    found = new_rows(changed, model(), snapshot(), fresh)
    assert (found.fresh, found.known, found.corrected) == (0, 2, 1)
    assert found.table.column("fraud").to_pylist() == [0, 0]


def test_rows_are_known_by_their_values_where_no_id_tells_them_apart() -> None:
    """Served rows keep their time, so the same row is known, and another one with equal features is not."""
    spec, bare = snapshot(), model(id=None, time=None)
    columns = tuple(each for each in spec.columns if each.name not in ("id", "when"))
    untimed = spec.model_copy(update={"columns": columns})
    served = log({"amount": [1.0, 1.0], "channel": ["app", "app"]}, truth=["1", "1"])
    first = new_rows(served, bare, untimed)
    assert first.table.column("served_at").to_pylist() == [SINCE, SINCE + timedelta(seconds=1)]
    timed = Column(name="served_at", type="datetime", missing=0, distinct=2)
    second = untimed.model_copy(update={"columns": (*columns, timed)})
    again = new_rows(served, bare, second, first.table.slice(0, 1))
    assert (again.known, again.fresh) == (1, 1)


def test_rows_of_the_training_file_that_are_served_are_no_new_ones() -> None:
    """A replay of the file has other ids and times; where values tell rows apart, they say that it is one."""
    spec, bare = snapshot(), model(id=None, time=None)
    untimed = spec.model_copy(update={"columns": tuple(c for c in spec.columns if c.name not in ("id", "when"))})
    file = {"amount": [n / 2 for n in range(100)], "channel": ["app"] * 100}
    held = labelled_rows(log(file, truth=["1"] * 100), bare, untimed).drop_columns(["served_at"])
    served = log({"amount": [2.5, 99.5], "channel": ["app", "app"]}, truth=["1", "1"])
    found = new_rows(served, bare, untimed, held)
    assert (found.known, found.fresh) == (1, 1)
    alike = held.set_column(1, "amount", pa.array([2.5] * 100))
    assert new_rows(served, bare, untimed, alike).fresh == 2
    timed = held.append_column("when", pa.array([SINCE - timedelta(days=n) for n in range(100)]))
    assert new_rows(served, model(id=None), spec, timed.append_column("id", pa.nulls(100, pa.string()))).fresh == 2


def test_what_was_delivered_twice_counts_once() -> None:
    """A caller that sends a request again gives one row; the same id with other content is another one."""
    columns = {"amount": [1.0, 1.0, 2.0, 1.0], "channel": ["app", "app", "app", "app"]}
    served = log(columns, truth=["1", "1", "1", "1"], entity=["c"] * 4)
    served = served.append_column("request", pa.array(["r1", "r1", "r1", ""]))
    served = served.append_column("row", pa.array([0, 0, 0, 0]))
    found = new_rows(served, model(), snapshot())
    assert (found.table.column("id").to_pylist(), found.repeated) == (["p0", "p2", "p3"], 1)
    kept = labelled_rows(served.slice(1, 1), model(), snapshot())
    assert new_rows(served, model(), snapshot(), kept).table.column("id").to_pylist() == ["p1", "p2", "p3"]


def test_texts_are_read_as_the_snapshots_were() -> None:
    """What stands for a missing value is missing in the new rows and in windows, as in the file."""
    reading = TextReading(trim=True, missing=("NA",))
    rows = labelled_rows(log({"channel": ["NA", " app "]}, truth=["1", "0"]), model(), snapshot(), None, reading)
    assert rows.column("channel").to_pylist() == [None, "app"]


@pytest.mark.parametrize(
    ("kind", "truths", "expected"),
    [
        ("category", ["yes", "no"], ["yes", "no"]),
        ("boolean", ["true", "0"], [True, False]),
        ("integer", ["2", "2.0"], [2, 2]),
        ("number", ["2.5", "1e3"], [2.5, 1000.0]),
        ("number", ["nan", "inf"], []),
        ("number", ["true", "0"], [1.0, 0.0]),
        ("integer", ["1e30", "true"], [1]),
        ("integer", ["2.5", "x"], []),
        ("boolean", ["2", ""], []),
    ],
)
def test_truth_is_read_in_the_targets_type(kind: str, truths: list[str], expected: list[object]) -> None:
    """Labels arrive as text and become values of the target's type, or are left out."""
    spec = snapshot()
    columns = tuple(each.model_copy(update={"type": kind}) if each.name == "fraud" else each for each in spec.columns)
    typed = spec.model_copy(update={"columns": columns})
    rows = labelled_rows(log({"amount": [1.0, 2.0]}, truth=truths), model(), typed)
    assert rows.column("fraud").to_pylist() == expected


def test_a_snapshot_without_the_target_cannot_be_extended() -> None:
    """A target that was renamed since the old snapshot is an error, not a column of nulls."""
    with pytest.raises(ModelOpsError) as caught:
        labelled_rows(table(), model(target="other"), snapshot())
    assert caught.value.problems[0].code == "target-absent"


@pytest.mark.parametrize(("kind", "entity", "expected"), [("category", "c7", "c7"), ("integer", "17", 17)])
def test_an_entity_that_is_the_rows_id_stays_the_entity(kind: str, entity: str, expected: object) -> None:
    """Rows of one customer share an id, so that a split by hash keeps them in one part."""
    spec, declared = snapshot(), model()
    columns = tuple(
        each.model_copy(update={"type": kind}) if each.name == "customer" else each for each in spec.columns
    )
    declared = declared.model_copy(
        update={
            "data": declared.data.model_copy(update={"id": "customer"}),
            "serving": declared.serving.model_copy(update={"entity": "customer"}),
        }
    )
    logged = log({"amount": [1.0, 2.0]}, truth=["0", "1"])
    logged = logged.set_column(logged.schema.get_field_index("entity"), "entity", pa.array([entity, entity]))
    rows = labelled_rows(logged, declared, spec.model_copy(update={"columns": columns}))
    assert rows.column("customer").to_pylist() == [expected, expected]


# Triggers, budgets and pauses.


def due(found: WindowReport, rules: Retraining, **state: Any) -> tuple[str | None, bool, str]:
    decision = should_retrain(found, state.pop("earlier", []), rules, now=NOW, **state)
    return decision.trigger, decision.fire, decision.reason


def by(**triggers: Any) -> Retraining:
    return Retraining(triggers=Triggers(**{"drift": False, "performance": False} | triggers), cooldown_days=14)


@pytest.fixture(scope="module")
def calm() -> WindowReport:
    rng = np.random.default_rng(7)
    return report(log(inputs(rng, 500)), rng)


def test_each_trigger_makes_a_retraining_due_by_itself(calm: WindowReport, drifted: WindowReport) -> None:
    """What is not set triggers nothing, however much it is found; what people ask for needs no other reason."""
    assert due(drifted, by())[:2] == (None, False)
    assert due(drifted, by(drift=True))[:2] == ("drift", True)
    assert due(calm, by(), asked=True)[:2] == ("manual", True)
    old, young = NOW - timedelta(days=91), NOW - timedelta(days=89)
    assert due(calm, by(every_days=90.0), since=old)[:2] == ("schedule", True)
    assert due(calm, by(every_days=90.0), since=young)[:2] == (None, False)
    assert due(calm, by(every_days=90.0), since=old, attempts=tried(60))[:2] == (None, False)
    assert due(calm, by(new_labels=1000), fresh=lambda: 1000)[:2] == ("new-labels", True)
    assert due(calm, by(new_labels=1000), fresh=lambda: 999)[:2] == (None, False)


def test_an_estimate_has_to_last_as_drift_has(calm: WindowReport) -> None:
    """The metric that is expected without labels fires when windows in a row expected it to have fallen."""
    expected = EstimatedReport("recall", "fail", None, "recall is expected to be 0.4; it is blind to concept drift")
    fell, rules = replace(calm, estimated=expected), Retraining(
        sustained=2, triggers=Triggers(drift=False, estimated_performance=True)
    )  # fmt: skip
    before = [replace(past("none"), estimated="fail")]
    assert due(fell, rules)[:2] == (None, False)
    assert due(fell, rules, earlier=before)[:2] == ("estimated-performance", True)
    assert due(fell, by(), earlier=before)[:2] == (None, False)
    assert due(calm, rules, earlier=before)[:2] == (None, False)


@pytest.mark.parametrize(
    ("attempts", "free"),
    [
        (tried(), None),
        (tried(5), 9),
        (tried(5, "rejected"), 23),
        (tried(5, "rejected", 40, "rejected"), 51),
        (tried(5, 40, "rejected"), 9),
        (tried(*[each for days in range(5, 500, 30) for each in (days, "rejected")]), 360),
    ],
    ids=["none", "merged", "one", "two", "merged since", "at most a year"],
)
def test_the_pause_doubles_after_each_that_was_rejected(attempts: Attempts, free: int | None) -> None:
    """Fourteen days, 28, 56 and so on up to a year, counted from when the last one was opened; a good one resets it."""
    until = attempts.waits_until(RULES)
    assert until == (None if free is None else NOW + timedelta(days=free))


def test_what_is_held_back_says_by_what(drifted: WindowReport) -> None:
    """Broken data hold back everything; the budget too; the pause not what people ask for."""
    rules = Retraining(runs_per_month=2)
    for asked, trigger in ((False, "drift"), (True, "manual")):
        found = due(drifted, rules, broken="amount is missing", asked=asked)
        assert found == (trigger, False, "nothing is trained on broken data: amount is missing")
    spent = Attempts(tuple(Attempt(NOW.replace(day=1) - timedelta(hours=-n), "merged") for n in (0, 0)))
    assert due(drifted, rules, attempts=spent, asked=True)[1:] == (
        False, "the budget of 2026-05 is spent: 2 of 2 retrainings were opened",
    )  # fmt: skip
    last_month = tried(1, 2)
    assert last_month.this_month(NOW) == 0
    assert due(drifted, rules, attempts=last_month)[1] is False
    assert due(drifted, rules, attempts=last_month, asked=True)[:2] == ("manual", True)


def test_rows_that_were_served_while_data_were_broken_are_left_out() -> None:
    """Those within a span stay out, whatever label they have; they are counted."""
    spans = [Span(SINCE + timedelta(seconds=1), SINCE + timedelta(seconds=2))]
    found = new_rows(table(), model(), snapshot(), broken=spans)
    assert (found.fresh, found.quarantined, found.labelled) == (1, 1, 2)
    assert found.table.column("id").to_pylist() == ["p0"]
    everything = new_rows(table(), model(), snapshot(), broken=[Span(None, None)])
    assert (everything.fresh, everything.table.num_rows) == (0, 0)
