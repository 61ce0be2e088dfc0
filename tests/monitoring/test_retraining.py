"""When a retraining pull request is due, and which rows it trains on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from modelops.errors import ModelOpsError
from modelops.monitoring import WindowReport, labelled_rows, should_retrain
from modelops.spec.delivery import Retraining
from monitoring.test_windows import labelled
from monitoring.windows import NOW, RECALL, SINCE, inputs, log, model, report, snapshot

RULES = Retraining(sustained=2, cooldown_days=14)


@pytest.fixture(scope="module")
def drifted() -> WindowReport:
    rng = np.random.default_rng(2)
    return report(log(inputs(rng, 1000, shift=2)), rng)


CASES = [
    ("first alert", [], {}, False, "2 are required"),
    ("second alert in a row", ["alert"], {}, True, "The inputs drifted: amount (PSI "),
    ("alert after a quiet window", ["alert", "none"], {}, False, "drift in 1 window(s)"),
    ("a window without data between", ["alert", "no-data"], {}, True, "amount"),
    ("one open already", ["alert"], {"open_pull_request": True}, False, "already open"),
    (
        "13 days after the last",
        ["alert"],
        {"last_opened": NOW - timedelta(days=13)},
        False,
        "until 2026-05-02T00:00:00Z",
    ),
    ("14 days after the last", ["alert"], {"last_opened": NOW - timedelta(days=14)}, True, "amount"),
]


@pytest.mark.parametrize(("earlier", "state", "fire", "words"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_drift_fires_when_sustained_once_and_not_too_often(
    drifted: WindowReport, earlier: list[str], state: dict[str, object], fire: bool, words: str
) -> None:
    """Sustained alerts fire; a cooldown and an open pull request hold back; the reason says which."""
    given = {"last_opened": None, "open_pull_request": False, "now": NOW} | state
    decision = should_retrain(drifted, earlier, RULES, **given)
    assert decision.fire is fire
    assert words in decision.reason


def test_reports_and_levels_are_the_same_history(drifted: WindowReport) -> None:
    """The history may be kept as reports or as their levels."""
    state = {"last_opened": None, "open_pull_request": False, "now": NOW}
    assert should_retrain(drifted, [drifted], RULES, **state) == should_retrain(drifted, ["alert"], RULES, **state)


@pytest.mark.parametrize("level", ["none", "warn", "no-data"])
def test_without_an_alert_nothing_fires(drifted: WindowReport, level: str) -> None:
    """Whatever came before, a window that does not alert opens nothing."""
    calm = replace(drifted, level=level)
    decision = should_retrain(calm, ["alert"] * 5, RULES, last_opened=None, open_pull_request=False, now=NOW)
    assert not decision.fire
    assert level in decision.reason


def test_a_fallen_metric_fires_at_once() -> None:
    """An interval below the minimum is evidence by itself; it needs no second window, but respects the cooldown."""
    rng = np.random.default_rng(4)
    fallen = report(labelled(rng, 0.4, 200), rng, performance=RECALL)
    decision = should_retrain(fallen, [], RULES, last_opened=None, open_pull_request=False, now=NOW)
    assert decision.fire
    assert decision.reason.startswith("Recall is 0.")
    cooling = should_retrain(
        fallen, [], RULES, last_opened=SINCE + timedelta(days=25), open_pull_request=False, now=NOW
    )
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


def test_rows_of_the_previous_snapshot_come_first() -> None:
    """With the old rows the new snapshot is their union, in the old one's columns and types."""
    fresh = labelled_rows(table(), model(), snapshot())
    both = labelled_rows(table(), model(), snapshot(), fresh.slice(0, 1))
    assert both.schema == fresh.schema
    assert both.column("id").to_pylist() == ["p0", "p0", "p1"]


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
