"""Posts each incident as JSON to a URL: pagers, ticket systems and functions take that.

With ``signing`` the request is signed as `Standard Webhooks <https://www.standardwebhooks.com>`_ says: ``webhook-id``
is the incident's id, by which a receiver knows a repeat, ``webhook-timestamp`` the second of sending, by which it
refuses what is played back later, and ``webhook-signature`` is ``v1,`` and the base64 of HMAC-SHA256 over
``id.timestamp.body``. An answer of 2xx means taken, what passes is tried again, and errors name the host alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from typing import Self

from pydantic import Field, model_validator

from modelops.alerts import Incident, Sending
from modelops.alerts._posting import Header, Place, Variable, deliver, value_of
from modelops.errors import Exit, failure
from modelops.spec.meta import Strict

__all__ = ["Header", "Params", "send", "signature"]

_PREFIX = "whsec_"
_SHORTEST = 24
"""Bytes of a secret, as the standard asks for."""


class Signing(Strict):
    """What requests are signed with."""

    variable: Variable = Field(
        description="the environment variable that holds the secret: `whsec_` and the base64 of 24 bytes or more"
    )


class Params(Place):
    """Where to post, as what, and how long to try."""

    signing: Signing | None = Field(default=None, description="signs each request, for receivers that check it")

    @model_validator(mode="after")
    def _two_secrets(self) -> Self:
        if self.signing is not None and self.header is not None and self.signing.variable == self.header.variable:
            raise ValueError("the secret of `signing` would be sent in `header`: name another variable")
        return self


def send(params: Params, incident: Incident, sending: Sending, sleep: Callable[[float], None] = time.sleep) -> None:
    """Post one incident."""
    body = json.dumps(incident.data(), sort_keys=True).encode()
    signed = _signed(params.signing, incident.id, body, sending) if params.signing is not None else {}
    deliver(params, body, sending.environ, sending.seconds, sleep, headers=signed)


def signature(secret: bytes, identity: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a request, as Standard Webhooks spells it."""
    digest = hmac.new(secret, f"{identity}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _signed(signing: Signing, identity: str, body: bytes, sending: Sending) -> Mapping[str, str]:
    moment = int(sending.now.timestamp())
    told = signature(_secret(signing.variable, sending.environ), identity, moment, body)
    return {"webhook-id": identity, "webhook-timestamp": str(moment), "webhook-signature": told}


def _secret(variable: str, environ: Mapping[str, str]) -> bytes:
    try:
        secret = base64.b64decode(value_of(variable, environ).removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) < _SHORTEST:
        said = f"what {variable} holds is no secret for signing: `whsec_` and the base64 of {_SHORTEST} bytes or more"
        hint = f"make one: echo whsec_$(head -c 32 /dev/urandom | base64), and give it to the receiver and {variable}"
        raise failure("bad-alert-secret", said, exit=Exit.USAGE, hint=hint)
    return secret
