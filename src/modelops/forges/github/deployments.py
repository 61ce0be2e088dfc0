"""Deployments on GitHub: what of a model is where, shown beside the commits and on the page of the environment.

They are shown and never read for a decision. Each is found again by its payload, so that what is shown already is not
written again, whichever machine wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from modelops.forges import Deployed
from modelops.forges.github.session import Answer, Session

__all__ = ["show"]

_LONGEST = 140
_LOOKED_AT = 200
"""How many of the newest deployments of an environment are looked through."""
_ENDED = ("inactive", "failure", "error")


def show(
    api: Session,
    at: str,
    environment: str,
    model: str,
    commit: str,
    arms: Sequence[Deployed],
    failed: Collection[int],
) -> int:
    """Let GitHub show the arms of a model in an environment, and nothing else of it; return how much was written."""
    known = _known(api, at, environment, model)
    written = 0
    for arm in arms:
        found, said = known.get(arm.release, (None, ("", "")))
        if found is None or (said[0] in _ENDED and arm.state not in _ENDED):
            found = _open(api, at, environment, model, commit, arm)
            written, said = written + 1, ("", "")
        if said != (arm.state, _cut(arm.description)):
            _say(api, at, found, environment, arm.state, arm.description)
            written += 1
    shown = {arm.release for arm in arms}
    for release, (found, said) in known.items():
        if release not in shown and said[0] not in _ENDED and found is not None:
            state = "failure" if release in failed else "inactive"
            word = "was withdrawn" if state == "failure" else "is not used any more"
            _say(api, at, found, environment, state, f"{model} release {release} {word}")
            written += 1
    return written


def _known(api: Session, at: str, environment: str, model: str) -> dict[int, tuple[int | None, tuple[str, str]]]:
    """Return the newest deployment of each release of a model, with what was last said of it."""
    found: dict[int, tuple[int | None, tuple[str, str]]] = {}
    for number, one in enumerate(api.pages(f"{at}/deployments", {"environment": environment})):
        if number >= _LOOKED_AT:
            break
        told = _payload(one.get("payload"))
        release = told.get("release")
        if told.get("model") != model or not isinstance(release, int) or release in found:
            continue
        said = next(iter(_first(api, f"{at}/deployments/{one['id']}/statuses")), {})
        found[release] = (int(one["id"]), (str(said.get("state") or ""), str(said.get("description") or "")))
    return found


def _first(api: Session, path: str) -> Iterable[Mapping[str, Any]]:
    """Return the newest entry of a list, which GitHub gives first."""
    document = api.get(path, {"per_page": 1}).document
    return document if isinstance(document, list) else ()


def _payload(payload: object) -> Mapping[str, Any]:
    """Return what a deployment of ours carries; GitHub gives it back as it was, older servers as text."""
    if isinstance(payload, str):
        try:
            payload = json.loads(payload)
        except ValueError:
            return {}
    told = payload.get("modelops") if isinstance(payload, dict) else None
    return told if isinstance(told, dict) else {}


def _open(api: Session, at: str, environment: str, model: str, commit: str, arm: Deployed) -> int:
    body = {
        "ref": commit,
        "task": "deploy",
        # What runs was approved and measured: no merge and no check is asked for once more.
        "auto_merge": False,
        "required_contexts": [],
        "environment": environment,
        "description": _cut(f"{model} release {arm.release}"),
        "payload": {"modelops": {"model": model, "release": arm.release}},
    }

    def look() -> int | None:
        found = _known(api, at, environment, model).get(arm.release)
        return found[0] if found is not None and found[1][0] not in _ENDED else None

    made = api.create(f"{at}/deployments", body, look)
    return int(made.document["id"]) if isinstance(made, Answer) else made


def _say(api: Session, at: str, number: int, environment: str, state: str, description: str) -> None:
    text = _cut(description)

    def look() -> bool | None:
        newest = next(iter(_first(api, f"{at}/deployments/{number}/statuses")), {})
        return True if (newest.get("state"), newest.get("description")) == (state, text) else None

    body = {"state": state, "description": text, "environment": environment, "auto_inactive": False}
    api.create(f"{at}/deployments/{number}/statuses", body, look)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
