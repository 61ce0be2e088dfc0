"""The repository that is scaffolded: found or made, and left as it was when the rest fails."""

from __future__ import annotations

import getpass
import os
import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from modelops.errors import Exit, ModelOpsError, failure
from modelops.project.settings import Settings, settings_on_disk
from modelops.project.state import cache_in, state_of
from modelops.repository import Repository
from modelops.repository.names import check_path
from modelops.repository.process import Git
from modelops.repository.refs import trunk
from modelops.scaffold.files import make_folder, refuse_existing
from modelops.scaffold.surroundings.workflows import Home
from modelops.spec.kinds import place
from modelops.spec.kinds.environment import EnvironmentSpec
from modelops.spec.layout import ENVIRONMENT, MODEL, PROJECT, STATE, model_folder
from modelops.spec.load import load_resource


@dataclass(frozen=True)
class Site:
    """The repository that is scaffolded; ``undo`` takes back what was made in it, should the rest fail."""

    repository: Repository
    undo: ExitStack

    @property
    def root(self) -> Path:
        """The top of the work tree."""
        return self.repository.root

    @property
    def initialised(self) -> bool:
        """Whether modelops has policies here."""
        return (self.root / PROJECT.path()).exists()

    @property
    def home(self) -> Home:
        """The branch and the remote that git has, and the project's folder."""
        remotes = self.repository.remotes
        remote = remotes[0] if len(remotes) == 1 else "origin"
        shared = trunk(Git(self.repository.top), remote if remote in remotes else None)
        return Home(shared or self.repository.branch or "main", remote, self.repository.folder)

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return cache_in(self.state)

    @property
    def state(self) -> Path:
        """The folder that is never in git, which the work trees of a clone share."""
        return state_of(self.repository)

    @property
    def settings(self) -> Settings:
        """The Project of the work tree, as it lies there now."""
        return settings_on_disk(self.root)


def open_site(directory: Path | None, undo: ExitStack) -> Site:
    """Find the repository of the current folder, or of a folder that is made if it is not there; git init if needed.

    Closing ``undo`` removes all that was made since; whoever succeeds has it forget that.
    """
    start = (directory or Path.cwd()).absolute()
    try:
        make_folder(start, undo)
    except OSError as error:
        said = f"{start} cannot be made: {error.strerror}"
        raise failure("cannot-write", said, exit=Exit.WORLD, hint="name another folder") from None
    return _tidy(Site(_repository_at(start, directory is None, undo), undo))


def _repository_at(start: Path, above: bool, undo: ExitStack) -> Repository:
    """Return the repository that a folder lies in, with the project there: one that is around it, or the folder itself.

    ``above`` says that a project around the folder is meant, where there is one; a folder that was named is a project
    of its own. Where there is no repository, one is made.
    """
    try:
        repository = Repository.discover(start)
        if above and (repository.root / PROJECT.path()).is_file():
            return repository
        below = start.resolve().relative_to(repository.top.resolve()).as_posix()
        return Repository.discover(start, folder="" if below == "." else check_path(below))
    except ModelOpsError as error:
        if error.first.code != "not-a-repository":
            raise
    if not (start / ".git").exists():
        undo.callback(shutil.rmtree, start / ".git", ignore_errors=True)
    return Repository.create(start)


def _tidy(site: Site) -> Site:
    """Have caches, schemas and keys undone too, where this is the first run."""
    for folder in dict.fromkeys((site.state, site.root / STATE)):
        if not folder.exists():
            site.undo.callback(shutil.rmtree, folder, ignore_errors=True)
    return site


def already_initialised(site: Site) -> ModelOpsError:
    """Return the error for a second plain init."""
    return failure(
        "already-initialised", f"{site.root} has policies/project.yaml already", exit=Exit.NO,
        hint="add a model: modelops init --model NAME --data FILE --target COLUMN, or --example fraud-detection",
    )  # fmt: skip


def require_new_model(site: Site, name: str) -> None:
    """Refuse a name that is no model name, or that a model has already."""
    found = place(MODEL.path(name))
    if found is None or not all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", part) for part in name.split("/")):
        hint = "kebab-case, such as churn or payments/churn"
        raise failure("bad-model-name", f"{name!r} is not the name of a model", exit=Exit.USAGE, hint=hint)
    if (site.root / "models" / name).exists():
        refuse_existing(site.root, [model_folder(name).rstrip("/")])


def identity(site: Site) -> tuple[str, str]:
    """Return the user's name and login: from git, else from the machine."""
    try:
        user = site.repository.user()
    except ModelOpsError as error:
        if error.first.code != "no-identity":
            raise
        name = os.environ.get("USER") or getpass.getuser()
        return name, name
    return user.name, user.email.partition("@")[0]


def environments(site: Site) -> tuple[str, ...]:
    """Return the environments of the chain of promotion, in their order."""
    chain = []
    for path in sorted((site.root / "policies" / "environments").glob("*.yaml")):
        spec: EnvironmentSpec = load_resource(path.read_bytes(), ENVIRONMENT.path(None, path.stem)).spec
        if spec.order is not None:
            chain.append((spec.order, path.stem))
    return tuple(name for _, name in sorted(chain))
