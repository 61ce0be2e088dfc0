"""Going back by git alone: a change that sets stable to a release that was stable before, as a revert does."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from modelops.errors import Exit, ModelOpsError, failure
from modelops.governance.approvals import approvers_of, policy_at, risks_at
from modelops.governance.history import Moment, ever_stable, legible
from modelops.repository import Repository
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.layout import DEPLOYMENT, Seat, promoted
from modelops.spec.load import load_resource

__all__ = ["left_by_return", "require_allowed", "reverted_trial", "without_reverted"]


def left_by_return(history: tuple[Moment, ...]) -> tuple[Moment, int] | None:
    """Return the change since which stable is a release that was stable before, and the release it left.

    None where stable came to be what it is in another way.
    """
    history = legible(history)
    for new, old in pairwise(history):
        if new.stable == old.stable:
            continue
        back = new.stable is not None and new.stable in ever_stable(history[history.index(old) + 1 :])
        return (new, old.stable) if back and old.stable is not None else None
    return None


def reverted_trial(history: tuple[Moment, ...]) -> Moment | None:
    """Return the change that took a release out of the stable place and put it back on trial, if it still is there.

    That is what reverting the end of a rollout does. Whoever reverts it wants the release gone, so it is not tried.
    """
    found = left_by_return(history)
    if found is None:
        return None
    moment, left = found
    since = legible(history[: history.index(moment) + 1])
    return moment if all(one.candidate == left for one in since) else None


def require_allowed(repository: Repository, seat: Seat, moment: Moment, policies: str | None = None) -> str:
    """Return who went back by a change that no pull request brought, or say why that does not count.

    It must change nothing but which release this model's stable one is in this environment, bring nothing to trial but
    what it takes out of there, clear nothing that was denied, and be written and committed by people who may approve
    promotions there. Who they are is what git says of them: a branch that anybody may push to takes their word.
    ``policies`` is the commit whose approval policy counts, where that is not the one before the change.
    """
    base = moment.parent or moment.commit
    others = [path for path in repository.changed_paths(base, moment.commit) if not _of_the_seat(path, seat)]
    if others:
        raise _refused(seat, moment, f"it changes {', '.join(others[:3])} as well")
    more = _more_than_back(repository, seat, moment, base)
    if more is not None:
        raise _refused(seat, moment, more)
    policy = policy_at(repository, policies or base)
    risk = risks_at(repository, {seat.model}, base, moment.commit).get(seat.model)
    allowed = approvers_of(policy, seat.environment, risk) if policy is not None else set()
    commit = repository.commit(moment.commit)
    people = {commit.author.login.lower(), commit.committer.login.lower()}
    if not people <= allowed:
        who = " and ".join(sorted(people - allowed))
        raise _refused(
            seat, moment, f"{who} may not approve promotions there: {', '.join(sorted(allowed)) or 'nobody'} may"
        )
    return commit.author.login


def _more_than_back(repository: Repository, seat: Seat, moment: Moment, base: str) -> str | None:
    """Return what a change does beside going back to a release, None where that is all."""
    path = seat.deployment
    then: DeploymentSpec = load_resource(repository.read(base, path), path).spec
    now: DeploymentSpec = load_resource(repository.read(moment.commit, path), path).spec
    denied = {one.release for one in then.denied}
    cleared = denied - {one.release for one in now.denied}
    if cleared:
        return f"it clears release {' and '.join(map(str, sorted(cleared)))}, which is denied there"
    if now.stable in denied:
        return f"release {now.stable} is denied there"
    if then.paused and not now.paused and now.candidate is not None:
        return "it resumes a rollout that is paused"
    trial, before = (now.candidate, now.challengers), (then.candidate, then.challengers)
    if trial not in ((None, ()), before) and now.candidate != then.stable:
        return f"it puts release {now.candidate} on trial"
    return None


def _of_the_seat(path: str, seat: Seat) -> bool:
    return DEPLOYMENT.parse(path) == (seat.model, seat.environment) or promoted(path) == (seat.model, seat.environment)


def _refused(seat: Seat, moment: Moment, why: str) -> ModelOpsError:
    return failure(
        "no-pull-request",
        f"no merged pull request set {seat.environment} to release {moment.stable} in {moment.commit[:10]}, and as a "
        f"way back it does not count: {why}",
        exit=Exit.NO,
        hint=f"say it by name: modelops rollback {seat.model} --environment {seat.environment} --to {moment.stable} "
        "--reason WHY",
    )


def without_reverted(arms: Mapping[str, int], history: tuple[Moment, ...]) -> dict[str, int]:
    """Return the arms that an environment is to have once what a revert put back on trial is left out."""
    return {arm: release for arm, release in arms.items() if arm == "stable" or reverted_trial(history) is None}
