"""Rows as records: what people send who do not think in tensors, and the names that other servers give outputs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelops.stores import Store
from serving.served_models import Running, route, running, tensor

CHURN = {"amount": 3.5, "items": 2, "country": "DE", "abroad": False, "opened": "2026-01-03T00:00:00Z"}
PREDICT = "/v2/models/payments/churn/predict"


def predicted(server: Running, body: Any, path: str = PREDICT) -> Any:
    reply = server.ask(path, body)
    assert reply.status == 200, reply.json
    return reply.json


def as_tensors(row: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {float: "FP64", int: "INT64", str: "BYTES", bool: "BOOL"}
    return [tensor(name, kinds[type(value)], [value]) for name, value in row.items()]


def test_a_record_is_answered_as_its_tensors_are(server: Running) -> None:
    """One record gives one prediction, with the numbers of the protocol's own form."""
    answer = predicted(server, CHURN)
    outputs = {
        each["name"]: each["data"][0]
        for each in server.ask("/v2/models/payments/churn/infer", {"inputs": as_tensors(CHURN)}).json["outputs"]
    }
    assert (answer["model_name"], answer["model_version"]) == ("payments/churn", "3")
    (row,) = answer["predictions"]
    assert (row["label"], row["probability"]) == (outputs["label"], outputs["probability"])
    assert row["id"] == answer["parameters"]["prediction_id"]


@pytest.mark.parametrize("name", ["", "records", "instances", "inputs", "dataframe_records", "dataframe_split"])
def test_lists_of_records_come_in_every_wrapping_that_clients_use(server: Running, name: str) -> None:
    """A bare list and the wrappings of MLflow and KServe mean the same; ids of rows are those of the log."""
    rows = [CHURN, CHURN | {"amount": -2.0, "country": "FR"}, CHURN | {"items": 4.0}]
    split = {"columns": list(CHURN), "data": [list(row.values()) for row in rows]}
    answer = predicted(server, {name: split if name.endswith("split") else rows} if name else rows)
    alone = [predicted(server, row)["predictions"][0] for row in rows]
    assert [(row["label"], row["probability"]) for row in answer["predictions"]] == [
        (row["label"], pytest.approx(row["probability"], abs=1e-12)) for row in alone
    ]
    id = answer["parameters"]["prediction_id"]
    assert [row["id"] for row in answer["predictions"]] == [f"{id}.0", f"{id}.1", f"{id}.2"]
    labels = [{"id": row["id"], "label": "stays"} for row in answer["predictions"]]
    assert server.ask("/v2/models/payments/churn/feedback", labels).json["accepted"] == 3


def test_what_a_record_leaves_out_is_missing(server: Running) -> None:
    """Null, an absent name and the empty text are missing values, for features that may be missing."""
    path = "/v2/models/risk/predict"
    rows = predicted(server, [{"x": None, "group": "a"}, {"group": "a"}, {"x": None, "group": "a"}], path)
    assert len({str(row["probabilities"]) for row in rows["predictions"]}) == 1
    assert list(rows["predictions"][0]["probabilities"]) == ["high", "low", "mid"]
    assert len(predicted(server, {}, path)["predictions"]) == len(predicted(server, {"x": 1}, path)["predictions"]) == 1
    price = predicted(server, {"x": 1, "y": 2.5}, "/v2/models/price/predict")["predictions"][0]
    assert set(price) == {"id", "prediction"}


