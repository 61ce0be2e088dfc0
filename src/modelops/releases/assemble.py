"""From a build and its verdicts to the files of a release; a pure function, so that any machine makes the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelops.artifacts import BuildRecord
from modelops.errors import Exit, failure
from modelops.evidence import (
    APPROVAL,
    ARTIFACT_FOLDER,
    CARD_FILE,
    EVIDENCE_FILE,
    GATE_EVIDENCE,
    PROVENANCE,
    SIGNATURE_FILE,
    TEST_RESULT,
    Signer,
    approval,
    digest_bytes,
    gate_evidence,
    model_bundle,
    release_provenance,
    release_test_results,
    sign,
    statement,
)
from modelops.releases.approval import ModelApproval
from modelops.releases.card import model_card
from modelops.spec.data import DataSnapshotSpec
from modelops.spec.delivery import (
    CodeReference,
    DataReference,
    ReleaseSpec,
    VerdictRecord,
)
from modelops.spec.dump import dump
from modelops.spec.kinds import Resource
from modelops.spec.model import ModelSpec


def next_number(existing: Iterable[int]) -> int:
    """Return the number after the largest one; the first release is 1."""
    return max(existing, default=0) + 1


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
) -> dict[str, bytes]:
    """Return the files of a release by their path below the model's folder.

    ``commit`` is the commit the build was made from, ``champion`` the release it was compared with, ``ref`` the branch.
    A build without metrics or verdicts has nothing to be released on: ``nothing-measured``.
    """
    spec = _release_spec(version, record, verdicts, model, snapshot, commit, champion)
    folder = f"releases/{version}"
    path = f"models/{model.name}/{folder}/release.yaml"
    document = dump("Release", str(version), spec, path=path)
    card = model_card(spec, record, model=model, snapshot=snapshot, approved_by=approved_by)
    files = {path: digest_bytes(document), f"models/{model.name}/{folder}/{CARD_FILE}": digest_bytes(card)}
    evidence = _evidence(spec, files, signer, ref, approved_by)
    contents = {file.path.removeprefix(ARTIFACT_FOLDER): file.sha256 for file in spec.artifact.files}
    return {
        f"{folder}/release.yaml": document,
        f"{folder}/{EVIDENCE_FILE}": evidence,
        f"{folder}/{SIGNATURE_FILE}": model_bundle(f"{model.name}-{version}", contents, signer),
        f"{folder}/{CARD_FILE}": card,
    }


def _release_spec(
    version: int,
    record: BuildRecord,
    verdicts: Sequence[VerdictRecord],
    model: Resource[ModelSpec],
    snapshot: Resource[DataSnapshotSpec],
    commit: str,
    champion: int | None,
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
        metrics=record.metrics,
        verdicts=tuple(verdicts),
        champion=champion,
        score_profile=record.score_profile,
    )


def _evidence(
    spec: ReleaseSpec, files: Mapping[str, str], signer: Signer, ref: str, approved_by: ModelApproval | None
) -> bytes:
    """Return the signed statements; all are about the artifact and the exact bytes of release.yaml and its card."""
    subjects = {f"{spec.model}-{spec.version}": spec.artifact.digest, **files}
    claims = [(PROVENANCE, release_provenance(spec, ref))]
    claims += [(TEST_RESULT, predicate) for predicate in release_test_results(spec).values()]
    claims.append((GATE_EVIDENCE, gate_evidence(spec.verdicts, spec.metrics, champion=spec.champion)))
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
    )
