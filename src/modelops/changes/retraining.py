"""Monitoring in the loop: score what an environment answered, and open the retraining pull request when it is due."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq

from modelops import data, monitoring
from modelops.changes.building import materialiser, reader
from modelops.changes.postmortems import Filed, Postmortem, propose_postmortems
from modelops.changes.references import against, holdout_of
from modelops.changes.remembered import remember, windows
from modelops.changes.retention import forget_old_predictions
from modelops.changes.silence import silence
from modelops.changes.triaging import attempts_of, looked_back, note, spent_of, stable_since, triaged
from modelops.errors import Exit, ModelOpsError, failure
from modelops.forges import Opened, PullRequest
from modelops.governance.asks import RetrainingAsk, asks_for, retrains, with_ask
from modelops.governance.judged import desired
from modelops.governance.pulls import open_pull
from modelops.metrics.aims import Aim, aims_of
from modelops.monitoring import triage
from modelops.monitoring.triage import NOTHING
from modelops.project.snapshots import seal, seal_path
from modelops.project.target import target_of
from modelops.project.workspace import MACHINE, Workspace, model_entry, snapshot_of
from modelops.spec.graph import Graph, ModelEntry
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Summary
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.monitor import MonitorSpec, Retraining
from modelops.spec.kinds.release import MetricValue, ReleaseSpec
from modelops.spec.layout import MODEL, SNAPSHOT, Seat, slug
from modelops.spec.resource import Resource, at
from modelops.spec.yaml.dump import dump
from modelops.spec.yaml.edit import set_value


@dataclass(frozen=True)
class Watched:
    """What the monitor found about one model, and the retraining pull request that is due, if one is.

    ``already`` tells that another machine opened it just now, ``lacks`` why there is none although one is due;
    ``silent`` that traffic is missing which should be there. ``earlier`` are the windows that were scored here before,
    the oldest first, and ``holdout`` is what the release measured of the watched metric on the rows that tested it.
    ``kept`` are the incidents of the seat, and how far the month's budget of retrainings is spent; ``postmortems`` are
    those of incidents that are over, which the look asked for. ``aim`` is what the model is for, and how far that is
    reached.
    """

    seat: Seat
    release: int
    report: monitoring.WindowReport
    decision: monitoring.Decision | None
    pull: PullRequest | None
    already: bool = False
    lacks: str = ""
    silent: str = ""
    earlier: tuple[monitoring.Past, ...] = ()
    holdout: MetricValue | None = None
    kept: triage.Kept = NOTHING
    postmortems: tuple[Filed, ...] = ()
    aim: Aim | None = None


@dataclass(frozen=True)
class RetrainingCase:
    """What the reviewer of a retraining is told: why, what the window said, and which rows the new snapshot has."""

    reason: str
    report: monitoring.WindowReport
    rows: monitoring.NewRows


def watch_environment(
    workspace: Workspace,
    name: str,
    body: Callable[[RetrainingCase], str],
    draft: Callable[[Postmortem], str],
    only: str | None = None,
    *,
    retrain: bool = False,
) -> tuple[Watched, ...]:
    """Score every monitored model of an environment that has a stable release.

    ``body`` writes the pull requests of retrainings, and ``draft`` postmortems. With ``retrain`` somebody asks for a
    retraining of the ``only`` model.
    """
    tip, graph = desired(workspace)
    target_of(workspace, graph, name).must_be_durable()
    found = []
    for model in sorted(graph.models) if only is None else [only]:
        entry = model_entry(graph, model)
        deployment = entry.deployments.get(name)
        if entry.monitor is None or deployment is None or deployment.spec.stable is None:
            continue
        if retrain:
            _may_ask(entry.monitor)
        seat, log = Seat(model, name), target_of(workspace, graph, name).log()
        watched = _watch(workspace, graph, tip, seat, body, retrain)
        if entry.monitor.spec.triage.postmortem:
            watched = replace(watched, postmortems=propose_postmortems(workspace, graph, tip, seat, log, draft))
        past = windows(workspace.site(name), model)
        earlier = tuple(one for one in past if one.until < watched.report.until)
        holdout = _tested(entry.releases[watched.release].spec, entry.monitor.spec)
        aim = aims_of(graph, [model], workspace.clock())[0]
        found.append(replace(watched, earlier=earlier, holdout=holdout, aim=aim))
    forget_old_predictions(workspace, graph, name)
    return tuple(found)


def _may_ask(monitor: Resource[MonitorSpec]) -> None:
    """Refuse to be asked for a retraining where the monitor opens none, or none that people ask for."""
    retraining = monitor.spec.retraining
    if retraining is not None and retraining.triggers.manual:
        return
    where = "spec.retraining.triggers.manual" if retraining is not None else "spec"
    said = f"the monitor of {monitor.model} opens no retraining" + (" that is asked for" if retraining else "")
    hint = "set `manual: true` in its triggers" if retraining is not None else "add `retraining: {}`"
    raise ModelOpsError(at(monitor, where, "no-manual-trigger", said, hint), exit=Exit.NO)


def _watch(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    seat: Seat,
    body: Callable[[RetrainingCase], str],
    asked: bool,
) -> Watched:
    entry = model_entry(graph, seat.model)
    deployment: DeploymentSpec = entry.deployments[seat.environment].spec
    number = deployment.stable or 0
    release: ReleaseSpec = entry.releases[number].spec
    if entry.monitor is None:
        raise failure("no-monitor", f"{seat.model} has no monitor.yaml", exit=Exit.USAGE)
    monitor: MonitorSpec = entry.monitor.spec
    reading = data.reading_of(snapshot_of(entry, release.data.snapshot).spec)
    site, log = workspace.site(seat.environment), target_of(workspace, graph, seat.environment).log()
    now = workspace.clock()
    table = log.window(seat.model, now - timedelta(days=monitor.window_days), now)
    history = windows(site, seat.model)
    report = _scored(workspace, graph, tip, seat, release, table, history, now)
    remember(site, seat.model, report)
    days = monitor.silent_after_days or monitor.window_days
    silent = silence(workspace, tip, seat, number, log, days, now)
    spec = entry.model.spec
    back = looked_back(workspace, tip, seat, monitor, spec, log, report.delay)
    sources = graph.policies.get("DataSource", {})
    kept = triaged(workspace, tip, seat, monitor, spec, report, table, reading, silent, back, sources)
    found = Watched(seat, number, report, None, None, silent=silent, kept=kept)
    if monitor.retraining is None:
        return found
    return _decided(workspace, graph, tip, found, history, body, asked)


def _scored(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    seat: Seat,
    release: ReleaseSpec,
    table: pa.Table,
    history: Sequence[monitoring.Past],
    now: datetime,
) -> monitoring.WindowReport:
    """Score a window that ends now."""
    entry = model_entry(graph, seat.model)
    monitor: MonitorSpec = entry.monitor.spec if entry.monitor is not None else MonitorSpec()
    number: int = entry.deployments[seat.environment].spec.stable or 0
    reference = snapshot_of(entry, release.data.snapshot)
    since = now - timedelta(days=monitor.window_days)
    log = target_of(workspace, graph, seat.environment).log()
    unread: list[str] = []
    holdout = _holdout(workspace, graph, tip, entry, release, reference, unread)
    held = against(monitor, entry.model.spec, release, reference.spec, log, seat.model, (since, now), holdout)
    of_training = monitor.reference.of == "training"
    report = monitoring.score_window(
        monitor,
        entry.model.spec,
        held.profile,
        held.score_profile,
        table,
        since=since,
        until=now,
        columns=held.columns,
        name=seat.model,
        release=number,
        reading=data.reading_of(reference.spec),
        earlier=history,
        stretches=_stretches(workspace, graph, tip, entry, reference, unread) if of_training else tuple,
        beside=monitoring.Beside(
            release.importance,
            holdout if isinstance(holdout, monitoring.Holdout) else None,
            _others(entry, number),
            _rows(workspace, graph, tip, entry, reference, held.rows, unread),
            held.name,
            held.lacking,
            graph.policies.get("DataSource", {}),
            next((one for one in release.metrics if one.name == "recall"), None),
        ),
    )
    return replace(report, findings=(*report.findings, *unread))


def _decided(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    found: Watched,
    history: Sequence[monitoring.Past],
    body: Callable[[RetrainingCase], str],
    asked: bool,
) -> Watched:
    """Decide on a retraining, open its pull request where one is due, and write down in the incidents what was done."""
    seat, report, now = found.seat, found.report, workspace.clock()
    entry = model_entry(graph, seat.model)
    deployment: DeploymentSpec = entry.deployments[seat.environment].spec
    retraining = entry.monitor.spec.retraining if entry.monitor is not None else None
    if retraining is None:
        return found
    release: ReleaseSpec = entry.releases[found.release].spec
    opened = workspace.forge.find(label=_label(seat.model), state="all")
    pulls = [pull for pull in opened if retrains(workspace.repository, tip, pull, seat.model, _folder(seat.model))]
    attempts, broken = attempts_of(entry, deployment, pulls), triage.broken(found.kept.incidents)
    rows = cache(lambda: _training_rows(workspace, graph, tip, seat, release, retraining, found.kept))
    decision = monitoring.should_retrain(
        report,
        history,
        retraining,
        now=now,
        attempts=attempts,
        underway=_underway(entry, deployment, pulls),
        broken=broken.said if broken is not None else "",
        since=stable_since(workspace, tip, seat, found.release),
        fresh=lambda: rows().fresh,
        asked=asked,
    )
    found, done = replace(found, decision=decision), f"no retraining: {decision.reason}" if decision.held else ""
    if decision.fire:
        found = _opened(workspace, graph, tip, found, release, decision, rows(), body)
        done = f"no retraining: {found.lacks}" if found.lacks else ""
    if found.pull is not None and not found.already:
        attempts = monitoring.Attempts((*attempts.all, monitoring.Attempt(now, "open")))
    pull = found.pull
    if pull is not None:
        done = f"retraining: pull request {pull.number} was opened ({decision.trigger})"
    spent = spent_of(attempts, retraining, now)
    site = workspace.site(seat.environment)
    return replace(found, kept=note(site, seat.model, now, done, spent, pull.number if pull is not None else None))


def _opened(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    found: Watched,
    release: ReleaseSpec,
    decision: monitoring.Decision,
    rows: monitoring.NewRows,
    body: Callable[[RetrainingCase], str],
) -> Watched:
    """Open the pull request of a retraining that is due, or say what it lacks."""
    entry = model_entry(graph, found.seat.model)
    retraining = entry.monitor.spec.retraining if entry.monitor is not None else None
    lacks = _lacks(rows, retraining) if retraining is not None else ""
    if lacks:
        return replace(found, lacks=lacks)
    case = RetrainingCase(decision.reason, found.report, rows)
    opened = _propose(workspace, graph, tip, found.seat, release, case, body)
    if opened is None:
        return replace(found, lacks="no pull request: the model trains on exactly these rows already")
    return replace(found, pull=opened.pull, already=opened.already)


def _tested(release: ReleaseSpec, monitor: MonitorSpec) -> MetricValue | None:
    """Return the watched metric as the release states it."""
    watched = monitor.performance
    if watched is None:
        return None
    return next((one for one in release.metrics if one.name == watched.metric), None)


def _others(entry: ModelEntry, stable: int) -> dict[int, Summary]:
    """Return what the scores of the other releases look like, by their number."""
    found = {number: release.spec.score_profile for number, release in entry.releases.items() if number != stable}
    return {number: profile for number, profile in found.items() if profile is not None}


def _holdout(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    entry: ModelEntry,
    release: ReleaseSpec,
    snapshot: Resource[DataSnapshotSpec],
    unread: list[str],
) -> monitoring.Holdout | ModelOpsError | None:
    """Return the rows that tested a release where the monitor needs them, or why they cannot be had."""
    monitor = entry.monitor.spec if entry.monitor is not None else MonitorSpec()
    estimates = monitor.performance is not None and monitor.performance.estimate
    if not estimates and monitor.reference.of != "holdout":
        return None
    try:
        return holdout_of(workspace, graph, tip, entry, release, snapshot)
    except ModelOpsError as error:
        if estimates:
            unread.append(f"The metric is not estimated, for the holdout cannot be had: {error.first.message}.")
        return error


def _rows(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    entry: ModelEntry,
    snapshot: Resource[DataSnapshotSpec],
    held: pa.Table | None,
    unread: list[str],
) -> pa.Table | None:
    """Return the reference's rows where the monitor compares rows: its own, or else those of the snapshot."""
    monitor = entry.monitor.spec if entry.monitor is not None else MonitorSpec()
    if monitor.domain_classifier is None or held is not None or monitor.reference.of != "training":
        return held
    try:
        return reader(snapshot)(materialiser(workspace, graph, entry.model.name, snapshot, tip)())
    except ModelOpsError as error:
        unread.append(f"All features together are not compared, for the rows cannot be had: {error.first.message}.")
        return None


