"""The ASGI application: finds the endpoint of a path and always answers in the protocol's form."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson

from modelops import __version__
from modelops.clock import Clock
from modelops.errors import ModelOpsError, failure
from modelops.predictions import PredictionLog
from modelops.serving.feedback import take_feedback
from modelops.serving.infer import Answer, Inference
from modelops.serving.metrics import CONTENT_TYPE, ServerMetrics
from modelops.serving.protocol import BODY_LIMIT, STATUS, inflate, refusal
from modelops.serving.table import Endpoint, LoadedModel, LoadedTable
from modelops.serving.watch import Watcher

__all__ = ["App"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_DRAIN_LIMIT = 8 * BODY_LIMIT
_POST = frozenset({"infer", "feedback", "index"})
_BROKEN = orjson.dumps({"error": "the server failed on this request; its log has the reason"})


class App:
    """Answers for the table that its watcher holds."""

    def __init__(self, watcher: Watcher, log: PredictionLog, metrics: ServerMetrics, clock: Clock) -> None:
        self.draining = False
        self._watcher = watcher
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._inference = Inference(log, clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever happens inside, the caller gets JSON and a status."""
        if scope["type"] != "http":
            return
        answer: Answer | None = None
        model = ""
        try:
            table = self._watcher.table
            endpoint = table.paths.get(scope["raw_path"]) or _find(table, scope["raw_path"])
            model = endpoint.model
            answer = await self._answer(table, endpoint, scope, receive)
        except ModelOpsError as error:
            answer = _refused(error)
            if _is_refusal(answer):
                self._metrics.refused(model, answer.status)
        finally:
            # Also when something raises that nobody expects: the caller gets an answer, the server's log the traceback.
            if answer is None:
                self._metrics.refused(model, 500)
                answer = Answer(500, _BROKEN)
            headers = [_JSON if answer.content_type is None else (b"content-type", answer.content_type)]
            headers.append((b"content-length", b"%d" % len(answer.body)))
            headers.extend(answer.headers)
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, table: LoadedTable, endpoint: Endpoint, scope: Scope, receive: Receive) -> Answer:
        kind = endpoint.kind
        method = scope["method"]
        if (method != "POST") if kind in _POST else (method not in ("GET", "HEAD")):
            allowed = "POST" if kind in _POST else "GET"
            raise failure("method-not-allowed", f"{method} is not allowed here, {allowed} is")
        if kind == "infer":
            body, header_length = await _read(scope, receive)
            return await self._inference.answer(table.models[endpoint.model], endpoint.release, body, header_length)
        if kind == "feedback":
            body, _ = await _read(scope, receive)
            model = table.models[endpoint.model]
            return await take_feedback(model, body, self._log, self._metrics, self._clock)
        if kind == "metrics":
            return Answer(200, self._metrics.text(), CONTENT_TYPE)
        return self._describe(table, endpoint)

    def _describe(self, table: LoadedTable, endpoint: Endpoint) -> Answer:
        match endpoint.kind:
            case "server":
                return _json(_SERVER)
            case "live":
                return _json({"live": True})
            case "ready":
                return self._ready(table)
            case "status":
                return _json(self._status(table))
            case "index":
                return _json(_index(table))
            case "model-ready":
                return _model_ready(table.models[endpoint.model])
            case _:
                return _metadata(table.models[endpoint.model], endpoint.release)

    def _ready(self, table: LoadedTable) -> Answer:
        if table.ready and not self.draining:
            return _json({"ready": True, "live": True})
        reason = "the server is draining" if self.draining else self._watcher.error or "the models are not loaded yet"
        return _json({"ready": False, "live": True, "error": reason}, 503)

    def _status(self, table: LoadedTable) -> dict[str, Any]:
        arms = [asdict(arm) for arm in table.arms]
        refused = self._watcher.refused
        if refused is not None and refused.digest != table.digest:
            arms += [asdict(arm) for arm in refused.arms if not arm.ready]
        return {
            "table": table.digest,
            "error": self._watcher.error,
            "runtime": str(Path(self._watcher.path).parent.resolve()),
            "environment": table.environment,
            "arms": arms,
            "log": {"depth": self._log.depth, **asdict(self._log.stats)},
        }


_SERVER = {"name": "modelops", "version": __version__, "extensions": ["binary_tensor_data", "model_repository"]}


def _is_refusal(answer: Answer) -> bool:
    """Tell whether an answer is a refusal rather than a failed release, which its own counters know."""
    return answer.status != 500


def _json(data: Any, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(data))


