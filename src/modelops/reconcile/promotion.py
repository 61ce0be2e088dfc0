"""Promotions: what may be promoted, the pull request that asks for it, and the record of who approved it."""

from __future__ import annotations

from dataclasses import dataclass

from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import ROLLOUT_OUTCOME, Statement, check_promotion, check_release, digest_bytes
from modelops.forges import PullRequest
from modelops.gates._run import passed
from modelops.reconcile.actions import Role
from modelops.reconcile.approvals import judge_whole
from modelops.reconcile.history import Moment, deployment_history, deployment_path, ever_stable, introduced
from modelops.reconcile.plan import Refusal
from modelops.reconcile.workspace import MACHINE, Workspace, environment, model_entry, slug, trust
from modelops.repository import Landing, Repository
from modelops.spec.delivery import DeploymentSpec, MetricValue, PromotionSpec, PullRequestReference, ReleaseSpec
from modelops.spec.edit import set_value
from modelops.spec.graph import Graph
from modelops.spec.kinds import Resource

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
    if role == "candidate" and any(denied.release == number for denied in deployment.denied):
        reason = next(denied.reason for denied in deployment.denied if denied.release == number)
        found.append(
            Refusal(
                "candidate",
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


def propose(workspace: Workspace, model: str, name: str, number: int | None) -> Proposal:
    """Open the one-line pull request that makes a release the candidate of an environment."""
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
    deployment: DeploymentSpec = entry.deployments[name].spec
    if chosen in (deployment.stable, deployment.candidate):
        role = "stable" if deployment.stable == chosen else "candidate"
        raise failure("already-there", f"release {chosen} is already {role} in {name}", exit=Exit.NO)
    refused = refusals(workspace, graph, tip, model, name, chosen, "candidate")
    if refused:
        raise ModelOpsError(*(failure(r.code, r.reason, hint=r.hint).problems[0] for r in refused), exit=Exit.NO)
    return _open(workspace, graph, tip, model, name, chosen)


def _open(workspace: Workspace, graph: Graph, tip: str, model: str, name: str, chosen: int) -> Proposal:
    path = deployment_path(model, name)
    branch = f"modelops/promote/{slug(model)}/{name}/{chosen}"
    label = f"promote:{model}:{name}"
    title = f"Promote {model} release {chosen} to {name}"
    now = workspace.clock()
    edited = set_value(workspace.repository.read(tip, path), "spec.candidate", chosen, path)
    commit = workspace.repository.commit_files(tip, {path: edited}, title, workspace.person, now)
    repository = workspace.repository
    repository.push_branch(branch, commit, expected=repository.find_tip(branch))
    older = [pull for pull in workspace.forge.list("open") if label in pull.labels]
    same = next((pull for pull in older if pull.source == branch), None)
    pull = same or workspace.forge.open(
        title=title,
        body=promotion_body(graph, model, name, chosen),
        source=branch,
        as_=workspace.login,
        now=now,
        labels=(label,),
    )
    superseded = tuple(p.number for p in older if p.number != pull.number)
    for old in superseded:
        workspace.forge.close(old, superseded_by=pull.number)
    return Proposal(pull, chosen, superseded)


def promotion_body(graph: Graph, model: str, name: str, number: int) -> str:
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
            f"Makes release {number} of {model} the candidate of {name}; the rollout decides if it becomes stable.",
            "",
            *(f"| {line} |" for line in lines),
            "",
            *verdicts,
            "",
            f"Artifact `{release.artifact.digest}`, trained on `{release.data.snapshot}` ({release.data.rows} rows), "
            f"code `{release.code.commit}`.",
        ]
    )


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


def needs_record(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    model: str,
    name: str,
    role: Role,
    number: int,
    history: tuple[Moment, ...],
) -> tuple[Moment | None, Refusal | None]:
    """Return the change that still lacks a record, and why an existing record does not count.

    A candidate needs the record of the commit that set it. A stable release needs one too, or to have become stable in
    a commit that follows a recorded candidacy whose rollout is signed to have succeeded.
    """
    moment = introduced(history, role)
    record = covering_promotion(graph, model, name, number)
    if moment is None:
        return None, None
    if record is None:
        return moment, None
    try:
        said = check_promotion(record, promotion_evidence(workspace, tip, model, record.name), trust(graph))
    except ModelOpsError as error:
        problem = error.problems[0]
        return None, Refusal(role, problem.code, problem.message, problem.hint or "restore the record from git")
    if record.spec.commit == moment.commit or _landed_with(record, moment, role):
        return None, None
    if role == "stable" and _was_candidate(history, moment, number) and any(map(_succeeded, said)):
        # The signed outcome came with this very commit; one that was there before speaks of an earlier rollout.
        path = f"models/{model}/promotions/{record.name}.intoto.jsonl"
        if moment.parent is None or path in workspace.repository.changed_paths(moment.parent, moment.commit):
            return None, None
    return moment, None


