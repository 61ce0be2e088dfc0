"""One infer request: read, assign to an arm, predict, write, log."""

from __future__ import annotations

import asyncio
import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Literal

from modelops.artifacts.predictor import MODEL_ERRORS
from modelops.clock import Clock
from modelops.errors import Exit, ModelOpsError, failure
from modelops.predictions import PredictionLog, Row, label_text
from modelops.serving.asking.apart import Reader
from modelops.serving.asking.blame import callers_fault
from modelops.serving.asking.later import Later, Waits
from modelops.serving.asking.question import Question
from modelops.serving.asking.reasons import Reasons, reasons_of, wanted
from modelops.serving.assignment import drawn
from modelops.serving.forms import explained
from modelops.serving.guard import Caller, without_paths
from modelops.serving.http import Answer
from modelops.serving.inputs import Bound
from modelops.serving.protocol import STEP, InferRequest, compressed, refusal
from modelops.serving.table import LoadedArm, LoadedModel
from modelops.serving.threads import Threads

__all__ = ["Inference", "Work", "sanitized"]

INLINE_SECONDS = 0.001
"""Releases whose small requests cost more than this are called in a thread."""
_Lane = Literal["small", "large", "reasons"]
"""Requests of one lane wait for each other, and for none of another: one thread explains, as an explainer asks."""
_SMALL_ROWS = 16
_TINY = 1e-5
LONGEST_ID = 1024
"""Characters of a request's id and of an entity: each row of a request is logged with both."""


@dataclass(slots=True)
class Work:
    """One request on its way; the first fields are given, each step fills in what the next ones need."""

    model: LoadedModel
    release: int | None
    question: Question
    id: str
    now: float
    started: float
    caller: Caller | None = None
    explain: int = 0
    reasons: Reasons | None = None
    request: InferRequest = field(init=False)
    entity: str = field(init=False)
    arm: LoadedArm = field(init=False)
    bound: Bound = field(init=False)
    scores: Sequence[float | None] = field(init=False)
    labels: Sequence[str | None] = field(init=False)
    input_seconds: float = field(init=False)
    infer_seconds: float = field(init=False)
    elapsed: float = field(init=False)
    beside: float = 0.0
    logged: bool = False
    held: int = 0
    charged: int = 0
    begun: bool = False
    abandoned: bool = False
    rows: Sequence[Row] | None = None
    review: Sequence[int] = ()
    answer: Answer = field(init=False)
    error: str | None = None


