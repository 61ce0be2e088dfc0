"""Envelopes: what is signed, what is believed, and the code of every way to fall short."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from modelops.digests import digest_bytes
from modelops.errors import Location, ModelOpsError
from modelops.evidence import (
    Signer,
    generate_key,
    require_predicate,
    require_subject,
    sign,
    statement,
    verify_lines,
)
from modelops.evidence.envelope import FILE_LIMIT, pae
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec

PREDICATE = "https://example.com/tasted/v1"
SUBJECT = digest_bytes(b"cake")


def make_signer(folder: Path, name: str) -> Signer:
    generate_key(folder / f"{name}.pem")
    return Signer.load(folder / f"{name}.pem")


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path, "local")


@pytest.fixture
def trust(signer: Signer) -> TrustPolicySpec:
    return TrustPolicySpec(keys=(TrustedKey(name="local", public_key=signer.public_pem, signs=("release",)),))


def line(signer: Signer, number: int = 1) -> bytes:
    return sign(statement(PREDICATE, {"cake": SUBJECT}, {"number": number, "taste": "süß"}), signer)


def resigned(signer: Signer, payload: bytes, **changes: Any) -> bytes:
    """Return an envelope over any payload with a genuine signature."""
    signature = base64.b64encode(signer.sign_bytes(pae("application/vnd.in-toto+json", payload))).decode()
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": signer.keyid, "sig": signature}],
    }
    return json.dumps(envelope | changes).encode() + b"\n"


def codes(data: bytes | None, trust: TrustPolicySpec, purpose: str = "release") -> list[str]:
    with pytest.raises(ModelOpsError) as error:
        verify_lines(data, trust, purpose, path="evidence.intoto.jsonl")
    assert error.value.exit == 3
    assert all(problem.location is not None for problem in error.value.problems)
    return [problem.code for problem in error.value.problems]


def test_the_signed_bytes_are_those_of_dsse() -> None:
    """The pre-authentication encoding equals the example of the DSSE specification."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_statements_come_back_in_order_with_who_signed(signer: Signer, trust: TrustPolicySpec) -> None:
    """Each line is one statement; what was signed is what is read, with the name of the trusted key."""
    first, second = verify_lines(line(signer, 1) + line(signer, 2), trust, "release")
    assert (first.predicate["number"], second.predicate["number"]) == (1, 2)
    assert first.predicate["taste"] == "süß"
    assert first.predicate_type == PREDICATE
    assert first.subjects == (("cake", {"sha256": SUBJECT.removeprefix("sha256:")}),)
    assert (first.key, first.keyid) == ("local", signer.keyid)
    assert second.where == Location("evidence.intoto.jsonl", 2, 1)
    require_subject(first, "cake", SUBJECT)


def test_statements_are_deterministic_bytes(signer: Signer) -> None:
    """Equal facts give equal payloads; only the signature is random."""
    first, second = (json.loads(line(signer)) for _ in range(2))
    assert first["payload"] == second["payload"]
    assert first["signatures"][0]["sig"] != second["signatures"][0]["sig"]


def test_every_single_changed_byte_is_refused(signer: Signer, trust: TrustPolicySpec) -> None:
    """No byte of an evidence file is free: changing any one of them, in any of three ways, is refused."""
    data = sign(statement(PREDICATE, {"cake": SUBJECT}, {}), signer)
    accepted = []
    for position in range(len(data)):
        for change in (1, 2, 32):
            changed = data[:position] + bytes([data[position] ^ change]) + data[position + 1 :]
            try:
                verify_lines(changed, trust, "release")
            except ModelOpsError:
                continue
            accepted.append((position, change))
    assert accepted == []


def test_an_untrusted_key_is_refused_by_its_id(tmp_path: Path, trust: TrustPolicySpec) -> None:
    """A good signature by a key outside the trust policy counts for nothing."""
    assert codes(line(make_signer(tmp_path, "stranger")), trust) == ["signature-untrusted"]


