"""One infer request: decode, assign to an arm, predict, encode, log."""

from __future__ import annotations

import asyncio
import copy
import os
import re
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from modelops.clock import Clock
from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions import PredictionLog, Row, label_text
from modelops.serving.guard import Caller
from modelops.serving.http import Answer, Request
from modelops.serving.inputs import Bound
from modelops.serving.protocol import InferRequest, compressed, decode_request, header_length, inflate, refusal
from modelops.serving.table import LoadedArm, LoadedModel
from modelops.serving.threads import Threads

__all__ = ["MODEL_ERRORS", "Inference", "Work", "sanitized"]

INLINE_BYTES = 32_768
"""Larger requests are handled in a thread, so that the small ones do not wait for them."""
INLINE_SECONDS = 0.001
"""Releases whose small requests cost more than this are called in a thread."""
_SMALL_ROWS = 16
LONGEST_ID = 1024
"""Characters of a request's id and of an entity: each row of a request is logged with both."""

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
_BINARY = b"application/octet-stream"


@dataclass(slots=True)
class Work:
    """One request on its way; the first fields are given, each step fills in what the next ones need."""

    model: LoadedModel
    release: int | None
    http: Request
    id: str
    now: float
    started: float
    caller: Caller | None = None
    request: InferRequest = field(init=False)
    entity: str = field(init=False)
    arm: LoadedArm = field(init=False)
    bound: Bound = field(init=False)
    scores: Sequence[float | None] = field(init=False)
    labels: Sequence[str | None] = field(init=False)
    input_seconds: float = field(init=False)
    infer_seconds: float = field(init=False)
    elapsed: float = field(init=False)
    answer: Answer = field(init=False)
    error: str | None = None


class Inference:
    """Answers infer requests, logs them as their route says, and offers them to shadows."""

    def __init__(self, log: PredictionLog, clock: Clock, offer: Callable[[Work], None]) -> None:
        self._log = log
        self._clock = clock
        self._offer = offer
        self._preparing = Threads(2, "preparing")
        self._of_stable = Threads(2, "stable")
        self._on_trial = Threads(2, "on-trial")
        self._random: list[str] = []

    def answer(
        self, model: LoadedModel, release: int | None, request: Request, caller: Caller | None
    ) -> Answer | Coroutine[Any, Any, Answer]:
        """Answer a request for a model; a pinned release is answered by the arm that holds it."""
        if not model.arms:
            raise failure("not-ready", f"no release of {model.name} could be loaded")
        started = perf_counter()
        now = self._clock().timestamp()
        work = Work(model, release, request, self._new_id(now), now, started, caller)
        if len(request.body) > INLINE_BYTES or b"content-encoding" in request.headers:
            return self._in_thread(work, prepared=False)
        _prepare(work)
        if work.arm.seconds > INLINE_SECONDS or not (work.arm.trusted or work.arm.predictor.engine == "onnx"):
            return self._in_thread(work, prepared=True)
        _predict(work)
        return self._finish(work)

    def _new_id(self, now: float) -> str:
        """Return an id that sorts by time and that nobody can guess."""
        if not self._random:
            drawn = os.urandom(10 * 256).hex()
            self._random = [drawn[start : start + 20] for start in range(0, len(drawn), 20)]
        return f"{max(int(now * 1000), 0):012x}{self._random.pop()}"

    async def _in_thread(self, work: Work, *, prepared: bool) -> Answer:
        """Predict in a thread; stable has threads of its own, so that nobody on trial can take them away."""
        if not prepared:
            await self._preparing.run(_prepare, work)
        try:
            await (self._of_stable if work.arm.trusted else self._on_trial).run(_predict, work)
        except asyncio.CancelledError:
            self._late(work)
            raise
        finished = self._finish(work)
        return finished if isinstance(finished, Answer) else await finished

    def _late(self, work: Work) -> None:
        """Count and log a prediction that nobody could wait for any longer as a failure of its release.

        A caller who had less patience than the latency objective asks for blames nobody.
        """
        # The thread may still be at it, so what it works on is left alone.
        late = copy.copy(work)
        late.elapsed = perf_counter() - work.started
        if late.elapsed * 1000 <= work.model.route.latency_objective_ms:
            return
        late.error = "there was no answer in time"
        late.scores = late.labels = (None,) * work.bound.rows
        counts = work.arm.counts
        counts.answered(late.elapsed)
        counts.rows += work.bound.rows
        counts.errors += 1
        counts.error_seconds += late.elapsed
        counts.last = work.now
        if work.model.route.log != "off" and work.bound.rows + self._log.depth <= self._log.capacity:
            for row in _rows(late):
                self._log.append(row)

    def _finish(self, work: Work) -> Answer | Coroutine[Any, Any, Answer]:
        """Log a prediction as its route says, then count and answer it."""
        work.elapsed = perf_counter() - work.started
        if work.caller is not None:
            work.caller.charge(work.bound.rows, work.now)
        route = work.model.route
        if route.log != "off" and self._has_room(work.bound.rows, route.log_full == "drop"):
            rows = _rows(work)
            if route.log == "acknowledged":
                return self._acknowledged(work, rows)
            for row in rows:
                self._log.append(row)
        return self._answered(work)

    async def _acknowledged(self, work: Work, rows: Sequence[Row]) -> Answer:
        try:
            await self._log.append_acknowledged(rows)
        except ModelOpsError:
            if work.model.route.log_full != "drop":
                raise
            self._log.stats.dropped += len(rows)
        return self._answered(work)

    def _answered(self, work: Work) -> Answer:
        """Count a prediction and return its answer; that of a release that failed is raised."""
        arm = work.arm
        counts = arm.counts
        seconds = perf_counter() - work.started
        counts.answered(seconds)
        counts.rows += work.bound.rows
        counts.input_seconds += work.input_seconds
        counts.infer_seconds += work.infer_seconds
        counts.last = work.now
        if work.model.shadows and work.release is None:
            self._offer(work)
        if work.error is not None:
            counts.errors += 1
            counts.error_seconds += seconds
            text = f"release {arm.release} of {work.model.name} failed on this input: {work.error}"
            raise failure("model-failed", text, hint=f"prediction {work.id}")
        if work.bound.rows <= _SMALL_ROWS:
            arm.seconds += 0.05 * (work.infer_seconds - arm.seconds)
        return work.answer

    def _has_room(self, rows: int, drop: bool) -> bool:
        """Tell whether the log takes all rows of a request; if not, its rows are dropped or it is refused."""
        log = self._log
        if rows + log.depth <= log.capacity:
            return True
        if drop:
            log.stats.dropped += rows
            return False
        if rows > log.capacity:
            raise failure("body-too-large", f"the request has {rows} rows, the log takes {log.capacity}; send fewer")
        message = f"the prediction log has {log.depth} rows waiting"
        raise failure("log-full", message, exit=Exit.WORLD, hint="try again", retryable=True)