class Inference:
    """Answers infer requests, logs them as their route says, and offers them to shadows."""

    def __init__(self, log: PredictionLog, clock: Clock, waits: Waits, offer: Callable[[Work], None]) -> None:
        self._log = log
        self._clock = clock
        self._waits = waits
        self._offer = offer
        self._preparing = Threads(1, "preparing")
        self._reader = Reader()
        self._predicting: dict[tuple[str, str, _Lane], Threads] = {}
        self._random: list[str] = []
        self._milliseconds, self._moment = 0, f"{0:012x}"

    def answer(
        self, model: LoadedModel, release: int | None, question: Question, caller: Caller | None
    ) -> Answer | Later:
        """Answer a question to a model; a pinned release is answered by the arm that holds it."""
        if not model.arms:
            raise failure("not-ready", f"no release of {model.name} could be loaded")
        started = perf_counter()
        now = self._clock().timestamp()
        work = Work(model, release, question, self._new_id(now), now, started, caller)
        if not question.quick:
            return self._in_thread(work, question, prepared=False)
        _prepare(work)
        if work.explain or work.arm.seconds > INLINE_SECONDS or not work.arm.inline:
            return self._in_thread(work, question, prepared=True)
        finished: Answer | Later | None = None
        try:
            self._admit(work, hold=False)
            _predict(work)
            finished = self._finish(work, question, None)
        finally:
            if finished is None:
                self._take_back(work)
        return finished

    def close(self) -> None:
        """End the process that reads large requests."""
        self._reader.close()

    def _new_id(self, now: float) -> str:
        """Return an id that sorts by time and that nobody can guess."""
        if not self._random:
            drawn = os.urandom(10 * 256).hex()
            self._random = [drawn[start : start + 20] for start in range(0, len(drawn), 20)]
        if (milliseconds := int(now * 1000)) != self._milliseconds:
            self._milliseconds, self._moment = milliseconds, f"{max(milliseconds, 0):012x}"
        return self._moment + self._random.pop()

    def _in_thread(self, work: Work, question: Question, *, prepared: bool) -> Later:
        later = self._waits.begin(work.model.name, question)
        self._waits.follow(later, self._run(work, question, later, prepared=prepared))
        return later

    async def _run(self, work: Work, question: Question, later: Later, *, prepared: bool) -> Answer | None:
        """Predict in a thread of the release: what hangs or takes long there holds up nobody else's requests."""
        if not prepared:
            # Who runs out of time here has met no release: the request is refused, and is nobody's error.
            await self._preparing.run(_prepare, work, self._reader)
        finished: Answer | Later | None = None
        try:
            self._admit(work, hold=True)
            await self._predicted(work, "reasons" if work.explain else "small" if prepared else "large")
            finished = self._finish(work, question, later)
        finally:
            if finished is None:
                self._take_back(work)
        return None if isinstance(finished, Later) else finished

    async def _predicted(self, work: Work, lane: _Lane) -> None:
        threads = self._threads_of(work, lane)
        before, job = threads.finished, threads.run(_predict_and_note, work)
        try:
            await asyncio.shield(job)
        except asyncio.CancelledError:
            self._abandoned(work, job, stuck=threads.finished == before)
            raise

    def _admit(self, work: Work, *, hold: bool) -> None:
        """Decide before any work whether there is room for the rows in the log and in the caller's budget.

        The room is held for work that others come in between.
        """
        log, route, rows = self._log, work.model.route, work.bound.rows
        if route.log != "off":
            work.logged = log.has_room(rows)
            if not work.logged:
                self._no_room(rows, route.log_full == "drop")
            elif hold:
                log.reserve(rows)
                work.held = rows
        if work.caller is not None:
            work.caller.charge(rows, work.now)
            work.charged = rows

    def _no_room(self, rows: int, drop: bool) -> None:
        log = self._log
        if drop:
            log.stats.dropped += rows
        elif rows > log.capacity:
            raise failure("body-too-large", f"the request has {rows} rows, the log takes {log.capacity}; send fewer")
        else:
            message = f"the prediction log has {log.depth} rows waiting"
            raise failure("log-full", message, exit=Exit.WORLD, hint="try again", retryable=True)

    def _take_back(self, work: Work) -> None:
        """Give back the room and the budget of rows that nobody got."""
        if work.held:
            self._log.release(work.held)
            work.held = 0
        if work.charged and work.caller is not None:
            work.caller.charge(-work.charged, work.now)
            work.charged = 0

    def _threads_of(self, work: Work, lane: _Lane) -> Threads:
        """Return the threads of a release, a lane for each kind of request; those of releases that are gone end."""
        model, key = work.model, (work.model.name, work.arm.digest, lane)
        found = self._predicting.get(key)
        if found is None:
            present = {arm.digest for arm in model.arms}
            for name, digest, size in tuple(self._predicting):
                if name == model.name and digest not in present:
                    self._predicting.pop((name, digest, size)).close()
            found = self._predicting[key] = Threads(2 if lane == "small" else 1, f"{model.name}-{work.arm.version}")
        return found

    def _abandoned(self, work: Work, job: asyncio.Future[None], *, stuck: bool) -> None:
        """Blame a release that is not done when the server's own time is over.

        The impatience of a caller blames nobody, nor does a queue of other requests that did go forward.
        """
        work.abandoned = True
        if not work.begun:
            job.cancel()
        left = self._waits.longest - (perf_counter() - work.started)
        if left > 0 and work.begun:
            asyncio.get_running_loop().call_later(left, lambda: None if job.done() else self._late(work))
        elif left <= 0 and (work.begun or stuck):
            self._late(work)

    def _late(self, work: Work) -> None:
        """Count and log a prediction that did not come in time as a failure of its release."""
        # The thread may still be at it, so what it works on is left alone.
        late = copy.copy(work)
        late.elapsed = perf_counter() - work.started
        late.error = "there was no answer in time"
        late.scores = late.labels = (None,) * work.bound.rows
        counts = work.arm.counts
        counts.answered(late.elapsed)
        counts.rows += work.bound.rows
        counts.errors += 1
        counts.error_seconds += late.elapsed
        counts.last = work.now
        whole = len(work.bound.logged) == work.bound.rows
        if whole and work.model.route.log != "off" and self._log.has_room(work.bound.rows):
            self._log.append_all(_rows(late))

    def _finish(self, work: Work, question: Question, later: Later | None) -> Answer | Later:
        """Log a prediction as its route says, then count it and settle what waits for it."""
        if not work.logged:
            return self._answered(work)
        if work.rows is None:
            _note(work)
        rows, reserved, work.held = work.rows or (), work.held > 0, 0
        if work.model.route.log == "acknowledged":
            later = later or self._waits.begin(work.model.name, question)
            self._log.submit(rows, partial(self._written, work, later), reserved=reserved)
            return later
        if len(rows) == 1 and not reserved:
            self._log.append(rows[0])
        else:
            self._log.append_all(rows, reserved=reserved)
        return self._answered(work)

    def _written(self, work: Work, later: Later, lost: int | None, error: ModelOpsError | None) -> None:
        """Answer what is on disk, or cannot be had there."""
        try:
            if error is not None:
                if work.model.route.log_full != "drop":
                    raise error
                self._log.stats.dropped += lost or work.bound.rows
            later.settle(self._answered(work))
        except ModelOpsError as problem:
            self._take_back(work)
            later.refuse(problem)

    def _answered(self, work: Work) -> Answer:
        """Count a prediction and return its answer; that of a release that failed is raised."""
        arm = work.arm
        counts = arm.counts
        seconds = perf_counter() - work.started - work.beside
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
            # What the machine did beside it is no cost of the release: one long one counts as twice the usual.
            arm.seconds += 0.05 * (min(work.infer_seconds, 2 * arm.seconds + _TINY) - arm.seconds)
        return work.answer