def test_a_trusted_key_counts_only_for_its_purposes(signer: Signer, trust: TrustPolicySpec) -> None:
    """A key trusted for releases does not sign promotions."""
    assert codes(line(signer), trust, "promotion") == ["signature-untrusted"]


def test_a_purpose_can_depend_on_the_predicate(signer: Signer, trust: TrustPolicySpec) -> None:
    """With a mapping, a statement needs the purpose of its own type, and a type without a purpose is refused."""
    assert len(verify_lines(line(signer), trust, {PREDICATE: "release"})) == 1
    for mapping in ({PREDICATE: "rollout"}, {}):
        with pytest.raises(ModelOpsError) as error:
            verify_lines(line(signer), trust, mapping)
        assert error.value.problems[0].code == "signature-untrusted"


def test_a_signature_moved_to_another_statement_is_invalid(signer: Signer, trust: TrustPolicySpec) -> None:
    """A signature fits one payload."""
    first, second = json.loads(line(signer, 1)), json.loads(line(signer, 2))
    swapped = json.dumps(first | {"signatures": second["signatures"]}).encode() + b"\n"
    assert codes(swapped, trust) == ["signature-invalid"]


def test_all_signatures_of_an_envelope_must_hold(tmp_path: Path, signer: Signer, trust: TrustPolicySpec) -> None:
    """One good signature does not carry a bad or an unknown one beside it."""
    good, stranger = json.loads(line(signer)), json.loads(line(make_signer(tmp_path, "stranger")))
    other = json.loads(line(signer, 2))
    for extra, code in ((stranger, "signature-untrusted"), (other, "signature-invalid")):
        both = good | {"signatures": good["signatures"] + extra["signatures"]}
        assert codes(json.dumps(both).encode() + b"\n", trust) == [code]


def test_problems_of_all_lines_are_reported_together(signer: Signer, trust: TrustPolicySpec) -> None:
    """One pass names every bad line."""
    data = b"{}\n" + line(signer) + b"\xff\xfe\n\n"
    with pytest.raises(ModelOpsError) as error:
        verify_lines(data, trust, "release")
    lines = [problem.location.line for problem in error.value.problems if problem.location]
    assert lines == [1, 3, 4]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (None, "evidence-missing"),
        (b"", "evidence-empty"),
        (b"\n", "evidence-unparsed"),
        (b"[]\n", "evidence-unparsed"),
        (b"null\n", "evidence-unparsed"),
        (b"[" * 100_000 + b"\n", "evidence-unparsed"),
        (b'{"payloadType":"application/vnd.in-toto+json","signatures":[],"payload":""}\n', "evidence-unparsed"),
        (b" " * (FILE_LIMIT + 1), "evidence-unparsed"),
    ],
    ids=["missing", "empty", "blank", "list", "null", "deep", "no-signature", "huge"],
)
def test_what_is_no_evidence_is_refused(trust: TrustPolicySpec, data: bytes | None, code: str) -> None:
    """Missing, empty and unreadable evidence have codes of their own and never count as good."""
    assert codes(data, trust) == [code]


