"""The graph of a branch on which some file is wrong, and of thousands of models that are known to be right.

What a model's files may refer to lies in its own folder or in the policies. So a folder that was right beside the same
policies once is right beside them for ever: of such a one nothing is read before somebody asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import islice

from modelops import plugins
from modelops.errors import ModelOpsError, Problem
from modelops.spec.around import Collection as Resources
from modelops.spec.around import Folder
from modelops.spec.graph import Examined, Graph, examine, plugins_named
from modelops.spec.kinds import place
from modelops.spec.layout import ACCESS, ENVIRONMENT, GATE_POLICY, MODEL, RELEASE, ROLLOUT, SNAPSHOT, Place
from modelops.spec.load import load_resource
from modelops.spec.resource import AnyResource
from modelops.spec.tree import ModelEntry, Shelved
from modelops.spec.yaml.document import parse

__all__ = ["Files", "Right", "sound_graph"]

_AT_ONCE = 500
"""So many folders are examined together: what was read of them is let go before the next ones are."""

_VERSIONS = 20
"""How many versions of a wrong file are tried before it is left out."""
_STALLS_ALONE = frozenset({"rule-failed", "rule-error", "rule-not-boolean", "bad-expression", "unknown-kind"})
"""What a file may stand with, as nothing else leans on it: it stalls what it is about."""
_NAMES: dict[str, Place] = {
    "unknown-release": RELEASE,
    "unknown-snapshot": SNAPSHOT,
    "unknown-gate-policy": GATE_POLICY,
    "unknown-access": ACCESS,
    "unknown-environment": ENVIRONMENT,
    "missing-rollout": ROLLOUT,
}
"""Which file is missed where a name leads nowhere."""

Right = Mapping[str, frozenset[str]]
"""Models whose folders have nothing wrong in them, nor anything to warn of, with the rules that saw their files."""


@dataclass(frozen=True, slots=True)
class Files:
    """The spec files of one commit; ``load`` reads one that is known to be right, ``keep`` may spare it that.

    ``older`` yields the versions of a path before the present one, the newest first, None where there was none.
    """

    paths: Sequence[str]
    read: Callable[[Iterable[str]], Mapping[str, bytes]]
    load: Callable[[str], AnyResource]
    older: Callable[[str], Iterator[bytes | None]]
    keep: Callable[[Iterable[AnyResource]], None] = lambda resources: None


def sound_graph(files: Files, known: Right) -> tuple[Graph, Right]:
    """Return the graph of a repository's files in which one wrong file stalls only what needs it, and what is right.

    In the place of a wrong file stands its newest version that is right beside the others, and in that of one that
    others name and that is gone its last. A file that never was right is left out, with a model that never was all of
    its files. ``Graph.stalled`` keeps what is wrong, by path. Only a repository whose policies were never whole has no
    graph: that raises every problem. ``known`` is right beside exactly these policies, and not examined again.
    """
    policies, folders = _by_model(files.paths)
    right = {model: rules for model, rules in known.items() if model in folders}
    unknown = [model for model in folders if model not in right]
    for at in range(0, len(unknown), _AT_ONCE):
        share = unknown[at : at + _AT_ONCE]
        mine = files.read([*policies, *(path for model in share for path in folders[model])])
        examined = examine(mine, models=folders)
        if any(_owner(problem) is None for problem in examined.problems):
            # What the policies are is not settled yet, so neither is what is right beside them.
            return _standing(files, files.paths), {}
        files.keep(resource for folder in examined.collection.folders.values() for resource in _resources(folder))
        right |= _right(examined, share)
    rest = [*policies, *(path for model, paths in folders.items() if model not in right for path in paths)]
    found = _partly(files, rest, frozenset[str]().union(*right.values()), right)
    if found is None:
        return _standing(files, files.paths), {}
    entries = {model: _entry(model, folders[model], files.load) for model in right}
    return replace(found, models=dict(sorted({**found.models, **entries}.items()))), right


def _by_model(paths: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Split the paths of specs into those of the policies and those of each model."""
    policies: list[str] = []
    folders: dict[str, list[str]] = {}
    for path in sorted(paths):
        found = place(path)
        if found is not None:
            (policies if found[1] is None else folders.setdefault(found[1], [])).append(path)
    return policies, folders


def _owner(problem: Problem) -> str | None:
    """Return the model whose folder a problem lies in; None is the policies, or nowhere."""
    found = place(problem.location.path) if problem.location is not None else None
    return found[1] if found is not None else None


def _resources(folder: Folder) -> Iterator[AnyResource]:
    return (resource for named in folder.parts.values() for resource in named.values())


def _right(examined: Examined, models: Iterable[str]) -> Right:
    """Return those of some models that have nothing wrong, and name no plugin that may change without modelops."""
    wrong = {_owner(problem) for problem in (*examined.problems, *examined.warnings)}
    risks = examined.collection.risks()
    found: dict[str, frozenset[str]] = {}
    for model in models:
        folder = examined.collection.folders.get(model)
        if folder is None or model in wrong:
            continue
        named = plugins_named(Resources(folders={model: folder}))
        if all(plugin.type in _built_in(shelf) for shelf, plugin, _, _ in named):
            found[model] = examined.judge.matching(_resources(folder), risks)
    return found