def _prepare(work: Work, reader: Reader | None = None) -> None:
    """Decode, choose the arm and bind the rows to its signature; safe in any thread."""
    model = work.model
    try:
        question = work.question
        form, asked = question.form, question.request
        request = work.request = form.read(asked, model) if reader is None else reader.read(form, asked, model)
    except ModelOpsError as error:
        raise explained(error, work.question.form, model.main) from None
    named = _entity(model, request) if request.parameters or model.route.entity is not None else ""
    work.entity = named or request.id or work.id
    if len(work.entity) > LONGEST_ID or len(request.id or "") > LONGEST_ID:
        raise refusal(f"the id of the request or of its entity is longer than {LONGEST_ID} characters")
    release = work.release
    arm = model.of_release(release) if release is not None else model.only or model.choose(work.entity)
    if arm is None:
        if work.release is None:
            raise failure("not-ready", f"the release of {model.name} that answers this entity is not loaded")
        raise failure("unknown-version", f"{model.name} no longer serves version {work.release}")
    work.arm = arm
    try:
        work.bound = arm.binder.bind(request, model.known)
    except ModelOpsError as error:
        raise explained(error, work.question.form, arm) from None
    if request.outputs:
        arm.encoder.check_requested(request)
    if request.parameters:
        work.explain = wanted(request, work.question.form)


def _predict(work: Work) -> None:
    """Predict and write the answer, or note why the release failed; safe in any thread."""
    arm = work.arm
    work.begun = True
    before = perf_counter()
    work.input_seconds = before - work.started
    try:
        outputs, work.scores, work.labels = arm.predict(work.bound)
    except MODEL_ERRORS as error:
        fault = callers_fault(arm.binder.names, arm.reach, work.bound, error)
        if fault is not None and not _stable_answers(work):
            raise fault from None
        work.error = sanitized(error)
        work.scores = work.labels = (None,) * work.bound.rows
        work.infer_seconds = perf_counter() - before
        return
    work.infer_seconds = perf_counter() - before
    parameters = {"release": arm.release, "arm": arm.name, "prediction_id": work.id}
    if _review_share(work) > 0:
        work.review = _drawn(work)
        parameters |= {"review": ",".join(map(str, work.review))} if work.review else {}
    if work.explain:
        # What a caller asks for beside the answer says nothing of how fast the release is.
        asked = perf_counter()
        limit = work.model.route.reasons_limit_ms / 1000
        work.reasons = reasons_of(arm, work.bound, outputs, work.explain, work.started, limit)
        work.beside = perf_counter() - asked
        parameters |= work.reasons.parameters()
    head: dict[str, Any] = {"model_name": work.model.name, "model_version": arm.version, "parameters": parameters}
    if work.request.id is not None:
        head["id"] = work.request.id
    answer = work.question.form.write(head, work.request, arm.encoder, outputs)
    accepted = work.question.request.headers.get(b"accept-encoding")
    work.answer = answer if accepted is None else compressed(answer, accepted)


