"""What may be handed to git as a name: nothing that looks like an option, and no path that leaves the repository."""

from __future__ import annotations

import re

from modelops.errors import Exit, failure

_BAD_REF = re.compile(r"^[-./]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|[./]$|^@$|^$")
_BAD_SEGMENTS = frozenset({"", ".", ".."})


def check_ref(name: str) -> str:
    """Return a branch or ref name that git accepts and that cannot be read as an option."""
    if _BAD_REF.search(name):
        raise failure(
            "bad-ref",
            f"{name!r} is not a name that git accepts for a branch",
            exit=Exit.USAGE,
            hint="use letters and -",
        )
    return name


def check_branch(name: str) -> str:
    """Return the name of a new branch: a ref's, but none that git takes for another thing, as HEAD or refs/heads/x."""
    if check_ref(name).upper() == "HEAD" or name.startswith("refs/"):
        said = f"a branch {name!r} would be taken for another thing by git"
        raise failure("bad-ref", said, exit=Exit.USAGE, hint="use letters and -")
    return name


def check_revision(revision: str) -> str:
    """Return a revision that cannot be read as an option or as several arguments."""
    if not revision or revision.startswith("-") or re.search(r"[\x00-\x1f\x7f:]|\.\.", revision):
        raise failure(
            "unknown-revision",
            f"{revision!r} is not a revision",
            exit=Exit.USAGE,
            hint="name a branch, a tag or a commit; `git log --oneline` lists commits",
        )
    return revision


def check_path(path: str) -> str:
    """Return a path that stays inside the repository, outside .git, and cannot be read as an option."""
    segments = path.split("/")
    unsafe = path.startswith("-") or re.search(r"[\x00-\x1f\x7f]", path) or _BAD_SEGMENTS & set(segments)
    if unsafe or any(segment.lower() == ".git" for segment in segments):
        raise failure(
            "bad-path",
            f"{path!r} is not a path inside the repository",
            hint="write it relative to the root of the repository, without '..' and not starting with '-'",
        )
    return path
