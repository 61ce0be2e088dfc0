"""The Open Inference Protocol v2 over real HTTP: metadata, health, inference, and what bad requests get."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import zlib
from typing import Any

import pytest

from modelops.predictions import find
from serving.served_models import Running, tensor
from waiting import PATIENCE

INFER = "/v2/models/fraud/infer"
RISK = "/v2/models/risk/infer"
CHURN = "/v2/models/payments%2Fchurn/infer"
XY = [tensor("x", "FP64", [0.5]), tensor("y", "FP64", [0.25])]
CUSTOMER = {
    "amount": ("FP64", 1.5),
    "items": ("INT64", 3),
    "country": ("BYTES", "DE"),
    "abroad": ("BOOL", True),
    "opened": ("BYTES", "2026-01-05T00:00:00Z"),
}


def customer(**changes: Any) -> dict[str, Any]:
    values = CUSTOMER | changes
    return {"inputs": [tensor(name, *(kind, [value])) for name, (kind, value) in values.items()]}


def output(body: Any, name: str) -> Any:
    return next(each["data"] for each in body["outputs"] if each["name"] == name)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v2", {"name": "modelops"}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True, "live": True}),
        ("/v2/models/fraud/ready", {"name": "fraud", "ready": True}),
        ("/v2/models/fraud/versions/1/ready", {"name": "fraud", "ready": True}),
        ("/v2/models/payments/churn", {"name": "payments/churn", "versions": ["3"], "platform": "sklearn_skops"}),
        ("/v2/models/payments%2Fchurn", {"name": "payments/churn"}),
        ("/v2/models/payments%2fchurn/versions/3", {"name": "payments/churn"}),
        ("/v2/models/%66raud", {"name": "fraud"}),
    ],
)
def test_descriptions_answer_with_and_without_a_slash(server: Running, path: str, slash: str, expected: Any) -> None:
    """Every descriptive path answers 200 as plain application/json, without a redirect."""
    reply = server.ask(path + slash)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert expected.items() <= reply.json.items()


def test_metadata_holds_the_signature(server: Running) -> None:
    """Inputs have the datatypes of the features, outputs those of the classes, free dimensions are -1."""
    metadata = server.ask("/v2/models/payments/churn").json
    assert {each["name"]: each["datatype"] for each in metadata["inputs"]} == {
        "amount": "FP64", "items": "INT64", "country": "BYTES", "abroad": "BOOL", "opened": "BYTES",
    }  # fmt: skip
    assert metadata["outputs"] == [
        {"name": "probability", "datatype": "FP64", "shape": [-1]},
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
    ]
    assert server.ask("/v2/models/risk").json["outputs"][0]["shape"] == [-1, 3]
    assert server.ask("/v2/models/price").json["outputs"] == [{"name": "prediction", "datatype": "FP64", "shape": [-1]}]


def test_the_index_lists_every_model(server: Running) -> None:
    """POST /v2/repository/index names models, versions and states."""
    listed = server.ask("/v2/repository/index", {}).json
    assert {(each["name"], each["version"], each["state"]) for each in listed} == {
        ("fraud", "1", "READY"), ("payments/churn", "3", "READY"), ("risk", "1", "READY"), ("price", "1", "READY"),
    }  # fmt: skip


def test_columns_and_matrix_give_the_same_prediction(server: Running) -> None:
    """One tensor per feature, [n] or [n, 1], flat or nested, and one matrix are the same request."""
    bodies = [
        {"inputs": [tensor("x", "FP64", [0.5, -1.0]), tensor("y", "FP64", [0.25, 0.125])]},
        {"inputs": [tensor("y", "FP32", [0.25, 0.125], [2, 1]), tensor("x", "FP64", [[0.5], [-1]], [2, 1])]},
        {"inputs": [tensor("features", "FP64", [0.5, 0.25, -1.0, 0.125], [2, 2])]},
        {"inputs": [tensor("features", "FP64", [[0.5, 0.25], [-1.0, 0.125]], [2, 2])]},
    ]
    answers = [server.ask(INFER, body).json for body in bodies]
    assert all(answer["outputs"] == answers[0]["outputs"] for answer in answers)
    assert output(answers[0], "label") == [1, 0]
    single = [server.ask(INFER, {"inputs": [tensor("features", "FP64", row, [1, 2])]}).json for row in ([0.5, 0.25],)]
    assert output(single[0], "probability") == output(answers[0], "probability")[:1]


def test_an_answer_names_release_arm_and_prediction(server: Running) -> None:
    """The id is echoed, the parameters identify the prediction, and the log holds it with its features."""
    answer = server.ask(INFER, {"id": "call-7", "inputs": XY, "parameters": {"entity_id": "c-9"}}).json
    assert answer["id"] == "call-7"
    assert (answer["model_name"], answer["model_version"]) == ("fraud", "1")
    parameters = answer["parameters"]
    assert (parameters["release"], parameters["arm"]) == (1, "stable")
    logged = find(server.log, parameters["prediction_id"])
    assert logged is not None
    row = logged.row
    assert (row.model, row.release, row.arm, row.entity, row.request) == ("fraud", 1, "stable", "c-9", "call-7")
    assert json.loads(row.features) == {"x": 0.5, "y": 0.25}
    assert [row.score] == output(answer, "probability")
    assert (row.label, row.status, row.error) == ("1", 200, None)
    assert row.latency_ms > 0


def test_rows_of_one_request_are_logged_one_by_one(server: Running) -> None:
    """A request of n rows yields n log rows under the prediction id and the position."""
    answer = server.ask(INFER, {"inputs": [tensor("features", "FP64", [0.5, 0.25, -1.0, 0.125], [2, 2])]}).json
    id = answer["parameters"]["prediction_id"]
    rows = [find(server.log, f"{id}.{position}") for position in (0, 1)]
    assert [row and json.loads(row.row.features) for row in rows] == [{"x": 0.5, "y": 0.25}, {"x": -1.0, "y": 0.125}]
    assert [row and row.row.row for row in rows] == [0, 1]


def test_every_feature_type_reaches_the_model(server: Running) -> None:
    """Integers, booleans, categories and instants are taken in their datatypes and logged as they were sent."""
    answer = server.ask(CHURN, customer()).json
    assert output(answer, "label")[0] in ("stays", "leaves")
    logged = find(server.log, answer["parameters"]["prediction_id"])
    assert logged is not None
    assert json.loads(logged.row.features) == {name: value for name, (_, value) in CUSTOMER.items()}
    seconds = server.ask(CHURN, customer(opened=("FP64", 1767571200.0))).json
    assert output(seconds, "probability") == output(answer, "probability")


def test_missing_values_of_nullable_features(server: Running) -> None:
    """Null is missing for a number, null and "" are the same missing category, and the log says null."""
    answers = [
        server.ask(
            "/v2/models/risk/infer", {"inputs": [tensor("x", "FP64", [None]), tensor("group", "BYTES", [group])]}
        )
        for group in (None, "")
    ]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].json["outputs"] == answers[1].json["outputs"]
    assert answers[0].json["outputs"][0]["shape"] == [1, 3]
    logged = find(server.log, answers[1].json["parameters"]["prediction_id"])
    assert logged is not None
    assert json.loads(logged.row.features) == {"x": None, "group": None}
    assert logged.row.score == max(output(answers[1].json, "probability"))


def test_only_requested_outputs_come_back(server: Running) -> None:
    """An outputs list selects; an output that the model does not have is refused."""
    answer = server.ask(INFER, {"inputs": XY, "outputs": [{"name": "label"}]}).json
    assert [each["name"] for each in answer["outputs"]] == ["label"]
    assert server.ask(INFER, {"inputs": XY, "outputs": [{"name": "odds"}]}).status == 400


def binary(values: bytes, header: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    text = json.dumps(header).encode()
    return text + values, {"Inference-Header-Content-Length": str(len(text))}


def test_binary_tensors_both_ways(server: Running) -> None:
    """Raw little-endian inputs are taken, and binary outputs follow the JSON at the announced length."""
    raw = struct.pack("<4d", 0.5, 0.25, -1.0, 0.125)
    header = {
        "inputs": [{"name": "features", "shape": [2, 2], "datatype": "FP64", "parameters": {"binary_data_size": 32}}],
        "parameters": {"binary_data_output": True},
    }
    body, headers = binary(raw, header)
    reply = server.ask(INFER, body, headers=headers)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/octet-stream"
    length = int(reply.headers["inference-header-content-length"])
    described = json.loads(reply.body[:length])
    assert [each["parameters"]["binary_data_size"] for each in described["outputs"]] == [16, 16]
    as_json = server.ask(INFER, {"inputs": [tensor("features", "FP64", [0.5, 0.25, -1.0, 0.125], [2, 2])]}).json
    assert list(struct.unpack("<2d", reply.body[length : length + 16])) == output(as_json, "probability")
    assert list(struct.unpack("<2q", reply.body[length + 16 :])) == output(as_json, "label")


def test_binary_texts(server: Running) -> None:
    """BYTES elements carry a length of four bytes in both directions."""
    raw = struct.pack("<I", 2) + b"DE"
    request = customer()
    request["inputs"][2] = {
        "name": "country", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)},
    }  # fmt: skip
    request["outputs"] = [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probability"}]
    body, headers = binary(raw, request)
    reply = server.ask(CHURN, body, headers=headers)
    length = int(reply.headers["inference-header-content-length"])
    text = reply.body[length:]
    assert text[4:].decode() in ("stays", "leaves")
    assert struct.unpack("<I", text[:4]) == (len(text) - 4,)


@pytest.mark.parametrize(
    ("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_compressed_bodies(server: Running, encoding: str, compress: Any) -> None:
    """Gzip and deflate bodies are undone."""
    body = compress(json.dumps({"inputs": XY}).encode())
    assert server.ask(INFER, body, headers={"Content-Encoding": encoding}).status == 200


def xy(**changes: Any) -> dict[str, Any]:
    return {"inputs": [XY[0] | changes, XY[1]]}


BAD_BODIES: list[tuple[str, Any, str]] = [
    ("empty", b"", "not valid"),
    ("garbage", b"\x00\xff garbage", "not valid"),
    ("not UTF-8", b'{"inputs":[{"name":"\xff\xfe"}]}', "not valid"),
    ("no object", [1, 2], "not valid"),
    ("no inputs", {}, "inputs"),
    ("empty inputs", {"inputs": []}, "no inputs"),
    ("nested too deeply", b'{"inputs":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not valid"),
    ("NaN", b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[NaN]}]}', "not valid"),
    ("Infinity", b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1e999]}]}', "out of range"),
    ("huge integer", xy(data=[10**400]), "out of range"),
    ("integer of more than 64 bits", xy(datatype="INT64", data=[2**70]), "out of range of INT64"),
    ("integer of more bits than declared", xy(datatype="INT8", data=[300]), "out of range of INT8"),
    ("negative unsigned integer", xy(datatype="UINT16", data=[-1]), "out of range of UINT16"),
    ("null in a feature that is not nullable", xy(data=[None]), "not nullable"),
    ("text as number", xy(data=["1.5"]), "not a value of FP64"),
    ("boolean as number", xy(data=[True]), "not a value of FP64"),
    ("float as INT64", xy(datatype="INT64", data=[1.5]), "not a value of INT64"),
    ("unknown datatype", xy(datatype="FP128"), "datatype"),
    ("datatype of another kind", xy(datatype="BYTES", data=["1"]), "takes FP64"),
    ("negative shape", xy(shape=[-1]), "no values"),
    ("zero rows", xy(shape=[0], data=[]), "no values"),
    ("empty shape", xy(shape=[]), "no values"),
    ("shape larger than data", xy(shape=[2]), "needs 2"),
    ("shape of another rank", xy(shape=[1, 1, 1]), "neither"),
    ("ragged", {"inputs": [tensor("features", "FP64", [[1.0, 2.0], [3.0]], [2, 2])]}, "ragged"),
    ("rows disagree", xy(shape=[2], data=[1.0, 2.0]), "rows"),
    ("unknown column", xy(name="z"), "not an input"),
    ("missing column", {"inputs": XY[:1]}, "'y' is missing"),
    ("column twice", {"inputs": [XY[0], XY[0], XY[1]]}, "twice"),
    ("neither data nor binary", {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64"}]}, "neither data"),
    ("matrix too wide", {"inputs": [tensor("features", "FP64", [1.0, 2.0, 3.0], [1, 3])]}, "[n, 2]"),
    ("matrix of text", {"inputs": [tensor("features", "BYTES", ["a", "b"], [1, 2])]}, "takes FP64"),
    ("parameters that are lists", {"inputs": XY, "parameters": {"a": [1]}}, "not valid"),
]


@pytest.mark.parametrize(("body", "words"), [case[1:] for case in BAD_BODIES], ids=[case[0] for case in BAD_BODIES])
def test_bad_requests_get_400_with_a_reason(server: Running, body: Any, words: str) -> None:
    """Every malformed request is a 400 with {"error": ...} that says what is wrong, and the server lives on."""
    reply = server.ask(INFER, body)
    assert reply.status == 400, reply.body
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["error"]
    assert words in reply.json["error"]
    assert "Traceback" not in reply.json["error"]
    assert server.ask(INFER, {"inputs": XY}).status == 200


@pytest.mark.parametrize("words", [b"\x16\x03\x01\x02\x00", b"POST / HTTP/1.1\r\nContent-Length: -5"])
def test_what_is_not_http_gets_the_protocols_error_too(server: Running, words: bytes) -> None:
    """Bytes that are no HTTP request get 400 with {"error": ...} and a closed connection."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(words + b"\r\n\r\n")
        head, _, body = b"".join(iter(lambda: connection.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert list(json.loads(body)) == ["error"]
    assert server.ask(INFER, {"inputs": XY}).status == 200


def test_a_large_float_may_be_written_as_an_integer(server: Running) -> None:
    """JavaScript writes 1e20 without an exponent: it is answered and logged as the float it is."""
    reply = server.ask(INFER, xy(data=[10**20]))
    assert reply.status == 200
    server.ask("/v2/models/fraud/feedback", {"id": reply.json["parameters"]["prediction_id"], "label": True})
    row = find(server.log, reply.json["parameters"]["prediction_id"])
    assert row is not None
    assert json.loads(row.row.features)["x"] == 1e20


def test_more_rows_than_the_log_takes_are_refused_whole(server: Running) -> None:
    """A batch that the log could never hold is a 413 that says so, and none of its rows is logged."""
    rows = 70_000
    before = server.status()["log"]["written"]
    columns = [tensor(name, "FP64", [0.5] * rows) for name in ("x", "y")]
    reply = server.ask(INFER, {"inputs": columns})
    assert reply.status == 413
    assert "70000 rows" in reply.json["error"]
    assert server.status()["log"]["written"] == before


BAD_CUSTOMERS: list[tuple[dict[str, Any], str]] = [
    ({"items": ("FP64", 2.5)}, "not of type integer"),
    ({"abroad": ("INT64", 2)}, "not of type boolean"),
    ({"country": ("BYTES", "")}, "not nullable"),
    ({"country": ("BYTES", None)}, "not nullable"),
    ({"country": ("INT64", 3)}, "takes BYTES"),
    ({"opened": ("BYTES", "yesterday")}, "ISO 8601"),
    ({"opened": ("BYTES", "")}, "not nullable"),
    ({"abroad": ("BYTES", "yes")}, "takes BOOL"),
]


@pytest.mark.parametrize(("changes", "words"), BAD_CUSTOMERS)
def test_values_that_do_not_fit_their_feature(server: Running, changes: dict[str, Any], words: str) -> None:
    """A value outside its feature's type is refused with the feature's name."""
    reply = server.ask(CHURN, customer(**changes))
    assert reply.status == 400
    assert words in reply.json["error"]
    assert next(iter(changes)) in reply.json["error"]


def test_a_near_name_is_suggested_and_categories_refuse_a_matrix(server: Running) -> None:
    """The error for an unknown column names the nearest input; a model with categories takes no matrix."""
    request = customer()
    request["inputs"][0]["name"] = "amuont"
    assert "did you mean 'amount'" in server.ask(CHURN, request).json["error"]
    matrix = server.ask(CHURN, {"inputs": [tensor("features", "FP64", [1.0] * 5, [1, 5])]})
    assert "one input per feature" in matrix.json["error"]


@pytest.mark.parametrize(
    ("parameters", "raw", "length", "words"),
    [
        ({"binary_data_size": 16}, b"12345678", None, "bytes are left"),
        ({"binary_data_size": -1}, b"", None, "binary_data_size"),
        ({"binary_data_size": 7}, b"1234567", None, "whole number"),
        ({"binary_data_size": 8}, struct.pack("<d", float("nan")), None, "not nullable"),
        ({"binary_data_size": 8}, struct.pack("<d", float("inf")), None, "infinite"),
        ({"binary_data_size": 8}, b"12345678more", None, "follow the last"),
        ({"binary_data_size": 8}, b"12345678", "100000", "Inference-Header-Content-Length"),
        ({"binary_data_size": 8}, b"12345678", "0", "Inference-Header-Content-Length"),
        ({"binary_data_size": 8}, b"12345678", "-5", "not a number"),
    ],
)
def test_bad_binary_tensors(server: Running, parameters: Any, raw: bytes, length: str | None, words: str) -> None:
    """Sizes that do not add up, NaN and infinity are refused in the binary form too."""
    header = {"inputs": [XY[1], {"name": "x", "shape": [1], "datatype": "FP64", "parameters": parameters}]}
    body, headers = binary(raw, header)
    if length is not None:
        headers["Inference-Header-Content-Length"] = length
    reply = server.ask(INFER, body, headers=headers)
    assert reply.status == 400
    assert words in reply.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/", 404, "nothing at"),
        ("GET", "/v2/nonsense", 404, "nothing at"),
        ("GET", "/v2/models/unknown", 404, "no model 'unknown'"),
        ("POST", "/v2/models/unknown/infer", 404, "served: fraud"),
        ("POST", "/v2/models/fraud/versions/9/infer", 404, "no version '9'"),
        ("GET", "/v2/models/fraud/explain", 404, "nothing at"),
        ("GET", "/v2/models/..%2F..%2Fetc%2Fpasswd", 404, "no model"),
        ("GET", INFER, 405, "POST is"),
        ("POST", "/v2/models/fraud", 405, "GET is"),
        ("DELETE", "/v2/health/live", 405, "GET is"),
    ],
)
def test_unknown_paths_and_methods(server: Running, method: str, path: str, status: int, words: str) -> None:
    """Unknown models, versions and paths are 404, wrong methods 405 with Allow, all in the protocol's form."""
    reply = server.ask(path, b"{}" if method == "POST" else None, method=method)
    assert reply.status == status
    assert words in reply.json["error"]
    assert (reply.headers.get("allow") is not None) == (status == 405)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * (10 << 20), {}, 413),
        (gzip.compress(b"0" * (9 << 20)), {"Content-Encoding": "gzip"}, 413),
        (gzip.compress(b"{}", mtime=0)[:-6], {"Content-Encoding": "gzip"}, 400),
        (b"not gzip", {"Content-Encoding": "gzip"}, 400),
        (b"{}", {"Content-Encoding": "br"}, 415),
    ],
)
def test_large_and_badly_compressed_bodies(server: Running, body: bytes, headers: dict[str, str], status: int) -> None:
    """A body above the limit, before or after decompression, is 413; a broken one 400; an unknown encoding 415."""
    reply = server.ask(INFER, body, headers=headers)
    assert reply.status == status
    assert "error" in reply.json


def test_a_chunked_body_is_read_and_limited(server: Running) -> None:
    """Chunked bodies are put together, and cut off at the limit."""
    host, port = server.url.removeprefix("http://").split(":")
    body = json.dumps({"inputs": XY}).encode()
    for chunks, status in (([body[:20], body[20:]], b"200"), ([b"x" * (1 << 20)] * 9, b"413")):
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
            for chunk in chunks:
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            connection.sendall(b"0\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 " + status)
