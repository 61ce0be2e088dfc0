"""Promotions: what may be promoted, the pull request that asks for it, and the record of who approved it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelops.clock import format_instant
from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, Problem, failure
from modelops.evidence import ROLLOUT_OUTCOME, Statement, check_promotion, check_release
from modelops.forges import PullRequest
from modelops.governance.approvals import judge_whole, policy_at
from modelops.governance.history import (
    Moment,
    arms_of,
    came_with,
    deployment_history,
    ever_stable,
    introduced,
    moments_before,
)
from modelops.governance.judged import graph_at, stretch
from modelops.governance.landing import land
from modelops.governance.returns import left_by_return, require_allowed
from modelops.governance.waivers import HINT, lapses, relied_on, require_sound
from modelops.project.retired import records_ever
from modelops.project.signing import mistimed
from modelops.project.workspace import Workspace, environment, model_entry, trusted
from modelops.releases.verdicts import passed
from modelops.repository import Landing, Repository
from modelops.rollouts.state import Role
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.promotion import PromotionSpec, PullRequestReference
from modelops.spec.kinds.release import ReleaseSpec
from modelops.spec.layout import MODELS, PROMOTION_EVIDENCE, ROLLOUT, ReleaseFiles, Seat, in_model, promotions_in
from modelops.spec.rollouts import PLAN_CODES
from modelops.spec.tree import ModelEntry

_ENDS = ("commit", "pull-request")
"""Through what a rollout may end well."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a release that git names may not run here."""

    role: Role
    code: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A release that git names and for which no promotion record exists yet.

    ``approved`` says that the record would be made; it is False while the forge does not answer.
    """

    role: Role
    release: int
    commit: str
    approved: bool = True


def release_evidence(workspace: Workspace, revision: str, model: str, number: int) -> bytes:
    """Return a release's signed statements, empty when the file is missing."""
    return _bytes(workspace, revision, ReleaseFiles(model, number).evidence)


def promotion_evidence(workspace: Workspace, revision: str, model: str, record: str) -> bytes:
    """Return a promotion's signed statements, empty when the file is missing."""
    return _bytes(workspace, revision, PROMOTION_EVIDENCE.path(model, record))


def _bytes(workspace: Workspace, revision: str, path: str) -> bytes:
    # The listing of a whole revision is kept, one per question is not.
    return workspace.repository.read(revision, path) if path in workspace.repository.paths(revision) else b""


def previous(graph: Graph, name: str) -> str | None:
    """Return the environment before another one in the order of promotion."""
    order = environment(graph, name).spec.order
    if order is None:
        return None
    before = [
        found for found in graph.environments.values() if found.spec.order is not None and found.spec.order < order
    ]
    return max(before, key=lambda found: found.spec.order or 0).name if before else None


def _way_there(entry: ModelEntry, seat: Seat, number: int) -> str:
    """Return what makes a release stable where it never was: a promotion, or the end of the trial that it is on."""
    deployment = entry.deployments.get(seat.environment)
    if deployment is not None and number in arms_of(deployment.spec).values():
        return f"its trial there has to end well first: modelops reconcile {seat.environment}"
    return f"promote it there first: modelops promote {seat.model} --to {seat.environment} --release {number}"


def refusals(
    workspace: Workspace, graph: Graph, revision: str, seat: Seat, number: int, role: Role
) -> tuple[Refusal, ...]:
    """Return every reason why a release may not be candidate or stable in an environment."""
    entry = model_entry(graph, seat.model)
    release: Resource[ReleaseSpec] = entry.releases[number]
    deployment: DeploymentSpec = entry.deployments[seat.environment].spec
    found: list[Refusal] = []
    reason = next((denied.reason for denied in deployment.denied if denied.release == number), None)
    if reason is not None:
        found.append(
            Refusal(
                role,
                "release-denied",
                f"release {number} failed here before: {reason}",
                "promote another release, or clear it from spec.denied in a reviewed pull request",
            )
        )
    if not passed(release.spec.verdicts):
        found.append(
            Refusal(
                role,
                "gates-not-passed",
                f"release {number} has gates that did not pass",
                "promote a release that passed",
            )
        )
    if role == "candidate":
        found += _plan_refusals(graph, seat)
    before = previous(graph, seat.environment)
    if before is not None:
        proven = ever_stable(deployment_history(workspace.repository, revision, Seat(seat.model, before)))
        if number not in proven:
            found.append(
                Refusal(
                    role,
                    "not-proven",
                    f"release {number} has never been stable in {before}",
                    _way_there(entry, Seat(seat.model, before), number),
                )
            )
    problem = unproven(workspace, graph, revision, release)
    if problem is not None:
        said, hint = f"release {number}: {problem.message}", problem.hint or "restore the file from git"
        found.append(Refusal(role, problem.code, said, hint))
    return tuple(found)


