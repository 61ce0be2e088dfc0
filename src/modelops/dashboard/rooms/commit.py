"""A commit of the branch: who made it, when, and which files it changed."""

from __future__ import annotations

import re

from modelops.dashboard.look import Look
from modelops.dashboard.rooms import Room
from modelops.dashboard.rooms.seat import pull_in
from modelops.errors import ModelOpsError

__all__ = ["commit"]

_FILES = 200
_ID = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


def commit(look: Look, id: str) -> Room | None:
    """Return the page of a commit that the branch has; other commits of the clone are nobody's business here."""
    repository = look.workspace.repository
    if not _ID.fullmatch(id):
        return None
    try:
        if not repository.is_ancestor(id, look.tip):
            return None
        found = repository.commit(id)
        paths = repository.changed_paths(found.parents[0], id) if found.parents else tuple(repository.paths(id))
    except ModelOpsError:
        return None
    open_ones = {one.commit: one for one in look.violations}
    return Room(
        "commit.html",
        f"Commit {id[:12]}",
        {
            "commit": found,
            "pull": pull_in(found.subject),
            "paths": paths[:_FILES],
            "more": max(0, len(paths) - _FILES),
            "violation": open_ones.get(id),
        },
    )
