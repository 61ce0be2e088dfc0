"""What is seen at one instant: the branch as it counts, how every environment stands, and what stands open."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property

from modelops import audit
from modelops.audit.moments import Moments, introduced, read_moments
from modelops.clock import format_instant
from modelops.errors import ModelOpsError, Problem
from modelops.governance.history import arms_of
from modelops.governance.judged import known, unapproved, unapproved_commits
from modelops.governance.judging.course import Violation
from modelops.project.retired import Retired, retired_models
from modelops.project.state import accepted_roots
from modelops.project.workspace import Workspace, environment
from modelops.reconcile.loop import Condition
from modelops.reconcile.status import EnvironmentStatus, status_of_environments
from modelops.spec.graph import Graph
from modelops.spec.layout import Seat

__all__ = ["FRESH", "House", "Look", "asked"]

FRESH = 5.0
"""Seconds for which what was seen is shown again; what is older is shown once more while it is looked anew."""


@dataclass(frozen=True)
class Look:
    """What was seen: ``tip`` and ``graph`` of the branch, environments in the order of promotion, what nobody approved.

    ``observed`` says whether targets were asked: without that everything is what git says. ``now`` is when.
    """

    workspace: Workspace = field(repr=False)
    tip: str
    graph: Graph = field(repr=False)
    now: datetime
    observed: bool
    environments: tuple[EnvironmentStatus, ...]
    violations: tuple[Violation, ...] = ()

    @cached_property
    def conditions(self) -> Mapping[Seat, Condition]:
        """The conditions by seat."""
        return {Seat(each.model, one.environment): each for one in self.environments for each in one.conditions}

    @cached_property
    def seats(self) -> tuple[Seat, ...]:
        """Every model in every environment that git names, by model."""
        order = [one.environment for one in self.environments]
        return tuple(
            Seat(name, environment)
            for name, entry in self.graph.models.items()
            for environment in order
            if environment in entry.deployments
        )

    @cached_property
    def moments(self) -> Mapping[Seat, Moments]:
        """What every deployment said before, the newest first, read at once."""
        return read_moments(self.workspace.repository, self.tip, self.seats)

    @cached_property
    def names(self) -> Mapping[str, None]:
        """Every model there is, and those of which a wrong file is all there is; sorted."""
        return dict.fromkeys(sorted({*self.graph.models, *self.graph.stalled_models}))

    @cached_property
    def retired(self) -> Mapping[str, Retired]:
        """The models that the branch had and has no more."""
        return retired_models(self.workspace.repository, self.tip)

    def since(self, seat: Seat, arm: str) -> datetime | None:
        """Return since when git names the release of an arm."""
        found = introduced(self.moments.get(seat, ()), arm)
        return found.time if found is not None else None

    def environment(self, name: str) -> EnvironmentStatus | None:
        """Return how an environment stands."""
        return next((one for one in self.environments if one.environment == name), None)


def asked(workspace: Workspace) -> audit.Asked:
    """Return on whose behalf and at which instant the auditor is asked, as `modelops audit` asks."""
    # What nobody approved is known before it is asked whose keys count.
    away = unapproved_commits(workspace)
    accepted = accepted_roots(workspace.state, workspace.environ)
    return audit.Asked(workspace.clock(), accepted, away, workspace.standing(workspace.tip()).unapproved)


def observe(workspace: Workspace) -> Look:
    """Look at git and at every target, as `modelops status` does."""
    environments = status_of_environments(workspace)
    tip, graph = known(workspace)
    return Look(workspace, tip, graph, workspace.clock(), True, environments, unapproved(workspace))


def read(workspace: Workspace) -> Look:
    """Look at git alone, at the instant of the branch's newest commit: the same commit always looks the same."""
    tip = workspace.tip()
    then = workspace.repository.commit(tip).time
    workspace = replace(workspace, clock=lambda: then)
    tip, graph = known(workspace)
    order = sorted(graph.environments, key=lambda key: _rank(graph, key))
    environments = tuple(_from_git(workspace, graph, tip, name) for name in order)
    return Look(workspace, tip, graph, then, False, environments, unapproved(workspace))