def unproven(workspace: Workspace, graph: Graph, revision: str, release: Resource[ReleaseSpec]) -> Problem | None:
    """Return why a release's evidence does not prove it; the same bytes are verified once, for all environments."""
    evidence = release_evidence(workspace, revision, str(release.model), int(release.name))
    keys = trusted(workspace, revision)

    def verify() -> Problem | None:
        try:
            check_release(release, evidence, keys)
        except ModelOpsError as error:
            return error.first
        return None

    key = ("release", release.path, release.digest, digest_bytes(evidence), keys.mark)
    return workspace.once(key, verify)


def _plan_refusals(graph: Graph, seat: Seat) -> list[Refusal]:
    """Return why a model's rollout plan, or the arms that it would have here, keep its candidate from a trial."""
    paths = (ROLLOUT.path(seat.model), seat.deployment)
    return [
        Refusal("candidate", problem.code, f"the rollout plan: {problem.message}", problem.hint or "correct the plan")
        for problem in graph.refused
        if problem.code in PLAN_CODES and problem.location is not None and problem.location.path in paths
    ]


def covering_promotion(graph: Graph, seat: Seat, number: int) -> Resource[PromotionSpec] | None:
    """Return the newest promotion record of a release in an environment."""
    records = model_entry(graph, seat.model).promotions
    newest = (records[each] for each in reversed(promotions_in(records, seat.environment)))
    return next((record for record in newest if record.spec.release == number), None)


def proven_stable(workspace: Workspace, graph: Graph, tip: str, seat: Seat) -> tuple[int, ...]:
    """Return the releases that were stable in an environment and are proven to have been, the most recent first.

    What a file said proves nothing: whoever may push may have written it. A signed record of an emergency does, and the
    signed good end of a recorded trial.
    """
    history = deployment_history(workspace.repository, tip, seat)
    return tuple(number for number in ever_stable(history) if _was_proven(workspace, graph, tip, seat, number))


def _was_proven(workspace: Workspace, graph: Graph, tip: str, seat: Seat, number: int) -> bool:
    records = model_entry(graph, seat.model).promotions
    for name in reversed(promotions_in(records, seat.environment)):
        record = records[name]
        if record.spec.release != number:
            continue
        try:
            said = check_promotion(
                record, promotion_evidence(workspace, tip, seat.model, name), trusted(workspace, tip)
            )
        except ModelOpsError:
            continue
        if record.spec.path == "emergency" or any(_ends_well(one, end) for one in said for end in _ENDS):
            return True
    return False


@dataclass(frozen=True)
class Claim:
    """What git says at a tip: a release is an arm of an environment; ``history`` is that of the environment's file."""

    workspace: Workspace
    graph: Graph
    tip: str
    seat: Seat
    role: Role
    release: int
    history: tuple[Moment, ...]


def needs_record(claim: Claim) -> tuple[Moment | None, Refusal | None]:
    """Return the change that still lacks a record, and why an existing record does not count.

    An arm on trial needs the record of the commit that set it. A stable release needs one too, or to have become stable
    in a commit of the loop that follows a recorded trial whose rollout is signed to have succeeded.
    """
    moment = introduced(claim.history, claim.role)
    record = covering_promotion(claim.graph, claim.seat, claim.release)
    if moment is None:
        return None, None
    if record is None:
        return moment, None
    try:
        said = _said(claim, record)
    except ModelOpsError as error:
        problem = error.first
        return None, Refusal(claim.role, problem.code, problem.message, problem.hint or "restore the record from git")
    if record.spec.commit == moment.commit or _landed_with(record, moment, claim.role):
        return None, None
    if claim.role == "stable" and _ended_with(claim, record, moment, said, "commit"):
        return None, None
    return moment, None


def _said(claim: Claim, record: Resource[PromotionSpec]) -> tuple[Statement, ...]:
    workspace = claim.workspace
    evidence = promotion_evidence(workspace, claim.tip, claim.seat.model, record.name)
    chain = workspace.trust(claim.tip)
    said = check_promotion(record, evidence, chain.keyring)
    versions = workspace.repository.line(claim.tip, MODELS).versions(record.path)
    # A machine whose clock is behind goes on watching what runs: what is of the future to it is told by the audit.
    wrong = mistimed(chain, record, said, versions[-1].commit if versions else None)
    if wrong is not None:
        raise ModelOpsError(wrong, exit=Exit.NO)
    return said


