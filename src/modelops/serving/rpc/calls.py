"""Each call of the protocol as the request that asks the same over REST, and the answer turned back.

So keys, rates, budgets, routes, the log, deadlines, limits and counts are the same by whichever way a caller comes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote

import orjson
from google.protobuf import json_format
from google.protobuf.message import DecodeError

from modelops.errors import failure
from modelops.serving.forms import Form
from modelops.serving.http import Answer
from modelops.serving.protocol import refusal
from modelops.serving.rpc.messages import HEALTH_SERVICE, SERVICE, message
from modelops.serving.rpc.tensors import MESSAGES

__all__ = ["CALLS", "REFUSED", "Call"]

LONGEST_NAME = 1024
"""Characters of a model's name that are looked at; none is as long."""
_NAMED = message("modelops.Named")


class Call(NamedTuple):
    """One method: the method and path of the same question over REST, the form of its body, and the answer's bytes."""

    ask: Callable[[bytes], tuple[bytes, str, bytes]]
    form: Form | None = None
    tell: Callable[[Answer], bytes] = lambda answer: answer.body


def _get(path: str) -> Callable[[bytes], tuple[bytes, str, bytes]]:
    return lambda _: (b"GET", path, b"")


def _named(body: bytes) -> tuple[str, str]:
    """Return the first two texts of a message: mostly the name of a model and a version."""
    try:
        found = _NAMED.FromString(body)
    except DecodeError:
        raise refusal("the request is not a message of this call") from None
    if len(found.first) > LONGEST_NAME or len(found.second) > LONGEST_NAME:
        raise failure("unknown-model", f"there is no model {found.first[:200]!r}")
    return found.first, found.second


def _model_path(body: bytes, tail: str) -> str:
    name, version = _named(body)
    at = f"/versions/{quote(version, safe='')}" if version else ""
    return f"/v2/models/{quote(name, safe='')}{at}{tail}"


def _of_model(tail: str) -> Callable[[bytes], tuple[bytes, str, bytes]]:
    return lambda body: (b"GET", _model_path(body, tail), b"")


def _ask_infer(body: bytes) -> tuple[bytes, str, bytes]:
    return b"POST", _model_path(body, "/infer"), body


def _ask_stats(body: bytes) -> tuple[bytes, str, bytes]:
    name, _ = _named(body)
    return b"GET", _model_path(body, "/stats") if name else "/v2/models/stats", b""


def _ask_index(body: bytes) -> tuple[bytes, str, bytes]:
    try:
        ready = message("inference.RepositoryIndexRequest").FromString(body).ready
    except DecodeError:
        raise refusal("the request is not a RepositoryIndexRequest") from None
    return b"POST", "/v2/repository/index", orjson.dumps({"ready": ready})


def _ask_load(verb: str) -> Callable[[bytes], tuple[bytes, str, bytes]]:
    def ask(body: bytes) -> tuple[bytes, str, bytes]:
        # KServe's message begins with the model, Triton's with the repository.
        first, second = _named(body)
        return b"POST", f"/v2/repository/models/{quote(second or first, safe='')}/{verb}", b"{}"

    return ask


def _ask_health(body: bytes) -> tuple[bytes, str, bytes]:
    service, _ = _named(body)
    if service not in ("", SERVICE):
        raise failure("unknown-path", f"there is no service {service[:200]!r}")
    return b"GET", "/v2/health/ready", b""


def _as(name: str, outer: str | None = None) -> Callable[[Answer], bytes]:
    kind = message(f"inference.{name}")

    def tell(answer: Answer) -> bytes:
        said = orjson.loads(answer.body)
        told: bytes = json_format.ParseDict(
            said if outer is None else {outer: said}, kind(), ignore_unknown_fields=True
        ).SerializeToString()
        return told

    return tell


def _whether(name: str, field: str) -> Callable[[Answer], bytes]:
    kind = message(f"inference.{name}")

    def tell(answer: Answer) -> bytes:
        told: bytes = kind(**{field: answer.status == 200}).SerializeToString()
        return told

    return tell


def _tell_health(answer: Answer) -> bytes:
    serving, not_serving = 1, 2
    status = serving if answer.status == 200 else not_serving
    told: bytes = message("grpc.health.v1.HealthCheckResponse")(status=status).SerializeToString()
    return told


CALLS: Mapping[str, Call] = {
    f"/{SERVICE}/ServerLive": Call(_get("/v2/health/live"), None, _whether("ServerLiveResponse", "live")),
    f"/{SERVICE}/ServerReady": Call(_get("/v2/health/ready"), None, _whether("ServerReadyResponse", "ready")),
    f"/{SERVICE}/ModelReady": Call(_of_model("/ready"), None, _whether("ModelReadyResponse", "ready")),
    f"/{SERVICE}/ServerMetadata": Call(_get("/v2"), None, _as("ServerMetadataResponse")),
    f"/{SERVICE}/ModelMetadata": Call(_of_model(""), None, _as("ModelMetadataResponse")),
    f"/{SERVICE}/ModelInfer": Call(_ask_infer, MESSAGES),
    f"/{SERVICE}/ModelConfig": Call(_of_model("/config"), None, _as("ModelConfigResponse", "config")),
    f"/{SERVICE}/ModelStatistics": Call(_ask_stats, None, _as("ModelStatisticsResponse")),
    f"/{SERVICE}/RepositoryIndex": Call(_ask_index, None, _as("RepositoryIndexResponse", "models")),
    f"/{SERVICE}/RepositoryModelLoad": Call(_ask_load("load")),
    f"/{SERVICE}/RepositoryModelUnload": Call(_ask_load("unload")),
    f"/{HEALTH_SERVICE}/Check": Call(_ask_health, None, _tell_health),
}
"""What is answered, by the method's full name."""
READINESS = frozenset(
    f"/{name}" for name in (f"{SERVICE}/ServerReady", f"{SERVICE}/ModelReady", f"{HEALTH_SERVICE}/Check")
)
"""To these not being ready is an answer, not a failure."""
REFUSED: Mapping[str, str] = {
    f"/{SERVICE}/ModelStreamInfer": "streams are not answered here: send each request by ModelInfer",
    f"/{HEALTH_SERVICE}/Watch": "streams are not answered here: ask by Check",
    **{
        f"/{SERVICE}/{name}": "this extension is not offered here"
        for name in (
            *("SystemSharedMemoryStatus", "SystemSharedMemoryRegister", "SystemSharedMemoryUnregister"),
            *("CudaSharedMemoryStatus", "CudaSharedMemoryRegister", "CudaSharedMemoryUnregister"),
            *("TraceSetting", "LogSettings"),
        )
    },
}
"""What clients know and is not here, with the reason."""
