"""The application: finds the endpoint of a path and always answers in the protocol's form."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
from prometheus_client.core import Metric

from modelops.clock import Clock
from modelops.errors import ModelOpsError, failure
from modelops.files import identity
from modelops.predictions import PredictionLog
from modelops.serving.asking.front import Front, found
from modelops.serving.asking.later import Later
from modelops.serving.asking.question import Question, patience_of
from modelops.serving.describe import SERVER, configuration, index, metadata
from modelops.serving.feedback import take_feedback
from modelops.serving.forms import TENSORS, Form, body_of
from modelops.serving.guard import ALL, Caller, view_for, without_paths
from modelops.serving.http import JSON, RETRY, Answer, Limits, Request
from modelops.serving.metrics import CONTENT_TYPE, ServerMetrics, exposition, of_passes
from modelops.serving.offers.openapi import described
from modelops.serving.offers.page import index_page, model_page
from modelops.serving.offers.records import INVOCATIONS, RECORDS
from modelops.serving.protocol import compressed, refusal
from modelops.serving.statistics import model_stats
from modelops.serving.table import Endpoint, LoadedModel, LoadedTable
from modelops.serving.watch import Watcher
from modelops.serving.workers import Peers, View, merged_families, merged_status, packed
from modelops.spec.kinds.access_policy import Scope

__all__ = ["App"]

_FORMS: dict[str, Form] = {"infer": TENSORS, "predict": RECORDS, "invocations": INVOCATIONS}
_POST = frozenset({*_FORMS, "feedback", "index", "load"})
_GET = (b"GET", b"HEAD")
_NO_LOG = "the prediction log cannot be written"


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
        self.front = Front(watcher, log, metrics, clock, limits)
        self._watcher = watcher
        self._log = log
        self._metrics = metrics
        self._clock = clock
        self._limits = limits
        self._peers = peers

    def __call__(self, request: Request, form: Form | None = None) -> Answer | Later:
        """Answer one request, at once or when it has been waited for; what is expected to go wrong is answered too.

        ``form`` is that of an infer request where it is not that of its path.
        """
        model = ""
        try:
            table, caller = self._watcher.table, None
            endpoint = table.paths.get(request.path)
            if endpoint is None and request.path == b"*":
                return _options("GET, HEAD, OPTIONS, POST")
            if not table.known and (endpoint is None or endpoint.kind not in _HEALTH):
                raise failure("not-ready", "the models are not loaded yet")
            if table.guard is not None and (endpoint is None or endpoint.kind not in _OPEN):
                table, caller = self.front.seen(request.headers)
                endpoint = table.paths.get(request.path)
            if endpoint is None:
                endpoint = _find(table, request.path)
            model = endpoint.model
            if caller is not None and (scope := _SCOPES.get(endpoint.kind)) is not None:
                self.front.allow(caller, scope)
            return self._answer(table, endpoint, request, caller, form)
        except ModelOpsError as error:
            return self.refused(model, error, request)

    def admin(self, request: Request) -> Answer | Later:
        """Answer health, metrics and status without a key, and nothing else: for those who are on this machine."""
        try:
            # A page of another site may have its name lead here; the browser then says that name.
            if not _is_local(request.headers.get(b"host", b"localhost")):
                raise failure("wrong-host", "this port answers to localhost and 127.0.0.1 only")
            table = self._watcher.table
            endpoint = table.paths.get(request.path)
            if request.path == b"*":
                return _options("GET, HEAD, OPTIONS")
            if endpoint is None or endpoint.kind not in _ADMIN_PLANE:
                raise failure("unknown-path", "here are only /metrics, /modelops/status and /v2/health")
            return self._answer(table, endpoint, request, None)
        except ModelOpsError as error:
            return self.refused("", error, request)

    def close(self) -> None:
        """End what goes on beside the answers."""
        self.front.close()

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
        self,
        table: LoadedTable,
        endpoint: Endpoint,
        request: Request,
        caller: Caller | None,
        form: Form | None = None,
    ) -> Answer | Later:
        kind = endpoint.kind
        if (request.method != b"POST") if kind in _POST else (request.method not in _GET):
            one, allowed = ("POST", "OPTIONS, POST") if kind in _POST else ("GET", "GET, HEAD, OPTIONS")
            if request.method == b"OPTIONS":
                return _options(allowed)
            method = request.method.decode("latin-1")
            raise failure("method-not-allowed", f"{method} is not allowed here, {one} is", dotted=allowed)
        asked = _FORMS.get(kind)
        if asked is not None or kind == "feedback" or kind in _OF_ALL:
            hurried = b"x-request-timeout-ms" in request.headers
            patience = patience_of(request, self._limits.request_seconds) if hurried else None
            question = Question(request, patience, form or asked or TENSORS, self.refused)
            if asked is not None:
                return self.front.infer(table.models[endpoint.model], endpoint.release, question, caller)
            return self.front.wait(endpoint.model, question, self._slowly(table, endpoint, request, caller))
        return compressed(self._describe(table, endpoint, request), request.headers.get(b"accept-encoding", b""))

    async def _slowly(self, table: LoadedTable, endpoint: Endpoint, request: Request, caller: Caller | None) -> Answer:
        """Take labels, which the disk has to hold, or answer for all worker processes."""
        if endpoint.kind == "feedback":
            return await take_feedback(
                table.models[endpoint.model], body_of(request), self._log, self._metrics, self._clock
            )
        sight = caller.sight if caller is not None else ALL
        every = [self.view()] + (await self._peers.others() if self._peers else [])
        views = [view_for(view, sight) for view in every]
        match endpoint.kind:
            case "status":
                answer = _json(merged_status(views) if self._peers else views[0]["status"])
            case "metrics":
                families = merged_families(views, labelled=self._peers is not None)
                passes = {**every[0], "families": packed(of_passes(Path(self._watcher.path).parent))}
                families += merged_families([view_for(passes, sight)], labelled=False)
                answer = Answer(200, exposition(families), CONTENT_TYPE)
            case _:
                counts = [each for view in views for each in view["statistics"]]
                answer = _json(model_stats(counts, _versions(table, endpoint)))
        return compressed(answer, request.headers.get(b"accept-encoding", b""))

    def refused(self, model: str, error: ModelOpsError, request: Request) -> Answer:
        """Count and answer an error in the form of the protocol."""
        status, problem = self.front.refused(model, error), error.first
        text = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
        if problem.code == "log-unwritable":
            text = _NO_LOG
        elif status >= 500:
            text = without_paths(text)
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
            headers = ((b"allow", (problem.dotted or "GET, HEAD, OPTIONS").encode()),)
        return Answer(status, orjson.dumps({"error": text}), JSON, headers)

    def _describe(self, table: LoadedTable, endpoint: Endpoint, request: Request) -> Answer:
        match endpoint.kind:
            case "server":
                return _json(SERVER)
            case "live":
                return _json({"live": True})
            case "ready":
                return self._ready(table)
            case "index":
                return _json(index(table, request.body))
            case "openapi" | "openapi-of-all":
                return _json(described(_meant(table, endpoint), keyed=table.guard is not None))
            case "docs-of-all":
                return index_page(_meant(table, endpoint))
            case "docs":
                host = request.headers.get(b"host", b"").decode("latin-1")
                return model_page(table.models[endpoint.model], host, keyed=table.guard is not None)
            case "config":
                return _json(configuration(table.models[endpoint.model], endpoint.release))
            case "load":
                said = "what is served is decided in git, not by this request"
                raise failure("forbidden", said, hint="merge a promotion, or roll back")
            case "model-ready":
                return _model_ready(table.models[endpoint.model])
            case _:
                return _json(metadata(table.models[endpoint.model], endpoint.release))

    def _ready(self, table: LoadedTable) -> Answer:
        # Everybody may ask this; what is wrong with a table, with its paths, is for those who may read the status.
        if self.draining:
            reason = "the server is draining"
        elif not table.ready:
            refused = self._watcher.error is not None
            reason = "the newest routing table cannot be loaded" if refused else "the models are not loaded yet"
        elif self._log.stats.error is None:
            return _json({"ready": True, "live": True})
        elif any(model.route.log != "off" and model.route.log_full == "refuse" for model in table.models.values()):
            reason = _NO_LOG
        else:
            return _json({"ready": True, "live": True, "log": f"{_NO_LOG}, answers are given without it"})
        return _json({"ready": False, "live": True, "error": reason}, 503)

    def _status(self, table: LoadedTable) -> dict[str, Any]:
        refused = self._watcher.refused
        told = [*table.arms]
        if refused is not None and refused.digest != table.digest:
            told += [arm for arm in refused.arms if not arm.ready]
        arms = [{**asdict(arm), "error": arm.error and without_paths(arm.error)} for arm in told]
        error, log = self._watcher.error, self._log.stats
        return {
            "table": table.digest,
            "error": error and without_paths(error),
            "runtime": identity(Path(self._watcher.path).parent),
            "environment": table.environment,
            "arms": arms,
            "log": {"depth": self._log.depth, **asdict(log), "error": log.error and without_paths(log.error)},
        }


_SCOPES: dict[str, Scope] = {
    "infer": "infer",
    "predict": "infer",
    "invocations": "infer",
    "model": "infer",
    "model-ready": "infer",
    "config": "infer",
    "openapi": "infer",
    "docs": "infer",
    "feedback": "feedback",
    "stats": "admin",
    "load": "admin",
    "metrics": "admin",
    "status": "admin",
}
"""What a key must be for."""
_OPEN = frozenset({"server", "live", "ready"})
"""What everybody may ask; the index is for any key."""
_HEALTH = frozenset({"live", "ready"})
"""What is answered before it is known who may ask for what."""
_ADMIN_PLANE = frozenset({*_HEALTH, "metrics", "status"})
_OF_ALL = frozenset({"status", "metrics", "stats"})


def _is_local(host: bytes) -> bool:
    """Tell whether a Host names this machine from within, whatever the port."""
    name = host.strip().lower()
    name = name[: name.index(b"]") + 1] if name.startswith(b"[") and b"]" in name else name.partition(b":")[0]
    return name in (b"localhost", b"127.0.0.1", b"[::1]")


def _options(allowed: str) -> Answer:
    """Answer what may be asked of a path, or with ``*`` of the server."""
    return Answer(200, b"{}", headers=((b"allow", allowed.encode()),))


def _json(data: Any, status: int = 200) -> Answer:
    return Answer(status, orjson.dumps(data))


def _find(table: LoadedTable, target: bytes) -> Endpoint:
    """Resolve a target with a query or another percent-encoding, or say what is unknown about it."""
    if b"#" in target:
        raise refusal("a target has no fragment: # is written %23")
    raw = target.partition(b"?")[0]
    path = unquote(raw.decode("latin-1"))
    # What is spelled with %2F among the paths was so before decoding; %252F is another name.
    known = table.paths.get(raw) or (table.paths.get(path.encode("utf-8", "replace")) if "%" not in path else None)
    if known is not None:
        return known
    rest = path.removeprefix("/v2/models/")
    if rest == path:
        raise failure("unknown-path", f"there is nothing at {path[:200]!r}")
    named = next((name for name in sorted(table.models, key=len, reverse=True) if rest.startswith(f"{name}/")), None)
    if named is None:
        name = rest.split("/versions/")[0]
        for suffix in ("/infer", "/predict", "/ready", "/stats", "/config", "/feedback", "/openapi.json", "/docs"):
            name = name.removesuffix(suffix)
        found(table, name, "")
    else:
        tail = rest[len(named) + 1 :].split("/")
        if tail[0] == "versions" and len(tail) > 1:
            found(table, named, tail[1])
    raise failure("unknown-path", f"there is nothing at {path[:200]!r}")


def _meant(table: LoadedTable, endpoint: Endpoint) -> list[LoadedModel]:
    """Return the model that an endpoint is of, or all of a table."""
    return [table.models[endpoint.model]] if endpoint.model else list(table.models.values())


def _model_ready(model: LoadedModel) -> Answer:
    if model.ready:
        return _json({"name": model.name, "ready": True})
    return _json({"name": model.name, "ready": False, "error": f"a release of {model.name} could not be loaded"}, 503)


def _versions(table: LoadedTable, endpoint: Endpoint) -> list[tuple[str, str]]:
    """Return model and version of the releases that an endpoint is about."""
    models = [table.models[endpoint.model]] if endpoint.model else table.models.values()
    return [
        (model.name, arm.version)
        for model in models
        for arm in model.arms
        if endpoint.release is None or arm.release == endpoint.release
    ]
