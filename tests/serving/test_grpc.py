"""The protocol over gRPC: what REST answers, by messages, with the same keys, routes, log, limits and counts."""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from google.protobuf import descriptor_pb2
from tritonclient.grpc import model_config_pb2, service_pb2
from tritonclient.utils import InferenceServerException

from modelops.serving.rpc.messages import message, proto
from modelops.stores import Store
from serving.served_models import Running, route, running, write_table
from waiting import PATIENCE, wait_for

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SERVICE = "/inference.GRPCInferenceService"
CHURN: dict[str, tuple[str, Any]] = {
    "amount": ("FP64", 3.5),
    "items": ("INT64", 2),
    "country": ("BYTES", "DE"),
    "abroad": ("BOOL", False),
    "opened": ("BYTES", "2026-01-03T00:00:00Z"),
}


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[triton.InferenceServerClient]:
    with contextlib.closing(triton.InferenceServerClient(server.grpc)) as opened:
        yield opened


@pytest.fixture(scope="module")
def call(server: Running) -> Iterator[Callable[..., Any]]:
    """Return what sends one message as it is to a method, and returns the bytes of the answer."""
    with grpc.insecure_channel(server.grpc, options=[("grpc.max_send_message_length", -1)]) as channel:

        def send(body: Any, method: str = "ModelInfer", **how: Any) -> Any:
            data = body if isinstance(body, bytes) else body.SerializeToString()
            answer = channel.unary_unary(f"{SERVICE}/{method}")(data, **{"timeout": PATIENCE, **how})
            return answer if method != "ModelInfer" else service_pb2.ModelInferResponse.FromString(answer)

        yield send


