"""What a change proposes: the plan and the judged builds of the models it touches, as a reviewer sees them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from modelops.errors import Location, ModelOpsError
from modelops.reconcile import building
from modelops.reconcile.actions import Blocked, Entry, RecordPromotion, Role, Wait
from modelops.reconcile.building import Judged
from modelops.reconcile.history import arms_of, deployment_path
from modelops.reconcile.plan import Plan
from modelops.reconcile.promotion import refusals
from modelops.reconcile.workspace import Workspace, model_entry
from modelops.releases.report import report
from modelops.spec.graph import Graph
from modelops.spec.rollouts import PLAN_CODES


@dataclass(frozen=True)
class Built:
    """A judged build with its report."""

    judged: Judged
    markdown: str

    def to_dict(self) -> dict[str, object]:
        """Return the build as plain data."""
        judged = self.judged
        return {
            "model": judged.model.name,
            "passed": judged.passed,
            "inputs": judged.record.inputs,
            "artifact": judged.record.artifact.digest,
            "metrics": [metric.model_dump(by_alias=True) for metric in judged.record.metrics],
            "verdicts": [verdict.model_dump(by_alias=True) for verdict in judged.verdicts],
        }


def build_text(built: Sequence[Built]) -> str:
    """Return builds for people."""
    lines = []
    for found in built:
        judged = found.judged
        lines.append(f"{judged.model.name}: {'passed' if judged.passed else 'NOT passed'}")
        lines += [
            f"  {m.name} {m.value:.4g} [{m.lower:.4g}, {m.upper:.4g}] at {m.level:.0%}, n={m.n}"
            for m in judged.record.metrics
        ]
        lines += [f"  {v.verdict:12} {v.policy}/{v.gate}: {v.reason}" for v in judged.verdicts]
    return "\n".join(lines) or "nothing to build: every model has a release for its inputs"


def _selected(
    workspace: Workspace, graph: Graph, models: Sequence[str], since: str | None, revision: str | None
) -> tuple[str, ...]:
    for name in models:
        model_entry(graph, name)
    if models:
        return tuple(models)
    if since is not None:
        return building.changed_models(workspace, graph, since, revision or workspace.repository.head())
    return tuple(sorted(graph.models))


def build_change(
    workspace: Workspace, models: Sequence[str], *, since: str | None, dirty: bool, say: Callable[[str], None]
) -> tuple[Built, ...]:
    """Build and judge the models of a change; judged by the policies of its base when ``since`` names one."""
    revision = None if dirty else workspace.repository.head()
    graph = workspace.graph(revision)
    names = _selected(workspace, graph, models, since, revision)
    if not models:
        planned = building.plan_models(workspace, graph, revision, names)
        names = tuple(
            dict.fromkeys(entry.model for entry in planned if not isinstance(entry, Wait) and hasattr(entry, "model"))
        )
    policies = graph
    if since is not None:
        base = workspace.graph(workspace.repository.merge_base(since, workspace.repository.head()))
        policies = base if base.gate_policies else graph
    built = []
    for name in names:
        say(f"building {name}")
        judged = building.judged_build(workspace, graph, name, revision, policies, merged=since is None)
        champion = judged.champion.spec if judged.champion is not None else None
        entry = model_entry(graph, name)
        before = entry.snapshots.get(champion.data.snapshot) if champion is not None else None
        body = report(
            judged.record,
            judged.verdicts,
            model=judged.model,
            snapshot=judged.snapshot,
            commit=revision or workspace.repository.head(),
            champion=champion,
            champion_snapshot=before.spec if before is not None else None,
        )
        built.append(Built(judged, body))
    return tuple(built)


def plan_change(workspace: Workspace, *, since: str | None, dirty: bool) -> Plan:
    """Return what a commit, or the work tree, would lead to once merged; a plan that cannot work is an error."""
    revision = None if dirty else workspace.repository.head()
    graph = workspace.graph(revision)
    names = _selected(workspace, graph, (), since, revision)
    files = {path for name in names for path in _rollout_files(graph, name)}
    wrong = [one for one in graph.refused if one.code in PLAN_CODES and one.location and one.location.path in files]
    if wrong:
        raise ModelOpsError(*wrong)
    entries: list[Entry] = list(building.plan_models(workspace, graph, revision, names))
    if since is not None:
        entries += _deployments(workspace, graph, since)
    return Plan("the models of this change", tuple(entries))


def _rollout_files(graph: Graph, model: str) -> list[str]:
    deployments = model_entry(graph, model).deployments
    return [f"models/{model}/rollout.yaml", *(deployment_path(model, name) for name in deployments)]


def _deployments(workspace: Workspace, graph: Graph, since: str) -> list[Entry]:
    """Return what changed environment files ask for, and why it would be refused."""
    repository = workspace.repository
    head = repository.head()
    base_commit = repository.merge_base(since, head)
    base = workspace.graph(base_commit)
    changed = set(repository.changed_paths(base_commit, head))
    entries: list[Entry] = []
    for model, entry in sorted(graph.models.items()):
        for name, resource in sorted(entry.deployments.items()):
            if deployment_path(model, name) not in changed:
                continue
            before = base.models[model].deployments.get(name) if model in base.models else None
            known = arms_of(before.spec) if before is not None else {}
            for role, number in arms_of(resource.spec).items():
                if known.get(role) == number:
                    continue
                where = resource.where("spec.challengers" if role.startswith("challenger") else f"spec.{role}")
                refused = refusals(workspace, graph, head, model, name, number, role)
                entries += [Blocked(model, name, r.code, r.reason, r.hint, where) for r in refused]
                if not refused:
                    entries.append(_asked(model, name, number, role, head, where))
    return entries


def _asked(model: str, name: str, number: int, role: Role, head: str, where: Location) -> Entry:
    return RecordPromotion(model, name, number, role, head, where)
