"""Arms that must not be loaded: a trial process takes the blow, and stable keeps answering."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from modelops.artifacts import Artifact, open_artifact, put_artifact
from modelops.errors import ModelOpsError
from modelops.serving import table
from modelops.serving.trial import TrialLimits, try_load
from modelops.stores import Store
from serving.served_models import route, running, tensor, write_table
from waiting import PATIENCE

INFER = "/v2/models/fraud/infer"
MATRIX = {"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]}
SHORT = TrialLimits(seconds=PATIENCE, processor_seconds=2)


def endless_model() -> bytes:
    """Return a valid ONNX model that never comes back: a loop of 2^62 turns."""
    value = helper.make_tensor_value_info("state", TensorProto.DOUBLE, None)
    body = helper.make_graph(
        [helper.make_node("Identity", ["go_in"], ["go"]), helper.make_node("Cos", ["state_in"], ["state"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go_in", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state_in", TensorProto.DOUBLE, None),
        ],
        [helper.make_tensor_value_info("go", TensorProto.BOOL, []), value],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Loop", ["turns", "yes", "features"], ["out"], body=body),
        ],
        "endless",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, [None, 2])],
        [helper.make_tensor_value_info("out", TensorProto.DOUBLE, [None, 2])],
        [
            helper.make_tensor("turns", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("yes", TensorProto.BOOL, [], [True]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def endless(store: Store, digests: dict[str, str]) -> str:
    """Return the digest of an artifact whose first prediction never ends."""
    files = dict(open_artifact(store, digests["fraud-1"]).files)
    return put_artifact(store, files | {"models/model.onnx": endless_model()}).digest


def test_a_trial_passes_what_can_be_loaded(store: Store, digests: dict[str, str]) -> None:
    """A sound artifact goes through; one that is refused is refused with the error of loading it."""
    artifact = open_artifact(store, digests["fraud-1"])
    try_load(artifact, TrialLimits())
    broken = type(artifact)(artifact.digest, 0, dict(artifact.files) | {"models/model.onnx": b"no model"})
    with pytest.raises(ModelOpsError) as caught:
        try_load(broken, TrialLimits())
    assert caught.value.problems[0].code == "bad-model"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (TrialLimits(seconds=PATIENCE, processor_seconds=1), signal.SIGXCPU.name),
        (TrialLimits(seconds=1.0), "within 1 seconds"),
        (TrialLimits(memory_bytes=64 << 20), "ended the process"),
    ],
)
def test_a_trial_ends_what_does_not_end(store: Store, endless: str, limits: TrialLimits, words: str) -> None:
    """Processor time, time and memory are limited, and the error says what became of the process."""
    with pytest.raises(ModelOpsError) as caught:
        try_load(open_artifact(store, endless), limits)
    assert caught.value.problems[0].code == "trial-failed"
    assert words in caught.value.problems[0].message


def test_stable_answers_while_a_candidate_cannot_be_loaded(
    tmp_path: Path, store: Store, digests: dict[str, str], endless: str
) -> None:
    """The candidate that kills its trial is refused with the reason in the status; stable never stops answering."""
    stable = ("stable", 1, digests["fraud-1"], 0.5)
    with running(
        tmp_path, store, {"fraud": route(("stable", 1, digests["fraud-1"], 1.0), log="off")}, trial=SHORT
    ) as server:
        write_table(server.table, {"fraud": route(stable, ("candidate", 2, endless, 0.5), log="off")})
        answers: list[Any] = []
        while not server.status()["error"]:
            answers.append(server.ask(INFER, MATRIX))
        assert {answer.status for answer in answers} == {200}
        assert {answer.json["model_version"] for answer in answers} == {"1"}
        refused = [arm for arm in server.status()["arms"] if not arm["ready"]]
        assert [(arm["arm"], arm["release"]) for arm in refused] == [("candidate", 2)]
        assert signal.SIGXCPU.name in refused[0]["error"]


def test_at_a_cold_start_stable_does_not_wait_for_a_trial(
    tmp_path: Path, store: Store, digests: dict[str, str], endless: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the candidate is on trial the server is ready and stable answers everybody; the table is not whole."""
    go_on = threading.Event()

    def late(artifact: Artifact, limits: TrialLimits) -> None:
        assert go_on.wait(PATIENCE)
        try_load(artifact, limits)

    monkeypatch.setattr(table, "try_load", late)
    stable, candidate = ("stable", 1, digests["fraud-1"], 0.5), ("candidate", 2, endless, 0.5)
    with running(tmp_path, store, None, trial=SHORT) as server:
        write_table(server.table, {"fraud": route(stable, candidate, log="off")})
        server.await_status(lambda status: status["arms"])
        assert server.ask("/v2/health/ready").status == 200
        assert server.status()["table"] is None
        answers = [server.ask(INFER, {**MATRIX, "parameters": {"entity_id": f"c{i}"}}) for i in range(20)]
        assert {answer.json["model_version"] for answer in answers} == {"1"}
        go_on.set()
        status = server.await_status(lambda status: status["table"])
        assert signal.SIGXCPU.name in status["error"]
        assert server.ask("/v2/health/ready").status == 200


def test_at_a_cold_start_stable_takes_the_share_of_a_candidate_that_cannot_be_loaded(
    tmp_path: Path, store: Store, digests: dict[str, str]
) -> None:
    """Without an old table stable stands in for the candidate; without stable a candidate keeps to its share."""
    missing = "sha256:" + "0" * 64
    for_entities = [{**MATRIX, "parameters": {"entity_id": f"c{i}"}} for i in range(30)]
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 0.5), ("candidate", 2, missing, 0.5), log="off")}
    with running(tmp_path / "a", store, models) as server:
        answers = [server.ask(INFER, body) for body in for_entities]
        assert {answer.json["model_version"] for answer in answers} == {"1"}
    models = {"fraud": route(("stable", 1, missing, 0.5), ("candidate", 2, digests["fraud-2"], 0.5), log="off")}
    with running(tmp_path / "b", store, models) as server:
        answers = [server.ask(INFER, body) for body in for_entities]
        assert {answer.status for answer in answers} == {200, 503}
        assert np.mean([answer.status == 200 for answer in answers]) < 0.8
