"""Why a row has its score: asked for with the prediction, told, logged with it, and found again by the audit."""

from __future__ import annotations

import itertools
import json
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from modelops.artifacts import columns, load_predictor, open_artifact, put_artifact
from modelops.audit import Rescorer
from modelops.errors import ModelOpsError
from modelops.predictions import examine, find
from modelops.reasons import Explainer, coalitions, explainer_of
from modelops.stores import Store
from serving.served_models import Running, pack_model, route, running, tensor

COUNT = 240
FEATURES = [
    ("a", "number", False),
    ("b", "number", True),
    ("group", "category", True),
    ("kind", "category", False),
    ("c", "integer", False),
]


def made(seed: int = 0) -> dict[str, list[Any]]:
    random = np.random.default_rng(seed)
    return {
        "a": random.normal(size=COUNT).tolist(),
        "b": [None if row % 9 == 0 else float(v) for row, v in enumerate(random.normal(size=COUNT))],
        "group": [f"g{v}" for v in random.geometric(0.3, COUNT)],
        "kind": random.choice(["x", "y"], COUNT).tolist(),
        "c": random.integers(0, 9, COUNT).tolist(),
    }


def truth(rows: dict[str, list[Any]]) -> np.ndarray[Any, Any]:
    b = np.array([value or 0.0 for value in rows["b"]])
    group, kind = np.array(rows["group"]) == "g2", np.array(rows["kind"]) == "x"
    return np.array(rows["a"]) * (1 + kind) + b + group + 0.1 * np.array(rows["c"])


def prepared() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numbers", numbers, ["a", "b", "c"]), ("texts", texts, ["group", "kind"])])


BINARY = {"task": "binary-classification", "classes": (0, 1), "positive": 1}
SEVERAL = {"task": "multiclass-classification", "classes": ("high", "low", "mid")}
NUMBER = {"task": "regression"}
MODELS: dict[str, tuple[Any, dict[str, Any], bool, str, str]] = {
    "logistic": (LogisticRegression(), BINARY, True, "additive", "log-odds"),
    "classes": (LogisticRegression(), SEVERAL, True, "additive", "centred log-probability"),
    "poisson": (PoissonRegressor(), NUMBER, True, "additive", "log of the prediction"),
    "boosted": (HistGradientBoostingClassifier(max_iter=12), BINARY, True, "trees", "log-odds"),
    "several": (HistGradientBoostingClassifier(max_iter=4), SEVERAL, True, "trees", "centred log-probability"),
    "forest": (RandomForestRegressor(8, max_depth=6), NUMBER, True, "trees", "prediction"),
    "slow": (DecisionTreeClassifier(max_depth=4), BINARY, False, "enumerated", "probability"),
}
"""By the model's name: an estimator, its task, whether ONNX serves it, and how it is explained on which scale."""


def packed(store: Store, name: str) -> str:
    estimator, task, onnx, *_ = MODELS[name]
    rows = made()
    target = truth(rows)
    if task is BINARY:
        target = (target > 1).astype(int)
    elif task is SEVERAL:
        target = np.array(["low", "mid", "high"])[np.digitize(target, [0.5, 1.5])]
    else:
        target = np.exp(target / 4)
    described = {"model": name, "features": list(FEATURES), **task}
    return pack_model(store, make_pipeline(prepared(), estimator), rows, target, described, onnx=onnx)


