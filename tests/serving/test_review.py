"""A declared share of the answers is drawn for review, told to the caller, and logged with the chance of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modelops.predictions import examine, find, read_window
from modelops.serving.assignment import drawn
from modelops.stores import Store
from serving.served_models import Running, route, running, tensor

INFER = "/v2/models/fraud/infer"
MANY = 4000


def rows(n: int) -> dict[str, Any]:
    return {"inputs": [tensor("features", "FP64", [0.5, 0.25] * n, [n, 2])]}


def asked(server: Running, path: str, body: Any) -> Any:
    reply = server.ask(path, body)
    assert reply.status == 200, reply.json
    return reply.json


def test_a_share_of_the_answers_is_drawn_and_logged(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Whoever asks learns which rows, in tensors and in records; the log has the chance of each and who was drawn."""
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="acknowledged", review=0.2)}
    with running(tmp_path, store, models) as server:
        told: dict[str, bool] = {}
        for _ in range(40):
            parameters = asked(server, INFER, rows(1))["parameters"]
            told[parameters["prediction_id"]] = "review" in parameters
        batch = asked(server, INFER, rows(MANY))["parameters"]
        chosen = {int(row) for row in batch["review"].split(",")}
        told |= {f"{batch['prediction_id']}.{row}": row in chosen for row in range(MANY)}
        records = asked(server, "/v2/models/fraud/predict", [{"x": 0.5, "y": 0.25}] * 100)["predictions"]
        told |= {row["id"]: row.get("review", False) for row in records}
        # This form has room for labels alone, so nobody would know what to review.
        assert list(asked(server, "/invocations", [{"x": 0.5, "y": 0.25}] * 50)) == ["predictions"]
        logged = read_window(server.log, "fraud").to_pylist()
    known = {row["id"]: row for row in logged}
    assert {id: bool(known[id]["drawn"]) for id in told} == told
    assert {known[id]["review"] for id in told} == {0.2}
    silent = [row for row in logged if row["id"] not in told]
    assert (len(silent), {(row["review"], row["drawn"]) for row in silent}) == (50, {(0.0, 0)})
    assert abs(np.mean(list(told.values())) - 0.2) < 4 * np.sqrt(0.16 / len(told))
    assert all(drawn("salt-1", 0.2, id) == was for id, was in told.items())
    assert not [flaw for one in examine(server.log, {}) for flaw in one.flaws]


def test_without_a_share_nothing_is_drawn(server: Running) -> None:
    """Then neither answer nor log says a word of it."""
    parameters = asked(server, INFER, rows(1))["parameters"]
    assert "review" not in parameters
    found = find(server.log, parameters["prediction_id"])
    assert found is not None
    assert (found.row.review, found.row.drawn) == (0.0, 0)


def test_what_nothing_logs_is_not_drawn(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """A review of it would be one of a prediction that nobody knows."""
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="off", review=1.0)}
    with running(tmp_path, store, models) as server:
        assert "review" not in asked(server, INFER, rows(3))["parameters"]
