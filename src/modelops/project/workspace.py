"""A checkout with everything that its project file names: store, forge, keys, environments."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from modelops import forges, stores
from modelops.clock import Clock, clock_from, is_given
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.evidence import Keyring, Signer
from modelops.evidence.commits import commit_signature, inscribed
from modelops.fence import Held, Terms
from modelops.forges import MACHINE as MACHINE_LOGIN
from modelops.forges import Addresses, Forge, Opening
from modelops.project.settings import Settings, settings_in_work_tree, settings_of
from modelops.project.signing import load_signer, require_clock, require_time
from modelops.project.specs import Specs
from modelops.project.standing import AS_IT_IS, Standing
from modelops.project.state import accepted_roots, cache_in, runtime_in, state_of
from modelops.project.trust import TrustChain, read_trust
from modelops.repository import Person, Repository
from modelops.repository.checkout import read_work_tree
from modelops.spec import layout
from modelops.spec.graph import Graph, ModelEntry, build_graph
from modelops.spec.kinds import AnyResource, Resource, place
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.environment import EnvironmentSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.project import ProjectSpec
from modelops.spec.kinds.trust_policy import Purpose
from modelops.spec.load import load_resource
from modelops.spec.meta import Plugin
from modelops.stores import Store
from modelops.targets import Site

Opened = TypeVar("Opened")
MACHINE = Person(MACHINE_LOGIN, "modelops@modelops.invalid")
"""Who commits what the loop decides; never counted among the people who approve."""


_CHAINS = 4
"""Of how many tips the trust policy in force is kept."""
_SEEN = "refs/modelops-seen/"
_HELD = 16
"""Of how many commits it is kept what does not count."""
_FOUND = 1 << 16
"""How many findings about commits are kept."""

_WORK_BYTES = 1 << 30
"""How large a file of a model's folder may be that was never committed, such as data beside the code."""


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
    dirty: bool = False
    heard: Callable[[Held], None] = lambda held: None
    doing: Callable[[str], None] = lambda what: None
    _specs: Specs | None = None
    _settings: Settings | None = None
    _trusted: dict[tuple[str, frozenset[str]], TrustChain | None] = field(default_factory=dict)
    _opened: dict[tuple[str, str, str], Any] = field(default_factory=dict)
    _found: OrderedDict[Hashable, Any] = field(default_factory=OrderedDict)
    _stands: dict[str, Standing] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The top of the work tree."""
        return self.repository.root

    @property
    def state(self) -> Path:
        """The folder that is never in git; the linked work trees of a clone share that of the first one."""
        return state_of(self.repository)

    @property
    def ledger(self) -> Path:
        """The run ledger."""
        return self.state / "runs.sqlite"

    @property
    def cache(self) -> Path:
        """What can be deleted at any time."""
        return cache_in(self.state)

    def graph(self, revision: str | None) -> Graph:
        """Return the graph of a revision, in which one wrong file stalls only what needs it; None is the work tree.

        The work tree is somebody's own: there every problem is an error.
        """
        if revision is None:
            return build_graph(self.repository.work_tree_files(("models", "policies")))
        if self._specs is None:
            self._specs = Specs(self.repository, self.cache / "sound")
        commit = self.repository.resolve(revision)
        return self._specs.graph(commit, self.standing(commit))

    def standing(self, commit: str) -> Standing:
        """Return what is held of a commit; everything counts of one that nobody judged here."""
        return self._stands.get(commit, AS_IT_IS)

    def hold(self, commit: str, standing: Standing) -> None:
        """Let files of a commit stand as they were approved: the specs, and the Project that counts."""
        self._stands[commit] = standing
        while len(self._stands) > _HELD:
            self._stands.pop(next(iter(self._stands)))
        path = layout.PROJECT.path()
        if path in standing.blobs and not self.dirty:
            self.take_project(commit, standing.blobs[path])

    def take_project(self, commit: str, blob: str | None) -> None:
        """Let the Project count as it was approved, a blob of git, in the place of what a commit has."""
        path = layout.PROJECT.path()
        data = self.repository.blobs([blob], 1 << 20)[blob] if blob is not None else None
        with contextlib.suppress(ModelOpsError):
            resource: Resource[ProjectSpec] = load_resource(data if isinstance(data, bytes) else b"", path)
            self._settings = Settings(resource.spec, commit, resource)

    @property
    def settings(self) -> Settings:
        """The Project that counts: that of the branch's tip, whatever is checked out."""
        if self._settings is None:
            find = settings_in_work_tree if self.dirty else settings_of
            self._settings = find(self.repository)
        return self._settings

    @property
    def project(self) -> ProjectSpec:
        """What the project's file says; read alone, so that a broken file elsewhere keeps nobody from anything."""
        return self.settings.spec

    @property
    def branch(self) -> str:
        """The branch whose content is desired."""
        return self.project.branch

    def tip(self) -> str:
        """Return the newest known commit of the project's branch."""
        return self.repository.tip(self.branch)

    def desired(self) -> tuple[str, Graph]:
        """Fetch, and return the tip of the project's branch with its graph."""
        self.fetch()
        return self.known()

    def fetch(self) -> None:
        """Learn what the remote has, its settings too; without a remote there is nothing to learn."""
        before = self.settings
        if self.repository.has_remote:
            self.repository.fetch()
            after = self.repository.find_tip(before.spec.branch)
            if before.commit != after:
                self._settings = None
                if before.commit is not None and after is not None:
                    self._notice(before.spec.branch, before.commit, after)

    def _notice(self, branch: str, before: str, after: str) -> None:
        """Keep what the branch was where the remote took it back: the remote alone would not tell any more."""
        if self.seen(branch) is None and not self.repository.is_ancestor(before, after):
            self.repository.set_local(_SEEN + branch, before)

    def seen(self, branch: str) -> str | None:
        """Return the tip of a branch that this clone saw and that the remote took back since, if any."""
        return self.repository.find(_SEEN + branch)

    def reach(self) -> ModelOpsError | None:
        """Learn what the remote has; return why it cannot be asked now, for those who can go by what is known."""
        try:
            self.fetch()
        except ModelOpsError as error:
            if error.exit is not Exit.WORLD:
                raise
            return error
        return None

    def known(self) -> tuple[str, Graph]:
        """Return the tip of the project's branch as last fetched or landed, with its graph."""
        tip = self.tip()
        return tip, self.graph(tip)

    @property
    def store(self) -> Store:
        """The store that the project names."""
        return self._once(
            "stores", self.project.store, lambda: open_store(self.settings, self.state.parent, self.environ)
        )

    @property
    def forge(self) -> Forge:
        """The forge that the project names, as the person of this checkout."""
        return self.forge_as(None)

    def forge_as(self, login: str | None) -> Forge:
        """Return the forge that the project names, as somebody else where one says who one is."""
        return self._forge(self.project, self.settings.resource, login)

    def forge_of(self, project: Resource[ProjectSpec]) -> Forge:
        """Return the forge that another version of the project names, as the person of this checkout."""
        return self._forge(project.spec, project, None)

    def _forge(self, spec: ProjectSpec, resource: Resource[ProjectSpec] | None, login: str | None) -> Forge:
        bound = forges.bind(spec.forge, resource, "spec.forge")
        opening = Opening(self.repository, self.branch, self.clock, self.environ, login)
        how = f"{self.branch} {login}"
        return self._once("forges", spec.forge, lambda: bound.module.open(bound.params, opening), how)

    def once(
        self, key: Hashable, found: Callable[[], Opened], keep: Callable[[Opened], bool] = lambda one: True
    ) -> Opened:
        """Return what never changes for a key, found once in this process where it is worth to ``keep``."""
        if key in self._found:
            self._found.move_to_end(key)
            known: Opened = self._found[key]
            return known
        fresh = found()
        if keep(fresh):
            self._found[key] = fresh
            if len(self._found) > _FOUND:
                self._found.popitem(last=False)
        return fresh

    def found(self, key: Hashable, value: object) -> None:
        """Write down what holds for a key from now on."""
        self._found[key] = value

    def _once(self, shelf: str, plugin: Plugin, opened: Callable[[], Opened], how: str = "") -> Opened:
        """Return what a plugin opens, opened once while the settings name the same; ``how`` tells openings apart."""
        key = (shelf, plugin.model_dump_json(), how)
        if key not in self._opened:
            self._opened[key] = opened()
        found: Opened = self._opened[key]
        return found

    def trust(self, tip: str) -> TrustChain:
        """Return the trust policy in force at a commit, with every version before; without one nothing is trusted."""
        found = self.chain(tip)
        if found is None:
            raise _no_trust()
        return found

    def chain(self, tip: str) -> TrustChain | None:
        """Return the trust policy in force at a commit with every version before, None where there is none."""
        commit = self.repository.resolve(tip)
        key = (commit, self.standing(commit).unapproved)
        if key not in self._trusted:
            accepted = accepted_roots(self.state, self.environ)
            self._trusted[key] = read_trust(self.repository, commit, self.clock(), accepted, key[1])
            while len(self._trusted) > _CHAINS:
                self._trusted.pop(next(iter(self._trusted)))
        return self._trusted[key]

    def trust_problems(self) -> tuple[Problem, ...]:
        """Return what is wrong with the trust policy of the tip, which keeps nothing else from standing."""
        try:
            return self.trust(self.tip()).problems
        except ModelOpsError:
            return ()

    def require_waiting(self, digest: str) -> None:
        """Refuse to take for a new root what is not the trust policy of the tip, or is in force already."""
        waiting = self.trust(self.tip()).waiting
        if waiting is None or waiting.digest != digest or not digest:
            there = f"that of the tip is {waiting.digest}" if waiting is not None else "that of the tip is in force"
            raise failure(
                "not-a-waiting-root",
                f"no trust policy {digest!r} waits on {self.branch}: {there}",
                exit=Exit.USAGE,
                location=Location(layout.TRUST.path()),
                hint="see what waits: modelops audit trust",
            )

    @property
    def signer(self) -> Signer:
        """The key that signs what this machine says, whether or not that counts."""
        return self.signer_of(None)

    def signer_of(self, purpose: Purpose | None) -> Signer:
        """Return the key that the project names for a purpose, whether or not that counts."""
        if is_given(self.environ):
            tip = self.repository.find_tip(self.branch)
            require_clock(self.settings, self.environ, self.chain(tip) if tip else None)
        return load_signer(self.settings, self.state, self.environ, purpose)

    def signer_for(self, purpose: Purpose, tip: str) -> Signer:
        """Return the key that signs what is said for a purpose on a commit, if it may: in time, and trusted for it."""
        signer = self.signer_of(purpose)
        chain, now = self.trust(tip), self.clock()
        chain.keyring.require(signer, purpose, now)
        require_time(chain, now)
        return signer

    def commit_signature(self, purpose: Purpose) -> Callable[[bytes], str] | None:
        """Return what signs a commit that is made without a pull request; None on a machine without the key for it."""
        try:
            return partial(commit_signature, signer=self.signer_of(purpose))
        except ModelOpsError:
            return None

    def commit_inscription(self, purpose: Purpose) -> Callable[[str, Sequence[str], str], str] | None:
        """Return what signs such a commit within its message, for a forge that makes commits anew."""
        try:
            return partial(inscribed, signer=self.signer_of(purpose))
        except ModelOpsError:
            return None

    def terms(self, graph: Graph) -> Terms:
        """Return what the Project of a graph demands of the fence around code of the repository."""
        require = graph.project.spec.fence.require if graph.project is not None else ()
        return Terms(require, heard=self.heard)

    @property
    def person(self) -> Person:
        """Who commits from this checkout."""
        return self.repository.user()

    @property
    def machine(self) -> Person:
        """Who commits what the loop proposes: the account that opens it, where a forge knows whose a commit is.

        There a commit of nobody it knows could be of whoever approves it.
        """
        forge = self.forge_as(MACHINE_LOGIN)
        if not isinstance(forge, Addresses):
            return MACHINE
        account = forge.whoami()
        return Person(account.login, forge.address(account))

    @property
    def login(self) -> str:
        """The committer's name on the forge."""
        return self.person.login

    def site(self, environment: str) -> Site:
        """Return where an environment lives on this machine."""
        place = runtime_in(self.state, environment)
        return Site(environment, place, self.store.address, repository=self.origin)

    def origin(self) -> str:
        """Return what tells this project from others in each of its clones: its first commit, and its folder."""
        first = self.once("origin", lambda: self.repository.log(first_parent=True)[-1].id)
        return f"{first}/{self.repository.folder}".rstrip("/")

    def code(self, revision: str | None, model: str) -> dict[str, bytes]:
        """Return a model's code: every file of its folder that is neither one of our kinds nor generated by us."""
        prefix = layout.model_folder(model)
        if revision is None:
            found = read_work_tree(self.root, (prefix,), None, _WORK_BYTES)
        else:
            found = dict.fromkeys(self.repository.paths(revision, prefix), b"")
        paths = [path.removeprefix(prefix) for path in found]
        nested = tuple(path.rpartition("/")[0] + "/" for path in paths if path.endswith("/model.yaml"))
        others = (*layout.GENERATED, *nested)
        mine = [path for path in paths if place(prefix + path) is None and not path.startswith(others)]
        if revision is not None:
            found = self.repository.read_many(revision, [prefix + path for path in mine])
        return {path: found[prefix + path] for path in mine}

    def lock(self, revision: str | None) -> bytes:
        """Return the environment lock of a revision; empty when the repository pins none."""
        if revision is None:
            return self.repository.work_tree_files((layout.LOCK,), suffixes=None).get(layout.LOCK, b"")
        return (
            self.repository.read(revision, layout.LOCK)
            if layout.LOCK in self.repository.paths(revision, layout.LOCK)
            else b""
        )


