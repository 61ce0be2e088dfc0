"""A project that is a folder of a larger repository: its paths, as everybody else here knows them, and those of git.

The project's own files are named from its folder, as if that were the whole repository; what lies outside of it is
named with ``..``, so that it is seen and is never taken for one of them.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from modelops.errors import ModelOpsError, Problem, failure
from modelops.repository.differences import Difference
from modelops.repository.names import check_path
from modelops.repository.process import Git, explain
from modelops.spec.layout import PROJECT

__all__ = ["Inside", "around", "folder_of"]

_OWN = "refs/modelops"


@dataclass(frozen=True, slots=True)
class Inside:
    """The folder of a project in its repository, without slashes at its ends; "" where it is the whole repository."""

    folder: str = ""

    def down(self, path: str) -> str:
        """Return git's path of a file or folder of the project; "" is the project itself."""
        if not self.folder:
            return path
        return f"{self.folder}/{path}" if path else f"{self.folder}/"

    def up(self, path: str) -> str:
        """Return the project's name of a path of git."""
        if not self.folder:
            return path
        inner = path.removeprefix(f"{self.folder}/")
        return inner if inner != path else posixpath.relpath(path, self.folder)

    def all(self, paths: Iterable[str]) -> tuple[str, ...]:
        """Return the project's names of paths of git, sorted."""
        return tuple(paths) if not self.folder else tuple(sorted(map(self.up, paths)))

    def named(self, one: Difference) -> Difference:
        """Return a difference under the project's name of its path."""
        return one if not self.folder else replace(one, path=self.up(one.path))

    def files(self, files: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """Return what is to be written by git's paths; what would lie outside of the project is an error."""
        return {self.down(check_path(path)): data for path, data in files.items()}

    @contextmanager
    def told(self) -> Iterator[None]:
        """Let errors about git's paths speak of the project's."""
        try:
            yield
        except ModelOpsError as error:
            if not self.folder:
                raise
            raise ModelOpsError(*map(self._problem, error.problems), exit=error.exit) from None

    def _problem(self, problem: Problem) -> Problem:
        where = problem.location
        if where is None:
            return problem
        inner = self.up(where.path)
        return replace(problem, location=replace(where, path=inner), message=problem.message.replace(where.path, inner))

    def ref(self, name: str) -> str:
        """Return git's name of a ref: those of modelops are each project's own, branches are everybody's."""
        if not self.folder or not name.startswith(_OWN):
            return name
        kind, _, rest = name.removeprefix("refs/").partition("/")
        return f"refs/{kind}/in-{hashlib.sha256(self.folder.encode()).hexdigest()[:12]}/{rest}"


def around(place: Path) -> tuple[Path, Path, str, str]:
    """Return the top of the work tree around a folder, git's folder, what names objects, and where the folder lies."""
    if not place.is_dir():
        raise failure("not-a-repository", f"{place} is not a folder", hint="change to the repository first")
    questions = ("--git-common-dir", "--is-bare-repository", "--show-object-format", "--show-toplevel", "--show-prefix")
    result = Git(place).run("rev-parse", "--path-format=absolute", *questions)
    common, bare, algorithm, top, below, *_ = [*result.text.splitlines(), "", "", "", "", ""]
    if bare == "true":
        hint = f"clone it first: git clone {place}"
        raise failure("not-a-repository", f"{place} is a bare repository, which has no files to work on", hint=hint)
    if result.code:
        raise explain(("rev-parse",), result)
    return Path(top), Path(common), algorithm, below


def folder_of(top: Path, place: str) -> str:
    """Return the folder of the project around a folder of a repository: the nearest with a Project, else the top."""
    parts = [part for part in place.split("/") if part]
    for count in range(len(parts), 0, -1):
        folder = "/".join(parts[:count])
        if (top / folder / PROJECT.path()).is_file():
            return check_path(folder)
    return ""
