"""Where a commit was to be merged: GitHub runs the workflows of a pull request as they are in the branch it is into."""

from __future__ import annotations

from modelops.errors import ModelOpsError
from modelops.forges.github.session import Session

__all__ = ["other_targets"]

_CHANGED = ("base_ref_changed", "automatic_base_change_succeeded")
_SOMEWHERE = "another branch"


def other_targets(api: Session, at: str, number: int, label: str, target: str, commit: str) -> tuple[str, ...]:
    """Return the branches beside ``target`` that a commit, or what else its branch had, was to be merged into; sorted.

    ``label`` is the branch with its owner, ``OWNER:BRANCH``. Closed pull requests count, and so does one that had
    another target before: of that GitHub does not say which.
    """
    found: set[str] = set()
    for document in api.pages(f"{at}/pulls", {"state": "all", "head": label}):
        found.add(document["base"]["ref"])
    try:
        for document in api.pages(f"{at}/commits/{commit}/pulls"):
            if document["head"]["sha"] == commit:
                found.add(document["base"]["ref"])
    except ModelOpsError as error:
        if error.first.code not in ("forge-absent", "forge-refused"):
            raise
    if any(one.get("event") in _CHANGED for one in api.pages(f"{at}/issues/{number}/events")):
        found.add(_SOMEWHERE)
    return tuple(sorted(found - {target}))
