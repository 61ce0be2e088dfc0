"""Arms, versions, routing tables that change under load, failing candidates, feedback and metrics."""

from __future__ import annotations

import http.client
import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from modelops.files import identity
from modelops.predictions import arm_rows, count, find, read_window
from modelops.serving import assign
from modelops.stores import Store
from serving.served_models import Running, pack_model, route, running, tensor, write_table
from waiting import PATIENCE, wait_for

INFER = "/v2/models/fraud/infer"
MATRIX = tensor("features", "FP64", [0.5, 0.25], [1, 2])


def for_entity(entity: str) -> dict[str, Any]:
    return {"inputs": [MATRIX], "parameters": {"entity_id": entity}}


def both(digests: dict[str, str], weight: float, **settings: Any) -> dict[str, Any]:
    stable = ("stable", 1, digests["fraud-1"], 1 - weight)
    candidate = ("candidate", 2, digests["fraud-2"], weight)
    return route(stable, candidate, **({"log": "acknowledged"} | settings))


def test_entities_stick_to_the_arm_of_their_hash(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """The arm of an answer is the one of the assignment, each time, and the log records arm, step and salt."""
    with running(tmp_path, store, {"fraud": both(digests, 0.3, step=2)}) as server:
        for entity in [f"c{i}" for i in range(40)] * 2:
            answer = server.ask(INFER, for_entity(entity)).json
            expected = assign("salt-1", [("stable", 0.7), ("candidate", 0.3)], entity)
            assert answer["parameters"]["arm"] == expected
            assert answer["model_version"] == ("2" if expected == "candidate" else "1")
        arms = arm_rows(server.log, "fraud", "salt-1", objective_ms=1e9)
    weights = [("stable", 0.7), ("candidate", 0.3)]
    expected_share = sum(assign("salt-1", weights, f"c{i}") == "candidate" for i in range(40)) * 2
    assert {key: arm.requests for key, arm in arms.items()} == {
        (2, "candidate"): expected_share, (2, "stable"): 80 - expected_share,
    }  # fmt: skip


def test_the_entity_comes_from_parameter_feature_or_request(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """entity_id wins, then the parameter and the feature that the route names, then the request id, then a new id."""
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="acknowledged", entity="y")}
    models["price"] = route(("stable", 1, digests["price"], 1.0), log="acknowledged", entity="customer")
    columns = [tensor("x", "FP64", [0.5]), tensor("y", "FP64", [7.0])]
    cases: list[tuple[str, dict[str, Any], str | None]] = [
        ("fraud", {"inputs": columns, "parameters": {"entity_id": "a", "y": "b"}}, "a"),
        ("fraud", {"inputs": columns, "parameters": {"y": 12}}, "12"),
        ("fraud", {"inputs": columns, "id": "call"}, "7"),
        ("fraud", {"inputs": [MATRIX], "id": "call"}, "0.25"),
        ("price", {"inputs": columns, "id": "call"}, "call"),
        ("price", {"inputs": columns}, None),
    ]
    with running(tmp_path, store, models) as server:
        for model, body, entity in cases:
            id = server.ask(f"/v2/models/{model}/infer", body).json["parameters"]["prediction_id"]
            logged = find(server.log, id)
            assert logged is not None
            assert logged.row.entity == (id if entity is None else entity)