DEEP = json.loads("[" * 300 + "]" * 300)
SHAPE = 'send a record like {"amount": 3.5, "items": 3, "country": "text", "abroad": true, "opened": "2026-'


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**CHURN, "amout": 1}, "'amout' is not an input of this model, did you mean 'amount'?"),
        ({**CHURN, "amount": "3,5"}, "input 'amount' is BYTES, the model takes FP64"),
        ({**CHURN, "amount": [1]}, "'amount', row 0: a list is not one value"),
        ({**CHURN, "amount": 10**18}, None),
        ({**CHURN, "amount": (1 << 64) - 1}, "'amount', row 0: 18446744073709551615 is out of range"),
        ({**CHURN, "items": 2.5}, "input 'items', row 0: 2.5 is not of type integer"),
        ({**CHURN, "items": 10**23}, "input 'items', row 0: 1e+23 is out of range of INT64"),
        ([CHURN, {**CHURN, "items": -1e19}], "input 'items', row 1: -1e+19 is out of range of INT64"),
        ([CHURN, {**CHURN, "country": 5}], "'country' is a number in some rows and a text in others"),
        ({**CHURN, "amount": DEEP}, "'amount', row 0: a list is not one value"),
        ({**CHURN, "amount": {"a": DEEP}}, "'amount', row 0: an object is not one value"),
        ([CHURN, 5], "row 1 is not a record: it is 5"),
        ([CHURN, DEEP], "row 1 is not a record: it is a list"),
        ({"records": [CHURN], "id": DEEP}, "the id of the request is a list, not a text"),
        ({"records": [CHURN], "parameters": {"entity_id": 10**30}}, "Expected `float` < 9.2"),
        ([], "the request has no records"),
        ({"records": []}, "the request has no records"),
        (5, "neither a record nor a list"),
        (b"{", "not valid JSON"),
        (b'{"amount": NaN}', "not valid JSON"),
        (b"\xff", "not valid JSON"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "names a column twice"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "row 0 of dataframe_split is not a list of 1 val"),
        ({"dataframe_split": {"columns": 3}}, "columns, a list of names"),
        ({"records": [CHURN], "id": 5}, "the id of the request is 5, not a text"),
        ({"records": [CHURN], "parameters": {"entity_id": [1]}}, "parameters of the request are not an object"),
    ],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_told_one_that_can(server: Running, body: Any, said: str | None) -> None:
    """The refusal names what is wrong, and shows a record of this model."""
    reply = server.ask(PREDICT, body)
    if said is None:
        assert reply.status == 200
        return
    assert reply.status == 400
    assert said in reply.json["error"]
    assert SHAPE in reply.json["error"]


def test_a_missing_value_of_a_feature_that_had_none_is_refused(server: Running) -> None:
    """It is refused as for tensors, naming the row."""
    without = {name: value for name, value in CHURN.items() if name != "amount"}
    assert "input 'amount', row 1: the value is missing" in server.ask(PREDICT, [CHURN, without]).json["error"]
    assert "input 'amount', row 0: the value is missing" in server.ask(PREDICT, without).json["error"]


def test_tensors_that_cannot_be_read_are_refused_with_the_shape_that_can(server: Running) -> None:
    """Whoever sends a record or wrong tensors to the protocol's path reads what the model takes."""
    for body in ({"x": 1.0}, b"{", {"inputs": []}, {"inputs": [tensor("z", "FP64", [1.0])]}):
        said = server.ask("/v2/models/fraud/infer", body).json["error"]
        assert "the model takes x FP64, y FP64, each of shape [n], or one features FP64 of shape [n, 2]" in said


def test_a_version_answers_records_and_parameters_choose_the_entity(server: Running) -> None:
    """The path has versions as infer has; id and parameters stand beside the records."""
    body = {"records": [CHURN], "id": "mine", "parameters": {"entity_id": "e-1"}}
    answer = predicted(server, body, "/v2/models/payments/churn/versions/3/predict")
    assert answer["id"] == "mine"
    assert server.ask("/v2/models/payments%2Fchurn/versions/4/predict", body).status == 404
    assert server.ask(PREDICT, method="GET").status == 405


def test_the_path_of_mlflow_is_there_where_one_model_is_served(
    tmp_path: Any, store: Store, digests: dict[str, str], server: Running
) -> None:
    """/invocations answers plain predictions, and is unknown where it could mean two models."""
    assert server.ask("/invocations", {"x": 1}).status == 404
    with running(tmp_path, store, {"fraud": route(("stable", 1, digests["fraud-1"], 1.0))}) as alone:
        rows = [{"x": 5.0, "y": 5.0}, {"x": -5.0, "y": -5.0}]
        assert alone.ask("/invocations", {"dataframe_records": rows}).json == {"predictions": [1, 0]}


