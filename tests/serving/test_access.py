"""API keys and the admin plane, over HTTP: who gets which answer."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from modelops.clock import wall_clock
from modelops.predictions import PredictionLog
from modelops.serving import Service
from modelops.serving.asking.infer import Inference
from modelops.serving.asking.later import Waits
from modelops.serving.asking.question import Question
from modelops.serving.forms import TENSORS
from modelops.serving.http import Answer, Limits, Request
from modelops.serving.metrics import ServerMetrics
from modelops.serving.table import Loader
from modelops.serving.trial import TrialLimits
from modelops.stores import Store
from serving.served_models import Running, route, running, tensor, write_table

KEYS = {name: f"key-of-{name}-with-many-letters" for name in ("app", "labeller", "operator", "team", "slow", "copier")}
ADMIN = ("/metrics", "/modelops/status")


def key(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hashlib.sha256(KEYS[name].encode()).hexdigest(), **more}


ACCESS = [
    key("app", scopes=["infer"], models=["fraud"]),
    key("labeller", scopes=["feedback"]),
    key("operator", scopes=["admin"]),
    key("team", scopes=["admin"], models=["risk"]),
    key("slow", rate={"requestsPerSecond": 0.001, "burst": 2}),
    key("copier", budget={"rows": 3, "hours": 1.0}),
]


def sent(name: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {KEYS[name]}"}


@pytest.fixture
def guarded(tmp_path: Path, store: Store, digests: dict[str, str]) -> Iterator[tuple[Running, str]]:
    """Return a server that asks for keys, and the address of its admin plane."""
    table = tmp_path / "routes.json"
    artifacts = {"fraud": "fraud-1", "risk": "risk"}
    models = {name: route(("stable", 1, digests[a], 1.0), log="acknowledged") for name, a in artifacts.items()}
    write_table(table, models, keys=ACCESS)
    service = Service(table, store, tmp_path / "predictions", host="127.0.0.1", port=0, clock=wall_clock, admin_port=0)
    thread = threading.Thread(target=service.run)
    thread.start()
    admin = f"http://127.0.0.1:{service.admin_port}"
    try:
        Running(tmp_path, admin).await_status(lambda status: status["table"] is not None)
        yield Running(tmp_path, f"http://127.0.0.1:{service.port}"), admin
    finally:
        service.stop()
        thread.join()


def infer(rows: int = 1) -> dict[str, Any]:
    return {"inputs": [tensor("x", "FP64", [0.5] * rows), tensor("y", "FP64", [0.5] * rows)]}


def test_nothing_without_a_key(guarded: tuple[Running, str]) -> None:
    """Every endpoint but health and the server's own description asks for a key, as does a path that is not there."""
    server, _ = guarded
    for path in ("/v2", "/v2/health/live", "/v2/health/ready"):
        assert server.ask(path).status == 200
    for path in ("/v2/models/fraud", "/v2/models/fraud/ready", "/v2/models/none", "/nothing", *ADMIN):
        refused = server.ask(path)
        assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
        assert "fraud" not in refused.json["error"]
    assert server.ask("/v2/models/fraud/infer", infer()).status == 401
    assert server.ask("/v2/models/fraud/feedback", {"id": "1", "label": 1}).status == 401


def test_a_key_does_what_its_scopes_and_models_say(guarded: tuple[Running, str]) -> None:
    """One key predicts with one model, another one labels, a third one reads the status."""
    server, _ = guarded
    answered = server.ask("/v2/models/fraud/infer", infer(), headers=sent("app"))
    assert answered.status == 200
    assert server.ask("/v2/models/risk/infer", infer(), headers=sent("app")).status == 404
    assert server.ask("/v2/models/risk", headers=sent("app")).status == 404
    label = {"id": answered.json["parameters"]["prediction_id"], "label": 1}
    assert server.ask("/v2/models/fraud/feedback", label, headers=sent("app")).status == 403
    assert server.ask("/v2/models/fraud/feedback", label, headers=sent("labeller")).status == 200
    for path in ADMIN:
        assert server.ask(path, headers=sent("operator")).status == 200
        assert server.ask(path, headers=sent("app")).status == 403


