"""A checkout with everything that its project file names: store, forge, keys, environments."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from modelops import plugins
from modelops.clock import Clock, clock_from
from modelops.errors import Exit, Location, failure
from modelops.evidence import Signer
from modelops.forges import Forge
from modelops.repository import Person, Repository
from modelops.spec.access import ApiKey
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.graph import Graph, ModelEntry, build_graph
from modelops.spec.kinds import AnyResource, Resource, place
from modelops.spec.load import load_resource
from modelops.spec.meta import Plugin
from modelops.spec.model import ModelSpec
from modelops.spec.policy import EnvironmentSpec, ProjectSpec, TrustPolicySpec
from modelops.stores import Store
from modelops.targets import Site

LOCK_FILE = "requirements.lock"
PROJECT_FILE = "policies/project.yaml"
MACHINE = Person("modelops", "modelops@modelops.invalid")
"""Who commits what the loop decides; never counted among the people who approve."""
_GRAPHS = 4
"""How many revisions' graphs are kept: the tip, the base that judges it, the work tree's, and one more."""
_GENERATED = ("releases/", "promotions/", "environments/", "data/")


def slug(model: str) -> str:
    """Return a model's name as one path segment."""
    return model.replace("/", "--")


@dataclass(frozen=True)
class Code:
    """The files of a model's folder that are its code, and the git tree that holds exactly them."""

    files: Mapping[str, bytes]
    commit: str


@dataclass
class Workspace:
    """One checkout; revisions are read from git, never from the work tree unless asked for by ``revision=None``."""

    repository: Repository
    environ: Mapping[str, str]
    clock: Clock
    _graphs: OrderedDict[str, Graph] = field(default_factory=OrderedDict)

    @property
    def root(self) -> Path:
        """The top of the work tree."""
        return self.repository.root

    @property
    def state(self) -> Path:
        """The folder that is never in git."""
        return self.root / ".modelops"

    @property
    def ledger(self) -> Path:
        """The run ledger."""
        return self.state / "runs.sqlite"

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return self.state / "cache"

    def graph(self, revision: str | None) -> Graph:
        """Return the validated graph of a revision, or of the work tree for None."""
        if revision is None:
            return build_graph(self.repository.work_tree_files(("models", "policies")))
        commit = self.repository.resolve(revision)
        if commit not in self._graphs:
            paths = [path for path in self.repository.paths(commit) if place(path) is not None]
            self._graphs[commit] = build_graph(self.repository.read_many(commit, paths))
            if len(self._graphs) > _GRAPHS:
                self._graphs.popitem(last=False)
        self._graphs.move_to_end(commit)
        return self._graphs[commit]

    @cached_property
    def project(self) -> ProjectSpec:
        """The project file of the commit that is checked out, or its defaults when there is none.

        It is read alone, so that a broken file elsewhere does not keep what runs from being looked after.
        """
        head = self.repository.head()
        if PROJECT_FILE not in self.repository.paths(head, PROJECT_FILE):
            return ProjectSpec()
        spec: ProjectSpec = load_resource(self.repository.read(head, PROJECT_FILE), PROJECT_FILE).spec
        return spec

    @property
    def branch(self) -> str:
        """The branch whose content is desired."""
        return self.project.branch

    def tip(self) -> str:
        """Return the newest known commit of the project's branch."""
        return self.repository.tip(self.branch)

    def desired(self) -> tuple[str, Graph]:
        """Fetch, and return the tip of the project's branch with its graph."""
        if self.repository.has_remote:
            self.repository.fetch()
        return self.known()

    def known(self) -> tuple[str, Graph]:
        """Return the tip of the project's branch as last fetched or landed, with its graph."""
        tip = self.tip()
        return tip, self.graph(tip)

    @cached_property
    def store(self) -> Store:
        """The store that the project names."""
        module = plugins.load("stores", self.project.store.type)
        opened: Store = module.open(parameters(module, self.project.store), self.root)
        return opened

    @cached_property
    def forge(self) -> Forge:
        """The forge that the project names."""
        module = plugins.load("forges", self.project.forge.type)
        opened: Forge = module.open(parameters(module, self.project.forge), self.repository)
        return opened

    @cached_property
    def signer(self) -> Signer:
        """The key that signs what this machine says."""
        signing = self.project.signing
        return Signer.load(self.state / "keys" / f"{signing.key}.pem", self.environ.get(signing.variable))

    @property
    def person(self) -> Person:
        """Who commits from this checkout."""
        return self.repository.user()

    @property
    def login(self) -> str:
        """The committer's name on the forge."""
        return self.person.login

    def site(self, environment: str) -> Site:
        """Return where an environment lives on this machine."""
        return Site(environment, self.state / "runtime" / slug(environment), self.store_path)

    @property
    def store_path(self) -> Path:
        """The store's folder on this machine."""
        path = Path(str(self.project.store.params.get("path", ".modelops/store")))
        return path if path.is_absolute() else self.root / path

    def code(self, revision: str | None, model: str) -> dict[str, bytes]:
        """Return a model's code: every file of its folder that is neither one of our kinds nor generated by us."""
        prefix = f"models/{model}/"
        if revision is None:
            folder = self.root / prefix
            paths = [
                path.relative_to(folder).as_posix()
                for path in sorted(folder.rglob("*"))
                if path.is_file() and "__pycache__" not in path.parts
            ]
        else:
            paths = [path.removeprefix(prefix) for path in self.repository.paths(revision, prefix)]
        nested = {path.rpartition("/")[0] + "/" for path in paths if path.endswith("/model.yaml")}
        mine = [
            path
            for path in paths
            if place(prefix + path) is None and not path.startswith(_GENERATED) and not path.startswith(tuple(nested))
        ]
        if revision is None:
            return {path: (self.root / prefix / path).read_bytes() for path in mine}
        found = self.repository.read_many(revision, [prefix + path for path in mine])
        return {path.removeprefix(prefix): data for path, data in found.items()}

    def lock(self, revision: str | None) -> bytes:
        """Return the environment lock of a revision; empty when the repository pins none."""
        if revision is None:
            path = self.root / LOCK_FILE
            return path.read_bytes() if path.is_file() else b""
        return (
            self.repository.read(revision, LOCK_FILE)
            if LOCK_FILE in self.repository.paths(revision, LOCK_FILE)
            else b""
        )


