"""The record of a promotion and the outcomes of its rollout, and what makes them count for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modelops.artifacts import BuildRecord
from modelops.errors import ModelOpsError
from modelops.evidence import Signer, Statement
from modelops.releases import next_promotion, rollout_outcome_line, verify_promotion
from modelops.spec.kinds.promotion import Approval
from modelops.spec.load import load_resource
from modelops.stores.oci_layout import OciLayout
from releases.release_facts import (
    MODEL,
    PULL,
    YES,
    build,
    flip,
    make_signer,
    promotion,
    promotion_spec,
    trust_in,
)

RECORD = f"models/{MODEL}/promotions/production-1.yaml"
EVIDENCE = f"models/{MODEL}/promotions/production-1.intoto.jsonl"
RELEASED = b"the release's evidence\n"


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path)


@pytest.fixture
def record(tmp_path: Path) -> BuildRecord:
    return build(OciLayout(tmp_path / "store"))


@pytest.fixture
def files(record: BuildRecord, signer: Signer) -> dict[str, bytes]:
    return promotion(record, RELEASED, signer)


def verify(files: dict[str, bytes], trust: Any, released: bytes | None = RELEASED) -> tuple[Statement, ...]:
    return verify_promotion(load_resource(files[RECORD], RECORD), files.get(EVIDENCE), trust, release_evidence=released)


def refusal(files: dict[str, bytes], trust: Any, released: bytes | None = RELEASED) -> str:
    with pytest.raises(ModelOpsError) as error:
        verify(files, trust, released)
    assert error.value.exit == 3
    return error.value.problems[0].code


def outcome(record: BuildRecord, signer: Signer, **changes: Any) -> bytes:
    return rollout_outcome_line(
        promotion_spec(record, RELEASED, **changes),
        stable=None,
        outcome="failed",
        reason="errors on a slice of requests",
        step=2,
        checks=[{"name": "errors", "verdict": "fail", "statistic": 4.5}],
        at="2026-01-06T00:00:00Z",
        signer=signer,
    )


@pytest.mark.parametrize(
    ("existing", "number"),
    [((), 1), (("production-1", "staging-7"), 2), (("production-9", "production-10"), 11), (("production-eu-3",), 1)],
)
def test_the_next_number_counts_one_environment(existing: tuple[str, ...], number: int) -> None:
    """Each environment of a model has its own numbers."""
    assert next_promotion("production", existing) == number


def test_a_promotion_verifies(files: dict[str, bytes], signer: Signer) -> None:
    """The approval is about the artifact, the record's bytes and the tree that was approved, and says who."""
    (approval,) = verify(files, trust_in(signer))
    assert {next(iter(digest)) for _, digest in approval.subjects} == {"sha256", "gitTree"}
    assert approval.predicate["approvals"] == [
        {"login": "ben", "commit": PULL.head, "submittedAt": "2026-01-05T10:00:00Z"}
    ]


def test_equal_facts_give_equal_records(files: dict[str, bytes], record: BuildRecord, signer: Signer) -> None:
    """The record's bytes do not depend on who writes it or when."""
    assert promotion(record, RELEASED, signer)[RECORD] == files[RECORD]


def test_the_outcome_of_a_rollout_is_appended(files: dict[str, bytes], record: BuildRecord, signer: Signer) -> None:
    """An outcome signed for rollouts joins the approval in one file."""
    files[EVIDENCE] += outcome(record, signer)
    _, said = verify(files, trust_in(signer))
    assert (said.predicate["outcome"], said.predicate["candidate"], said.predicate["step"]) == ("failed", 1, 2)


def test_each_statement_needs_a_key_for_its_own_purpose(
    files: dict[str, bytes], record: BuildRecord, signer: Signer
) -> None:
    """A key for rollouts does not approve, one for promotions does not tell outcomes, one for releases does neither."""
    assert refusal(files, trust_in(signer, "rollout")) == "signature-untrusted"
    assert refusal(files, trust_in(signer, "release")) == "signature-untrusted"
    assert len(verify(files, trust_in(signer, "promotion"))) == 1
    files[EVIDENCE] += outcome(record, signer)
    assert refusal(files, trust_in(signer, "promotion")) == "signature-untrusted"


