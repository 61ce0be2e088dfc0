"""Measuring a change for those who decide about it: without a forge, and whatever is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from modelops.changes.proposal import Built, build_change, proposed
from modelops.errors import Exit, ModelOpsError, Problem
from modelops.governance.approvals import RuleVerdict, classify, models_at, policy_at, risks_at, rules_asked
from modelops.governance.waivers import Standing
from modelops.metrics.aims import Aim
from modelops.monitoring.feedback.declared import Declared
from modelops.project.checking import check_since
from modelops.project.workspace import Workspace
from modelops.reconcile.actions import Build
from modelops.reconcile.plan import Plan
from modelops.reconcile.proposed import (
    aims_of_change,
    forecasts_of_change,
    labels_of_change,
    plan_change,
    waivers_of_change,
)
from modelops.rollouts.forecasts import Planned

__all__ = ["Measured", "broken", "measure"]


@dataclass(frozen=True)
class Measured:
    """What merging ``head`` into ``base`` makes (its tree is ``result``), leads to and is worth.

    ``unmeasured`` are models that have to be built and were not; ``rules`` what the approval policy of the base asks.
    """

    head: str
    base: str
    result: str | None = None
    folder: str = ""
    plan: Plan | None = None
    forecasts: tuple[Planned, ...] = ()
    waivers: tuple[Standing, ...] = ()
    built: tuple[Built, ...] = ()
    unmeasured: tuple[str, ...] = ()
    rules: tuple[RuleVerdict, ...] = ()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    exit: Exit = Exit.OK
    labels: tuple[Declared, ...] = ()
    aims: tuple[Aim, ...] = ()

    def failing(self, error: ModelOpsError) -> Measured:
        """Return it with what could not be done; the worst of several exits stays."""
        told = tuple(dict.fromkeys((*self.problems, *error.problems)))
        return replace(self, problems=told, exit=max(self.exit, error.exit))


def broken(head: str, base: str, error: ModelOpsError) -> Measured:
    """Return what is to be said of a change in which nothing can be measured."""
    return Measured(head, base).failing(error)


def measure(workspace: Workspace, since: str, *, build: bool, say: Callable[[str], None]) -> Measured:
    """Check, plan and, unless told otherwise, build and judge what merging the checked-out commit into a base makes.

    One model that cannot be built keeps no other from being measured.
    """
    repository = workspace.repository
    base = repository.resolve(since)
    found = Measured(repository.head(), base, folder=repository.folder)
    findings = check_since(workspace.root, since, workspace.clock().date().isoformat())
    found = replace(found, warnings=tuple(findings.warnings))
    if findings.problems:
        found = found.failing(ModelOpsError(*findings.problems))
    for step in (_asked, _planned, partial(_judged, build=build, say=say)):
        try:
            found = step(workspace, since, found)
        except ModelOpsError as error:
            return found.failing(error)
        if found.problems:
            break
    return found


def _asked(workspace: Workspace, since: str, found: Measured) -> Measured:
    """Add what merging makes, and who is asked to approve that."""
    repository = workspace.repository
    made = proposed(workspace, since, dirty=False)
    assert made is not None
    found = replace(found, result=repository.tree_id(made, ""))
    policy = policy_at(repository, found.base)
    if policy is None:
        return found
    changes = classify(repository.changed_paths(found.base, made), models_at(repository, found.base, made))
    risks = risks_at(repository, {change.model for change in changes}, found.base, made)
    return replace(found, rules=rules_asked(policy, changes, risks))


def _planned(workspace: Workspace, since: str, found: Measured) -> Measured:
    plan = plan_change(workspace, since=since, dirty=False)
    wanted = tuple(dict.fromkeys(entry.model for entry in plan.entries if isinstance(entry, Build)))
    return replace(
        found,
        plan=plan,
        unmeasured=wanted,
        forecasts=forecasts_of_change(workspace, plan.entries, since=since, dirty=False),
        waivers=waivers_of_change(workspace, plan.entries, since=since, dirty=False),
        aims=aims_of_change(workspace, plan.entries, since=since, dirty=False),
        labels=labels_of_change(workspace, plan.entries, since=since, dirty=False),
        exit=max(found.exit, plan.exit),
    )


def _judged(workspace: Workspace, since: str, found: Measured, *, build: bool, say: Callable[[str], None]) -> Measured:
    names: Sequence[str] = found.unmeasured if build else ()
    for name in names:
        try:
            built = build_change(workspace, [name], since=since, dirty=False, say=say)
        except ModelOpsError as error:
            found = found.failing(error)
            continue
        rest = tuple(one for one in found.unmeasured if one != name)
        passed = all(one.judged.passed for one in built)
        found = replace(
            found,
            built=(*found.built, *built),
            unmeasured=rest,
            exit=max(found.exit, Exit.OK if passed else Exit.NO),
        )
    return found
