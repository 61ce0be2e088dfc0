"""What an environment's file said before: the branch's own history of one deployment, read from git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, pairwise

from modelops.digests import digest_bytes
from modelops.errors import Exit, failure
from modelops.project.workspace import Workspace, environment, model_entry
from modelops.repository import Repository
from modelops.rollouts.state import arms_in_order
from modelops.spec.graph import Graph
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.layout import MODELS, Seat
from modelops.spec.past import arms_then
from modelops.spec.yaml.text import SIZE_LIMIT


@dataclass(frozen=True, slots=True)
class Moment:
    """What one deployment file said from a commit on; ``parent`` is the branch's commit before it.

    What nobody can read is not ``legible`` and proves nothing, but it was there.
    """

    commit: str
    parent: str | None
    time: datetime
    subject: str
    arms: Mapping[str, int]
    legible: bool = True

    @property
    def stable(self) -> int | None:
        """The release that takes the traffic."""
        return self.arms.get("stable")

    @property
    def candidate(self) -> int | None:
        """The release on trial."""
        return self.arms.get("candidate")


def arms_of(deployment: DeploymentSpec) -> dict[str, int]:
    """Return every release that a deployment names, by the arm that it is; stable first."""
    return arms_in_order(deployment.stable, deployment.candidate, deployment.challengers)


def deployment_history(repository: Repository, tip: str, seat: Seat) -> tuple[Moment, ...]:
    """Return the moments of a deployment on the branch, newest first; a merge counts as one moment.

    A version that cannot be read is a moment that names nothing; a commit that removed the file is none.
    """
    found = repository.line(tip, MODELS).versions(seat.deployment)
    versions = [(version, version.blob) for version in found if version.blob is not None]
    contents = repository.blobs((blob for _, blob in versions), SIZE_LIMIT)
    moments: list[Moment] = []
    for version, blob in versions:
        data = contents[blob]
        arms = arms_then(data) if isinstance(data, bytes) else None
        said = (arms if arms is not None else {}, arms is not None)
        moments.append(Moment(version.commit, version.parent, version.time, version.subject, *said))
    return tuple(moments)


def came_with(repository: Repository, tip: str, commit: str, path: str) -> bool:
    """Tell whether a commit of the branch's own line changed a file below models/ against its first parent."""
    return any(version.commit == commit for version in repository.line(tip, MODELS).versions(path))


def legible(history: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Return the moments that say something."""
    return tuple(moment for moment in history if moment.legible)


def introduced(history: tuple[Moment, ...], role: str) -> Moment | None:
    """Return the moment since which a role has had its present value, as far as can be read."""
    told = legible(history)
    if not told:
        return None
    since, *before = told
    for moment in before:
        if moment.arms.get(role) != since.arms.get(role):
            break
        since = moment
    return since


def times_named(history: tuple[Moment, ...]) -> int:
    """Return how often the arms have been named anew, the present ones included; what cannot be read named nothing."""
    told = legible(history)
    return sum(new.arms != old.arms for new, old in pairwise(told)) + bool(told)


def moments_before(history: tuple[Moment, ...], moment: Moment) -> tuple[Moment, ...]:
    """Return the legible moments before one of a history, newest first."""
    return legible(history[history.index(moment) + 1 :])


def ever_stable(history: tuple[Moment, ...]) -> tuple[int, ...]:
    """Return the releases that were stable, the most recent first, each once."""
    seen: dict[int, None] = {}
    for moment in history:
        if moment.stable is not None:
            seen.setdefault(moment.stable)
    return tuple(seen)


def deployment_of(workspace: Workspace, graph: Graph, seat: Seat) -> DeploymentSpec:
    """Return what git says about a model in an environment, or say that it says nothing."""
    entry = model_entry(graph, seat.model)
    environment(graph, seat.environment)
    if seat.environment not in entry.deployments:
        raise failure("no-deployment", f"{seat.model} has no {seat.deployment}", exit=Exit.NO)
    spec: DeploymentSpec = entry.deployments[seat.environment].spec
    return spec


def deployment_bytes(workspace: Workspace, tip: str, seat: Seat) -> bytes:
    """Return the file of a deployment that stands at a commit: its own, or the older one in the place of a wrong one.

    So whoever edits what stands repairs what is wrong.
    """
    standing = workspace.graph(tip).models[seat.model].deployments[seat.environment].digest
    present = workspace.repository.read(tip, seat.deployment)
    versions = chain([present], workspace.repository.older(tip, seat.deployment))
    return next((data for data in versions if data is not None and digest_bytes(data) == standing), present)


def not_on_trial(seat: Seat) -> Exception:
    """Return the error of steering a rollout where none is."""
    return failure(
        "no-rollout",
        f"no release of {seat.model} is on trial in {seat.environment}",
        exit=Exit.NO,
        hint=f"put one on trial: modelops promote {seat.model} --to {seat.environment}",
    )
