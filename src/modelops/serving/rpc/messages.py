"""The messages of the Open Inference Protocol over gRPC, described when the server starts.

Names and numbers are those of the protocol's public specification (Apache-2.0, kserve/open-inference-protocol) and of
gRPC's health check. They live in a pool of their own: in the default one they would collide with those that a client in
the same process brings along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["HEALTH_SERVICE", "METHODS", "SERVICE", "message", "proto"]

SERVICE = "inference.GRPCInferenceService"
HEALTH_SERVICE = "grpc.health.v1.Health"

_PARAMETERS = "map<InferParameter> parameters"
_MESSAGES: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "bool live = 1",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "bool ready = 1",
    "ModelReadyRequest": "string name = 1; string version = 2",
    "ModelReadyResponse": "bool ready = 1",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "string name = 1; string version = 2; repeated string extensions = 3",
    "ModelMetadataRequest": "string name = 1; string version = 2",
    "ModelMetadataResponse": (
        "string name = 1; repeated string versions = 2; string platform = 3; "
        "repeated ModelMetadataResponse.TensorMetadata inputs = 4; "
        "repeated ModelMetadataResponse.TensorMetadata outputs = 5"
    ),
    "ModelMetadataResponse.TensorMetadata": "string name = 1; string datatype = 2; repeated int64 shape = 3",
    "InferParameter": (
        "oneof bool bool_param = 1; oneof int64 int64_param = 2; oneof string string_param = 3; "
        "oneof double double_param = 4; oneof uint64 uint64_param = 5"
    ),
    "InferTensorContents": (
        "repeated bool bool_contents = 1; repeated int32 int_contents = 2; repeated int64 int64_contents = 3; "
        "repeated uint32 uint_contents = 4; repeated uint64 uint64_contents = 5; repeated float fp32_contents = 6; "
        "repeated double fp64_contents = 7; repeated bytes bytes_contents = 8"
    ),
    "ModelInferRequest": (
        f"string model_name = 1; string model_version = 2; string id = 3; {_PARAMETERS} = 4; "
        "repeated ModelInferRequest.InferInputTensor inputs = 5; "
        "repeated ModelInferRequest.InferRequestedOutputTensor outputs = 6; repeated bytes raw_input_contents = 7"
    ),
    "ModelInferRequest.InferInputTensor": (
        f"string name = 1; string datatype = 2; repeated int64 shape = 3; {_PARAMETERS} = 4; "
        "InferTensorContents contents = 5"
    ),
    "ModelInferRequest.InferRequestedOutputTensor": f"string name = 1; {_PARAMETERS} = 2",
    "ModelInferResponse": (
        f"string model_name = 1; string model_version = 2; string id = 3; {_PARAMETERS} = 4; "
        "repeated ModelInferResponse.InferOutputTensor outputs = 5; repeated bytes raw_output_contents = 6"
    ),
    "ModelInferResponse.InferOutputTensor": (
        f"string name = 1; string datatype = 2; repeated int64 shape = 3; {_PARAMETERS} = 4; "
        "InferTensorContents contents = 5"
    ),
    "RepositoryIndexRequest": "string repository_name = 1; bool ready = 2",
    "RepositoryIndexResponse": "repeated RepositoryIndexResponse.ModelIndex models = 1",
    "RepositoryIndexResponse.ModelIndex": ("string name = 1; string version = 2; string state = 3; string reason = 4"),
    "ModelConfigRequest": "string name = 1; string version = 2",
    "ModelConfigResponse": "ModelConfig config = 1",
    "ModelConfig": (
        "string name = 1; string platform = 2; ModelVersionPolicy version_policy = 3; int32 max_batch_size = 4; "
        "repeated ModelInput input = 5; repeated ModelOutput output = 6; string backend = 17"
    ),
    "ModelVersionPolicy": "ModelVersionPolicy.Specific specific = 3",
    "ModelVersionPolicy.Specific": "repeated int64 versions = 1",
    "ModelInput": "string name = 1; DataType data_type = 2; repeated int64 dims = 4",
    "ModelOutput": "string name = 1; DataType data_type = 2; repeated int64 dims = 3",
    "ModelStatisticsRequest": "string name = 1; string version = 2",
    "ModelStatisticsResponse": "repeated ModelStatistics model_stats = 1",
    "ModelStatistics": (
        "string name = 1; string version = 2; uint64 last_inference = 3; uint64 inference_count = 4; "
        "uint64 execution_count = 5; InferStatistics inference_stats = 6"
    ),
    "InferStatistics": (
        "StatisticDuration success = 1; StatisticDuration fail = 2; StatisticDuration queue = 3; "
        "StatisticDuration compute_input = 4; StatisticDuration compute_infer = 5; StatisticDuration compute_output = 6"
    ),
    "StatisticDuration": "uint64 count = 1; uint64 ns = 2",
}
"""Fields by message; those marked ``oneof`` exclude each other. Of the extensions only what is answered is here."""
_DATA_TYPES = (
    *("TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64", "TYPE_INT8"),
    *("TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING"),
)
METHODS = (
    *("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer"),
    *("RepositoryIndex", "ModelConfig", "ModelStatistics"),
)
"""What is answered, each with a Request and a Response of its name."""

_Field = descriptor_pb2.FieldDescriptorProto
_FIELD = re.compile(r"(?:(repeated|oneof) )?(map<)?([\w.]+)>? (\w+) = (\d+)")
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "double": _Field.TYPE_DOUBLE,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
}


def _described() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package="inference", syntax="proto3")
    types = file.enum_type.add(name="DataType")
    for number, name in enumerate(_DATA_TYPES):
        types.value.add(name=name, number=number)
    known: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, fields in _MESSAGES.items():
        outer, _, inner = name.rpartition(".")
        described = known[outer].nested_type.add() if outer else file.message_type.add()
        described.name = inner
        known[name] = described
        for mark, mapped, kind, field, number in _FIELD.findall(fields):
            _add_field(described, name, mark, bool(mapped), kind, field, int(number))
    health = descriptor_pb2.FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
    asked, told = (
        health.message_type.add(name="HealthCheckRequest"),
        health.message_type.add(name="HealthCheckResponse"),
    )
    _add_field(asked, "HealthCheckRequest", "", False, "string", "service", 1)
    # An enumeration there; on the wire it is the same number.
    _add_field(told, "HealthCheckResponse", "", False, "int32", "status", 1)
    named = descriptor_pb2.FileDescriptorProto(name="named.proto", package="modelops", syntax="proto3")
    first = named.message_type.add(name="Named")
    for number, field in enumerate(("first", "second"), 1):
        _add_field(first, "Named", "", False, "string", field, number)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    pool.Add(health)
    pool.Add(named)
    return pool


def _add_field(
    described: descriptor_pb2.DescriptorProto, full: str, mark: str, mapped: bool, kind: str, name: str, number: int
) -> None:
    field = described.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if mapped:
        entry = described.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _add_field(entry, full, "", False, "string", "key", 1)
        _add_field(entry, full, "", False, kind, "value", 2)
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".inference.{full}.ParametersEntry"
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    elif kind == "DataType":
        field.type, field.type_name = _Field.TYPE_ENUM, ".inference.DataType"
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".inference.{kind}"
    if mark == "repeated" or mapped:
        field.label = _Field.LABEL_REPEATED
    elif mark == "oneof":
        if not described.oneof_decl:
            described.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0


_POOL = _described()


def message(name: str) -> Any:
    """Return the class of a message, such as ``inference.ModelInferRequest``.

    ``modelops.Named`` reads the first two texts of any message and passes the rest over.
    """
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(name))


def proto() -> str:
    """Return what is described here as a .proto file, from which others can generate clients."""
    lines = ['syntax = "proto3";', "", "package inference;", "", "service GRPCInferenceService {"]
    lines += [f"  rpc {name}({name}Request) returns ({name}Response) {{}}" for name in METHODS]
    lines += ["}", "", "enum DataType {"]
    lines += [f"  {name} = {number};" for number, name in enumerate(_DATA_TYPES)]
    lines += ["}"]
    for name in (each for each in _MESSAGES if "." not in each):
        lines += ["", *_written(name, "")]
    return "\n".join(lines) + "\n"


def _written(name: str, indent: str) -> list[str]:
    lines = [f"{indent}message {name.rpartition('.')[2]} {{"]
    for inner in (each for each in _MESSAGES if each.rpartition(".")[0] == name):
        lines += [*_written(inner, indent + "  "), ""]
    fields = [
        (mark, f"map<string, {kind}>" if mapped else kind.rpartition(".")[2], field, number)
        for mark, mapped, kind, field, number in _FIELD.findall(_MESSAGES[name])
    ]
    chosen = [f"{indent}    {kind} {field} = {number};" for mark, kind, field, number in fields if mark == "oneof"]
    if chosen:
        lines += [f"{indent}  oneof parameter_choice {{", *chosen, f"{indent}  }}"]
    for mark, kind, field, number in fields:
        if mark != "oneof":
            lines.append(f"{indent}  {'repeated ' if mark else ''}{kind} {field} = {number};")
    return [*lines, f"{indent}}}"]
