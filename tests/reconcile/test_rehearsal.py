"""A release answers what was logged, before anybody meets it: what that says, and where it can say nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelops.artifacts import Input, Predictor, Signature
from modelops.rollouts.rehearsal import rehearsed
from modelops.rollouts.sample import Drawn
from reconcile.rollout_world import HERE, Live

MODEL, ENVIRONMENT = HERE


def test_a_release_is_rehearsed_on_what_was_logged(live: Live, tmp_path: Path) -> None:
    """It answers in the server's place: what it fails on, what it knows, and the same from an export; else it is said.

    The reviewer of its promotion reads it too, and nothing was served by it.
    """
    world = live("third")
    nothing = world.run("rollout", "rehearse", MODEL, "3", ENVIRONMENT)
    assert (nothing.code, "holds no answer of churn in the last 7 days" in nothing.out) == (1, True)
    world.reconcile()
    world.label(world.ask(150))
    world.ask(30, strange=True)
    good = world.ok("rollout", "rehearse", MODEL, "2", "-o", "json").json
    assert (good["rows"], good["logged"], good["beside"], good["entities"]) == (180, 180, 1, 150)
    assert (good["errors"]["count"], good["environment"], good["sampled"]) == (0, ENVIRONMENT, False)
    assert good["outcomes"]["labelled"] == 150
    assert {one["name"] for one in good["outcomes"]["measures"]} == {"wrong answers", "positives found", "false alarms"}
    bad = world.ok("rollout", "rehearse", MODEL, "3", "-o", "json").json
    assert (bad["errors"]["count"], bad["errors"]["of"], bad["changed"]["of"]) == (30, 180, 150)
    assert 0.1 < bad["errors"]["lower"] < 30 / 180 < bad["errors"]["upper"] < 0.25
    assert sum(one["count"] for one in bad["failures"]) == 30
    assert "XX" not in str(bad)
    few = world.ok("rollout", "rehearse", MODEL, "3", "--rows", "100", "-o", "json").json
    assert (few["rows"], few["logged"], few["sampled"]) == (100, 180, True)
    world.at("2026-03-03T12:00:00Z")
    world.ok("audit", "export", ENVIRONMENT, str(tmp_path / "out"))
    for odd in ("", "model=churn"):
        place = tmp_path / "other" / odd
        place.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [1]}), place / "day=2026-03-02.parquet")
        refused = world.run("rollout", "rehearse", MODEL, "3", "--log", str(tmp_path / "other"))
        assert (refused.code, "no-export" in refused.err) == (2, True)
    again = world.ok("rollout", "rehearse", MODEL, "3", "--log", str(tmp_path / "out"), "-o", "json").json
    assert {name: again[name] for name in ("errors", "changed", "scoreShift")} == {
        name: bad[name] for name in ("errors", "changed", "scoreShift")
    }
    world.ok("promote", MODEL, "--to", ENVIRONMENT, "--release", "3", "--yes")
    body = world.workspace().forge.find()[0].body
    assert "### Rehearsal" in body
    assert "30 of 180" in body
    assert str(world.folder) not in body


def logged(values: list[dict[str, object]], said: str = "01", known: str = "01") -> Drawn:
    """Return a log in which stable answers in turn what is said, with a truth where that is known."""
    n = len(values)
    labels = [said[at % len(said)] for at in range(n)]
    columns = {
        "id": [f"p{at}" for at in range(n)],
        "time": np.arange(n, dtype=float),
        "entity": [f"person-{at // 2}" for at in range(n)],
        "features": [json.dumps(value) for value in values],
        "score": [0.6 if label == "1" else 0.4 for label in labels],
        "label": labels,
        "status": [200] * n,
        "truth": pa.array([label if label in known else None for label in labels], pa.string()),
        "truth_time": pa.array([1.0 if label in known else None for label in labels], pa.float64()),
    }
    return Drawn(3, pa.table(columns), n, 0, 0)


def predictor(*names: str) -> Predictor:
    """Return a model that says 1 to ages above 40, and fails on those above 90."""

    def score(columns):
        ages = columns["age"]
        if (ages > 90).any():
            raise ValueError(f"the age {ages.max()} is beyond me")
        return np.where(ages > 40, 0.9, 0.1)

    inputs = tuple(Input(name=name, type="number", nullable=name != "age") for name in names)
    signature = Signature(
        model="m", task="binary-classification", features=inputs, target="y", positive=1, classes=(0, 1), engine="onnx"
    )
    return Predictor(signature, score)


SPEC = SimpleNamespace(task="binary-classification", data=SimpleNamespace(positive=1))


def test_what_is_not_answered_is_counted_by_its_reason_without_a_value() -> None:
    """Missing values, wrong types and failures of the model are told apart; the rest is answered all the same."""
    rows: list[dict[str, object]] = [{"age": 30 + at % 20, "old": 1} for at in range(400)]
    rows[7], rows[90], rows[91], rows[300] = {"age": None}, {"age": "Ada"}, {"old": 1}, {"age": 91.5}
    found = rehearsed(SPEC, predictor("age"), logged(rows), None)
    assert dict(found.failures) == {
        "age is missing, and has to be there": 1,
        "age is no number": 1,
        "age is not in the log": 1,
        "the model fails on it (ValueError)": 1,
    }
    assert (found.errors.count, found.errors.of, found.changed.of, found.features.unused) == (4, 400, 396, ("old",))
    assert not {"Ada", "91.5", "person-3"} & set(str(found).replace("'", " ").split())
    assert found.shift.n == 396
    wrong = found.known.outcomes[0]
    assert wrong.stable == 0.0
    assert wrong.release == pytest.approx(found.changed.share)
    assert wrong.lower < wrong.release < wrong.upper


def test_a_feature_that_nobody_sends_is_named() -> None:
    """All of it fails until callers send it, and that is what the report says."""
    found = rehearsed(SPEC, predictor("age", "income"), logged([{"age": 30}] * 40), None)
    assert found.features.absent == ("income",)
    assert (found.errors.count, found.changed, found.shift) == (40, None, None)


def test_labels_that_depend_on_the_answer_compare_nothing() -> None:
    """Where truth comes for answers of 1 alone, outcomes are withheld with the reason."""
    found = rehearsed(SPEC, predictor("age"), logged([{"age": 30}, {"age": 50}] * 200, known="1"), None)
    assert (found.known.labelled, found.known.outcomes) == (200, ())
    assert "labels depend on what was answered" in found.known.void
