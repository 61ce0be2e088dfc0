"""What merging two commits makes: computed before it is done, the same on every machine, and never in a work tree."""

from __future__ import annotations

from datetime import UTC, datetime

from modelops.errors import Exit, ModelOpsError, failure
from modelops.repository import history
from modelops.repository.commits import identity
from modelops.repository.history import Person
from modelops.repository.process import Git, explain
from modelops.repository.seclusion import Secluded

CONFLICT = "merge-conflict"
UNRELATED = "no-common-history"

_NOBODY = Person("modelops", "modelops@modelops.invalid")
_NEVER = datetime(2001, 1, 1, tzinfo=UTC)


def merge_trees(alone: Git, ours: str, theirs: str) -> str:
    """Return the tree of the merge of two commits; conflicting files are an error that names them."""
    result = alone.run("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs)
    words = result.words()
    if result.code == 0:
        return words[0]
    if result.code == 1 and words:
        files = list(dict.fromkeys(words[1:]))
        raise failure(
            CONFLICT,
            f"both sides changed {', '.join(files)}",
            exit=Exit.FILES,
            hint="merge the target branch into yours, resolve the conflict, commit and push",
        )
    if "unrelated histories" in result.errors:
        raise unrelated(ours, theirs)
    if "usage:" in result.errors or "unknown option" in result.errors:
        raise failure(
            "git-too-old", "merging without a work tree needs git 2.38 or newer", exit=Exit.WORLD, hint="upgrade git"
        )
    raise explain(("merge-tree",), result)


def unrelated(one: str, other: str) -> ModelOpsError:
    """Return the error of two commits that share no history."""
    return failure(
        UNRELATED,
        f"{one[:12]} and {other[:12]} have no commit in common",
        hint="start the branch from the project's branch",
    )


def merged(alone: Secluded, base: str, head: str) -> str:
    """Return a commit with the tree that merging ``head`` into ``base`` makes; no ref names it.

    It is one of the two where it has all of the other, else a commit of both that everybody would write alike.
    """
    if history.is_ancestor(alone.git, base, head):
        return head
    return base if history.is_ancestor(alone.git, head, base) else alone.ask(_commit, base, head)


def _commit(alone: Git, base: str, head: str) -> str:
    return alone.checked(
        *("commit-tree", merge_trees(alone, base, head), "-p", base, "-p", head, "-F", "-"),
        input=b"What merging would make\n",
        environment=identity(_NOBODY, _NEVER),
    ).text