def _refused(error: ModelOpsError) -> Answer:
    problem = error.problems[0]
    status = STATUS.get(problem.code, 500)
    text = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if status == 503:
        headers = ((b"retry-after", b"1"),)
    elif status == 405:
        headers = ((b"allow", b"POST" if text.endswith("POST is") else b"GET"),)
    return Answer(status, orjson.dumps({"error": text}), None, headers)


def _find(table: LoadedTable, raw_path: bytes) -> Endpoint:
    """Resolve a path in another percent-encoding, or say what is unknown about it."""
    path = unquote(raw_path.decode("latin-1"))
    found = table.paths.get(path.encode("utf-8", "replace"))
    if found is not None:
        return found
    rest = path.removeprefix("/v2/models/")
    if rest == path:
        raise failure("unknown-path", f"there is nothing at {path[:200]!r}")
    named = next((name for name in sorted(table.models, key=len, reverse=True) if rest.startswith(f"{name}/")), None)
    if named is None:
        name = rest.split("/versions/")[0]
        for suffix in ("/infer", "/ready", "/feedback"):
            name = name.removesuffix(suffix)
        served = ", ".join(sorted(table.models)[:12]) or "none yet"
        if table.digest is None:
            raise failure("not-ready", "the models are not loaded yet")
        raise failure("unknown-model", f"there is no model {name[:200]!r}", hint=f"served: {served}")
    tail = rest[len(named) + 1 :].split("/")
    if tail[0] == "versions" and len(tail) > 1:
        releases = ", ".join(str(arm.release) for arm in table.models[named].arms) or "none"
        raise failure("unknown-version", f"{named} serves no version {tail[1][:40]!r}", hint=f"served: {releases}")
    raise failure("unknown-path", f"there is nothing at {path[:200]!r}")


async def _read(scope: Scope, receive: Receive) -> tuple[bytes, int | None]:
    """Return the body, decompressed, and the length of its JSON part when binary tensors follow."""
    encoding = ""
    header_length: int | None = None
    for name, value in scope["headers"]:
        if name == b"content-length":
            if len(value) > 18 or int(value) > BODY_LIMIT:
                await _drain(scope, receive)
                raise failure("body-too-large", f"the body is larger than {BODY_LIMIT} bytes")
        elif name == b"inference-header-content-length":
            if not value.isdigit() or len(value) > 18:
                raise refusal("Inference-Header-Content-Length is not a number")
            header_length = int(value)
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip().lower()
    message = await receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _read_rest(body, receive)
    return (inflate(body, encoding) if encoding else body), header_length


async def _read_rest(first: bytes, receive: Receive) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise refusal("the client went away")
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        if size <= BODY_LIMIT:
            parts.append(message.get("body", b""))
        elif size > _DRAIN_LIMIT:
            break
    if size > BODY_LIMIT:
        raise failure("body-too-large", f"the body is larger than {BODY_LIMIT} bytes")
    return b"".join(parts)


async def _drain(scope: Scope, receive: Receive) -> None:
    """Read a refused body and forget it: a client that is still sending would lose the answer to a reset."""
    if any(name == b"expect" for name, _ in scope["headers"]):
        return
    size, more = 0, True
    while more and size <= _DRAIN_LIMIT:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


def _model_ready(model: LoadedModel) -> Answer:
    if model.arms:
        return _json({"name": model.name, "ready": True})
    return _json({"name": model.name, "ready": False, "error": f"no release of {model.name} could be loaded"}, 503)


def _metadata(model: LoadedModel, release: int | None) -> Answer:
    arm = model.main if release is None else model.of_release(release)
    if arm is None:
        raise failure("not-ready", f"no release of {model.name} could be loaded")
    inputs = arm.binder.metadata()
    if arm.binder.numeric:
        parameters = {"matrix_input": "features", "features": len(inputs)}
    else:
        parameters = {"features": len(inputs)}
    return _json(
        {
            "name": model.name,
            "versions": [str(loaded.release) for loaded in model.arms],
            "platform": "onnx_onnxv1" if arm.predictor.engine == "onnx" else "sklearn_skops",
            "inputs": inputs,
            "outputs": arm.encoder.metadata(),
            "parameters": parameters,
        }
    )


def _index(table: LoadedTable) -> list[dict[str, str]]:
    return [
        {
            "name": arm.model,
            "version": str(arm.release),
            "state": "READY" if arm.ready else "UNAVAILABLE",
            "reason": arm.error or "",
        }
        for arm in table.arms
    ]
