"""Reading the prediction log: windows, truths, arms, features."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from modelops.predictions import PredictionLog, Row, arm_rows, count, feature_columns, find, read_window
from modelops.spec.kinds.model import Feature


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def make_row(id: str, time: float, **changes: object) -> Row:
    row = Row(id, time, "fraud", 1, "stable", 0, "salt", "c", '{"amount":1.5,"country":"DE"}', 0.25, "0", 200, 1.5)
    return row._replace(**changes)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("log") / "predictions"
    rows = [make_row(f"s{i}", 1000.0 + i, score=i / 100, label=str(i % 2)) for i in range(60)]
    rows += [
        make_row(
            f"c{i}", 1000.5 + i, arm="candidate", release=2, latency_ms=80.0 if i < 3 else 2.0, score=0.9, label="1"
        )
        for i in range(10)
    ]
    failed = {"status": 500, "score": None, "label": None, "error": "ValueError"}
    rows += [make_row(f"e{i}", 1020.0 + i, arm="candidate", release=2, **failed) for i in range(4)]
    rows += [make_row(f"m{i}", 1030.0, arm="candidate", release=2, row=i, request="batch") for i in range(3)]
    rows += [make_row("pinned", 1031.0, arm="pinned", release=2), make_row("other", 1032.0, model="churn")]
    rows += [make_row("next", 1033.0, step=1), make_row("resalted", 1034.0, salt="salt-2")]
    with PredictionLog(path) as writer:
        writer.write(rows)
        writer.feedback([(f"s{i}", "1", 5000.0, "fraud") for i in range(0, 60, 2)])
        writer.feedback([("s0", "0", 6000.0, "fraud"), ("c1", "1", 5000.0, "fraud")])
    return path


def test_a_window_is_half_open_ordered_and_of_one_model(log: Path) -> None:
    """Since is inside, until is not, rows come by time, other models stay out."""
    table = read_window(log, "fraud", at(1010), at(1020))
    times = table.column("time").to_pylist()
    assert times == sorted(times)
    assert (times[0], max(times)) == (1010.0, 1019.0)
    assert len(read_window(log, "churn")) == 1
    assert len(read_window(log, "unknown")) == 0
    assert count(log, "fraud", at(1010), at(1020)) == len(table)


def test_truth_is_joined_and_the_last_one_wins(log: Path) -> None:
    """Rows without feedback have a null truth; a corrected label replaces the first, with its time."""
    table = read_window(log, "fraud", columns=("id", "truth", "truth_time"))
    truths = {row["id"]: (row["truth"], row["truth_time"]) for row in table.to_pylist()}
    assert truths["s0"] == ("0", 6000.0)
    assert truths["s2"] == ("1", 5000.0)
    assert truths["s1"] == (None, None)
    assert len(read_window(log, "fraud", labelled=True)) == 31


@pytest.mark.parametrize(
    ("selection", "rows"),
    [({"arms": ("candidate",)}, 17), ({"releases": (2,)}, 18), ({"succeeded": True}, 76), ({"arms": ("pinned",)}, 1)],
)
def test_a_window_can_be_narrowed(log: Path, selection: dict[str, object], rows: int) -> None:
    """Arms, releases and success select rows."""
    assert len(read_window(log, "fraud", **selection)) == rows  # type: ignore[arg-type]


def test_types_of_an_empty_window_are_those_of_a_full_one(log: Path, tmp_path: Path) -> None:
    """A log that is not there is an empty window of the same schema."""
    missing = tmp_path / "none"
    assert read_window(missing, "fraud").schema == read_window(log, "fraud").schema
    assert (count(missing), find(missing, "x")) == (0, None)
    assert arm_rows(missing, "fraud", "salt", objective_ms=50) == {}
    assert not missing.exists()


def test_arms_are_counted_by_step_under_one_salt(log: Path) -> None:
    """Requests, errors and slow answers count requests; a batch is one; pinned and re-salted rows stay out."""
    arms = arm_rows(log, "fraud", "salt", objective_ms=50.0)
    assert set(arms) == {(0, "stable"), (0, "candidate"), (1, "stable")}
    candidate, stable = arms[0, "candidate"], arms[0, "stable"]
    assert (candidate.release, candidate.requests, candidate.errors, candidate.slow) == (2, 15, 4, 3)
    assert len(candidate.scores) == 13
    assert (candidate.labels, candidate.truths) == (("1",), ("1",))
    assert (stable.requests, stable.errors, stable.slow) == (60, 0, 0)
    np.testing.assert_allclose(np.sort(stable.scores), np.arange(60) / 100)
    assert len(stable.labelled_scores) == len(stable.labels) == len(stable.truths) == 30
    assert arm_rows(log, "fraud", "salt", objective_ms=50.0, since=at(1033))[0, "stable"].requests == 27


def test_features_become_typed_columns(tmp_path: Path) -> None:
    """Each feature gets the Arrow type of its kind; what is missing or does not fit is null."""
    features = (
        Feature(name="amount", type="number"),
        Feature(name="items", type="integer"),
        Feature(name="country", type="category"),
        Feature(name="abroad", type="boolean"),
        Feature(name="opened", type="datetime"),
    )
    objects = (
        '{"amount":1.5,"items":3,"country":"DE","abroad":true,"opened":"2026-01-02T00:00:00Z"}',
        '{"amount":null,"items":2.0,"country":null,"abroad":null,"opened":1767312000.5}',
        '{"amount":"many","items":2.5,"country":7,"abroad":1,"opened":"yesterday"}',
        "{}",
    )
    with PredictionLog(tmp_path / "predictions") as writer:
        writer.write([make_row(str(i), float(i), features=text) for i, text in enumerate(objects)])
    table = feature_columns(read_window(tmp_path / "predictions", "fraud"), features)
    assert table.schema.field("opened").type == pa.timestamp("us", "UTC")
    assert table.column("amount").to_pylist() == [1.5, None, None, None]
    assert table.column("items").to_pylist() == [3, 2, None, None]
    assert table.column("country").to_pylist() == ["DE", None, None, None]
    assert table.column("abroad").to_pylist() == [True, None, None, None]
    opened = table.column("opened").to_pylist()
    assert [value and value.timestamp() for value in opened] == [1767312000.0, 1767312000.5, None, None]


@pytest.mark.parametrize(
    ("kind", "sent", "expected"),
    [
        ("integer", "1e30", None),
        ("integer", "9223372036854775808", None),
        ("number", "1152921504606846977", float(2**60)),
        ("datetime", "1e30", None),
    ],
)
def test_a_number_beyond_its_type_does_not_stop_the_reader(
    tmp_path: Path, kind: str, sent: str, expected: object
) -> None:
    """One absurd value in one request is a null or the nearest number; the window around it is still read."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as writer:
        writer.write([make_row("a", 1.0, features=f'{{"x":{sent}}}')])
    found = feature_columns(read_window(path, "fraud"), [Feature(name="x", type=kind)])
    assert found.column("x").to_pylist() == [expected]
