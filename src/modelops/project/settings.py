"""Which Project counts: that of the branch's tip, as last fetched; the work tree's only for what is not merged yet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from modelops.errors import Exit, Location, ModelOpsError, Problem
from modelops.repository import Repository
from modelops.spec.kinds.project import ProjectSpec
from modelops.spec.layout import POLICIES, PROJECT
from modelops.spec.load import load_resource
from modelops.spec.resource import Resource

__all__ = ["Settings", "settings_in_work_tree", "settings_of", "settings_on_disk"]

_PATH = PROJECT.path()
_HOPS = 4
"""How often one branch may name another before the last one is taken at its word."""
_VERSIONS = 1000
"""How many versions of a wrong Project are tried."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The Project that counts, the commit it was read at, and what is wrong with a newer one that does not."""

    spec: ProjectSpec
    commit: str | None = None
    resource: Resource[ProjectSpec] | None = None
    problems: tuple[Problem, ...] = ()

    def where(self, dotted: str) -> Location:
        """Return where a setting is written, or would be."""
        return self.resource.where(dotted) if self.resource is not None else Location(_PATH)


def settings_of(repository: Repository) -> Settings:
    """Return the settings of the project's branch, and let the repository share the remote that they name.

    Which branch that is, is said by the Project of the remote's default branch, or else of its ``main``, or else of
    what is checked out; the branch it names has the last word. So what is not merged decides nothing, not even where it
    is looked for. A branch may be named only if it has the commit that names it: nobody leads away from what was judged
    to a branch with another past.
    """
    found = Settings(ProjectSpec())
    for start in _starts(repository):
        found = _at(repository, start) or found
        if found.commit is not None:
            break
    _share(repository, found)
    for _ in range(_HOPS):
        tip = repository.find_tip(found.spec.branch)
        named = _at(repository, tip) if tip is not None and tip != found.commit else None
        if named is None:
            break
        same = (named.spec.branch, named.spec.remote) == (found.spec.branch, found.spec.remote)
        found = named
        if same:
            break
        _share(repository, found)
    return found


def settings_in_work_tree(repository: Repository) -> Settings:
    """Return the settings of the file as it lies on the disk, for what is not committed yet."""
    found = settings_on_disk(repository.root)
    _share(repository, found)
    return found


def settings_on_disk(root: Path) -> Settings:
    """Return the settings as the file lies below a folder, for whoever needs no remote: none is looked for."""
    file = root / _PATH
    resource = load_resource(file.read_bytes(), _PATH) if file.is_file() else None
    return Settings(resource.spec if resource is not None else ProjectSpec(), None, resource)


def _starts(repository: Repository) -> Iterator[str]:
    for remote in repository.remotes:
        commit = repository.find(f"refs/remotes/{remote}/HEAD")
        if commit is not None:
            yield commit
    for remote in repository.remotes:
        # A remote that was added, not cloned, has no HEAD here.
        commit = repository.find(f"refs/remotes/{remote}/{ProjectSpec().branch}")
        if commit is not None:
            yield commit
    yield repository.head()


def _share(repository: Repository, found: Settings) -> None:
    """Let the repository use the remote that the settings name."""
    remotes = repository.remotes
    name = _called_here(found.spec.remote, remotes)
    if remotes and name is None:
        raise ModelOpsError(_unknown_remote(found, remotes), exit=Exit.FILES)
    repository.remote = name


def _called_here(name: str, remotes: Sequence[str]) -> str | None:
    """Return what this clone calls the project's remote, None where that is not known.

    The names of remotes are each clone's own: the only one that a clone has is the project's, whatever it is called.
    """
    if name in remotes:
        return name
    return remotes[0] if len(remotes) == 1 else None


def _unknown_remote(found: Settings, remotes: Sequence[str]) -> Problem:
    name = found.spec.remote
    return Problem(
        "unknown-remote",
        f"the project's remote is {name!r}, and this clone has {', '.join(map(repr, remotes))}",
        found.where("spec.remote"),
        hint=f"call the one that is it so in this clone: `git remote rename {remotes[0]} {name}`",
    )


def _at(repository: Repository, commit: str) -> Settings | None:
    """Return the settings of a commit, or where they are wrong, those of the newest one before it that are right.

    Wrong are those of a file that is not valid, and those that name a remote or a branch that is not there or has
    another past. Where none are right, those of the newest valid file that name what is not there are taken at their
    word: it may be about to be made.
    """
    if _PATH not in repository.paths(commit, _PATH):
        return None
    problems: tuple[Problem, ...] = ()
    valid: Settings | None = None
    versions = chain([repository.read(commit, _PATH)], islice(repository.older(commit, _PATH), _VERSIONS))
    for data in (data for data in versions if data is not None):
        try:
            resource = load_resource(data, _PATH)
        except ModelOpsError as error:
            problems = problems or error.problems
            continue
        found = Settings(resource.spec, commit, resource, problems)
        wrong = _leads_nowhere(repository, found)
        if wrong is None:
            return found
        if wrong.code != "foreign-branch":
            valid = valid or found
        problems = problems or (wrong,)
    if valid is None:
        raise ModelOpsError(*problems)
    return valid


def _leads_nowhere(repository: Repository, found: Settings) -> Problem | None:
    """Return what is wrong with the remote or the branch that settings name, None where both are there."""
    branch, remotes = found.spec.branch, repository.remotes
    remote = _called_here(found.spec.remote, remotes)
    if remotes and remote is None:
        return _unknown_remote(found, remotes)
    tip = repository.find(f"refs/remotes/{remote}/{branch}" if remotes else f"refs/heads/{branch}")
    if tip is not None:
        return None if tip == found.commit else _leads_astray(repository, found, tip)
    where = f"on the remote {remote!r}" if remotes else "here"
    hint = f"name the branch that this project lives on in {_PATH}, or push {branch}"
    return Problem("no-such-branch", f"there is no branch {branch!r} {where}", found.where("spec.branch"), hint=hint)


def _leads_astray(repository: Repository, found: Settings, tip: str) -> Problem | None:
    """Return what is wrong with a branch that settings of another one name: its own line lacks their commit.

    A project that moves takes its past along, so that who moved it is judged there, too.
    """
    if repository.is_shallow or found.commit is None:
        # Without its past nothing is judged there either.
        return None
    named = repository.line(found.commit, POLICIES).versions(_PATH)
    if not named or named[0].commit in repository.line(tip, POLICIES).places:
        return None
    branch, commit = found.spec.branch, named[0].commit
    said = f"the branch {branch!r} does not have commit {commit[:10]}, by which this project would move there"
    hint = f"take `branch: {branch}` back; a branch that a project moves to begins at the commit that says so"
    return Problem("foreign-branch", said, found.where("spec.branch"), hint=hint)