def open_workspace(start: Path | None = None, environ: Mapping[str, str] = os.environ) -> Workspace:
    """Find the repository around a folder and open it."""
    return Workspace(Repository.discover(start or Path.cwd()), environ, clock_from(environ))


def parameters(module: Any, plugin: Plugin) -> Any:
    """Validate a plugin reference's parameters by the plugin's own Params."""
    # Through JSON, as a YAML file has only its types: a list is then a tuple, and an integer still no text.
    return module.Params.model_validate_json(json.dumps(plugin.params))


def model_entry(graph: Graph, name: str) -> ModelEntry:
    """Return a model of the graph, or say which ones there are."""
    entry = graph.models.get(name)
    if entry is None:
        known = ", ".join(sorted(graph.models)) or "none"
        raise failure("unknown-model", f"there is no model {name!r}", exit=Exit.USAGE, hint=f"models here: {known}")
    return entry


def environment(graph: Graph, name: str) -> Resource[EnvironmentSpec]:
    """Return an environment of the graph, or say which ones there are."""
    found = graph.environments.get(name)
    if found is None:
        known = ", ".join(sorted(graph.environments)) or "none"
        raise failure(
            "unknown-environment",
            f"there is no environment {name!r}",
            exit=Exit.USAGE,
            hint=f"environments here: {known}",
        )
    return found


def trust(graph: Graph) -> TrustPolicySpec:
    """Return the trust policy; without one nothing is trusted."""
    if graph.trust is None:
        raise failure(
            "trust-missing",
            "policies/trust.yaml does not exist, so no signature counts",
            exit=Exit.FILES,
            location=Location("policies/trust.yaml"),
            hint="modelops init writes one with a new key",
        )
    spec: TrustPolicySpec = graph.trust.spec
    return spec


def keys_of(graph: Graph, name: str) -> tuple[ApiKey, ...] | None:
    """Return the API keys that an environment's server accepts; None lets everyone call."""
    access = environment(graph, name).spec.access
    return graph.access[access].spec.keys if access is not None else None


def snapshot_of(entry: ModelEntry, name: str | None = None) -> Resource[DataSnapshotSpec]:
    """Return the snapshot that a model names, or another of its snapshots."""
    model: Resource[ModelSpec] = entry.model
    wanted = name or model.spec.data.snapshot
    found: AnyResource | None = entry.snapshots.get(wanted)
    if found is None:
        raise failure(
            "unknown-snapshot",
            f"model {model.name} has no snapshot {wanted!r}",
            exit=Exit.FILES,
            location=model.where("spec.data.snapshot"),
            hint=f"take it: modelops data snapshot {model.name} --name {wanted}",
        )
    return found
