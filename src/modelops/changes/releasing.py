"""Releasing: from a passed build to a numbered, signed release in one commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from modelops import training
from modelops.changes import building
from modelops.changes.building import Judged
from modelops.clock import format_instant
from modelops.digests import digest_bytes
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.evidence import check_release
from modelops.governance.approvals import judge_whole, policy_at
from modelops.governance.judged import course_of, desired, graph_at, pushed_paths, stretch, unapproved
from modelops.governance.judging.course import Violation
from modelops.governance.landing import PROPOSED, land
from modelops.governance.promotions import pull_reference, release_evidence
from modelops.governance.waivers import in_scope, require_sound
from modelops.project.retired import next_release, records_ever
from modelops.project.workspace import Workspace, model_entry, trusted
from modelops.releases import ModelApproval, next_promotion, promotion_files, release_files
from modelops.releases.verdicts import let_through
from modelops.repository import CommitInfo, Landing
from modelops.spec.graph import Graph
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.kinds.release import ReleaseSpec, VerdictRecord, WaiverUse
from modelops.spec.layout import ENVIRONMENT, LOCK, WAIVER, ReleaseFiles, Seat, model_folder
from modelops.spec.load import load_resource
from modelops.spec.yaml.edit import set_value
from modelops.stores import release_tag


def model_approval(workspace: Workspace, graph: Graph, tip: str, model: str) -> ModelApproval:
    """Return who let the last change of a model in, judged by the approval policy of its base.

    A change that came without a pull request passes only where the policy asks for nobody. What of the branch nobody
    approved stopped the model before this is asked, so that what was taken back or taken on since is passed over.
    """
    commit = _last_change(workspace, tip, model)
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
    policy, verdict = judge_whole(workspace.repository, workspace.forge, pull, base)
    if policy is None or not verdict.ok:
        raise _unapproved(model, verdict.reasons)
    reference = pull_reference(workspace.repository, pull, base, commit.id)
    heard = {one.call: one.digest for one in verdict.heard}
    return ModelApproval("pull-request", commit.id, policy.digest, reference, verdict.counted, pull.title, heard=heard)


def _last_change(workspace: Workspace, tip: str, model: str) -> CommitInfo:
    """Return the newest commit that changed what a model is made from and that counts."""
    paths, course = building.input_paths(workspace, tip, model), course_of(workspace, tip)
    passed = {one.commit for one in course.open}
    pulls = {one.commit: one.merge for one in course.cleared}
    newest = workspace.repository.log(paths, tip, first_parent=True, limit=1)
    if newest[0].id in passed:
        newest = workspace.repository.log(paths, tip, first_parent=True)
    found = next((each for each in newest if each.id not in passed), newest[-1])
    return workspace.repository.commit(pulls[found.id]) if found.id in pulls else found


def _judging_graph(workspace: Workspace, graph: Graph, tip: str, model: str) -> Graph:
    """Return the graph of the commit before the one that last changed a model, whose policies judge that change.

    A gate policy that was ever pushed past the review, or altered so, counts as it stands now: what it said in between
    was nobody's, also where it was taken back since.
    """
    commit = _last_change(workspace, tip, model)
    before = workspace.graph(commit.parents[0]) if commit.parents else graph
    pushed = pushed_paths(workspace, tip, _judged_before(workspace, graph, tip, model))
    counting = {name: policy for name, policy in before.gate_policies.items() if policy.path not in pushed}
    return replace(before, gate_policies=counting) if before.gate_policies else graph


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
    tip, graph = desired(workspace)
    excepted = require_sound(workspace, graph, tip, model)
    approval = model_approval(workspace, graph, tip, model)
    judged = building.judged_build(workspace, graph, model, tip, _judging_graph(workspace, graph, tip, model))
    _require_passed(judged, unapproved(workspace))
    made: list[str] = []

    def change(head: str) -> Landing | None:
        present = graph_at(workspace, head)
        require_sound(workspace, present, head, model)
        if building.release_with(present, model, judged.record.inputs) is not None:
            return None
        number = next_release(workspace.repository, head, model)
        counted = judged.numbered(number)
        _require_passed(counted, unapproved(workspace))
        met = stretch(workspace, head, _judged_before(workspace, present, head, model)).data()
        told = replace(approval, line=met)
        files = _files(workspace, present, head, tip, counted, number, told, excepted)
        made[:] = [str(number)]
        return Landing(files, f"Release {model} {number}\n\nInputs {judged.record.inputs}\n")

    refuse_other_packages(judged)
    try:
        commit = land(workspace, change, "release")
    except ModelOpsError as error:
        if error.first.code == PROPOSED and made:
            workspace.store.tag(release_tag(model, int(made[0])), judged.record.artifact.digest)
        raise
    if commit is None:
        return f"{model}: these inputs have a release already"
    workspace.store.tag(release_tag(model, int(made[0])), judged.record.artifact.digest)
    although = _although(judged.numbered(int(made[0])), excepted)
    return f"released {model} {made[0]} as {commit[:10]}{although}{building.told(judged.refused)}"


def _although(judged: Judged, excepted: Sequence[WaiverUse]) -> str:
    """Return what else is to be known of a release: that it needed exceptions, or that nothing says how good it is."""
    uses = (*_relied_on(judged.verdicts), *excepted)
    if uses:
        return ", by waiver: " + ", ".join(f"{one.name} until {one.expires}" for one in uses)
    if judged.outcome == "undecided":
        return ", undecided: no gate could tell how good it is"
    rest = [f"{one.policy}/{one.gate} {one.verdict}" for one in let_through(judged.verdicts)]
    return f", although not all gates passed: {', '.join(rest)}" if rest else ""


def _require_passed(judged: Judged, unapproved: Sequence[Violation]) -> None:
    """Refuse to release what has not passed; exceptions that nobody approved are named beside those out of scope."""
    if judged.passed:
        return
    failed = "; ".join(f"{v.gate} {v.verdict}: {v.reason}" for v in judged.verdicts if v.holds)
    failed += "".join(f"; the waiver {one.name!r} does not count: {one.why}" for one in judged.unheard)
    pushed = {path: one for one in unapproved for path in one.files if WAIVER.parse(path) is not None}
    failed += "".join(f"; {path} of {one.commit[:10]} does not count: {one.reason}" for path, one in pushed.items())
    raise failure(
        "gates-not-passed",
        f"{judged.model.name} is not released: {failed or 'no gate was evaluated'}{building.told(judged.refused)}",
        exit=Exit.NO,
        hint=f"see the numbers: modelops build {judged.model.name}",
    )


def refuse_other_packages(judged: Judged) -> None:
    """Refuse to sign a build whose process had another version of a package than the environment lock pins.

    The lock is what was reviewed, and what whoever rebuilds the release installs. What it pins and is not installed, or
    does not pin and is, changes nothing here that it speaks of: the evidence states both.
    """
    lock = judged.making.environment.get("lock") if judged.making is not None else None
    others = lock.get("other", ()) if isinstance(lock, Mapping) else ()
    problems = [
        Problem(
            "lock-differs",
            f"{judged.model.name} was built with {one['name']} {one['installed']}, and {LOCK} pins {one['pinned']}",
            location=Location(LOCK),
            hint=f"pip install --requirement {LOCK}, or propose a lock of what is installed",
        )
        for one in others
    ]
    if problems:
        raise ModelOpsError(*problems, exit=Exit.NO)


def _judged_before(workspace: Workspace, graph: Graph, tip: str, model: str) -> str | None:
    """Return up to which commit the branch was judged for the release before; None where that one does not say."""
    releases = model_entry(graph, model).releases
    if not releases:
        return None
    evidence = release_evidence(workspace, tip, model, max(releases))
    try:
        said = check_release(releases[max(releases)], evidence, trusted(workspace, tip))
    except ModelOpsError:
        return None
    lines = (one.predicate.get("line") for one in said)
    return next((str(line["to"]) for line in lines if isinstance(line, Mapping) and "to" in line), None)


def tag_releases(workspace: Workspace, graph: Graph, models: Iterable[str]) -> None:
    """Give every released artifact of some models its tag, where the store has the one and not yet the other.

    A release is tagged after it has landed: what is missing is of releases whose maker was killed in between, or that
    are older than their store.
    """
    known = frozenset(workspace.store.references())
    for model in models:
        for number, found in sorted(model_entry(graph, model).releases.items()):
            tag, digest = release_tag(model, number), found.spec.artifact.digest
            if tag not in known and workspace.store.has(digest):
                workspace.store.tag(tag, digest)


def _files(
    workspace: Workspace,
    graph: Graph,
    head: str,
    built_from: str,
    judged: Judged,
    number: int,
    approval: ModelApproval,
    excepted: Sequence[WaiverUse],
) -> dict[str, bytes]:
    model = judged.model.name
    prefix = model_folder(model)
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
            signer=workspace.signer_for("release", head),
            ref=workspace.branch,
            approved_by=approval,
            details=judged.details,
            waivers=excepted,
            making=judged.making,
            outcomes=model_entry(graph, model).outcomes,
        ).items()
    }
    if training.inputs_digest(building.request(workspace, graph, model, head)) != judged.record.inputs:
        # The model changed while this was built: the release is kept, and the newer one is what environments get.
        return files
    for found in graph.environments.values():
        if found.spec.promotion == "automatic" and found.name in model_entry(graph, model).deployments:
            if not all(in_scope(one.environments, found.name) for one in _relied_on(judged.verdicts)):
                # Its exception is for other environments: whoever wants it here has to be granted one.
                continue
            files |= _automatic(workspace, graph, head, files, Seat(model, found.name), number, prefix)
    return files


def _relied_on(verdicts: Iterable[VerdictRecord]) -> tuple[WaiverUse, ...]:
    """Return the waivers that let verdicts through, each once."""
    uses = (verdict.waiver for verdict in verdicts if verdict.blocking)
    return tuple({one.name: one for one in uses if one is not None}.values())


def _automatic(
    workspace: Workspace,
    graph: Graph,
    head: str,
    files: dict[str, bytes],
    seat: Seat,
    number: int,
    prefix: str,
) -> dict[str, bytes]:
    """Make a new release the candidate of an environment that takes every release, and record that policy said so."""
    path = seat.deployment
    release_path = ReleaseFiles(seat.model, number).release
    release: ReleaseSpec = load_resource(files[release_path], release_path).spec
    approvals = graph.approvals
    spec = PromotionSpec(
        model=seat.model,
        environment=seat.environment,
        release=number,
        artifact=release.artifact.digest,
        evidence=digest_bytes(files[ReleaseFiles(seat.model, number).evidence]),
        path="automatic",
        commit=head,
        policy=approvals.digest if approvals is not None else digest_bytes(b""),
        reason=f"{ENVIRONMENT.path(None, seat.environment)} takes every new release",
        promoted_at=format_instant(workspace.clock()),
        waivers=_relied_on(release.verdicts),
    )
    existing = records_ever(workspace.repository, head, seat.model)
    at, met = next_promotion(seat.environment, existing), stretch(workspace, head).data()
    record = promotion_files(spec, number=at, signer=workspace.signer_for("promotion", head), line=met)
    edited = set_value(workspace.repository.read(head, path), "spec.candidate", number, path)
    return {path: edited, **{prefix + name: data for name, data in record.items()}}