def _landed_with(record: Resource[PromotionSpec], moment: Moment, role: Role) -> bool:
    """An automatic or emergency record is part of the very commit that makes the change, so it names its parent."""
    path = "automatic" if role == "candidate" else "emergency"
    return record.spec.path == path and record.spec.commit == moment.parent


def _was_candidate(history: tuple[Moment, ...], moment: Moment, number: int) -> bool:
    """Tell whether a release was on trial right before it became stable."""
    before = history[history.index(moment) + 1 :][:1]
    return bool(before) and before[0].candidate == number


def _succeeded(said: Statement) -> bool:
    return said.predicate_type == ROLLOUT_OUTCOME and said.predicate.get("outcome") == "succeeded"


def unacceptable(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    model: str,
    name: str,
    number: int,
    role: Role,
    moment: Moment,
    history: tuple[Moment, ...],
) -> Refusal | None:
    """Return why a change cannot be recorded as approved, or None when it can, or when the forge cannot say now."""
    try:
        _promotion(workspace, graph, tip, model, name, number, role, moment, history)
    except ModelOpsError as error:
        problem = error.problems[0]
        if error.exit is Exit.NO:
            return Refusal(role, problem.code, problem.message, problem.hint or "revert the change")
    return None


def record_promotion(workspace: Workspace, model: str, name: str, number: int, role: Role, commit: str) -> str | None:
    """Check who approved a change of an environment and commit the signed record; refused approvals are an error."""
    from modelops.releases import next_promotion, promotion_files

    def change(tip: str) -> Landing | None:
        graph = workspace.graph(tip)
        history = deployment_history(workspace.repository, tip, model, name)
        missing, refusal = needs_record(workspace, graph, tip, model, name, role, number, history)
        if refusal is not None:
            raise failure(refusal.code, refusal.reason, exit=Exit.NO, hint=refusal.hint)
        if missing is None or missing.commit != commit:
            return None
        spec = _promotion(workspace, graph, tip, model, name, number, role, missing, history)
        existing = model_entry(graph, model).promotions
        files = promotion_files(spec, number=next_promotion(name, existing), signer=workspace.signer)
        return Landing(
            {f"models/{model}/{path}": data for path, data in files.items()},
            f"Record {model} release {number} as {role} in {name}",
        )

    return workspace.repository.land(workspace.branch, change, MACHINE, workspace.clock())


def _promotion(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    model: str,
    name: str,
    number: int,
    role: Role,
    moment: Moment,
    history: tuple[Moment, ...],
) -> PromotionSpec:
    release: ReleaseSpec = model_entry(graph, model).releases[number].spec
    if role == "stable" and number not in ever_stable(history[history.index(moment) + 1 :]):
        raise failure(
            "never-stable",
            f"{name} was set straight to release {number}, which was never stable there",
            exit=Exit.NO,
            hint=f"undo it and promote: modelops promote {model} --to {name} --release {number}",
        )
    pull = workspace.forge.merged_with(moment.commit)
    if pull is None:
        raise failure(
            "no-pull-request",
            f"no merged pull request set {name} to release {number} in {moment.commit[:10]}",
            exit=Exit.NO,
            hint="changes of an environment come by pull request; revert the commit and open one",
        )
    return approved_promotion(workspace, graph, tip, model, name, release, role, moment, pull)


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


def approved_promotion(
    workspace: Workspace,
    graph: Graph,
    tip: str,
    model: str,
    name: str,
    release: ReleaseSpec,
    role: Role,
    moment: Moment,
    pull: PullRequest,
) -> PromotionSpec:
    """Judge a merged promotion by the approval policy of its base commit, and describe it."""
    base = moment.parent or moment.commit
    repository = workspace.repository
    policy, verdict = judge_whole(repository, pull, base)
    if policy is None or not verdict.ok:
        raise failure(
            "approval-missing",
            f"pull request {pull.number} was merged without the approvals that {name} needs: "
            + "; ".join(verdict.reasons),
            exit=Exit.NO,
            hint="revert it and merge it again with approvals",
        )
    return PromotionSpec(
        model=model,
        environment=name,
        release=release.version,
        artifact=release.artifact.digest,
        evidence=digest_bytes(release_evidence(workspace, tip, model, release.version)),
        path="pull-request" if role == "candidate" else "emergency",
        commit=moment.commit,
        pull_request=pull_reference(repository, pull, base, moment.commit),
        approvals=verdict.counted,
        policy=policy.digest,
        reason=pull.title,
        promoted_at=format_instant(workspace.clock()),
    )
