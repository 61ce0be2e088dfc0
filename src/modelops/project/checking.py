"""The files of a work tree, checked: all of them, those below some paths, or what changed since a revision."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from modelops.errors import Location, ModelOpsError, Problem, failure
from modelops.project.former import broken_rules
from modelops.project.retired import arms_at, numbers_at
from modelops.project.secrets import secrets_in
from modelops.repository import Repository
from modelops.repository.checkout import read_regular, walk
from modelops.repository.merging import CONFLICT
from modelops.repository.process import Git
from modelops.spec.kinds import place
from modelops.spec.layout import (
    MODEL,
    POLICIES,
    PROJECT,
    SNAPSHOT_SIGNATURE,
    TRUST,
    TRUST_SIGNATURES,
    WAIVER,
    model_folder,
    promoted,
    release_of,
)
from modelops.spec.load import load_resource
from modelops.spec.sweep import Findings, sweep
from modelops.spec.yaml.text import SIZE_LIMIT, size_limit, too_large

__all__ = ["check", "check_since", "find_root"]

FOLDERS = ("models", "policies")
SIGNATURE_END = SNAPSHOT_SIGNATURE.parts()[2]
_CODE = (".py", ".pyi", ".sh", ".sql", ".r", ".R", ".jl", ".toml", ".cfg", ".ini", ".json")


def find_root(start: Path) -> Path:
    """Return the project's folder: the nearest one upwards with a Project, the repository's top, or the folder."""
    nearest: Path | None = None
    for folder in (start, *start.parents):
        if nearest is None and (folder / PROJECT.path()).is_file():
            nearest = folder
        if (folder / ".git").exists():
            return nearest or folder
    if not any((start / folder).is_dir() for folder in FOLDERS):
        raise failure(
            "not-a-repository",
            f"{start} holds neither a git repository nor models/ or policies/",
            hint="change to the repository (modelops -C FOLDER), or begin one: modelops init",
        )
    return start


def _reader(root: Path) -> Callable[[str], bytes]:
    """Return what reads a file of the work tree, no larger than a spec may be."""
    base = os.path.realpath(root)
    return lambda path: read_regular(base, path, size_limit(path), too_large)


def _metrics() -> Mapping[str, tuple[str, ...]]:
    from modelops.metrics import METRICS

    return {name: metric.tasks for name, metric in METRICS.items()}


def _models(paths: Iterable[str]) -> set[str]:
    return {found[1] for path in paths if (found := MODEL.parse(path)) is not None}


def _is_spec(path: str) -> bool:
    return path.endswith((".yaml", ".yml"))


def check(root: Path, wanted: tuple[str, ...] = (), today: str = "", *, change: _Change | None = None) -> Findings:
    """Check the work tree, or the models that hold the wanted paths; with a change, what that makes of it.

    ``today`` is the day by which waivers count.
    """
    problems: list[Problem] = []
    walked = (path for folder in FOLDERS for path in walk(root, folder, problems))
    every = frozenset(walked if change is None else change.among(walked))
    specs = [path for path in every if _is_spec(path)]
    if wanted and "." not in wanted:
        specs = _folders_of(specs, wanted)
    read = _reader(root) if change is None else change.read(root)
    models = _models(every)
    findings = sweep(specs, read, metrics=_metrics, every_path=every, models=models, today=today)
    _add_hidden(findings, read, every)
    # Specs have no place for one, and reading all of them once more would cost as much as checking them.
    findings.problems += secrets_in((path for path in every if not _is_spec(path)), read)
    findings.problems = [*problems, *findings.problems]
    _add_seals(findings, root, every)
    return findings


def _add_seals(findings: Findings, root: Path, paths: Iterable[str]) -> None:
    """Add what is wrong with the signatures of snapshots, where there are any; a copy of one misleads nobody."""
    signatures = sorted(path for path in paths if path.endswith(SIGNATURE_END) and SNAPSHOT_SIGNATURE.parse(path))
    if not signatures:
        return
    from modelops.project.snapshots import check_seals

    for problem in check_seals(root, os.environ, signatures):
        (findings.warnings if problem.code == "snapshot-copied" else findings.problems).append(problem)


def _add_hidden(findings: Findings, read: Callable[[str], bytes], paths: Iterable[str]) -> None:
    """Add what code holds that its reader does not see; of specs it is told where they are read."""
    for path in sorted(path for path in paths if path.endswith(_CODE)):
        with suppress(ModelOpsError):
            findings.add_hidden(read(path), path)


def _folder(model: str) -> str:
    return model_folder(model).rstrip("/")


def _folders_of(specs: Iterable[str], wanted: Iterable[str]) -> list[str]:
    """Return the specs of the policies and of the models that hold, or lie below, one of the wanted paths."""
    specs = list(specs)
    found = {path: place(path) for path in specs}
    models = set()
    for path, known in found.items():
        folder = _folder(known[1]) if known and known[1] else path
        for prefix in wanted:
            if path == prefix or path.startswith(f"{prefix}/") or prefix.startswith(f"{folder}/"):
                models.add(folder)
    return [
        path
        for path, known in found.items()
        if path.startswith(POLICIES) or (_folder(known[1]) if known and known[1] else path) in models
    ]


@dataclass(frozen=True)
class _Change:
    """What the work tree would make of a revision once it is committed and merged.

    ``paths`` differ from the revision. ``laid`` are files that merging changes beside what is checked out: their bytes,
    or None for one that is gone. ``conflict`` says why there is no such merge. ``others`` are what it brings outside of
    the folders of modelops.
    """

    base: str
    paths: frozenset[str]
    laid: Mapping[str, bytes | None]
    conflict: Problem | None = None
    others: Mapping[str, bytes] = field(default_factory=dict)

    def there(self, root: Path, path: str) -> bool:
        """Tell whether a file is in the result."""
        return self.laid[path] is not None if path in self.laid else (root / path).is_file()

    def read(self, root: Path) -> Callable[[str], bytes]:
        """Return what reads the files of the result."""
        read = _reader(root)
        return lambda path: data if (data := self.laid.get(path)) is not None else read(path)

    def among(self, paths: Iterable[str], *, below: Iterable[str] = FOLDERS) -> set[str]:
        """Return the paths of the result below some folders, given those of the work tree."""
        folders = tuple(f"{folder}/" for folder in below)
        laid = {path for path, data in self.laid.items() if data is not None and path.startswith(folders)}
        return {path for path in paths if self.laid.get(path, b"") is not None} | laid


def _uncommitted(git: Git) -> Callable[[], set[str]]:
    """Ask for the paths that differ from the last commit, untracked ones included; the answer is waited for later."""
    questions = (
        ("diff", "--name-only", "--relative", "--no-renames", "--ignore-submodules=none", "-z", "HEAD", "--", *FOLDERS),
        ("ls-files", "--others", "--exclude-standard", "-z", "--", *FOLDERS),
    )
    pool = ThreadPoolExecutor(len(questions))
    asked = [pool.submit(git.checked, *question) for question in questions]
    pool.shutdown(wait=False)
    return lambda: {path for answer in asked for path in answer.result().words()}


def _change_since(repository: Repository, git: Git, revision: str) -> _Change:
    """Return what the work tree changes of a revision, as merging would: with all that the revision has by now."""
    waiting = _uncommitted(git)
    base, head = repository.resolve(revision), repository.head()
    conflict = None
    try:
        made = repository.merged(base, head)
    except ModelOpsError as error:
        if error.first.code != CONFLICT:
            raise
        # What there is to say of the files is said all the same.
        made, conflict = head, error.first
    dirty = waiting()
    brought = [path for path in repository.changed_paths(head, made) if _ours(path) and path not in dirty]
    present = repository.paths(made) if brought else {}
    contents = repository.read_many(made, [path for path in brought if path in present])
    differ = repository.changed_paths(base, made)
    changed = {path for path in differ if _ours(path)}
    laid = {path: contents.get(path) for path in brought}
    return _Change(base, frozenset(changed | dirty), laid, conflict, _others(repository, made, differ))


def _others(repository: Repository, made: str, paths: Iterable[str]) -> dict[str, bytes]:
    """Return the files of a commit among some paths outside of our folders, but for very large ones."""
    elsewhere = [path for path in paths if not _ours(path)]
    there = repository.paths(made) if elsewhere else {}
    blobs = {path: there[path] for path in elsewhere if path in there}
    contents = repository.blobs(blobs.values(), SIZE_LIMIT)
    return {path: data for path, blob in blobs.items() if isinstance(data := contents[blob], bytes)}


def _ours(path: str) -> bool:
    return path.startswith(tuple(f"{folder}/" for folder in FOLDERS))


def check_since(root: Path, revision: str, today: str = "") -> Findings:
    """Check what merging the work tree into a revision changes there, and that immutable files stay as they are.

    It is judged by the rules of the revision beside its own.
    """
    git, repository = Git(root), Repository.discover(root)
    change = _change_since(repository, git, revision)
    if any(path.startswith(POLICIES) for path in change.paths):
        findings = check(root, today=today, change=change)
    else:
        models = {_folder(found[1]) for path in change.paths if (found := place(path)) and found[1]}
        models |= {folder for path in change.paths for folder in _owners(root, path, change)}
        problems: list[Problem] = []
        folders = (*models, "policies")
        every = change.among((path for folder in folders for path in walk(root, folder, problems)), below=folders)
        every |= {path for path in change.paths if path in change.laid or os.path.lexists(root / path)}
        every = change.among(every)
        specs = [path for path in every if _is_spec(path)]
        # Policies may be for models that did not change; where they lie costs a walk, so that it is asked seldom.
        waived = any(WAIVER.parse(path) for path in every)
        findings = sweep(
            specs,
            change.read(root),
            metrics=_metrics,
            every_path=frozenset(every),
            only=change.paths,
            models=_models(change.among(walk(root, "models", []))) if waived else (),
            today=today,
        )
        _add_hidden(findings, change.read(root), change.paths & every)
        findings.problems += secrets_in(change.among(change.paths), change.read(root))
        findings.problems = [*problems, *findings.problems]
        _add_seals(findings, root, every)
    findings.problems += secrets_in(change.others, change.others.__getitem__)
    findings.problems += [change.conflict] if change.conflict is not None else []
    findings.problems += _immutable_problems(root, repository, change)
    if change.paths & {TRUST.path(), TRUST_SIGNATURES}:
        findings.problems += _trust_problems(root, repository, change.base)
    for severity, problem in broken_rules(repository, change.base, change.paths, _several(root, change)):
        told = findings.problems if severity == "error" else findings.warnings
        # What a rule says today says it too, if it says it as loudly.
        if not _waived(problem, findings) and all(_told(problem) != _told(one) for one in (*findings.problems, *told)):
            told.append(problem)
    findings.warnings += _removals(root, repository, change)
    return findings


def _removals(root: Path, repository: Repository, change: _Change) -> Iterator[Problem]:
    """Yield a warning for each thing that a change takes away and that somebody may miss."""
    kinds = {path: found for path in change.paths if (found := place(path)) is not None}
    gone = [path for path in kinds if kinds[path][0] in _MISSED and not change.there(root, path)]
    if not gone:
        return
    arms = arms_at(repository, change.base)
    for path in sorted(set(gone) & set(repository.paths(change.base))):
        kind, model, name = kinds[path]
        said = _MISSED[kind].format(model=model, name=name)
        if kind == "Deployment":
            ran = arms.get((str(model), name))
            if ran is None:
                continue
            said += ": " + ", ".join(f"{arm} is release {release} today" for arm, release in ran.items())
        elif kind == "Model":
            numbers = ", ".join(map(str, numbers_at(repository, change.base, str(model)))) or "none"
            said += f"; its releases ({numbers}) can still be proven from git"
        hint = "restore it from git, if that is not meant"
        if kind == "Model":
            later = _called_so(root, change, str(model))
            said = said.replace("is retired", f"goes on as {later}") if later is not None else said
            hint += "; a model that is only renamed says `formerly: [its-old-name]`"
        yield Problem("removed", said, Location(path), None, hint)


def _called_so(root: Path, change: _Change, model: str) -> str | None:
    """Return the model of the result that says it was called so before, among the files of the change."""
    for path in sorted(change.paths):
        if MODEL.parse(path) is not None and change.there(root, path):
            with suppress(ModelOpsError):
                resource = load_resource(change.read(root)(path), path)
                if model in resource.spec.formerly:
                    return resource.name
    return None


_MISSED = {
    "Model": "{model} is retired by this change",
    "Deployment": "{model} stops in {name} by this change",
    "Monitor": "{model} is watched no more after this change",
    "RolloutPlan": "{model} has no plan to try a release by after this change",
    "Waiver": "the waiver {name} is taken back by this change",
    "Silence": "the silence {name} is lifted by this change",
    "Rule": "the rule {name} protects nothing after this change",
    "AlertPolicy": "nobody is told of anything after this change",
}
"""What is said where a change takes a file of a kind away that others do not name."""


def _waived(problem: Problem, findings: Findings) -> bool:
    """Tell whether a rule that does not hold was told as waived already."""
    return any(
        one.code == "rule-waived" and one.location == problem.location and one.message.startswith(problem.message)
        for one in findings.warnings
    )


def _several(root: Path, change: _Change) -> Callable[[Collection[str]], dict[str, bytes]]:
    """Return what reads those of some files that are in the result; those that cannot be read are told elsewhere."""
    read = change.read(root)

    def several(paths: Collection[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in paths:
            with suppress(ModelOpsError):
                found.update({path: read(path)} if change.there(root, path) else {})
        return found

    return several


def _told(problem: Problem) -> tuple[str, Location | None, str]:
    return problem.code, problem.location, problem.message


def _immutable_problems(root: Path, repository: Repository, change: _Change) -> list[Problem]:
    from modelops.spec.graph import check_immutable

    # With its whole model a release goes, too: git has it, and what was proven stays so.
    some = [path for path in change.paths if check_immutable({path: b""}, {})]
    fixed = [path for path in some if not _goes_with_its_model(root, path, change)]
    if not fixed:
        return []
    there = repository.paths(change.base)
    before = [path for path in fixed if path in there]
    read = change.read(root)
    now = {path: read(path) for path in before if change.there(root, path)}
    return check_immutable(repository.read_many(change.base, before), now)


def _trust_problems(root: Path, repository: Repository, base: str) -> list[Problem]:
    """Return why the trust policy of the work tree would not count after the one of the base."""
    from modelops.clock import wall_clock
    from modelops.project.trust import change_at, read_trust

    chain = read_trust(repository, base, wall_clock())
    policy, signatures = root / TRUST.path(), root / TRUST_SIGNATURES
    if chain is None or not policy.is_file():
        return []
    change = change_at(chain, policy.read_bytes(), signatures.read_bytes() if signatures.is_file() else None)
    problem = change.problem if change is not None else None
    return [problem] if problem is not None and problem.code == "trust-not-signed" else []


def _goes_with_its_model(root: Path, path: str, change: _Change) -> bool:
    """Tell whether the model that a file belongs to has no file of any kind in the result."""
    found, release, promotion = place(path), release_of(path), promoted(path)
    model = found[1] if found is not None else release.model if release is not None else None
    model = promotion[0] if promotion is not None else model
    if model is None or change.there(root, MODEL.path(model)):
        return False
    folder = model_folder(model).rstrip("/")
    return not any(place(each) for each in change.among(walk(root, folder, []), below=(folder,)))


def _owners(root: Path, path: str, change: _Change) -> Iterator[str]:
    """Yield the model folder that a file which is no spec belongs to."""
    folder = path.rpartition("/")[0]
    while folder.count("/") >= 1:
        if change.there(root, f"{folder}/model.yaml"):
            yield folder
            return
        folder = folder.rpartition("/")[0]
