"""The application: finds the endpoint of a path and always answers in the protocol's form."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.parse import unquote, urlsplit

import orjson
from prometheus_client.core import Metric

from modelops import __version__
from modelops.clock import Clock
from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions import PredictionLog
from modelops.serving.feedback import take_feedback
from modelops.serving.guard import Caller, Guard
from modelops.serving.http import JSON, RETRY, Answer, Limits, Request
from modelops.serving.infer import Inference
from modelops.serving.metrics import CONTENT_TYPE, ServerMetrics, exposition
from modelops.serving.mirror import Mirrors
from modelops.serving.peers import Peers, View, merged_families, merged_status, packed
from modelops.serving.protocol import STATUS, compressed, inflate, refusal
from modelops.serving.statistics import model_stats
from modelops.serving.table import Endpoint, LoadedModel, LoadedTable
from modelops.serving.watch import Watcher
from modelops.spec.access import Scope

__all__ = ["App"]

_POST = frozenset({"infer", "feedback", "index", "load"})
_GET = (b"GET", b"HEAD")


class App:
    """Answers for the table that its watcher holds."""

    def __init__(
        self,
        watcher: Watcher,
        log: PredictionLog,
        metrics: ServerMetrics,
        clock: Clock,
        limits: Limits,
        peers: Peers | None,
    ) -> None:
        self.draining = False
        self._watcher = watcher
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._limits = limits
        self._peers = peers
        self._mirrors = Mirrors(log, metrics)
        self._inference = Inference(log, clock, self._mirrors.offer)
        self._pending = 0
        self._pending_bytes = 0

    def __call__(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        """Answer one request, at once or by a coroutine that never raises what is expected to go wrong."""
        model = ""
        try:
            table = self._watcher.table
            endpoint = table.paths.get(request.path)
            if endpoint is None:
                if table.guard is not None:
                    # What is served here is told to those who may ask.
                    table.guard.identify(request.headers)
                endpoint = _find(table, request.path)
            model = endpoint.model
            caller = self._admitted(table.guard, endpoint, request) if table.guard is not None else None
            result = self._answer(table, endpoint, request, caller)
            return result if isinstance(result, Answer) else self._bounded(model, request, result)
        except ModelOpsError as error:
            return self._refused(model, error, request)

    def admin(self, request: Request) -> Answer | Coroutine[Any, Any, Answer]:
        """Answer health, metrics and status without a key, and nothing else: for those who are on this machine."""
        try:
            table = self._watcher.table
            endpoint = table.paths.get(request.path)
            if endpoint is None or endpoint.kind not in _ADMIN_PLANE:
                raise failure("unknown-path", "here are only /metrics, /modelops/status and /v2/health")
            result = self._answer(table, endpoint, request, None)
            return result if isinstance(result, Answer) else self._bounded("", request, result)
        except ModelOpsError as error:
            return self._refused("", error, request)

    def _admitted(self, guard: Guard, endpoint: Endpoint, request: Request) -> Caller | None:
        scope = _SCOPES.get(endpoint.kind)
        if scope is None:
            return None
        return guard.admit(request.headers, endpoint.model, scope, self._clock().timestamp(), perf_counter())

    def close(self) -> None:
        """End what goes on beside the answers."""
        self._mirrors.close()

    def view(self) -> View:
        """Return what this process knows of itself, for the one that answers for all."""
        return {
            "worker": self._peers.worker if self._peers else 0,
            "pid": os.getpid(),
            "status": self._status(self._watcher.table),
            "families": packed(self._families()),
            "statistics": self._metrics.statistics(),
        }

    def _families(self) -> list[Metric]:
        guard = self._watcher.table.guard
        return self._metrics.families() + (guard.families() if guard is not None else [])

    def broken(self) -> Answer:
        """Count and answer a request on which the server itself failed."""
        self._metrics.refused("", 500)
        return _json({"error": "the server failed on this request; its log has the reason"}, 500)

    def _answer(
        self, table: LoadedTable, endpoint: Endpoint, request: Request, caller: Caller | None
    ) -> Answer | Coroutine[Any, Any, Answer]:
        kind = endpoint.kind
        if (request.method != b"POST") if kind in _POST else (request.method not in _GET):
            allowed = "POST" if kind in _POST else "GET"
            method = request.method.decode("latin-1")
            raise failure("method-not-allowed", f"{method} is not allowed here, {allowed} is")
        if kind == "infer":
            return self._inference.answer(table.models[endpoint.model], endpoint.release, request, caller)
        if kind == "feedback":
            body = inflate(request.body, request.headers.get(b"content-encoding", b"").decode("latin-1").lower())
            return take_feedback(table.models[endpoint.model], body, self._log, self._metrics, self._clock)
        accepted = request.headers.get(b"accept-encoding", b"")
        if kind in _OF_ALL:
            return self._of_all(table, endpoint, accepted)
        return compressed(self._describe(table, endpoint, request), accepted)

    async def _of_all(self, table: LoadedTable, endpoint: Endpoint, accepted: bytes) -> Answer:
        """Answer for all worker processes."""
        views = [self.view()] + (await self._peers.others() if self._peers else [])
        match endpoint.kind:
            case "status":
                answer = _json(merged_status(views) if self._peers else views[0]["status"])
            case "metrics":
                families = merged_families(views) if self._peers else self._families()
                answer = Answer(200, exposition(families), CONTENT_TYPE)
            case _:
                counts = [each for view in views for each in view["statistics"]]
                answer = _json(model_stats(counts, _versions(table, endpoint)))
        return compressed(answer, accepted)

    def _bounded(
        self, model: str, request: Request, waiting: Coroutine[Any, Any, Answer]
    ) -> Coroutine[Any, Any, Answer]:
        """Refuse what waits when too much waits already, or let it wait until its deadline."""
        try:
            seconds, limits = _deadline(request, self._limits.request_seconds), self._limits
            size = self._pending_bytes + len(request.body)
            if self._pending >= limits.pending_requests or size > limits.pending_bytes:
                message = f"{self._pending} requests are waiting"
                raise failure("overloaded", message, exit=Exit.WORLD, hint="try again", retryable=True)
        except ModelOpsError:
            waiting.close()
            raise
        return self._wait(model, waiting, seconds, request)

    async def _wait(self, model: str, waiting: Coroutine[Any, Any, Answer], seconds: float, request: Request) -> Answer:
        size = len(request.body)
        self._pending += 1
        self._pending_bytes += size
        try:
            async with asyncio.timeout(seconds):
                return await waiting
        except ModelOpsError as error:
            return self._refused(model, error, request)
        except TimeoutError:
            return self._refused(
                model, failure("deadline-exceeded", f"there was no answer within {seconds:g} s"), request
            )
        finally:
            self._pending -= 1
            self._pending_bytes -= size

    def _refused(self, model: str, error: ModelOpsError, request: Request) -> Answer:
        problem = error.problems[0]
        status = STATUS.get(problem.code, 500)
        if problem.code != "model-failed":
            # A failure of a release is no refusal; its own counts know it.
            self._metrics.refused(model, status)
        text = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if status == 503:
            headers = RETRY
        elif status == 401:
            headers = ((b"www-authenticate", b"Bearer"),)
        elif status == 429:
            guard = self._watcher.table.guard
            # A new table may have taken the key away while its request was answered.
            caller = guard.known(request.headers) if guard is not None else None
            seconds = caller.retry_seconds(self._clock().timestamp()) if caller is not None else 1.0
            headers = ((b"retry-after", b"%d" % max(1, math.ceil(seconds))),)
        elif status == 405:
            headers = ((b"allow", b"POST" if text.endswith("POST is") else b"GET"),)
        return Answer(status, orjson.dumps({"error": text}), JSON, headers)

    def _describe(self, table: LoadedTable, endpoint: Endpoint, request: Request) -> Answer:
        match endpoint.kind:
            case "server":
                return _json(_SERVER)
            case "live":
                return _json({"live": True})
            case "ready":
                return self._ready(table)
            case "index":
                visible = table.guard.identify(request.headers).models if table.guard is not None else None
                return _json(_index(table, request.body, visible))
            case "config":
                return _config(table.models[endpoint.model], endpoint.release)
            case "load":
                raise refusal("what is served is decided in git, not by this request")
            case "model-ready":
                return _model_ready(table.models[endpoint.model])
            case _:
                return _metadata(table.models[endpoint.model], endpoint.release)

    def _ready(self, table: LoadedTable) -> Answer:
        if table.ready and not self.draining:
            return _json({"ready": True, "live": True})
        # Everybody may ask this; what is wrong with a table, with its paths, is for those who may read the status.
        refused = "the newest routing table cannot be loaded" if self._watcher.error else None
        reason = "the server is draining" if self.draining else refused or "the models are not loaded yet"
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


_SCOPES: dict[str, Scope] = {
    "infer": "infer",
    "model": "infer",
    "model-ready": "infer",
    "config": "infer",
    "feedback": "feedback",
    "stats": "admin",
    "load": "admin",
    "metrics": "admin",
    "status": "admin",
}
"""What a key must be for; health and the server's own description are for everyone, the index for any key."""
_ADMIN_PLANE = frozenset({"live", "ready", "metrics", "status"})
_OF_ALL = frozenset({"status", "metrics", "stats"})
_EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"]
_SERVER = {"name": "modelops", "version": __version__, "extensions": _EXTENSIONS}


