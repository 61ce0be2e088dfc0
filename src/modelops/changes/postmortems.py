"""Postmortems: what is known of an incident that is over becomes a file of its model, by a pull request for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelops.clock import parse_instant
from modelops.errors import ModelOpsError
from modelops.governance.history import deployment_history, legible
from modelops.governance.pulls import open_pull
from modelops.logs import RuntimeLog
from modelops.monitoring import triage
from modelops.monitoring.performance import labelled_predictions
from modelops.project.workspace import MACHINE, Workspace, environment, model_entry
from modelops.spec.graph import Graph
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.layout import INCIDENT, Seat, slug

__all__ = ["Filed", "Impact", "Postmortem", "Turn", "propose_postmortems"]

_COLUMNS = ("time", "release", "arm", "status", "score", "label", "truth")


@dataclass(frozen=True, slots=True)
class Impact:
    """What was asked while an incident lasted: requests, those that failed, labels, and answers that were wrong.

    ``wrong`` is None of a regression, whose answers are near or far. ``broken`` are requests whose data had a fault,
    ``kept_out`` those of them that have a label and are not trained on. ``whole`` is whether the log still has it all.
    """

    requests: int
    failed: int
    labelled: int
    wrong: int | None
    broken: int
    kept_out: int
    whole: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """What began to answer while an incident lasted, and by which commit."""

    at: datetime
    arms: tuple[tuple[str, int], ...]
    commit: str


@dataclass(frozen=True, slots=True)
class Postmortem:
    """What a draft is written from: the incident, what it met, and what changed meanwhile."""

    seat: Seat
    incident: triage.Incident
    owner: str
    impact: Impact
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Filed:
    """The postmortem of an incident: its pull request, or why there is none yet."""

    incident: str
    path: str
    pull: int | None = None
    lacks: str = ""


def propose_postmortems(
    workspace: Workspace, graph: Graph, tip: str, seat: Seat, log: RuntimeLog, draft: Callable[[Postmortem], str]
) -> tuple[Filed, ...]:
    """Open a pull request for each incident that is over and has none; what one lacks is tried again by the next look.

    A pull request that people closed is not opened again.
    """
    runtime = workspace.site(seat.environment).runtime
    due = [one for one in triage.read_kept(runtime, seat.model).incidents if _due(one)]
    found = []
    for one in due:
        path = INCIDENT.path(seat.model, one.id)
        try:
            pull = _proposed(workspace, graph, tip, seat, log, one, draft)
        except ModelOpsError as error:
            found.append(Filed(one.id, path, lacks=error.first.message))
            continue
        found.append(Filed(one.id, path, pull))
        with triage.held(runtime, seat.model):
            kept = triage.read_kept(runtime, seat.model)
            known = (
                each.model_copy(update={"postmortem": pull or 0}) if each.id == one.id else each
                for each in kept.incidents
            )
            triage.write_kept(runtime, seat.model, kept.model_copy(update={"incidents": tuple(known)}))
    return tuple(found)


def _due(one: triage.Incident) -> bool:
    return one.opened is not None and one.closed is not None and one.postmortem is None


def _proposed(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    seat: Seat,
    log: RuntimeLog,
    one: triage.Incident,
    draft: Callable[[Postmortem], str],
) -> int | None:
    """Return the pull request of a postmortem, opened now or before; None where its file is in the branch already."""
    path, repository = INCIDENT.path(seat.model, one.id), workspace.repository
    branch = f"modelops/incidents/{slug(seat.model)}/{one.id}"
    before = next((pull for pull in workspace.forge.find(source=branch, state="all") if pull.author.machine), None)
    if before is not None:
        return before.number
    if path in repository.paths(tip, path):
        return None
    spec: ModelSpec = model_entry(graph, seat.model).model.spec
    case = Postmortem(
        seat,
        one,
        spec.owner,
        _impact(log, seat, spec, one, environment(graph, seat.environment).spec.log_days),
        _turns(workspace, tip, seat, one),
    )
    text = draft(case)
    title = f"Say what happened to {seat.model} in {seat.environment}: {one.kind}, {one.since[:10]}"
    data = text.encode()
    commit = repository.commit_files(tip, {path: data}, f"{title}\n", workspace.machine, workspace.clock())

    def same(head: str) -> bool:
        return path in repository.paths(head, path) and repository.read(head, path) == data

    label = f"incident:{seat.model}"
    return open_pull(workspace, branch, commit, title, text, label, MACHINE.name, same).pull.number


def _impact(log: RuntimeLog, seat: Seat, model: ModelSpec, one: triage.Incident, log_days: int | None) -> Impact:
    since, until = parse_instant(one.since), parse_instant(one.closed or one.counted)
    rows = log.window(seat.model, since, until, columns=_COLUMNS)
    begins = log.begins()
    predictions, known = labelled_predictions(model, rows)
    wrong = None if model.task == "regression" else int((predictions.y_true != predictions.y_pred).sum())
    broken = _broken(rows, one)
    return Impact(
        requests=rows.num_rows,
        failed=int(pc.sum(pc.greater_equal(rows.column("status"), 500)).as_py() or 0),
        labelled=len(predictions),
        wrong=wrong,
        broken=int(broken.sum()),
        kept_out=int((broken & known).sum()),
        whole=log_days is None or (begins is not None and begins <= since + timedelta(days=1)),
    )


def _broken(rows: pa.Table, one: triage.Incident) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    times = rows.column("time").to_numpy().astype(np.float64)
    found = np.zeros(rows.num_rows, dtype=np.bool_)
    for span in triage.quarantined([one]):
        low = -np.inf if span.since is None else span.since.timestamp()
        high = np.inf if span.until is None else span.until.timestamp()
        found |= (times >= low) & (times < high)
    return found


def _turns(workspace: Workspace, tip: str, seat: Seat, one: triage.Incident) -> tuple[Turn, ...]:
    """Return what the branch changed in the environment from a day before an incident to its end, the oldest first."""
    since = parse_instant(one.since) - timedelta(days=1)
    until = parse_instant(one.closed or one.counted)
    moments = legible(deployment_history(workspace.repository, tip, seat))
    return tuple(
        Turn(moment.time, tuple(moment.arms.items()), moment.commit)
        for moment in reversed(moments)
        if since <= moment.time <= until
    )
