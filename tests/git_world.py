"""A bare remote and clones of it for tests: real git, in a temporary folder, with nobody's configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from modelops.repository import Person, Repository

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADA = Person("Ada", "ada@example.com")
BOB = Person("Bob", "bob@example.com")


@contextmanager
def nobodys_configuration(folder: Path) -> Iterator[None]:
    """Let git read a configuration made for tests instead of this machine's."""
    settings = folder / "gitconfig"
    settings.write_text("[init]\n\tdefaultBranch = main\n[advice]\n\tdetachedHead = false\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", str(settings))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        yield


def git(folder: Path, *arguments: str) -> str:
    """Run git as a person would and return what it printed."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files below a folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def commit(folder: Path, files: Mapping[str, str], message: str = "Change") -> str:
    """Write files, commit them as git's user, and return the commit's id."""
    write(folder, files)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def lonely(folder: Path, files: Mapping[str, str] | None = None, person: Person = ADA) -> Repository:
    """Return a repository without a remote, with one commit."""
    Repository.create(folder)
    identify(folder, person)
    commit(folder, files or {"models/a/model.yaml": "a: 1\n"}, "Begin")
    return Repository.discover(folder)


def identify(folder: Path, person: Person) -> None:
    """Set who commits in a clone."""
    with (folder / ".git/config").open("a", encoding="utf-8") as file:
        file.write(f"[user]\n\tname = {person.name}\n\temail = {person.email}\n")


class World:
    """A bare remote with one commit on main."""

    def __init__(self, folder: Path, files: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.remote = folder / "remote.git"
        seed = lonely(folder / "seed", files)
        git(folder, "clone", "--quiet", "--bare", str(seed.root), str(self.remote))

    def clone(self, name: str, person: Person = ADA) -> Repository:
        """Return a new clone that someone works in."""
        git(self.folder, "clone", "--quiet", str(self.remote), name)
        identify(self.folder / name, person)
        return Repository.discover(self.folder / name)

    def tip(self, branch: str = "main") -> str:
        """Return what the remote itself has for a branch."""
        return git(self.remote, "rev-parse", f"refs/heads/{branch}")

    def branch(self, repository: Repository, name: str, files: Mapping[str, str], message: str = "Propose") -> str:
        """Commit files on a new branch off main, push it, and return its commit."""
        git(repository.root, "switch", "--quiet", "-c", name, "origin/main")
        head = commit(repository.root, files, message)
        git(repository.root, "push", "--quiet", "origin", name)
        return head
