"""The Open Inference Protocol, clause by clause: each row of the reference page is a function here, for REST."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.served_models import Reply, Running, tensor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "protocol.md"
MODEL = "/v2/models/fraud"
INFER = f"{MODEL}/infer"
XY = [tensor("x", "FP64", [0.5, -1.0]), tensor("y", "FP64", [0.25, 0.125])]

CLAUSES: dict[str, Callable[[Running], None]] = {}


def clause(check: Callable[[Running], None]) -> Callable[[Running], None]:
    CLAUSES[check.__name__.removeprefix("_").replace("_", "-")] = check
    return check


def infer(server: Running, **changes: Any) -> Any:
    reply = server.ask(INFER, {"inputs": XY} | changes)
    assert reply.status == 200, reply.json
    return reply.json


def named(answer: Any) -> dict[str, Any]:
    return {each["name"]: each for each in answer["outputs"]}


def assert_refused(reply: Reply, status: int, words: str) -> None:
    assert reply.status == status
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["error"]
    assert words in reply.json["error"]


@clause
def _live(server: Running) -> None:
    assert (server.ask("/v2/health/live").status, server.ask("/v2/health/live").json) == (200, {"live": True})


@clause
def _ready(server: Running) -> None:
    assert server.ask("/v2/health/ready").json["ready"] is True


@clause
def _model_ready(server: Running) -> None:
    for path in (f"{MODEL}/ready", f"{MODEL}/versions/1/ready"):
        assert server.ask(path).json == {"name": "fraud", "ready": True}


@clause
def _server_metadata(server: Running) -> None:
    told = server.ask("/v2").json
    assert set(told) == {"name", "version", "extensions"}
    assert "model_repository" not in told["extensions"]


@clause
def _model_metadata(server: Running) -> None:
    told = server.ask(MODEL).json
    assert (told["name"], told["versions"], told["platform"]) == ("fraud", ["1"], "onnx_onnxv1")
    assert told["inputs"] == [{"name": name, "datatype": "FP64", "shape": [-1]} for name in ("x", "y")]
    assert [(each["name"], each["shape"]) for each in told["outputs"]] == [("probability", [-1]), ("label", [-1])]
    assert server.ask(f"{MODEL}/versions/1").json == told


@clause
def _infer(server: Running) -> None:
    answer = infer(server)
    assert set(answer) == {"model_name", "model_version", "parameters", "outputs"}
    assert (answer["model_name"], answer["model_version"]) == ("fraud", "1")
    for output in answer["outputs"]:
        assert set(output) == {"name", "shape", "datatype", "data"}
        assert output["shape"] == [len(output["data"])] == [2]


@clause
def _infer_version(server: Running) -> None:
    pinned = server.ask(f"{MODEL}/versions/1/infer", {"inputs": XY}).json
    assert pinned["outputs"] == infer(server)["outputs"]
    assert_refused(server.ask(f"{MODEL}/versions/8/infer", {"inputs": XY}), 404, "no version '8'")


@clause
def _request_id(server: Running) -> None:
    assert infer(server, id="one")["id"] == "one"
    assert "id" not in infer(server)


@clause
def _inputs(server: Running) -> None:
    matrix = [tensor("features", "FP64", [0.5, 0.25, -1.0, 0.125], [2, 2])]
    assert infer(server, inputs=matrix)["outputs"] == infer(server)["outputs"]
    assert_refused(server.ask(INFER, {"inputs": XY[:1]}), 400, "the model takes x FP64, y FP64, each of shape [n]")
    gap = [{**XY[0], "data": [None, 1.0]}, XY[1]]
    assert_refused(server.ask(INFER, {"inputs": gap}), 400, "no value of it was missing in training")
    for lacking in ("name", "shape", "datatype"):
        broken = {key: value for key, value in XY[0].items() if key != lacking}
        assert_refused(server.ask(INFER, {"inputs": [broken, XY[1]]}), 400, lacking)


@clause
def _row_major(server: Running) -> None:
    flat = infer(server, inputs=[tensor("features", "FP64", [0.5, 0.25, -1.0, 0.125], [2, 2])])["outputs"]
    assert infer(server, inputs=[tensor("features", "FP64", [[0.5, 0.25], [-1.0, 0.125]], [2, 2])])["outputs"] == flat
    ragged = [tensor("features", "FP64", [[0.5, 0.25, -1.0], [0.125]], [2, 2])]
    assert_refused(server.ask(INFER, {"inputs": ragged}), 400, "ragged")


@clause
def _datatypes(server: Running) -> None:
    whole = [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
    for datatype in (*whole, "FP16", "FP32", "FP64"):
        answer = infer(server, inputs=[tensor("x", datatype, [1, 0]), tensor("y", datatype, [0, 1])])
        assert len(named(answer)["probability"]["data"]) == 2
    assert_refused(server.ask(INFER, {"inputs": [tensor("x", "FLOAT", [1]), XY[1]]}), 400, "not a datatype")
    assert_refused(server.ask(INFER, {"inputs": [tensor("x", "INT8", [1, 300]), XY[1]]}), 400, "out of range")
    assert_refused(server.ask(INFER, {"inputs": [tensor("x", "FP64", ["1", 2]), XY[1]]}), 400, "not a value of FP64")


@clause
def _requested_outputs(server: Running) -> None:
    answer = infer(server, outputs=[{"name": "label"}, {"name": "probability"}])
    assert [each["name"] for each in answer["outputs"]] == ["label", "probability"]
    assert list(named(infer(server, outputs=[{"name": "label"}]))) == ["label"]
    assert_refused(server.ask(INFER, {"inputs": XY, "outputs": [{"name": "z"}]}), 400, "not an output")


@clause
def _output_aliases(server: Running) -> None:
    own, names = named(infer(server)), ("predict", "output-0", "predict_proba")
    found = named(infer(server, outputs=[{"name": name} for name in names]))
    assert list(found) == list(names)
    assert found["predict"]["data"] == found["output-0"]["data"] == own["label"]["data"]
    assert found["predict_proba"]["shape"] == [2, 2]
    assert found["predict_proba"]["data"][1::2] == own["probability"]["data"]


@clause
def _unknown_parameters(server: Running) -> None:
    marked = [{**each, "parameters": {"content_type": "np", "deep": 1}} for each in XY]
    outputs = [{"name": "label", "parameters": {"content_type": "np"}}]
    answer = infer(server, inputs=marked, outputs=outputs, parameters={"sequence_id": 1, "priority": 2, "timeout": 9})
    assert named(answer)["label"] == named(infer(server))["label"]


@clause
def _unknown_members(server: Running) -> None:
    assert infer(server, comment={"of": ["a", "client"]})["outputs"] == infer(server)["outputs"]


@clause
def _errors(server: Running) -> None:
    for body in (b"", b"{", b"[]", b'"x"', {"inputs": []}, {"inputs": "x"}, {}):
        assert_refused(server.ask(INFER, body, method="POST"), 400, "")
    assert_refused(server.ask("/v2/models/nobody"), 404, "no model 'nobody'")
    assert_refused(server.ask(f"{MODEL}/nothing"), 404, "nothing")
    assert_refused(server.ask(INFER), 405, "POST is")


@clause
def _binary_input(server: Running) -> None:
    raws = [np.array(each["data"], dtype="<f4").tobytes() for each in XY]
    inputs = [
        {"name": each["name"], "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
        for each, raw in zip(XY, raws, strict=True)
    ]
    head = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    assert server.ask(INFER, head + b"".join(raws), headers=headers).json["outputs"] == infer(server)["outputs"]
    assert_refused(server.ask(INFER, head + raws[0], headers=headers), 400, "bytes are left")


@clause
def _binary_output(server: Running) -> None:
    expected = named(infer(server))["probability"]["data"]
    single = {"outputs": [{"name": "probability", "parameters": {"binary_data": True}}]}
    for asked in (single, {"parameters": {"binary_data_output": True}}):
        reply = server.ask(INFER, {"inputs": XY} | asked)
        length = int(reply.headers["inference-header-content-length"])
        told = named(json.loads(reply.body[:length]))["probability"]
        assert told["parameters"] == {"binary_data_size": 16}
        assert np.frombuffer(reply.body[length : length + 16], "<f8").tolist() == expected


@clause
def _statistics(server: Running) -> None:
    before = server.ask(f"{MODEL}/stats").json["model_stats"][0]
    infer(server)
    after = server.ask(f"{MODEL}/stats").json["model_stats"][0]
    assert (after["name"], after["version"]) == ("fraud", "1")
    assert after["inference_count"] - before["inference_count"] == 2
    assert {each["name"] for each in server.ask("/v2/models/stats").json["model_stats"]} >= {"fraud", "price"}


@clause
def _configuration(server: Running) -> None:
    told = server.ask(f"{MODEL}/config").json
    assert [each["data_type"] for each in told["input"]] == ["TYPE_FP64", "TYPE_FP64"]
    assert told["output"][0]["dims"] == [-1]


@clause
def _repository_index(server: Running) -> None:
    listed = server.ask("/v2/repository/index", {"ready": True}).json
    assert {(each["name"], each["version"], each["state"]) for each in listed} >= {("fraud", "1", "READY")}


@clause
def _load_unload(server: Running) -> None:
    for verb in ("load", "unload"):
        assert_refused(server.ask(f"/v2/repository/models/fraud/{verb}", {}), 403, "decided in git")


@clause
def _explain(server: Running) -> None:
    told = json.loads(infer(server, parameters={"explain": 1})["parameters"]["reasons"])
    assert [(each["method"], len(each["contributions"])) for each in told] == [("additive", 1)] * 2
    assert_refused(server.ask(INFER, {"inputs": XY, "parameters": {"explain": "why"}}), 400, "how many features")


@clause
def _classification(server: Running) -> None:
    outputs = [{"name": "probability", "parameters": {"classification": 2}}]
    assert_refused(server.ask(INFER, {"inputs": XY, "outputs": outputs}), 400, "classification is not offered")


@clause
def _shared_memory(server: Running) -> None:
    region = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
    outputs = [{"name": "probability", "parameters": region}]
    assert_refused(server.ask(INFER, {"inputs": XY, "outputs": outputs}), 400, "shared_memory_region is not offered")
    there = {"name": "x", "shape": [2], "datatype": "FP64", "parameters": region}
    assert_refused(server.ask(INFER, {"inputs": [there, XY[1]]}), 400, "'x' has neither data")
    assert_refused(server.ask("/v2/systemsharedmemory/status"), 404, "nothing")


@clause
def _trace_and_log(server: Running) -> None:
    for path in ("/v2/trace/setting", "/v2/logging", f"{MODEL}/trace/setting"):
        assert_refused(server.ask(path), 404, "nothing")


@pytest.mark.parametrize("name", CLAUSES)
def test_the_server_keeps_the_clause(server: Running, name: str) -> None:
    """What the reference page says of the clause is what the server does."""
    CLAUSES[name](server)


def test_every_clause_of_the_page_is_tested() -> None:
    """The page and the tests name the same clauses, in the same order."""
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^|]+) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, said in rows if said != "—"] == list(CLAUSES)
