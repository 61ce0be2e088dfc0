"""Examining a repository: its settings, the App that acts in it, and how the loop's commits come to its branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelops.errors import ModelOpsError
from modelops.forges import Jobs, Point
from modelops.forges.github import checks
from modelops.forges.github.credentials import App
from modelops.forges.github.living import look
from modelops.forges.github.permissions import NEEDED
from modelops.forges.github.session import Session

__all__ = ["examine"]

_MODES = {
    "app": "the loop commits to it as the App, verified by GitHub and signed by its own key",
    "facts": "there is no App here: the loop asks by pull requests `modelops/facts-…`, which somebody merges",
    "push": "the loop pushes to it, and so may everybody who may write: protect it first",
}


def examine(api: Session, repository: str, branch: str, secrets: Sequence[str], jobs: Jobs) -> tuple[Point, ...]:
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
    expected = checks.Expected(
        repository, branch, tuple(secrets), app=app.number if app is not None else None, jobs=jobs
    )
    points += checks.check(living, expected)
    return (*points, _commits(checks.mode(living, expected), points))


def _commits(how: checks.Mode | None, points: Sequence[Point]) -> Point:
    """Say how what the loop decides comes to the branch, and whether it does."""
    if how is None:
        return Point("commits", "unseen", "cannot see how commits come to it (needs metadata: read)")
    if how == "push":
        return Point("commits", "fails", _MODES[how], "see `reviews`")
    needed = [one for one in points if how == "facts" and one.name in checks.FACTS and one.state != "holds"]
    if not needed:
        return Point("commits", "holds", _MODES[how])
    wrong = next((one for one in needed if one.state == "fails"), needed[0])
    no = "which they cannot" if wrong.state == "fails" else "and whether they can is not seen"
    return Point("commits", wrong.state, f"{_MODES[how]}, {no}", f"see `{wrong.name}`")


def _app(app: App, given: Mapping[str, Any]) -> Point:
    """Say with what the App is installed."""
    more = sorted(f"{key}: {level}" for key, level in given.items() if level != "read" and key not in NEEDED)
    if more:
        said = f"{app.name} is installed, and may do more than it needs: {', '.join(more)}"
        return Point("app", "fails", said, "take it away on the App's page, under `Permissions`")
    told = ", ".join(f"{key}: {level}" for key, level in sorted(NEEDED.items()))
    return Point("app", "holds", f"{app.name} is installed with {told}")
