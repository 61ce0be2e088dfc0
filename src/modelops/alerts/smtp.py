"""Sends each incident as a mail, by a server that one submits mail to (RFC 6409).

The mail has the facts as text, and all of them as JSON in an attachment. Its Message-ID is made of the incident's id,
so that a repeat after a crash is one mail for most readers, and all mails of one happening are one thread. A mail that
the server took is told; what happens to it later nobody hears here.
"""

from __future__ import annotations

import json
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from modelops.alerts import Incident, Sending
from modelops.alerts._deadline import within
from modelops.alerts._posting import Variable, value_of
from modelops.alerts._wording import fields, headline
from modelops.errors import Exit, ModelOpsError, failure
from modelops.spec.address import is_loopback
from modelops.spec.meta import Strict

__all__ = ["Params", "send"]

_PORTS = {"starttls": 587, "tls": 465, "none": 25}
Mailbox = Annotated[str, Field(pattern=r"^[^@\s<>,;:\"()\\]+@[A-Za-z0-9.-]+$", max_length=254)]


class Login(Strict):
    """Who submits."""

    user: str = Field(min_length=1, description="the name")
    variable: Variable = Field(description="the environment variable that holds the password")


class Params(Strict):
    """Which server, and from whom to whom.

    One route has one recipient, so that an incident was told or was not: a list of people is an address of its own.
    Without TLS mail goes to this machine alone, unless ``insecure`` says otherwise, and never with a password.
    """

    host: str = Field(pattern=r"^[A-Za-z0-9.:-]+$", description="the server's name")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="587 without a word, 465 for `tls`, 25 for `none`"
    )
    security: Literal["starttls", "tls", "none"] = Field(default="starttls", description="how the way is protected")
    login: Login | None = Field(default=None, description="who submits, where the server asks")
    sender: Mailbox = Field(description="the address in From")
    recipient: Mailbox = Field(description="the address in To")
    timeout_seconds: float = Field(default=20.0, gt=0, le=60, description="seconds for all of it")
    insecure: bool = Field(default=False, description="allows `security: none` to other machines")

    @field_validator("sender", "recipient")
    @classmethod
    def _an_address(cls, text: str) -> str:
        try:
            Address(addr_spec=text)
        except (ValueError, IndexError):
            raise ValueError(f"{text!r} is not the address of a mailbox") from None
        return text

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.security == "none" and self.login is not None:
            raise ValueError("a password would be sent in the clear: use starttls or tls")
        if self.security == "none" and not self.insecure and not is_loopback(self.host):
            raise ValueError("mail would travel in the clear: use starttls or tls, or `insecure: true`")
        return self


def send(params: Params, incident: Incident, sending: Sending) -> None:
    """Submit one mail."""
    password = value_of(params.login.variable, sending.environ) if params.login is not None else ""
    message = _mail(params, incident, sending)
    seconds = min(params.timeout_seconds, sending.seconds)
    try:
        within(seconds, lambda: _submit(params, password, message, seconds))
    except TimeoutError:
        raise _unreachable(params, "it took too long") from None
    except smtplib.SMTPRecipientsRefused as error:
        code = next((code for code, _ in error.recipients.values()), 550)
        raise _answered(params, code, "the recipient") from None
    except smtplib.SMTPSenderRefused as error:
        raise _answered(params, error.smtp_code, "the sender") from None
    except smtplib.SMTPAuthenticationError as error:
        raise _answered(params, error.smtp_code, "the user or password") from None
    except smtplib.SMTPResponseException as error:
        raise _answered(params, error.smtp_code, "the mail") from None
    except ssl.SSLError as error:
        raise _unreachable(params, f"TLS failed: {error.reason}" if error.reason else "TLS failed") from None
    except smtplib.SMTPNotSupportedError:
        said = "no STARTTLS" if params.security == "starttls" else "no way to log in"
        raise _unreachable(params, f"it offers {said}") from None
    except (OSError, smtplib.SMTPException, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise _unreachable(params, said) from None


def _submit(params: Params, password: str, message: EmailMessage, seconds: float) -> None:
    port = params.port or _PORTS[params.security]
    context = ssl.create_default_context()
    if params.security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(params.host, port, timeout=seconds, context=context)
    else:
        server = smtplib.SMTP(params.host, port, timeout=seconds)
    try:
        if params.security == "starttls":
            server.starttls(context=context)
        if params.login is not None:
            server.login(params.login.user, password)
        server.send_message(message, params.sender, [params.recipient])
    finally:
        # The mail was taken, or was not: how the other side says goodbye changes neither.
        server.close()


def _mail(params: Params, incident: Incident, sending: Sending) -> EmailMessage:
    told = fields(incident)
    domain = params.sender.rpartition("@")[2]
    message = EmailMessage()
    message["From"], message["To"] = params.sender, params.recipient
    message["Subject"] = headline(incident)[:200]
    message["Date"] = format_datetime(sending.now)
    message["Message-ID"] = f"<{incident.id}@{domain}>"
    message["References"] = f"<{incident.key}@{domain}>"
    # So that no holiday answers.
    message["Auto-Submitted"] = "auto-generated"
    held = told.pop("held", None)
    lines = [told.pop("summary"), "", f"Next: {told.pop('next')}", "", *([held, ""] if held else [])]
    message.set_content("\n".join([*lines, *(f"{name}: {told[name]}" for name in told)]) + "\n")
    data = json.dumps(incident.data(), indent=1, sort_keys=True).encode()
    message.add_attachment(data, maintype="application", subtype="json", filename="incident.json")
    return message


def _named(params: Params) -> str:
    return f"{params.host}:{params.port or _PORTS[params.security]}"


def _answered(params: Params, code: int, what: str) -> ModelOpsError:
    if code >= 500:
        said = f"{_named(params)} refuses {what}: {code}"
        return failure("alert-refused", said, exit=Exit.WORLD, hint="ask who runs the mail server")
    return _unreachable(params, f"it does not take {what} now: {code}")


def _unreachable(params: Params, reason: str) -> ModelOpsError:
    return failure(
        "alert-unreachable",
        f"{_named(params)} took no mail: {reason}",
        exit=Exit.WORLD,
        hint="a later pass tells it again",
        retryable=True,
    )
