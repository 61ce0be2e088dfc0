"""The closed set of plan entries: what is shown is what runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, assert_never

from modelops.errors import Location
from modelops.reconcile.rollout import Outcome
from modelops.spec.routing import RoutingTable
from modelops.strategies import Check, Traffic

Role = str
"""The name of an arm: stable, candidate, or challenger-<release>."""


@dataclass(frozen=True, slots=True)
class Build:
    """Train, evaluate and judge a model whose inputs have no release."""

    model: str
    inputs: str
    reason: str
    where: Location


@dataclass(frozen=True, slots=True)
class Release:
    """Package, sign and number what passed, in one commit; ``environments`` get it as candidate in the same commit."""

    model: str
    inputs: str
    environments: tuple[str, ...]
    where: Location


@dataclass(frozen=True, slots=True)
class RecordPromotion:
    """Verify who approved a change of an environment's file and commit the signed record."""

    model: str
    environment: str
    release: int
    role: Role
    commit: str
    where: Location


@dataclass(frozen=True, slots=True)
class Restore:
    """Rebuild a released artifact that the store has lost, and compare its digest."""

    model: str
    environment: str
    release: int
    digest: str
    where: Location


@dataclass(frozen=True, slots=True)
class Serve:
    """Make the runtime answer with the routing table."""

    environment: str
    table: RoutingTable
    digest: str
    reason: str


@dataclass(frozen=True, slots=True)
class SetStep:
    """Give the arms of a rollout the traffic of one of its steps; ``arms`` maps their names to releases."""

    model: str
    environment: str
    arms: Mapping[str, int]
    step: int
    traffic: Traffic
    reason: str
    checks: tuple[Check, ...]
    where: Location


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """Send rows of the candidate's snapshot to the candidate and to stable, and note what they answer."""

    model: str
    environment: str
    arms: Mapping[str, int]
    requests: int
    reason: str
    where: Location


@dataclass(frozen=True, slots=True)
class Judge:
    """Write down that a rollout is decided, so that traffic moves before anything else.

    ``winner`` is the arm that becomes stable, ``failed`` are the arms that are denied.
    """

    model: str
    environment: str
    outcome: Outcome
    reason: str
    checks: tuple[Check, ...]
    where: Location
    winner: str
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conclude:
    """Commit the end of a rollout with its evidence: the new stable, or the removal of what was on trial.

    ``release`` is the one that becomes stable, or the candidate; ``failed`` names the arms that are denied. With
    ``asks`` a pull request is opened instead, so that a person decides.
    """

    model: str
    environment: str
    arms: Mapping[str, int]
    release: int
    outcome: Outcome
    reason: str
    where: Location
    failed: tuple[str, ...] = ()
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the world changes: too few requests, a label that has not arrived, a lease held elsewhere."""

    model: str
    environment: str
    reason: str
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something that git asks for and that is refused, with the reason and what to do."""

    model: str
    environment: str
    code: str
    reason: str
    hint: str
    where: Location


Action = Build | Release | RecordPromotion | Restore | Serve | SmokeTest | SetStep | Judge | Conclude
Entry = Action | Wait | Blocked


def runnable(entry: Entry) -> bool:
    """Tell actions from entries that only inform."""
    return not isinstance(entry, Wait | Blocked)


def describe(entry: Entry) -> str:
    """Return one sentence for people."""
    match entry:
        case Build():
            return f"build {entry.model}: {entry.reason}"
        case Release():
            then = f", candidate in {', '.join(entry.environments)}" if entry.environments else ""
            return f"release {entry.model}: if every blocking gate passes{then}"
        case RecordPromotion():
            return (
                f"record {entry.model} release {entry.release} as {entry.role} in {entry.environment}: "
                f"check the approvals of {entry.commit[:10]}"
            )
        case Restore():
            return f"restore {entry.model} release {entry.release}: {entry.digest[:19]} is not in the store"
        case Serve():
            return f"serve {entry.environment}: {entry.reason}"
        case SmokeTest():
            return f"smoke {entry.model} in {entry.environment}: {entry.requests} requests: {entry.reason}"
        case SetStep():
            return (
                f"shift {entry.model} in {entry.environment}: {shares(entry.traffic, entry.arms)} "
                f"(step {entry.step + 1}): {entry.reason}"
            )
        case Judge():
            return f"decide {entry.model} in {entry.environment}: {entry.outcome} {entry.winner}: {entry.reason}"
        case Conclude(asks=True):
            return (
                f"ask in {entry.environment}: a pull request makes release {entry.release} of {entry.model} stable: "
                f"{entry.reason}"
            )
        case Conclude():
            words = {"promote": "becomes stable", "keep": "is withdrawn", "rollback": "is withdrawn and denied"}
            word = words[entry.outcome]
            return f"conclude {entry.model} in {entry.environment}: release {entry.release} {word}: {entry.reason}"
        case Wait():
            return f"wait for {entry.model} in {entry.environment}: {entry.reason}"
        case Blocked():
            return f"blocked {entry.model} in {entry.environment}: {entry.reason} [{entry.code}]; {entry.hint}"
        case _:
            assert_never(entry)


def shares(traffic: Traffic, arms: Mapping[str, int]) -> str:
    """Return who takes how much, in words; stable takes the rest."""
    weights = [f"release {arms[arm]} to {weight:.0%}" for arm, weight in traffic.weights.items() if arm != "stable"]
    copies = [f"release {arms[arm]} gets a copy of {share:.0%}" for arm, share in traffic.shadows.items()]
    return ", ".join(weights + copies)


def _plain(value: Any) -> Any:
    if isinstance(value, RoutingTable):
        return value.model_dump(by_alias=True, mode="json")
    if isinstance(value, Location):
        return str(value)
    if isinstance(value, Check):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Traffic):
        return asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def to_dict(entry: Entry) -> dict[str, object]:
    """Return an entry as plain data, its kind first."""
    return {"action": type(entry).__name__, **{f.name: _plain(getattr(entry, f.name)) for f in fields(entry)}}
