"""One infer request: decode, assign to an arm, predict, encode, log."""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from modelops.artifacts import Outputs
from modelops.clock import Clock
from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions import PredictionLog, Row, label_text
from modelops.serving.inputs import Bound
from modelops.serving.protocol import InferRequest, decode_request
from modelops.serving.table import LoadedArm, LoadedModel

__all__ = ["Answer", "Inference"]

INLINE_BYTES = 32_768
"""Larger requests are handled in a thread, so that the small ones do not wait for them."""
INLINE_SECONDS = 0.005
"""Releases whose small requests cost more than this are called in a thread."""

# What estimators and runtimes raise on inputs that they cannot handle. Anything beyond is a defect of the server.
MODEL_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    ModelOpsError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
_PATHS = re.compile(r"(?:[A-Za-z]:)?(?:[/\\][\w.@+~-]+){2,}")


class Answer(NamedTuple):
    """An HTTP answer; the content type is JSON unless given."""

    status: int
    body: bytes
    content_type: bytes | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()


@dataclass(slots=True)
class _Result:
    """What the synchronous part of a request yields: the body, and everything that its log rows need."""

    arm: LoadedArm
    id: str
    request: str
    entity: str
    bound: Bound
    body: bytes = b""
    json_length: int | None = None
    scores: Sequence[float | None] = ()
    labels: Sequence[str | None] = ()
    error: str | None = None


class Inference:
    """Answers infer requests and logs them as their route says."""

    def __init__(self, log: PredictionLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._threads = ThreadPoolExecutor(2, "inference")

    async def answer(self, model: LoadedModel, release: int | None, body: bytes, header_length: int | None) -> Answer:
        """Answer a request for a model; a pinned release is answered by the arm that holds it."""
        if not model.arms:
            raise failure("not-ready", f"no release of {model.name} could be loaded")
        started = perf_counter()
        now = self._clock().timestamp()
        slowest = max(arm.seconds for arm in model.arms)
        if len(body) <= INLINE_BYTES and slowest < INLINE_SECONDS:
            result = _handle(model, release, body, header_length, now)
        else:
            loop = asyncio.get_running_loop()
            result = await loop.run_in_executor(self._threads, _handle, model, release, body, header_length, now)
        elapsed = perf_counter() - started
        arm = result.arm
        if model.route.log != "off":
            await self._record(model, result, "pinned" if release is not None else arm.name, now, elapsed)
        arm.metrics.requests()
        arm.metrics.seconds(perf_counter() - started)
        if result.error is not None:
            arm.metrics.errors()
            text = f"release {arm.release} of {model.name} failed on this input: {result.error}"
            raise failure("model-failed", text, hint=f"prediction {result.id}")
        if result.json_length is None:
            return Answer(200, result.body)
        length = (b"inference-header-content-length", b"%d" % result.json_length)
        return Answer(200, result.body, b"application/octet-stream", (length,))

    async def _record(self, model: LoadedModel, result: _Result, arm: str, now: float, elapsed: float) -> None:
        self._require_room(result.bound.rows)
        rows = _rows(model, result, arm, now, elapsed * 1000)
        if model.route.log == "acknowledged":
            await self._log.append_acknowledged(rows)
            return
        for row in rows:
            self._log.append(row)

    def _require_room(self, rows: int) -> None:
        """Refuse a request before any of its rows is logged when the log cannot take all of them."""
        capacity = self._log.capacity
        if rows > capacity:
            raise failure("body-too-large", f"the request has {rows} rows, the log takes {capacity}; send fewer")
        if rows + self._log.depth > capacity:
            message = f"the prediction log has {self._log.depth} rows waiting"
            raise failure("log-full", message, exit=Exit.WORLD, hint="try again", retryable=True)


def _handle(model: LoadedModel, release: int | None, body: bytes, header_length: int | None, now: float) -> _Result:
    """Decode, choose the arm, predict and encode; safe in any thread."""
    request = decode_request(body, header_length)
    id = f"{max(int(now * 1000), 0):012x}{os.urandom(10).hex()}"
    entity = _entity(model, request) or request.id or id
    arm = model.choose(entity) if release is None else model.of_release(release)
    if arm is None:
        raise failure("unknown-version", f"{model.name} no longer serves version {release}")
    bound = arm.binder.bind(request, model.known)
    if request.outputs:
        arm.encoder.check_requested(request)
    result = _Result(arm, id, request.id or "", entity, bound)
    started = perf_counter()
    try:
        predictor = arm.predictor
        if bound.matrix is None:
            outputs = predictor.predict_columns(bound.columns)
        else:
            outputs = predictor.predict_matrix(bound.matrix)
        result.scores, result.labels = _scored(arm, outputs)
    except MODEL_ERRORS as error:
        result.error = _sanitized(error)
        result.scores = result.labels = (None,) * bound.rows
        return result
    if bound.rows <= 16:
        arm.seconds += 0.05 * (perf_counter() - started - arm.seconds)
    head: dict[str, Any] = {
        "model_name": model.name,
        "model_version": str(arm.release),
        "parameters": {"release": arm.release, "arm": arm.name, "prediction_id": id},
    }
    if request.id is not None:
        head["id"] = request.id
    result.body, result.json_length = arm.encoder.encode(head, request, outputs)
    return result


def _scored(arm: LoadedArm, outputs: Outputs) -> tuple[Sequence[float], Sequence[str | None]]:
    """Return scores and labels to log; a prediction that is not finite is a failure of the release."""
    scores, labels = arm.encoder.logged(outputs)
    if not (math.isfinite(scores[0]) if len(scores) == 1 else np.isfinite(scores).all()):
        raise ValueError("the prediction is not a finite number")
    return scores, labels


def _sanitized(error: BaseException) -> str:
    """Return class and first line of an error, without paths and control characters, short enough for a log."""
    text = error.problems[0].message if isinstance(error, ModelOpsError) else str(error)
    name = error.problems[0].code if isinstance(error, ModelOpsError) else type(error).__name__
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    shown = "".join(character if character.isprintable() else " " for character in _PATHS.sub("<path>", line))
    return f"{name}: {shown[:200]}" if shown else name


def _entity(model: LoadedModel, request: InferRequest) -> str:
    """Return the unit that sticks to an arm: a parameter, or the entity feature's first value, or nothing."""
    parameters = request.parameters
    if parameters:
        for name in ("entity_id", model.route.entity):
            value = parameters.get(name) if name else None
            if value is not None:
                return label_text(value)
    name = model.route.entity
    if name is None:
        return ""
    for tensor in request.inputs:
        if tensor.name == name and tensor.data:
            return label_text(tensor.data[0])
    main = model.main
    if main is not None and name in main.binder.names and main.binder.is_matrix(request):
        data = request.inputs[0].data or []
        position = main.binder.names.index(name)
        return label_text(data[position]) if position < len(data) else ""
    return ""


def _rows(model: LoadedModel, result: _Result, arm: str, now: float, latency_ms: float) -> list[Row]:
    route, bound = model.route, result.bound
    release, status = result.arm.release, 200 if result.error is None else 500
    feature_json = result.arm.binder.feature_json
    return [
        Row(
            result.id if bound.rows == 1 else f"{result.id}.{position}", now, model.name, release, arm, route.step,
            route.salt, result.entity, feature_json(values), score, label, status, latency_ms, result.error,
            result.request, position,
        )
        for position, (values, score, label) in enumerate(
            zip(bound.logged, result.scores, result.labels, strict=True)
        )
    ]  # fmt: skip
