"""What a window of traffic is held against, as the monitor says: training rows, the holdout, or earlier traffic."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from modelops import data, monitoring, summaries
from modelops.artifacts import BuildRecord
from modelops.changes.building import materialiser, reader
from modelops.clock import format_instant
from modelops.errors import ModelOpsError
from modelops.logs import Log
from modelops.monitoring.entities import entities_of, first_rows
from modelops.predictions import feature_columns
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph, ModelEntry
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, Summary
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.resource import Resource
from modelops.training.rows import holdout_predictions

__all__ = ["Against", "against", "holdout_of"]


@dataclass(frozen=True, slots=True)
class Against:
    """The reference of a window.

    ``name`` says what it is where it is not the training rows, ``lacking`` why it cannot be had. ``rows`` are all of
    them but for traffic, of which the first row of each entity is there.
    """

    profile: dict[str, Summary]
    score_profile: Summary | None
    columns: tuple[Column, ...] = ()
    name: str = ""
    lacking: str = ""
    rows: pa.Table | None = None


def holdout_of(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    entry: ModelEntry,
    release: ReleaseSpec,
    snapshot: Resource[DataSnapshotSpec],
) -> monitoring.Holdout:
    """Return the rows that tested a release, and what it answered; what cannot be had is the error that says why."""
    record = BuildRecord.parse(workspace.store.get(release.build))
    rows, predictions = holdout_predictions(workspace.store.get(record.holdout), record.task, record.classes)
    table = reader(snapshot)(materialiser(workspace, graph, entry.model.name, snapshot, tip)())
    return monitoring.Holdout(table.take(pa.array(rows)), predictions)


def against(
    monitor: MonitorSpec,
    model: ModelSpec,
    release: ReleaseSpec,
    snapshot: DataSnapshotSpec,
    log: Log,
    name: str,
    window: tuple[datetime, datetime],
    holdout: monitoring.Holdout | ModelOpsError | None,
) -> Against:
    """Return what a window is held against; without the rows that it needs nothing else is taken instead."""
    plain = Against(dict(snapshot.profile), release.score_profile, snapshot.columns)
    match monitor.reference.of:
        case "training":
            return plain
        case "holdout":
            if not isinstance(holdout, monitoring.Holdout):
                why = holdout.first.message if holdout is not None else "there is none"
                return replace(plain, lacking=f"the holdout cannot be had: {why}")
            said = f"the {holdout.rows.num_rows} rows that tested release {release.version}"
            return Against(_profile(holdout.rows, model), release.score_profile, (), said, rows=holdout.rows)
        case _:
            return _traffic(monitor, model, snapshot, log, name, window, release.version)


def _traffic(
    monitor: MonitorSpec,
    model: ModelSpec,
    snapshot: DataSnapshotSpec,
    log: Log,
    name: str,
    window: tuple[datetime, datetime],
    release: int,
) -> Against:
    reference = monitor.reference
    cycle = timedelta(days=reference.cycle_days or monitor.window_days)
    since, until = window
    parts = [log.window(name, since - cycle * back, until - cycle * back) for back in range(1, reference.cycles + 1)]
    table = pa.concat_tables(parts)
    first, last = (format_instant(at) for at in (since - cycle * reference.cycles, until - cycle))
    said = f"the traffic of {first} to {last}"
    if reference.cycles > 1:
        said = f"{reference.cycles} windows of the traffic between {first} and {last}"
    if table.num_rows < monitor.minimum_requests:
        lacking = f"{said} has {table.num_rows} rows, {monitor.minimum_requests} are needed to be a reference"
        return Against(dict(snapshot.profile), None, snapshot.columns, said, lacking)
    inputs = feature_columns(table, model.data.features, data.reading_of(snapshot))
    mine = table.filter(pc.and_(pc.equal(table.column("release"), release), pc.is_valid(table.column("score"))))
    scores = None
    if mine.num_rows >= monitor.minimum_requests:
        scores = summaries.summarise(mine.column("score"), "number")
    return Against(_profile(inputs, model), scores, (), said, rows=first_rows(inputs, entities_of(table, model)))


def _profile(rows: pa.Table, model: ModelSpec) -> dict[str, Summary]:
    kinds = {each.name: summaries.kind_of(each.type) for each in model.data.features if each.name in rows.column_names}
    return {
        name: summaries.summarise(rows.column(name), kind)
        for name, kind in kinds.items()
        if kind == "category" or not summaries.is_text(rows.column(name).type)
    }
