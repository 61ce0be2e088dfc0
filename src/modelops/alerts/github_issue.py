"""Opens one issue on GitHub for each happening, adds what else is told of it as comments, and closes it at its end.

An issue is known by the block of JSON at the end of its text, as the pull requests of the loop are, among those with
the label. Who is told twice of the same does not write twice. An issue that people closed is not opened again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import Field

from modelops.alerts import Incident, Sending
from modelops.alerts._deadline import within
from modelops.alerts._wording import fields, headline
from modelops.clock import format_instant, parse_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import read_block, write_block
from modelops.forges.github.credentials import App, credentials_of
from modelops.forges.github.session import Answer, Session
from modelops.forges.github.settings import API
from modelops.forges.github.settings import Params as Repository
from modelops.markup import escape, table

__all__ = ["Params", "send"]

_NEEDED = {"issues": "write", "metadata": "read"}


class Params(Repository):
    """Which repository, where its API is, and how issues are labelled.

    The token is found as the forge `github` finds its own. It has to be allowed to write issues, and so has an App.
    """

    label: str = Field(
        default="incident", pattern=r"^[^,\x00-\x1f]{1,50}$", description="the label that each issue gets"
    )
    timeout_seconds: float = Field(default=20.0, gt=0, le=60, description="seconds for all requests together")


def send(params: Params, incident: Incident, sending: Sending) -> None:
    """Open, comment on or close the issue of an incident."""
    end = time.monotonic() + min(params.timeout_seconds, sending.seconds)

    def patiently(seconds: float) -> None:
        if time.monotonic() + seconds >= end:
            raise TimeoutError
        time.sleep(seconds)

    credentials = credentials_of(params, sending.environ)
    base = params.api_url or sending.environ.get("GITHUB_API_URL") or API
    if isinstance(credentials, App):
        credentials = credentials.asking(_NEEDED)
    session = Session(base, credentials, patiently)
    try:
        within(end - time.monotonic(), lambda: _tell(session, params, incident))
    except TimeoutError:
        raise _late() from None


def _tell(session: Session, params: Params, incident: Incident) -> None:
    at = f"/repos/{params.repository}"
    found = _issue(session, at, params.label, incident)
    if found is None:
        asked = {"title": headline(incident)[:200], "body": _body(incident), "labels": [params.label]}
        made = session.create(f"{at}/issues", asked, lambda: _issue(session, at, params.label, incident))
        found = made.document if isinstance(made, Answer) else made
    elif incident.id not in _ids(session, at, found):
        path = f"{at}/issues/{found['number']}/comments"
        session.create(path, {"body": _body(incident)}, lambda: incident.id in _ids(session, at, found) or None)
    if incident.over and found["state"] == "open":
        done = {"state": "closed", "state_reason": "completed"}
        session.change("PATCH", f"{at}/issues/{found['number']}", done)


def _issue(session: Session, at: str, label: str, incident: Incident) -> Any | None:
    """Return the issue of a happening, the oldest of several; none is older than the happening itself."""
    # By GitHub's clock, from which ours may differ.
    since = format_instant(parse_instant(incident.opened or incident.since) - timedelta(days=1))
    asked = {"labels": label, "state": "all", "sort": "created", "direction": "asc", "since": since}
    mine = (one for one in session.pages(f"{at}/issues", asked) if "pull_request" not in one)
    return next((one for one in mine if _facts(one).get("key") == incident.key), None)


def _ids(session: Session, at: str, issue: Any) -> Iterator[Any]:
    """Yield what was told already on an issue."""
    yield _facts(issue).get("id")
    for comment in session.pages(f"{at}/issues/{issue['number']}/comments"):
        yield _facts(comment).get("id")


def _facts(written: Any) -> dict[str, Any]:
    return read_block(str(written.get("body") or "").replace("\r\n", "\n")) or {}


def _body(incident: Incident) -> str:
    """Return what people read, and the facts for who looks for it again."""
    told = fields(incident)
    said = [f"{escape(told.pop('summary'))}", f"**Next** {escape(told.pop('next'))}"]
    said += ["\n".join(f"- {escape(one)}" for one in incident.held)] if incident.held else []
    told.pop("held", None)
    said.append(table(["fact", ""], [[name, escape(value)] for name, value in told.items()]))
    return write_block("\n\n".join(said), incident.data())


def _late() -> ModelOpsError:
    return failure(
        "alert-unreachable",
        "GitHub took no issue: it took too long",
        exit=Exit.WORLD,
        hint="a later pass tells it again",
        retryable=True,
    )