def test_an_outcome_alone_is_no_approval(files: dict[str, bytes], record: BuildRecord, signer: Signer) -> None:
    """Without its approval a promotion counts for nothing."""
    files[EVIDENCE] = outcome(record, signer)
    assert refusal(files, trust_in(signer)) == "predicate-missing"
    del files[EVIDENCE]
    assert refusal(files, trust_in(signer)) == "evidence-missing"


def test_an_outcome_of_another_rollout_is_refused(files: dict[str, bytes], record: BuildRecord, signer: Signer) -> None:
    """An outcome must be of this release in this environment."""
    for changes in ({"environment": "staging"}, {"release": 2}):
        changed = files | {EVIDENCE: files[EVIDENCE] + outcome(record, signer, **changes)}
        assert refusal(changed, trust_in(signer)) == "evidence-mismatch"


def test_one_changed_byte_is_refused(files: dict[str, bytes], signer: Signer) -> None:
    """Another name, another release or any other change of the record no longer fits; so with the evidence."""
    for old, new in ((b"login: ben", b"login: bob"), (b"release: 1", b"release: 2"), (b"# yaml", b"# Yaml")):
        assert old in files[RECORD]
        changed = files | {RECORD: files[RECORD].replace(old, new, 1)}
        assert refusal(changed, trust_in(signer)) == "subject-mismatch"
    for position in range(0, len(files[EVIDENCE]), 211):
        changed = files | {EVIDENCE: flip(files[EVIDENCE], position)}
        assert refusal(changed, trust_in(signer)) in {"evidence-unparsed", "signature-invalid", "signature-untrusted"}


def test_an_untrusted_key_is_refused(tmp_path: Path, files: dict[str, bytes]) -> None:
    """A stranger's approval counts for nothing."""
    assert refusal(files, trust_in(make_signer(tmp_path, "stranger"))) == "signature-untrusted"


def test_other_evidence_than_what_was_approved_is_refused(files: dict[str, bytes], signer: Signer) -> None:
    """The approval was given to exact evidence; evidence that changed since is not covered."""
    assert refusal(files, trust_in(signer), RELEASED + b"more\n") == "subject-mismatch"
    assert len(verify(files, trust_in(signer), None)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"approvals": (Approval(login="ana", commit=PULL.head, submitted_at="2026-01-05T10:00:00Z"),)},
        {"approvals": (Approval(login="ben", commit="9" * 40, submitted_at="2026-01-05T10:00:00Z"),)},
        {"pull_request": None, "approvals": ()},
        {"pull_request": None, "path": "emergency", "approvals": YES},
    ],
    ids=["by-the-author", "of-another-head", "without-a-pull-request", "approvals-of-nothing"],
)
def test_approvals_that_no_policy_may_count_are_refused(
    record: BuildRecord, signer: Signer, changes: dict[str, Any]
) -> None:
    """Signed or not, the author's own approval and one of another head do not count."""
    assert refusal(promotion(record, RELEASED, signer, **changes), trust_in(signer)) == "approval-invalid"


def test_an_emergency_needs_no_pull_request(record: BuildRecord, signer: Signer) -> None:
    """A rollback is recorded as such, without approvals."""
    files = promotion(record, RELEASED, signer, pull_request=None, approvals=(), path="emergency")
    assert verify(files, trust_in(signer))[0].predicate["path"] == "emergency"


def test_a_record_in_another_place_is_refused(files: dict[str, bytes], signer: Signer) -> None:
    """A promotion of one environment cannot be renamed into one of another."""
    path = f"models/{MODEL}/promotions/staging-1.yaml"
    moved = files[RECORD].replace(b"name: production-1", b"name: staging-1")
    with pytest.raises(ModelOpsError) as error:
        verify_promotion(load_resource(moved, path), files[EVIDENCE], trust_in(signer))
    assert error.value.problems[0].code == "evidence-mismatch"
