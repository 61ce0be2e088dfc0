"""The forms in which a caller may ask and be answered: tensors of the protocol, records, messages of gRPC."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from modelops.artifacts import Outputs
from modelops.errors import ModelOpsError
from modelops.serving.http import Answer, Request
from modelops.serving.inputs import Binder
from modelops.serving.outputs import Encoder
from modelops.serving.protocol import InferRequest, decode_request, header_length, inflate
from modelops.serving.table import LoadedArm

__all__ = ["TENSORS", "Form", "Takes", "body_of", "explained"]

_BINARY = b"application/octet-stream"


class Takes(Protocol):
    """What a form has to know of a model: the datatypes of its inputs, and what some arm of it takes."""

    @property
    def declared(self) -> Mapping[str, str]:
        """Datatypes by name of the input, in order."""

    @property
    def known(self) -> Collection[str]:
        """Names of the inputs of all arms."""


class Form(NamedTuple):
    """How a body becomes a request, how predictions become an answer, and what a model takes in this form's words.

    ``apart`` is the name by which another process knows how to read it, where that takes long. ``tells`` says that the
    answer has room for more than the predictions: which of them are to be reviewed.
    """

    read: Callable[[Request, Takes], InferRequest]
    write: Callable[[dict[str, Any], InferRequest, Encoder, Outputs], Answer]
    wanted: Callable[[Binder], str]
    apart: str = ""
    tells: bool = True


def body_of(request: Request) -> bytes:
    """Return the body as it was before it was compressed."""
    encoding = request.headers.get(b"content-encoding")
    return request.body if encoding is None else inflate(request.body, encoding.decode("latin-1").strip().lower())


def explained(error: ModelOpsError, form: Form, arm: LoadedArm | None) -> ModelOpsError:
    """Return a refusal that says what the model takes, where it does not help otherwise."""
    problem = error.first
    if problem.code != "bad-request" or problem.hint is not None or arm is None:
        return error
    return ModelOpsError(replace(problem, hint=form.wanted(arm.binder)), exit=error.exit)


def _read_tensors(request: Request, _: Takes) -> InferRequest:
    headers = request.headers
    if b"content-encoding" not in headers and b"inference-header-content-length" not in headers:
        return decode_request(request.body, None)
    return decode_request(body_of(request), header_length(headers))


def _write_tensors(head: dict[str, Any], request: InferRequest, encoder: Encoder, outputs: Outputs) -> Answer:
    body, json_length = encoder.encode(head, request, outputs)
    if json_length is None:
        return Answer(200, body)
    return Answer(200, body, _BINARY, ((b"inference-header-content-length", b"%d" % json_length),))


TENSORS = Form(_read_tensors, _write_tensors, Binder.wanted, "tensors")
"""The protocol's own: one tensor per feature, or one of all of them."""
