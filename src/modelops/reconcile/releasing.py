"""Releasing: from a passed build to a numbered, signed release in one commit."""

from __future__ import annotations

from modelops.clock import format_instant
from modelops.errors import Exit, failure
from modelops.evidence import digest_bytes
from modelops.forges import PullRequest
from modelops.reconcile import building
from modelops.reconcile.approvals import ApprovalVerdict, judge_approvals
from modelops.reconcile.building import Judged
from modelops.reconcile.history import deployment_path
from modelops.reconcile.promotion import next_promotion
from modelops.reconcile.workspace import MACHINE, Workspace, model_entry
from modelops.releases import promotion_files, release_files
from modelops.repository import Landing
from modelops.spec.delivery import PromotionSpec, ReleaseSpec
from modelops.spec.edit import set_value
from modelops.spec.graph import Graph
from modelops.spec.load import load_resource


def approved_by(workspace: Workspace, graph: Graph, tip: str, model: str) -> tuple[PullRequest | None, ApprovalVerdict]:
    """Return the pull request that last changed a model, and whether it had the approvals it needed.

    A model that came without a pull request passes only where the approval policy asks for nobody.
    """
    commits = workspace.repository.log(
        tip, path=building.input_paths(workspace, tip, model), first_parent=True, limit=1
    )
    commit = commits[0]
    base = commit.parents[0] if commit.parents else commit.id
    policy = workspace.graph(base).approvals or graph.approvals
    risk = model_entry(graph, model).model.spec.risk
    if policy is None:
        raise failure(
            "no-approval-policy",
            "policies/approvals.yaml does not exist",
            exit=Exit.NO,
            hint="modelops init writes one",
        )
    pull = workspace.forge.merged_with(commit.id)
    if pull is None:
        asked = [rule.minimum for rule in policy.spec.rules if rule.change == "model" and risk in rule.risk]
        ok = bool(asked) and max(asked) == 0
        reason = f"{commit.id[:10]} came without a pull request"
        return None, ApprovalVerdict(ok, (), () if ok else (reason,))
    involved = {person.login for info in workspace.repository.log(f"{base}..{pull.head}") for person in info.people}
    return pull, judge_approvals(policy, pull, change="model", environment=None, risk=risk, involved=involved)


def release(workspace: Workspace, model: str) -> str:
    """Build, judge and, if every blocking gate passed, commit the next release of a model.

    Numbers are allocated by compare-and-swap on the branch: if another machine released meanwhile, the release is
    written again with the next number.
    """
    tip, graph = workspace.desired()
    pull, verdict = approved_by(workspace, graph, tip, model)
    if not verdict.ok:
        raise failure(
            "approval-missing",
            f"the change of {model} was not approved: " + "; ".join(verdict.reasons),
            exit=Exit.NO,
            hint="models are released from merged and approved pull requests; approvals.yaml says who may approve",
        )
    judged = building.judged_build(workspace, graph, model, tip, building.judging_graph(workspace, tip, model))
    if not judged.passed:
        failed = "; ".join(
            f"{v.gate} {v.verdict}: {v.reason}" for v in judged.verdicts if v.blocking and v.verdict != "pass"
        )
        raise failure(
            "gates-not-passed",
            f"{model} is not released: {failed or 'no gate was evaluated'}",
            exit=Exit.NO,
            hint=f"see the numbers: modelops build {model}",
        )
    made: list[str] = []

    def change(head: str) -> Landing | None:
        present = workspace.graph(head)
        if building.release_with(present, model, judged.record.inputs) is not None:
            return None
        number = max(model_entry(present, model).releases, default=0) + 1
        files = _files(workspace, present, head, tip, judged, number, pull, verdict)
        made[:] = [str(number)]
        return Landing(files, f"Release {model} {number}\n\nInputs {judged.record.inputs}\n")

    commit = workspace.repository.land(workspace.branch, change, MACHINE, workspace.clock())
    if commit is None:
        return f"{model}: these inputs have a release already"
    return f"released {model} {made[0]} as {commit[:10]}"


def _files(
    workspace: Workspace,
    graph: Graph,
    head: str,
    built_from: str,
    judged: Judged,
    number: int,
    pull: PullRequest | None,
    verdict: ApprovalVerdict,
) -> dict[str, bytes]:
    model = judged.model.name
    prefix = f"models/{model}/"
    files = {
        prefix + path: data
        for path, data in release_files(
            number,
            judged.record,
            judged.verdicts,
            model=judged.model,
            snapshot=judged.snapshot,
            commit=built_from,
            champion=judged.champion.spec.version if judged.champion is not None else None,
            signer=workspace.signer,
            pull_request=pull,
            approvals=verdict.counted,
        ).items()
    }
    for found in graph.environments.values():
        if found.spec.promotion == "automatic" and found.name in model_entry(graph, model).deployments:
            files |= _automatic(workspace, graph, head, files, model, found.name, number, prefix)
    return files


def _automatic(
    workspace: Workspace,
    graph: Graph,
    head: str,
    files: dict[str, bytes],
    model: str,
    environment: str,
    number: int,
    prefix: str,
) -> dict[str, bytes]:
    """Make a new release the candidate of an environment that takes every release, and record that policy said so."""
    path = deployment_path(model, environment)
    release_path = f"{prefix}releases/{number}/release.yaml"
    release: ReleaseSpec = load_resource(files[release_path], release_path).spec
    approvals = graph.approvals
    spec = PromotionSpec(
        model=model,
        environment=environment,
        release=number,
        artifact=release.artifact.digest,
        evidence=digest_bytes(files[f"{prefix}releases/{number}/evidence.intoto.jsonl"]),
        path="automatic",
        commit=head,
        policy=approvals.digest if approvals is not None else digest_bytes(b""),
        reason=f"policies/environments/{environment}.yaml takes every new release",
        promoted_at=format_instant(workspace.clock()),
    )
    record = promotion_files(
        next_promotion(graph, model, environment), spec, evidence_digest=spec.evidence, signer=workspace.signer
    )
    edited = set_value(workspace.repository.read(head, path), "spec.candidate", number, path)
    return {path: edited, **{prefix + name: data for name, data in record.items()}}
