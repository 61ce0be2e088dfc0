"""What the judge of a rollout reads: arms by step, their entities and shares, and what shadows said beside them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from modelops.predictions import PredictionLog, Row, ShadowRow, arm_rows, count, read_window, shadow_pairs


def make_row(id: str, time: float, **changes: object) -> Row:
    row = Row(id, time, "fraud", 1, "stable", 0, "salt", "c", '{"amount":1.5}', 0.25, "0", 200, 1.5)
    return row._replace(**changes)


def make_shadow(id: str, time: float, **changes: object) -> ShadowRow:
    return ShadowRow(id, time, "fraud", 2, "candidate", 1, "salt", 0.5, "1", 200, 2.5)._replace(**changes)


def test_any_arm_is_counted_with_its_shares_and_entities(tmp_path: Path) -> None:
    """Challengers are arms like the others; labelled rows know their unit and the share under which they answered."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write(
            [
                make_row(f"a{i}", 10.0 - i, arm="challenger-5", release=5, entity=f"e{i % 2}", propensity=0.25)
                for i in range(4)
            ]
        )
        log.write([make_row("b", 20.0, arm="challenger-5", release=5, entity="e0", propensity=0.5)])
        log.feedback([(id, "1", 50.0, "fraud") for id in ("a3", "b", "a0")])
    (found,) = arm_rows(path, "fraud", "salt", objective_ms=50).values()
    assert (found.release, found.requests, found.entities) == (5, 5, 2)
    assert found.propensities.tolist() == [0.25, 0.25, 0.5]
    assert found.units[1] == found.units[2] != found.units[0]
    assert found.units.dtype == np.uint64


def test_a_span_of_time_leaves_out_what_lies_outside(tmp_path: Path) -> None:
    """What was answered before ``since``, or at ``until`` and later, is not counted."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row(f"a{i}.{row}", float(i), row=row, score=i / 8) for i in range(6) for row in range(2)])
        log.write([make_row("c", 1.0, arm="candidate")])
        log.feedback([("a1.0", "1", 9.0, "fraud"), ("a3.0", "1", 9.0, "fraud")])
    window = arm_rows(path, "fraud", "salt", objective_ms=1.0, since=at(2), until=at(4))
    assert set(window) == {(0, "stable")}
    stable = window[0, "stable"]
    assert (stable.requests, stable.slow, len(stable.scores), stable.scores.min()) == (2, 2, 4, 0.25)
    assert stable.truths == ("1",)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_shadows_are_paired_with_what_the_caller_was_told(tmp_path: Path) -> None:
    """Pairs come by step and shadow in the order of time; a copy without its prediction is no pair."""
    path = tmp_path / "predictions"
    failed = {"score": None, "label": None, "status": 500, "error": "ValueError"}
    with PredictionLog(path) as log:
        log.write([make_row("b", 2.0), make_row("a", 1.0, **failed), make_row("c", 3.0, step=1)])
        for shadow in (
            make_shadow("b", 2.0, **failed),
            make_shadow("a", 1.0),
            make_shadow("c", 3.0, step=2, arm="challenger-7", release=7),
            make_shadow("lost", 4.0),
            make_shadow("b", 2.0, salt="other"),
        ):
            log.append_shadow(shadow)
    pairs = shadow_pairs(path, "fraud", "salt")
    assert set(pairs) == {(1, "candidate"), (2, "challenger-7")}
    both = pairs[1, "candidate"]
    assert len(both) == 2
    assert (both.release, both.statuses.tolist(), both.primary_statuses.tolist()) == (2, [200, 500], [500, 200])
    assert (both.labels, both.primary_labels) == (("1", None), (None, "0"))
    assert both.scores[0] == 0.5
    assert math.isnan(both.scores[1])
    assert math.isnan(both.primary_scores[0])
    assert (both.latency_ms[0], both.primary_latency_ms[1]) == (2.5, 1.5)
    assert shadow_pairs(path, "fraud", "salt", until=at(2))[1, "candidate"].statuses.tolist() == [200]


def test_no_reader_of_predictions_sees_a_shadow(tmp_path: Path) -> None:
    """What a shadow said is in no window, no count and no arm."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row("a", 1.0)])
        log.append_shadow(make_shadow("a", 1.0))
    assert (count(path), len(read_window(path, "fraud"))) == (1, 1)
    assert set(arm_rows(path, "fraud", "salt", objective_ms=50)) == {(0, "stable")}


def test_a_pair_that_was_split_over_two_files_is_found(tmp_path: Path) -> None:
    """A new file that begins between a prediction and its shadow separates nothing."""
    path = tmp_path / "predictions"
    with PredictionLog(path, segment_bytes=1) as log:
        log.write([make_row("a", 1.0)])
        log.write([make_row("b", 1.0)])
        log.append_shadow(make_shadow("a", 1.0))
    assert len(list(path.glob("*.sqlite"))) == 3
    assert len(shadow_pairs(path, "fraud", "salt")[1, "candidate"]) == 1


def test_propensity_is_a_share(tmp_path: Path) -> None:
    """It is stored to the last bit, and readers of windows see it."""
    path = tmp_path / "predictions"
    with PredictionLog(path) as log:
        log.write([make_row("a", 1.0, propensity=0.1 + 0.2), make_row("b", 2.0)])
    assert read_window(path, "fraud").column("propensity").to_pylist() == [0.1 + 0.2, 1.0]
    with pytest.raises(KeyError):
        read_window(path, "fraud").column("seq")
