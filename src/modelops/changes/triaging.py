"""Triage in the loop: a look becomes incidents, and what was tried before says when the next retraining may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import pyarrow as pa

from modelops.clock import format_instant, parse_instant
from modelops.forges import PullRequest
from modelops.governance.history import Moment, deployment_history, legible
from modelops.logs import RuntimeLog
from modelops.monitoring import Attempt, Attempts, WindowReport, triage
from modelops.monitoring.delay import Delay
from modelops.monitoring.objectives import COLUMNS, Budget, Stable, budgets, hours_of
from modelops.project.workspace import Workspace
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec, Retraining
from modelops.spec.layout import MODELS, ReleaseFiles, Seat
from modelops.spec.resource import Resource
from modelops.spec.texts.reading import TextReading
from modelops.spec.tree import ModelEntry
from modelops.targets import Site

__all__ = ["attempts_of", "budgets_of", "kept_of", "note", "spent_of", "stable_since", "triaged"]


def kept_of(site: Site, model: str) -> triage.Kept:
    """Return what is remembered of a model's incidents and retrainings on this machine."""
    return triage.read_kept(site.runtime, model)


def triaged(
    workspace: Workspace,
    tip: str,
    seat: Seat,
    monitor: MonitorSpec,
    model: ModelSpec,
    report: WindowReport,
    table: pa.Table,
    reading: TextReading | None,
    silent: str,
    promises: Sequence[Budget] = (),
    sources: Mapping[str, Resource[DataSourceSpec]] = {},
) -> triage.Kept:
    """Take what a look found to the incidents of its model, and remember it; return what is known then.

    Monitors that run at once do it one after the other.
    """
    changes = _changes(deployment_history(workspace.repository, tip, seat), report.since)
    well, number = triage.well(report, silent, promises), report.release or 0
    burns = triage.burning(promises, changes)
    runtime = workspace.site(seat.environment).runtime
    with triage.held(runtime, seat.model):
        before = triage.read_kept(runtime, seat.model)
        below = {name for one in before.incidents if one.kind == "data" and one.open for name in one.features}
        found = triage.signals(
            report, table, model, reading, changes=changes, silent=silent, below=below, sources=sources
        )
        look = triage.Look(seat.environment, number, report.since, report.until, (*found, *burns), well)
        after = before.model_copy(
            update={
                "at": format_instant(report.until),
                "incidents": triage.step(before.incidents, look, monitor.triage),
                "budgets": tuple(promises),
            }
        )
        triage.write_kept(runtime, seat.model, after)
    return after


def _changes(history: Sequence[Moment], since: datetime) -> tuple[triage.Change, ...]:
    """Return the releases that began to answer since shortly before a window, with the arms that they are."""
    told = legible(tuple(history))
    found = []
    for now, before in pairwise([*told, None]):
        if now is None or now.time < since - timedelta(days=1):
            break
        arms = before.arms if before is not None else {}
        found += [
            triage.Change(now.time, release, arm) for arm, release in now.arms.items() if arms.get(arm) != release
        ]
    return tuple(found)


def budgets_of(
    workspace: Workspace,
    tip: str,
    seat: Seat,
    monitor: MonitorSpec,
    model: ModelSpec,
    log: RuntimeLog,
    delay: Delay | None,
) -> tuple[Budget, ...]:
    """Return how far what is promised of a model is kept, by its log and the branch."""
    objectives, now = monitor.objectives, workspace.clock()
    if objectives is None:
        return ()
    since = now - timedelta(days=objectives.period_days)
    runtime = workspace.site(seat.environment).runtime
    hours = hours_of(runtime, seat.model, log, objectives, model, since, now)
    line = _line(workspace, tip, seat, now) if objectives.freshness is not None else ()

    def read(begin: datetime, end: datetime) -> pa.Table:
        return log.window(seat.model, begin, end, columns=COLUMNS)

    return budgets(objectives, model, hours, read, line, delay, now)


def _line(workspace: Workspace, tip: str, seat: Seat, now: datetime) -> tuple[Stable, ...]:
    """Return the releases that took the traffic, the newest first, each with the commit that made it."""
    repository, found, until = workspace.repository, [], now
    line = repository.line(tip, MODELS)
    for moment in legible(deployment_history(repository, tip, seat)):
        if moment.stable is not None:
            versions = line.versions(ReleaseFiles(seat.model, moment.stable).release)
            made = versions[-1].time if versions else moment.time
            found.append(Stable(moment.stable, made, moment.time, until))
        until = moment.time
    return tuple(found)


def stable_since(workspace: Workspace, tip: str, seat: Seat, release: int) -> datetime | None:
    """Return since when a release takes the traffic, None where the branch does not say."""
    since = None
    for moment in legible(deployment_history(workspace.repository, tip, seat)):
        if moment.stable != release:
            break
        since = moment.time
    return since


def attempts_of(entry: ModelEntry, deployment: DeploymentSpec, pulls: Sequence[PullRequest]) -> Attempts:
    """Return what became of the retrainings that were opened.

    One that was merged is rejected where all releases of its snapshot are denied; one that was closed is rejected.
    """
    denied = {one.release for one in deployment.denied}

    def failed(pull: PullRequest) -> bool:
        tried = [
            number
            for number, release in entry.releases.items()
            if pull.source.endswith(f"/{release.spec.data.snapshot}")
        ]
        return bool(tried) and denied.issuperset(tried)

    return Attempts(
        tuple(
            Attempt(
                parse_instant(pull.opened_at),
                "open" if pull.state == "open" else "rejected" if pull.state == "closed" or failed(pull) else "merged",
            )
            for pull in pulls
        )
    )


def spent_of(attempts: Attempts, retraining: Retraining, now: datetime) -> triage.Spent:
    """Return how much of a month's budget of retrainings is spent."""
    until = attempts.waits_until(retraining)
    return triage.Spent(
        month=f"{now:%Y-%m}",
        runs=attempts.this_month(now),
        limit=retraining.runs_per_month,
        rejected=attempts.rejected,
        waits_until=format_instant(until) if until is not None and until > now else None,
    )


def note(
    site: Site, model: str, now: datetime, said: str, spent: triage.Spent | None, retraining: int | None = None
) -> triage.Kept:
    """Write down in the open incidents what the loop did about them, once, and how the budget stands."""
    with triage.held(site.runtime, model):
        kept = triage.read_kept(site.runtime, model)
        about = ("drift", "performance", "data", "quality")
        told = []
        for one in kept.incidents:
            if one.open and one.kind in about and said:
                one = triage.noted(one, now, said)
                one = one.model_copy(update={"retraining": retraining}) if retraining is not None else one
            told.append(one)
        after = kept.model_copy(update={"incidents": tuple(told), "spent": spent})
        if after != kept:
            triage.write_kept(site.runtime, model, after)
    return after