def _stretches(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    entry: ModelEntry,
    snapshot: Resource[DataSnapshotSpec],
    unread: list[str],
) -> Callable[[], Iterable[monitoring.Reference]]:
    """Return the function that parts a snapshot's rows by their time; why they cannot be had goes to ``unread``."""
    monitor = entry.monitor.spec if entry.monitor is not None else MonitorSpec()
    model = entry.model

    def found() -> Iterable[monitoring.Reference]:
        try:
            rows = reader(snapshot)(materialiser(workspace, graph, model.name, snapshot, tip)())
        except ModelOpsError as error:
            said = "The window was held against all rows of the snapshot only, which could not be read"
            unread.append(f"{said}: {error.first.message}.")
            return ()
        window = timedelta(days=monitor.window_days)
        return monitoring.stretches(rows, snapshot.spec, model.spec, window, monitor.minimum_requests)

    return found


def _underway(entry: ModelEntry, deployment: DeploymentSpec, pulls: Sequence[PullRequest]) -> str:
    """Say that what a merged retraining brought is not stable yet, unless it was tried and denied here."""
    snapshot = entry.model.spec.data.snapshot
    stable = entry.releases[deployment.stable or 0].spec.data.snapshot
    merged = any(pull.state == "merged" and pull.source.endswith(f"/{snapshot}") for pull in pulls)
    if snapshot == stable or not merged:
        return ""
    tried = [number for number, release in entry.releases.items() if release.spec.data.snapshot == snapshot]
    if any(denied.release in tried for denied in deployment.denied):
        return ""
    return f"the retraining on {snapshot} was merged, and no release of it is stable here yet"