def _deadline(request: Request, longest: float) -> float:
    """Return how many seconds an answer may be waited for; a caller may ask for less by X-Request-Timeout-Ms."""
    value = request.headers.get(b"x-request-timeout-ms")
    if value is None:
        return longest
    if not value.isdigit() or not 0 < len(value) < 10 or int(value) == 0:
        raise refusal("X-Request-Timeout-Ms is not a number of milliseconds above 0")
    return min(int(value) / 1000, longest)


def _json(data: Any, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(data))


def _find(table: LoadedTable, target: bytes) -> Endpoint:
    """Resolve a target with a query, a host or another percent-encoding, or say what is unknown about it."""
    try:
        # Two slashes begin a host only behind a scheme.
        raw = target.partition(b"?")[0] if target.startswith(b"/") else urlsplit(target).path
    except ValueError:
        raw = target
    path = unquote(raw.decode("latin-1"))
    found = table.paths.get(raw) or table.paths.get(path.encode("utf-8", "replace"))
    if found is not None:
        return found
    rest = path.removeprefix("/v2/models/")
    if rest == path:
        raise failure("unknown-path", f"there is nothing at {path[:200]!r}")
    named = next((name for name in sorted(table.models, key=len, reverse=True) if rest.startswith(f"{name}/")), None)
    if named is None:
        name = rest.split("/versions/")[0]
        for suffix in ("/infer", "/ready", "/stats", "/config", "/feedback"):
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


