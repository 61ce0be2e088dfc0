"""Releasing: from a passed build to a numbered, signed release in one commit."""

from __future__ import annotations

from collections.abc import Sequence

from modelops import training
from modelops.clock import format_instant
from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import digest_bytes
from modelops.reconcile import building
from modelops.reconcile.approvals import judge_whole, policy_at
from modelops.reconcile.building import Judged
from modelops.reconcile.history import deployment_path
from modelops.reconcile.promotion import pull_reference
from modelops.reconcile.workspace import MACHINE, Workspace, model_entry
from modelops.releases import ModelApproval, next_promotion, promotion_files, release_files
from modelops.repository import Landing
from modelops.spec.delivery import PromotionSpec, ReleaseSpec
from modelops.spec.edit import set_value
from modelops.spec.graph import Graph
from modelops.spec.load import load_resource


def model_approval(workspace: Workspace, graph: Graph, tip: str, model: str) -> ModelApproval:
    """Return who let the last change of a model in, judged by the approval policy of its base.

    A change that came without a pull request passes only where the policy asks for nobody.
    """
    commit = workspace.repository.log(building.input_paths(workspace, tip, model), tip, first_parent=True, limit=1)[0]
    base = commit.parents[0] if commit.parents else commit.id
    pull = workspace.forge.merged_with(commit.id)
    if pull is None:
        policy = policy_at(workspace.repository, base)
        risk = model_entry(graph, model).model.spec.risk
        rules = policy.spec.rules if policy is not None else ()
        asked = [rule.minimum for rule in rules if rule.change == "model" and risk in rule.risk]
        if policy is None or not asked or max(asked) > 0:
            raise _unapproved(model, [f"{commit.id[:10]} came without a pull request"])
        return ModelApproval("automatic", commit.id, policy.digest, None, (), "the policy asks for no approval")
    policy, verdict = judge_whole(workspace.repository, pull, base)
    if policy is None or not verdict.ok:
        raise _unapproved(model, verdict.reasons)
    reference = pull_reference(workspace.repository, pull, base, commit.id)
    return ModelApproval("pull-request", commit.id, policy.digest, reference, verdict.counted, pull.title)


def _unapproved(model: str, reasons: Sequence[str]) -> ModelOpsError:
    return failure(
        "approval-missing",
        f"the change of {model} was not approved: " + "; ".join(reasons),
        exit=Exit.NO,
        hint="models are released from merged and approved pull requests; policies/approvals.yaml says who may approve",
    )


def release(workspace: Workspace, model: str) -> str:
    """Build, judge and, if every blocking gate passed, commit the next release of a model.

    Numbers are allocated by compare-and-swap on the branch: if another machine released meanwhile, the release is
    written again with the next number.
    """
    tip, graph = workspace.desired()
    approval = model_approval(workspace, graph, tip, model)
    judged = building.judged_build(workspace, graph, model, tip, building.judging_graph(workspace, tip, model))
    if not judged.passed:
        failed = "; ".join(f"{v.gate} {v.verdict}: {v.reason}" for v in judged.verdicts if v.blocking)
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
        files = _files(workspace, present, head, tip, judged, number, approval)
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
    approval: ModelApproval,
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
            ref=workspace.branch,
            approved_by=approval,
        ).items()
    }
    if training.inputs_digest(building.request(workspace, graph, model, head)) != judged.record.inputs:
        # The model changed while this was built: the release is kept, and the newer one is what environments get.
        return files
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
    existing = model_entry(graph, model).promotions
    record = promotion_files(spec, number=next_promotion(environment, existing), signer=workspace.signer)
    edited = set_value(workspace.repository.read(head, path), "spec.candidate", number, path)
    return {path: edited, **{prefix + name: data for name, data in record.items()}}
