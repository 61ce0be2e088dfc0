"""A bare remote and clones of it for tests: real git, in a temporary folder, with nobody's configuration."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
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
    shutil.copytree(_made("seed", files or SEED), folder)
    identify(folder, person)
    return Repository.discover(folder)


def identify(folder: Path, person: Person) -> None:
    """Set who commits in a clone."""
    with (folder / ".git/config").open("a", encoding="utf-8") as file:
        file.write(f"[user]\n\tname = {person.name}\n\temail = {person.email}\n")


SEED = {"models/a/model.yaml": "a: 1\n"}
_made_before: dict[tuple[str, str], Path] = {}


def _made(what: str, files: Mapping[str, str]) -> Path:
    """Return a seed repository, a bare remote or a clone of it, made by git once and copied by the tests."""
    key = (what, repr(sorted(files.items())))
    if key not in _made_before:
        folder = Path(tempfile.mkdtemp(prefix="modelops-test-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        place = folder / what
        if what == "seed":
            place.mkdir()
            git(place, "init", "--quiet", "-b", "main", "--template=")
            identify(place, ADA)
            commit(place, files, "Begin")
            (place / ".git/config").write_text((place / ".git/config").read_text().partition("[user]")[0])
        else:
            source, bare = (_made("seed", files), ["--bare"]) if what == "remote" else (_made("remote", files), [])
            git(folder, "clone", "--quiet", "--template=", *bare, str(source), what)
        (place if what == "remote" else place / ".git").joinpath("hooks").mkdir()
        _made_before[key] = place
    return _made_before[key]


@contextmanager
def counting_git(folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Yield a function that returns the command lines of git so far."""
    calls, script, real = folder / "calls", folder / "bin" / "git", shutil.which("git")
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho " $* " >> {calls}\nexec {real} "$@"\n')
    script.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{script.parent}{os.pathsep}{os.environ['PATH']}")
        yield lambda: calls.read_text().splitlines() if calls.exists() else []


class World:
    """A bare remote with one commit on main."""

    def __init__(self, folder: Path, files: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.files = files or SEED
        self.remote = folder / "remote.git"
        shutil.copytree(_made("remote", self.files), self.remote)
        self.first = self.tip()

    def clone(self, name: str, person: Person = ADA) -> Repository:
        """Return a new clone that someone works in."""
        folder = self.folder / name
        if git(self.remote, "for-each-ref", "--format=%(objectname)") == self.first:
            template = _made("clone", self.files)
            shutil.copytree(template, folder)
            config = folder / ".git/config"
            config.write_text(config.read_text().replace(str(_made("remote", self.files)), str(self.remote)))
        else:
            git(self.folder, "clone", "--quiet", "--template=", str(self.remote), name)
            (folder / ".git/hooks").mkdir()
        identify(folder, person)
        return Repository.discover(folder)

    def tip(self, branch: str = "main") -> str:
        """Return what the remote itself has for a branch."""
        return git(self.remote, "rev-parse", f"refs/heads/{branch}")

    def branch(self, repository: Repository, name: str, files: Mapping[str, str], message: str = "Propose") -> str:
        """Commit files on a new branch off main, push it, and return its commit."""
        git(repository.root, "switch", "--quiet", "-c", name, "origin/main")
        head = commit(repository.root, files, message)
        git(repository.root, "push", "--quiet", "origin", name)
        return head
