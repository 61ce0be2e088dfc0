"""Rendering: the files of another runtime, from what git says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modelops import plugins
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.reconcile.observe import environment_facts
from modelops.reconcile.plan import route
from modelops.reconcile.workspace import Workspace, environment, keys_of
from modelops.spec.meta import Plugin
from modelops.spec.routing import RoutingTable
from modelops.targets import Desired
from modelops.targets._files import write_atomically

INDEX = ".modelops-rendered.json"
"""Lists what the last rendering wrote, so that a file that is no longer wanted can be removed and others never are."""


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plugin(workspace: Workspace, plugin: Plugin, target: str | None, params: Sequence[str]) -> tuple[Any, Any]:
    given: dict[str, object] = {} if target not in (None, plugin.type) else dict(plugin.params)
    for text in params:
        key, separator, value = text.partition("=")
        if not separator:
            raise failure("bad-param", f"{text!r} is not KEY=VALUE", exit=Exit.USAGE)
        given[key] = _value(value)
    module = plugins.load("targets", target or plugin.type)
    try:
        return module, module.Params.model_validate_json(json.dumps(given))
    except ValidationError as error:
        raise ModelOpsError(
            *(
                Problem(
                    "bad-param", f"{'.'.join(map(str, one['loc']))}: {one['msg']}", hint="pass it: --param KEY=VALUE"
                )
                for one in error.errors(include_url=False)
            ),
            exit=Exit.USAGE,
        ) from None


def desired_of(workspace: Workspace, name: str) -> Desired:
    """Return what git says about an environment, as a renderer needs it."""
    tip, graph = workspace.desired()
    environment(graph, name)
    facts = environment_facts(workspace, graph, tip, name, {}, None)
    refused = [
        Problem(refusal.code, f"{each.model} in {name}: {refusal.reason}", each.where, hint=refusal.hint)
        for each in facts
        for refusal in each.refusals
    ]
    if refused:
        # What may not run here may not be handed to another runtime either.
        raise ModelOpsError(*refused, exit=Exit.NO)
    routes = {each.model: found for each in facts if (found := route(each)) is not None}
    return Desired(
        table=RoutingTable(environment=name, models=routes, keys=keys_of(graph, name)),
        models={model: graph.models[model].model.spec for model in routes},
        releases={
            (model, arm.release): graph.models[model].releases[arm.release].spec
            for model, found in routes.items()
            for arm in found.arms
        },
        lock=workspace.lock(tip).decode(),
    )


def rendered(workspace: Workspace, name: str, target: str | None, params: Sequence[str]) -> Mapping[str, str]:
    """Return the files of an environment for a target; equal inputs give equal bytes."""
    _, graph = workspace.desired()
    module, validated = _plugin(workspace, environment(graph, name).spec.target, target, params)
    files: Mapping[str, str] = module.render(validated, desired_of(workspace, name))
    return files


def _index(folder: Path) -> list[str]:
    try:
        found = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return []
    paths = [path for path in found if isinstance(path, str)] if isinstance(found, list) else []
    # The list is a file that anybody may have edited: what it names outside of the folder is not ours.
    return [path for path in paths if not path.startswith("/") and ".." not in path.split("/")]


def differences(folder: Path, files: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the paths that are missing, changed or left over, with which of these they are."""
    found = []
    for path, text in sorted(files.items()):
        target = folder / path
        if not target.is_file():
            found.append((path, "missing"))
        elif target.read_bytes() != text.encode():
            found.append((path, "changed"))
    return found + [(path, "left over") for path in _index(folder) if path not in files and (folder / path).exists()]


def write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write what differs and remove what an earlier rendering left over; returns the paths that changed."""
    changed = []
    for path, what in differences(folder, files):
        if what == "left over":
            (folder / path).unlink()
        else:
            write_atomically(folder / path, files[path].encode())
        changed.append(path)
    write_atomically(folder / INDEX, json.dumps(sorted(files), indent=1).encode())
    return changed
