"""A model: how it stands everywhere, its releases over time, the running rollout, what was watched, its lineage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from modelops.dashboard import links
from modelops.dashboard.look import Look
from modelops.dashboard.pictures import Node, Point, course, graph
from modelops.dashboard.rooms import Room
from modelops.dashboard.standing import Standing, last_window, row_of
from modelops.metrics.aims import aims_of, sentences
from modelops.reconcile.rollout_status import RolloutStatus, rollout_in
from modelops.spec.kinds.release import MetricValue, ReleaseSpec, VerdictRecord
from modelops.spec.layout import MODELS, RELEASE
from modelops.spec.tree import ModelEntry

__all__ = ["ReleaseRow", "model", "release_rows", "rollouts"]

_RELEASES = 50
_PICTURES = 4
_WINDOWS = 24
_LINEAGE = 4


@dataclass(frozen=True, slots=True)
class ReleaseRow:
    """One release of a list: since when, on which data, what it measured, what gates said, and where it runs."""

    number: int
    made: datetime | None
    spec: ReleaseSpec
    runs: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> str:
        """Whether it is stable or on trial anywhere now."""
        arms = {arm for _, arm in self.runs}
        return "stable" if "stable" in arms else "candidate" if arms else "past"

    @property
    def worst(self) -> VerdictRecord | None:
        """The verdict that a person looks at first, None where all passed."""
        order = ("fail", "no-data", "inconclusive")
        found = [one for one in self.spec.verdicts if one.verdict != "pass"]
        return min(found, key=lambda one: (not one.blocking, order.index(one.verdict)), default=None)

    def metric(self, name: str) -> MetricValue | None:
        """Return a metric by its name."""
        return next((one for one in self.spec.metrics if one.name == name), None)


def release_rows(look: Look, entry: ModelEntry) -> list[ReleaseRow]:
    """Return the newest releases of a model, the newest first."""
    line = look.workspace.repository.line(look.tip, MODELS)
    arms = {
        (standing.arms[arm], name, arm)
        for name, standing in row_of(look, entry.name).seats.items()
        for arm in standing.arms
    }
    order = [one.environment for one in look.environments]
    found = []
    for number in sorted(entry.releases, reverse=True)[:_RELEASES]:
        versions = line.versions(RELEASE.path(entry.name, number))
        runs = sorted(
            ((name, arm) for release, name, arm in arms if release == number), key=lambda one: order.index(one[0])
        )
        made = versions[-1].time if versions else None
        found.append(ReleaseRow(number, made, entry.releases[number].spec, tuple(runs)))
    return found


def metric_names(entry: ModelEntry, rows: Sequence[ReleaseRow]) -> list[str]:
    """Return the metrics worth a picture: what the monitor watches first, then in the order of the newest release."""
    watched = entry.monitor.spec.performance if entry.monitor is not None else None
    names = [one.name for one in rows[0].spec.metrics] if rows else []
    first = [watched.metric] if watched is not None and watched.metric in names else []
    return list(dict.fromkeys([*first, *names]))


def rollouts(look: Look, standings: Sequence[Standing]) -> list[RolloutStatus]:
    """Return the rollouts that run, of a look at git alone none; of one that nobody can judge nothing is said."""
    found = []
    for one in standings:
        environment = look.environment(one.seat.environment)
        if environment is not None and environment.seen is not None and len(one.arms) > 1:
            found.append(rollout_in(environment.seen, one.seat))
    return found


def model(look: Look, name: str, here: str) -> Room | None:
    """Return the page of a model that the branch has."""
    entry = look.graph.models.get(name)
    row = row_of(look, name)
    troubles = look.graph.troubles(name)
    if entry is None:
        return Room("unread.html", name, {"name": name, "troubles": troubles}) if name in look.names else None
    rows = release_rows(look, entry)
    names = metric_names(entry, rows)
    standings = list(row.seats.values())
    return Room(
        "model.html",
        name,
        {
            "entry": entry,
            "spec": entry.model.spec,
            "row": row,
            "standings": standings,
            "rollouts": rollouts(look, standings),
            "releases": rows,
            "hidden": len(entry.releases) - len(rows),
            "metrics": names,
            "pictures": [_course(one, rows, name, here) for one in names[:_PICTURES]],
            "lineage": _lineage(entry, rows, look, here),
            "windows": [
                (one.seat, found[-_WINDOWS:])
                for one in standings
                if one.arms and (found := last_window(look, one.seat))
            ],
            "monitor": entry.monitor.spec if entry.monitor is not None else None,
            "plan": entry.rollout.spec if entry.rollout is not None else None,
            "snapshot": entry.snapshots.get(entry.model.spec.data.snapshot),
            "aim": (aim := aims_of(look.graph, [name], look.now)[0]),
            "aims": list(sentences(aim)),
            "troubles": troubles,
            "waivers": [each for one in look.environments for each in one.waivers if name in each.spec.models],
        },
    )


def _course(metric: str, rows: Sequence[ReleaseRow], model: str, here: str) -> tuple[str, Markup]:
    points = []
    for row in reversed(rows):
        found = row.metric(metric)
        if found is not None:
            href = links.relative(here, links.release(model, row.number))
            points.append(Point(str(row.number), found.value, found.lower, found.upper, row.kind, href))
    return metric, course(f"{model}, {metric}", points)


def _lineage(entry: ModelEntry, rows: Sequence[ReleaseRow], look: Look, here: str) -> Markup | None:
    """Return where what runs, and the newest releases, come from, and where they went."""
    shown = [row for at, row in enumerate(rows) if row.runs or at < 2][:_LINEAGE]
    if not shown:
        return None
    shown.sort(key=lambda row: row.number)
    sources: dict[str, Node] = {}
    snapshots: dict[str, Node] = {}
    releases: list[Node] = []
    places: dict[str, Node] = {}
    for row in shown:
        name, data = row.spec.data.snapshot, row.spec.data
        found = entry.snapshots.get(name)
        ups = (found.spec.source.upstream or (found.spec.source.owner,)) if found is not None else ()
        for up in ups:
            about = f"owner {found.spec.source.owner}" if found is not None and found.spec.source.upstream else "owner"
            sources.setdefault(up, Node(f"s:{up}", up, about))
        snapshots.setdefault(
            name, Node(f"d:{name}", name, f"{data.rows:,} rows", comes_from=tuple(f"s:{up}" for up in ups))
        )
        href = links.relative(here, links.release(entry.name, row.number))
        releases.append(
            Node(
                f"r:{row.number}",
                f"release {row.number}",
                row.spec.artifact.digest[7:19],
                href,
                row.kind,
                (f"d:{name}",),
            )
        )
        for environment, arm in row.runs:
            key = f"e:{environment}"
            before = places[key].comes_from if key in places else ()
            about = f"{places[key].about}, {arm} {row.number}" if key in places else f"{arm} {row.number}"
            to = links.relative(here, links.seat(entry.name, environment))
            places[key] = Node(key, environment, about, to, "stable", (*before, f"r:{row.number}"))
    order = [f"e:{one.environment}" for one in look.environments]
    columns = {
        "sources": list(sources.values()),
        "snapshots": list(snapshots.values()),
        "releases": releases,
        "environments": [places[key] for key in order if key in places],
    }
    return graph(f"Lineage of {entry.name}", columns)
