"""Audit: a prediction's id or an entity typed in is answered with the whole chain; what ran where on which day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelops import audit
from modelops.changes.sealing import known_log
from modelops.clock import parse_instant
from modelops.dashboard.look import Look, asked
from modelops.dashboard.rooms import Room
from modelops.dashboard.telling import about_all, typed
from modelops.errors import ModelOpsError, failure
from modelops.project.target import all_remembered
from modelops.project.workspace import Workspace
from modelops.serving.guard.visible import Sight

__all__ = ["is_asked", "questions"]

_ANSWERS = 100
_LONG = 500
_OWN = frozenset({"bad-instant", "unknown-environment", "unknown-prediction"})
"""What is wrong with a question itself, which whoever asked it may know."""


def _said(query: Mapping[str, str]) -> dict[str, str]:
    return {key: query.get(key, "").strip()[:_LONG] for key in ("id", "entity", "environment", "at")}


def is_asked(query: Mapping[str, str]) -> bool:
    """Tell whether a question is asked, whose answer takes long and is given once."""
    said = _said(query)
    return bool(said["id"] or said["entity"] or (said["environment"] and said["at"]))


def questions(look: Look, sight: Sight, query: Mapping[str, str]) -> Room:
    """Return the page with its three questions, and the answer to the one that was asked."""
    said = _said(query)
    shown: dict[str, Any] = {"said": said, "environments": [one.environment for one in look.environments]}
    title: str = "Audit"
    try:
        if said["id"]:
            title = typed(f"Prediction {said['id']}")
            shown["prediction"] = _prediction(look.workspace, sight, said["id"])
        elif said["entity"]:
            title = typed(f"Entity {said['entity']}")
            shown["entity"] = _entity(look, sight, said["entity"])
        elif said["environment"] and said["at"]:
            title = typed(f"{said['environment']} at {said['at']}")
            shown["then"] = _then(look.workspace, sight, said["environment"], said["at"])
    except ModelOpsError as error:
        problems = error.problems if error.first.code in _OWN else about_all(error.problems, sight)
        return Room("audit.html", title, {**shown, "problems": problems}, 404)
    return Room("audit.html", title, shown, follows=not is_asked(query))


def _logs(workspace: Workspace) -> list[audit.KnownLog]:
    targets = all_remembered(workspace)
    return [known_log(workspace, target.place.environment, target.log()) for target in targets]


def _prediction(workspace: Workspace, sight: Sight, id: str) -> audit.PredictionAnswer:
    rescorer = audit.Rescorer(lambda: workspace.store)
    try:
        answer = audit.prediction(
            *(workspace.repository, id),
            logs=_logs(workspace),
            branch=workspace.branch,
            rescorer=rescorer,
            asked=asked(workspace),
        )
    except ModelOpsError:
        if sight.models is None:
            raise
    else:
        if sight.has(answer.model):
            return answer
    # Whether another model answered, none did, or it cannot be read, is all the same for this key.
    raise failure("unknown-prediction", f"no prediction that this key may see has the id {id!r}")


def _entity(look: Look, sight: Sight, entity: str) -> tuple[list[audit.Answered], int]:
    models = [name for name in {**look.names, **look.retired} if sight.has(name)]
    return audit.of_entity(_logs(look.workspace), models, entity, _ANSWERS)


def _then(workspace: Workspace, sight: Sight, environment: str, at: str) -> tuple[audit.EnvironmentAnswer, list[Any]]:
    answer = audit.environment(
        workspace.repository, environment, parse_instant(at), branch=workspace.branch, asked=asked(workspace)
    )
    return answer, [one for one in answer.models if sight.has(one.model)]
