"""The Open Inference Protocol over gRPC, clause by clause: the other column of the reference page."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc

from serving.served_models import Running

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "protocol.md"
XY = {"x": [0.5, -1.0], "y": [0.25, 0.125]}

CLAUSES: dict[str, Callable[[Any], None]] = {}


def clause(check: Callable[[Any], None]) -> Callable[[Any], None]:
    CLAUSES[check.__name__.removeprefix("_").replace("_", "-")] = check
    return check


def asked(inputs: Any = None, **more: Any) -> Any:
    """Return a request with typed contents of float64, or with the inputs that are given."""
    request = pb.ModelInferRequest(**{"model_name": "fraud"} | more)
    if inputs is None:
        inputs = [(name, "FP64", [2], "fp64_contents", values) for name, values in XY.items()]
    for name, datatype, shape, field, values in inputs:
        getattr(request.inputs.add(name=name, datatype=datatype, shape=shape).contents, field).extend(values)
    return request


def raw(dtype: str = "<f8", datatype: str = "FP64") -> Any:
    request = pb.ModelInferRequest(model_name="fraud")
    for name, values in XY.items():
        request.inputs.add(name=name, datatype=datatype, shape=[2])
        request.raw_input_contents.append(np.array(values, dtype).tobytes())
    return request


def values(answer: Any, name: str) -> list[Any]:
    found = next(each for each in answer.outputs if each.name == name)
    fields = [list(values) for _, values in found.contents.ListFields()]
    return fields[0]


def refused(call: Callable[..., Any], request: Any, code: grpc.StatusCode, words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        call(request)
    assert (caught.value.code(), words in caught.value.details()) == (code, True), caught.value.details()


INVALID, UNKNOWN = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def stub(server: Running) -> Iterator[Any]:
    with contextlib.closing(grpc.insecure_channel(server.grpc)) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        stub.channel = channel
        yield stub


@clause
def _live(stub: Any) -> None:
    assert stub.ServerLive(pb.ServerLiveRequest()).live


@clause
def _ready(stub: Any) -> None:
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    assert stub.channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"


@clause
def _model_ready(stub: Any) -> None:
    for version in ("", "1"):
        assert stub.ModelReady(pb.ModelReadyRequest(name="fraud", version=version)).ready
    refused(stub.ModelReady, pb.ModelReadyRequest(name="nobody"), UNKNOWN, "no model 'nobody'")


@clause
def _server_metadata(stub: Any) -> None:
    told = stub.ServerMetadata(pb.ServerMetadataRequest())
    assert (told.name, bool(told.version)) == ("modelops", True)
    assert "model_repository" not in told.extensions


@clause
def _model_metadata(stub: Any) -> None:
    told = stub.ModelMetadata(pb.ModelMetadataRequest(name="fraud"))
    assert (told.name, list(told.versions), told.platform) == ("fraud", ["1"], "onnx_onnxv1")
    assert [(each.name, each.datatype, list(each.shape)) for each in told.inputs] == [(n, "FP64", [-1]) for n in XY]
    assert [(each.name, list(each.shape)) for each in told.outputs] == [("probability", [-1]), ("label", [-1])]
    assert stub.ModelMetadata(pb.ModelMetadataRequest(name="fraud", version="1")) == told


@clause
def _infer(stub: Any) -> None:
    answer = stub.ModelInfer(asked())
    assert (answer.model_name, answer.model_version) == ("fraud", "1")
    assert set(answer.parameters) == {"release", "arm", "prediction_id"}
    for output in answer.outputs:
        assert list(output.shape) == [len(values(answer, output.name))] == [2]


@clause
def _infer_version(stub: Any) -> None:
    assert stub.ModelInfer(asked(model_version="1")).outputs == stub.ModelInfer(asked()).outputs
    refused(stub.ModelInfer, asked(model_version="8"), UNKNOWN, "no version '8'")


@clause
def _request_id(stub: Any) -> None:
    assert stub.ModelInfer(asked(id="one")).id == "one"
    assert stub.ModelInfer(asked()).id == ""


@clause
def _inputs(stub: Any) -> None:
    matrix = [("features", "FP64", [2, 2], "fp64_contents", [0.5, 0.25, -1.0, 0.125])]
    assert stub.ModelInfer(asked(matrix)).outputs == stub.ModelInfer(asked()).outputs
    one = asked()
    del one.inputs[1]
    refused(stub.ModelInfer, one, INVALID, "the model takes x FP64, y FP64, each of shape [n]")
    gap = asked()
    gap.inputs[0].contents.fp64_contents[0] = float("nan")
    refused(stub.ModelInfer, gap, INVALID, "no value of it was missing in training")


@clause
def _row_major(stub: Any) -> None:
    columns = [("features", "FP64", [2, 2], "fp64_contents", [0.5, -1.0, 0.25, 0.125])]
    assert stub.ModelInfer(asked(columns)).outputs != stub.ModelInfer(asked()).outputs


@clause
def _datatypes(stub: Any) -> None:
    fields = {
        **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
        **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
        **{"INT64": "int64_contents", "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents"},
    }
    for datatype, field in fields.items():
        answer = stub.ModelInfer(asked([(name, datatype, [2], field, [1, 0]) for name in XY]))
        assert len(values(answer, "probability")) == 2
    for datatype, field in (("INT8", "int_contents"), ("UINT8", "uint_contents")):
        wide = [(name, datatype, [1], field, [300]) for name in XY]
        refused(stub.ModelInfer, asked(wide), INVALID, "out of range")
    refused(stub.ModelInfer, asked([("x", "FLOAT", [1], "fp32_contents", [1])]), INVALID, "not a datatype")
    refused(stub.ModelInfer, asked([("x", "FP16", [1], "fp32_contents", [1])]), INVALID, "raw_input_contents")
    refused(stub.ModelInfer, asked([("x", "FP64", [1], "fp32_contents", [1])]), INVALID, "instead of fp64_contents")
    assert len(stub.ModelInfer(raw("<f2", "FP16")).raw_output_contents) == 2


@clause
def _requested_outputs(stub: Any) -> None:
    answer = stub.ModelInfer(asked(outputs=[{"name": "label"}, {"name": "probability"}]))
    assert [each.name for each in answer.outputs] == ["label", "probability"]
    refused(stub.ModelInfer, asked(outputs=[{"name": "z"}]), INVALID, "not an output")


@clause
def _output_aliases(stub: Any) -> None:
    own = stub.ModelInfer(asked())
    answer = stub.ModelInfer(asked(outputs=[{"name": "predict"}, {"name": "output-0"}, {"name": "predict_proba"}]))
    assert values(answer, "predict") == values(answer, "output-0") == values(own, "label")
    assert list(answer.outputs[2].shape) == [2, 2]
    assert values(answer, "predict_proba")[1::2] == values(own, "probability")


@clause
def _unknown_parameters(stub: Any) -> None:
    request = asked(outputs=[{"name": "label"}])
    request.parameters["sequence_id"].int64_param = 1
    request.parameters["deep"].double_param = 0.5
    request.inputs[0].parameters["content_type"].string_param = "np"
    request.outputs[0].parameters["content_type"].bool_param = True
    request.parameters["nothing"].SetInParent()
    assert values(stub.ModelInfer(request), "label") == values(stub.ModelInfer(asked()), "label")


@clause
def _unknown_members(stub: Any) -> None:
    extended = asked().SerializeToString() + b"\xfa\x01\x03new"
    answer = pb.ModelInferResponse.FromString(
        stub.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")(extended)
    )
    assert answer.outputs == stub.ModelInfer(asked()).outputs


@clause
def _errors(stub: Any) -> None:
    refused(stub.ModelInfer, pb.ModelInferRequest(model_name="fraud"), INVALID, "no inputs")
    refused(stub.ModelInfer, asked(model_name="nobody"), UNKNOWN, "no model 'nobody'")
    nothing = stub.channel.unary_unary("/inference.GRPCInferenceService/Nothing")
    refused(nothing, b"", grpc.StatusCode.UNIMPLEMENTED, "not found")


@clause
def _binary_input(stub: Any) -> None:
    typed, told = stub.ModelInfer(asked()), stub.ModelInfer(raw("<f4", "FP32"))
    assert np.frombuffer(told.raw_output_contents[0], "<f8").tolist() == values(typed, "probability")
    short = raw()
    del short.raw_input_contents[1]
    refused(stub.ModelInfer, short, INVALID, "raw_input_contents has 1 tensors, inputs has 2")


@clause
def _binary_output(stub: Any) -> None:
    told = stub.ModelInfer(raw())
    assert [each.HasField("contents") for each in told.outputs] == [False, False]
    assert [len(each) for each in told.raw_output_contents] == [16, 16]
    assert not stub.ModelInfer(asked()).raw_output_contents


@clause
def _statistics(stub: Any) -> None:
    request = pb.ModelStatisticsRequest(name="fraud")
    before = stub.ModelStatistics(request).model_stats[0]
    stub.ModelInfer(asked())
    after = stub.ModelStatistics(request).model_stats[0]
    assert (after.name, after.version) == ("fraud", "1")
    assert after.inference_count - before.inference_count == 2
    every = stub.ModelStatistics(pb.ModelStatisticsRequest()).model_stats
    assert {each.name for each in every} >= {"fraud", "price"}


@clause
def _configuration(stub: Any) -> None:
    told = stub.ModelConfig(pb.ModelConfigRequest(name="fraud")).config
    assert [each.data_type for each in told.input] == [12, 12]
    assert (told.backend, list(told.output[0].dims)) == ("onnx", [-1])


@clause
def _repository_index(stub: Any) -> None:
    listed = stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True)).models
    assert ("fraud", "1", "READY") in {(each.name, each.version, each.state) for each in listed}


@clause
def _load_unload(stub: Any) -> None:
    denied = grpc.StatusCode.PERMISSION_DENIED
    refused(stub.RepositoryModelLoad, pb.RepositoryModelLoadRequest(model_name="fraud"), denied, "decided in git")
    refused(stub.RepositoryModelUnload, pb.RepositoryModelUnloadRequest(model_name="fraud"), denied, "decided in git")
    # KServe's message has the name where Triton's has the repository.
    by_kserve = pb.RepositoryModelLoadRequest(repository_name="fraud")
    refused(stub.RepositoryModelLoad, by_kserve, denied, "decided in git")


@clause
def _explain(stub: Any) -> None:
    request = asked()
    request.parameters["explain"].int64_param = 1
    told = json.loads(stub.ModelInfer(request).parameters["reasons"].string_param)
    assert [(each["method"], len(each["contributions"])) for each in told] == [("additive", 1)] * 2
    request.parameters["explain"].string_param = "why"
    refused(stub.ModelInfer, request, INVALID, "how many features")


@clause
def _classification(stub: Any) -> None:
    request = asked(outputs=[{"name": "probability"}])
    request.outputs[0].parameters["classification"].int64_param = 2
    refused(stub.ModelInfer, request, INVALID, "classification is not offered")


@clause
def _shared_memory(stub: Any) -> None:
    request = asked(outputs=[{"name": "probability"}])
    request.outputs[0].parameters["shared_memory_region"].string_param = "r"
    refused(stub.ModelInfer, request, INVALID, "shared_memory_region is not offered")
    there = asked()
    there.inputs[0].ClearField("contents")
    there.inputs[0].parameters["shared_memory_region"].string_param = "r"
    refused(stub.ModelInfer, there, INVALID, "input 'x'")
    unoffered = grpc.StatusCode.UNIMPLEMENTED
    refused(stub.SystemSharedMemoryStatus, pb.SystemSharedMemoryStatusRequest(), unoffered, "not offered here")
    refused(stub.CudaSharedMemoryRegister, pb.CudaSharedMemoryRegisterRequest(name="r"), unoffered, "not offered here")


@clause
def _trace_and_log(stub: Any) -> None:
    unoffered = grpc.StatusCode.UNIMPLEMENTED
    refused(stub.TraceSetting, pb.TraceSettingRequest(), unoffered, "not offered here")
    refused(stub.LogSettings, pb.LogSettingsRequest(), unoffered, "not offered here")


@clause
def _streams(stub: Any) -> None:
    with pytest.raises(grpc.RpcError, match="send each request by ModelInfer") as caught:
        list(stub.ModelStreamInfer(iter([asked()] * 3)))
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("name", CLAUSES)
def test_the_server_keeps_the_clause_over_grpc(stub: Any, name: str) -> None:
    """What the reference page says of the clause over gRPC is what the server does."""
    CLAUSES[name](stub)


def test_every_clause_of_the_page_is_tested_over_grpc() -> None:
    """The page and the tests name the same clauses, in the same order, but those that mean nothing over gRPC."""
    rows = re.findall(r"^\| `([a-z-]+)` \|.*\| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name, said in rows if said != "—"] == list(CLAUSES)
