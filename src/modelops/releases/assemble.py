"""From a build and its verdicts to the files of a release; a pure function, so that any machine makes the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import methodcaller
from typing import Any

from modelops.artifacts import BuildRecord
from modelops.digests import digest_bytes
from modelops.errors import Exit, failure
from modelops.evidence import (
    APPROVAL,
    ARTIFACT_FOLDER,
    GATE_EVIDENCE,
    PROVENANCE,
    TEST_RESULT,
    Making,
    Signer,
    approval,
    gate_evidence,
    model_bundle,
    release_provenance,
    release_test_results,
    sign,
    statement,
)
from modelops.releases.approval import ModelApproval
from modelops.releases.card import model_card
from modelops.spec.kinds import Resource
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec
from modelops.spec.kinds.model import ModelSpec
from modelops.spec.kinds.outcomes import Figure
from modelops.spec.kinds.release import CodeReference, DataReference, ReleaseSpec, VerdictRecord, WaiverUse
from modelops.spec.layout import ReleaseFiles, model_folder
from modelops.spec.yaml.dump import dump


def release_files(
    version: int,
    record: BuildRecord,
    verdicts: Sequence[VerdictRecord],
    *,
    model: Resource[ModelSpec],
    snapshot: Resource[DataSnapshotSpec],
    commit: str,
    champion: int | None,
    signer: Signer,
    ref: str = "main",
    approved_by: ModelApproval | None = None,
    details: Mapping[str, Mapping[str, Any]] | None = None,
    making: Making | None = None,
    waivers: Sequence[WaiverUse] = (),
    outcomes: Sequence[Figure] = (),
) -> dict[str, bytes]:
    """Return the files of a release by their path below the model's folder.

    ``commit`` is the commit the build was made from, ``champion`` the release it was compared with, ``ref`` the branch,
    ``details`` what the gates measured beyond their verdicts, by ``policy/gate``: the signed evidence holds it, and
    ``making``, how the build was made. ``waivers`` are the exceptions from rules that it relies on,
    ``outcomes`` what the objective of the model came to so far.
    A build without metrics or verdicts has nothing to be released on: ``nothing-measured``.
    """
    spec = _release_spec(version, record, verdicts, model, snapshot, commit, champion, waivers)
    files_of = ReleaseFiles(model.name, version)
    below = methodcaller("removeprefix", model_folder(model.name))
    path = files_of.release
    document = dump("Release", str(version), spec, path=path)
    details = details or {}
    card = model_card(
        spec, record, model=model, snapshot=snapshot, approved_by=approved_by, details=details, outcomes=outcomes
    )
    files = {path: digest_bytes(document), files_of.card: digest_bytes(card)}
    provenance = release_provenance(spec, ref, making)
    evidence = _evidence(spec, files, signer, provenance, approved_by, details)
    contents = {file.path.removeprefix(ARTIFACT_FOLDER): file.sha256 for file in spec.artifact.files}
    return {
        below(files_of.release): document,
        below(files_of.evidence): evidence,
        below(files_of.signature): model_bundle(f"{model.name}-{version}", contents, signer),
        below(files_of.card): card,
    }


def _release_spec(
    version: int,
    record: BuildRecord,
    verdicts: Sequence[VerdictRecord],
    model: Resource[ModelSpec],
    snapshot: Resource[DataSnapshotSpec],
    commit: str,
    champion: int | None,
    waivers: Sequence[WaiverUse],
) -> ReleaseSpec:
    if not verdicts or not record.metrics:
        what = "verdict" if record.metrics else "metric"
        raise failure(
            "nothing-measured", f"the build of {model.name} has no {what}, so it cannot be released", exit=Exit.NO
        )
    if snapshot.spec.root != record.data_root:
        said = f"the build used data {record.data_root}, the snapshot {snapshot.name} is {snapshot.spec.root}"
        raise failure("inputs-mismatch", said, location=snapshot.where("spec.root"))
    return ReleaseSpec(
        model=record.model,
        version=version,
        inputs=record.inputs,
        spec=record.spec,
        environment_lock=record.environment_lock,
        code=CodeReference(commit=commit, tree=record.code_tree),
        data=DataReference(snapshot=record.snapshot, root=record.data_root, rows=snapshot.spec.rows),
        artifact=record.artifact,
        build=digest_bytes(record.dump()),
        seeds=record.seeds,
        parameters=record.parameters,
        search=record.search,
        metrics=record.metrics,
        verdicts=tuple(verdicts),
        champion=champion,
        score_profile=record.score_profile,
        baseline=record.baseline,
        confusion=record.confusion,
        importance=record.importance,
        weight=record.weight,
        waivers=tuple(waivers),
    )


def _evidence(
    spec: ReleaseSpec,
    files: Mapping[str, str],
    signer: Signer,
    provenance: Mapping[str, Any],
    approved_by: ModelApproval | None,
    details: Mapping[str, Mapping[str, Any]],
) -> bytes:
    """Return the signed statements; all are about the artifact and the exact bytes of release.yaml and its card."""
    subjects = {f"{spec.model}-{spec.version}": spec.artifact.digest, **files}
    claims: list[tuple[str, Mapping[str, Any]]] = [(PROVENANCE, provenance)]
    claims += [(TEST_RESULT, predicate) for predicate in release_test_results(spec).values()]
    numbers = gate_evidence(spec.verdicts, spec.metrics, champion=spec.champion, details=details, waivers=spec.waivers)
    claims.append((GATE_EVIDENCE, numbers))
    if approved_by is not None:
        claims.append((APPROVAL, _approval(spec, approved_by)))
    return b"".join(sign(statement(kind, subjects, predicate), signer) for kind, predicate in claims)


def _approval(spec: ReleaseSpec, approved_by: ModelApproval) -> dict[str, object]:
    return approval(
        change="model",
        model=spec.model,
        release=spec.version,
        path=approved_by.path,
        commit=approved_by.commit,
        policy=approved_by.policy,
        pull_request=approved_by.pull_request,
        approvals=approved_by.approvals,
        reason=approved_by.reason,
        line=approved_by.line,
        heard=approved_by.heard,
    )
