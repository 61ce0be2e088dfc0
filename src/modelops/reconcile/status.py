"""Status: how every environment and model stands, observed now."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modelops import training
from modelops.reconcile.loop import Seen, conditions_of, look, read_conditions
from modelops.reconcile.observe import observe_target
from modelops.reconcile.workspace import Workspace, model_entry


def _conditions(workspace: Workspace, name: str, seen: Seen) -> list[dict[str, Any]]:
    """Return how every model stands now; what stalled the last reconciliation stands while it still has to be done."""
    written = {row["model"]: row for row in read_conditions(workspace.site(name))}
    rows = []
    for condition in conditions_of(workspace, seen):
        now = asdict(condition)
        last = written.get(condition.model, {})
        stalled = last.get("type") == "Stalled" and last.get("revision") == seen.tip
        rows.append(last if stalled and condition.reason == "pending" else now)
    return rows


def status_of_environments(workspace: Workspace) -> list[dict[str, Any]]:
    """Return, per environment, what runs, whether it is in sync, and the conditions."""
    _, graph = workspace.desired()
    rows = []
    for name in sorted(
        graph.environments,
        key=lambda key: (graph.environments[key].spec.order is None, graph.environments[key].spec.order, key),
    ):
        observed = observe_target(graph, name, workspace.site(name))
        seen = look(workspace, name, {})
        rows.append(
            {
                "environment": name,
                "running": observed.running,
                "url": observed.url,
                "message": observed.message,
                "synced": not seen.plan.actions and not seen.plan.refused,
                "arms": [asdict(arm) for arm in observed.arms],
                "conditions": _conditions(workspace, name, seen),
            }
        )
    return rows


def environments_text(rows: list[dict[str, Any]]) -> str:
    """Return the environments for people."""
    lines = []
    for row in rows:
        where = row["url"] if row["running"] else "not running"
        lines.append(f"{row['environment']}: {'in sync' if row['synced'] else 'out of sync'}, {where}")
        lines += [f"  {c['model']}: {c['type']} ({c['reason']}): {c['message']}" for c in row["conditions"]]
    return "\n".join(lines) or "no environments"


def status_of_model(workspace: Workspace, model: str, limit: int) -> dict[str, Any]:
    """Return a model's environments, releases and newest runs."""
    _, graph = workspace.desired()
    entry = model_entry(graph, model)
    runs = training.runs(workspace.ledger, model)
    return {
        "model": model,
        "environments": [
            {
                "environment": name,
                "stable": d.spec.stable,
                "candidate": d.spec.candidate,
                "challengers": list(d.spec.challengers),
                "paused": d.spec.paused,
            }
            for name, d in sorted(entry.deployments.items())
        ],
        "releases": [
            {
                "release": number,
                "artifact": r.spec.artifact.digest,
                "snapshot": r.spec.data.snapshot,
                "metrics": {m.name: m.value for m in r.spec.metrics},
            }
            for number, r in sorted(entry.releases.items())
        ],
        "runs": [asdict(run) for run in list(runs)[-limit:]],
    }


def model_text(found: dict[str, Any]) -> str:
    """Return a model's status for people."""
    lines = [found["model"]]
    for row in found["environments"]:
        more = f", challengers {', '.join(map(str, row['challengers']))}" if row["challengers"] else ""
        more += ", paused" if row["paused"] else ""
        lines.append(
            f"  {row['environment']}: stable {row['stable'] or '-'}, candidate {row['candidate'] or '-'}{more}"
        )
    for row in found["releases"]:
        metrics = ", ".join(f"{name} {value:.4g}" for name, value in list(row["metrics"].items())[:4])
        lines.append(f"  release {row['release']}: {row['snapshot']}, {metrics}")
    for run in found["runs"]:
        measured = list((run.get("metrics") or {}).items())[:4]
        text = ", ".join(f"{name} {value:.4g}" for name, value in measured)
        lines.append(
            f"  run {run['started']} {run['outcome']} in {run['seconds']:.1f} s: {text or run['message'] or ''}"
        )
    return "\n".join(lines)
