"""Auditing alone: what was found about a file, signed, so that anybody can hold both against each other later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelops.digests import digest_bytes
from modelops.errors import Exit, ModelOpsError, failure
from modelops.evidence import (
    GATE_EVIDENCE,
    TEST_RESULT,
    Signer,
    gate_evidence,
    require_predicate,
    require_subject,
    sign,
    statement,
    test_result,
    verify_lines,
)
from modelops.evidence.keys import read_public_key
from modelops.outside.judging import Judgement
from modelops.spec.kinds.trust_policy import PURPOSES, TrustedKey, TrustPolicySpec

__all__ = ["Proven", "proven", "sealed"]


@dataclass(frozen=True, slots=True)
class Proven:
    """What a signed file says of predictions whose bytes are what was judged."""

    file: str
    digest: str
    keyid: str
    result: str
    verdicts: tuple[dict[str, Any], ...]
    metrics: tuple[dict[str, Any], ...]


def sealed(found: Judgement, policy: str, signer: Signer) -> bytes:
    """Return two signed statements about the file of predictions: the result of its gates, and their numbers."""
    verdicts = [one.record for one in found.findings]
    subjects = {found.rows.file: found.rows.digest}
    details = {one.key: one.details for one in found.findings if one.details}
    result = statement(TEST_RESULT, subjects, test_result(policy, verdicts, []))
    numbers = statement(GATE_EVIDENCE, subjects, gate_evidence(verdicts, found.metrics, champion=None, details=details))
    return sign(result, signer) + sign(numbers, signer)


def proven(predictions: Path, evidence: Path, public_key: Path) -> Proven:
    """Return what evidence says, if the key signed it and it is about these very bytes.

    Errors: those of ``verify_lines``, and ``subject-mismatch`` where the predictions are others.
    """
    data, said, key = (_bytes(path) for path in (predictions, evidence, public_key))
    pem = key.decode("utf-8", "replace")
    try:
        read_public_key(pem)
    except ModelOpsError:
        said_of = f"{public_key} holds no public ECDSA P-256 key in PEM"
        hint = "name the public key of whoever signed, as policies/trust.yaml of their repository has it"
        raise failure("key-unsupported", said_of, hint=hint) from None
    trusted = TrustedKey(name="given", public_key=pem, signs=PURPOSES)
    lines = verify_lines(said, TrustPolicySpec(keys=(trusted,)), "release", path=str(evidence))
    digest = digest_bytes(data)
    (result,) = require_predicate(lines, TEST_RESULT, str(evidence))[:1]
    (numbers,) = require_predicate(lines, GATE_EVIDENCE, str(evidence))[:1]
    for one in (result, numbers):
        require_subject(one, predictions.name, digest)
    return Proven(
        predictions.name,
        digest,
        result.keyid,
        str(result.predicate.get("result")),
        tuple(numbers.predicate.get("verdicts", ())),
        tuple(numbers.predicate.get("metrics", ())),
    )


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        said = f"{path} cannot be read: {error.strerror}"
        raise failure("unreadable", said, exit=Exit.USAGE, hint="name the file") from None