def refused(send: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        send()
    return caught.value.code(), caught.value.details()


def tensor(name: str, datatype: str, values: Any) -> triton.InferInput:
    kinds = {"FP64": np.float64, "FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_, "BYTES": np.object_}
    array = np.array(values, dtype=kinds[datatype])
    made = triton.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


XY = [("x", [0.5, -1.0]), ("y", [0.25, 0.125])]


def inputs() -> list[triton.InferInput]:
    return [tensor(name, "FP64", values) for name, values in XY]


def typed(**changes: Any) -> Any:
    """Return a request with typed contents."""
    asked = service_pb2.ModelInferRequest(**{"model_name": "fraud"} | changes)
    for name, values in XY:
        added = asked.inputs.add(name=name, datatype="FP64", shape=[len(values)])
        added.contents.fp64_contents.extend(values)
    return asked


def by_rest(server: Running, model: str = "fraud") -> dict[str, list[Any]]:
    body = {"inputs": [{"name": n, "shape": [len(v)], "datatype": "FP64", "data": v} for n, v in XY]}
    return {each["name"]: each["data"] for each in server.ask(f"/v2/models/{model}/infer", body).json["outputs"]}


def test_the_messages_are_those_of_the_protocol() -> None:
    """Names, numbers and types of every field are Triton's, and the file for others says the same."""

    def fields(messages: Any, prefix: str = "") -> dict[str, set[Any]]:
        found = {}
        for each in messages:
            found[prefix + each.name] = {(f.name, f.number, f.type, f.label, f.type_name) for f in each.field}
            found |= fields(each.nested_type, f"{prefix}{each.name}.")
        return found

    def described(descriptor: Any) -> dict[str, set[Any]]:
        file = descriptor_pb2.FileDescriptorProto()
        descriptor.CopyToProto(file)
        return fields(file.message_type)

    theirs = described(service_pb2.DESCRIPTOR) | described(model_config_pb2.DESCRIPTOR)
    ours = described(message("inference.ModelInferRequest").DESCRIPTOR.file)
    assert {name: kept - theirs[name] for name, kept in ours.items() if kept - theirs[name]} == {}
    assert ours["ModelInferRequest"] == theirs["ModelInferRequest"]
    assert ours["ModelInferResponse"] == theirs["ModelInferResponse"]
    assert proto() == (Path(__file__).resolve().parents[2] / "docs/reference/open_inference.proto").read_text()


def test_tritonclient_reads_health_and_metadata(client: triton.InferenceServerClient) -> None:
    """What its client asks of a server and of a model is answered as over REST."""
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fraud")
    assert client.is_model_ready("payments/churn", "3")
    assert client.get_server_metadata(as_json=True)["name"] == "modelops"
    told = client.get_model_metadata("payments/churn", as_json=True)
    assert [(each["name"], each["datatype"]) for each in told["inputs"]] == [(n, d) for n, (d, _) in CHURN.items()]
    config = client.get_model_config("fraud", as_json=True)["config"]
    assert [each["data_type"] for each in config["output"]] == ["TYPE_FP64", "TYPE_INT64"]
    assert {each["name"] for each in client.get_model_repository_index(as_json=True)["models"]} == {
        "fraud",
        "payments/churn",
        "price",
        "risk",
    }
    stats = client.get_inference_statistics(as_json=True)["model_stats"]
    assert {each["name"] for each in stats} == {"fraud", "payments/churn", "price", "risk"}


def test_tritonclient_gets_what_rest_answers(client: triton.InferenceServerClient, server: Running) -> None:
    """Raw tensors come back raw, compressed or not, with the id and the parameters of the answer."""
    for compression in (None, "gzip", "deflate"):
        answer = client.infer("fraud", inputs(), request_id="r-1", compression_algorithm=compression)
        told = answer.get_response()
        assert (told.model_name, told.model_version, told.id) == ("fraud", "1", "r-1")
        assert told.parameters["arm"].string_param == "stable"
        assert len(told.raw_output_contents) == 2
        assert {name: answer.as_numpy(name).tolist() for name in ("probability", "label")} == by_rest(server)


def test_every_type_of_input_is_taken(client: triton.InferenceServerClient, server: Running) -> None:
    """Texts, whole numbers, truths and dates are bound as over REST, and labels that are texts come back."""
    asked = [
        tensor(name, datatype, [value.encode() if datatype == "BYTES" else value])
        for name, (datatype, value) in CHURN.items()
    ]
    answer = client.infer("payments/churn", asked, parameters={"entity_id": "e-1", "vip": True, "n": 3})
    body = {"inputs": [{"name": n, "shape": [1], "datatype": d, "data": [v]} for n, (d, v) in CHURN.items()]}
    over_rest = server.ask("/v2/models/payments/churn/infer", body).json["outputs"]
    assert answer.as_numpy("probability").tolist() == over_rest[0]["data"]
    assert [label.decode() for label in answer.as_numpy("label")] == over_rest[1]["data"]
    raw = tensor("features", "FP32", [[0.5, 0.25], [-1.0, 0.125]])
    assert client.infer("fraud", [raw]).as_numpy("label").tolist() == by_rest(server)["label"]


def test_typed_contents_come_back_typed(call: Callable[..., Any], server: Running) -> None:
    """Values in contents are answered in contents; a NaN is a missing value; an alias of an output has its name."""
    answer = call(typed(outputs=[{"name": "predict"}, {"name": "probability"}]))
    assert not answer.raw_output_contents
    assert [each.name for each in answer.outputs] == ["predict", "probability"]
    assert list(answer.outputs[0].contents.int64_contents) == by_rest(server)["label"]
    assert list(answer.outputs[1].contents.fp64_contents) == by_rest(server)["probability"]
    risk = service_pb2.ModelInferRequest(model_name="risk")
    x = risk.inputs.add(name="x", datatype="FP64", shape=[2])
    x.contents.fp64_contents.extend([float("nan"), 0.5])
    group = risk.inputs.add(name="group", datatype="BYTES", shape=[2])
    group.contents.bytes_contents.extend([b"a", b""])
    told = call(risk)
    assert list(told.outputs[0].shape) == [2, 3]
    assert all(label in (b"low", b"mid", b"high") for label in told.outputs[1].contents.bytes_contents)
    whole = service_pb2.ModelInferRequest(model_name="fraud")
    for name, datatype, field in (("x", "INT8", "int_contents"), ("y", "UINT64", "uint64_contents")):
        getattr(whole.inputs.add(name=name, datatype=datatype, shape=[1]).contents, field).append(1)
    assert call(whole).outputs[0].shape == [1]


def broken(change: Callable[[Any], object], **changes: Any) -> Any:
    asked = typed(**changes)
    change(asked)
    return asked


WRONG: dict[str, tuple[Any, grpc.StatusCode, str]] = {
    "no-message": (b"\xff\xff", INVALID, "not a message of this call"),
    "no-such-request": (
        typed().SerializeToString() + b"\x2a\x03\xff\xff\xff", INVALID, "not a ModelInferRequest"
    ),
    "unknown-model": (typed(model_name="nope"), grpc.StatusCode.NOT_FOUND, "there is no model 'nope'"),
    "no-model": (typed(model_name=""), grpc.StatusCode.NOT_FOUND, "there is no model ''"),
    "a-path": (typed(model_name="../../metrics"), grpc.StatusCode.NOT_FOUND, "there is no model"),
    "long-name": (typed(model_name="x" * 5000), grpc.StatusCode.NOT_FOUND, "there is no model"),
    "unknown-version": (typed(model_version="9"), grpc.StatusCode.NOT_FOUND, "no version '9'"),
    "no-inputs": (service_pb2.ModelInferRequest(model_name="fraud"), INVALID, "no inputs"),
    "one-missing": (broken(lambda r: r.inputs.pop()), INVALID, "the model takes x FP64, y FP64"),
    "shape": (broken(lambda r: r.inputs[0].shape.append(3)), INVALID, "needs 6 values"),
    "no-values": (
        broken(lambda r: r.inputs[0].ClearField("contents")), INVALID, "needs 2 values, there are 0"
    ),
    "other-contents": (
        broken(lambda r: setattr(r.inputs[0], "datatype", "INT64")),
        INVALID,
        "in fp64_contents instead of int64_contents",
    ),
    "datatype": (
        broken(lambda r: setattr(r.inputs[0], "datatype", "FLOAT")), INVALID, "not a datatype"
    ),
    "half-floats": (
        broken(lambda r: setattr(r.inputs[0], "datatype", "FP16")), INVALID, "raw_input_contents"
    ),
    "infinite": (
        broken(lambda r: r.inputs[0].contents.fp64_contents.__setitem__(0, float("inf"))),
        INVALID,
        "infinite",
    ),
    "raw-and-typed": (
        broken(lambda r: r.raw_input_contents.extend([b"\0" * 16, b"\0" * 16])),
        INVALID,
        "both contents and raw_input_contents",
    ),
    "raw-count": (
        broken(lambda r: r.raw_input_contents.append(b"")), INVALID, "has 1 tensors, inputs has 2"
    ),
    "raw-size": (
        broken(
            lambda r: (
                [each.ClearField("contents") for each in r.inputs],
                r.raw_input_contents.extend([b"\0" * 8, b"\0" * 24]),
            )
        ),
        INVALID,
        "needs 2 values, found 1",
    ),
    "output": (typed(outputs=[{"name": "z"}]), INVALID, "'z' is not an output of this model"),
    "long-id": (typed(id="i" * 1025), INVALID, "longer than 1024"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_message_is_refused_with_its_reason(call: Callable[..., Any], name: str) -> None:
    """The status says whose fault it is, the text what is wrong; nothing of it is the server's."""
    body, code, said = WRONG[name]
    found, text = refused(lambda: call(body))
    assert found is code
    assert said in text


def test_what_is_not_offered_is_refused_cleanly(server: Running, client: triton.InferenceServerClient) -> None:
    """Streams, shared memory, traces and unknown methods are UNIMPLEMENTED; load and unload are decided in git."""
    for asked in (client.load_model, client.unload_model):
        with pytest.raises(InferenceServerException, match="decided in git") as caught:
            asked("fraud")
        assert caught.value.status() == "StatusCode.PERMISSION_DENIED"
    for asked in (client.get_system_shared_memory_status, client.get_trace_settings, client.get_log_settings):
        with pytest.raises(InferenceServerException, match="not offered here") as caught:
            asked()
        assert caught.value.status() == "StatusCode.UNIMPLEMENTED"
    with grpc.insecure_channel(server.grpc) as channel:
        stream = channel.stream_stream(f"{SERVICE}/ModelStreamInfer")
        code, said = refused(lambda: list(stream(iter([typed().SerializeToString()] * 3))))
        assert (code, "by ModelInfer" in said) == (grpc.StatusCode.UNIMPLEMENTED, True)
        code, _ = refused(lambda: channel.unary_unary(f"{SERVICE}/ModelDelete")(b""))
        assert code is grpc.StatusCode.UNIMPLEMENTED
        # The health check of gRPC itself, which Kubernetes asks.
        health = channel.unary_unary("/grpc.health.v1.Health/Check")
        assert health(b"") == b"\x08\x01"
        code, _ = refused(lambda: health(message("grpc.health.v1.HealthCheckRequest")(service="x").SerializeToString()))
        assert code is grpc.StatusCode.NOT_FOUND


@pytest.mark.slow
def test_kserve_asks_over_grpc(server: Running) -> None:
    """KServe's client, in a process of its own as it brings the same messages along, is answered."""
    if find_spec("kserve") is None:
        pytest.skip("kserve is not installed")
    program = """
import asyncio, sys
from kserve import InferenceGRPCClient, InferInput, InferRequest

async def main():
    async with InferenceGRPCClient(sys.argv[1], use_ssl=False) as client:
        assert await client.is_server_live() and await client.is_server_ready()
        assert await client.is_model_ready("fraud")
        inputs = [InferInput(n, [2], "FP64", v) for n, v in (("x", [0.5, -1.0]), ("y", [0.25, 0.125]))]
        answer = await client.infer(InferRequest("fraud", inputs, "k-1"))
        for verb in (client.load_model, client.unload_model) if hasattr(client, "load_model") else ():
            try:
                await verb("fraud")
            except Exception as error:
                assert "decided in git" in str(error), error
            else:
                raise AssertionError("it was not refused")
        print(answer.id, [(o.name, [float(v) for v in o.as_numpy()]) for o in answer.outputs])

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, server.grpc], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    told = by_rest(server)
    wanted = [(name, [float(value) for value in told[name]]) for name in ("probability", "label")]
    assert done.stdout.split(maxsplit=1) == ["k-1", f"{wanted}\n"]


def test_messages_are_bounded(call: Callable[..., Any]) -> None:
    """More than 8 MiB is refused, packed or not, and so is a head of more than 32 KiB."""
    large = service_pb2.ModelInferRequest(model_name="fraud", raw_input_contents=[b"\0" * (9 << 20)])
    for compression in (None, grpc.Compression.Gzip):
        code, said = refused(lambda how=compression: call(large, compression=how))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in said
    code, _ = refused(lambda: call(typed(), metadata=[("x", "y" * 100_000)]))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call(typed()).model_name == "fraud"


def test_a_caller_who_gives_up_blames_nobody(call: Callable[..., Any], server: Running) -> None:
    """A deadline that passes, and a call that is taken back, are the caller's and count as such."""

    def failed() -> Any:
        stats = server.ask("/v2/models/price/stats").json["model_stats"][0]["inference_stats"]
        return stats["fail"]["count"]

    asked = service_pb2.ModelInferRequest(model_name="price")
    for name in ("x", "y"):
        asked.inputs.add(name=name, datatype="FP64", shape=[30_000]).contents.fp64_contents.extend([0.5] * 30_000)
    before = failed()
    code, _ = refused(lambda: call(asked, timeout=0.005))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    with grpc.insecure_channel(server.grpc) as channel:
        future = channel.unary_unary(f"{SERVICE}/ModelInfer").future(asked.SerializeToString())
        time.sleep(0.005)
        future.cancel()
    assert call(typed(model_name="price")).model_name == "price"
    assert failed() == before


def test_keys_rates_and_sight_are_those_of_rest(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """A call shows its key as metadata; what the key may not do or see is refused as over REST, and counted with it."""

    def key(name: str, **more: Any) -> dict[str, Any]:
        return {"name": name, "sha256": hashlib.sha256(name.encode()).hexdigest(), "scopes": ["infer"]} | more

    models = {
        name: route(("stable", 1, digests[each], 1.0)) for name, each in (("fraud", "fraud-1"), ("price", "price"))
    }
    keys = [
        key("one", models=["fraud"]),
        key("slow", rate={"requestsPerSecond": 0.001, "burst": 2}),
        key("admin", scopes=["admin"]),
    ]
    write_table(tmp_path / "routes.json", models, keys=keys)
    with running(tmp_path, store, None, grpc_port=0) as server, grpc.insecure_channel(server.grpc) as channel:
        wait_for(lambda: server.ask("/v2/health/ready").status == 200)

        def ask(name: str | None, body: Any, method: str = "ModelInfer", field: str = "x-api-key") -> Any:
            metadata = [(field, name if field == "x-api-key" else f"Bearer {name}")] if name else []
            call = channel.unary_unary(f"{SERVICE}/{method}")
            return call(body.SerializeToString(), metadata=metadata, timeout=PATIENCE)

        live = service_pb2.ServerLiveRequest()
        assert ask(None, live, "ServerLive")
        for given in (None, "wrong"):
            assert refused(lambda given=given: ask(given, typed()))[0] is grpc.StatusCode.UNAUTHENTICATED
        assert ask("one", typed())
        assert ask("one", typed(), field="authorization")
        code, said = refused(lambda: ask("one", typed(model_name="price")))
        assert (code, "price" in said.replace("'price'", "")) == (grpc.StatusCode.NOT_FOUND, False)
        code, said = refused(lambda: ask("admin", typed()))
        assert (code, "no scope 'infer'" in said) == (grpc.StatusCode.PERMISSION_DENIED, True)
        index = service_pb2.RepositoryIndexResponse.FromString(
            ask("one", service_pb2.RepositoryIndexRequest(), "RepositoryIndex")
        )
        assert [each.name for each in index.models] == ["fraud"]
        assert ask("slow", typed())
        assert server.ask("/v2/models/fraud/predict", {"x": 1, "y": 1}, headers={"x-api-key": "slow"}).status == 200
        with pytest.raises(grpc.RpcError) as caught:
            ask("slow", typed())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(caught.value.trailing_metadata())["retry-after"]) > 1
        twice = [("authorization", "Bearer wrong"), ("authorization", "Bearer one")]
        code, said = refused(
            lambda: channel.unary_unary(f"{SERVICE}/ModelInfer")(typed().SerializeToString(), metadata=twice)
        )
        assert (code, "more than one authorization" in said) == (INVALID, True)


def test_calls_are_routed_and_logged_as_requests_are(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """An entity goes to the same arm by either way, a version is pinned, and every answered row is in the log."""
    import sqlite3

    arms = ("stable", 1, digests["fraud-1"], 0.5), ("candidate", 2, digests["fraud-2"], 0.5)
    with running(tmp_path, store, {"fraud": route(*arms, log="acknowledged")}, grpc_port=0) as server:
        with grpc.insecure_channel(server.grpc) as channel:

            def ask(entity: str, **more: Any) -> Any:
                asked = typed(**more)
                asked.parameters["entity_id"].string_param = entity
                return service_pb2.ModelInferResponse.FromString(
                    channel.unary_unary(f"{SERVICE}/ModelInfer")(asked.SerializeToString(), timeout=PATIENCE)
                )

            ids, arm_of = [], {}
            for entity in map(str, range(12)):
                answer = ask(entity)
                record = {"records": [{"x": 1, "y": 1}], "parameters": {"entity_id": entity}}
                over_rest = server.ask("/v2/models/fraud/predict", record).json
                assert over_rest["model_version"] == answer.model_version
                arm_of[entity] = answer.model_version
                ids += [f"{answer.parameters['prediction_id'].string_param}.{row}" for row in (0, 1)]
            assert set(arm_of.values()) == {"1", "2"}
            assert {ask(entity, model_version="2").model_version for entity in arm_of} == {"2"}
        logged = {}
        for file in server.log.glob("*.sqlite"):
            with contextlib.closing(sqlite3.connect(file)) as connection:
                for id, arm, entity in connection.execute("select id, arm, entity from predictions"):
                    logged[id] = arm, entity
    assert set(ids) <= set(logged)
    assert sum(arm == "pinned" for arm, _ in logged.values()) == 24


def test_a_server_that_goes_away_loses_no_call(tmp_path: Path, store: Store, digests: dict[str, str]) -> None:
    """Within its notice readiness is false and connections are told to leave: who then asks elsewhere loses nothing."""
    answers: list[Any] = []
    models = {"fraud": route(("stable", 1, digests["fraud-1"], 1.0))}
    with running(tmp_path, store, models, grpc_port=0, notice_seconds=2.5) as server:
        ending = threading.Event()

        def ask() -> None:
            states: list[grpc.ChannelConnectivity] = []
            with grpc.insecure_channel(server.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                channel.subscribe(lambda state: states.append(state) if ending.is_set() else None)
                infer, ready = (channel.unary_unary(f"{SERVICE}/{name}") for name in ("ModelInfer", "ServerReady"))
                # A connection that ends while readiness is false is where a balancer sends its caller elsewhere.
                while grpc.ChannelConnectivity.IDLE not in states:
                    try:
                        infer(typed().SerializeToString(), timeout=PATIENCE)
                        ended, told = ending.is_set(), ready(b"", timeout=PATIENCE)
                    except grpc.RpcError as error:
                        # The news that the connection has ended comes later than the attempt to connect again.
                        if error.code() is grpc.StatusCode.UNAVAILABLE and "refused" in error.details():
                            break
                        raise
                    answers.append((ended, service_pb2.ServerReadyResponse.FromString(told).ready))
                    time.sleep(0.02 if ended else 0)
                answers.append("left")

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: (False, True) in answers)
        ending.set()
    for thread in threads:
        thread.join()
    assert answers.count("left") == 4
    assert (True, False) in answers