@pytest.mark.parametrize(
    ("model", "names", "wanted"),
    [
        ("fraud", {"predict": "label", "output-0": "label"}, [2, 2]),
        ("risk", {"predict": "label", "predict_proba": "probability"}, [2, 3]),
        ("price", {"predict": "prediction", "output-0": "prediction"}, None),
    ],
)
def test_outputs_have_the_names_that_other_servers_give_them(
    server: Running, model: str, names: dict[str, str], wanted: list[int] | None
) -> None:
    """An output that is asked for by scikit-learn's name or KServe's comes back under that name."""
    inputs = [tensor("x", "FP64", [0.5, -1.0]), tensor("y", "FP64", [0.25, 0.5])]
    if model == "risk":
        inputs[1] = tensor("group", "BYTES", ["a", "b"])
    path = f"/v2/models/{model}/infer"
    own = {each["name"]: each for each in server.ask(path, {"inputs": inputs}).json["outputs"]}
    asked = {"inputs": inputs, "outputs": [{"name": name} for name in names]}
    found = {each["name"]: each for each in server.ask(path, asked).json["outputs"]}
    assert found == {alias: own[name] | {"name": alias} for alias, name in names.items()}
    if wanted is not None:
        (proba,) = server.ask(path, {"inputs": inputs, "outputs": [{"name": "predict_proba"}]}).json["outputs"]
        assert proba["shape"] == wanted
        assert sum(proba["data"]) == pytest.approx(2.0)
    refused = server.ask(path, {"inputs": inputs, "outputs": [{"name": "transform"}]})
    assert refused.status == 400
    assert "predict, output-0" in refused.json["error"]


ONE = '{"amount": 3.5, "items": 2, "country": "DE", "abroad": false, "opened": "2026-01-03T00:00:00Z"'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ONE + "}", 200),
        (ONE + ', "amount": 4.5}', 400),
        (ONE + ', "amount"\n: 4.5}', 400),
        (ONE + ', "\\u0061mount":4.5}', 400),
        ("[" + ONE + "}, " + ONE + ', "amount":3.5}]', 400),
        ('{"records": [' + ONE + '}], "parameters": {"a": "\\":", "b": 1}}', 200),
        ('{"records": [' + ONE + '}], "records": [' + ONE + "}]}", 400),
        ('{"records": [' + ONE + '}], "parameters": {"a": 1, "a": 1}}', 400),
        ('{"dataframe_split": {"columns": ["amount"], "data": [[1.0]], "data": [[2.0]]}}', 400),
    ],
)
def test_a_key_that_is_given_twice_is_refused_by_name(server: Running, body: str, status: int) -> None:
    """Nobody could say which of the two was meant; texts with colons are no keys."""
    reply = server.ask(PREDICT, body.encode())
    assert reply.status == status, reply.json
    assert status == 200 or "given twice" in reply.json["error"]


TENSOR = '{"name": "x", "shape": [1], "datatype": "FP64", "data": [0.5]'
OTHER = '{"name": "y", "shape": [1], "datatype": "FP64", "data": [0.5]}'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"inputs": [' + TENSOR + "}, " + OTHER + "]}", 200),
        ('{"id": null, "inputs": [' + TENSOR + ', "parameters": {"a": ": :"}}, ' + OTHER + "]}", 200),
        ('{"inputs": [' + TENSOR + ', "data": [0.25]}, ' + OTHER + "]}", 400),
        ('{"inputs": [' + TENSOR + ', "parameters": {"a": 1, "a": 2}}, ' + OTHER + "]}", 400),
        ('{"parameters": {"a": 1}, "parameters": {"a": 1}, "inputs": [' + TENSOR + "}, " + OTHER + "]}", 400),
        ('{"inputs": [' + TENSOR + "}, " + OTHER + '], "outputs": [{"name": "label", "name": "label"}]}', 400),
        ('{"inputs": [' + TENSOR + "}, " + OTHER + '], "more": {"a": 1, "a": 2}}', 400),
    ],
)
def test_a_key_of_a_tensor_that_is_given_twice_is_refused_by_name(server: Running, body: str, status: int) -> None:
    """Also of a parameter, of an output and of what is passed over."""
    reply = server.ask("/v2/models/fraud/infer", body.encode())
    assert reply.status == status, reply.json
    assert status == 200 or "given twice" in reply.json["error"]
