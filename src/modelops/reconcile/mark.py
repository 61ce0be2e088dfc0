"""The high-water mark of a clone: what an environment was reconciled by last, so that a rewritten branch shows.

An environment that was never reconciled here goes by what this clone saw of the branch.
"""

from __future__ import annotations

from modelops.errors import Problem
from modelops.project.workspace import Workspace

__all__ = ["rewritten", "set_mark"]


def _ref(environment: str) -> str:
    return f"refs/modelops-reconciled/{environment}"


def rewritten(workspace: Workspace, environment: str, tip: str) -> Problem | None:
    """Return what is wrong where the branch no longer has what was reconciled by it; None where it still has.

    The ref also keeps git from throwing the old commits away.
    """
    repository = workspace.repository
    mark = repository.find(_ref(environment))
    before = mark or workspace.seen(workspace.branch)
    if before is None or before == tip or repository.is_ancestor(before, tip):
        return None
    gone = repository.log(revision=before, excluding=[tip], first_parent=True)
    many = f"{len(gone)} commits are" if len(gone) != 1 else "1 commit is"
    why = f"by which {environment} was reconciled" if mark else "that this clone has seen"
    branch, remote = workspace.branch, repository.remote
    # A push of the old tip would take away what came after it, such as a rollback; this clone may still stand there.
    back = f"git checkout {branch} && git merge --no-edit {before[:10]}"
    if remote:
        back = f"git fetch {remote} && git checkout --detach {remote}/{branch} && git merge --no-edit {before[:10]}"
        back += f" && git push {remote} HEAD:{branch} && git checkout {branch}"
    return Problem(
        "branch-rewritten",
        f"{workspace.branch} was rewritten: {many} gone {why}, the last of them {before[:10]} ({gone[0].subject})",
        hint=f"bring them back: {back}; or, if it was meant: modelops reconcile {environment} --accept-rewritten",
    )


def set_mark(workspace: Workspace, environment: str, tip: str) -> None:
    """Remember the commit that an environment was reconciled by, or that a person accepted for it."""
    workspace.repository.set_local(_ref(environment), tip)
