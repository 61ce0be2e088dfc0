"""Builds in a store: an OCI manifest over the record, the predictions of the test rows, and what its builder signed.

A store is a cache, which others may write to. A build of it is taken only if a key that the trust policy names for
releases signed its record, and only its bytes as they were signed; else it is refused, by name, and made again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelops.artifacts import BuildRecord, open_artifact
from modelops.artifacts.signature import canonical_json
from modelops.digests import digest_bytes
from modelops.errors import Location, ModelOpsError, failure
from modelops.evidence import (
    PROVENANCE,
    Keyring,
    Making,
    Signer,
    Statement,
    making_of,
    provenance,
    sign,
    statement,
    verify_lines,
)
from modelops.spec.layout import MODEL
from modelops.stores import Store

__all__ = ["Stored", "find", "keep", "record_digest", "reference"]

RECORD_TYPE = "application/vnd.modelops.build.v1+json"
HOLDOUT_TYPE = "application/vnd.apache.parquet"
SEAL_TYPE = "application/vnd.dsse.envelope.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A build that was found in a store, what its builder said about making it, and the name of its builder's key."""

    record: BuildRecord
    making: Making
    key: str


def reference(inputs: str) -> str:
    """Return the name under which a store keeps the build of some inputs."""
    return "build-" + inputs.removeprefix("sha256:")


def record_digest(record: BuildRecord) -> str:
    """Return the digest of a build record."""
    return digest_bytes(record.dump())


def keep(store: Store, record: BuildRecord, holdout: bytes, making: Making, signer: Signer | None) -> None:
    """Name the record and the predictions of a build in a store, signed if its builder has a key."""
    document = record.dump()
    layers = [
        {"mediaType": RECORD_TYPE, "digest": store.put(document), "size": len(document)},
        {"mediaType": HOLDOUT_TYPE, "digest": store.put(holdout), "size": len(holdout)},
    ]
    if signer is not None:
        seal = _seal(record, making, signer)
        layers.append({"mediaType": SEAL_TYPE, "digest": store.put(seal), "size": len(seal)})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": RECORD_TYPE,
        "config": {"mediaType": EMPTY_TYPE, "digest": store.put(b"{}"), "size": 2},
        "layers": layers,
    }
    store.tag(reference(record.inputs), store.put(canonical_json(manifest)))


def _seal(record: BuildRecord, making: Making, signer: Signer) -> bytes:
    """Return the signed provenance of a build: about its record, its artifact and its predictions."""
    digest = record_digest(record)
    said = provenance(
        model=record.model,
        path=MODEL.path(record.model),
        tree=record.code_tree,
        data_root=record.data_root,
        environment_lock=record.environment_lock,
        spec=record.spec,
        build=digest,
        inputs=record.inputs,
        parameters=record.parameters,
        seeds=record.seeds,
        making=making,
    )
    subjects = {"build-record": digest, "artifact": record.artifact.digest, "holdout": record.holdout}
    return sign(statement(PROVENANCE, subjects, said), signer)


def find(store: Store, inputs: str, trust: Keyring | None) -> Stored | None:
    """Return the stored build of some inputs if a trusted key signed it and every byte of it is there; None if none is.

    Whatever is wrong with it is an error: ``build-unsigned``, ``bad-build-record``, ``digest-mismatch``,
    ``bad-artifact``, ``not-in-store``, and those of verify_lines.
    """
    digest = store.resolve(reference(inputs))
    if digest is None:
        return None
    layers = _layers(_verified(store, digest), inputs)
    document = _verified(store, layers[RECORD_TYPE])
    if SEAL_TYPE not in layers or trust is None:
        raise failure(
            "build-unsigned",
            f"the store's build of {inputs[:19]} is not signed by its builder, so that it proves nothing",
            hint="a build is signed where the signing key is, and trained again where it is not signed",
        )
    where = f"the store's {reference(inputs)}"
    said = _about(verify_lines(_verified(store, layers[SEAL_TYPE]), trust, "release", path=where), document, where)
    # Only now is anything read that somebody could have written for us to read.
    record = BuildRecord.parse(document)
    making = making_of(said.predicate)
    if record.inputs != inputs or layers[HOLDOUT_TYPE] != record.holdout or making is None:
        raise _other(inputs)
    open_artifact(store, record.artifact.digest)
    _verified(store, record.holdout)
    return Stored(record, making, said.key)


def _about(statements: tuple[Statement, ...], document: bytes, where: str) -> Statement:
    """Return the one statement of a seal, which must be about the record."""
    if len(statements) != 1 or statements[0].predicate_type != PROVENANCE:
        raise failure("evidence-mismatch", f"{where} is signed as something else", location=Location(where))
    if not statements[0].is_about(digest_bytes(document)):
        raise failure("subject-mismatch", f"what {where} is signed with is about another build")
    return statements[0]


def _other(inputs: str) -> ModelOpsError:
    return failure("bad-build-record", f"the store's {reference(inputs)} is not the build of these inputs")


def _layers(manifest: bytes, inputs: str) -> Mapping[str, str]:
    """Return the digests of a build's parts by their type: each once, and nothing beside them."""
    try:
        document: Any = json.loads(manifest) if len(manifest) <= _LIMIT else None
    except (ValueError, RecursionError):
        document = None
    entries = document.get("layers") if isinstance(document, dict) else None
    found: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        match entry:
            case {"mediaType": str() as kind, "digest": str() as digest} if kind not in found:
                found[kind] = digest
            case _:
                raise _other(inputs)
    if found.keys() not in ({RECORD_TYPE, HOLDOUT_TYPE}, {RECORD_TYPE, HOLDOUT_TYPE, SEAL_TYPE}):
        raise _other(inputs)
    return found


def _verified(store: Store, digest: str) -> bytes:
    data = store.get(digest)
    if digest_bytes(data) != digest:
        raise failure("digest-mismatch", f"the blob {digest} has other bytes: {digest_bytes(data)}")
    return data