def test_a_key_sees_its_own_models_in_the_index(guarded: tuple[Running, str]) -> None:
    """Whoever may use a model may find it; other models stay unknown."""
    server, _ = guarded
    path = "/v2/repository/index"
    assert server.ask(path, {}).status == 401
    assert [each["name"] for each in server.ask(path, {}, headers=sent("app")).json] == ["fraud"]
    assert {each["name"] for each in server.ask(path, {}, headers=sent("labeller")).json} == {"fraud", "risk"}


def test_a_key_learns_nothing_of_what_is_not_its_own(guarded: tuple[Running, str]) -> None:
    """A model of others answers as one that is not there; status, metrics and statistics are of one's own models."""
    server, admin = guarded
    assert server.ask("/v2/models/fraud/infer", infer(), headers=sent("app")).status == 200
    for path in ("/v2/models/risk", "/v2/models/risk/ready", "/v2/models/risk/versions/9", "/v2/models/risk/infer"):
        body = infer() if path.endswith("infer") else None
        foreign = server.ask(path, body, headers=sent("app"))
        missing = server.ask(path.replace("risk", "none"), body, headers=sent("app"))
        assert (foreign.status, missing.status) == (404, 404)
        assert foreign.json["error"].replace("risk", "none") == missing.json["error"]
    for path in ("/docs", "/openapi.json", "/v2/repository/index"):
        told = server.ask(path, {} if path.endswith("index") else None, headers=sent("app")).body.decode()
        assert "risk" not in told
    status = server.ask("/modelops/status", headers=sent("team")).json
    assert {arm["model"] for arm in status["arms"]} == {"risk"}
    assert "runtime" not in status
    metrics = server.ask("/metrics", headers=sent("team")).body.decode()
    assert 'model="risk"' in metrics
    assert not [word for word in ("fraud", "modelops_log_", 'key="app"') if word in metrics]
    counted = server.ask("/v2/models/stats", headers=sent("team")).json["model_stats"]
    assert [each["name"] for each in counted] == ["risk"]
    assert server.ask("/v2/models/fraud/stats", headers=sent("team")).status == 404
    everything = Running(server.folder, admin).ask("/metrics").body.decode()
    assert [word for word in ('model="fraud"', "modelops_log_written_total") if word not in everything] == []


def test_the_admin_plane_answers_to_names_of_the_machine_only(guarded: tuple[Running, str]) -> None:
    """A page whose own name leads to 127.0.0.1 reads nothing there."""
    server, admin = guarded
    plane = Running(server.folder, admin)
    for host, status in (("localhost", 200), ("127.0.0.1:9", 200), ("[::1]:9", 200), ("evil.example", 421), ("", 421)):
        assert plane.ask("/modelops/status", headers={"Host": host}).status == status, host


def test_where_keys_are_asked_for_any_name_is_answered(guarded: tuple[Running, str]) -> None:
    """A proxy may hand on the Host that its callers said."""
    server, _ = guarded
    assert server.ask("/v2", headers={"host": "models.example"}).status == 200
    assert server.ask("/v2/models/fraud", headers=sent("app") | {"host": "models.example"}).status == 200


