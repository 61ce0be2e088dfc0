"""Triage in the loop: a look becomes incidents, and what was tried before says when the next retraining may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

import pyarrow as pa

from modelops.clock import format_instant, parse_instant
from modelops.forges import PullRequest
from modelops.governance.history import Moment, deployment_history, legible
from modelops.logs import RuntimeLog
from modelops.monitoring import Attempt, Attempts, WindowReport, triage
from modelops.monitoring.anomalies import BACK, USUAL, Unusual, unusual_hours
from modelops.monitoring.delay import Delay
from modelops.monitoring.objectives import COLUMNS, Budget, Stable, budgets, hours_of
from modelops.monitoring.triage.unusual import signal_of
from modelops.project.workspace import Workspace
from modelops.spec.kinds.data_source import DataSourceSpec
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.monitor import MonitorSpec, Objectives, Retraining
from modelops.spec.layout import MODELS, ReleaseFiles, Seat
from modelops.spec.resource import Resource
from modelops.spec.texts.reading import TextReading
from modelops.spec.tree import ModelEntry
from modelops.targets import Site

__all__ = ["NOWHERE", "Back", "attempts_of", "kept_of", "looked_back", "note", "spent_of", "stable_since", "triaged"]


@dataclass(frozen=True, slots=True)
class Back:
    """What is known of more than a window: how far promises are kept, and which hours of the last week are unusual."""

    promises: tuple[Budget, ...] = ()
    unusual: Unusual = USUAL


NOWHERE = Back()
"""What is known where nothing is promised and no hours are judged."""


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
    back: Back = NOWHERE,
    sources: Mapping[str, Resource[DataSourceSpec]] = {},
) -> triage.Kept:
    """Take what a look found to the incidents of its model, and remember it; return what is known then.

    Monitors that run at once do it one after the other.
    """
    changes = _changes(deployment_history(workspace.repository, tip, seat), report.since)
    well, number = triage.well(report, silent, back.promises), report.release or 0
    burns = triage.burning(back.promises, changes)
    runtime = workspace.site(seat.environment).runtime
    others = triage.unusual_elsewhere(runtime, seat.model)
    odd = signal_of(back.unusual, changes, report.suspects, others)
    # What nobody looks for keeps no incident open that it was part of.
    well |= frozenset({"anomaly"}) if odd is None and not back.unusual.lacking else frozenset()
    with triage.held(runtime, seat.model):
        before = triage.read_kept(runtime, seat.model)
        below = {name for one in before.incidents if one.kind == "data" and one.open for name in one.features}
        found = triage.signals(
            report, table, model, reading, changes=changes, silent=silent, below=below, sources=sources
        )
        look = triage.Look(
            seat.environment,
            number,
            report.since,
            report.until,
            (*found, *burns, *([odd] if odd is not None else [])),
            well,
        )
        after = before.model_copy(
            update={
                "at": format_instant(report.until),
                "incidents": triage.step(before.incidents, look, monitor.triage),
                "budgets": back.promises,
                "anomalies": back.unusual.found,
                "unjudged": back.unusual.lacking,
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


def looked_back(
    workspace: Workspace,
    tip: str,
    seat: Seat,
    monitor: MonitorSpec,
    model: ModelSpec,
    log: RuntimeLog,
    delay: Delay | None,
) -> Back:
    """Return how far what is promised of a model is kept, and which of its last hours are unusual."""
    objectives, declared, now = monitor.objectives, monitor.anomalies, workspace.clock()
    if objectives is None and declared is None:
        return NOWHERE
    asked = objectives or Objectives()
    days = [timedelta(days=objectives.period_days)] if objectives is not None else []
    since = now - max([*days, *([BACK] if declared is not None else [])])
    hours = hours_of(workspace.site(seat.environment).runtime, seat.model, log, asked, model, since, now)
    unusual = unusual_hours(declared, hours, now) if declared is not None else USUAL
    if objectives is None:
        return Back((), unusual)
    line = _line(workspace, tip, seat, now) if objectives.freshness is not None else ()

    def read(begin: datetime, end: datetime) -> pa.Table:
        return log.window(seat.model, begin, end, columns=COLUMNS)

    return Back(budgets(objectives, model, hours, read, line, delay, now), unusual)


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
