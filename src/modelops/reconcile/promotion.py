"""Promotions: what may be promoted, the pull request that asks for it, and the record of who approved it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modelops import plugins
from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import ROLLOUT_OUTCOME, Statement, check_promotion, check_release, digest_bytes
from modelops.forges import PullRequest
from modelops.gates._run import passed
from modelops.reconcile.actions import Role
from modelops.reconcile.approvals import judge_whole
from modelops.reconcile.history import Moment, arms_of, deployment_history, deployment_path, ever_stable, introduced
from modelops.reconcile.plan import Refusal
from modelops.reconcile.workspace import MACHINE, Workspace, environment, model_entry, slug, trust
from modelops.repository import Landing, Repository
from modelops.spec.delivery import DeploymentSpec, MetricValue, PromotionSpec, PullRequestReference, ReleaseSpec
from modelops.spec.edit import append, set_value
from modelops.spec.graph import Graph, ModelEntry
from modelops.spec.kinds import Resource
from modelops.spec.rollouts import PLAN_CODES

EVIDENCE = "evidence.intoto.jsonl"


@dataclass(frozen=True)
class Proposal:
    """An opened promotion pull request and the older ones that it supersedes."""

    pull: PullRequest
    release: int
    superseded: tuple[int, ...]


def release_evidence(workspace: Workspace, revision: str, model: str, number: int) -> bytes:
    """Return a release's signed statements, empty when the file is missing."""
    return _bytes(workspace, revision, f"models/{model}/releases/{number}/{EVIDENCE}")


def promotion_evidence(workspace: Workspace, revision: str, model: str, name: str) -> bytes:
    """Return a promotion's signed statements, empty when the file is missing."""
    return _bytes(workspace, revision, f"models/{model}/promotions/{name}.intoto.jsonl")


def _bytes(workspace: Workspace, revision: str, path: str) -> bytes:
    # The listing of a whole revision is kept, one per question is not.
    return workspace.repository.read(revision, path) if path in workspace.repository.paths(revision) else b""


def _previous(graph: Graph, name: str) -> str | None:
    order = environment(graph, name).spec.order
    if order is None:
        return None
    before = [
        found for found in graph.environments.values() if found.spec.order is not None and found.spec.order < order
    ]
    return max(before, key=lambda found: found.spec.order or 0).name if before else None


def refusals(
    workspace: Workspace, graph: Graph, revision: str, model: str, name: str, number: int, role: Role
) -> tuple[Refusal, ...]:
    """Return every reason why a release may not be candidate or stable in an environment."""
    entry = model_entry(graph, model)
    release: Resource[ReleaseSpec] = entry.releases[number]
    deployment: DeploymentSpec = entry.deployments[name].spec
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
        found += _plan_refusals(graph, model, name)
    previous = _previous(graph, name)
    if previous is not None:
        proven = ever_stable(deployment_history(workspace.repository, revision, model, previous))
        if number not in proven:
            found.append(
                Refusal(
                    role,
                    "not-proven",
                    f"release {number} has never been stable in {previous}",
                    f"promote it there first: modelops promote {model} --to {previous} --release {number}",
                )
            )
    try:
        check_release(release, release_evidence(workspace, revision, model, number), trust(graph))
    except ModelOpsError as error:
        problem = error.problems[0]
        found.append(
            Refusal(
                role, problem.code, f"release {number}: {problem.message}", problem.hint or "restore the file from git"
            )
        )
    return tuple(found)


def _plan_refusals(graph: Graph, model: str, name: str) -> list[Refusal]:
    """Return why a model's rollout plan, or the arms that it would have here, keep its candidate from a trial."""
    paths = (f"models/{model}/rollout.yaml", deployment_path(model, name))
    return [
        Refusal("candidate", problem.code, f"the rollout plan: {problem.message}", problem.hint or "correct the plan")
        for problem in graph.refused
        if problem.code in PLAN_CODES and problem.location is not None and problem.location.path in paths
    ]


