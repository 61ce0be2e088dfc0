"""What lies below a data source: models, environments and features, and when they would show that it is broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modelops.errors import Exit, failure
from modelops.monitoring.shares import RISE
from modelops.spec.explain import nearest
from modelops.spec.graph import Graph
from modelops.spec.kinds.data_source import DataSourceSpec, above
from modelops.spec.kinds.model import Feature
from modelops.spec.kinds.monitor import MonitorSpec
from modelops.spec.resource import Resource
from modelops.spec.tree import ModelEntry

__all__ = ["Affected", "Impact", "Placed", "impact_of"]


@dataclass(frozen=True, slots=True)
class Placed:
    """An environment that a model answers in: its releases by arm, and when it would be noticed there."""

    environment: str
    releases: tuple[tuple[str, int], ...]
    noticed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Affected:
    """What one model has of a source: features, labels, snapshots, each by the source below it that brings them.

    ``built`` says when it would be noticed before anything is trained.
    """

    model: str
    owner: str
    features: tuple[tuple[str, str], ...]
    labels: str | None
    snapshots: tuple[str, ...]
    built: str
    environments: tuple[Placed, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """A source, the sources that are made from it, and the models below them."""

    name: str
    spec: DataSourceSpec
    below: tuple[str, ...]
    models: tuple[Affected, ...]


def impact_of(graph: Graph, name: str) -> Impact:
    """Return what lies below a source; an unknown one is an error that names the nearest."""
    sources: dict[str, Resource[DataSourceSpec]] = dict(graph.policies.get("DataSource", {}))
    if name not in sources:
        said = f"there is no data source {name!r}"
        raise failure("unknown-source", said, exit=Exit.USAGE, hint=nearest(name, sources, "data sources"))
    below = tuple(sorted(each for each in sources if name in above(each, sources)))
    concerned = {name, *below}
    found = (_affected(entry, concerned, sources) for _, entry in sorted(graph.models.items()))
    return Impact(name, sources[name].spec, below, tuple(each for each in found if each is not None))


def _affected(entry: ModelEntry, concerned: set[str], sources: dict[str, Resource[DataSourceSpec]]) -> Affected | None:
    data = entry.model.spec.data
    features = [each for each in data.features if each.source in concerned]
    labels = data.labels.source if data.labels is not None and data.labels.source in concerned else None
    snapshots = [name for name, snapshot in entry.snapshots.items() if concerned & set(snapshot.spec.source.upstream)]
    if not features and labels is None and not snapshots:
        return None
    checked = sorted(each for each in concerned if sources[each].spec.read is not None)
    built = f"modelops data check {' '.join(checked)}" if checked else ""
    return Affected(
        entry.name,
        entry.model.spec.owner,
        tuple((each.name, str(each.source)) for each in features),
        labels,
        tuple(sorted(snapshots)),
        built,
        tuple(_placed(entry, environment, features, labels) for environment in sorted(entry.deployments)),
    )


def _placed(entry: ModelEntry, environment: str, features: list[Feature], labels: str | None) -> Placed:
    spec = entry.deployments[environment].spec
    arms = [("stable", spec.stable), ("candidate", spec.candidate)]
    arms += [(f"challenger-{number}", number) for number in spec.challengers]
    releases = tuple((arm, number) for arm, number in arms if number is not None)
    monitor = entry.monitor.spec if entry.monitor is not None else None
    noticed = tuple(_noticed(monitor, features, labels)) if releases else ()
    return Placed(environment, releases, noticed)


def _noticed(monitor: MonitorSpec | None, features: list[Feature], labels: str | None) -> Iterator[str]:
    """Say what shows that a source is silent, and after how long; looks are as often as `modelops monitor` runs."""
    needed = [each.name for each in features if not each.nullable]
    if needed:
        yield f"at once: requests without {', '.join(needed)} are refused"
    if monitor is None:
        yield "nothing else shows it: the model has no monitor.yaml"
        return
    optional = [each.name for each in features if each.nullable]
    days = monitor.window_days
    look = f"at the next look, with {monitor.minimum_requests:,} requests in the window"
    if optional:
        after = _time(RISE * days)
        yield f"{after} after {', '.join(optional)} went missing ({RISE:.0%} of a window of {days:g} days), {look}"
    if features:
        yield f"values that stay what they were show as drift, within {days:g} days, {look}; a slow change may not"
    if labels is not None:
        watched = monitor.performance
        if watched is None:
            yield "that labels stop shows nowhere: monitor.yaml watches no metric"
        else:
            yield f"labels that stop show as no data of {watched.metric}, within {days:g} days and their usual delay"


def _time(days: float) -> str:
    return f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} hours"