@cache
def _built_in(shelf: str) -> frozenset[str]:
    return plugins.built_in(shelf)


def _entry(model: str, paths: Iterable[str], load: Callable[[str], AnyResource]) -> ModelEntry:
    parts: dict[str, dict[str, str]] = {}
    for path in paths:
        found = place(path)
        assert found is not None, "the path was told apart by its place"
        parts.setdefault(found[0], {})[found[2]] = path
    return ModelEntry(model, {kind: Shelved(named, load) for kind, named in parts.items()})


def _standing(files: Files, paths: Collection[str]) -> Graph:
    """Return the graph of files beside which there is no other."""
    found = _partly(files, paths, None)
    assert found is not None, "what is whole is examined to its end"
    return found


def _partly(
    files: Files, paths: Collection[str], beside: Collection[str] | None, others: Collection[str] = ()
) -> Graph | None:
    """Return the graph of a part of the files; None where a policy turns out to be wrong, which is the others' matter.

    ``beside`` are the rules that have seen the ``others``, models all, None where there are none.
    """
    standing = _Standing(files, dict(files.read(paths)))
    examined = first = examine(standing.files, rules_used=beside or (), models=others)
    while hard := [problem for problem in examined.hard if problem.code not in _STALLS_ALONE]:
        if beside is not None and any(_owner(problem) is None for problem in hard):
            return None
        # What others miss may only be broken, and is theirs again once it is mended.
        if not standing.mend([problem for problem in hard if problem.code not in _NAMES] or hard):
            # Nothing is left to try: what all need was never there.
            raise ModelOpsError(*first.problems)
        examined = examine(standing.files, rules_used=beside or (), models=others)
    for problem in first.hard:
        if problem.code in _STALLS_ALONE and problem.location is not None:
            standing.stall(problem.location.path, problem)
    return examined.graph({path: tuple(problems) for path, problems in sorted(standing.stalled.items())})


@dataclass
class _Standing:
    """The files that stand, some of them in the place of wrong ones, and what is wrong, by path."""

    of: Files
    files: dict[str, bytes]
    stalled: dict[str, list[Problem]] = field(default_factory=dict)
    tried: dict[str, Iterator[bytes | None]] = field(default_factory=dict)

    def stall(self, path: str, problem: Problem) -> None:
        """Write down what is wrong with a file."""
        found = self.stalled.setdefault(path, [])
        if problem not in found:
            found.append(problem)

    def mend(self, problems: Iterable[Problem]) -> bool:
        """Let something else stand, so that some problems are gone; False where there is nothing else."""
        changed: set[str] = set()
        for problem in problems:
            path = _culprit(problem)
            self.stall(path, problem)
            missing = _missing(problem, path, self.files.get(path))
            if changed.isdisjoint({path, missing}):
                changed |= self._mend(path, missing)
        return bool(changed)

    def _mend(self, path: str, missing: str | None) -> set[str]:
        """Let something else stand in the place of a file, or of the one that it misses; return what is changed.

        A file that others name and that is gone stands as it was last: who took it away broke it, not who names it.
        """
        if missing is not None and missing not in self.files and self._older(missing):
            self.stalled.setdefault(missing, []).extend(self.stalled[path][-1:])
            return {missing}
        if self._older(path):
            return {path}
        gone, found = {path} & self.files.keys(), place(path)
        if found is not None and found[0] == "Model":
            # Nothing of a model that never was right can stand without it.
            gone |= {each for each in self.files if (place(each) or ("", None))[1] == found[1]}
        for each in gone:
            del self.files[each]
        return gone

    def _older(self, path: str) -> bool:
        """Let the next older version of a file stand that is right by itself."""
        versions = self.tried.setdefault(path, islice(self.of.older(path), _VERSIONS))
        present = self.files.get(path)
        data = next((one for one in versions if one not in (None, present) and _reads(one, path)), None)
        if data is None:
            return False
        self.files[path] = data
        return True


def _missing(problem: Problem, path: str, data: bytes | None) -> str | None:
    """Return the path of the file that a problem misses, None where it is about something else."""
    found = place(path)
    if found is None or data is None or problem.code not in _NAMES:
        return None
    where, model = _NAMES[problem.code], found[1]
    if problem.code == "missing-rollout":
        return where.path(model)
    name = found[2] if problem.dotted == "metadata.name" else _value(data, path, problem.dotted or "")
    return where.path(model, name) if isinstance(name, str | int) else None


def _value(data: bytes, path: str, dotted: str) -> object:
    """Return the value at a dotted path of a file."""
    try:
        value: object = parse(data, path).value
        for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", dotted):
            value = value[int(index)] if index else value[key]  # type: ignore[index]
    except (ModelOpsError, LookupError, TypeError):
        return None
    return value


def _reads(data: bytes | None, path: str) -> bool:
    """Tell whether a file is right by itself."""
    try:
        load_resource(data or b"", path)
    except ModelOpsError:
        return False
    return True


def _culprit(problem: Problem) -> str:
    """Return the path of the file that a problem asks to be put right."""
    assert problem.location is not None, f"{problem.code} has no place"
    found = place(problem.location.path)
    if problem.code == "missing-model" and found is not None:
        return MODEL.path(found[1])
    return problem.location.path