def propose(workspace: Workspace, model: str, name: str, number: int | None, *, challenger: bool = False) -> Proposal:
    """Open the one-line pull request that puts a release on trial: as candidate, or as challenger beside it."""
    tip, graph = workspace.desired()
    entry = model_entry(graph, model)
    environment(graph, name)
    if name not in entry.deployments:
        raise failure(
            "no-deployment",
            f"{model} has no {deployment_path(model, name)}",
            exit=Exit.NO,
            hint="add the file with `stable: null` in a pull request",
        )
    if not entry.releases:
        raise failure("no-release", f"{model} has no release yet", exit=Exit.NO, hint=f"modelops release {model}")
    chosen = number if number is not None else max(entry.releases)
    if chosen not in entry.releases:
        known = ", ".join(map(str, sorted(entry.releases)))
        raise failure("unknown-release", f"{model} has no release {chosen}", exit=Exit.USAGE, hint=f"releases: {known}")
    arms = arms_of(entry.deployments[name].spec)
    there = next((arm for arm, release in arms.items() if release == chosen), None)
    if there is not None:
        raise failure("already-there", f"release {chosen} is already {there.partition('-')[0]} in {name}", exit=Exit.NO)
    if challenger:
        _require_room(entry, name, arms)
    role = f"challenger-{chosen}" if challenger else "candidate"
    refused = refusals(workspace, graph, tip, model, name, chosen, role)
    if refused:
        raise ModelOpsError(*(failure(r.code, r.reason, hint=r.hint).problems[0] for r in refused), exit=Exit.NO)
    return _open(workspace, graph, tip, model, name, chosen, role)


def _require_room(entry: ModelEntry, name: str, arms: Mapping[Role, int]) -> None:
    """Refuse a challenger where nothing can be challenged, or where the strategy takes no further arm."""
    model = entry.model.name
    if "stable" not in arms or "candidate" not in arms:
        raise failure(
            "no-candidate",
            f"{model} has no stable release and candidate in {name} to challenge",
            exit=Exit.NO,
            hint=f"promote it as the candidate: modelops promote {model} --to {name}",
        )
    plan = entry.rollout.spec.strategy.type if entry.rollout is not None else "canary"
    most = plugins.load("strategies", plan).ARMS[1]
    if len(arms) >= most:
        raise failure(
            "too-many-arms",
            f"the strategy {plan} takes {most} arms, and {name} has {len(arms)}",
            exit=Exit.NO,
            hint="ab-test and bandit take more arms" if most == 2 else "wait until the rollout has ended",
        )


def _open(workspace: Workspace, graph: Graph, tip: str, model: str, name: str, chosen: int, role: Role) -> Proposal:
    path = deployment_path(model, name)
    label = f"promote:{model}:{name}"
    data = workspace.repository.read(tip, path)
    if role == "candidate":
        branch = f"modelops/promote/{slug(model)}/{name}/{chosen}"
        title = f"Promote {model} release {chosen} to {name}"
        edited = set_value(data, "spec.candidate", chosen, path)
    else:
        branch = f"modelops/promote/{slug(model)}/{name}/{role}"
        title = f"Promote {model} release {chosen} to {name} as a challenger"
        label = f"{label}:{role}"
        edited = append(data, "spec.challengers", chosen, path)
    commit = workspace.repository.commit_files(tip, {path: edited}, title, workspace.person, workspace.clock())
    body = promotion_body(graph, model, name, chosen, role)
    pull = open_pull(workspace, branch, commit, title, body, label, workspace.login)
    older = [old for old in workspace.forge.list("open") if label in old.labels and old.number != pull.number]
    for old in older:
        workspace.forge.close(old.number, superseded_by=pull.number)
    return Proposal(pull, chosen, tuple(old.number for old in older))


def open_pull(
    workspace: Workspace, branch: str, commit: str, title: str, body: str, label: str, login: str
) -> PullRequest:
    """Push a branch and open its pull request; one that is open for the branch already is kept, with the new head."""
    repository = workspace.repository
    repository.push_branch(branch, commit, expected=repository.find_tip(branch))
    same = next((pull for pull in workspace.forge.list("open") if pull.source == branch), None)
    return same or workspace.forge.open(
        title=title, body=body, source=branch, as_=login, now=workspace.clock(), labels=(label,)
    )


