"""What a change of models would lead to once it is merged: builds, releases, and what its deployments ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from modelops import training
from modelops.changes.building import changed_models, making_of_release, release_with, request
from modelops.changes.proposal import proposed, refuse_own_errors, selected
from modelops.errors import Location, ModelOpsError
from modelops.forges import PullRequest
from modelops.governance.history import arms_of
from modelops.governance.judged import known
from modelops.governance.promotions import refusals, waiver_refusals
from modelops.governance.results import base_of, result_of
from modelops.governance.waivers import Standing, standings, troubles
from modelops.metrics.aims import Aim, aims_of
from modelops.monitoring.feedback.declared import Declared, declared_labels
from modelops.project.retired import arms_at, numbers_at, successor
from modelops.project.standing import exit_of
from modelops.project.workspace import Workspace, model_entry
from modelops.reconcile.actions import (
    Blocked,
    Build,
    Entry,
    RecordPromotion,
    Release,
    Removal,
    Retire,
    Stop,
    describe,
    model_of,
    stalled,
)
from modelops.reconcile.plan import Plan
from modelops.repository import Repository
from modelops.rollouts.forecasts import Planned, forecasts, on_trial_in
from modelops.spec.graph import Graph
from modelops.spec.layout import MODEL, MODELS, ROLLOUT, Seat
from modelops.spec.rollouts import PLAN_CODES


def plan_models(workspace: Workspace, graph: Graph, revision: str | None, names: Iterable[str]) -> tuple[Entry, ...]:
    """Return what models without a release for their present inputs would go through."""
    entries: list[Entry] = []
    automatic = tuple(
        sorted(found.name for found in graph.environments.values() if found.spec.promotion == "automatic")
    )
    for name in sorted(names):
        wrong = troubles(workspace, graph, revision or workspace.repository.head(), name)
        if wrong:
            entries += [stalled(Seat(name, ""), one, exit=exit_of([one])) for one in wrong]
            continue
        entry = model_entry(graph, name)
        wanted = request(workspace, graph, name, revision)
        inputs = training.inputs_digest(wanted)
        if release_with(graph, name, inputs) is not None:
            continue
        reason = _reason(workspace, graph, wanted, revision)
        if workspace.store.resolve(training.reference(inputs)) is not None:
            reason += "; the build is in the store already"
        if (weight := entry.model.spec.data.weight) is not None:
            reason += f"; its metrics are weighted by {weight}"
        where = Location(entry.model.path)
        environments = tuple(environment for environment in automatic if environment in entry.deployments)
        entries += [Build(name, inputs, reason, where), Release(name, inputs, environments, where)]
    return tuple(entries)


def _reason(workspace: Workspace, graph: Graph, wanted: training.BuildRequest, revision: str | None) -> str:
    """Return why a model has to be built, with the inputs that differ from those of its newest release by name."""
    releases = model_entry(graph, wanted.model.name).releases
    newest = max(releases, default=None)
    if newest is None:
        return "it has no release yet"
    release = releases[newest]
    making = making_of_release(workspace, graph, revision or workspace.repository.head(), release)
    which = ", ".join(training.differing_inputs(release.spec, making, wanted))
    return f"its inputs differ from those of release {newest}" + (f": {which}" if which else "")


def to_build(
    workspace: Workspace, models: Sequence[str], *, since: str | None, dirty: bool, say: Callable[[str], None],
    head: str | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """Return the models that a change has built: the named ones, else those without a release for their inputs."""
    revision = proposed(workspace, since, dirty=dirty, head=head)
    graph = workspace.graph(revision)
    refuse_own_errors(workspace, graph, since, revision)
    names = selected(workspace, graph, models, since, revision)
    if models:
        return names
    planned = plan_models(workspace, graph, revision, names)
    for blocked in (one for one in planned if isinstance(one, Blocked)):
        say(describe(blocked))
    return tuple(dict.fromkeys(entry.model for entry in planned if isinstance(entry, Build)))


def plan_change(workspace: Workspace, *, since: str | None, dirty: bool) -> Plan:
    """Return what a commit, or the work tree, would lead to once merged; a plan that cannot work is an error."""
    revision = proposed(workspace, since, dirty=dirty)
    if revision is not None and revision == workspace.repository.find_tip(workspace.branch):
        known(workspace)
    graph = workspace.graph(revision)
    refuse_own_errors(workspace, graph, since, revision)
    names = selected(workspace, graph, (), since, revision)
    files = {path for name in names for path in _rollout_files(graph, name)}
    wrong = [one for one in graph.refused if one.code in PLAN_CODES and one.location and one.location.path in files]
    if wrong:
        raise ModelOpsError(*wrong)
    entries: list[Entry] = list(plan_models(workspace, graph, revision, names))
    if since is not None:
        base = workspace.repository.resolve(since)
        entries += removals(workspace.repository, base, revision or workspace.repository.head())
        entries += _deployments(workspace, graph, since)
    return Plan("the models of this change", tuple(entries))


def removals(repository: Repository, base: str, head: str) -> tuple[Removal, ...]:
    """Return what a change takes away: models that are gone, and environments in which one is answered no more.

    Read from git alone and without today's rules, so that it is said of files that are wrong, too.
    """
    paths = repository.paths(head, MODELS)
    found: list[Removal] = []
    before = arms_at(repository, base)
    after = arms_at(repository, head)
    for (model, name), arms in before.items():
        seat = Seat(model, name)
        if seat.deployment not in paths or (model, name) not in after:
            found.append(Stop(seat, arms, Location(seat.deployment)))
    for path in sorted(repository.paths(base, MODELS)):
        named = MODEL.parse(path)
        if named is not None and path not in paths:
            later = successor(repository, head, named[1])
            found.append(Retire(named[1], numbers_at(repository, base, named[1]), later, Location(path)))
    return tuple(found)


def removals_of(repository: Repository, pull: PullRequest) -> tuple[Removal, ...]:
    """Return what a pull request takes away, as merging it makes it; nothing of one that makes nothing."""
    base = base_of(repository, pull)
    commit = result_of(repository, pull, base).commit
    return removals(repository, base, commit) if commit is not None else ()


def _rollout_files(graph: Graph, model: str) -> list[str]:
    deployments = model_entry(graph, model).deployments
    return [ROLLOUT.path(model), *(Seat(model, name).deployment for name in deployments)]


def _deployments(workspace: Workspace, graph: Graph, since: str) -> list[Entry]:
    """Return what changed environment files ask for, and why it would be refused."""
    repository = workspace.repository
    head = repository.merged(since, repository.head())
    base = workspace.graph(repository.resolve(since))
    changed = set(repository.changed_paths(since, head))
    entries: list[Entry] = []
    for model, entry in sorted(graph.models.items()):
        for name, resource in sorted(entry.deployments.items()):
            seat = Seat(model, name)
            if seat.deployment not in changed:
                continue
            before = base.models[model].deployments.get(name) if model in base.models else None
            known = arms_of(before.spec) if before is not None else {}
            for role, number in arms_of(resource.spec).items():
                if known.get(role) == number:
                    continue
                where = resource.where("spec.challengers" if role.startswith("challenger") else f"spec.{role}")
                refused = refusals(workspace, graph, head, seat, number, role)
                if role != "stable":
                    refused += waiver_refusals(workspace, graph, head, seat, number, role)
                entries += [Blocked(seat, r.code, r.reason, r.hint, where) for r in refused]
                if not refused:
                    entries.append(RecordPromotion(seat, number, role, head, where))
    return entries


def forecasts_of_change(
    workspace: Workspace, entries: Iterable[Entry], *, since: str | None, dirty: bool
) -> tuple[Planned, ...]:
    """Return the forecasts of the models that a change touches, that its plan is about, or that have a candidate."""
    graph = workspace.graph(proposed(workspace, since, dirty=dirty))
    names = _touched(workspace, graph, entries, since)
    if since is None:
        names |= {name for environment in graph.environments for name in on_trial_in(graph, environment)}
    return forecasts(graph, names)


def labels_of_change(
    workspace: Workspace, entries: Iterable[Entry], *, since: str | None, dirty: bool
) -> tuple[Declared, ...]:
    """Return where the labels come from of the models that a change touches or that its plan is about, else of all."""
    graph = workspace.graph(proposed(workspace, since, dirty=dirty))
    return declared_labels(graph, graph.models if since is None else _touched(workspace, graph, entries, since))


def aims_of_change(
    workspace: Workspace, entries: Iterable[Entry], *, since: str | None, dirty: bool
) -> tuple[Aim, ...]:
    """Return what those models are for that a change touches or that its plan is about, else all."""
    graph = workspace.graph(proposed(workspace, since, dirty=dirty))
    names = graph.models if since is None else _touched(workspace, graph, entries, since)
    return aims_of(graph, names, workspace.clock())


def waivers_of_change(
    workspace: Workspace, entries: Iterable[Entry], *, since: str | None, dirty: bool
) -> tuple[Standing, ...]:
    """Return the waivers of the models that a change touches or that its plan is about, and those that it brings.

    Without a change that is named, all there are.
    """
    revision = proposed(workspace, since, dirty=dirty)
    head = revision or workspace.repository.head()
    graph = workspace.graph(revision)
    every = standings(workspace, graph, head)
    if since is None or not every:
        return every
    names = _touched(workspace, graph, entries, since)
    changed = workspace.repository.changed_paths(workspace.repository.resolve(since), head)
    return tuple(one for one in every if one.path in changed or not names.isdisjoint(one.spec.models))


def _touched(workspace: Workspace, graph: Graph, entries: Iterable[Entry], since: str | None) -> set[str]:
    """Return the models of a graph that a change touches, or that its plan is about."""
    names = {name for entry in entries if (name := model_of(entry)) is not None} & set(graph.models)
    if since is not None:
        head = proposed(workspace, since, dirty=False) or workspace.repository.head()
        names |= set(changed_models(workspace, graph, since, head)) & set(graph.models)
    return names
