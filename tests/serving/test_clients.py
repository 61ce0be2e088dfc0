"""The clients that people use, each in a process of its own: tritonclient, kserve's REST client, mlserver's command."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from serving.served_models import Running, tensor
from waiting import PATIENCE

TRITON = """
import sys
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import triton_to_np_dtype

client = triton.InferenceServerClient(sys.argv[1].removeprefix("http://"))
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("fraud")
assert client.get_server_metadata()["name"] == "modelops"
assert client.get_model_metadata("fraud")["inputs"][0]["datatype"] == "FP64"
assert {each["name"] for each in client.get_model_repository_index()} >= {"fraud", "price"}
rows = np.array([[0.5, 0.25], [-1.0, 0.125]])
matrix = triton.InferInput("features", list(rows.shape), "FP64")
matrix.set_data_from_numpy(rows)
answer = client.infer("fraud", [matrix], request_id="call")
assert answer.get_response()["id"] == "call"
probability = answer.as_numpy("probability")
assert answer.as_numpy("label").tolist() == [1, 0]
matrix.set_data_from_numpy(rows, binary_data=False)
wanted = [triton.InferRequestedOutput("probability", binary_data=False)]
again = client.infer("fraud", [matrix], outputs=wanted, model_version="1", request_compression_algorithm="gzip")
assert np.array_equal(again.as_numpy("probability"), probability)
assert again.as_numpy("label") is None
inputs = []
for name, datatype, values in (
    ("x", "FP64", np.array([1.5])), ("group", "BYTES", np.array(["a"], dtype=object)),
):
    inputs.append(triton.InferInput(name, [1], datatype))
    inputs[-1].set_data_from_numpy(values)
risk = client.infer("risk", inputs)
assert risk.as_numpy("probability").shape == (1, 3)
assert risk.as_numpy("label")[0] in (b"low", b"mid", b"high")
numbers = np.array([1, 0])
expected = None
for datatype in ("FP64", "FP32", "FP16", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"):
    for binary in (True, False):
        if datatype == "FP16" and not binary:
            continue  # the client sends half floats as bytes only
        inputs = []
        for name in ("x", "y"):
            inputs.append(triton.InferInput(name, [2], datatype))
            inputs[-1].set_data_from_numpy(numbers.astype(triton_to_np_dtype(datatype)), binary_data=binary)
        for algorithm in (None, "gzip", "deflate"):
            found = client.infer(
                "fraud", inputs, request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
            ).as_numpy("probability")
            expected = found if expected is None else expected
            assert np.array_equal(found, expected), (datatype, binary, algorithm)
many = np.tile(rows, (400, 1))
matrix = triton.InferInput("features", list(many.shape), "FP64")
matrix.set_data_from_numpy(many)
for algorithm in ("gzip", "deflate"):
    packed = client.infer("fraud", [matrix], response_compression_algorithm=algorithm)
    assert np.array_equal(packed.as_numpy("probability")[:2], probability)
customer = [
    ("amount", "FP32", np.array([1.5], np.float32)), ("items", "INT64", np.array([3])),
    ("country", "BYTES", np.array([b"DE"], dtype=object)), ("abroad", "BOOL", np.array([True])),
    ("opened", "BYTES", np.array(["2026-01-05"], dtype=object)),
]
for binary in (True, False):
    inputs = []
    for name, datatype, values in customer:
        inputs.append(triton.InferInput(name, [1], datatype))
        inputs[-1].set_data_from_numpy(values, binary_data=binary)
    wanted = [triton.InferRequestedOutput("label", binary_data=binary)]
    churn = client.infer("payments/churn", inputs, outputs=wanted)
    assert churn.as_numpy("label")[0] in (b"stays", b"leaves", "stays", "leaves")
    assert churn.as_numpy("probability") is None
assert client.get_model_config("risk")["output"][0]["dims"] == [-1, 3]
stats = client.get_inference_statistics("risk", "1")["model_stats"]
assert [(each["name"], each["version"], each["inference_stats"]["success"]["count"]) for each in stats] == [
    ("risk", "1", stats[0]["execution_count"])
]
assert {each["name"] for each in client.get_inference_statistics()["model_stats"]} >= {"fraud", "price"}
for refused in (lambda: client.load_model("fraud"), lambda: client.unload_model("fraud")):
    try:
        refused()
    except triton.InferenceServerException as error:
        assert "decided in git" in error.message()
    else:
        raise SystemExit("the repository was changed by a request")
try:
    client.infer("unknown", [matrix])
except triton.InferenceServerException as error:
    assert "no model 'unknown'" in error.message()
else:
    raise SystemExit("an unknown model was answered")
client.close()
print("ok")
"""

KSERVE = """
import asyncio
import sys
import warnings

warnings.simplefilter("ignore")
from kserve import InferInput, InferRequest, InferenceRESTClient
from kserve.inference_client import RESTConfig


async def main():
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    url = sys.argv[1]
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, "fraud")
    inputs = [InferInput("features", [1, 2], "FP64", data=[0.5, 0.25])]
    answer = await client.infer(url, InferRequest("fraud", inputs, request_id="call"), model_name="fraud")
    assert answer.id == "call"
    assert [output.name for output in answer.outputs] == ["probability", "label"]
    assert answer.outputs[1].data == [1]
    try:
        await client.infer(url, InferRequest("fraud", [InferInput("z", [1], "FP64", data=[1.0])]), model_name="fraud")
    except Exception as error:
        assert "not an input of this model" in str(error), error
    else:
        raise SystemExit("an unknown input was answered")
    print("ok")


asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("package", "script"),
    [("tritonclient", TRITON), pytest.param("kserve", KSERVE, marks=pytest.mark.slow)],
)
def test_clients_of_others_work(server: Running, package: str, script: str) -> None:
    """Tritonclient's HTTP client and kserve's REST client, in processes of their own, get what they ask for."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", script, server.url], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.stdout.strip().endswith("ok"), done.stderr


@pytest.mark.parametrize("options", [[], ["--batch-size", "2", "--binary-data"]])
def test_the_command_line_of_mlserver_works(server: Running, tmp_path: Path, options: list[str]) -> None:
    """``mlserver infer`` sends a file of requests, one by one or put together, as JSON or as bytes."""
    program = os.environ.get("MODELOPS_TEST_MLSERVER") or shutil.which("mlserver")
    if program is None:
        pytest.skip(
            "mlserver needs an environment of its own (it wants fastapi < 0.116): python -m venv E; "
            "E/bin/pip install mlserver; then set MODELOPS_TEST_MLSERVER=E/bin/mlserver"
        )
    body = json.dumps({"inputs": [tensor("features", "FP64", [0.5, 0.25], [1, 2])]})
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(f"{body}\n{body}\n", encoding="utf-8")
    command = [program, "infer", "-u", server.url.removeprefix("http://"), "-m", "fraud", "-i", source, "-o", target]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=PATIENCE, check=False)
    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [each["outputs"][1]["data"] for each in lines] == [[1], [1]], done.stdout + done.stderr
