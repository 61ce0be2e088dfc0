"""Models that their own library serves, and functions in a process of their own, by a real server."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from modelops import plugins
from modelops.artifacts import Artifact, Predictor, Signature, package, put_artifact
from modelops.artifacts.predictor import load_estimator, sklearn_score, smoke_document
from modelops.conformance.runtimes import Example, kept
from modelops.stores import Store
from runtimes.examples import EXAMPLES
from serving.served_models import Running, open_store, route, running, tensor, write_table

pytestmark = pytest.mark.slow

SLOW = b"""
import time


def predict(state, features):
    time.sleep(8 if features["amount"].to_numpy()[0] == 7 else 0)
    return features["age"].to_numpy() / 100
"""


def artifact_of(store: Store, name: str, key: str, example: Example) -> str:
    """Store a model as a build does whose exact form is not equal: its own runtime serves it."""
    from modelops.artifacts.signature import Held

    found = kept(plugins.load("runtimes", key), {}, example)
    held = Held(runtime=key, files=tuple(found.files), facts=dict(found.facts))
    signature = Signature(
        model=name, task=example.asked.task, features=example.asked.features, target="t", engine=key, runtime=key,
        classes=example.asked.classes, positive=example.asked.classes[-1], parts=(held,),
    )  # fmt: skip
    files = {package.part_path(0, each): data for each, data in found.files.items()}
    files |= {package.CODE + path: data for path, data in example.code.items()}
    files |= {package.SIGNATURE: signature.dump()}
    model = load_estimator(Artifact("", 0, files))
    files[package.SMOKE] = smoke_document(
        Predictor(signature, sklearn_score(model, signature)), example.columns, [0, 1]
    )
    return put_artifact(store, files).digest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("own")
    store = open_store(folder / "store")
    function = EXAMPLES["python"]("binary-classification")
    slow = Example(function.found, function.asked, function.columns, function.scores, {"train.py": SLOW})
    models = {
        "boosted": ("lightgbm", EXAMPLES["lightgbm"]("binary-classification")),
        "function": ("python", slow),
    }
    digests = {name: artifact_of(store, name, key, example) for name, (key, example) in models.items()}
    routes = {name: route(("stable", 1, digest, 1.0)) for name, digest in digests.items()}
    with running(Path(folder), store, None) as found:
        write_table(found.table, routes)
        # Each is tried in a process of its own first, which imports its library.
        found.await_status(lambda status: status["table"] is not None or status["error"])
        yield found


def ask(server: Running, model: str, amount: float, age: int) -> Any:
    inputs = [tensor("amount", "FP64", [amount]), tensor("age", "INT64", [age]), tensor("when", "FP64", [1.7e9])]
    return server.ask(f"/v2/models/{model}/infer", {"inputs": inputs})


def test_both_are_answered_and_say_what_serves_them(server: Running) -> None:
    """Outputs as those of any model; the metadata names the platform."""
    for model, platform in (("boosted", "lightgbm_native"), ("function", "python_native")):
        answer = ask(server, model, 1.0, 40)
        assert answer.status == 200, answer.body
        assert server.ask(f"/v2/models/{model}").json["platform"] == platform
    outputs = {each["name"]: each["data"] for each in ask(server, "function", 1.0, 40).json["outputs"]}
    assert outputs["probability"] == [0.4]
    assert outputs["label"] == ["no"]


def test_a_slow_function_keeps_nobody_else_waiting(server: Running) -> None:
    """While it is asked, other models and the health are answered at once."""
    found: list[int] = []
    waiting = threading.Thread(target=lambda: found.append(ask(server, "function", 7.0, 40).status))
    waiting.start()
    time.sleep(0.2)
    assert ask(server, "boosted", 1.0, 40).status == 200
    assert server.ask("/v2/health/live").status == 200
    assert not found
    waiting.join()
    assert found == [200]
