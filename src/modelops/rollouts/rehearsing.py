"""Finding what a release can be rehearsed on: the log of an environment, the release's artifact, a stretch of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from modelops.artifacts import load_predictor, open_artifact
from modelops.errors import Exit, ModelOpsError, failure
from modelops.logs import Log
from modelops.project.target import remembered, target_of
from modelops.project.workspace import Workspace, environment, model_entry
from modelops.rollouts.rehearsal import Rehearsal, rehearsed
from modelops.rollouts.sample import Drawn, drawn
from modelops.spec.graph import Graph, ModelEntry

__all__ = ["DAYS", "MOST", "Rehearsed", "rehearse"]

DAYS = 7.0
MOST = 20_000
"""So many answers are drawn where the log has more: a share of 1 % is then known to 0.15 points."""


@dataclass(frozen=True)
class Rehearsed:
    """A rehearsal of a release and where it was held; without a log ``found`` is None and ``why`` says it."""

    model: str
    release: int
    environment: str
    since: datetime
    until: datetime
    days: float
    most: int
    found: Rehearsal | None
    place: str = ""
    why: str = ""
    begins: datetime | None = None

    @property
    def answered(self) -> int:
        """How many logged requests the release answered."""
        if self.found is None:
            return 0
        return self.found.rows - sum(count for _, count in self.found.failures)


def rehearse(
    workspace: Workspace,
    graph: Graph,
    model: str,
    number: int,
    name: str | None,
    *,
    days: float = DAYS,
    most: int = MOST,
    log: Log | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Rehearsed:
    """Let a release answer what an environment logged in the last days, offline; nothing is changed anywhere.

    Without an environment it is the last in the order of promotion that logged anything. Where none did, that is the
    answer.
    """
    entry = model_entry(graph, model)
    _require_release(entry, number)
    if name is not None:
        environment(graph, name)
    until = workspace.clock()
    since = until - timedelta(days=days)
    sought: list[str] = []
    for place, source in _logs(workspace, graph, entry, name, log, sought):
        say(f"reading {source.place} from {since:%Y-%m-%d %H:%M} on")
        deployment = entry.deployments.get(place)
        stable = deployment.spec.stable if deployment is not None else None
        # No end: a server's clock may be ahead of this machine's.
        sample = drawn(source, model, since, most, stable)
        if sample is None:
            of = f"the log of {place}" if place else source.place
            sought.append(f"{of} holds no answer of {model} in the last {days:g} days")
            continue
        newest = datetime.fromtimestamp(sample.rows.column("time")[-1].as_py(), UTC)
        say(f"release {number} answers {len(sample.rows):,} of {sample.logged:,} logged requests")
        found = _answered(workspace, entry, number, sample)
        return Rehearsed(
            *(model, number, place, since, max(until, newest), days, most, found, source.place), begins=source.begins()
        )
    why = "; ".join(sought) or f"nothing of {model} was ever served on this machine"
    return Rehearsed(model, number, name or "", since, until, days, most, None, why=why)


def _require_release(entry: ModelEntry, number: int) -> None:
    if number not in entry.releases:
        known = ", ".join(map(str, sorted(entry.releases))) or "none"
        raise failure(
            "unknown-release", f"{entry.name} has no release {number}", exit=Exit.USAGE, hint=f"releases: {known}"
        )


def _answered(workspace: Workspace, entry: ModelEntry, number: int, sample: Drawn) -> Rehearsal:
    release = entry.releases[number].spec
    predictor = load_predictor(open_artifact(workspace.store, release.artifact.digest))
    return rehearsed(entry.model.spec, predictor, sample, _made(workspace, release.code.commit))


def _made(workspace: Workspace, commit: str) -> datetime | None:
    """Return when a release's inputs were committed; a clone may not reach so far back."""
    try:
        return workspace.repository.commit(commit).time
    except ModelOpsError:
        return None


def _logs(
    workspace: Workspace, graph: Graph, entry: ModelEntry, name: str | None, log: Log | None, sought: list[str]
) -> Iterator[tuple[str, Log]]:
    """Yield the logs to look at, the one that was asked for first; ``sought`` is told of those that cannot be read."""
    if log is not None:
        yield name or "", log
        return
    for place in _places(graph, entry, name):
        try:
            found = _log(workspace, graph, place)
        except ModelOpsError as error:
            sought.append(f"{place}: {error.first.message}")
            continue
        if found is None:
            sought.append(f"{place} was never served on this machine")
            continue
        yield place, found


def _places(graph: Graph, entry: ModelEntry, name: str | None) -> Sequence[str]:
    """Return the environment that was named, or all of the model from the last of the order of promotion on."""
    if name is not None:
        return [name]

    def order(place: str) -> tuple[int, str]:
        found = graph.environments[place].spec.order
        return (-1 if found is None else -found, place)

    return sorted((place for place in graph.environments if place in entry.deployments), key=order)


def _log(workspace: Workspace, graph: Graph, name: str) -> Log | None:
    """Return the log of an environment, by what was started here, else by git's word."""
    before = remembered(workspace, name)
    return before.log() if before is not None else target_of(workspace, graph, name).log()