class Digests(dict[str, str]):
    """Artifacts by name, each made when it is first asked for."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self._store = store

    def __missing__(self, name: str) -> str:
        self[name] = packed(self._store, name)
        return self[name]


@pytest.fixture(scope="module")
def digests(store: Store) -> dict[str, str]:
    return Digests(store)


SERVED = ("boosted", "classes", "slow")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, store: Store, digests: dict[str, str]) -> Iterator[Running]:
    # Time is no question here: the machine of a test may be busy.
    settings = {"log": "acknowledged", "reasonsLimitMs": 60_000}
    models = {name: route(("stable", 1, digests[name], 1.0), **settings) for name in SERVED}
    with running(tmp_path_factory.mktemp("reasons"), store, models, grpc_port=0) as started:
        yield started


ROWS = made(1)


def record(at: int) -> dict[str, Any]:
    return {name: values[at] for name, values in ROWS.items()}


def explainer(store: Store, digest: str) -> Explainer:
    artifact = open_artifact(store, digest)
    found = explainer_of(artifact, load_predictor(artifact))
    assert isinstance(found, Explainer)
    return found


def on_scale(scale: str, scores: np.ndarray[Any, Any], label: int) -> np.ndarray[Any, Any]:
    """Return the scores of one class on a scale, written out once more."""
    if scale == "centred log-probability":
        logs = np.log(scores)
        return logs[:, label] - logs.mean(axis=1)
    if scale == "log-odds":
        return np.log(scores / (1 - scores))
    return np.log(scores) if scale == "log of the prediction" else scores


@pytest.mark.parametrize("name", sorted(MODELS))
def test_reasons_are_the_shapley_values_of_what_is_served(store: Store, digests: dict[str, str], name: str) -> None:
    """They equal the definition: what a feature changes, averaged over all orders and all rows of the background.

    So for rows with missing values, and with a category that no row of the background has.
    """
    _, _, _, method, scale = MODELS[name]
    artifact = open_artifact(store, digests[name])
    predictor, explains = load_predictor(artifact), explainer(store, digests[name])
    background = artifact.background
    assert background is not None
    names, many = list(background), len(background["a"])
    rare = next(at for at in range(COUNT) if ROWS["group"][at] not in set(background["group"]))
    for at in (0, 7, rare):
        row = columns({key: [value] for key, value in record(at).items()}, predictor.signature.features)
        served = predictor.predict_columns(row).scores
        label = int(np.argmax(served[0])) if served.ndim == 2 else 0
        worth = {}
        for size in range(len(names) + 1):
            for given in itertools.combinations(names, size):
                mixed = {key: np.repeat(row[key], many) if key in given else background[key] for key in names}
                worth[given] = float(on_scale(scale, predictor.predict_columns(mixed).scores, label).mean())
        found = explains.explain(row, served, None)
        assert (found.method, found.scale) == (method, scale)
        for key, contribution in zip(names, found.contributions, strict=True):
            expected = math.fsum(
                (worth[tuple(sorted((*without, key), key=names.index))] - worth[without])
                / (len(names) * comb(len(names) - 1, len(without)))
                for without in worth
                if key not in without
            )
            assert contribution == pytest.approx(expected, abs=1e-7), (at, key)
        assert found.baseline == pytest.approx(worth[()], abs=1e-7)
        turned = explains.explain(dict(reversed(row.items())), served, None)
        assert turned.contributions.tolist() == found.contributions.tolist()
        assert found.baseline + found.contributions.sum() == pytest.approx(found.value, abs=1e-7)


def test_orders_are_sampled_where_there_are_too_many(
    store: Store, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is sampled adds up too, states its error, is near the exact values by it, and comes out alike again."""
    artifact = open_artifact(store, digests["slow"])
    predictor = load_predictor(artifact)
    row = columns({key: [value] for key, value in record(3).items()}, predictor.signature.features)
    scores = predictor.predict_columns(row).scores
    exact = explainer(store, digests["slow"]).explain(row, scores, None)
    monkeypatch.setattr(coalitions, "MOST_ENUMERATED", 0)
    sampled = explainer(store, digests["slow"]).explain(row, scores, None)
    assert (sampled.method, sampled.rounds, sampled.gap < 1e-9) == ("sampled", coalitions.MOST_ROUNDS, True)
    assert sampled.errors is not None
    assert (np.abs(sampled.contributions - exact.contributions) <= 5 * sampled.errors + 1e-12).all()
    fewer = explainer(store, digests["slow"]).explain(row, scores, None, replace(sampled, rounds=2))
    assert fewer.rounds == 2
    again = explainer(store, digests["slow"]).explain(row, scores, None, fewer)
    assert again.contributions.tolist() == fewer.contributions.tolist()


