"""What the levels ask of a model: its spec, its evidence, its gates, its rollouts, and what keeps it good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import pairwise

from modelops import audit
from modelops.audit.moments import Moments
from modelops.errors import ModelOpsError
from modelops.maturity import Criterion, Maturity
from modelops.project.standing import UNAPPROVED
from modelops.project.workspace import Workspace
from modelops.repository import Repository
from modelops.spec.graph import Graph
from modelops.spec.layout import MODEL, MODELS, MONITOR, ROLLOUT, SNAPSHOT, Seat, in_model, slug
from modelops.spec.tree import ModelEntry

__all__ = ["Told", "of_model"]

DRILLED = timedelta(days=180)
"""For how long a way back that was taken counts as a drill."""

Told = Mapping[Seat, audit.ModelThere]
"""What the auditor says of each seat now."""


def of_model(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    name: str,
    told: Told,
    moments: Mapping[Seat, Moments],
    asked: audit.Asked,
) -> Maturity:
    """Return the criteria of a model at a commit."""
    entry = graph.models.get(name)
    if entry is None:
        problem = next(iter(graph.troubles(name)), None)
        said = problem.message if problem is not None else "its file cannot be read"
        return Maturity(name, (Criterion(1, "spec", "Its spec stands", False, said, "modelops validate"),))
    seats = [Seat(name, environment) for environment in entry.deployments]
    stable = max(
        (number for seat in seats if (number := entry.deployments[seat.environment].spec.stable)), default=None
    )
    found = [
        *_checked(workspace.repository, graph, tip, entry),
        *_trained(workspace, entry, stable, asked, [told[seat] for seat in seats if seat in told]),
        *_released(workspace, entry, stable, [told[seat] for seat in seats if seat in told]),
        *_way_back(_in_order(graph, seats), moments, asked.now, workspace.repository.is_shallow),
        *_kept_good(workspace.repository, tip, entry, stable, [told[seat] for seat in seats if seat in told]),
    ]
    return Maturity(name, tuple(sorted(found, key=lambda one: one.level)))


def _checked(repository: Repository, graph: Graph, tip: str, entry: ModelEntry) -> Iterator[Criterion]:
    # What nobody approved is another matter: it may be sound.
    troubles = [one for one in graph.troubles(entry.name) if one.code not in UNAPPROVED]
    said = str(troubles[0].message) if troubles else "its files are sound"
    yield Criterion(1, "spec", "Its spec stands", not troubles, said, "modelops validate")
    code = in_model(entry.name, entry.model.spec.training.entrypoint)
    there = code in repository.paths(tip, code)
    yield Criterion(1, "code", "Its training code is in git", there, code, f"git add {code}")
    yield Criterion(1, "tests", "Its training code has tests", None, "git does not know what tests cover")


def _trained(
    workspace: Workspace, entry: ModelEntry, stable: int | None, asked: audit.Asked, there: list[audit.ModelThere]
) -> Iterator[Criterion]:
    name = entry.model.spec.data.snapshot
    snapshot = entry.snapshots.get(name)
    said = f"{name}, {snapshot.spec.root}" if snapshot is not None else f"{SNAPSHOT.path(entry.name, name)} is missing"
    how = f"modelops data snapshot {entry.name} --name {name} --path FILE --owner WHO"
    yield Criterion(2, "data", "Its data is pinned by hash", snapshot is not None, said, how)
    number = stable or max(entry.releases, default=None)
    if number is None:
        yield Criterion(
            2, "release", "A release has metrics and signed evidence", False, "no release", "modelops release"
        )
        return
    trust = next((arm.trust for one in there for arm in one.arms.values() if arm.release == number), None)
    trust = trust or _evidence(workspace, entry.name, number, asked)
    told = f"signed by {', '.join(trust.keys)}" if trust.ok else next(iter(trust.problems), trust.status)
    said, proven = f"release {number}, {told}", trust.ok
    how = f"modelops audit release {entry.name} {number} says why"
    yield Criterion(2, "release", "A release has metrics and signed evidence", proven, said, how)
    yield Criterion(
        2, "rebuilt", "It was rebuilt with the same result", None, f"try: modelops reproduce {entry.name} {number}"
    )


def _evidence(workspace: Workspace, model: str, number: int, asked: audit.Asked) -> audit.Trust:
    try:
        return audit.release(workspace.repository, model, number, branch=workspace.branch, asked=asked).trust
    except ModelOpsError as error:
        return audit.Trust("refused", problems=tuple(map(str, error.problems)))


def _released(
    workspace: Workspace, entry: ModelEntry, stable: int | None, there: list[audit.ModelThere]
) -> Iterator[Criterion]:
    release = entry.releases[stable].spec if stable is not None and stable in entry.releases else None
    gates = [one for one in release.verdicts if not one.toothless] if release is not None else []
    said = f"release {stable} went through {len(gates)} gates" if gates else "no gate holds up what runs"
    how = "let a gate policy block: docs/how-to/add-a-gate.md"
    yield Criterion(3, "gates", "Gates hold up what is not good enough", bool(gates), said, how)
    plan = entry.rollout
    said = plan.spec.strategy.type if plan is not None else f"there is no {ROLLOUT.path(entry.name)}"
    how = f"write {ROLLOUT.path(entry.name)} (docs/how-to/choose-a-rollout-strategy.md)"
    yield Criterion(3, "rollout", "A candidate is tried on traffic before it is stable", plan is not None, said, how)
    arms = [(one, arm) for one in there for arm in one.arms.values()]
    doubtful = [(one, arm) for one, arm in arms if not arm.ok or one.unapproved is not None]
    said = "nothing runs" if not arms else f"{len(arms)} arms, all proven" if not doubtful else ""
    said = said or f"release {doubtful[0][1].release} is not proven"
    how = f"modelops promote {entry.name} --to ENVIRONMENT" if not arms else "modelops audit environment NAME --at DATE"
    what = "What runs came by an approved pull request"
    yield Criterion(3, "promoted", what, bool(arms) and not doubtful, said, how)
    if release is None:
        yield Criterion(3, "traced", "What runs leads back to its data and code", False, "nothing runs", how)
        return
    snapshot = entry.snapshots.get(release.data.snapshot)
    data = snapshot is not None and snapshot.spec.root == release.data.root
    code = workspace.repository.find(release.code.commit) is not None
    said = f"data {release.data.snapshot}, code {release.code.commit[:10]}"
    said += "" if data else ": the snapshot is another one"
    said += "" if code else ": this clone lacks the commit"
    how = (
        f"restore {SNAPSHOT.path(entry.name, release.data.snapshot)} from git" if not data else "git fetch --unshallow"
    )
    yield Criterion(3, "traced", "What runs leads back to its data and code", data and code, said, how)


def _in_order(graph: Graph, seats: list[Seat]) -> list[Seat]:
    """Return seats in the order of promotion, the environment where a drill harms nobody first."""

    def rank(seat: Seat) -> tuple[bool, int, str]:
        found = graph.environments.get(seat.environment)
        order = found.spec.order if found is not None else None
        return order is None, order or 0, seat.environment

    return sorted(seats, key=rank)


def _way_back(seats: list[Seat], moments: Mapping[Seat, Moments], now: datetime, shallow: bool) -> Iterator[Criterion]:
    """Say whether a way back was taken lately: to a release of before, or from a candidate that did not become it.

    The first of the seats that has a release to go back to is the place for a drill.
    """
    what = f"A way back was taken in the last {DRILLED.days} days"
    if shallow:
        yield Criterion(3, "drilled", what, None, "this clone lacks a part of history: git fetch --unshallow")
        return
    found = [(when, seat) for seat in seats for when in _returns(moments.get(seat, ()))]
    last = max(found, default=None, key=lambda one: one[0])
    recent = last is not None and now - last[0] <= DRILLED
    said = f"last on {last[0]:%Y-%m-%d} in {last[1].environment}" if last is not None else "never"
    place = next((seat for seat in seats if _has_earlier(moments.get(seat, ()))), None)
    how = "nothing runs with a release before it to go back to: promote a second one to the first environment"
    if place is not None:
        how = f"modelops rollback {place.model} --environment {place.environment} --reason drill"
    yield Criterion(3, "drilled", what, recent, said, how)


def _has_earlier(moments: Moments) -> bool:
    """Tell whether another release was stable before the one that is now."""
    stables = [arms["stable"] for _, arms in moments if "stable" in arms]
    return bool(moments) and "stable" in moments[0][1] and len(set(stables)) > 1


def _returns(moments: Moments) -> Iterator[datetime]:
    """Yield when a seat went back: to a release that was stable before, or from a candidate that never became it."""
    line = list(reversed(moments))
    before: set[int] = set()
    for (_, old), (version, new) in pairwise(line):
        before |= {old["stable"]} if "stable" in old else set()
        stable, candidate = new.get("stable"), old.get("candidate")
        back = stable is not None and stable != old.get("stable") and stable in before
        gone = candidate is not None and candidate not in new.values()
        if back or gone:
            yield version.time


def _kept_good(
    repository: Repository, tip: str, entry: ModelEntry, stable: int | None, there: list[audit.ModelThere]
) -> Iterator[Criterion]:
    monitor = entry.monitor.spec if entry.monitor is not None else None
    path = MONITOR.path(entry.name)
    watched = monitor is not None and monitor.performance is not None
    said = f"there is no {path}" if monitor is None else "drift and performance" if watched else "drift, no performance"
    how = f"say `performance` in {path} (docs/how-to/watch-for-drift-and-retrain.md)"
    yield Criterion(4, "watched", "Drift and performance are watched", watched, said, how)
    due = monitor is not None and monitor.retraining is not None
    said = "the monitor opens the pull request" if due else "nothing opens a retraining"
    yield Criterion(4, "retrains", "What is watched begins a retraining", due, said, f"say `retraining` in {path}")
    merged = _retrained(repository, tip, entry.name)
    said = f"last merged in {merged[:10]}" if merged is not None else "none was merged yet"
    how = "modelops monitor ENVIRONMENT opens one when it is due"
    yield Criterion(4, "retrained", "A retraining went through the gates into main", merged is not None, said, how)
    release = entry.releases[stable].spec if stable is not None and stable in entry.releases else None
    used = [*release.waivers, *(one.waiver for one in release.verdicts if one.waiver)] if release is not None else []
    said = (
        f"{len(used)} exceptions, such as {used[0].name}" if used else "none" if release is not None else "nothing runs"
    )
    how = "meet the gate, release anew, and let the waiver expire"
    what = "What runs needed no exception from a gate or rule"
    yield Criterion(4, "no-exceptions", what, release is not None and not used, said, how)
    promotions = [arm.promotion for one in there for arm in one.arms.values() if arm.promotion is not None]
    outcomes = [o for one in promotions for o in one.outcomes if o.get("outcome") == "succeeded" and o.get("checks")]
    said = (
        f"{len(outcomes)} good ends of trials are signed with their numbers"
        if outcomes
        else "no trial on traffic ended"
    )
    how = f"modelops promote {entry.name} --to ENVIRONMENT, and let its rollout end"
    yield Criterion(4, "measured", "What runs was measured on traffic, and that is signed", bool(outcomes), said, how)


def _retrained(repository: Repository, tip: str, model: str) -> str | None:
    """Return the newest merge of a retraining's branch that touched the model, by its subject."""
    marks = (f"modelops/retrain/{slug(model)}/",)
    line = repository.line(tip, MODELS)
    versions = [one for path in line.files if path == MODEL.path(model) for one in line.versions(path)]
    return next((one.commit for one in versions if any(mark in one.subject for mark in marks)), None)
