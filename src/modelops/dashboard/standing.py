"""How every model stands in every environment, what hurts first: one judge's words, in the order that people need."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from modelops.changes.remembered import windows
from modelops.dashboard.look import Look
from modelops.errors import ModelOpsError
from modelops.governance.history import arms_of
from modelops.monitoring.retraining import Past
from modelops.monitoring.triage import NOTHING, Kept, peeked
from modelops.reconcile.actions import Blocked, Wait, describe, model_of
from modelops.reconcile.loop import Condition
from modelops.reconcile.status import EnvironmentStatus
from modelops.spec.layout import MODELS, Seat

__all__ = ["ORDER", "WORDS", "Kind", "Standing", "kept_at", "last_window", "row_of", "standing_of", "standings_of"]

Kind = Literal["stalled", "down", "alert", "trial", "unknown", "ready", "none"]
ORDER: tuple[Kind, ...] = ("stalled", "down", "alert", "trial", "unknown", "ready", "none")
"""What hurts most is first."""
HURTING = 3
"""How many kinds of that order need somebody."""
MOVING = 4
"""How many kinds of that order are about something that hurts or moves."""
WORDS: Mapping[Kind, str] = {
    "stalled": "Stalled",
    "down": "Not running",
    "alert": "Alert",
    "trial": "Reconciling",
    "unknown": "Not observed",
    "ready": "Ready",
    "none": "Not deployed",
}


@dataclass(frozen=True, slots=True)
class Standing:
    """How one model stands in one environment: ``arms`` as git names them, since when, and what is done ``next``."""

    seat: Seat
    kind: Kind
    arms: Mapping[str, int]
    paused: bool
    reason: str
    message: str
    since: datetime | None
    next: tuple[str, ...] = ()
    window: Past | None = None

    @property
    def rank(self) -> int:
        """Its place in the order of what hurts."""
        return ORDER.index(self.kind)

    @property
    def word(self) -> str:
        """Its condition in one word, with what kind of Ready a commit alone can say."""
        return "As named" if self.kind == "ready" and self.reason == "named" else WORDS[self.kind]


def last_window(look: Look, seat: Seat) -> tuple[Past, ...]:
    """Return the windows of a seat that were scored on this machine, the oldest first; none of a look at git alone."""
    if not look.observed or look.graph.models[seat.model].monitor is None:
        return ()
    try:
        return tuple(windows(look.workspace.site(seat.environment), seat.model))
    except ModelOpsError:
        return ()


def kept_at(look: Look, seat: Seat) -> Kept:
    """Return the incidents and budgets of a seat as this machine remembers them; none of a look at git alone."""
    if not look.observed or look.graph.models[seat.model].monitor is None:
        return NOTHING
    return peeked(look.workspace.site(seat.environment).runtime, seat.model)


def standing_of(look: Look, seat: Seat) -> Standing:
    """Return how a model stands in an environment, in the words of `modelops status`."""
    deployment = look.graph.models[seat.model].deployments[seat.environment].spec
    arms, condition = arms_of(deployment), look.conditions.get(seat)
    past = last_window(look, seat) if arms else ()
    window = past[-1] if past else None
    kind = _kind(arms, condition, window, look.environment(seat.environment))
    message = condition.message if condition is not None else _why_unknown(look, seat, bool(arms))
    if kind == "alert" and window is not None:
        message = f"the last window alerted ({window.since:%Y-%m-%d} to {window.until:%Y-%m-%d}); {message}"
    return Standing(
        seat,
        kind,
        arms,
        deployment.paused,
        condition.reason if condition is not None else "",
        message,
        _since(look, seat, kind, arms, past),
        _next(look.environment(seat.environment), seat.model),
        window,
    )


def _kind(
    arms: Mapping[str, int], condition: Condition | None, window: Past | None, environment: EnvironmentStatus | None
) -> Kind:
    if not arms:
        return "none"
    if condition is None:
        return "unknown"
    if condition.type == "Stalled":
        return "stalled"
    if environment is not None and environment.running is False:
        return "down"
    if window is not None and window.level == "alert" and window.release == arms.get("stable"):
        return "alert"
    return "trial" if condition.type == "Reconciling" else "ready"


def _why_unknown(look: Look, seat: Seat, deployed: bool) -> str:
    if not deployed:
        return "git names no release here"
    found = look.environment(seat.environment)
    return next(iter(found.problems), found.message) if found is not None else ""


def _since(look: Look, seat: Seat, kind: Kind, arms: Mapping[str, int], past: Collection[Past]) -> datetime | None:
    """Return since when it stands so as git can know: since the wrong file, the trial, or the release."""
    if kind == "stalled":
        line = look.workspace.repository.line(look.tip, MODELS)
        troubles = look.graph.troubles(seat.model, seat.environment)
        found = [
            versions[0].time
            for problem in troubles
            if problem.location is not None and (versions := line.versions(problem.location.path))
        ]
        return min(found, default=None) or look.since(seat, next(iter(arms)))
    if kind == "alert":
        begun: datetime | None = None
        for one in reversed(tuple(past)):
            if one.level != "alert":
                break
            begun = one.until
        return begun
    on_trial = [arm for arm in arms if arm != "stable"]
    return look.since(seat, on_trial[0] if kind == "trial" and on_trial else next(iter(arms))) if arms else None


def _next(environment: EnvironmentStatus | None, model: str) -> tuple[str, ...]:
    """Return what is done next, as the plan says it; what blocks is the condition's own message."""
    if environment is None or environment.seen is None:
        return ()
    mine = (entry for entry in environment.seen.plan.entries if model_of(entry) == model)
    return tuple(
        entry.reason if isinstance(entry, Wait) else describe(entry) for entry in mine if not isinstance(entry, Blocked)
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One model in all environments: who answers for it, and how it stands in each."""

    model: str
    owner: str
    risk: str
    description: str
    seats: Mapping[str, Standing]

    @property
    def team(self) -> str:
        """The folder that it lies in, "" where it lies in none."""
        return self.model.rpartition("/")[0]

    @property
    def worst(self) -> Standing | None:
        """What hurts most of it."""
        return min(self.seats.values(), key=lambda one: one.rank, default=None)

    @property
    def kind(self) -> Kind:
        """The condition of what hurts most."""
        return self.worst.kind if self.worst is not None else "none"


def row_of(look: Look, name: str) -> Row:
    """Return a model in all environments; of one whose file cannot be read nothing is known but what is wrong."""
    entry = look.graph.models.get(name)
    if entry is None:
        told = "; ".join(dict.fromkeys(problem.message for problem in look.graph.troubles(name)))
        standing = Standing(Seat(name, ""), "stalled", {}, False, "file", told, None)
        return Row(name, "", "", "", {"": standing})
    spec = entry.model.spec
    seats = {one.environment: standing_of(look, one) for one in _seats(look, name)}
    return Row(name, spec.owner, spec.risk, spec.description, seats)


def _seats(look: Look, name: str) -> list[Seat]:
    there = look.graph.models[name].deployments
    return [Seat(name, one.environment) for one in look.environments if one.environment in there]


def standings_of(look: Look) -> tuple[Row, ...]:
    """Return every model, what hurts most first, then what stands so the longest, then by name."""
    rows = [row_of(look, name) for name in look.names]
    return tuple(sorted(rows, key=_order))


def _order(row: Row) -> tuple[int, float, str]:
    worst = row.worst
    moment = worst.since.timestamp() if worst is not None and worst.since is not None and worst.rank < MOVING else 9e9
    return ORDER.index(row.kind), moment, row.model
