"""Whether a release can be believed: its evidence, and every byte that the store holds of it."""

from __future__ import annotations

from modelops.artifacts import BuildRecord, open_artifact
from modelops.errors import failure
from modelops.evidence import Statement, check_release, digest_bytes
from modelops.spec.delivery import ReleaseSpec
from modelops.spec.kinds import Resource
from modelops.spec.policy import TrustPolicySpec
from modelops.stores import Store


def verify_release(
    release: Resource[ReleaseSpec], evidence: bytes | None, trust: TrustPolicySpec, store: Store | None
) -> tuple[Statement, ...]:
    """Return the trusted statements of a release after checking everything that can be checked, or raise.

    The evidence must be signed by a key trusted for releases, be about the artifact and the bytes of ``release.yaml``,
    and say what that file says. Of the store, manifest, config, layer and every file of the artifact must be what
    their digests name; the build record and the holdout too, where they are present. ``store`` None checks the evidence
    alone. Codes: those of ``evidence.check_release``, ``not-in-store``, ``digest-mismatch``, ``bad-artifact``,
    ``artifact-mismatch``.
    """
    statements = check_release(release, evidence, trust)
    if store is not None:
        _verify_bytes(release, store)
    return statements


def _verify_bytes(release: Resource[ReleaseSpec], store: Store) -> None:
    spec = release.spec
    artifact = open_artifact(store, spec.artifact.digest)
    listed = {file.path: file.size for file in spec.artifact.files}
    found = {path: len(data) for path, data in artifact.files.items()}
    digests = {file.path: f"sha256:{file.sha256}" for file in spec.artifact.files}
    if listed != found or any(digest_bytes(artifact.files[path]) != digest for path, digest in digests.items()):
        raise failure(
            "artifact-mismatch",
            f"the files of artifact {spec.artifact.digest} are not those that the release lists",
            location=release.where("spec.artifact.files"),
        )
    # A machine that only runs the release has the artifact alone; what it has beyond that must be right.
    if store.has(spec.build):
        record = BuildRecord.parse(store.get(spec.build))
        if record.artifact != spec.artifact or record.metrics != spec.metrics or record.inputs != spec.inputs:
            raise failure(
                "artifact-mismatch",
                f"the build record {spec.build} describes another build",
                location=release.where("spec.build"),
            )
        if store.has(record.holdout):
            store.get(record.holdout)
