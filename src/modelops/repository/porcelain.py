"""What a person would do at the prompt (init, clone, status, add and commit), by GitPython.

GitPython is imported by these few calls only: the import costs more than everything else that most verbs do, and it
reads history one object at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from modelops.errors import Exit, failure
from modelops.repository.history import Person
from modelops.repository.names import check_path
from modelops.repository.process import Result, clean_environment, explain


@contextmanager
def _git() -> Iterator[Any]:
    """Give GitPython, which hands this process's environment to git, the one that git gets everywhere else."""
    kept = clean_environment()
    dropped = {key: value for key, value in os.environ.items() if key not in kept}
    for key in dropped:
        del os.environ[key]
    try:
        import git

        try:
            yield git
        except git.GitCommandError as error:
            command = [str(word) for word in error.command][1:2]
            errors = str(error.stderr).strip().removeprefix("stderr:").strip().strip("'")
            raise explain(command, Result(1, b"", errors)) from None
    finally:
        os.environ.update(dropped)


def create(path: Path, branch: str) -> None:
    """Make a new, empty repository."""
    with _git() as git:
        git.Repo.init(path, mkdir=True, initial_branch=branch).close()


def clone(source: str, path: Path) -> None:
    """Clone a repository into a folder that is new or empty."""
    if source.startswith("-"):
        raise failure("bad-ref", f"{source!r} is not the address of a repository", exit=Exit.USAGE)
    with _git() as git:
        git.Repo.clone_from(source, path).close()


def dirty_paths(root: Path, paths: Sequence[str]) -> tuple[str, ...]:
    """Return the files with changes that are not committed, sorted."""
    with _git() as git, git.Repo(root) as repo:
        # -z lists the old name of a rename as a field of its own, so renames are not asked for.
        fields = repo.git.status(
            *("--porcelain", "-z", "--no-renames", "--untracked-files=all", "--"),
            *(check_path(path.rstrip("/")) for path in paths),
            env={"GIT_LITERAL_PATHSPECS": "1", "GIT_OPTIONAL_LOCKS": "0"},
            strip_newline_in_stdout=False,
        )
        return tuple(sorted(field[3:] for field in fields.split("\0") if field))


def commit_work_tree(root: Path, paths: Sequence[str], message: str, person: Person, when: datetime) -> str:
    """Stage files of the work tree and commit everything that is staged; return the commit's id."""
    if when.tzinfo is None:
        raise ValueError("the date of a commit needs a time zone")
    date = f"{int(when.timestamp())} +0000"
    with _git() as git, git.Repo(root) as repo:
        repo.git.add("--all", "--", *(check_path(path.rstrip("/")) for path in paths))
        actor = git.Actor(person.name, person.email)
        commit = repo.index.commit(message, author=actor, committer=actor, author_date=date, commit_date=date)
        return str(commit.hexsha)
