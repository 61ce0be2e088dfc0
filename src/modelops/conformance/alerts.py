"""What every way of alerting keeps: all of an incident arrives, repeats can be told, and failures are said in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelops.alerts import Alert, Incident, Sending
from modelops.conformance.shelf import check_module, params_of
from modelops.errors import Exit, ModelOpsError
from modelops.spec.layout import Seat

__all__ = ["CHECKS", "INCIDENT", "Ground", "check", "refusal"]

INCIDENT = Incident(
    event="stalled",
    seat=Seat("payments/fraud-detection", "production"),
    code="release-denied",
    summary='payments/fraud-detection in production is stalled: "4" was denied – ähnlich wie <3> & \\n 100 %',
    next="clear its entry in a reviewed change",
    owner="payments-risk",
    risk="high",
    since="2026-03-01T12:00:00Z",
    revision="0123456789abcdef0123456789abcdef01234567",
    release=4,
    tier="page",
    happening="stalled",
    opened="2026-03-01T11:00:00Z",
)
"""An incident with what is hard to quote."""


@dataclass(frozen=True)
class Ground:
    """A way with the parameters of a place that takes incidents, and of one that takes none (``broken``).

    ``received`` returns what has arrived so far, oldest first, each as the fields of ``Incident.data()``; ``secrets``
    are texts that no error may hold.
    """

    alert: Alert
    params: Mapping[str, object]
    broken: Mapping[str, object]
    sending: Sending
    received: Callable[[], Sequence[Mapping[str, Any]]]
    secrets: tuple[str, ...] = ()

    def send(self, *incidents: Incident) -> list[dict[str, Any]]:
        """Send incidents and return what has arrived of them."""
        before = len(self.received())
        bound = params_of(self.alert, self.params)
        for incident in incidents:
            self.alert.send(bound, incident, self.sending)
        return [dict(one) for one in self.received()[before:]]


def check(ground: Ground) -> None:
    """Run every check."""
    for one in CHECKS:
        one(ground)


def check_shelf(ground: Ground) -> None:
    """It exposes what the Protocol names and refuses unknown parameters."""
    check_module("alerts", ground.alert, ground.params)
    check_module("alerts", ground.alert, ground.broken)


def check_everything_arrives(ground: Ground) -> None:
    """Every field of each incident has arrived when ``send`` returns, in the order of the sendings, in one form."""
    digest = replace(INCIDENT, event="digest", seat=Seat("*", "production"), held=("One <1>.", "Two & three."))
    second = replace(INCIDENT, code="other", summary="Second.")
    sent = (INCIDENT, second, replace(INCIDENT, event="recovered", release=None), digest)
    arrived, expected = ground.send(*sent), [incident.data() for incident in sent]
    assert arrived == expected, f"what arrived is not what was sent:\n{arrived}\n{expected}"


def check_a_repeat_can_be_told(ground: Ground) -> None:
    """What is sent again, as after a crash, arrives with the same id, or not a second time; news has another one."""
    *first, news = ground.send(INCIDENT, INCIDENT, replace(INCIDENT, since="2026-03-01T12:00:01Z"))
    assert 1 <= len(first) <= 2, "what was sent did not arrive"
    assert all(one == first[0] for one in first), "a repeat arrives in another form"
    assert first[0]["id"] != news["id"], "news cannot be told from a repeat"


def check_the_end_is_of_its_beginning(ground: Ground) -> None:
    """What is told of one thing, from its beginning to its end, arrives with one key; of another one with another."""
    end = replace(INCIDENT, event="recovered", code="other", since="2026-03-01T14:00:00Z")
    first, over, other = ground.send(INCIDENT, end, replace(INCIDENT, opened="2026-03-02T11:00:00Z"))
    assert first["key"] == over["key"], "the end cannot be told to be that of its beginning"
    assert first["id"] != over["id"], "the end cannot be told from its beginning"
    assert first["key"] != other["key"], "two things that happened cannot be told apart"


def check_what_is_not_taken_is_told(ground: Ground) -> None:
    """A place that takes nothing is one ModelOpsError, and keeps nothing from arriving elsewhere afterwards."""
    refusal(ground.alert, ground.broken, ground.sending, ground.secrets)
    assert len(ground.send(INCIDENT)) == 1, "after a failure nothing arrives any more"


def refusal(
    alert: Alert, params: Mapping[str, object], sending: Sending, secrets: Iterable[str] = (), slack: float = 2.0
) -> ModelOpsError:
    """Return the error of an incident that could not be handed over: it comes in time, and holds no secret."""
    began = time.monotonic()
    error = _failed(alert, params, sending)
    took = time.monotonic() - began
    assert error is not None, "what was not handed over was not told"
    assert took <= sending.seconds + slack, f"it took {took:.1f} s of {sending.seconds:g} s"
    assert error.exit in (Exit.WORLD, Exit.USAGE), f"it exits with {error.exit!r}, and no file is wrong"
    assert not any(secret in str(error) for secret in secrets), "the error holds a secret"
    return error


def _failed(alert: Alert, params: Mapping[str, object], sending: Sending) -> ModelOpsError | None:
    try:
        alert.send(params_of(alert, params), INCIDENT, sending)
    except ModelOpsError as error:
        return error
    return None


CHECKS: tuple[Callable[[Ground], None], ...] = (
    check_shelf,
    check_everything_arrives,
    check_a_repeat_can_be_told,
    check_the_end_is_of_its_beginning,
    check_what_is_not_taken_is_told,
)