@pytest.mark.parametrize("name", SERVED)
def test_reasons_are_told_and_logged_and_found_again(
    store: Store, digests: dict[str, str], served: Running, name: str
) -> None:
    """In records and tensors the caller gets the largest ones, which add up; the audit finds the logged ones equal."""
    asked = {"records": [record(3), record(8)], "parameters": {"explain": 2}}
    reply = served.ask(f"/v2/models/{name}/predict", asked)
    assert reply.status == 200, reply.json
    rows = reply.json["predictions"]
    for at, row in zip((3, 8), rows, strict=True):
        reasons = row["reasons"]
        shown = reasons["contributions"]
        total = reasons["baseline"] + sum(part["contribution"] for part in shown) + reasons["rest"]
        assert total == pytest.approx(reasons["value"], abs=1e-6)
        assert len(shown) == 2
        assert all(part["value"] == record(at)[part["feature"]] for part in shown)
        assert abs(shown[0]["contribution"]) >= abs(shown[1]["contribution"])
        found = find(served.log, row["id"])
        assert found is not None
        assert found.row.reasons is not None
        logged = json.loads(found.row.reasons)
        assert list(logged["contributions"]) == [feature for feature, _, _ in FEATURES]
        assert logged["contributions"][shown[0]["feature"]] == shown[0]["contribution"]
        proof = Rescorer(lambda: store).explain(found.row, digests[name])
        assert proof is not None
        assert proof.status == "equal", proof.reason
        logged["contributions"]["a"] += 1e-3
        forged = Rescorer(lambda: store).explain(found.row._replace(reasons=json.dumps(logged)), digests[name])
        assert forged is not None
        assert (forged.status, "by a" in forged.reason) == ("different", True)
    assert not [flaw for one in examine(served.log, {}) for flaw in one.flaws]


WRITTEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "ends that are no numbers": lambda logged: logged | {"baseline": math.nan, "value": math.nan},
    "an error that nobody drew": lambda logged: logged | {"errors": dict.fromkeys(logged["contributions"], 0.1)},
    "rounds without end": lambda logged: logged | {"method": "sampled", "rounds": 10**9},
    "rounds below none": lambda logged: logged | {"rounds": -1},
    "a number without a size": lambda logged: logged | {"baseline": 10**400},
    "a background without a size": lambda logged: logged | {"background": math.inf},
    "another way": lambda logged: logged | {"method": "guessed"},
    "a list": lambda logged: [logged],
}


@pytest.mark.parametrize("what", WRITTEN)
def test_reasons_that_somebody_wrote_are_not_believed(
    store: Store, digests: dict[str, str], served: Running, what: str
) -> None:
    """Whatever a row of the log holds, the audit ends and says that these are not the reasons."""
    asked = {"records": [record(3)], "parameters": {"explain": 2}}
    (row,) = served.ask("/v2/models/slow/predict", asked).json["predictions"]
    found = find(served.log, row["id"])
    assert found is not None
    assert found.row.reasons is not None
    text = json.dumps(WRITTEN[what](json.loads(found.row.reasons)))
    proof = Rescorer(lambda: store).explain(found.row._replace(reasons=text), digests["slow"])
    assert proof is not None
    assert proof.status == "different", proof


def test_features_that_somebody_wrote_end_no_audit(store: Store, digests: dict[str, str], served: Running) -> None:
    """Features that are no JSON, or nested without end, are not those that were explained."""
    asked = {"records": [record(3)], "parameters": {"explain": 2}}
    (row,) = served.ask("/v2/models/slow/predict", asked).json["predictions"]
    found = find(served.log, row["id"])
    assert found is not None
    for features in ("{", "[" * 100_000):
        proof = Rescorer(lambda: store).explain(found.row._replace(features=features), digests["slow"])
        assert proof is not None
        assert proof.status == "different", proof