def _landed_with(record: Resource[PromotionSpec], moment: Moment, role: Role) -> bool:
    """An automatic or emergency record is part of the very commit that makes the change, so it names its parent."""
    path = "emergency" if role == "stable" else "automatic"
    return record.spec.path == path and record.spec.commit == moment.parent


def _ended_with(
    claim: Claim, record: Resource[PromotionSpec], moment: Moment, said: Sequence[Statement], through: str
) -> bool:
    """Tell whether a release became stable right after its trial, by a change that brought the signed end of it.

    An outcome that was there before speaks of an earlier rollout.
    """
    earlier = moments_before(claim.history, moment)[:1]
    on_trial = bool(earlier) and any(
        number == claim.release for arm, number in earlier[0].arms.items() if arm != "stable"
    )
    if not on_trial or not any(_ends_well(one, through) for one in said):
        return False
    path = PROMOTION_EVIDENCE.path(claim.seat.model, record.name)
    return moment.parent is None or came_with(claim.workspace.repository, claim.tip, moment.commit, path)


def _ends_well(said: Statement, through: str) -> bool:
    """Tell whether a statement is the good end of a rollout; only the loop's own may come without approvals."""
    outcomes = ("succeeded",) if through == "commit" else ("succeeded", "overridden")
    said_through = said.predicate.get("through", "commit")
    return (
        said.predicate_type == ROLLOUT_OUTCOME and said.predicate.get("outcome") in outcomes and said_through == through
    )


def unacceptable(claim: Claim, moment: Moment) -> tuple[Refusal | None, bool]:
    """Return why a change cannot be recorded as approved, if so, and whether it was approved.

    Neither is so when the forge cannot say now.
    """
    try:
        _promotion(claim, moment)
    except ModelOpsError as error:
        problem = error.first
        refused = error.exit is Exit.NO
        said = Refusal(claim.role, problem.code, problem.message, problem.hint or "revert the change")
        return (said if refused else None), False
    return None, True


def record_promotion(
    workspace: Workspace,
    seat: Seat,
    number: int,
    role: Role,
    commit: str,
    more: Callable[[str], Mapping[str, bytes]] = lambda tip: {},
) -> str | None:
    """Check who approved a change of an environment and commit the signed record; refused approvals are an error.

    ``more`` gives what else belongs into the commit, at the tip that it is made on.
    """
    from modelops.releases import next_promotion, promotion_files

    def change(tip: str) -> Landing | None:
        graph = graph_at(workspace, tip)
        require_sound(workspace, graph, tip, seat.model, seat.environment)
        history = deployment_history(workspace.repository, tip, seat)
        claim = Claim(workspace, graph, tip, seat, role, number, history)
        missing, refusal = needs_record(claim)
        if refusal is not None:
            raise failure(refusal.code, refusal.reason, exit=Exit.NO, hint=refusal.hint)
        if missing is None or missing.commit != commit:
            return None
        spec, heard = _promotion(claim, missing)
        existing = records_ever(workspace.repository, tip, seat.model)
        met = stretch(workspace, tip).data()
        at = next_promotion(seat.environment, existing)
        signer = workspace.signer_for("promotion", tip)
        files = promotion_files(spec, number=at, signer=signer, line=met, heard=heard)
        return Landing(
            {in_model(seat.model, path): data for path, data in files.items()} | dict(more(tip)),
            f"Record {seat.model} release {number} as {role} in {seat.environment}",
        )

    return land(workspace, change, "promotion")


def _promotion(claim: Claim, moment: Moment) -> tuple[PromotionSpec, dict[str, str]]:
    """Return the record that a change deserves, and the digests of what the forge answered, by call.

    A change without its pull request or approvals is an error.
    """
    name, number = claim.seat.environment, claim.release
    concluded = False
    if claim.role == "stable":
        record = covering_promotion(claim.graph, claim.seat, number)
        concluded = record is not None and _ended_with(claim, record, moment, _said(claim, record), "pull-request")
        before = moment.parent or moment.commit
        if not concluded and number not in proven_stable(claim.workspace, claim.graph, before, claim.seat):
            raise failure(
                "never-stable",
                f"{name} was set straight to release {number}, which was never stable there",
                exit=Exit.NO,
                hint=f"undo it and promote: modelops promote {claim.seat.model} --to {name} --release {number}",
            )
    else:
        _require_proven_before(claim)
        _require_waived(claim)
    pull = claim.workspace.forge.merged_with(moment.commit)
    returned = left_by_return(claim.history)
    if pull is None and claim.role == "stable" and returned is not None and returned[0] == moment:
        login = require_allowed(claim.workspace.repository, claim.seat, moment)
        return _returned(claim, moment, login), {}
    if pull is None:
        raise failure(
            "no-pull-request",
            f"no merged pull request set {name} to release {number} in {moment.commit[:10]}",
            exit=Exit.NO,
            hint="changes of an environment come by pull request; revert the commit and open one",
        )
    emergency = claim.role == "stable" and not concluded
    return _approved(claim, moment, pull, "emergency" if emergency else "pull-request")


