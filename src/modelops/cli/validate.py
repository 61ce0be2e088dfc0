"""`modelops validate`: check every file of the repository and report every problem."""

from __future__ import annotations

import gc
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import click

from modelops.cli.output import emit, note, output_option
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure

if TYPE_CHECKING:
    from modelops.repository.process import Git, Result
    from modelops.spec.sweep import Findings

FOLDERS = ("models", "policies")
_SKIPPED = frozenset({".git", ".modelops", "__pycache__"})


@click.command("validate")
@click.argument("paths", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--since", metavar="REV", help="Only what changed since the merge base with this revision.")
@output_option
def command(paths: tuple[Path, ...], since: str | None, output: str) -> int:
    """Check the files of the work tree, all of them or those below PATHS, and report every problem in one pass."""
    root = find_root(Path.cwd())
    wanted = tuple(_inside(root, path) for path in paths)
    with _in_haste():
        findings = _check(root, wanted) if since is None else _check_since(root, since)
    if wanted:
        findings.problems = [problem for problem in findings.problems if _below(problem, wanted)]
        findings.warnings = [problem for problem in findings.warnings if _below(problem, wanted)]
    for warning in findings.warnings if output == "text" else ():
        note(f"warning: {warning}")
    if output == "text" and findings.problems:
        raise ModelOpsError(*findings.problems)
    emit(output, _as_data(findings), f"{_count(findings.files, 'file')}, {_count(findings.models, 'model')}: ok")
    return Exit.FILES if findings.problems else Exit.OK


@contextmanager
def _in_haste() -> Iterator[None]:
    """Spare a short run two costs: walks of the cycle collector, and pydantic's search for plugins of its own.

    The collector finds nothing here (what is checked is freed by its counts), and the search opens the metadata of
    every installed distribution.
    """
    enabled = gc.isenabled()
    gc.disable()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _as_data(findings: Findings) -> dict[str, Any]:
    """Return the findings as they are printed in JSON."""
    return {
        "files": findings.files,
        "models": findings.models,
        "ok": not findings.problems,
        "problems": [_problem_data(problem) for problem in findings.problems],
        "warnings": [_problem_data(problem) for problem in findings.warnings],
    }


def _problem_data(problem: Problem) -> dict[str, Any]:
    where = problem.location or Location("")
    return {
        "code": problem.code,
        "message": problem.message,
        "path": where.path,
        "line": where.line,
        "column": where.column,
        "dotted": problem.dotted,
        "hint": problem.hint,
    }


def find_root(start: Path) -> Path:
    """Return the repository's folder: the nearest one upwards with ``.git``, else the folder itself."""
    for folder in (start, *start.parents):
        if (folder / ".git").exists():
            return folder
    if not any((start / folder).is_dir() for folder in FOLDERS):
        raise failure(
            "not-a-repository",
            f"{start} holds neither a git repository nor models/ or policies/",
            hint="change to the repository (modelops -C FOLDER), or begin one: modelops init",
        )
    return start


def _inside(root: Path, path: Path) -> str:
    absolute = path.absolute()
    real = Path(os.path.normpath(absolute))
    if not real.is_relative_to(root):
        raise click.BadParameter(f"{path} lies outside of {root}", param_hint="PATHS")
    return real.relative_to(root).as_posix()


def _below(problem: Problem, wanted: Iterable[str]) -> bool:
    path = problem.location.path if problem.location else ""
    return any(path == prefix or prefix == "." or path.startswith(f"{prefix}/") for prefix in wanted)


def walk(root: Path, folder: str, problems: list[Problem]) -> Iterator[str]:
    """Yield the paths of all files below a folder; refuse links to folders and links that lead out."""
    try:
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in entries:
        path = f"{folder}/{entry.name}"
        if entry.is_symlink():
            problem = _link_problem(root, path)
            if problem is not None:
                problems.append(problem)
            else:
                yield path
        elif entry.is_dir():
            if entry.name not in _SKIPPED:
                yield from walk(root, path, problems)
        else:
            yield path


def _link_problem(root: Path, path: str) -> Problem | None:
    real = Path(os.path.realpath(root / path))
    hint = "replace the link by what it leads to"
    if not real.is_relative_to(os.path.realpath(root)):
        said = f"{path} is a symbolic link that leads out of the repository"
        return Problem("symlink-refused", said, Location(path), None, hint)
    if real.is_dir():
        return Problem("symlink-refused", f"{path} is a symbolic link to a folder", Location(path), None, hint)
    return None


def reader(root: Path) -> Callable[[str], bytes]:
    """Return what reads a file of the work tree: regular files only, their size asked first."""
    from modelops.spec.document import size_limit, too_large

    base = os.fspath(root) + "/"

    def read(path: str) -> bytes:
        try:
            # Without O_NONBLOCK, opening a pipe would wait for its writer.
            descriptor = os.open(base + path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise failure("file-unreadable", f"it cannot be read: {error.strerror}", location=Location(path)) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise failure("not-a-regular-file", "it is not a regular file", location=Location(path))
            if status.st_size > size_limit(path):
                raise too_large(path, status.st_size)
            return os.read(descriptor, status.st_size + 1)
        finally:
            os.close(descriptor)

    return read


def _metric_names() -> frozenset[str]:
    from modelops.metrics import NAMES

    return frozenset(NAMES)


def _is_spec(path: str) -> bool:
    return path.endswith((".yaml", ".yml"))


def _check(root: Path, wanted: tuple[str, ...]) -> Findings:
    """Check the work tree, or the models that hold the wanted paths."""
    from modelops.spec.sweep import sweep

    problems: list[Problem] = []
    every = frozenset(path for folder in FOLDERS for path in walk(root, folder, problems))
    specs = [path for path in every if _is_spec(path)]
    if wanted and "." not in wanted:
        specs = _folders_of(specs, wanted)
    findings = sweep(specs, reader(root), metric_names=_metric_names, every_path=every)
    findings.problems = [*problems, *findings.problems]
    return findings


def _folders_of(specs: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return the specs of the policies and of the models that hold, or lie below, one of the wanted paths."""
    from modelops.spec.kinds import place

    specs = list(specs)
    found = {path: place(path) for path in specs}
    models = set()
    for path, known in found.items():
        folder = f"models/{known[1]}" if known and known[1] else path
        for prefix in wanted:
            if path == prefix or path.startswith(f"{prefix}/") or prefix.startswith(f"{folder}/"):
                models.add(folder)
    return [
        path
        for path, known in found.items()
        if path.startswith("policies/") or (f"models/{known[1]}" if known and known[1] else path) in models
    ]


def _changed_since(git: Git, revision: str) -> list[str]:
    """Return what differs between the merge base with a revision and the work tree, untracked files included."""
    from modelops.repository.names import check_revision

    difference = ("diff", "--merge-base", "--name-only", "--no-renames", "-z", check_revision(revision), "--", *FOLDERS)
    others = ("ls-files", "--others", "--exclude-standard", "-z", "--", *FOLDERS)
    answers: dict[str, Result] = {}
    failures: list[ModelOpsError] = []

    def ask(*what: str) -> None:
        try:
            answers[what[0]] = git.run(*what)
        except ModelOpsError as error:
            failures.append(error)

    asking = [Thread(target=ask, args=what) for what in (difference, others)]
    for thread in asking:
        thread.start()
    # git walks the work tree for about as long as these imports take.
    import modelops.spec.sweep  # noqa: F401

    for thread in asking:
        thread.join()
    if failures:
        raise failures[0]
    if answers["diff"].code:
        _merge_base(git, revision)
        git.checked(*difference)
    if answers["ls-files"].code:
        git.checked(*others)
    return [*answers["diff"].words(), *answers["ls-files"].words()]


def _merge_base(git: Git, revision: str) -> str:
    from modelops.repository import Repository

    return Repository.discover(git.root).merge_base(revision, "HEAD")


def _check_since(root: Path, revision: str) -> Findings:
    """Check the models that differ from the merge base with a revision, and that immutable files do not."""
    from modelops.repository.process import Git

    git = Git(root)
    changed = _changed_since(git, revision)
    from modelops.spec.kinds import place
    from modelops.spec.sweep import sweep

    if any(path.startswith("policies/") for path in changed):
        findings = _check(root, ())
    else:
        models = {f"models/{found[1]}" for path in changed if (found := place(path)) and found[1]}
        models |= {folder for path in changed for folder in _owners(root, path)}
        problems: list[Problem] = []
        every = {path for folder in (*models, "policies") for path in walk(root, folder, problems)}
        every |= {path for path in changed if os.path.lexists(root / path)}
        specs = [path for path in every if _is_spec(path)]
        findings = sweep(
            specs, reader(root), metric_names=_metric_names, every_path=frozenset(every), only=frozenset(changed)
        )
        findings.problems = [*problems, *findings.problems]
    findings.problems += _immutable_problems(root, git, revision, changed)
    return findings


def _immutable_problems(root: Path, git: Git, revision: str, changed: list[str]) -> list[Problem]:
    from modelops.repository import Repository
    from modelops.spec.graph import check_immutable

    fixed = [path for path in changed if check_immutable({path: b""}, {})]
    if not fixed:
        return []
    base = _merge_base(git, revision)
    before = git.checked("ls-tree", "-r", "-z", "--name-only", base, "--", *fixed).words()
    read = reader(root)
    now = {path: read(path) for path in before if (root / path).is_file()}
    return check_immutable(Repository.discover(root).read_many(base, before), now)


def _owners(root: Path, path: str) -> Iterator[str]:
    """Yield the model folder that a file which is no spec belongs to."""
    folder = path.rpartition("/")[0]
    while folder.count("/") >= 1:
        if (root / folder / "model.yaml").is_file():
            yield folder
            return
        folder = folder.rpartition("/")[0]
