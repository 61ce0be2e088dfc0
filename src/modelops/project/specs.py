"""The specs of a clone's commits: each version of a file is parsed once, and what was found right is remembered.

What is remembered, on disk too, is only that a model's folder has nothing wrong in it beside certain policies, for this
very modelops. It says nothing of signatures and approvals. It can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import modelops
from modelops.errors import Location, ModelOpsError, failure
from modelops.files import write_atomically
from modelops.project.sound import Files, Right, sound_graph
from modelops.project.standing import AS_IT_IS, Standing
from modelops.repository import Repository
from modelops.repository.objects import MAXIMUM_BYTES
from modelops.spec.graph import Graph
from modelops.spec.kinds import place
from modelops.spec.load import load_resource
from modelops.spec.resource import AnyResource

__all__ = ["Specs"]

_GRAPHS = 4
"""How many revisions' graphs are kept: the tip, the base that judges it, and two more."""
_PARSED = 1 << 15
"""How many parsed files are kept."""
_POLICIES = 8
"""Beside how many sets of policies it is remembered what was right."""
_TIPS = 4
"""How many times as many folders are remembered as one commit has, for branches and for what is gone back to."""


class Specs:
    """The specs of one clone; ``folder`` is where it is remembered what was right."""

    def __init__(self, repository: Repository, folder: Path) -> None:
        self._repository = repository
        self._folder = folder
        self._graphs: OrderedDict[str, tuple[Standing, Graph]] = OrderedDict()
        self._parsed: OrderedDict[tuple[str, str], AnyResource] = OrderedDict()

    def graph(self, commit: str, standing: Standing = AS_IT_IS) -> Graph:
        """Return the graph of a commit, in which one wrong file, or one that is held, stalls only what needs it."""
        known = self._graphs.get(commit)
        if known is None or known[0] != standing:
            self._graphs[commit] = (standing, self._read(commit, standing))
            if len(self._graphs) > _GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(commit)
        return self._graphs[commit][1]

    def _read(self, commit: str, standing: Standing) -> Graph:
        there = [path for path in self._repository.paths(commit) if place(path) is not None]
        ids = self._repository.ids(commit, [path for path in there if path not in standing.blobs])
        held = {path: blob for path, blob in standing.blobs.items() if blob is not None and place(path) is not None}
        ids = dict(sorted({**ids, **held}.items()))
        policies, folders = _digests(ids)
        memory = _Memory(self._folder / f"{policies}.json")
        files = Files(
            list(ids),
            partial(self._files, ids),
            lambda path: self._load(path, ids[path]),
            partial(self._repository.older, commit),
            partial(self._keep_all, ids),
        )
        graph, right = sound_graph(files, memory.recall(folders))
        memory.add({folders[model]: rules for model, rules in right.items()})
        if not standing.problems:
            return graph
        stalled = dict(graph.stalled)
        for path, problems in standing.problems.items():
            stalled[path] = (*stalled.get(path, ()), *problems)
        return replace(graph, stalled=stalled)

    def _files(self, ids: Mapping[str, str], paths: Iterable[str]) -> dict[str, bytes]:
        """Return the bytes of files by path; one that is too large is an error."""
        wanted = list(paths)
        found = self._repository.blobs((ids[path] for path in wanted), MAXIMUM_BYTES)
        contents: dict[str, bytes] = {}
        for path in wanted:
            data = found[ids[path]]
            if isinstance(data, int):
                said = f"{path} holds {data} bytes; the limit is {MAXIMUM_BYTES}"
                raise failure("file-too-large", said, location=Location(path))
            contents[path] = data
        return contents

    def _load(self, path: str, blob: str) -> AnyResource:
        found = self._parsed.get((path, blob))
        if found is None:
            data = self._repository.blobs([blob], sys.maxsize)[blob]
            assert isinstance(data, bytes), "there is no limit"
            found = load_resource(data, path)
        self._keep(blob, found)
        return found

    def _keep_all(self, ids: Mapping[str, str], resources: Iterable[AnyResource]) -> None:
        for resource in resources:
            self._keep(ids[resource.path], resource)

    def _keep(self, blob: str, resource: AnyResource) -> None:
        key = (resource.path, blob)
        self._parsed[key] = resource
        self._parsed.move_to_end(key)
        if len(self._parsed) > _PARSED:
            self._parsed.popitem(last=False)


def _digests(ids: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return what tells the policies (and this modelops) from all others, and each model's folder from all others."""
    policies = sha256(_here())
    folders: dict[str, Any] = {}
    for path in sorted(ids):
        found = place(path)
        model = found[1] if found is not None else None
        digest = policies if model is None else folders.get(model) or folders.setdefault(model, sha256())
        digest.update(f"{path}\0{ids[path]}\n".encode())
    return policies.hexdigest()[:32], {model: digest.hexdigest()[:32] for model, digest in folders.items()}


@cache
def _here() -> bytes:
    """Return what tells this modelops, and what it checks files with, from every other, one that is edited too."""
    root = Path(modelops.__file__).parent
    stamps = sorted(
        f"{folder}/{name} {found.st_mtime_ns} {found.st_size}"
        for folder, _, names in os.walk(root)
        for name in names
        if name.endswith(".py")
        for found in (Path(folder, name).stat(),)
    )
    others = [sys.version, *(f"{name} {version(name)}" for name in ("pydantic", "common-expression-language"))]
    return "\n".join([modelops.__version__, *others, *stamps]).encode()


class _Memory:
    """A file that remembers what was right beside one set of policies: folders by digest, with the rules they met."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[str]] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(path.read_bytes())
            if isinstance(found, dict) and all(_names(rules) for rules in found.values()):
                self._known = found

    def recall(self, folders: Mapping[str, str]) -> Right:
        """Return those models whose folders are remembered."""
        known = ((model, self._known.get(digest)) for model, digest in folders.items())
        return {model: frozenset(rules) for model, rules in known if rules is not None}

    def add(self, right: Mapping[str, Iterable[str]]) -> None:
        """Remember folders, too; where that cannot be written down, they are examined again next time."""
        fresh = {digest: sorted(rules) for digest, rules in right.items()}
        if fresh.keys() <= self._known.keys():
            return
        room = _TIPS * len(fresh) - len(fresh)
        older = {digest: rules for digest, rules in self._known.items() if digest not in fresh}
        self._known = dict([*older.items()][-room:] if room else []) | fresh
        with contextlib.suppress(ModelOpsError, OSError):
            write_atomically(self._path, json.dumps(self._known).encode())
            others = sorted(self._path.parent.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in others[:-_POLICIES]:
                path.unlink(missing_ok=True)


def _names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