def _model_ready(model: LoadedModel) -> Answer:
    if model.ready:
        return _json({"name": model.name, "ready": True})
    return _json({"name": model.name, "ready": False, "error": f"a release of {model.name} could not be loaded"}, 503)


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


def _config(model: LoadedModel, release: int | None) -> Answer:
    """Return the metadata in the form of the configuration extension."""
    described = orjson.loads(_metadata(model, release).body)

    def tensors(kind: str) -> list[dict[str, Any]]:
        return [
            {
                "name": each["name"],
                "data_type": "TYPE_STRING" if each["datatype"] == "BYTES" else f"TYPE_{each['datatype']}",
                "dims": each["shape"],
            }
            for each in described[kind]
        ]

    return _json(
        {
            "name": model.name,
            "platform": described["platform"],
            "backend": described["platform"].partition("_")[0],
            "max_batch_size": 0,
            "input": tensors("inputs"),
            "output": tensors("outputs"),
            "version_policy": {"specific": {"versions": [int(version) for version in described["versions"]]}},
        }
    )


def _versions(table: LoadedTable, endpoint: Endpoint) -> list[tuple[str, str]]:
    """Return model and version of the releases that an endpoint is about."""
    models = [table.models[endpoint.model]] if endpoint.model else table.models.values()
    return [
        (model.name, arm.version)
        for model in models
        for arm in model.arms
        if endpoint.release is None or arm.release == endpoint.release
    ]


def _index(table: LoadedTable, body: bytes, visible: frozenset[str] | None) -> list[dict[str, str]]:
    """Return the arms of the models that a caller may know of, all where ``visible`` is None."""
    try:
        ready = bool(orjson.loads(body or b"{}").get("ready"))
    except (orjson.JSONDecodeError, AttributeError):
        raise refusal("the request is not a JSON object") from None
    return [
        {
            "name": arm.model,
            "version": str(arm.release),
            "state": "READY" if arm.ready else "UNAVAILABLE",
            "reason": arm.error or "",
        }
        for arm in table.arms
        if (arm.ready or not ready) and (visible is None or arm.model in visible)
    ]