def test_a_version_pins_the_arm_and_stays_out_of_the_comparison(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """/versions/N answers from release N whatever the assignment says, and is logged as pinned."""
    with running(tmp_path, store, {"fraud": both(digests, 0.0)}) as server:
        assert server.ask("/v2/models/fraud").json["versions"] == ["1", "2"]
        answer = server.ask("/v2/models/fraud/versions/2/infer", for_entity("c")).json
        assert (answer["model_version"], answer["parameters"]["release"]) == ("2", 2)
        assert arm_rows(server.log, "fraud", "salt-1", objective_ms=50) == {}
        assert read_window(server.log, "fraud", arms=("pinned",)).num_rows == 1


def test_a_candidate_that_raises_is_a_logged_500_and_stable_goes_on(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """An estimator that fails on what its signature allows answers 500 without a traceback, logged with its error."""
    rows: dict[str, list[float]] = {"x": [0.1, 0.4, 0.6, 0.9] * 5, "y": [1.0, 2.0] * 10}
    signature = {
        "model": "fraud",
        "task": "binary-classification",
        "features": [("x", "number", True), ("y", "number", False)],
        "classes": (0, 1),
        "positive": 1,
    }
    fragile = pack_model(store, LogisticRegression(), rows, [0, 0, 1, 1] * 5, signature, onnx=False)
    models = {"fraud": route(("candidate", 3, fragile, 1.0), log="acknowledged")}
    body = {"inputs": [tensor("x", "FP64", [None]), tensor("y", "FP64", [1.0])]}
    with running(tmp_path, store, models) as server:
        reply = server.ask(INFER, body)
        assert reply.status == 500
        assert reply.json["error"].startswith("release 3 of fraud failed on this input: ValueError: Input X contains")
        assert "File" not in reply.json["error"]
        arm = arm_rows(server.log, "fraud", "salt-1", objective_ms=1e9)[0, "candidate"]
        assert (arm.requests, arm.errors, len(arm.scores)) == (1, 1, 0)
        logged = read_window(server.log, "fraud").to_pylist()[0]
        assert (logged["status"], logged["score"], logged["label"]) == (500, None, None)
        assert logged["error"].startswith("ValueError: Input X contains NaN")
        assert json.loads(logged["features"]) == {"x": None, "y": 1.0}
        body["inputs"][0]["data"] = [0.5]
        assert server.ask(INFER, body).status == 200
        metrics = server.ask("/metrics").body.decode()
        assert 'modelops_errors_total{arm="candidate",model="fraud",release="3"} 1.0' in metrics
        assert 'modelops_requests_total{arm="candidate",model="fraud",release="3"} 2.0' in metrics


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_number_that_no_row_could_hold_is_its_callers(tmp_path: Path, store: Store) -> None:
    """A prediction that overflows is the release's failure only for numbers like those that it was made for."""
    rows = {"x": [float(number) for number in range(20)]}
    signature = {"model": "fraud", "task": "regression", "features": [("x", "number", False)], "classes": ()}
    steep = pack_model(store, LinearRegression(), rows, [9.0 * x for x in rows["x"]], signature, onnx=False)
    with running(tmp_path, store, {"fraud": route(("stable", 1, steep, 1.0))}) as server:
        refused = server.ask(INFER, {"inputs": [tensor("x", "FP64", [1e308])]})
        assert (refused.status, "input 'x' holds a number far beyond" in refused.json["error"]) == (400, True)
        metrics = server.ask("/metrics").body.decode()
    assert 'modelops_errors_total{arm="stable",model="fraud",release="1"} 0.0' in metrics
    assert 'modelops_refused_total{model="fraud",status="400"} 1.0' in metrics


def test_a_category_that_the_model_refuses_is_its_callers(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """An encoder that knows no other category refuses the request: 400, no row, and no error of the release."""
    models = {"payments/churn": route(("stable", 3, digests["churn"], 1.0), log="acknowledged")}
    body = {
        "inputs": [
            tensor("amount", "FP64", [1.0]), tensor("items", "INT64", [1]), tensor("country", "BYTES", ["XX"]),
            tensor("abroad", "BOOL", [False]), tensor("opened", "BYTES", ["2026-01-05"]),
        ]
    }  # fmt: skip
    with running(tmp_path, store, models) as server:
        refused = server.ask("/v2/models/payments%2Fchurn/infer", body)
        assert refused.status == 400
        assert "input 'country': 'XX' is none of the categories that the model knows" in refused.json["error"]
        assert arm_rows(server.log, "payments/churn", "salt-1", objective_ms=1e9) == {}
        metrics = server.ask("/metrics").body.decode()
        assert 'modelops_errors_total{arm="stable",model="payments/churn",release="3"} 0.0' in metrics
        body["inputs"][2]["data"] = ["DE"]
        assert server.ask("/v2/models/payments%2Fchurn/infer", body).status == 200


def hammer(server: Running, stop: threading.Event, seen: list[Any]) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
    body = json.dumps({"inputs": [MATRIX]})
    while not stop.is_set():
        connection.request("POST", INFER, body)
        answer = connection.getresponse()
        data = json.loads(answer.read())
        seen.append((answer.status, data.get("model_version")))
    connection.close()


def test_no_request_is_lost_while_tables_are_swapped(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Under load on keep-alive connections four swaps drop nothing, and each takes effect."""
    tables = [{"fraud": route(("stable", n, digests[f"fraud-{n}"], 1.0), log="acknowledged")} for n in (1, 2)]
    stop, seen = threading.Event(), [[] for _ in range(4)]
    with running(tmp_path, store, tables[0]) as server:
        threads = [threading.Thread(target=hammer, args=(server, stop, each)) for each in seen]
        for thread in threads:
            thread.start()
        for turn in (1, 0, 1, 0):
            server.take_up(tables[turn])
            begun = [len(each) for each in seen]
            wait_for(lambda: all(len(each) > before + 1 for each, before in zip(seen, begun, strict=True)))  # noqa: B023
        stop.set()
        for thread in threads:
            thread.join()
        answers = [answer for each in seen for answer in each]
        assert {status for status, _ in answers} == {200}
        assert {version for _, version in answers} == {"1", "2"}
        assert count(server.log) == len(answers)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "not valid"),
        ('{"environment": "production", "models": {"fraud": {"arms": [], "salt": "s"}}}', "arms"),
        ('{"environment": "production", "models": {}, "more": 1}', "more"),
    ],
)
def test_a_broken_table_leaves_the_old_one_in_effect(
    tmp_path: Path, store: Store, digests: dict[str, str], content: str, words: str
) -> None:
    """A table that cannot be parsed is reported in the status and the metrics, and a repaired one heals."""
    table = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="off")}
    with running(tmp_path, store, table) as server:
        before = server.status()["table"]
        server.table.write_text(content, encoding="utf-8")
        status = server.await_status(lambda status: status["error"])
        assert words in status["error"]
        assert status["table"] == before
        assert server.ask(INFER, {"inputs": [MATRIX]}).status == 200
        assert "modelops_routing_table_error 1.0" in server.ask("/metrics").body.decode()
        write_table(server.table, table)
        wait_for(lambda: "modelops_routing_table_error 0.0" in server.ask("/metrics").body.decode())
        assert server.status()["error"] is None


def test_an_arm_that_cannot_be_loaded_is_named_and_nothing_changes(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """An artifact that is missing, or of another model, is refused; the arm shows its error, the old table answers."""
    with running(tmp_path, store, {"fraud": route(("stable", 1, digests["fraud-1"], 1.0))}) as server:
        for digest, words in (("sha256:" + "0" * 64, "0000"), (digests["price"], "'price'")):
            write_table(server.table, {"fraud": route(("stable", 2, digest, 1.0))})
            status = server.await_status(lambda status, words=words: words in (status["error"] or ""))
            arms = {(arm["release"], arm["ready"], arm["error"] is None) for arm in status["arms"]}
            assert arms == {(1, True, True), (2, False, False)}
            assert server.ask(INFER, {"inputs": [MATRIX]}).json["model_version"] == "1"


def test_at_a_cold_start_what_loads_is_served(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Without an old table one bad model does not take the others down; it is 503 and the server is not ready."""
    models = {
        "fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="off"),
        "price": route(("stable", 1, "sha256:" + "1" * 64, 1.0)),
    }
    with running(tmp_path, store, models) as server:
        assert server.ask(INFER, {"inputs": [MATRIX]}).status == 200
        refused = server.ask("/v2/models/price/infer", {"inputs": [MATRIX]})
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert server.ask("/v2/models/price/ready").status == 503
        assert server.ask("/v2/health/ready").status == 503
        assert server.ask("/v2/health/live").status == 200
        server.take_up({"fraud": models["fraud"]})
        assert server.ask("/v2/health/ready").status == 200


def test_before_the_first_table_the_server_lives_but_is_not_ready(tmp_path: Path, store: Store) -> None:
    """Without a table operators get the status, ready is 503 and models are not ready rather than unknown."""
    with running(tmp_path, store, None, admin_port=0) as server:
        assert server.status()["table"] is None
        assert server.status()["runtime"] == identity(tmp_path)
        assert server.ask("/v2/health/ready").status == 503
        assert server.ask(INFER, {"inputs": [MATRIX]}).status == 503


def test_feedback_by_prediction_id(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Labels are joined to their predictions; the last wins; unknown ids and impossible labels are said so."""
    now = datetime(2026, 4, 1, tzinfo=UTC)
    models = {
        "fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="buffered"),
        "price": route(("stable", 1, digests["price"], 1.0), log="buffered"),
    }
    path = "/v2/models/fraud/feedback"
    with running(tmp_path, store, models, lambda: now) as server:
        ids = [server.ask(INFER, {"inputs": [MATRIX]}).json["parameters"]["prediction_id"] for _ in range(3)]
        assert server.ask(path, {"id": ids[0], "label": 0}).json == {"id": ids[0], "accepted": True}
        assert server.ask(path, {"id": ids[0], "label": "1"}).status == 200
        listed = server.ask(
            path, [{"id": ids[1], "label": True}, {"id": "nobody", "label": 1}, {"id": ids[2], "label": "maybe"}]
        ).json
        assert listed["accepted"] == 1
        assert [item["accepted"] for item in listed["items"]] == [True, False, False]
        assert "no prediction 'nobody'" in listed["items"][1]["error"]
        assert "not one of 0, 1" in listed["items"][2]["error"]
        for body, status in (
            ({"id": "nobody", "label": 1}, 404),
            ({"id": ids[0], "label": 2}, 400),
            ({"id": ids[0]}, 400),
            ({"id": ids[0], "label": None}, 400),
            ({"id": ids[0], "label": 1, "more": 1}, 400),
            (b"garbage", 400),
        ):
            assert server.ask(path, body).status == status
        assert server.ask("/v2/models/price/feedback", {"id": ids[0], "label": 1.5}).status == 404
        assert server.ask("/v2/models/price/feedback", {"id": ids[0], "label": "cheap"}).status == 400
        found = find(server.log, ids[0])
        metrics = server.ask("/metrics").body.decode()
    assert found is not None
    assert (found.truth, found.truth_time) == ("1", now.timestamp())
    assert found.row.time == now.timestamp()
    assert 'modelops_feedback_total{model="fraud",outcome="accepted"} 3.0' in metrics
    assert 'modelops_feedback_total{model="fraud",outcome="unknown"} 2.0' in metrics


def test_metrics_start_at_zero_and_count_refusals(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Every series of a loaded arm is there before the first request; refusals are counted by status."""
    with running(tmp_path, store, {"fraud": both(digests, 0.5)}) as server:
        text = server.ask("/metrics")
        assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
        for series in (
            'modelops_requests_total{arm="candidate",model="fraud",release="2"} 0.0',
            'modelops_errors_total{arm="stable",model="fraud",release="1"} 0.0',
            'modelops_request_seconds_count{arm="stable",model="fraud",release="1"} 0.0',
            'modelops_feedback_total{model="fraud",outcome="accepted"} 0.0',
            "modelops_log_dropped_total 0.0",
            "modelops_log_commit_seconds_total 0.0",
        ):
            assert series in text.body.decode()
        server.ask(INFER, b"garbage")
        server.ask("/nothing")
        text = server.ask("/metrics")
        assert 'modelops_refused_total{model="fraud",status="400"} 1.0' in text.body.decode()
        assert 'modelops_refused_total{model="",status="404"} 1.0' in text.body.decode()


def test_large_requests_run_beside_small_ones(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """A request of many rows is handled in a thread with the same result, and all its rows are logged."""
    rows = [[i / 1000, -i / 2000] for i in range(3000)]
    flat = [value for row in rows for value in row]
    with running(
        tmp_path, store, {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="acknowledged")}
    ) as server:
        large = server.ask(INFER, {"inputs": [tensor("features", "FP64", flat, [3000, 2])]}).json
        small = server.ask(INFER, {"inputs": [tensor("features", "FP64", rows[7], [1, 2])]}).json
        assert large["outputs"][0]["data"][7] == small["outputs"][0]["data"][0]
        assert count(server.log) == 3001