@pytest.mark.parametrize(
    "change",
    [
        {"payloadType": "application/json"},
        {"payload": None},
        {"payload": "!!!!"},
        {"signatures": None},
        {"signatures": [{"sig": "AAAA"}]},
        {"signatures": [{"keyid": "x", "sig": 5}]},
        {"signatures": ["x"]},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_a_damaged_envelope_is_unparsed(signer: Signer, trust: TrustPolicySpec, change: dict[str, Any]) -> None:
    """An envelope of another shape is never half read."""
    damaged = json.dumps(json.loads(line(signer)) | change).encode() + b"\n"
    assert codes(damaged, trust) == ["evidence-unparsed"]


def test_a_line_without_its_end_is_refused(signer: Signer, trust: TrustPolicySpec) -> None:
    """A file that was cut, even at its last byte, or padded, is refused."""
    assert codes(line(signer)[:-1], trust) == ["evidence-unparsed"]
    assert codes(b" " + line(signer), trust) == ["evidence-unparsed"]


GOOD = {"_type": "https://in-toto.io/Statement/v1", "predicateType": PREDICATE, "predicate": {}}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"not json", "evidence-unparsed"),
        (b'{"_type":"a","_type":"b"}', "evidence-unparsed"),
        (
            json.dumps(GOOD | {"subject": [{"digest": {"sha256": "00"}}], "_type": "x"}).encode(),
            "evidence-unparsed",
        ),
        (json.dumps(GOOD | {"subject": [{"name": "no digest"}]}).encode(), "evidence-unparsed"),
        (json.dumps(GOOD | {"subject": [{"digest": {"sha256": 5}}]}).encode(), "evidence-unparsed"),
        (json.dumps(GOOD | {"subject": []}).encode(), "evidence-empty"),
        (json.dumps(GOOD).encode(), "evidence-unparsed"),
        (json.dumps(GOOD | {"subject": [{"digest": {"sha256": "00"}}], "predicate": 1}).encode(), "evidence-unparsed"),
        (b'{"a":NaN}', "evidence-unparsed"),
    ],
    ids=["text", "duplicate", "type", "no-digest", "number", "no-subject", "absent-subject", "predicate", "nan"],
)
def test_a_signed_payload_must_be_a_statement(
    signer: Signer, trust: TrustPolicySpec, payload: bytes, code: str
) -> None:
    """A genuine signature over something that is no statement is refused."""
    assert codes(resigned(signer, payload), trust) == [code]


def test_unknown_fields_and_other_spellings_are_read(signer: Signer, trust: TrustPolicySpec) -> None:
    """Statements of other tools may carry more fields and other white space: the bytes are verified as they came."""
    payload = json.dumps(GOOD | {"subject": [{"digest": {"sha256": "00"}, "uri": "x"}], "more": 1}, indent=2).encode()
    (read,) = verify_lines(resigned(signer, payload, more=True), trust, "release")
    assert read.predicate_type == PREDICATE


def test_a_missing_predicate_is_named(signer: Signer, trust: TrustPolicySpec) -> None:
    """Evidence of another type does not stand in for what is asked."""
    statements = verify_lines(line(signer), trust, "release")
    assert require_predicate(statements, PREDICATE, "evidence.intoto.jsonl") == statements
    with pytest.raises(ModelOpsError, match="slsa") as error:
        require_predicate(statements, "https://slsa.dev/provenance/v1", "evidence.intoto.jsonl")
    assert error.value.problems[0].code == "predicate-missing"


@pytest.mark.parametrize("digest", [digest_bytes(b"pie"), "sha512:" + "0" * 128, "gitTree:" + "0" * 40])
def test_a_statement_about_something_else_is_refused(signer: Signer, trust: TrustPolicySpec, digest: str) -> None:
    """Subjects are matched by digest alone, by algorithm and value."""
    (read,) = verify_lines(line(signer), trust, "release")
    with pytest.raises(ModelOpsError, match=digest) as error:
        require_subject(read, "cake", digest)
    assert error.value.problems[0].code == "subject-mismatch"


def test_a_trust_policy_with_an_unreadable_key_trusts_nobody(signer: Signer, trust: TrustPolicySpec) -> None:
    """A key that cannot be read makes the policy unusable, by the key's name."""
    broken = TrustPolicySpec(keys=(*trust.keys, TrustedKey(name="broken", public_key="x", signs=("release",))))
    with pytest.raises(ModelOpsError, match="'broken'") as error:
        verify_lines(line(signer), broken, "release")
    assert error.value.problems[0].code == "key-unsupported"


def test_a_statement_needs_a_subject_and_finite_numbers(signer: Signer) -> None:
    """A statement about nothing, or with a number that JSON does not have, is not made."""
    with pytest.raises(ValueError, match="subject"):
        statement(PREDICATE, {}, {})
    with pytest.raises(ValueError, match="JSON"):
        sign(statement(PREDICATE, {"cake": SUBJECT}, {"value": float("nan")}), signer)
    with pytest.raises(ValueError, match="digest set"):
        statement(PREDICATE, {"cake": "md5:00"}, {})
