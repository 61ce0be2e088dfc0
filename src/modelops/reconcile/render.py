"""Rendering: the files of another runtime, from what git says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelops import targets
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.files import write_atomically
from modelops.governance.judged import desired
from modelops.locks.wheel import own_wheel
from modelops.plugins import Bound, P
from modelops.project.locked import lock_of
from modelops.project.target import rendered_by
from modelops.project.workspace import Workspace, environment, keys_of
from modelops.reconcile.observe import environment_facts, ran_before, runtime_of
from modelops.reconcile.plan import planned, rendered_facts, route
from modelops.spec import layout
from modelops.spec.meta import Plugin
from modelops.spec.parameters import usage
from modelops.spec.routing import RoutingTable
from modelops.targets import Deployable, Renderer

INDEX = layout.RENDERED
"""Lists what the last rendering wrote, so that a file that is no longer wanted can be removed and others never are."""


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def given(params: Sequence[str]) -> dict[str, object]:
    """Return what KEY=VALUE says, values as JSON where they are JSON."""
    found: dict[str, object] = {}
    for text in params:
        key, separator, value = text.partition("=")
        if not separator:
            raise failure("bad-param", f"{text!r} is not KEY=VALUE", exit=Exit.USAGE)
        found[key] = _value(value)
    return found


def from_options(bind: Callable[[Plugin], Bound[P]], key: str, params: Mapping[str, object]) -> Bound[P]:
    """Return a plugin with the parameters that the command line gives it."""
    try:
        return bind(Plugin(type=key, params=dict(params)))
    except ModelOpsError as error:
        raise usage(error, "bad-param", "pass it: --param KEY=VALUE") from None


def _plugin(plugin: Plugin, target: str | None, params: Sequence[str]) -> Bound[Renderer]:
    own = {} if target not in (None, plugin.type) else dict(plugin.params)
    return from_options(targets.bind, target or plugin.type, own | given(params))


def deployable_of(workspace: Workspace, name: str, *, trials: bool = False) -> Deployable:
    """Return what git says about an environment, as a renderer needs it.

    Of an environment that is only rendered nobody moves a trial, and it has its stable releases alone; with ``trials``
    somebody else does, and every arm is there.
    """
    tip, graph = desired(workspace)
    environment(graph, name)
    runtime = replace(runtime_of(workspace, name), running=ran_before(workspace, name))
    facts = environment_facts(workspace, graph, tip, name, runtime)
    reconciled = rendered_by(graph, name) is None
    if not reconciled:
        facts = rendered_facts(facts)
    refused = [
        Problem(refusal.code, f"{each.seat.model} in {name}: {refusal.reason}", each.where, hint=refusal.hint)
        for each in facts
        for refusal in each.refusals
    ] + [problem for each in facts for problem in each.troubles]
    if refused:
        # What may not run here may not be handed to another runtime either.
        raise ModelOpsError(*refused, exit=Exit.NO)
    routed = planned if trials and not reconciled else route
    routes = {each.seat.model: found for each in facts if (found := routed(each)) is not None}
    releases = {
        (model, arm.release): graph.models[model].releases[arm.release].spec
        for model, found in routes.items()
        for arm in found.arms
    }
    return Deployable(
        table=RoutingTable(environment=name, models=routes, keys=keys_of(graph, name)),
        models={model: graph.models[model].model.spec for model in routes},
        releases=releases,
        lock=lambda: lock_of(workspace, tip, releases).decode(),
        store=workspace.store.address,
        wheel=own_wheel,
    )


def rendered(workspace: Workspace, name: str, target: str | None, params: Sequence[str]) -> Mapping[str, str | bytes]:
    """Return the files of an environment for a target; equal inputs give equal bytes."""
    _, graph = desired(workspace)
    bound = _plugin(environment(graph, name).spec.target, target, params)
    files = bound.module.render(bound.params, deployable_of(workspace, name))
    return files


def _index(folder: Path) -> list[str]:
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    paths = [path for path in found if isinstance(path, str)] if isinstance(found, list) else []
    # The list is a file that anybody may have edited: what it names outside of the folder is not ours.
    return [path for path in paths if not path.startswith("/") and ".." not in path.split("/")]


def _bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def differences(folder: Path, files: Mapping[str, str | bytes]) -> list[tuple[str, str]]:
    """Return the paths that are missing, changed or left over, with which of these they are."""
    found = []
    for path, wanted in sorted(files.items()):
        target = folder / path
        if not target.is_file():
            found.append((path, "missing"))
        elif target.read_bytes() != _bytes(wanted):
            found.append((path, "changed"))
    return found + [(path, "left over") for path in _index(folder) if path not in files and (folder / path).exists()]


def write(folder: Path, files: Mapping[str, str | bytes]) -> list[str]:
    """Write what differs and remove what an earlier rendering left over; returns the paths that changed."""
    changed = []
    for path, what in differences(folder, files):
        if what == "left over":
            (folder / path).unlink()
        else:
            write_atomically(folder / path, _bytes(files[path]))
        changed.append(path)
    write_atomically(folder / INDEX, json.dumps(sorted(files), indent=1).encode())
    return changed