def _review_share(work: Work) -> float:
    """Return the chance with which each answer is drawn for review.

    Who cannot be told is not asked to review, and a review of what no log has would be one of an unknown prediction.
    """
    return work.model.route.review if work.logged and work.question.form.tells else 0.0


def _drawn(work: Work) -> list[int]:
    """Return the rows whose answers are drawn for review; what fails has no answer to be reviewed."""
    route, rows = work.model.route, work.bound.rows
    ids = [work.id] if rows == 1 else [f"{work.id}.{row}" for row in range(rows)]
    return [row for row, id in enumerate(ids) if drawn(route.salt, route.review, id)]


def _stable_answers(work: Work) -> bool:
    """Tell whether stable answers what another arm has failed on: callers would lose an answer, whatever they sent."""
    stable = next((arm for arm in work.model.arms if arm.name == "stable"), None)
    if stable is None or stable is work.arm:
        return False
    try:
        stable.predict(stable.binder.bind(work.request, work.model.known))
    except MODEL_ERRORS:
        return False
    return True


def _note(work: Work) -> None:
    """Make the rows for the log."""
    work.elapsed = perf_counter() - work.started - work.beside
    work.rows = _rows(work)


def _predict_and_note(work: Work) -> None:
    """Predict, and make the rows for the log as well: there are many of them."""
    _predict(work)
    if work.logged:
        _note(work)
    if work.rows is not None or not work.logged:
        _let_go(work)


def _let_go(work: Work) -> None:
    """Give the values of a large request back part by part: to free them at once takes milliseconds."""
    if work.model.shadows or work.abandoned:
        # They are asked the same, later; and what nobody waits for any more may be logged as late.
        return
    for tensor in work.request.inputs:
        while tensor.data:
            del tensor.data[-STEP:]
    if isinstance(work.bound.logged, list):
        while work.bound.logged:
            del work.bound.logged[-STEP // 32 :]


def sanitized(error: BaseException) -> str:
    """Return class and first line of an error, without paths and control characters, short enough for a log."""
    text = error.first.message if isinstance(error, ModelOpsError) else str(error)
    name = error.first.code if isinstance(error, ModelOpsError) else type(error).__name__
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    shown = "".join(character if character.isprintable() else " " for character in without_paths(line))
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
    pinned = work.release is not None
    shown, propensity = ("pinned", 1.0) if pinned else (arm.name, arm.weight)
    request = work.request.id or ""
    feature_json = arm.binder.feature_json
    review = _review_share(work) if work.error is None else 0.0
    chosen = frozenset(work.review if review else ())
    reasons = work.reasons.logged if work.reasons is not None and work.error is None else (None,) * bound.rows
    if bound.rows == 1:
        return [
            Row(
                work.id, work.now, name, arm.release, shown, route.step, route.salt, work.entity,
                feature_json(bound.logged[0]), work.scores[0], work.labels[0], status, latency_ms, work.error, request,
                0, propensity, review, int(0 in chosen), reasons[0],
            )
        ]  # fmt: skip
    return [
        Row(
            f"{work.id}.{position}", work.now, name, arm.release, shown, route.step, route.salt, work.entity,
            feature_json(values), score, label, status, latency_ms, work.error, request, position, propensity, review,
            int(position in chosen), why,
        )
        for position, (values, score, label, why) in enumerate(
            zip(bound.logged, work.scores, work.labels, reasons, strict=True)
        )
    ]  # fmt: skip
