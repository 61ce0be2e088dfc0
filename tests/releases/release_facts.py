"""One small model with everything that a release of it needs, for the tests of releases and audit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from modelops.artifacts import BuildRecord, Signature, put_artifact
from modelops.artifacts.signature import inputs_of
from modelops.digests import digest_bytes
from modelops.evidence import Signer, generate_key
from modelops.releases import ModelApproval, promotion_files, release_files
from modelops.spec.kinds import AnyResource, Resource
from modelops.spec.kinds.data_snapshot import Column, DataSnapshotSpec, SnapshotFile, Source, TimeSpan
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec
from modelops.spec.kinds.promotion import Approval, PromotionSpec, PullRequestReference
from modelops.spec.kinds.release import MetricValue, ReleaseArtifact, VerdictRecord
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec
from modelops.spec.load import load_resource
from modelops.spec.yaml.dump import dump
from modelops.stores.oci_layout import OciLayout

MODEL = "fraud-detection"
COMMIT = "c" * 40
TREE = "7" * 40
POLICY = digest_bytes(b"approvals")

PULL = PullRequestReference(number=7, author="ana", head="1" * 40, head_tree="2" * 40, base="3" * 40, merge="4" * 40)
YES = (Approval(login="ben", commit="1" * 40, submitted_at="2026-01-05T10:00:00Z"),)
APPROVED = ModelApproval("pull-request", PULL.merge, POLICY, PULL, YES)


def make_signer(folder: Path, name: str = "local") -> Signer:
    generate_key(folder / f"{name}.pem")
    return Signer.load(folder / f"{name}.pem")


def trust_in(signer: Signer, *signs: Any) -> TrustPolicySpec:
    purposes = signs or ("release", "promotion", "rollout")
    return TrustPolicySpec(keys=(TrustedKey(name="local", public_key=signer.public_pem, signs=purposes),))


def model_spec(**changes: Any) -> ModelSpec:
    features = (
        Feature(name="amount", type="number"),
        Feature(name="card_present", type="boolean"),
        Feature(name="country", type="category", nullable=True),
        Feature(name="items", type="integer"),
        Feature(name="opened", type="datetime"),
    )
    fields: dict[str, Any] = {
        "description": "Finds payments that are fraud.",
        "owner": "payments-risk",
        "risk": "limited",
        "task": "binary-classification",
        "intended_use": "Hold suspicious payments for an analyst.",
        "out_of_scope": ("Refusing a customer.",),
        "limitations": ("Trained on one bank's payments.",),
        "data": ModelData(snapshot="q1", target="is_fraud", positive=True, sensitive=("sex",), features=features),
        "gates": ("quality",),
    }
    return ModelSpec(**(fields | changes))


def snapshot_spec(**changes: Any) -> DataSnapshotSpec:
    columns = (
        Column(name="amount", type="number", missing=0, distinct=900, minimum=0.5, maximum=900.0, mean=42.125),
        Column(name="card_present", type="boolean", missing=0, distinct=2),
        Column(name="country", type="category", missing=3, distinct=2, top={"DE": 700, "it's `odd`": 297}),
        Column(name="items", type="integer", missing=0, distinct=9, minimum=1, maximum=9, mean=2.4),
        Column(name="opened", type="datetime", missing=0, distinct=99, maximum="2026-03-31T00:00:00Z"),
        Column(name="is_fraud", type="boolean", missing=0, distinct=2),
    )
    fields: dict[str, Any] = {
        "format": "parquet",
        "source": Source(type="files", location="data", owner="data-platform", upstream=("core-banking",)),
        "root": digest_bytes(b"root"),
        "files": (SnapshotFile(path="q1.parquet", size=123_456, sha256="a" * 64),),
        "rows": 1000,
        "columns": columns,
        "target": "is_fraud",
        "balance": {"false": 980, "true": 20},
        "time_span": TimeSpan(first="2026-01-01", last="2026-03-31"),
    }
    return DataSnapshotSpec(**(fields | changes))


def resource(kind: str, name: str, spec: Any, path: str) -> AnyResource:
    return load_resource(dump(kind, name, spec, path=path), path)


def model_resource(**changes: Any) -> Resource[ModelSpec]:
    return resource("Model", MODEL, model_spec(**changes), f"models/{MODEL}/model.yaml")


def snapshot_resource(**changes: Any) -> Resource[DataSnapshotSpec]:
    return resource("DataSnapshot", "q1", snapshot_spec(**changes), f"models/{MODEL}/data/q1.yaml")


def verdict(gate: str, word: Any = "pass", **changes: Any) -> VerdictRecord:
    fields: dict[str, Any] = {"policy": "quality", "gate": gate, "type": "metric", "blocking": word == "fail"}
    fields |= {"value": 0.91234, "lower": 0.88, "upper": 0.94, "limit": 0.85, "n": 250, "reason": "0.88 is above 0.85"}
    return VerdictRecord(verdict=word, **(fields | changes))


VERDICTS = (
    verdict("recall"),
    verdict("parity", type="fairness", value=0.03, lower=0.0, upper=0.08, limit=0.1, reason="small gap by sex"),
    verdict("latency", "inconclusive", policy="speed", type="latency", lower=None, upper=None, reason="few | samples"),
)
METRICS = (
    MetricValue(name="roc-auc", value=0.91234567, lower=0.9, upper=0.93, level=0.95, n=250, method="DeLong"),
    MetricValue(name="recall", value=0.7, lower=0.61, upper=0.78, level=0.95, n=40, method="Wilson"),
)


def build(store: OciLayout, seed: int = 1, **changes: Any) -> BuildRecord:
    """Return the record of a build whose artifact, holdout and record are in the store."""
    signature = Signature(
        model=MODEL, task="binary-classification", features=inputs_of(model_spec()), target="is_fraud", engine="sklearn"
    )
    files = {
        "models/model.skops": b"weights" * seed,
        "models/signature.json": signature.dump(),
        "models/smoke.json": b"{}",
    }
    stored = put_artifact(store, files)
    artifact = ReleaseArtifact(
        digest=stored.digest, size=stored.size, files=stored.files, engine="sklearn", engine_reason="a rule flips"
    )
    fields: dict[str, Any] = {
        "model": MODEL,
        "inputs": digest_bytes(b"inputs %d" % seed),
        "spec": digest_bytes(b"spec"),
        "environment_lock": digest_bytes(b"lock"),
        "code_tree": TREE,
        "snapshot": "q1",
        "data_root": digest_bytes(b"root"),
        "rows_train": 750,
        "rows_test": 250,
        "seeds": {"training": seed, "split": 0},
        "parameters": {"learning_rate": 0.1, "depth": 3},
        "task": "binary-classification",
        "positive": True,
        "classes": (False, True),
        "artifact": artifact,
        "metrics": METRICS,
        "holdout": store.put(b"holdout %d" % seed),
    }
    record = BuildRecord(**(fields | changes))
    store.put(record.dump())
    return record


def release(version: int, record: BuildRecord, signer: Signer, **changes: Any) -> dict[str, bytes]:
    """Return the files of a release by their path in the repository."""
    arguments: dict[str, Any] = {
        "model": model_resource(),
        "snapshot": snapshot_resource(),
        "commit": COMMIT,
        "champion": None,
        "signer": signer,
        "approved_by": APPROVED,
    }
    verdicts = changes.pop("verdicts", VERDICTS)
    files = release_files(version, record, verdicts, **(arguments | changes))
    return {f"models/{MODEL}/{path}": data for path, data in files.items()}


def promotion(
    record: BuildRecord, evidence: bytes, signer: Signer, number: int = 1, **changes: Any
) -> dict[str, bytes]:
    """Return the files of a promotion by their path in the repository."""
    files = promotion_files(promotion_spec(record, evidence, **changes), number=number, signer=signer)
    return {f"models/{MODEL}/{path}": data for path, data in files.items()}


def promotion_spec(record: BuildRecord, evidence: bytes, **changes: Any) -> PromotionSpec:
    fields: dict[str, Any] = {
        "model": MODEL,
        "environment": "production",
        "release": 1,
        "artifact": record.artifact.digest,
        "evidence": digest_bytes(evidence),
        "path": "pull-request",
        "commit": PULL.merge,
        "pull_request": PULL,
        "approvals": YES,
        "policy": POLICY,
        "reason": "Release 1 passed its gates.",
        "promoted_at": "2026-01-05T11:00:00Z",
    }
    return PromotionSpec(**(fields | changes))


def flip(data: bytes, position: int) -> bytes:
    """Return the bytes with one bit changed."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
