"""Functions of a model's own code: behind the fence, from the revision, and never in the way of the server."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelops.artifacts import columns, load_predictor, open_artifact, package, put_artifact
from modelops.artifacts.predictor import Predictor
from modelops.errors import ModelOpsError
from modelops.runtimes import Asked, python
from modelops.runtimes._state import dump_state
from modelops.training import recheck
from modelops.training.building import divided
from modelops.training.worker import kept_model
from runtimes.examples import FEATURES
from training.building_blocks import Workshop, changed

CODE = """
import os
import socket
import time

import numpy as np
from slope import slope


def train(features, target, parameters, seed):
    return {"mean": float(features["age"].mean()), "table": np.arange(6.0).reshape(2, 3)}


BEGUN = time.monotonic()


class Odd(Exception):
    pass


def predict(state, features):
    print("what is printed is no answer")
    first = features["age"].to_numpy()[0]
    if first == 1000:
        raise LookupError("no such age")
    if first == 1001:
        time.sleep(60)
    if first == 1002:
        os._exit(3)
    if first == 1003:
        socket.create_connection(("127.0.0.1", 9))
    if first == 1004:
        return open("/etc/shadow").read()
    if first == 1005:
        return np.ones((2, 2))
    if first == 1006:
        assert first < 150, "too old"
    if first == 1007:
        raise Odd("odd " + chr(0xD800))
    if first == 1008:
        np.ones(1 << 40)
    if first == 1009:
        return undefined
    if first == 1012:
        raise LookupError(f"process {os.getpid()} since {BEGUN}")
    if first == 1010:
        raise KeyboardInterrupt("stop")
    if first == 1011:
        raise SystemExit(3)
    return 1 / (1 + np.exp(slope() * (features["age"].to_numpy() - state["mean"]) / state["table"][1, 2]))
"""
SLOPE = b"def slope():\n    return 0.3\n"
RUNTIME = {"type": "python", "params": {"seconds": 3}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, Any, Any]:
    """A declared function that was built."""
    workshop = Workshop(tmp_path_factory.mktemp("function"))
    request = workshop.request(CODE, {"slope.py": SLOPE}, training__runtime=RUNTIME)
    return workshop, request, workshop.build(request)


@pytest.fixture(scope="module")
def predictor(made: tuple[Workshop, Any, Any]) -> Predictor:
    workshop, _, record = made
    return load_predictor(open_artifact(workshop.store, record.artifact.digest))


def rows(workshop: Workshop, predictor: Predictor, age: float | None = None) -> dict[str, Any]:
    found = columns(workshop.table, predictor.signature.features)
    return {name: np.full(1, age) if name == "age" else values[:1] for name, values in found.items()} if age else found


def test_it_is_served_from_the_code_of_the_revision(made: tuple[Workshop, Any, Any], predictor: Predictor) -> None:
    """The artifact carries the files of the commit and the state as text, and answers as the function does."""
    workshop, _, record = made
    artifact = open_artifact(workshop.store, record.artifact.digest)
    assert package.code_of(artifact.files) == {"train.py": CODE.encode(), "slope.py": SLOPE}
    assert (record.artifact.engine, record.artifact.runtimes) == ("python", ("python",))
    assert predictor.apart
    found = rows(workshop, predictor)
    age = found["age"]
    scores = predictor.predict_columns(found).scores
    np.testing.assert_allclose(scores[0] / (1 - scores[0]), np.exp(-0.06 * (age[0] - _mean(artifact))), rtol=1e-9)


def _mean(artifact: Any) -> float:
    document = json.loads(artifact.files[package.part_path(0, "state.json")])
    return float(document["state"]["mean"])


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (1000, "LookupError: 'no such age'|LookupError: no such age"),
        (1001, "took more than 3 seconds"),
        (1002, "ended: without an answer"),
        (1003, "PermissionError"),
        (1004, "PermissionError|FileNotFoundError"),
        (1005, "shape"),
    ],
)
def test_what_goes_wrong_is_told_and_the_next_call_is_answered(
    made: tuple[Workshop, Any, Any], predictor: Predictor, age: float, said: str
) -> None:
    """An exception, a hang, an end, the network, others' files: each is an error, and the function goes on."""
    workshop = made[0]
    with pytest.raises(ModelOpsError, match=said):
        predictor.predict_columns(rows(workshop, predictor, age))
    assert 0 < predictor.predict_columns(rows(workshop, predictor, 40.0)).scores[0] < 1


