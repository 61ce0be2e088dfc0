"""What an environment's file said before: the branch's own history of one deployment, read from git."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise

from modelops.reconcile.rollout import arms_in_order
from modelops.repository import Repository
from modelops.spec.delivery import DeploymentSpec
from modelops.spec.load import load_resource


@dataclass(frozen=True, slots=True)
class Moment:
    """What one deployment file said from a commit on; ``parent`` is the branch's commit before it."""

    commit: str
    parent: str | None
    time: datetime
    subject: str
    arms: Mapping[str, int]

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


def deployment_path(model: str, environment: str) -> str:
    """Return where a deployment is written."""
    return f"models/{model}/environments/{environment}.yaml"


@lru_cache(maxsize=1024)
def _deployment(data: bytes, path: str) -> DeploymentSpec:
    spec: DeploymentSpec = load_resource(data, path).spec
    return spec


def deployment_history(repository: Repository, tip: str, model: str, environment: str) -> tuple[Moment, ...]:
    """Return the moments of a deployment on the branch, newest first; a merge counts as one moment."""
    commits = repository.log(path := deployment_path(model, environment), tip, first_parent=True)
    versions = repository.read_versions((commit.id for commit in commits), path)
    moments: list[Moment] = []
    for commit in commits:
        data = versions[commit.id]
        if data is None:
            continue
        spec = _deployment(data, path)
        parent = commit.parents[0] if commit.parents else None
        moments.append(Moment(commit.id, parent, commit.time, commit.subject, arms_of(spec)))
    return tuple(moments)


def introduced(history: tuple[Moment, ...], role: str) -> Moment | None:
    """Return the moment since which a role has had its present value."""
    if not history:
        return None
    present = history[0].arms.get(role)
    since = history[0]
    for moment in history[1:]:
        if moment.arms.get(role) != present:
            break
        since = moment
    return since


def times_named(history: tuple[Moment, ...]) -> int:
    """Return how often the arms have been named anew, the present ones included."""
    return sum(new.arms != old.arms for new, old in pairwise(history)) + bool(history)


def ever_stable(history: tuple[Moment, ...]) -> tuple[int, ...]:
    """Return the releases that were stable, the most recent first, each once."""
    seen: dict[int, None] = {}
    for moment in history:
        if moment.stable is not None:
            seen.setdefault(moment.stable)
    return tuple(seen)
