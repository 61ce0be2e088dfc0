"""What is asked of a model: a request in some form, for which its caller waits so long."""

from __future__ import annotations

from collections.abc import Callable

from modelops.errors import ModelOpsError
from modelops.serving.forms import Form
from modelops.serving.http import Answer, Request
from modelops.serving.protocol import refusal

__all__ = ["Question", "patience_of"]

INLINE_BYTES = 32_768
"""Larger requests are handled in a thread, so that the small ones do not wait for them."""

Refuse = Callable[[str, ModelOpsError, Request], Answer]


class Question:
    """A request that may have to wait; ``patience`` is how many seconds its caller allows, None for the server's.

    One that is ``quick`` is small enough to be read and answered between two others.
    """

    __slots__ = ("_refuse", "form", "patience", "quick", "request", "size")

    def __init__(self, request: Request, patience: float | None, form: Form, refuse: Refuse) -> None:
        self.request = request
        self.patience = patience
        self.form = form
        self.size = size = len(request.body)
        self.quick = size <= INLINE_BYTES and b"content-encoding" not in request.headers
        self._refuse = refuse

    def refuse(self, model: str, error: ModelOpsError) -> Answer:
        """Return an error in the form of the protocol, once it is counted."""
        return self._refuse(model, error, self.request)


def patience_of(request: Request, longest: float) -> float | None:
    """Return how many seconds a caller waits at most, None where that is not less than the server's limit."""
    value = request.headers.get(b"x-request-timeout-ms")
    if value is None:
        return None
    value = value.strip()
    if not value.isdigit() or not 0 < len(value) < 10 or int(value) == 0:
        raise refusal("X-Request-Timeout-Ms is not a number of milliseconds above 0")
    seconds = int(value) / 1000
    return seconds if seconds < longest else None
