"""The target of an environment: a runner at its place, by git's word or as its directory remembers it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from modelops import logs, plugins, targets
from modelops.errors import Exit, ModelOpsError, failure
from modelops.files import write_atomically
from modelops.locks.wheel import own_wheel
from modelops.logs import RuntimeLog
from modelops.project.locked import lock_of
from modelops.project.state import runtime_in
from modelops.project.workspace import Workspace, environment
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource
from modelops.spec.kinds.environment import EnvironmentSpec
from modelops.spec.meta import Plugin
from modelops.spec.routing import RoutingTable
from modelops.targets import Addressed, Choosing, Deployable, Place, Renderer, Runner, Running, Shared, Site

TARGET_FILE = "target.json"
"""What started the runtime of a directory, so that it can be stopped and read whatever git says by now."""
_BEFORE = Plugin(type="local")
"""The only runner that version 0.1.0 had, which wrote no such file."""


@dataclass(frozen=True, slots=True)
class Target:
    """A runner with its parameters and its place."""

    workspace: Workspace
    reference: Plugin
    runner: Runner
    params: Any
    place: Place
    graph: Graph | None = None

    def observe(self) -> Running:
        """Return what runs, and where git is known whether it is as git has it."""
        known = replace(self.place, deployable=self._deployable) if self.graph is not None else self.place
        return self.runner.observe(self.params, known)

    def apply(self, table: RoutingTable) -> Running:
        """Make the runtime answer with a table; who does it is remembered first.

        What runs for the environment elsewhere ends before: it may have the ports, and nobody would look after it.
        """
        before = remembered(self.workspace, self.place.environment)
        if before is not None and before._where() != self._where():
            before._leave()
        known = json.dumps(self.reference.model_dump(mode="json"), sort_keys=True).encode()
        path = self.place.runtime / TARGET_FILE
        if not path.is_file() or path.read_bytes() != known:
            write_atomically(path, known)
        site = replace(self.workspace.site(self.place.environment), deployable=self._deployable)
        return self.runner.apply(self.params, site, table)

    def _where(self) -> tuple[str, Plugin]:
        """Return what is another one where something else answers: where it keeps its log is part of that."""
        return self.reference.type, self.runner.logs(self.params, self.place)

    def _leave(self) -> None:
        """End what runs, with all that it has logged brought here."""
        try:
            self.stop()
            self.log()
        except ModelOpsError as error:
            path = self.place.runtime / TARGET_FILE
            hint = f"it has to end before anything else answers; if it is gone for good, remove {path}"
            told = (replace(each, hint=hint) for each in error.problems)
            raise ModelOpsError(*told, exit=error.exit, retryable=error.retryable) from error

    def _deployable(self, table: RoutingTable) -> Deployable:
        """Return what git says of the releases of a table; what it has no longer goes on as it runs."""
        known = self.graph.models if self.graph is not None else {}
        releases = {
            (model, arm.release): known[model].releases[arm.release].spec
            for model, route in table.models.items()
            if model in known
            for arm in route.arms
            if arm.release in known[model].releases
        }
        return Deployable(
            table=table,
            models={model: known[model].model.spec for model in table.models if model in known},
            releases=releases,
            lock=lambda: lock_of(self.workspace, self.workspace.tip(), releases).decode(),
            store=self.workspace.store.address,
            wheel=lambda: self.workspace.once("wheel", own_wheel),
        )

    def stop(self) -> None:
        """End the runtime."""
        self.runner.stop(self.params, self.place)

    def endpoint(self, model: str | None = None) -> str | None:
        """Return the URL at which the models are called, or that of one of them where each has its own."""
        found = self.runner.endpoint(self.params, self.place)
        if found is not None and model is not None and isinstance(self.runner, Addressed):
            return self.runner.address(self.params, self.place, model)
        return found

    @contextlib.contextmanager
    def reserved(self) -> Iterator[str | None]:
        """Hold what reconcilers on other machines look after as well; yields who has it where that is one of them."""
        if not isinstance(self.runner, Shared):
            yield None
            return
        with self.runner.reserved(self.params, self.place) as other:
            yield other

    def log(self) -> RuntimeLog:
        """Return the log of what it predicted."""
        bound = logs.bind(self.runner.logs(self.params, self.place))
        opened = bound.module.open(bound.params)
        assert isinstance(opened, RuntimeLog), f"{bound.key} reads what a runtime writes"
        return opened

    def must_be_durable(self) -> None:
        """Refuse to conclude anything from a runtime that ends with this process."""
        if not self.runner.durable(self.params, self.workspace.environ):
            where = self.place.environment
            raise failure(
                "ephemeral-target",
                f"what {self.reference.type} runs for {where} ends with this job, so it proves nothing",
                exit=Exit.NO,
                hint="run it on a machine that stays, a runner of your own (runs-on: [self-hosted, modelops]), or "
                f"give {where} a target that does, in policies/environments/{where}.yaml",
            )


def _bound(
    workspace: Workspace,
    name: str,
    target: Plugin,
    file: Resource[EnvironmentSpec] | None = None,
    graph: Graph | None = None,
) -> Target | None:
    bound = targets.bind(target, file, "spec.target" if file is not None else "")
    if not _is_run(bound.module, bound.params):
        return None
    assert isinstance(bound.module, Runner), "what is run is a runner"
    return Target(workspace, target, bound.module, bound.params, _place(workspace, name), graph)


def _place(workspace: Workspace, name: str) -> Place:
    return Place(name, runtime_in(workspace.state, name), repository=workspace.origin)


def _is_run(module: Renderer, params: Any) -> bool:
    """Tell whether modelops runs what has a target with such parameters."""
    return isinstance(module, Runner) and (not isinstance(module, Choosing) or module.runs(params))


def rendered_by(graph: Graph, name: str) -> str | None:
    """Return the target of an environment that is only rendered, None where modelops runs it."""
    file = environment(graph, name)
    target: Plugin = file.spec.target
    module = plugins.load("targets", target.type)
    if not isinstance(module, Choosing):
        return None if isinstance(module, Runner) else target.type
    bound = targets.bind(target, file, "spec.target")
    return None if _is_run(bound.module, bound.params) else target.type


@dataclass(frozen=True, slots=True)
class _Kept:
    """The rollouts of an environment as its runtime keeps them."""

    runner: Shared
    params: Any
    place: Place

    def recall(self, model: str) -> bytes | None:
        """Return what is remembered."""
        return self.runner.recall(self.params, self.place, model)

    def remember(self, model: str, data: bytes | None) -> None:
        """Remember or forget."""
        self.runner.remember(self.params, self.place, model, data)


def site_of(workspace: Workspace, name: str) -> Site:
    """Return where an environment lives, with what keeps its rollouts where that is not its directory here."""
    site = workspace.site(name)
    file = workspace.known()[1].environments.get(name)
    if file is None:
        return site
    bound = targets.bind(file.spec.target, file, "spec.target")
    if not isinstance(bound.module, Shared) or not _is_run(bound.module, bound.params):
        return site
    return replace(site, rollouts=_Kept(bound.module, bound.params, _place(workspace, name)))


def target_of(workspace: Workspace, graph: Graph, name: str) -> Target:
    """Return the runtime of an environment, by its file; one that is only rendered is ``render-only``."""
    file = environment(graph, name)
    target: Plugin = file.spec.target
    found = _bound(workspace, name, target, file, graph)
    if found is None:
        raise render_only(name, target.type)
    return found


def render_only(name: str, target: str) -> ModelOpsError:
    """Return the error of whoever wants to start, observe or stop what is only rendered."""
    return failure(
        "render-only",
        f"{name} is rendered by {target}: modelops starts, observes and stops nothing there",
        exit=Exit.USAGE,
        hint=f"modelops plan {name} says what is rendered, modelops render {name} -o DIR writes it",
    )


def remembered(workspace: Workspace, name: str) -> Target | None:
    """Return the runtime that was started here for an environment, without a look at git; None if none ever was."""
    folder = _place(workspace, name).runtime
    if folder.parent != runtime_in(workspace.state, ""):
        return None
    try:
        target = Plugin.model_validate_json((folder / TARGET_FILE).read_bytes())
    except (OSError, ValidationError):
        if not folder.is_dir():
            return None
        target = _BEFORE
    return _bound(workspace, name, target)


def all_remembered(workspace: Workspace) -> Iterator[Target]:
    """Yield every runtime that was ever started here, by the names of the environments."""
    for folder in sorted(runtime_in(workspace.state, "").glob("*/")):
        if (found := remembered(workspace, folder.name)) is not None:
            yield found
