"""Data sources: what lies below one, and how today's data of some stand to what they promise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from modelops.clock import format_instant
from modelops.data.upstream.contracts import Checked
from modelops.markup import plain
from modelops.monitoring.upstream.impact import Affected, Impact, Placed


def impact_text(found: Impact) -> str:
    """Return whose a source is and, model by model, what lies below it and when it would be noticed."""
    spec = found.spec
    lines = [f"{found.name}: {spec.description}", f"owner: {spec.owner}; reach them: {spec.contact}"]
    lines += [f"sources made from it: {', '.join(found.below)}"] if found.below else []
    for one in found.models:
        lines += ["", *_model(one)]
    if not found.models:
        lines.append("no model has a feature, a label or a snapshot from it")
    return "\n".join(map(_line, lines))


def _line(text: str) -> str:
    """Return a line for a terminal that keeps how far it stands in."""
    rest = text.lstrip(" ")
    return " " * (len(text) - len(rest)) + plain(rest)


def _model(one: Affected) -> Iterator[str]:
    yield f"{one.model} (owner {one.owner})"
    if one.features:
        yield f"  features: {', '.join(name for name, _ in one.features)}"
    if one.labels is not None:
        yield f"  labels, through {one.labels}"
    if one.snapshots:
        yield f"  snapshots: {', '.join(one.snapshots)}"
    if one.built:
        yield f"  before training: {one.built}"
    for placed in one.environments:
        arms = ", ".join(f"{arm} is release {number}" for arm, number in placed.releases) or "nothing answers"
        yield f"  {placed.environment}: {arms}"
        yield from (f"    noticed {said}" if said[:2] == "at" else f"    noticed: {said}" for said in placed.noticed)


def impact_data(found: Impact) -> dict[str, Any]:
    """Return what lies below a source."""
    return {
        "source": found.name,
        "owner": found.spec.owner,
        "contact": found.spec.contact,
        "below": list(found.below),
        "models": [
            {
                "model": one.model,
                "owner": one.owner,
                "features": [{"name": name, "source": source} for name, source in one.features],
                "labels": one.labels,
                "snapshots": list(one.snapshots),
                "beforeTraining": one.built or None,
                "environments": [_placed(placed) for placed in one.environments],
            }
            for one in found.models
        ],
    }


def _placed(placed: Placed) -> dict[str, Any]:
    return {
        "environment": placed.environment,
        "releases": dict(placed.releases),
        "noticed": list(placed.noticed),
    }


def checks_text(found: Sequence[Checked]) -> str:
    """Return a line for each source that is as it promises, and for each breach of another whom to ask."""
    lines = []
    for one in found:
        newest = f", the newest of {format_instant(one.newest)}" if one.newest is not None else ""
        looked = f"{one.rows:,} rows{newest}, {one.columns} promised columns"
        if one.kept:
            lines.append(f"{one.name}: as promised ({looked})")
            continue
        lines.append(f"{one.name}: NOT as promised ({looked}); ask {one.owner}: {one.contact}")
        lines += [f"  {said}" for said in one.breaches]
    return "\n".join(map(_line, lines)) or "no data source says how it is read"


def checks_data(found: Sequence[Checked]) -> list[dict[str, Any]]:
    """Return how some sources stand to what they promise."""
    return [
        {
            "source": one.name,
            "owner": one.owner,
            "contact": one.contact,
            "rows": one.rows,
            "newest": None if one.newest is None else format_instant(one.newest),
            "kept": one.kept,
            "breaches": list(one.breaches),
        }
        for one in found
    ]
