"""Waivers: which exceptions count now, for what, and who granted them. What was not granted by approval is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

from modelops.errors import Exit, ModelOpsError, Problem
from modelops.governance.approvals import judge_whole
from modelops.project.standing import exit_of
from modelops.project.workspace import Workspace, model_entry
from modelops.spec.graph import Graph
from modelops.spec.judging import rule_of
from modelops.spec.kinds import AnyResource, place
from modelops.spec.kinds.release import VerdictRecord, WaiverUse
from modelops.spec.kinds.waiver import WaiverSpec
from modelops.spec.layout import WAIVER, Seat

__all__ = [
    "HINT",
    "Granted",
    "Lapse",
    "Standing",
    "in_scope",
    "lapses",
    "relied_on",
    "require_sound",
    "standing",
    "standings",
    "troubles",
    "waive",
]

State = Literal["in force", "not begun", "expired", "not granted", "broken", "unknown"]
"""Only what is in force excepts anything from anything."""


@dataclass(frozen=True, slots=True)
class Granted:
    """Who granted a waiver, by the newest commit that changed it; without approvals ``why`` says what is missing.

    ``known`` is False where the forge could not be asked.
    """

    commit: str
    by: tuple[str, ...] = ()
    pull: int | None = None
    why: str = ""
    known: bool = True


@dataclass(frozen=True, slots=True)
class Standing:
    """One waiver as it stands at an instant; ``why`` says what keeps it from counting."""

    name: str
    path: str
    digest: str
    spec: WaiverSpec
    state: State
    days_left: int
    granted: Granted
    why: str = ""

    @property
    def counts(self) -> bool:
        """Whether it excepts anything from anything now."""
        return self.state == "in force"

    def covers(self, verdict: VerdictRecord, model: str, release: int | None) -> bool:
        """Tell whether a verdict is what it is about, whether or not it counts; None is a release still to be made."""
        gate = self.spec.gate
        return (
            gate is not None
            and (gate.policy, gate.gate) == (verdict.policy, verdict.gate)
            and model in self.spec.models
            and (not self.spec.releases or release is None or release in self.spec.releases)
        )

    @property
    def use(self) -> WaiverUse:
        """Return what a record keeps of it."""
        return WaiverUse(
            name=self.name,
            of=self.spec.of,
            digest=self.digest,
            commit=self.granted.commit,
            expires=self.spec.expires,
            granted_by=self.granted.by,
            reason=self.spec.reason,
            environments=self.spec.environments,
        )


def standings(
    workspace: Workspace, graph: Graph, tip: str, models: Iterable[str] | None = None
) -> tuple[Standing, ...]:
    """Return how every waiver of a commit stands now, or those of some models; sorted by name."""
    found = graph.policies.get("Waiver", {})
    wanted = None if models is None else frozenset(models)
    return tuple(
        standing(workspace, graph, tip, found[name])
        for name in sorted(found)
        if wanted is None or not wanted.isdisjoint(found[name].spec.models)
    )


def standing(workspace: Workspace, graph: Graph, tip: str, waiver: AnyResource) -> Standing:
    """Return how one waiver stands now: by its dates, and by the approvals of everything that made it what it is."""
    spec: WaiverSpec = waiver.spec
    today = workspace.clock().date()
    left = (date.fromisoformat(spec.expires) - today).days
    granted = _granted(workspace, tip, waiver.path)
    state, why = _state(spec, granted, today, left)
    wrong = graph.stalled.get(waiver.path)
    if wrong:
        state, why = "broken", wrong[0].message
    return Standing(waiver.name, waiver.path, waiver.digest, spec, state, left, granted, why)


def _state(spec: WaiverSpec, granted: Granted, today: date, left: int) -> tuple[State, str]:
    if not granted.known:
        return "unknown", granted.why
    if granted.why:
        return "not granted", granted.why
    if left < 0:
        return "expired", f"it expired on {spec.expires}"
    if spec.begins is not None and today < date.fromisoformat(spec.begins):
        return "not begun", f"it begins on {spec.begins}"
    return "in force", ""


def _granted(workspace: Workspace, tip: str, path: str) -> Granted:
    """Return who granted a waiver as it is at a commit; found once, where the forge said yes."""
    return workspace.once(("waiver", path, tip), lambda: _judged(workspace, tip, path), lambda one: not one.why)


def _judged(workspace: Workspace, tip: str, path: str) -> Granted:
    """Judge every change of a waiver since it was written anew: one that nobody approved taints those after it."""
    repository = workspace.repository
    commits = repository.log(path, tip, first_parent=True)
    newest: Granted | None = None
    for commit in commits:
        if newest is None and not repository.is_ancestor(commit.id, workspace.tip()):
            return Granted(commit.id, why=f"it is only proposed: {workspace.branch} does not have it yet")
        before = commit.parents[0] if commit.parents else None
        try:
            granted = _approved(workspace, commit.id, before)
        except ModelOpsError as error:
            if error.exit is not Exit.WORLD:
                raise
            return Granted(commit.id, why=f"the forge does not say who granted it: {error.first.message}", known=False)
        newest = newest or granted
        if granted.why:
            return Granted(newest.commit, why=granted.why)
        if before is None or path not in repository.paths(before):
            break
    return newest or Granted(tip, why="no commit of the branch brought it: it is only proposed")


def _approved(workspace: Workspace, commit: str, before: str | None) -> Granted:
    pull = workspace.forge.merged_with(commit)
    if pull is None or before is None:
        return Granted(commit, why=f"{commit[:10]} came without a pull request")
    _, verdict = judge_whole(workspace.repository, workspace.forge, pull, before)
    if not verdict.ok or not verdict.counted:
        why = "; ".join(verdict.reasons) if not verdict.ok else "nobody approved it"
        return Granted(commit, why=f"pull request {pull.number}: {why}")
    return Granted(commit, tuple(one.login for one in verdict.counted), pull.number)


def waive(
    verdicts: Sequence[VerdictRecord], found: Iterable[Standing], model: str, release: int | None
) -> tuple[VerdictRecord, ...]:
    """Return verdicts with the waivers that let them through; what each gate found stays as it is.

    Where several cover one verdict, the one that counts longest does.
    """
    ranked = sorted((one for one in found if one.counts), key=lambda one: (one.spec.expires, one.name), reverse=True)

    def waived(verdict: VerdictRecord) -> VerdictRecord:
        mine = next((one for one in ranked if one.covers(verdict, model, release)), None)
        keep = verdict.blocking and mine is not None
        return verdict.model_copy(update={"waiver": mine.use if keep and mine is not None else None})

    return tuple(map(waived, verdicts))


def troubles(
    workspace: Workspace, graph: Graph, tip: str, model: str, environment: str | None = None
) -> tuple[Problem, ...]:
    """Return what is wrong with the files that a model needs, but for rules that it is excepted from here and now."""
    found = graph.troubles(model, environment)
    every = _of_rules(workspace, graph, tip, model, found)
    return tuple(problem for problem in found if _excepting(problem, every) is None)


def require_sound(
    workspace: Workspace, graph: Graph, tip: str, model: str, environment: str | None = None
) -> tuple[WaiverUse, ...]:
    """Refuse to go forward with a model whose files are wrong; return the exceptions from rules that this relies on."""
    wrong = troubles(workspace, graph, tip, model, environment)
    if wrong:
        raise ModelOpsError(*wrong, exit=exit_of(wrong))
    found = graph.troubles(model, environment)
    every = _of_rules(workspace, graph, tip, model, found)
    used = (_excepting(problem, every) for problem in found)
    return tuple({one.name: one.use for one in used if one is not None}.values())


def _of_rules(
    workspace: Workspace, graph: Graph, tip: str, model: str, found: Sequence[Problem]
) -> tuple[Standing, ...]:
    if not any(rule_of(problem) for problem in found):
        return ()
    every = standings(workspace, graph, tip, [model])
    return tuple(one for one in every if one.counts and one.spec.rule is not None)


def _excepting(problem: Problem, every: Iterable[Standing]) -> Standing | None:
    """Return the waiver that excepts a file from a rule that it does not meet, if some does."""
    rule = rule_of(problem)
    placed = place(problem.location.path) if problem.location is not None else None
    if rule is None or placed is None:
        return None
    kind, model, name = placed
    for one in every:
        here = kind != "Deployment" or in_scope(one.spec.environments, name)
        if one.spec.rule == rule and model in one.spec.models and here:
            return one
    return None


@dataclass(frozen=True, slots=True)
class Lapse:
    """Why a release that was let through by a waiver may not be promoted now."""

    verdict: VerdictRecord
    reason: str


def relied_on(workspace: Workspace, graph: Graph, tip: str, seat: Seat, number: int) -> tuple[WaiverUse, ...]:
    """Return the waivers by which a release may be promoted now, as they stand; each once."""
    found = _renewed(workspace, graph, tip, seat, number)
    return tuple({one.name: one.use for _, one in found if one is not None}.values())


def lapses(workspace: Workspace, graph: Graph, tip: str, seat: Seat, number: int) -> tuple[Lapse, ...]:
    """Return which waived verdicts of a release nothing excepts any more, for a new promotion of it to an environment.

    What was promoted before stays what it is: this is asked of promotions that are still to be recorded.
    """
    every = standings(workspace, graph, tip, [seat.model]) if _waived(graph, seat.model, number) else ()
    return tuple(
        Lapse(verdict, _why_not(verdict, every, seat, number))
        for verdict, mine in _renewed(workspace, graph, tip, seat, number)
        if mine is None
    )


def _waived(graph: Graph, model: str, number: int) -> tuple[VerdictRecord, ...]:
    release = model_entry(graph, model).releases[number]
    return tuple(verdict for verdict in release.spec.verdicts if verdict.waived)


def _renewed(
    workspace: Workspace, graph: Graph, tip: str, seat: Seat, number: int
) -> list[tuple[VerdictRecord, Standing | None]]:
    """Return each waived verdict of a release with a waiver that covers it here and now."""
    verdicts = _waived(graph, seat.model, number)
    every = standings(workspace, graph, tip, [seat.model]) if verdicts else ()
    usable = [one for one in every if one.counts and in_scope(one.spec.environments, seat.environment)]
    usable.sort(key=lambda one: (one.spec.expires, one.name), reverse=True)
    return [
        (verdict, next((one for one in usable if one.covers(verdict, seat.model, number)), None))
        for verdict in verdicts
    ]


def in_scope(environments: Sequence[str], name: str) -> bool:
    """Tell whether a waiver for some environments is for one of them."""
    return "*" in environments or name in environments


def _why_not(verdict: VerdictRecord, every: Sequence[Standing], seat: Seat, number: int) -> str:
    about = [one for one in every if one.covers(verdict, seat.model, number)]
    used = verdict.waiver
    assert used is not None, "it is asked about waived verdicts"
    if not about:
        return f"the waiver {used.name!r} that it was released by is gone"
    said = [
        f"the waiver {one.name!r} is for {', '.join(one.spec.environments)}"
        if one.counts
        else f"the waiver {one.name!r} does not count: {one.why}"
        for one in about
    ]
    return "; ".join(said)


HINT = f"grant one in a reviewed pull request ({WAIVER.path(None, '<name>')}), or promote a release that needs none"
"""What can be done about an exception that does not count."""
