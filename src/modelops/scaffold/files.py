"""Where scaffolded files come from, and how they are written: whole, and never over an existing one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from modelops.errors import Exit, Location, ModelOpsError, Problem, failure

PACKAGED = Path(__file__).parent / "project"
"""In an installed modelops: its own models/, policies/ and .github/; in a checkout they lie at its top instead."""

TEMPLATES = Path(__file__).parent / "templates"
"""The training code and the README that new models and repositories begin with."""


def project_folder() -> Path:
    """Return the folder that holds the example models, the policies and the workflows of modelops itself."""
    return PACKAGED if PACKAGED.is_dir() else Path(__file__).parents[3]


def read_tree(folder: Path, names: Iterable[str] | None = None) -> dict[str, bytes]:
    """Return the files below a folder by POSIX path, without caches; ``names`` limits it to those direct children."""
    wanted = None if names is None else set(names)
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and (wanted is None or path.name in wanted)
    }


def refuse_existing(root: Path, paths: Iterable[str]) -> None:
    """Raise one error that names every path where something stands already, or that a link leads out of the root."""
    problems: list[Problem] = []
    top = root.resolve()
    for path in sorted(paths):
        if not (root / path).parent.resolve().is_relative_to(top):
            said = f"{path} lies behind a link that leaves the repository"
            problems.append(Problem("outside-repository", said, Location(path), hint="replace the link by a folder"))
        elif (root / path).exists() or (root / path).is_symlink():
            said = f"{path} exists already and is not overwritten"
            problems.append(Problem("file-exists", said, Location(path), hint="move it away, or choose another name"))
    if problems:
        raise ModelOpsError(*problems, exit=Exit.NO)


def write_new(root: Path, files: Mapping[str, bytes], undo: ExitStack) -> None:
    """Write files that must not exist yet; nothing is written when one of them does, ``undo`` removes them again."""
    refuse_existing(root, files)
    for path, data in files.items():
        target = root / path
        try:
            make_folder(target.parent, undo)
            with target.open("xb") as file:
                undo.callback(target.unlink, missing_ok=True)
                file.write(data)
        except OSError as error:
            raise failure(
                "cannot-write", f"{path} cannot be written: {error.strerror}", exit=Exit.WORLD, location=Location(path)
            ) from None


def make_folder(folder: Path, undo: ExitStack) -> None:
    """Make a folder and those above it that do not exist; ``undo`` removes those that were made, and all in them."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        undo.callback(shutil.rmtree, path, ignore_errors=True)
