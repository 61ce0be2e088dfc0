"""The closed set of plan entries: what is shown is what runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeGuard, assert_never

from modelops.errors import Exit, Location, Problem
from modelops.governance.endings import Conclude, EndingCase
from modelops.rollouts.state import Role, RolloutEnd
from modelops.spec.layout import MODEL, Seat
from modelops.spec.routing import RoutingTable
from modelops.strategies import Check, Traffic

if TYPE_CHECKING:
    from modelops.changes.restoring import RestorationCase


@dataclass(frozen=True, slots=True)
class Texts:
    """What writes the pull requests that the loop opens; they are handed in from above, where sentences are made."""

    ending: Callable[[EndingCase], str]
    restoration: Callable[[RestorationCase], str]


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

    seat: Seat
    release: int
    role: Role
    commit: str
    where: Location


@dataclass(frozen=True, slots=True)
class Restore:
    """Rebuild a released artifact that the store has lost, and compare its digest."""

    seat: Seat
    release: int
    digest: str
    where: Location


@dataclass(frozen=True, slots=True)
class Serve:
    """Make the runtime answer with the routing table; of the ``held`` models another reconciler moves the routes."""

    environment: str
    table: RoutingTable
    digest: str
    reason: str
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetStep:
    """Give the arms of a rollout the traffic of a step, counted from 1; ``arms`` maps their names to releases."""

    seat: Seat
    arms: Mapping[str, int]
    step: int
    traffic: Traffic
    reason: str
    checks: tuple[Check, ...]
    where: Location


@dataclass(frozen=True, slots=True)
class SmokeTest:
    """Send rows of the candidate's snapshot to the candidate and to stable, and note what they answer."""

    seat: Seat
    arms: Mapping[str, int]
    requests: int
    reason: str
    where: Location


@dataclass(frozen=True, slots=True)
class Judge:
    """Write down that a rollout is decided, so that traffic moves before anything else.

    ``winner`` is the arm that becomes stable, ``failed`` are the arms that are denied.
    """

    seat: Seat
    outcome: RolloutEnd
    reason: str
    checks: tuple[Check, ...]
    where: Location
    winner: str
    failed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Write down that a guard failed where a person is to act, so that no later look takes it back."""

    seat: Seat
    reason: str
    checks: tuple[Check, ...]
    where: Location


@dataclass(frozen=True, slots=True)
class RestoreInputs:
    """Open the pull request that takes a model's inputs back to those of stable, after ``release`` failed its trial."""

    seat: Seat
    release: int
    stable: int
    where: Location


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do until the world changes: too few requests, a label that has not arrived, a lease held elsewhere."""

    seat: Seat
    reason: str
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class Blocked:
    """Something that git asks for and that is refused, with the reason and what to do.

    What is wrong with a model wherever it is to run is in no environment, "".
    ``exit`` is what a pass ends with: FILES where a file is wrong, NO where what it asks for may not be.
    """

    seat: Seat
    code: str
    reason: str
    hint: str
    where: Location
    exit: Exit = Exit.NO


def stalled(seat: Seat, problem: Problem, where: Location | None = None, exit: Exit = Exit.FILES) -> Blocked:
    """Return the entry for something that is wrong with what a model needs; ``where`` counts if it has no place."""
    reason = ": ".join(filter(None, (str(problem.location or ""), problem.dotted, problem.message)))
    place = problem.location or where or Location(MODEL.path(seat.model))
    return Blocked(seat, problem.code, reason, problem.hint or "repair the file", place, exit)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What the files say that another tool applies: which releases answer, by the name of their arm."""

    seat: Seat
    target: str
    arms: Mapping[str, int]
    where: Location


@dataclass(frozen=True, slots=True)
class Stop:
    """What a change takes out of an environment: the model is answered by nothing there once it is merged."""

    seat: Seat
    arms: Mapping[str, int]
    where: Location


@dataclass(frozen=True, slots=True)
class Retire:
    """What a change takes off main: a model with its releases, whose past git keeps; or only its old name."""

    model: str
    releases: tuple[int, ...]
    successor: str | None
    where: Location


