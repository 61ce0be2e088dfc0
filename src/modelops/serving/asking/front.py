"""From a caller, a model and a question to an answer, within the limits of the server."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from time import perf_counter
from typing import Any

from modelops.clock import Clock
from modelops.errors import ModelOpsError, failure
from modelops.predictions import PredictionLog
from modelops.serving.asking.infer import Inference
from modelops.serving.asking.later import Later, Waits
from modelops.serving.asking.question import Question
from modelops.serving.guard import Caller
from modelops.serving.http import Answer, Limits
from modelops.serving.metrics import ServerMetrics
from modelops.serving.mirror import Mirrors
from modelops.serving.protocol import STATUS
from modelops.serving.table import LoadedModel, LoadedTable
from modelops.serving.watch import Watcher
from modelops.spec.kinds.access_policy import Scope

__all__ = ["Front", "found"]

Headers = Mapping[bytes, bytes]


class Front:
    """Knows callers by their headers and models by their names, and answers within the limits of the server."""

    def __init__(
        self, watcher: Watcher, log: PredictionLog, metrics: ServerMetrics, clock: Clock, limits: Limits
    ) -> None:
        self._watcher = watcher
        self._metrics = metrics
        self._clock = clock
        self._mirrors = Mirrors(log, metrics)
        self._waits = Waits(limits)
        self._inference = Inference(log, clock, self._waits, self._mirrors.offer)
        self.infer = self._inference.answer
        """Answers a question to a model that was found, by a caller who may ask."""

    def seen(self, headers: Headers) -> tuple[LoadedTable, Caller | None]:
        """Return who calls and the table as this caller sees it; where there are no keys everybody sees all of it."""
        table = self._watcher.table
        if table.guard is None:
            return table, None
        caller = table.guard.identify(headers)
        return table.seen(caller.sight), caller

    def allow(self, caller: Caller | None, scope: Scope) -> None:
        """Raise unless a caller may do this now."""
        if caller is not None:
            caller.admit(scope, self._clock().timestamp(), perf_counter())

    def wait(self, model: str, question: Question, work: Coroutine[Any, Any, Answer]) -> Later:
        """Let something else be waited for within the same limits."""
        try:
            later = self._waits.begin(model, question)
        except ModelOpsError:
            work.close()
            raise
        self._waits.follow(later, work)
        return later

    def refused(self, model: str, error: ModelOpsError) -> int:
        """Count a refusal and return its HTTP status."""
        code = error.first.code
        status = STATUS.get(code, 500)
        if code != "model-failed":
            # A failure of a release is no refusal; its own counts know it.
            self._metrics.refused(model, status)
        return status

    def close(self) -> None:
        """End what goes on beside the answers."""
        self._mirrors.close()
        self._inference.close()


def found(table: LoadedTable, name: str, version: str) -> tuple[LoadedModel, int | None]:
    """Return a model of a table and the release that a version names, or raise what is unknown."""
    model = table.models.get(name)
    if model is None:
        if table.digest is None:
            raise failure("not-ready", "the models are not loaded yet")
        served = ", ".join(sorted(table.models)[:12]) or "none yet"
        raise failure("unknown-model", f"there is no model {name[:200]!r}", hint=f"served: {served}")
    arm = next((arm for arm in model.arms if arm.version == version), None)
    if version and arm is None:
        releases = ", ".join(arm.version for arm in model.arms) or "none"
        raise failure("unknown-version", f"{name} serves no version {version[:40]!r}", hint=f"served: {releases}")
    return model, arm.release if arm is not None else None