def promotion_body(graph: Graph, model: str, name: str, number: int, role: Role = "candidate") -> str:
    """Return what the reviewer of a promotion reads."""
    entry = model_entry(graph, model)
    release: ReleaseSpec = entry.releases[number].spec
    deployment: DeploymentSpec = entry.deployments[name].spec
    stable = entry.releases[deployment.stable].spec if deployment.stable is not None else None
    headers = ["metric", f"release {number}", *([f"stable release {stable.version}"] if stable else [])]
    before = {metric.name: metric for metric in stable.metrics} if stable is not None else {}
    rows = [
        [metric.name, _interval(metric), *([_interval(before.get(metric.name))] if stable is not None else [])]
        for metric in release.metrics
    ]
    lines = [" | ".join(row) for row in ([headers, ["---"] * len(headers), *rows])]
    verdicts = [f"- {v.verdict}: {v.policy}/{v.gate}: {v.reason}" for v in release.verdicts]
    return "\n".join(
        [
            f"Makes release {number} of {model} {_becomes(name, role)}",
            "",
            *(f"| {line} |" for line in lines),
            "",
            *verdicts,
            "",
            f"Artifact `{release.artifact.digest}`, trained on `{release.data.snapshot}` ({release.data.rows} rows), "
            f"code `{release.code.commit}`.",
        ]
    )


def _becomes(name: str, role: Role) -> str:
    if role == "candidate":
        return f"the candidate of {name}; the rollout decides if it becomes stable."
    return f"a challenger in {name}; the rollout there begins again with one arm more."


def _interval(metric: MetricValue | None) -> str:
    return f"{metric.value:.4g} [{metric.lower:.4g}, {metric.upper:.4g}]" if metric is not None else "not measured"


def covering_promotion(graph: Graph, model: str, name: str, number: int) -> Resource[PromotionSpec] | None:
    """Return the newest promotion record of a release in an environment."""
    entry = model_entry(graph, model)
    found = [
        (int(record.name.rpartition("-")[2]), record)
        for record in entry.promotions.values()
        if record.spec.environment == name and record.spec.release == number
    ]
    return max(found, key=lambda pair: pair[0])[1] if found else None


@dataclass(frozen=True)
class Claim:
    """What git says at a tip: a release is an arm of an environment; ``history`` is that of the environment's file."""

    workspace: Workspace
    graph: Graph
    tip: str
    model: str
    environment: str
    role: Role
    release: int
    history: tuple[Moment, ...]


def needs_record(claim: Claim) -> tuple[Moment | None, Refusal | None]:
    """Return the change that still lacks a record, and why an existing record does not count.

    An arm on trial needs the record of the commit that set it. A stable release needs one too, or to have become stable
    in a commit of the loop that follows a recorded trial whose rollout is signed to have succeeded.
    """
    moment = introduced(claim.history, claim.role)
    record = covering_promotion(claim.graph, claim.model, claim.environment, claim.release)
    if moment is None:
        return None, None
    if record is None:
        return moment, None
    try:
        said = _said(claim, record)
    except ModelOpsError as error:
        problem = error.problems[0]
        return None, Refusal(claim.role, problem.code, problem.message, problem.hint or "restore the record from git")
    if record.spec.commit == moment.commit or _landed_with(record, moment, claim.role):
        return None, None
    if claim.role == "stable" and _ended_with(claim, record, moment, said, "commit"):
        return None, None
    return moment, None


def _said(claim: Claim, record: Resource[PromotionSpec]) -> tuple[Statement, ...]:
    evidence = promotion_evidence(claim.workspace, claim.tip, claim.model, record.name)
    return check_promotion(record, evidence, trust(claim.graph))


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
    before = claim.history[claim.history.index(moment) + 1 :][:1]
    on_trial = bool(before) and any(
        number == claim.release for arm, number in before[0].arms.items() if arm != "stable"
    )
    if not on_trial or not any(_ends_well(one, through) for one in said):
        return False
    path = f"models/{claim.model}/promotions/{record.name}.intoto.jsonl"
    changed = claim.workspace.repository.changed_paths
    return moment.parent is None or path in changed(moment.parent, moment.commit)


def _ends_well(said: Statement, through: str) -> bool:
    """Tell whether a statement is the good end of a rollout; only the loop's own may come without approvals."""
    outcomes = ("succeeded",) if through == "commit" else ("succeeded", "overridden")
    said_through = said.predicate.get("through", "commit")
    return (
        said.predicate_type == ROLLOUT_OUTCOME and said.predicate.get("outcome") in outcomes and said_through == through
    )


