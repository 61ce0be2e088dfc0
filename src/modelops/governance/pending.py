"""What a person decided in an emergency while the remote could not be told: kept on this machine until it can."""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from modelops.errors import ModelOpsError
from modelops.files import write_atomically
from modelops.governance.history import arms_of
from modelops.project.pressing import pressed_by
from modelops.project.workspace import Workspace
from modelops.spec.graph import Graph
from modelops.spec.kinds.deployment import Denied, DeploymentSpec
from modelops.spec.layout import Seat, slug
from modelops.spec.meta import ModelName, Name, ReleaseNumber, Strict
from modelops.targets import Site

__all__ = [
    "Intent",
    "RolledBack",
    "decider",
    "forget",
    "has_kept",
    "keep",
    "kept",
    "lapsed",
    "overlaid",
    "set_aside",
    "standing",
    "still_there",
    "told",
    "wanted",
]

Kept = Mapping[str, Sequence["Intent"]]
"""What is kept for an environment, by model, in the order in which it was decided."""
Verb = Literal["rollback", "abort", "pause"]


@dataclass(frozen=True, slots=True)
class Intent:
    """What an emergency verb means, fixed from what the person saw; said twice it is done once.

    ``arms`` are those that were seen, ``leaves`` the releases that must go, ``stable`` is the release that takes the
    traffic then. A ``pause`` lets nothing go.
    """

    verb: Verb
    seat: Seat
    arms: Mapping[str, int]
    leaves: tuple[int, ...]
    stable: int | None
    reason: str
    by: str
    at: str

    def __str__(self) -> str:
        goal = f" of release {' and '.join(map(str, self.leaves))}" if self.leaves else ""
        return f"the {self.verb}{goal} of {self.seat} by {self.by}"


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback came to: which releases left, which one takes the traffic, and the commit that says so.

    ``already`` says who had done it before; ``waits`` says why git does not know yet what is kept on this machine;
    ``lapsed`` says why what was kept is not carried out any more. What is ``paused`` withdraws nothing.
    """

    withdrawn: tuple[int, ...]
    stable: int | None
    commit: str | None
    already: str | None = None
    waits: ModelOpsError | None = None
    paused: bool = False
    lapsed: str | None = None


class _Record(Strict):
    """An intent as it lies on the disk."""

    verb: Verb
    model: ModelName
    environment: Name
    arms: dict[str, ReleaseNumber]
    leaves: tuple[ReleaseNumber, ...]
    stable: ReleaseNumber | None
    reason: Annotated[str, Field(min_length=1)]
    by: Annotated[str, Field(min_length=1)]
    at: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if bool(self.leaves) == (self.verb == "pause"):
            raise ValueError("a pause lets nothing go, and everything else lets something go")
        if not set(self.leaves) <= set(self.arms.values()) or self.stable in self.leaves:
            raise ValueError("what goes was there, and does not stay")
        if self.verb == "pause" and "candidate" not in self.arms:
            raise ValueError("only what is on trial is paused")
        return self

    def intent(self) -> Intent:
        """Return what it says."""
        seat = Seat(self.model, self.environment)
        return Intent(self.verb, seat, self.arms, self.leaves, self.stable, self.reason, self.by, self.at)


def decider(workspace: Workspace) -> str:
    """Return who decides here: who pressed the button of a job, git's user, or whoever is logged in.

    An emergency waits for no configuration.
    """
    presser = pressed_by(workspace.environ)
    if presser is not None:
        return presser.login
    user = workspace.repository.find_user()
    if user is not None:
        return user.login
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"


def _folder(site: Site) -> Path:
    return site.runtime / "pending"


def _read(site: Site) -> Iterable[tuple[Path, Intent | str]]:
    """Yield the files of a folder in the order of their making, and what each says, or why it says nothing."""
    for path in sorted(_folder(site).glob("*.json")):
        try:
            intent = _Record.model_validate_json(path.read_bytes()).intent()
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            yield path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        except OSError as error:
            yield path, error.strerror or "it cannot be read"
        else:
            named = intent.seat.environment == site.environment
            yield path, intent if named else f"it is about {intent.seat.environment}"


def keep(site: Site, intent: Intent) -> None:
    """Keep an intent on this machine, after what is kept already; a pause that was kept before it is moot then."""
    found = list(_read(site))
    for path, earlier in found:
        if isinstance(earlier, Intent) and (earlier.verb, earlier.seat) == ("pause", intent.seat):
            path.unlink(missing_ok=True)
    last = max((int(path.stem[-6:]) for path, _ in found if path.stem[-6:].isdecimal()), default=0)
    record = _Record(
        verb=intent.verb,
        model=intent.seat.model,
        environment=intent.seat.environment,
        arms=dict(intent.arms),
        leaves=intent.leaves,
        stable=intent.stable,
        reason=intent.reason,
        by=intent.by,
        at=intent.at,
    )
    data = record.model_dump_json(indent=1).encode()
    write_atomically(_folder(site) / f"{slug(intent.seat.model)}-{last + 1:06d}.json", data)


def kept(site: Site) -> dict[str, tuple[Intent, ...]]:
    """Return what is kept for an environment, by model, in its order; a file that cannot be read says nothing."""
    found: dict[str, tuple[Intent, ...]] = {}
    for _, intent in sorted(_read(site), key=lambda one: one[0].stem[-6:]):
        if isinstance(intent, Intent):
            found[intent.seat.model] = (*found.get(intent.seat.model, ()), intent)
    return found


def has_kept(site: Site) -> bool:
    """Tell whether there is anything to push or to set aside."""
    return any(_folder(site).glob("*.json"))


def set_aside(site: Site) -> list[str]:
    """Set aside the files that cannot be read; returns a sentence about each, so that it is said once."""
    said = []
    for path, wrong in list(_read(site)):
        if isinstance(wrong, str):
            aside = path.with_suffix(".ignored")
            path.replace(aside)
            said.append(f"{path} holds nothing that a person decided here ({wrong}): ignored, and kept as {aside.name}")
    return said


def forget(site: Site, intent: Intent) -> None:
    """Forget an intent that git knows of by now, or that does not hold any more."""
    for path, one in list(_read(site)):
        if one == intent:
            path.unlink(missing_ok=True)


def told(arms: Mapping[str, int]) -> str:
    """Return the arms of a deployment in words."""
    return ", ".join(f"{arm} {release}" for arm, release in arms.items()) or "nothing"


def lapsed(graph: Graph, intent: Intent) -> str | None:
    """Return why what was decided earlier does not hold any more, None while it does.

    A pause holds for the arms that were seen. What withdraws holds while the release that was stable still is, or the
    one that was to take the traffic does already: what was approved since is not for it to take away.
    """
    seat = intent.seat
    entry = graph.models.get(seat.model)
    resource = entry.deployments.get(seat.environment) if entry is not None else None
    if entry is None or resource is None:
        return None if graph.troubles(seat.model, seat.environment) else f"main has no {seat.deployment}"
    deployment: DeploymentSpec = resource.spec
    arms, goal = arms_of(deployment), intent.stable
    if goal is not None and goal not in entry.releases:
        return f"{seat.model} has no release {goal}"
    changed = f"it was for {told(intent.arms)}, and main says {told(arms)} now"
    if intent.verb == "pause":
        return None if arms == intent.arms else changed
    if deployment.stable not in (intent.arms.get("stable"), goal):
        return changed
    if goal is not None and goal != deployment.stable and goal in {one.release for one in deployment.denied}:
        return f"release {goal} is denied by now"
    return None


def still_there(deployment: DeploymentSpec, intent: Intent) -> tuple[int, ...]:
    """Return the releases that an intent lets go and that are where they were: stable, or in the same trial."""
    trial = [release for arm, release in intent.arms.items() if arm != "stable" and release in intent.leaves]
    stable = [deployment.stable] if deployment.stable == intent.arms.get("stable") else []
    if deployment.candidate not in trial:
        trial = []
    return tuple(each for each in arms_of(deployment).values() if each in intent.leaves and each in (*stable, *trial))


def wanted(deployment: DeploymentSpec, intent: Intent) -> DeploymentSpec:
    """Return what an environment's file says once an intent is carried out."""
    if intent.verb == "pause":
        return deployment.model_copy(update={"paused": deployment.candidate is not None})
    leaves = still_there(deployment, intent)
    denied = {one.release for one in deployment.denied}
    more = tuple(Denied(release=each, reason=intent.reason) for each in leaves if each not in denied)
    trial = deployment.candidate in leaves
    return deployment.model_copy(
        update={
            "stable": intent.stable if deployment.stable in leaves else deployment.stable,
            "candidate": None if trial else deployment.candidate,
            "challengers": () if trial else deployment.challengers,
            "paused": deployment.paused and not trial,
            "denied": (*deployment.denied, *more),
        }
    )


def standing(graph: Graph, intents: Kept) -> dict[str, tuple[Intent, ...]]:
    """Return what holds of what is kept, each judged by what the ones before it make of the graph."""
    return _laid_over(graph, intents)[1]


def overlaid(graph: Graph, intents: Kept) -> Graph:
    """Return a graph as it will be once the intents that hold are in git."""
    return _laid_over(graph, intents)[0]


def _laid_over(graph: Graph, intents: Kept) -> tuple[Graph, dict[str, tuple[Intent, ...]]]:
    holding: dict[str, tuple[Intent, ...]] = {}
    for model, some in intents.items():
        for intent in some:
            entry = graph.models.get(model)
            resource = entry.deployments.get(intent.seat.environment) if entry is not None else None
            if entry is None or resource is None or lapsed(graph, intent) is not None:
                continue
            then = entry.deployed(replace(resource, spec=wanted(resource.spec, intent)))
            graph = replace(graph, models={**graph.models, model: then})
            holding[model] = (*holding.get(model, ()), intent)
    return graph, holding
