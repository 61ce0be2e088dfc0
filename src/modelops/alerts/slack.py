"""Posts each incident in the form of Slack's incoming webhooks, which Mattermost, Rocket.Chat and others take too.

The message is an attachment with a field for each fact. What modelops or a model's files say is text there: it calls
nobody, and hides no address behind a word. The URL of such a webhook is a secret, so it comes from a variable.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable

from modelops.alerts import Incident, Sending
from modelops.alerts._posting import Place, deliver
from modelops.alerts._wording import fields, headline
from modelops.clock import parse_instant

__all__ = ["Params", "send"]

_COLOURS = {"page": "danger", "ticket": "warning", "record": "#888888"}
_CALLS = re.compile(r"@(?=\w)|\](?=[(\[])")
_LONG = 40
"""Letters above which a field has a line of its own."""


class Params(Place):
    """Where to post, and how long to try."""


def send(params: Params, incident: Incident, sending: Sending, sleep: Callable[[float], None] = time.sleep) -> None:
    """Post one incident."""
    deliver(params, json.dumps(_message(incident)).encode(), sending.environ, sending.seconds, sleep)


def _message(incident: Incident) -> dict[str, object]:
    told = {name: _text(value) for name, value in fields(incident).items()}
    head = _text(headline(incident))
    shown = [{"title": name, "value": value, "short": len(value) <= _LONG} for name, value in told.items()]
    attachment = {
        "fallback": f"{head}: {told['summary']}",
        "color": "good" if incident.over else _COLOURS[incident.tier],
        "title": head,
        "fields": shown,
        "footer": "modelops",
        "ts": int(parse_instant(incident.since).timestamp()),
        "mrkdwn_in": [],
    }
    return {"text": head, "attachments": [attachment]}


def _text(value: str) -> str:
    """Return a text that is no markup there: the three characters with which links and calls begin are written out.

    These are Slack's. Others call by ``@all`` and make links as Markdown does, in fields too: a space of no width parts
    what would be one.
    """
    parted = _CALLS.sub("\\g<0>\u200b", value)
    return parted.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
