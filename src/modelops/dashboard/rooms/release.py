"""A release: what changed since the stable one and what that did, every finding of its gates, and how to prove it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from modelops import audit
from modelops.dashboard.answers import grouped, importance, pictures
from modelops.dashboard.look import Look, asked
from modelops.dashboard.pictures import Interval, bars, intervals
from modelops.dashboard.rooms import Room
from modelops.dashboard.rooms.model import ReleaseRow, release_rows
from modelops.errors import ModelOpsError
from modelops.releases.details import Block, blocks
from modelops.releases.markdown import rows_counted, weight_sentence, weighted_otherwise
from modelops.spec.kinds.model import Task
from modelops.spec.kinds.release import MetricValue, ReleaseSpec, VerdictRecord
from modelops.spec.layout import ReleaseFiles
from modelops.spec.tree import ModelEntry
from modelops.training.answers import curves_of_release
from modelops.views.reports.built import carried, tables_of
from modelops.views.reports.groups import compared

__all__ = ["release"]


@dataclass(frozen=True, slots=True)
class Compared:
    """One metric beside that of the release before: by how much it is another, and a picture of both intervals."""

    metric: MetricValue
    before: MetricValue | None
    baseline: float | None
    picture: Markup

    @property
    def rows(self) -> str:
        """How many rows it was measured on, and of weighted ones how many they are worth."""
        return rows_counted(self.metric.n, self.metric.effective)

    @property
    def apart(self) -> bool:
        """Whether the two intervals have no value in common."""
        one, other = self.metric, self.before
        return other is not None and (one.lower > other.upper or one.upper < other.lower)


@dataclass(frozen=True, slots=True)
class Gate:
    """What a gate found, the numbers behind it, and its groups as pictures where it judged groups."""

    verdict: VerdictRecord
    blocks: Sequence[Block]
    pictures: Sequence[tuple[str, Markup]]


def release(look: Look, name: str, number: int) -> Room | None:
    """Return the page of a release that the branch has."""
    entry = look.graph.models.get(name)
    if entry is None or number not in entry.releases:
        return None
    workspace = look.workspace
    answer = audit.release(workspace.repository, name, number, branch=workspace.branch, asked=asked(workspace))
    spec: ReleaseSpec = entry.releases[number].spec
    before = _before(entry, spec)
    # What a store has is not what a commit says: pages of git alone are the same wherever they are made.
    curves = curves_of_release(workspace.store, spec) if look.observed else "these pages are of git alone"
    row = next((one for one in release_rows(look, entry) if one.number == number), None)
    return Room(
        "release.html",
        f"{name} release {number}",
        {
            "name": name,
            "number": number,
            "spec": spec,
            "task": entry.model.spec.task,
            "classes": _classes(entry, spec),
            "answer": answer,
            "before": before,
            "changed": _changed(look, entry, spec, before),
            "weighted": _weighted(spec, before),
            "metrics": [_compared(one, spec, before) for one in spec.metrics],
            "gates": [_gate(one, answer.details, entry.model.spec.task) for one in _in_order(spec.verdicts)],
            "scores": _scores(spec),
            "drawn": () if isinstance(curves, str) else tuple(pictures(curves)),
            "undrawn": curves if isinstance(curves, str) else "",
            "numbers_of": () if isinstance(curves, str) else tuple(tables_of(curves)),
            "carries": tuple(importance(spec.importance)),
            "carried": carried(spec.importance) if spec.importance is not None else (),
            "card": _card(look, name, number),
            "row": row or ReleaseRow(number, None, spec, ()),
            "files": ReleaseFiles(name, str(number)),
            "numbers": sorted(entry.releases),
        },
    )


def _before(entry: ModelEntry, spec: ReleaseSpec) -> ReleaseSpec | None:
    """Return what a release is held against: the champion of its gates, else the release before it."""
    earlier = [number for number in entry.releases if number < spec.version]
    number = spec.champion if spec.champion in entry.releases else max(earlier, default=None)
    return entry.releases[number].spec if number is not None else None


def _changed(
    look: Look, entry: ModelEntry, spec: ReleaseSpec, before: ReleaseSpec | None
) -> list[tuple[str, str, str]]:
    """Return what is another than before, as (what, before, now); what is the same is not in it."""
    if before is None:
        return []
    found = [
        (
            "data",
            f"{before.data.snapshot}, {before.data.rows:,} rows",
            f"{spec.data.snapshot}, {spec.data.rows:,} rows",
        ),
        ("code", before.code.tree[:12], spec.code.tree[:12]),
        ("environment lock", before.environment_lock[7:19], spec.environment_lock[7:19]),
        ("served by", before.artifact.engine, spec.artifact.engine),
        ("artifact size", f"{before.artifact.size:,} bytes", f"{spec.artifact.size:,} bytes"),
    ]
    if before.data.root != spec.data.root and found[0][1] == found[0][2]:
        found[0] = ("data", before.data.root[7:19], spec.data.root[7:19])
    for kind, old, new in (("parameter", before.parameters, spec.parameters), ("seed", before.seeds, spec.seeds)):
        for key in dict.fromkeys([*old, *new]):
            found.append((f"{kind} {key}", _word(old.get(key)), _word(new.get(key))))
    return [one for one in found if one[1] != one[2]]


def _word(value: object) -> str:
    return "not set" if value is None else str(value)


def _compared(metric: MetricValue, spec: ReleaseSpec, before: ReleaseSpec | None) -> Compared:
    old = next((one for one in before.metrics if one.name == metric.name), None) if before is not None else None
    rows = [Interval(f"release {spec.version}", metric.value, metric.lower, metric.upper)]
    if old is not None and before is not None:
        rows.append(Interval(f"release {before.version}", old.value, old.lower, old.upper, "stable"))
    known = spec.baseline.metrics.get(metric.name) if spec.baseline is not None else None
    return Compared(metric, old, known, intervals(metric.name, rows))


def _weighted(spec: ReleaseSpec, before: ReleaseSpec | None) -> list[str]:
    """Say what rows count for, of the release and of the one beside it."""
    told = [weight_sentence(spec.weight)] if spec.weight is not None else []
    apart = weighted_otherwise(before.version, before.weight, spec.weight) if before is not None else ""
    return [*told, *([apart] if apart else [])]


def _in_order(verdicts: Sequence[VerdictRecord]) -> list[VerdictRecord]:
    order = ("fail", "no-data", "inconclusive", "pass")
    return sorted(verdicts, key=lambda one: order.index(one.verdict))


def _gate(verdict: VerdictRecord, details: Mapping[str, Mapping[str, Any]], task: Task) -> Gate:
    found = details.get(f"{verdict.policy}/{verdict.gate}", {})
    return Gate(verdict, blocks(found, 200), tuple(grouped(verdict.gate, compared(found, task))))


def _scores(spec: ReleaseSpec) -> Markup | None:
    """Return how often which score was given to the test rows, where the release has that profile."""
    profile = spec.score_profile
    if profile is None or profile.kind != "number" or profile.minimum is None or profile.maximum is None:
        return None
    edges = [profile.minimum, *profile.edges, profile.maximum]
    if len(edges) != len(profile.counts) + 1:
        return None
    return bars("Scores of the test rows", edges, profile.counts)


def _classes(entry: ModelEntry, spec: ReleaseSpec) -> list[str]:
    """Return the classes of the confusion table where what is known of the model says them in its order."""
    if spec.confusion is None:
        return []
    many = len(spec.confusion.counts)
    data = entry.model.spec.data
    snapshot = entry.snapshots.get(spec.data.snapshot)
    labels = sorted(snapshot.spec.balance) if snapshot is not None else []
    if many == 2 and len(labels) == 2:
        positive = str(data.positive)
        named = [one for one in labels if one.casefold() == positive.casefold()]
        return [*(one for one in labels if one not in named), *named] if len(named) == 1 else []
    return labels if len(labels) == many else []


def _card(look: Look, name: str, number: int) -> str | None:
    try:
        data = look.workspace.repository.read(look.tip, ReleaseFiles(name, str(number)).card)
    except ModelOpsError:
        return None
    return data.decode("utf-8", "replace")