def _lacks(rows: monitoring.NewRows, retraining: Retraining) -> str:
    """Say why there are too few rows to retrain on, nothing if there are enough."""
    if rows.fresh >= retraining.minimum_rows:
        return ""
    less = [
        f"{many} {what}"
        for many, what in (
            (rows.known, "are in its snapshot already"),
            (rows.repeated, "were delivered twice"),
            (rows.unweighted, "have no weight, which requests and labels do not bring"),
            (rows.quarantined, "were served while the data were broken"),
        )
        if many
    ]
    why = f" ({rows.labelled} have a label, {', '.join(less)})" if less else ""
    last = f"of the last {retraining.lookback_days} days"
    return f"would retrain, but {rows.fresh} of {retraining.minimum_rows} labelled rows {last}{why}"


def _label(model: str) -> str:
    return f"retrain:{model}"


def _folder(model: str) -> str:
    return f"modelops/retrain/{slug(model)}/"


def _signature(
    workspace: Workspace, tip: str, model: str, name: str, spec: DataSnapshotSpec, document: bytes
) -> tuple[dict[str, bytes], str]:
    """Return the signature of a new snapshot, or what to say where this machine has no key that may sign one now."""
    try:
        signer = workspace.signer_for("snapshot", tip)
    except ModelOpsError as error:
        return {}, f"\nThe snapshot is not signed: {error.first.message}\n"
    return {seal_path(model, name): seal(model, name, spec, document, signer)}, ""