def _require_proven_before(claim: Claim) -> None:
    """Refuse a trial of what only a file calls stable in the environment before, and nothing that is signed."""
    before = previous(claim.graph, claim.seat.environment)
    if before is None:
        return
    seat = Seat(claim.seat.model, before)
    if claim.release not in proven_stable(claim.workspace, claim.graph, claim.tip, seat):
        raise failure(
            "not-proven",
            f"nothing that is signed says that release {claim.release} was stable in {before}",
            exit=Exit.NO,
            hint=f"reconcile {before} first; the way there is modelops promote {claim.seat.model} --to {before}",
        )


def waiver_refusals(
    workspace: Workspace, graph: Graph, revision: str, seat: Seat, number: int, role: Role
) -> tuple[Refusal, ...]:
    """Return why a release may not be put on trial anew, where it was let through by a waiver that counts no more."""
    return tuple(
        Refusal(
            role,
            "waiver-lapsed",
            f"release {number} needs an exception from {one.verdict.policy}/{one.verdict.gate}, and {one.reason}",
            HINT,
        )
        for one in lapses(workspace, graph, revision, seat, number)
    )


def _require_waived(claim: Claim) -> None:
    """Refuse to put a release on trial by exceptions that do not count here and now."""
    for one in waiver_refusals(claim.workspace, claim.graph, claim.tip, claim.seat, claim.release, claim.role):
        raise failure(one.code, one.reason, exit=Exit.NO, hint=one.hint)


def _returned(claim: Claim, moment: Moment, login: str) -> PromotionSpec:
    """Describe a way back that somebody took by git alone."""
    policy = policy_at(claim.workspace.repository, moment.parent or moment.commit)
    release: ReleaseSpec = model_entry(claim.graph, claim.seat.model).releases[claim.release].spec
    return PromotionSpec(
        model=claim.seat.model,
        environment=claim.seat.environment,
        release=release.version,
        artifact=release.artifact.digest,
        evidence=digest_bytes(release_evidence(claim.workspace, claim.tip, claim.seat.model, release.version)),
        path="emergency",
        commit=moment.commit,
        policy=policy.digest if policy is not None else digest_bytes(b""),
        reason=f"{login}: {moment.subject}",
        promoted_at=format_instant(claim.workspace.clock()),
    )


def pull_reference(repository: Repository, pull: PullRequest, base: str, merge: str) -> PullRequestReference:
    """Return what a record keeps of a merged pull request."""
    return PullRequestReference(
        number=pull.number,
        author=pull.author.login,
        author_id=pull.author.id if pull.author.id != pull.author.login.lower() else None,
        head=pull.head,
        head_tree=repository.tree_id(pull.head, "") or pull.head,
        base=base,
        merge=merge,
        result=repository.tree_id(merge, ""),
    )


def _approved(
    claim: Claim, moment: Moment, pull: PullRequest, path: Literal["pull-request", "emergency"]
) -> tuple[PromotionSpec, dict[str, str]]:
    """Judge a merged promotion by the approval policy of its base commit, and describe it with what that rests on."""
    base = moment.parent or moment.commit
    workspace = claim.workspace
    release: ReleaseSpec = model_entry(claim.graph, claim.seat.model).releases[claim.release].spec
    policy, verdict = judge_whole(workspace.repository, workspace.forge, pull, base)
    if policy is None or not verdict.ok:
        raise failure(
            "approval-missing",
            f"pull request {pull.number} was merged without the approvals that {claim.seat.environment} needs: "
            + "; ".join(verdict.reasons),
            exit=Exit.NO,
            hint="revert it and merge it again with approvals",
        )
    spec = PromotionSpec(
        model=claim.seat.model,
        environment=claim.seat.environment,
        release=release.version,
        artifact=release.artifact.digest,
        evidence=digest_bytes(release_evidence(workspace, claim.tip, claim.seat.model, release.version)),
        path=path,
        commit=moment.commit,
        pull_request=pull_reference(workspace.repository, pull, base, moment.commit),
        approvals=verdict.counted,
        policy=policy.digest,
        reason=pull.title,
        promoted_at=format_instant(workspace.clock()),
        waivers=relied_on(workspace, claim.graph, claim.tip, claim.seat, release.version)
        if path != "emergency"
        else (),
    )
    return spec, {one.call: one.digest for one in verdict.heard}
