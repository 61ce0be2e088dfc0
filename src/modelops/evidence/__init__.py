"""Evidence: signed in-toto statements about what was measured, built and approved, and their verification."""

from modelops.evidence.bundle import model_bundle, verify_model_bundle
from modelops.evidence.claims import (
    EVIDENCE_FILE,
    check_promotion,
    check_release,
    promotion_approval,
    promotion_evidence_path,
    release_evidence_path,
    release_provenance,
    release_test_results,
)
from modelops.evidence.digests import descriptor, digest_bytes, digest_set
from modelops.evidence.envelope import (
    FILE_LIMIT,
    Statement,
    require_predicate,
    require_subject,
    sign,
    verify_lines,
)
from modelops.evidence.keys import Signer, generate_key, key_id
from modelops.evidence.statements import (
    APPROVAL,
    GATE_EVIDENCE,
    PROVENANCE,
    PURPOSES,
    ROLLOUT_OUTCOME,
    TEST_RESULT,
    approval,
    gate_evidence,
    provenance,
    rollout_outcome,
    statement,
    test_result,
)

__all__ = [
    "APPROVAL",
    "EVIDENCE_FILE",
    "FILE_LIMIT",
    "GATE_EVIDENCE",
    "PROVENANCE",
    "PURPOSES",
    "ROLLOUT_OUTCOME",
    "TEST_RESULT",
    "Signer",
    "Statement",
    "approval",
    "check_promotion",
    "check_release",
    "descriptor",
    "digest_bytes",
    "digest_set",
    "gate_evidence",
    "generate_key",
    "key_id",
    "model_bundle",
    "promotion_approval",
    "promotion_evidence_path",
    "provenance",
    "release_evidence_path",
    "release_provenance",
    "release_test_results",
    "require_predicate",
    "require_subject",
    "rollout_outcome",
    "sign",
    "statement",
    "test_result",
    "verify_lines",
    "verify_model_bundle",
]
