"""Examining a repository: its settings, the App that acts in it, and how the loop's commits come to its branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelops.errors import ModelOpsError
from modelops.forges import Point
from modelops.forges.github import checks
from modelops.forges.github.credentials import NEEDED, App
from modelops.forges.github.living import look
from modelops.forges.github.session import Session

__all__ = ["examine"]

_MODES = {
    "app": "the loop commits to it as the App, verified by GitHub and signed by its own key",
    "facts": "there is no App here: the loop asks by pull requests `modelops/facts-…`, which somebody merges",
    "push": "the loop pushes to it, and so may everybody who may write: protect it first",
}


def examine(api: Session, repository: str, branch: str, secrets: Sequence[str]) -> tuple[Point, ...]:
    """Return every point of a repository; that GitHub cannot be asked is an error."""
    app = api.credentials if isinstance(api.credentials, App) else None
    points = []
    if app is not None:
        try:
            app.token()
        except ModelOpsError as error:
            if error.retryable:
                raise
            # Without a token nothing else can be seen.
            return (Point("app", "fails", error.first.message, error.first.hint),)
        points.append(_app(app, app.installation().get("permissions") or {}))
    living = look(api, f"/repos/{repository}", branch)
    expected = checks.Expected(repository, branch, tuple(secrets), app=app.id if app is not None else None)
    how = checks.mode(living, expected)
    said = _MODES[how] if how is not None else "cannot see how commits come to it (needs metadata: read)"
    state = "unseen" if how is None else "fails" if how == "push" else "holds"
    mend = "see `reviews`" if how == "push" else None
    return (*points, *checks.check(living, expected), Point("commits", state, said, mend))  # type: ignore[arg-type]


def _app(app: App, given: Mapping[str, Any]) -> Point:
    """Say with what the App is installed."""
    more = sorted(f"{key}: {level}" for key, level in given.items() if level != "read" and key not in NEEDED)
    if more:
        said = f"{app.name} is installed, and may do more than it needs: {', '.join(more)}"
        return Point("app", "fails", said, "take it away on the App's page, under `Permissions`")
    told = ", ".join(f"{key}: {level}" for key, level in sorted(NEEDED.items()))
    return Point("app", "holds", f"{app.name} is installed with {told}")