def _training_rows(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    seat: Seat,
    release: ReleaseSpec,
    retraining: Retraining,
    kept: triage.Kept,
) -> monitoring.NewRows:
    """Return the rows of the new snapshot: labelled ones of late, after those that the release was trained on."""
    entry = model_entry(graph, seat.model)
    now = workspace.clock()
    recent = (
        target_of(workspace, graph, seat.environment)
        .log()
        .window(
            seat.model,
            now - timedelta(days=retraining.lookback_days),
            now,
            labelled=True,
            succeeded=True,
        )
    )
    snapshot = snapshot_of(entry, release.data.snapshot)
    previous = None
    if retraining.keep_reference:
        previous = reader(snapshot)(materialiser(workspace, graph, seat.model, snapshot, tip)())
    reading, broken = data.reading_of(snapshot.spec), triage.quarantined(kept.incidents)
    return monitoring.new_rows(recent, entry.model.spec, snapshot.spec, previous, reading, broken)


def _propose(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    seat: Seat,
    release: ReleaseSpec,
    case: RetrainingCase,
    body: Callable[[RetrainingCase], str],
) -> Opened | None:
    """Take a snapshot of the recent labelled rows and open the pull request that trains on it.

    Snapshot and branch are called by the rows, so that machines which saw the same ask for the same; one that saw other
    rows is told of the pull request that another has opened meanwhile.
    """
    entry = model_entry(graph, seat.model)
    old = snapshot_of(entry, release.data.snapshot)
    buffer = io.BytesIO()
    pq.write_table(case.rows.table, buffer, compression="zstd")
    snapshot = f"{seat.environment[:50].rstrip('-')}-{hashlib.sha256(buffer.getvalue()).hexdigest()[:12]}"
    spec = data.take_rows(
        buffer.getvalue(),
        f"{snapshot}.parquet",
        old.spec,
        entry.model.spec,
        store=workspace.store,
        reason=case.reason,
    )
    snapshot_path = SNAPSHOT.path(seat.model, snapshot)
    model_path = MODEL.path(seat.model)
    edited = set_value(workspace.repository.read(tip, model_path), "spec.data.snapshot", snapshot, model_path)
    title = f"Retrain {seat.model} on {snapshot}"
    document = dump("DataSnapshot", snapshot, spec, path=snapshot_path)
    files = {snapshot_path: document, model_path: edited}
    signature, unsigned = _signature(workspace, tip, seat.model, snapshot, spec, document)
    files |= signature
    repository = workspace.repository
    message = f"{title}\n\n{case.reason}\n{unsigned}"
    commit = repository.commit_files(tip, files, message, workspace.machine, workspace.clock())
    if commit == tip:
        # The model trains on exactly these rows already.
        return None
    ask = RetrainingAsk(model=seat.model, environment=seat.environment, snapshot=snapshot, root=spec.root)
    return open_pull(
        workspace,
        _folder(seat.model) + snapshot,
        commit,
        title,
        with_ask(body(case), ask),
        _label(seat.model),
        MACHINE.name,
        same=lambda head: asks_for(repository, tip, head, ask),
        unless=lambda pull: retrains(repository, tip, pull, seat.model, _folder(seat.model)),
    )