STORE_VARIABLE = "MODELOPS_STORE"
"""Names the store of a machine that may not write to the project's, such as one that builds what is only proposed."""


def open_store(settings: Settings, folder: Path, environ: Mapping[str, str]) -> Store:
    """Open the store that settings name; ``folder``, which the paths in them are relative to, holds the state.

    The address in MODELOPS_STORE counts in its place.
    """
    if environ.get(STORE_VARIABLE):
        return stores.open_at(environ[STORE_VARIABLE], folder, environ)
    bound = stores.bind(settings.spec.store, settings.resource, "spec.store")
    return bound.module.open(bound.params, folder, environ)


def _unheard(message: str) -> None:
    """Say nothing to nobody."""


def open_workspace(
    start: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    warn: Callable[[str], None] = _unheard,
    *,
    dirty: bool = False,
    heard: Callable[[Held], None] = lambda held: None,
    doing: Callable[[str], None] = lambda what: None,
) -> Workspace:
    """Find the repository around a folder and open it; a ``dirty`` one goes by the files as they lie on the disk.

    ``heard`` is told how far the fence held whenever code of the repository ran, ``doing`` what takes long just now.
    """
    repository = Repository.discover(start or Path.cwd(), warn=warn)
    return Workspace(repository, environ, clock_from(environ), dirty=dirty, heard=heard, doing=doing)


