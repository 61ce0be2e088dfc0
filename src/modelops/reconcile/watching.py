"""Monitoring in the loop: score what an environment answered, and open the retraining pull request when it is due."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from modelops import data, monitoring
from modelops.clock import format_instant, parse_instant
from modelops.errors import Exit, failure
from modelops.forges import PullRequest
from modelops.predictions import DIRECTORY, read_window, retain
from modelops.reconcile.building import materialiser, reader
from modelops.reconcile.state import read_rollout
from modelops.reconcile.workspace import MACHINE, Workspace, environment, model_entry, slug, snapshot_of
from modelops.spec.delivery import DeploymentSpec, MonitorSpec, ReleaseSpec, Retraining
from modelops.spec.dump import dump
from modelops.spec.edit import set_value
from modelops.spec.graph import Graph
from modelops.targets import Site
from modelops.targets._files import write_atomically


@dataclass(frozen=True)
class Watched:
    """What the monitor found about one model, and the retraining pull request it opened, if any."""

    model: str
    environment: str
    release: int
    report: monitoring.WindowReport
    decision: monitoring.Decision | None
    pull: PullRequest | None


def _history_path(site: Site, model: str) -> Path:
    return site.runtime / "monitor" / f"{slug(model)}.json"


def _history(site: Site, model: str) -> list[dict[str, str]]:
    try:
        found = json.loads(_history_path(site, model).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return found if isinstance(found, list) else []


def _remember(site: Site, model: str, report: monitoring.WindowReport) -> None:
    """Keep one entry per window end, so that running twice at the same instant counts once."""
    entry = {"until": format_instant(report.until), "level": report.level}
    rows = [row for row in _history(site, model) if row["until"] != entry["until"]] + [entry]
    write_atomically(_history_path(site, model), json.dumps(rows[-1000:], indent=1).encode())


def watch_environment(workspace: Workspace, name: str, only: str | None = None) -> tuple[Watched, ...]:
    """Score every monitored model of an environment that has a stable release."""
    tip, graph = workspace.desired()
    environment(graph, name)
    found = []
    for model in sorted(graph.models) if only is None else [only]:
        entry = model_entry(graph, model)
        deployment = entry.deployments.get(name)
        if entry.monitor is None or deployment is None or deployment.spec.stable is None:
            continue
        found.append(_watch(workspace, graph, tip, name, model))
    _forget_old_predictions(workspace, graph, name)
    return tuple(found)


def _forget_old_predictions(workspace: Workspace, graph: Graph, name: str) -> None:
    """Drop the days of the prediction log that the environment does not keep and that nobody needs."""
    days = environment(graph, name).spec.log_days
    if days is None:
        return
    site, now = workspace.site(name), workspace.clock()
    needed = 0.0
    for model, entry in graph.models.items():
        if name not in entry.deployments:
            continue
        if entry.monitor is not None:
            retraining = entry.monitor.spec.retraining
            needed = max(needed, entry.monitor.spec.window_days, retraining.lookback_days if retraining else 0.0)
        state = read_rollout(site, model)
        if state is not None:
            needed = max(needed, (now - parse_instant(state.steps[0].started)) / timedelta(days=1))
    retain(site.runtime / DIRECTORY, now, days=days, needed_days=needed)


def _watch(workspace: Workspace, graph: Graph, tip: str, name: str, model: str) -> Watched:
    entry = model_entry(graph, model)
    deployment: DeploymentSpec = entry.deployments[name].spec
    number = deployment.stable or 0
    release: ReleaseSpec = entry.releases[number].spec
    if entry.monitor is None:
        raise failure("no-monitor", f"{model} has no monitor.yaml", exit=Exit.USAGE)
    monitor: MonitorSpec = entry.monitor.spec
    reference = snapshot_of(entry, release.data.snapshot)
    now = workspace.clock()
    since = now - timedelta(days=monitor.window_days)
    site = workspace.site(name)
    table = read_window(site.runtime / DIRECTORY, model, since, now)
    report = monitoring.score_window(
        monitor,
        entry.model.spec,
        reference.spec.profile,
        release.score_profile,
        table,
        since=since,
        until=now,
        columns=reference.spec.columns,
        name=model,
    )
    earlier = [row["level"] for row in _history(site, model) if parse_instant(row["until"]) < now]
    _remember(site, model, report)
    if monitor.retraining is None:
        return Watched(model, name, number, report, None, None)
    label = f"retrain:{model}"
    pulls = [pull for pull in workspace.forge.list("all") if label in pull.labels]
    decision = monitoring.should_retrain(
        report,
        earlier,
        monitor.retraining,
        last_opened=_last_opened(pulls),
        open_pull_request=any(pull.state == "open" for pull in pulls),
        now=now,
    )
    pull = None
    if decision.fire:
        pull = _propose(workspace, graph, tip, name, model, release, report, decision, monitor.retraining, label)
    return Watched(model, name, number, report, decision, pull)


def _last_opened(pulls: list[PullRequest]) -> datetime | None:
    """Return when the newest retraining pull request was opened; its branch ends with that instant."""
    instants = [pull.source.rpartition("/")[2] for pull in pulls]
    return max((datetime.strptime(text + "+0000", "%Y%m%dT%H%M%S%z") for text in instants), default=None)


def _training_rows(
    workspace: Workspace, graph: Graph, tip: str, name: str, model: str, release: ReleaseSpec, retraining: Retraining
) -> tuple[pa.Table, int]:
    """Return the rows of the new snapshot and how many of them are recent ones with a label."""
    entry = model_entry(graph, model)
    now = workspace.clock()
    recent = read_window(
        workspace.site(name).runtime / DIRECTORY,
        model,
        now - timedelta(days=retraining.lookback_days),
        now,
        labelled=True,
        succeeded=True,
    )
    snapshot = snapshot_of(entry, release.data.snapshot)
    previous = None
    if retraining.keep_reference:
        previous = reader(snapshot)(materialiser(workspace, graph, model, snapshot, tip)())
    return monitoring.labelled_rows(recent, entry.model.spec, snapshot.spec, previous), recent.num_rows


def _propose(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    name: str,
    model: str,
    release: ReleaseSpec,
    report: monitoring.WindowReport,
    decision: monitoring.Decision,
    retraining: Retraining,
    label: str,
) -> PullRequest | None:
    """Take a snapshot of the recent labelled rows and open the pull request that trains on it."""
    rows, fresh = _training_rows(workspace, graph, tip, name, model, release, retraining)
    if fresh < retraining.minimum_rows:
        return None
    entry = model_entry(graph, model)
    old = snapshot_of(entry, release.data.snapshot)
    now = workspace.clock()
    stamp = now.strftime("%Y%m%dt%H%M%S")
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    spec = data.take_rows(
        buffer.getvalue(),
        f"{name}-{stamp}.parquet",
        old.spec,
        entry.model.spec,
        store=workspace.store,
        reason=decision.reason,
    )
    snapshot = f"{name}-{stamp}"
    snapshot_path = f"models/{model}/data/{snapshot}.yaml"
    model_path = f"models/{model}/model.yaml"
    edited = set_value(workspace.repository.read(tip, model_path), "spec.data.snapshot", snapshot, model_path)
    title = f"Retrain {model} on {snapshot}"
    files = {snapshot_path: dump("DataSnapshot", snapshot, spec, path=snapshot_path), model_path: edited}
    commit = workspace.repository.commit_files(tip, files, f"{title}\n\n{decision.reason}\n", MACHINE, now)
    branch = f"modelops/retrain/{slug(model)}/{now.strftime('%Y%m%dT%H%M%S')}"
    workspace.repository.push_branch(branch, commit, expected=None)
    body = f"{decision.reason}\n\n{monitoring.to_markdown(report)}\n\nThe new snapshot has {rows.num_rows} rows.\n"
    return workspace.forge.open(title=title, body=body, source=branch, as_="modelops", now=now, labels=(label,))