def _prepare(work: Work) -> None:
    """Decode, choose the arm and bind the rows to its signature; safe in any thread."""
    model, headers, body = work.model, work.http.headers, work.http.body
    encoding = headers.get(b"content-encoding")
    if encoding is not None:
        body = inflate(body, encoding.decode("latin-1").strip().lower())
    request = work.request = decode_request(body, header_length(headers))
    work.entity = _entity(model, request) or request.id or work.id
    if len(work.entity) > LONGEST_ID or len(request.id or "") > LONGEST_ID:
        raise refusal(f"the id of the request or of its entity is longer than {LONGEST_ID} characters")
    arm = model.choose(work.entity) if work.release is None else model.of_release(work.release)
    if arm is None:
        if work.release is None:
            raise failure("not-ready", f"the release of {model.name} that answers this entity is not loaded")
        raise failure("unknown-version", f"{model.name} no longer serves version {work.release}")
    work.arm = arm
    work.bound = arm.binder.bind(request, model.known)
    if request.outputs:
        arm.encoder.check_requested(request)


def _predict(work: Work) -> None:
    """Predict and encode, or note why the release failed; safe in any thread."""
    arm, request = work.arm, work.request
    before = perf_counter()
    work.input_seconds = before - work.started
    try:
        outputs, work.scores, work.labels = arm.predict(work.bound)
    except MODEL_ERRORS as error:
        work.error = sanitized(error)
        work.scores = work.labels = (None,) * work.bound.rows
        work.infer_seconds = perf_counter() - before
        return
    work.infer_seconds = perf_counter() - before
    parameters = {"release": arm.release, "arm": arm.name, "prediction_id": work.id}
    head: dict[str, Any] = {"model_name": work.model.name, "model_version": arm.version, "parameters": parameters}
    if request.id is not None:
        head["id"] = request.id
    body, json_length = arm.encoder.encode(head, request, outputs)
    if json_length is None:
        answer = Answer(200, body)
    else:
        answer = Answer(200, body, _BINARY, ((b"inference-header-content-length", b"%d" % json_length),))
    accepted = work.http.headers.get(b"accept-encoding")
    work.answer = answer if accepted is None else compressed(answer, accepted)


def sanitized(error: BaseException) -> str:
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


def _rows(work: Work) -> list[Row]:
    route, bound, arm, name = work.model.route, work.bound, work.arm, work.model.name
    status, latency_ms = 200 if work.error is None else 500, work.elapsed * 1000
    shown = arm.name if work.release is None else "pinned"
    propensity = arm.weight if work.release is None else 1.0
    feature_json = arm.binder.feature_json
    return [
        Row(
            work.id if bound.rows == 1 else f"{work.id}.{position}", work.now, name, arm.release, shown, route.step,
            route.salt, work.entity, feature_json(values), score, label, status, latency_ms, work.error,
            work.request.id or "", position, propensity,
        )
        for position, (values, score, label) in enumerate(zip(bound.logged, work.scores, work.labels, strict=True))
    ]  # fmt: skip