Trial = SmokeTest | SetStep | Judge | Hold | Conclude
Action = Build | Release | RecordPromotion | Restore | Serve | Trial | RestoreInputs
Removal = Stop | Retire
Entry = Action | Removal | Wait | Blocked | Rendered


def model_of(entry: Entry) -> str | None:
    """Return the model that an entry is about; the runtime is that of many."""
    match entry:
        case Serve():
            return None
        case Build() | Release() | Retire():
            return entry.model
        case _:
            return entry.seat.model


def runnable(entry: Entry) -> TypeGuard[Action]:
    """Tell actions from entries that only inform."""
    return not isinstance(entry, Stop | Retire | Wait | Blocked | Rendered)


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
                f"record {entry.seat.model} release {entry.release} as {entry.role} in {entry.seat.environment}: "
                f"check the approvals of {entry.commit[:10]}"
            )
        case Restore():
            return f"restore {entry.seat.model} release {entry.release}: {entry.digest[:19]} is not in the store"
        case Serve():
            return f"serve {entry.environment}: {entry.reason}"
        case SmokeTest():
            return f"smoke {entry.seat}: {entry.requests} requests: {entry.reason}"
        case SetStep():
            return f"shift {entry.seat}: {shares(entry.traffic, entry.arms)} (step {entry.step}): {entry.reason}"
        case Judge():
            return f"decide {entry.seat}: {entry.outcome} {entry.winner}: {entry.reason}"
        case Hold():
            return f"hold {entry.seat}: {entry.reason}"
        case Conclude(asks=True):
            return (
                f"ask in {entry.seat.environment}: a pull request makes release {entry.release} of "
                f"{entry.seat.model} stable: {entry.reason}"
            )
        case Conclude():
            words = {"promote": "becomes stable", "keep": "is withdrawn", "rollback": "is withdrawn and denied"}
            word = words[entry.outcome]
            return f"conclude {entry.seat}: release {entry.release} {word}: {entry.reason}"
        case RestoreInputs():
            return (
                f"ask to take {entry.seat.model} back to the inputs of release {entry.stable}: release {entry.release} "
                f"failed in {entry.seat.environment}"
            )
        case Stop():
            others = ", ".join(f"{arm} release {release}" for arm, release in entry.arms.items() if arm != "stable")
            stable = entry.arms.get("stable")
            what = f"release {stable} takes its traffic today" if stable is not None else "nothing is stable there"
            return f"stop {entry.seat}: {what}" + (f", {others} is on trial" if others else "")
        case Retire():
            return _retired(entry)
        case Wait():
            return f"wait for {entry.seat}: {entry.reason}"
        case Blocked():
            subject = entry.seat if entry.seat.environment else entry.seat.model
            return f"blocked {subject}: {entry.reason} [{entry.code}]; {entry.hint}"
        case Rendered():
            arms = ", ".join(f"{arm} release {release}" for arm, release in entry.arms.items())
            return f"rendered for {entry.target}: {entry.seat}: {arms}"
        case _:
            assert_never(entry)


def _retired(entry: Retire) -> str:
    what = f"rename {entry.model} to {entry.successor}" if entry.successor else f"retire {entry.model}"
    numbers = ", ".join(map(str, entry.releases))
    if not entry.releases:
        return f"{what}: it has no release"
    past = f"release{'s' if len(entry.releases) > 1 else ''} {numbers}"
    return f"{what}: {past} can still be proven from git: modelops audit release {entry.model} N"


def shares(traffic: Traffic, arms: Mapping[str, int]) -> str:
    """Return who takes how much, in words; stable takes the rest."""
    weights = [f"release {arms[arm]} to {weight:.0%}" for arm, weight in traffic.weights.items() if arm != "stable"]
    copies = [f"release {arms[arm]} gets a copy of {share:.0%}" for arm, share in traffic.shadows.items()]
    return ", ".join(weights + copies)


def _plain(value: Any) -> Any:
    if isinstance(value, Exit):
        return int(value)
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
    said: dict[str, object] = {"action": type(entry).__name__}
    for field in fields(entry):
        value = getattr(entry, field.name)
        said |= asdict(value) if isinstance(value, Seat) else {field.name: _plain(value)}
    return said