@pytest.mark.parametrize(
    ("age", "said", "lives"),
    [
        (1006, "AssertionError: too old", True),
        (1007, r"Odd: odd \?", True),
        (1008, "Error: Unable to allocate", True),
        (1009, "NameError", True),
        (1010, "KeyboardInterrupt: stop", False),
        (1011, "ended: without an answer", False),
    ],
)
def test_no_row_fails_that_of_the_next_caller(
    made: tuple[Workshop, Any, Any], predictor: Predictor, age: float, said: str, lives: bool
) -> None:
    """Any exception is the failure of its own request, and a process that it has ended is not asked any more."""
    workshop = made[0]
    before = process_of(workshop, predictor)
    with pytest.raises(ModelOpsError, match=said):
        predictor.predict_columns(rows(workshop, predictor, age))
    assert 0 < predictor.predict_columns(rows(workshop, predictor, 40.0)).scores[0] < 1
    assert (process_of(workshop, predictor) == before) == lives


def process_of(workshop: Workshop, predictor: Predictor) -> str:
    """Return which process answers, as the function tells it."""
    with pytest.raises(ModelOpsError, match=r"process \d+") as caught:
        predictor.predict_columns(rows(workshop, predictor, 1012.0))
    return caught.value.first.message


KILLED = """
import os, signal, sys
from modelops.runtimes._function import Function

facts = {"entrypoint": "f.py", "predict": "predict", "seconds": 30, "memory": 2048}
code = b"def predict(state, features):\\n    return features['a'].to_numpy()\\n"
Function({"f.py": code}, bytes.fromhex(sys.argv[1]), facts)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_who_is_killed_leaves_no_folder_of_a_function(tmp_path: Path) -> None:
    """The process that guards the function clears away for a server that cannot."""
    state = dump_state({"mean": 1.0}).hex()
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", KILLED, state], env=environment, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    deadline = time.monotonic() + 60
    while list(tmp_path.glob("modelops-function-*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_other_code_than_the_revision_has_is_not_signed(made: tuple[Workshop, Any, Any]) -> None:
    """A build whose artifact carries changed code, or code that nobody declared, is contradicted before it is run."""
    workshop, request, record = made
    parts = divided(request, workshop.table)
    recheck(request, record, parts, workshop.store)
    artifact = open_artifact(workshop.store, record.artifact.digest)
    crafted = {**artifact.files, "models/code/slope.py": b"raise SystemExit('it was run')\n"}
    stored = put_artifact(workshop.store, crafted)
    other = record.model_copy(update={"artifact": record.artifact.model_copy(update={"digest": stored.digest})})
    with pytest.raises(ModelOpsError, match=r"the code slope\.py") as caught:
        recheck(request, other, parts, workshop.store)
    assert caught.value.first.code == "build-contradicted"
    undeclared = changed(request, model=workshop.request(CODE).model)
    with pytest.raises(ModelOpsError, match="build-contradicted"):
        recheck(undeclared, record, parts, workshop.store)


def test_a_function_that_nobody_declared_is_no_model() -> None:
    """What train returns then is a dictionary, and the error says what to declare."""
    request = {"entrypoint": "train.py", "task": "regression", "classes": [], "features": [], "runtime": None}
    with pytest.raises(ModelOpsError, match="not-an-estimator") as caught:
        kept_model({"params": 1.0}, None, None, request)  # type: ignore[arg-type]
    assert "runtime: {type: python}" in (caught.value.first.hint or "")


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"model": object()}, "holds object"),
        ({1: 2}, "keys that are no texts"),
        (np.array([object()]), "holds object"),
        ([lambda: 1], "function"),
        ({"fitted": dataclasses.make_dataclass("Results", [])()}, "Results"),
    ],
)
def test_a_state_that_is_no_plain_data_is_refused(state: Any, said: str) -> None:
    """Nothing that would have to be pickled is kept."""
    with pytest.raises(ModelOpsError, match="unsupported-type") as caught:
        python.keep(python.Params(), state, Asked("regression", FEATURES))
    assert said in caught.value.first.message


def test_a_state_is_read_as_it_was() -> None:
    """Texts, gaps, infinities, and arrays of every kind of number."""
    state = {
        "a": [1, 2.5, None, True, "ä"],
        "b": np.array([[1.5, np.nan], [np.inf, -0.0]]),
        "c": np.arange(3, dtype="<i2"),
    }
    (data,) = python.keep(python.Params(), state, Asked("regression", FEATURES)).files.values()
    found = python.state_of(data)
    assert found["a"] == state["a"]
    for name in ("b", "c"):
        np.testing.assert_array_equal(found[name], state[name])
        assert found[name].dtype == state[name].dtype