def test_rates_and_budgets_say_when_to_come_back(
    guarded: tuple[Running, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """A key over its rate, or over its budget of rows, gets 429 with Retry-After; the budget's end raises an alert."""
    server, admin = guarded
    path = "/v2/models/fraud/infer"
    statuses = [server.ask(path, infer(), headers=sent("slow")) for _ in range(3)]
    assert [reply.status for reply in statuses] == [200, 200, 429]
    assert 900 < int(statuses[2].headers["retry-after"]) <= 1000
    assert server.ask(path, infer(4), headers=sent("copier")).status == 200
    over = server.ask(path, infer(), headers=sent("copier"))
    assert (over.status, 3500 < int(over.headers["retry-after"]) <= 3600) == (429, True)
    assert "possible model extraction: the key copier has predicted 4 rows" in capfd.readouterr().err
    metrics = Running(server.folder, admin).ask("/metrics").body.decode()
    assert 'modelops_key_extraction_alerts_total{key="copier"} 1.0' in metrics
    assert 'modelops_key_limited_total{key="slow"} 1.0' in metrics
    for secret in KEYS.values():
        assert secret not in metrics


def test_the_admin_plane_answers_for_the_machine_alone(guarded: tuple[Running, str]) -> None:
    """Metrics, status and health need no key there; predictions are not to be had."""
    server, admin = guarded
    plane = Running(server.folder, admin)
    for path in (*ADMIN, "/v2/health/ready"):
        assert plane.ask(path).status == 200
    assert plane.ask("/v2/models/fraud/infer", infer()).status == 404
    assert plane.ask("/v2/models/fraud").status == 404


def test_a_key_is_withdrawn_with_the_next_table(guarded: tuple[Running, str]) -> None:
    """Taking a key out of the policy ends what it may do, without a restart."""
    server, admin = guarded
    models = json.loads(server.table.read_text())["models"]
    write_table(server.table, models, keys=ACCESS[1:])
    wanted = "sha256:" + hashlib.sha256(server.table.read_bytes()).hexdigest()
    Running(server.folder, admin).await_status(lambda status: status["table"] == wanted)
    assert server.ask("/v2/models/fraud/infer", infer(), headers=sent("app")).status == 401
    assert server.ask("/v2/models/fraud/infer", infer(), headers=sent("copier")).status == 200


def test_a_key_is_withdrawn_with_a_table_that_cannot_be_loaded(guarded: tuple[Running, str]) -> None:
    """A release that cannot be loaded keeps no withdrawn key alive; what is wrong with it is told to operators only."""
    server, admin = guarded
    models = json.loads(server.table.read_text())["models"]
    models["fraud"]["arms"][0]["digest"] = "sha256:" + "0" * 64
    write_table(server.table, models, keys=ACCESS[1:])
    Running(server.folder, admin).await_status(lambda status: status["error"])
    assert server.ask("/v2/models/fraud/infer", infer(), headers=sent("app")).status == 401
    assert server.ask("/v2/models/fraud/infer", infer(), headers=sent("copier")).status == 200


def test_health_tells_no_path(tmp_path: Path, store: Store) -> None:
    """What keeps a server from being ready is told without the names of its files, which the status has."""
    with running(tmp_path, store, None, admin_port=0) as server:
        server.table.write_text("{")
        status = server.await_status(lambda status: status["error"])
        refused = server.ask("/v2/health/ready")
    assert "not valid" in status["error"]
    assert (refused.status, refused.json["error"]) == (503, "the newest routing table cannot be loaded")


@pytest.mark.parametrize("content", [None, "{"])
def test_nobody_is_told_anything_before_the_first_table(tmp_path: Path, store: Store, content: str | None) -> None:
    """Without a table that can be read nobody knows who may ask: all but health is 503, except to operators."""
    with running(tmp_path, store, None, admin_port=0, grpc_port=0) as server:
        if content is not None:
            server.table.write_text(content)
            server.await_status(lambda status: status["error"])
        for path in (*ADMIN, "/v2", "/v2/models/stats", "/openapi.json", "/docs", "/v2/models/fraud", "/nothing"):
            assert (path, server.ask(path).status) == (path, 503)
        assert server.ask("/v2/repository/index", {}).status == 503
        assert server.ask("/v2/health/live").status == 200
        assert server.ask("/v2/health/ready").status == 503
        assert Running(tmp_path, server.admin).ask("/metrics").status == 200
        with InferenceServerClient(server.grpc) as client:
            assert client.is_server_live()
            for call in (client.get_model_repository_index, client.get_inference_statistics):
                with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
                    call()


def test_a_budget_is_given_back_whatever_fails(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Rows that nobody got cost nothing and hold no room in the log, also where the server itself failed on them."""
    write_table(tmp_path / "routes.json", {"fraud": route(("stable", 1, digests["fraud-1"], 1.0))}, keys=ACCESS)

    def broken(*_: Any) -> Answer:
        raise UserWarning("a defect of the server")

    with PredictionLog(tmp_path / "predictions") as log:
        loader = Loader(store, ServerMetrics(log), TrialLimits())
        table, _ = loader.load((tmp_path / "routes.json").read_bytes())
        assert table.guard is not None
        caller, model = table.guard.identify({b"x-api-key": KEYS["copier"].encode()}), table.models["fraud"]
        model.arms[0].seconds = 0.0
        request = Request(b"POST", b"", {}, json.dumps(infer()).encode())
        question = Question(request, None, TENSORS._replace(write=broken), lambda *_: Answer(500, b""))
        inference = Inference(log, wall_clock, Waits(Limits()), lambda _: None)
        with pytest.raises(UserWarning):
            inference.answer(model, None, question, caller)
        assert (caller.predicted, log.depth, log.has_room(log.capacity)) == (0, 0, True)
