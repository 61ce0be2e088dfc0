"""What a change proposes: the plan and the judged builds of the models it touches, as a reviewer sees them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from modelops.changes import building
from modelops.changes.building import Judged
from modelops.errors import ModelOpsError, Problem
from modelops.governance.waivers import require_sound
from modelops.project.former import broken_rules
from modelops.project.workspace import Workspace, model_entry
from modelops.spec.graph import Graph
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec


@dataclass(frozen=True)
class Built:
    """A judged build, the commit it is of, and the snapshot of the champion that it was compared with."""

    judged: Judged
    commit: str
    champion_snapshot: DataSnapshotSpec | None


def proposed(workspace: Workspace, since: str | None, *, dirty: bool, head: str | None = None) -> str | None:
    """Return the revision that a change is looked at in: what merging it makes; None is the work tree.

    The change is the commit that is checked out, unless ``head`` is another one.
    """
    if dirty:
        return None
    head = head or workspace.repository.head()
    return head if since is None else workspace.repository.merged(since, head)


def selected(
    workspace: Workspace, graph: Graph, models: Sequence[str], since: str | None, revision: str | None
) -> tuple[str, ...]:
    """Return the models that a command is about: the named ones, those that changed, or all."""
    for name in models:
        model_entry(graph, name)
    if models:
        return tuple(models)
    if since is not None:
        return building.changed_models(workspace, graph, since, revision or workspace.repository.head())
    return tuple(sorted({*graph.models, *graph.stalled_models}))


def build_change(
    workspace: Workspace, names: Sequence[str], *, since: str | None, dirty: bool, say: Callable[[str], None],
    head: str | None = None,
) -> tuple[Built, ...]:  # fmt: skip
    """Build and judge models; they are judged by the policies of their change's base when ``since`` names one."""
    revision = proposed(workspace, since, dirty=dirty, head=head)
    graph = workspace.graph(revision)
    policies = graph
    if since is not None:
        base = workspace.graph(workspace.repository.resolve(since))
        policies = base if base.gate_policies else graph
    built = []
    for name in names:
        require_sound(workspace, graph, revision or workspace.repository.head(), name)
        say(f"building {name}")
        judged = building.judged_build(workspace, graph, name, revision, policies, merged=since is None)
        if judged.refused is not None:
            say(f"{name} was built anew{building.told(judged.refused)}")
        champion = judged.champion.spec if judged.champion is not None else None
        entry = model_entry(graph, name)
        before = entry.snapshots.get(champion.data.snapshot) if champion is not None else None
        built.append(Built(judged, head or workspace.repository.head(), before.spec if before is not None else None))
    return tuple(built)


def refuse_own_errors(workspace: Workspace, graph: Graph, since: str | None, revision: str | None) -> None:
    """Refuse a change whose own files are wrong; those of others stall others."""
    if since is None:
        return
    repository = workspace.repository
    changed = set(repository.changed_paths(since, repository.merged(since, revision or repository.head())))
    wrong = [problem for path, problems in graph.stalled.items() if path in changed for problem in problems]
    wrong += _broken(workspace, since, revision, changed)
    if wrong:
        raise ModelOpsError(*wrong)


def _broken(workspace: Workspace, since: str, revision: str | None, changed: set[str]) -> list[Problem]:
    """Return what a change breaks of the rules that were there before it."""
    repository = workspace.repository

    def read(paths: Collection[str]) -> dict[str, bytes]:
        if revision is None:
            return {path: data for path, data in repository.work_tree_files().items() if path in paths}
        return repository.read_many(revision, sorted(paths & repository.paths(revision).keys()))

    broken = broken_rules(repository, repository.resolve(since), changed, read)
    return [problem for severity, problem in broken if severity == "error"]