def unacceptable(claim: Claim, moment: Moment) -> Refusal | None:
    """Return why a change cannot be recorded as approved, or None when it can, or when the forge cannot say now."""
    try:
        _promotion(claim, moment)
    except ModelOpsError as error:
        problem = error.problems[0]
        if error.exit is Exit.NO:
            return Refusal(claim.role, problem.code, problem.message, problem.hint or "revert the change")
    return None


def record_promotion(workspace: Workspace, model: str, name: str, number: int, role: Role, commit: str) -> str | None:
    """Check who approved a change of an environment and commit the signed record; refused approvals are an error."""
    from modelops.releases import next_promotion, promotion_files

    def change(tip: str) -> Landing | None:
        graph = workspace.graph(tip)
        history = deployment_history(workspace.repository, tip, model, name)
        claim = Claim(workspace, graph, tip, model, name, role, number, history)
        missing, refusal = needs_record(claim)
        if refusal is not None:
            raise failure(refusal.code, refusal.reason, exit=Exit.NO, hint=refusal.hint)
        if missing is None or missing.commit != commit:
            return None
        spec = _promotion(claim, missing)
        existing = model_entry(graph, model).promotions
        files = promotion_files(spec, number=next_promotion(name, existing), signer=workspace.signer)
        return Landing(
            {f"models/{model}/{path}": data for path, data in files.items()},
            f"Record {model} release {number} as {role} in {name}",
        )

    return workspace.repository.land(workspace.branch, change, MACHINE, workspace.clock())


def _promotion(claim: Claim, moment: Moment) -> PromotionSpec:
    """Return the record that a change deserves; a change without its pull request or approvals is an error."""
    name, number = claim.environment, claim.release
    concluded = False
    if claim.role == "stable":
        record = covering_promotion(claim.graph, claim.model, name, number)
        concluded = record is not None and _ended_with(claim, record, moment, _said(claim, record), "pull-request")
        if not concluded and number not in ever_stable(claim.history[claim.history.index(moment) + 1 :]):
            raise failure(
                "never-stable",
                f"{name} was set straight to release {number}, which was never stable there",
                exit=Exit.NO,
                hint=f"undo it and promote: modelops promote {claim.model} --to {name} --release {number}",
            )
    pull = claim.workspace.forge.merged_with(moment.commit)
    if pull is None:
        raise failure(
            "no-pull-request",
            f"no merged pull request set {name} to release {number} in {moment.commit[:10]}",
            exit=Exit.NO,
            hint="changes of an environment come by pull request; revert the commit and open one",
        )
    emergency = claim.role == "stable" and not concluded
    return _approved(claim, moment, pull, "emergency" if emergency else "pull-request")


def pull_reference(repository: Repository, pull: PullRequest, base: str, merge: str) -> PullRequestReference:
    """Return what a record keeps of a merged pull request."""
    return PullRequestReference(
        number=pull.number,
        author=pull.author,
        head=pull.head,
        head_tree=repository.tree_id(pull.head, "") or pull.head,
        base=base,
        merge=merge,
    )


def _approved(
    claim: Claim, moment: Moment, pull: PullRequest, path: Literal["pull-request", "emergency"]
) -> PromotionSpec:
    """Judge a merged promotion by the approval policy of its base commit, and describe it."""
    base = moment.parent or moment.commit
    workspace = claim.workspace
    release: ReleaseSpec = model_entry(claim.graph, claim.model).releases[claim.release].spec
    policy, verdict = judge_whole(workspace.repository, pull, base)
    if policy is None or not verdict.ok:
        raise failure(
            "approval-missing",
            f"pull request {pull.number} was merged without the approvals that {claim.environment} needs: "
            + "; ".join(verdict.reasons),
            exit=Exit.NO,
            hint="revert it and merge it again with approvals",
        )
    return PromotionSpec(
        model=claim.model,
        environment=claim.environment,
        release=release.version,
        artifact=release.artifact.digest,
        evidence=digest_bytes(release_evidence(workspace, claim.tip, claim.model, release.version)),
        path=path,
        commit=moment.commit,
        pull_request=pull_reference(workspace.repository, pull, base, moment.commit),
        approvals=verdict.counted,
        policy=policy.digest,
        reason=pull.title,
        promoted_at=format_instant(workspace.clock()),
    )