def test_what_there_was_time_for_then_is_found_again(
    store: Store, digests: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who explained by coalitions, as there was no time to look for trees, is asked by coalitions again."""
    predictor = load_predictor(open_artifact(store, digests["boosted"]))
    row = columns({key: [value] for key, value in record(3).items()}, predictor.signature.features)
    scores = predictor.predict_columns(row).scores
    with monkeypatch.context() as hurried:
        hurried.setattr("modelops.reasons.explainer.find_trees", lambda *_: None)
        then = explainer(store, digests["boosted"]).explain(row, scores, None)
    unhurried = explainer(store, digests["boosted"])
    assert (then.method, unhurried.explain(row, scores, None).method) == ("enumerated", "trees")
    again = unhurried.explain(row, scores, None, then)
    assert (again.method, again.scale) == (then.method, then.scale)
    assert again.contributions.tolist() == then.contributions.tolist()


def test_a_row_whose_time_was_over_leaves_nothing_half_learnt(store: Store, digests: dict[str, str]) -> None:
    """A category that no row before had is explained the next time, though there was no time for it the first time."""
    artifact = open_artifact(store, digests["boosted"])
    predictor, background = load_predictor(artifact), artifact.background
    assert background is not None
    rare = next(at for at in range(COUNT) if ROWS["group"][at] not in set(background["group"]))
    rows = [
        columns({key: [value] for key, value in record(at).items()}, predictor.signature.features) for at in (0, rare)
    ]
    scores = [predictor.predict_columns(row).scores for row in rows]
    hurried = explainer(store, digests["boosted"])
    hurried.explain(rows[0], scores[0], None)
    with pytest.raises(ModelOpsError, match="not-explained"):
        hurried.explain(rows[1], scores[1], 0.0)
    fresh = explainer(store, digests["boosted"]).explain(rows[1], scores[1], None)
    assert hurried.explain(rows[1], scores[1], None).contributions.tolist() == fresh.contributions.tolist()


def test_all_forms_tell_the_same(served: Running) -> None:
    """REST tensors and gRPC carry the reasons as JSON in the parameter of that name, by each parameter's spelling."""
    kinds = {"number": "FP64", "integer": "INT64", "category": "BYTES"}
    values = record(3)
    inputs = [tensor(name, kinds[kind], [values[name]]) for name, kind, _ in FEATURES]
    records = served.ask("/v2/models/boosted/predict", {"records": [values], "parameters": {"explain": True}})
    rest = served.ask("/v2/models/boosted/infer", {"inputs": inputs, "parameters": {"explain": True}})
    with triton.InferenceServerClient(served.grpc) as client:
        sent = []
        for name, kind, _ in FEATURES:
            dtype = {"number": np.float64, "integer": np.int64, "category": np.object_}[kind]
            sent.append(triton.InferInput(name, [1], kinds[kind]))
            sent[-1].set_data_from_numpy(np.array([values[name]], dtype))
        answer = client.infer("boosted", sent, parameters={"explain": True}).get_response()
    expected = [row["reasons"] for row in records.json["predictions"]]
    assert len(expected[0]["contributions"]) == 5
    assert json.loads(rest.json["parameters"]["reasons"]) == expected
    assert json.loads(answer.parameters["reasons"].string_param) == expected


def test_who_asks_for_none_gets_and_logs_none(served: Running) -> None:
    """Neither without the parameter nor with false is there a word of reasons."""
    for parameters in ({}, {"explain": False}):
        reply = served.ask("/v2/models/boosted/predict", {"records": [record(0)], "parameters": parameters})
        (row,) = reply.json["predictions"]
        assert ("reasons" in row, "no_reasons" in reply.json["parameters"]) == (False, False)
        found = find(served.log, row["id"])
        assert found is not None
        assert found.row.reasons is None


@pytest.mark.parametrize("value", ["yes", 0, -1, 1001, 2.5])
def test_a_wrong_wish_is_refused_and_says_what_may_be_wished(served: Running, value: Any) -> None:
    """A parameter that is neither true nor a number of features is the caller's mistake."""
    reply = served.ask("/v2/models/boosted/predict", {"records": [record(0)], "parameters": {"explain": value}})
    assert reply.status == 400
    assert "how many features to name" in reply.json["error"]


def test_a_form_without_room_for_reasons_refuses_to_be_asked(tmp_path: Path, store: Store, digests: Any) -> None:
    """MLflow's form answers predictions alone; who asks there learns where to ask."""
    with running(tmp_path, store, {"boosted": route(("stable", 1, digests["boosted"], 1.0))}) as server:
        body = {"dataframe_records": [record(0)], "parameters": {"explain": True}}
        reply = server.ask("/invocations", body)
    assert (reply.status, "/predict" in reply.json["error"]) == (400, True)


def test_what_cannot_be_explained_is_answered_and_says_why(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """No time, too many rows, switched off, or built before: the prediction stands, and the log has the reason."""
    old = dict(open_artifact(store, digests["logistic"]).files)
    old.pop("models/background.json")
    models = {
        "boosted": route(("stable", 1, digests["boosted"], 1.0), log="acknowledged", reasonsLimitMs=1e-6),
        "forest": route(("stable", 1, digests["forest"], 1.0), log="acknowledged", reasonsLimitMs=0),
        "logistic": route(("stable", 1, put_artifact(store, old).digest, 1.0), log="acknowledged"),
        "poisson": route(("stable", 1, digests["poisson"], 1.0), log="acknowledged"),
    }
    expected = {
        "boosted": "were over before row 0",
        "forest": "spec.serving.reasonsLimitMs is 0",
        "logistic": "build it again",
        "poisson": "at most 16",
    }
    with running(tmp_path, store, models) as server:
        for name, why in expected.items():
            rows = [record(0)] * (17 if name == "poisson" else 1)
            reply = server.ask(f"/v2/models/{name}/predict", {"records": rows, "parameters": {"explain": True}})
            assert reply.status == 200
            assert why in reply.json["parameters"]["no_reasons"]
            assert not any("reasons" in row for row in reply.json["predictions"])
            found = find(server.log, reply.json["predictions"][0]["id"])
            assert found is not None
            digest = models[name]["arms"][0]["digest"]
            proof = Rescorer(lambda: store).explain(found.row, digest)
            assert proof is not None
            assert (proof.status, why in proof.reason) == ("none", True)


def test_a_background_that_cannot_be_read_costs_no_prediction(store: Store, digests: dict[str, str]) -> None:
    """Such a release loads and answers; what is wrong is why it has no reasons."""
    files = open_artifact(store, digests["logistic"]).files | {"models/background.json": b'{"columns":{}}'}
    artifact = open_artifact(store, put_artifact(store, files).digest)
    found = explainer_of(artifact, load_predictor(artifact))
    assert isinstance(found, str)
    assert "background.json holds no rows" in found


def test_explaining_holds_up_nobody_else(served: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one row is explained others are answered, also those of the same release."""
    begun, finish = threading.Event(), threading.Event()
    explain = Explainer.explain

    def held(*given: Any) -> Any:
        begun.set()
        assert finish.wait(60)
        return explain(*given)

    monkeypatch.setattr(Explainer, "explain", held)
    answers: list[Any] = []
    body = {"records": [record(0)], "parameters": {"explain": True}}
    caller = threading.Thread(target=lambda: answers.append(served.ask("/v2/models/boosted/predict", body)))
    caller.start()
    try:
        assert begun.wait(60)
        assert served.ask("/v2/models/boosted/predict", {"records": [record(0)]}).status == 200
        assert not answers
    finally:
        finish.set()
        caller.join()
    assert "reasons" in answers[0].json["predictions"][0]