def _rank(graph: Graph, name: str) -> tuple[bool, int, str]:
    order = graph.environments[name].spec.order
    return order is None, order or 0, name


def _from_git(workspace: Workspace, graph: Graph, tip: str, name: str) -> EnvironmentStatus:
    """Return what git says of an environment: what is wrong or not proven stalls a model, a trial keeps it moving."""
    found = EnvironmentStatus(name, environment(graph, name).spec.target.type, running=None, synced=None)
    problems = tuple(map(str, workspace.trust_problems()))
    try:
        then = audit.environment(
            workspace.repository, name, workspace.clock(), branch=workspace.branch, asked=asked(workspace)
        )
    except ModelOpsError as error:
        return replace(found, problems=(*problems, *map(str, error.problems)))
    there = {one.model: one for one in then.models}
    conditions = []
    for model, entry in graph.models.items():
        deployment = entry.deployments.get(name)
        if deployment is None or not arms_of(deployment.spec):
            continue
        conditions.append(_said(graph, tip, Seat(model, name), there.get(model), workspace.clock()))
    return replace(found, problems=problems, conditions=tuple(conditions))


def _said(graph: Graph, tip: str, seat: Seat, there: audit.ModelThere | None, now: datetime) -> Condition:
    troubles = graph.troubles(seat.model, seat.environment)
    at = format_instant(now)
    if troubles:
        return Condition(seat.model, "Stalled", troubles[0].code, troubles[0].message, tip, at)
    doubts = _doubts(there)
    if doubts:
        return Condition(seat.model, "Stalled", "not-proven", "; ".join(doubts), tip, at)
    deployment = graph.models[seat.model].deployments[seat.environment].spec
    if deployment.candidate is not None or deployment.challengers:
        tried = deployment.candidate if deployment.candidate is not None else deployment.challengers[0]
        return Condition(seat.model, "Reconciling", "rollout", f"release {tried} is on trial", tip, at)
    return Condition(seat.model, "Ready", "named", f"git names release {deployment.stable}", tip, at)


def _doubts(there: audit.ModelThere | None) -> list[str]:
    """Return what of a model in an environment is not proven, in the words of the auditor."""
    if there is None:
        return []
    told = []
    if there.unapproved is not None:
        told.append(f"commit {there.unapproved.commit[:10]} set it and nobody approved it: {there.unapproved.reason}")
    for name, arm in there.arms.items():
        why = arm.trust.problems or (arm.promotion.trust.problems if arm.promotion is not None else ())
        if arm.unrecorded is not None:
            why = (f"commit {arm.unrecorded.commit[:10]} set it and no record covers it",)
        elif arm.promotion is None:
            why = why or ("no promotion record says why it runs",)
        if not arm.ok:
            told.append(f"{name} release {arm.release} is not proven: {why[0] if why else arm.trust.status}")
    return told


class House:
    """One repository and the newest look at it; one thread at a time asks git and targets."""

    def __init__(self, workspace: Workspace, *, observed: bool = True) -> None:
        self.workspace = workspace
        self.observed = observed
        self.lock = threading.RLock()
        self._look: Look | None = None
        self._at = 0.0
        self._looking = threading.Lock()
        self.trouble: tuple[Problem, ...] = ()

    def look(self) -> Look:
        """Return what was seen last; what is not fresh any more is looked at anew meanwhile.

        Raises what keeps everything from being seen, where nothing was seen before either.
        """
        if self._look is None:
            self.again()
        elif self.observed and time.monotonic() - self._at > FRESH and self._looking.acquire(blocking=False):
            threading.Thread(target=self._behind, daemon=True).start()
        assert self._look is not None, "again() raises where it sees nothing"
        return self._look

    def again(self) -> None:
        """Look now."""
        with self.lock:
            self._look = observe(self.workspace) if self.observed else read(self.workspace)
            self._at = time.monotonic()
            self.trouble = ()

    def _behind(self) -> None:
        try:
            self.again()
        except ModelOpsError as error:
            # What was seen before is shown, and that it is old.
            self.trouble = error.problems
            self._at = time.monotonic()
        finally:
            self._looking.release()
