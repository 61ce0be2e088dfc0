"""Commits on the project's branch: made by GitHub for an App, which signs them, and pushed by git for everybody else.

Decision 0046 says why by the Git database and not by one mutation: the tree is compared before the branch moves, and
the id of the commit is known by then, so that an answer which was lost is found again.
"""

from __future__ import annotations

import base64
import posixpath
import re
from typing import Any
from urllib.parse import quote

from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges.github.session import Answer, Session
from modelops.repository import Repository, Swap

__all__ = ["push", "put"]

_LARGEST = 8 << 20
_NOTHING = "000000"
_PROTECTED = re.compile(r"GH006|GH013|protected branch|repository rule|rule violations", re.IGNORECASE)
_MOVED = re.compile(r"not a fast forward|is at .* but expected", re.IGNORECASE)
_LAG = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between looks for a commit that GitHub has made and git does not deliver yet."""


def put(api: Session, at: str, repository: Repository, branch: str, tip: str, commit: str) -> str | None:
    """Let GitHub make a commit as it is in the clone, and move the branch to it if it is still at ``tip``."""
    tree = repository.commit(commit).tree
    _make_tree(api, at, repository, tip, commit, tree)
    message = repository.messages(tip, commit)[0]
    body = {"message": message, "tree": tree, "parents": [tip]}
    # What nothing points to is nobody's: asked again, another such commit is made, and no harm is done.
    made = _created(api, f"{at}/git/commits", body)
    if (made["tree"]["sha"], [one["sha"] for one in made["parents"]]) != (tree, [tip]):
        raise failure(
            "commit-altered", f"GitHub made another commit than {commit[:12]}: {made['sha'][:12]}", exit=Exit.WORLD
        )
    return _moved(api, at, repository, branch, str(made["sha"]))


def push(repository: Repository, branch: str, tip: str, commit: str) -> str | None:
    """Push a commit, if the branch is still at ``tip``; a branch that is protected says so in GitHub's words."""
    try:
        there = repository.swap(Swap(f"refs/heads/{branch}", tip, commit), message=f"push {branch}")
    except ModelOpsError as error:
        if error.first.code != "push-rejected" or not _PROTECTED.search(error.first.message):
            raise
        raise _protected(branch, error.first.message) from None
    return commit if there else None


def _make_tree(api: Session, at: str, repository: Repository, tip: str, commit: str, wanted: str) -> None:
    entries = []
    for one in repository.differences(tip, commit):
        path = posixpath.normpath(posixpath.join(repository.folder, one.path))
        if one.mode == _NOTHING:
            entries.append({"path": path, "mode": one.old_mode, "type": "blob", "sha": None})
            continue
        data = repository.blobs([one.id], _LARGEST)[one.id]
        if not isinstance(data, bytes):
            raise failure(
                "file-too-large", f"{one.path} has {data:,} bytes, and {_LARGEST:,} are the most", exit=Exit.NO
            )
        entries.append({"path": path, "mode": one.mode, "type": "blob", **_content(api, at, data)})
    made = _created(api, f"{at}/git/trees", {"base_tree": repository.commit(tip).tree, "tree": entries})
    if made["sha"] != wanted:
        raise failure(
            "commit-altered",
            f"GitHub made the tree {str(made['sha'])[:12]} of what is {wanted[:12]} here, so nothing was committed",
            exit=Exit.WORLD,
            hint="run it again; if it stays so, the fetch of this clone and GitHub's data differ",
        )


def _content(api: Session, at: str, data: bytes) -> dict[str, str]:
    try:
        return {"content": data.decode()}
    except UnicodeDecodeError:
        blob = {"content": base64.b64encode(data).decode(), "encoding": "base64"}
        return {"sha": str(_created(api, f"{at}/git/blobs", blob)["sha"])}


def _created(api: Session, path: str, body: dict[str, Any]) -> Any:
    """Make an object; one that was made already is the same one, or one that nothing points to."""
    made = api.create(path, body, _nothing)
    assert isinstance(made, Answer), "there is no other way that it was made"
    return made.document


def _nothing() -> None:
    return None


def _moved(api: Session, at: str, repository: Repository, branch: str, commit: str) -> str | None:
    """Move the branch forward to a commit; one that is there already, by an answer that was lost, is there."""
    try:
        api.change("PATCH", f"{at}/git/refs/heads/{quote(branch)}", {"sha": commit, "force": False})
    except ModelOpsError as error:
        said = error.first.message
        if error.first.code == "forge-refused" and _PROTECTED.search(said):
            raise _protected(branch, said) from None
        if error.first.code != "forge-refused" or not _MOVED.search(said):
            raise
        # Not moved forward: because it is there and more is on top, or because others were faster.
        repository.fetch()
        tip = repository.find_tip(branch)
        within = repository.find(commit) is not None and tip is not None and repository.is_ancestor(commit, tip)
        return commit if within else None
    for pause in (*_LAG, None):
        repository.fetch()
        if repository.find(commit) is not None:
            return commit
        if pause is not None:
            api.pause(pause)
    raise failure(
        "forge-behind",
        f"{branch} is at {commit[:12]} on GitHub, which cannot be fetched yet",
        exit=Exit.WORLD,
        retryable=True,
        hint="nothing is lost: run the same again",
    )


def _protected(branch: str, said: str) -> ModelOpsError:
    return failure(
        "branch-protected",
        f"{branch} is protected from whoever this is: {said}",
        exit=Exit.WORLD,
        hint="let the App bypass the ruleset of the branch, or merge the pull request that brings it: modelops doctor",
    )