def model_entry(graph: Graph, name: str) -> ModelEntry:
    """Return a model of the graph, or say which ones there are."""
    entry = graph.models.get(name)
    if entry is None and name in graph.stalled_models:
        raise ModelOpsError(*graph.troubles(name))
    if entry is None:
        known = ", ".join(sorted(graph.models)) or "none"
        raise failure("unknown-model", f"there is no model {name!r}", exit=Exit.USAGE, hint=f"models here: {known}")
    return entry


def environment(graph: Graph, name: str) -> Resource[EnvironmentSpec]:
    """Return an environment of the graph, or say which ones there are."""
    found = graph.environments.get(name)
    if found is None and graph.troubles(None, name):
        raise ModelOpsError(*graph.troubles(None, name))
    if found is None:
        known = ", ".join(sorted(graph.environments)) or "none"
        raise failure(
            "unknown-environment",
            f"there is no environment {name!r}",
            exit=Exit.USAGE,
            hint=f"environments here: {known}",
        )
    return found


def trusted(workspace: Workspace, tip: str) -> Keyring:
    """Return the keys that count for what a commit has, by where it came in."""
    return workspace.trust(tip).keyring


def _no_trust() -> ModelOpsError:
    return failure(
        "trust-missing",
        f"{layout.TRUST.path()} does not exist, so no signature counts",
        exit=Exit.FILES,
        location=Location(layout.TRUST.path()),
        hint="modelops init writes one with a new key",
    )


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
            hint=f"take it: modelops data snapshot {model.name} --name {wanted} --path FILE --owner WHO",
        )
    return found
