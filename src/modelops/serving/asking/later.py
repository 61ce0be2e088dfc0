"""Answers that are not there yet: how many may be waited for, how long, and who is told when they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.serving.asking.question import Question
from modelops.serving.http import Answer, Limits

__all__ = ["Later", "Waits", "defect"]


class Later:
    """An answer that is waited for; everything about it happens on the event loop.

    ``task`` is ended when the time is over, where something is still at work on the answer.
    """

    __slots__ = ("_answer", "_then", "_waits", "deadline", "done", "model", "question", "task", "timer")

    def __init__(self, waits: Waits, model: str, question: Question, deadline: float) -> None:
        self.model = model
        self.question = question
        self.deadline = deadline
        self.done = False
        self.task: asyncio.Task[Any] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self._waits = waits
        self._then: Callable[[Answer], object] | None = None
        self._answer: Answer | None = None

    def settle(self, answer: Answer) -> None:
        """Give the answer to whoever waits; only the first one counts."""
        if self.done:
            return
        self.done = True
        self._waits.ended(self)
        if self._then is None:
            self._answer = answer
        else:
            self._then(answer)

    def refuse(self, error: ModelOpsError) -> None:
        """Settle with an error."""
        if not self.done:
            self.settle(self.question.refuse(self.model, error))

    def expire(self) -> None:
        """Refuse what was not there in time: the caller's time where it had the patience of a caller."""
        if self.task is not None:
            self.task.cancel()
        patience = self.question.patience
        if patience is None:
            self.refuse(failure("deadline-exceeded", f"there was no answer within {self._waits.longest:g} s"))
        else:
            said = f"there was no answer within {patience:g} s, which the request allowed"
            self.refuse(failure("deadline-passed", said))

    def give_up(self) -> None:
        """End the work on an answer that its caller waits for no longer."""
        if not self.done:
            if self.task is not None:
                self.task.cancel()
            self.refuse(failure("call-cancelled", "the caller gave up"))

    def then(self, tell: Callable[[Answer], object]) -> None:
        """Call a function with the answer: now if it is there, or else when it comes."""
        self._then = tell
        if self.done:
            answer, self._answer = self._answer, None
            tell(answer)  # type: ignore[arg-type]

    def __await__(self) -> Generator[Any, None, Answer]:
        """Wait for the answer in a coroutine."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.then(lambda answer: None if future.done() else future.set_result(answer))
        return future.__await__()


class Waits:
    """All answers that are waited for; more than the limits allow are refused at once."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.longest = limits.request_seconds
        self._bytes = 0
        self._open: dict[Later, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, model: str, question: Question) -> Later:
        """Return an answer to wait for, or raise ``overloaded``; when its time is over it is refused."""
        limits, size = self._limits, question.size
        if len(self._open) >= limits.pending_requests or self._bytes + size > limits.pending_bytes:
            message = f"{len(self._open)} requests are waiting"
            raise failure("overloaded", message, exit=Exit.WORLD, hint="try again", retryable=True)
        loop = asyncio.get_running_loop()
        later = Later(self, model, question, loop.time() + self.longest)
        self._bytes += size
        self._open[later] = None
        if question.patience is not None:
            later.timer = loop.call_later(question.patience, later.expire)
        elif self._timer is None:
            self._timer = loop.call_later(self.longest, self._expire)
        return later

    def follow(self, later: Later, work: Coroutine[Any, Any, Answer | None]) -> None:
        """Settle an answer with what comes of a coroutine, if that is an answer; whatever it fails on is an answer."""
        later.task = asyncio.get_running_loop().create_task(work)

        def ended(task: asyncio.Task[Answer | None]) -> None:
            if task.cancelled():
                return
            error = task.exception()
            if isinstance(error, ModelOpsError):
                later.refuse(error)
            elif error is not None:
                context = {"message": "a request failed", "exception": error, "task": task}
                task.get_loop().call_exception_handler(context)
                later.refuse(defect())
            elif (answer := task.result()) is not None:
                later.settle(answer)

        later.task.add_done_callback(ended)

    def ended(self, later: Later) -> None:
        """Count an answer no longer."""
        del self._open[later]
        self._bytes -= later.question.size
        if later.timer is not None:
            later.timer.cancel()

    def _expire(self) -> None:
        """Refuse what is over its time, oldest first, and look again when the next one will be."""
        self._timer = None
        loop = asyncio.get_running_loop()
        now = loop.time()
        for later in list(self._open):
            if later.deadline > now:
                self._timer = loop.call_at(later.deadline, self._expire)
                break
            later.expire()


def defect() -> ModelOpsError:
    """Return the error of a request on which the server itself failed."""
    return failure("server-defect", "the server failed on this request; its log has the reason", exit=Exit.BUG)
