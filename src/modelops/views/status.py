"""How every environment stands, and what there is of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from modelops.clock import format_instant
from modelops.governance.judging.course import Violation
from modelops.markup import plain
from modelops.reconcile.actions import to_dict
from modelops.reconcile.status import EnvironmentStatus, ModelStatus, Tombstone
from modelops.views import telling
from modelops.views.proofs import waivers
from modelops.views.proofs.branch import open_lines, row
from modelops.views.reports import incidents

_METRICS = 4
_VIOLATIONS = 20


def text(environments: Sequence[EnvironmentStatus], violations: Sequence[Violation] = ()) -> str:
    """Return environments, each with what is wrong and how its models stand, and what of the branch nobody approved."""
    lines = []
    for one in environments:
        where = one.url if one.running else "not running"
        state = f"{'in sync' if one.synced else 'out of sync'}, {where}"
        lines.append(f"{one.environment}: {plain(one.message if one.synced is None else state)}")
        for each in one.rendered or ():
            arms = ", ".join(f"{arm} release {release}" for arm, release in each.arms.items())
            lines.append(f"  {each.seat.model}: {arms}")
        lines += [f"  {plain(problem)}" for problem in one.problems]
        lines += [f"  {c.model}: {c.type} ({c.reason}): {plain(c.message)}" for c in one.conditions]
        lines += [f"  waiver {plain(waivers.line(each))}" for each in one.waivers]
        lines += [f"  {model}: {line}" for model, kept in one.triage.items() for line in incidents.brief(kept)]
        lines += [f"  {line}" for line in (telling.lines(one.telling) if one.telling is not None else ())]
        lines += [f"  {plain(_tombstone(each))}" for each in one.retired]
    return "\n".join([*(lines or ["no environments"]), *open_lines(violations)])


def _tombstone(stone: Tombstone) -> str:
    """Return what is to be known of a model that is gone: since when, what it ran, and where its past is."""
    past = stone.past
    what = f"renamed to {stone.successor}" if stone.successor else "retired"
    arms = ", ".join(f"{arm} release {release}" for arm, release in stone.arms.items())
    ran = f", ran {arms} until then" if arms else ""
    day = past.time.strftime("%Y-%m-%d")
    line = f"{past.model}: {what} on {day} in {past.commit[:10]} ({past.subject}){ran}"
    return f"{line}; its past: modelops audit release {past.model} N" if stone.releases else line


def _tombstone_data(stone: Tombstone) -> dict[str, Any]:
    past = stone.past
    return {
        "model": past.model,
        "commit": past.commit,
        "time": format_instant(past.time),
        "subject": past.subject,
        "last": past.last,
        "arms": dict(stone.arms),
        "releases": list(stone.releases),
        "successor": stone.successor,
    }


def data(environments: Sequence[EnvironmentStatus], violations: Sequence[Violation] = ()) -> list[dict[str, Any]]:
    """Return environments; what is only rendered says what. Each tells of the first open violations of the branch."""
    told = {"violations": [row(one) for one in violations[:_VIOLATIONS]], "violationsOpen": len(violations)}
    return [_environment(one) | told for one in environments]


def _environment(one: EnvironmentStatus) -> dict[str, Any]:
    found: dict[str, Any] = {
        "environment": one.environment,
        "target": one.target,
        "running": one.running,
        "url": one.url,
        "message": one.message,
        "synced": one.synced,
        "arms": [asdict(arm) for arm in one.arms],
        "conditions": [asdict(condition) for condition in one.conditions],
        "problems": list(one.problems),
        "waivers": [waivers.row(each) for each in one.waivers],
        "retired": [_tombstone_data(each) for each in one.retired],
        "alerts": telling.data(one.telling),
        "monitored": [{"model": model, "at": kept.at, **incidents.data(kept)} for model, kept in one.triage.items()],
    }
    return found if one.rendered is None else found | {"rendered": [to_dict(entry) for entry in one.rendered]}


def model_text(found: ModelStatus) -> str:
    """Return a model's environments, releases and newest runs."""
    lines = [found.model, *(f"  {plain(problem)}" for problem in found.problems)]
    lines += [f"  {plain(_tombstone(found.retired))}"] if found.retired is not None else []
    for seat in found.seats:
        more = f", challengers {', '.join(map(str, seat.challengers))}" if seat.challengers else ""
        more += ", paused" if seat.paused else ""
        lines.append(f"  {seat.environment}: stable {seat.stable or '-'}, candidate {seat.candidate or '-'}{more}")
    lines += [f"  waiver {plain(waivers.line(each))}" for each in found.waivers]
    for release in found.releases:
        weighted = f", weighted by {plain(release.weight)}" if release.weight is not None else ""
        lines.append(f"  release {release.release}: {plain(release.snapshot)}, {_metrics(release.metrics)}{weighted}")
    for run in found.runs:
        said = _metrics(run.metrics or {}) or plain(run.message or "")
        lines.append(f"  run {run.started} {run.outcome} in {run.seconds:.1f} s: {said}")
    return "\n".join(lines)


def _metrics(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{plain(name)} {value:.4g}" for name, value in list(metrics.items())[:_METRICS])


def model_data(found: ModelStatus) -> dict[str, Any]:
    """Return a model's environments, releases and newest runs."""
    return {
        "model": found.model,
        "environments": [asdict(seat) | {"challengers": list(seat.challengers)} for seat in found.seats],
        "releases": [asdict(release) for release in found.releases],
        "runs": [asdict(run) for run in found.runs],
        "problems": list(found.problems),
        "waivers": [waivers.row(each) for each in found.waivers],
        "retired": _tombstone_data(found.retired) if found.retired is not None else None,
    }
