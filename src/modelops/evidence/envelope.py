"""DSSE envelopes: signing a statement, and believing one.

Verification works on the payload bytes as they arrived and never on a re-serialised form. Nothing is believed by
default: an envelope counts only when every signature of it verifies with a key that the trust policy names for the
purpose, and each way of falling short has its own code.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from modelops.errors import Location, ModelOpsError, Problem, failure
from modelops.evidence.digests import digest_set
from modelops.evidence.keyring import Keyring, keyring_of
from modelops.evidence.keys import Signer, read_public_key, signature_holds
from modelops.evidence.statements import STATEMENT
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec
from modelops.spec.layout import EVIDENCE_FILE

PAYLOAD_TYPE = "application/vnd.in-toto+json"
CLOCK, GIVEN = "clock", "given"
"""Marks what was signed while the environment said what time it is."""
FILE_LIMIT = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Statement:
    """A verified statement: what it says, about which digests, and the trusted key that signed it."""

    predicate_type: str
    subjects: tuple[tuple[str, Mapping[str, str]], ...]
    predicate: Mapping[str, Any]
    key: str
    keyid: str
    where: Location

    def is_about(self, digest: str) -> bool:
        """Return whether a subject has this digest (``<algorithm>:<hex>``); names do not matter."""
        wanted = digest_set(digest)
        return any(wanted.items() <= subject.items() for _, subject in self.subjects)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding of DSSE v1, the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return compact JSON with sorted keys; a number that is not finite is a ValueError."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def envelope(payload: bytes, signer: Signer) -> dict[str, Any]:
    """Return the signed DSSE envelope of payload bytes."""
    signature = signer.sign_bytes(pae(PAYLOAD_TYPE, payload))
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [{"keyid": signer.keyid, "sig": base64.b64encode(signature).decode()}],
    }


def sign(statement: Mapping[str, Any], signer: Signer) -> bytes:
    """Return the statement in a signed envelope, as one line; one made by a clock that was given says so."""
    if signer.clock_given:
        statement = {**statement, "predicate": {**statement["predicate"], CLOCK: GIVEN}}
    return canonical(envelope(canonical(statement), signer)) + b"\n"


def verify_lines(
    data: bytes | None,
    trust: TrustPolicySpec | Keyring,
    purpose: str | Mapping[str, str],
    *,
    path: str = EVIDENCE_FILE,
) -> tuple[Statement, ...]:
    """Return the statements of a file with one envelope a line, if every one of them can be believed.

    ``purpose`` is what the keys must be trusted for, or a mapping from predicate type to that. Problems of all lines
    are reported together: ``evidence-missing`` (no file), ``evidence-empty``, ``evidence-unparsed``,
    ``signature-untrusted`` (no trusted key, or not for this purpose), ``signature-invalid``, and those of a key that
    did not count when the line came in.
    """
    if data is None:
        raise failure("evidence-missing", f"there is no evidence at {path}", location=Location(path))
    if not data:
        raise failure("evidence-empty", f"{path} holds no statement", location=Location(path))
    if len(data) > FILE_LIMIT:
        raise failure("evidence-unparsed", f"{path} is larger than {FILE_LIMIT} bytes", location=Location(path))
    if not data.endswith(b"\n"):
        raise failure("evidence-unparsed", f"{path} does not end with a whole line", location=Location(path))
    keys = keyring_of(trust)
    statements: list[Statement] = []
    problems: list[Problem] = []
    for number, line in enumerate(data[:-1].split(b"\n"), start=1):
        where = Location(path, number, 1)
        try:
            statements.append(_believe(_parse(line, where), keys, purpose, where, line))
        except ModelOpsError as error:
            problems.extend(error.problems)
    if problems:
        raise ModelOpsError(*problems)
    return tuple(statements)


def verify_envelope(
    document: object, trust: TrustPolicySpec | Keyring, purpose: str | Mapping[str, str], where: Location, text: bytes
) -> Statement:
    """Return the statement of one envelope, parsed from the text of a file, if it can be believed.

    See verify_lines for the codes.
    """
    return _believe(document, keyring_of(trust), purpose, where, text)


def require_predicate(statements: tuple[Statement, ...], predicate_type: str, path: str) -> tuple[Statement, ...]:
    """Return the statements of a type, of which there must be at least one: else ``predicate-missing``."""
    found = tuple(one for one in statements if one.predicate_type == predicate_type)
    if not found:
        raise failure("predicate-missing", f"{path} has no statement of type {predicate_type}", location=Location(path))
    return found


def require_subject(statement: Statement, name: str, digest: str) -> None:
    """Raise ``subject-mismatch`` unless a statement is about a digest."""
    if not statement.is_about(digest):
        raise failure(
            "subject-mismatch",
            f"the statement of type {statement.predicate_type} is not about {name} {digest}",
            location=statement.where,
            hint="this evidence belongs to something else, or what it was made for was changed afterwards",
        )


def parse_json(data: bytes, where: Location, what: str) -> Any:
    """Parse JSON strictly: no duplicate keys, no NaN, bounded depth; else ``evidence-unparsed``."""
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise failure("evidence-unparsed", f"{what} is not JSON", location=where) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("duplicate key")
    return result


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _parse(line: bytes, where: Location) -> Any:
    if line != line.strip():
        raise failure("evidence-unparsed", "the line has space around its envelope", location=where)
    return parse_json(line, where, "the line")


def _believe(
    document: object, keys: Keyring, purpose: str | Mapping[str, str], where: Location, text: bytes
) -> Statement:
    payload, signatures = _open(document, where)
    signed = pae(PAYLOAD_TYPE, payload)
    for keyid, signature in signatures:
        _require_fits(keys.known(keyid, where)[0].key, signature, signed, where)
    statement = _read_statement(payload, where)
    wanted = purpose if isinstance(purpose, str) else purpose.get(statement.predicate_type)
    signers = [keys.judge(keyid, wanted, text, where, statement.predicate_type) for keyid, _ in signatures]
    return replace(statement, key=signers[0].name, keyid=signatures[0][0])


def _require_fits(key: TrustedKey, signature: bytes, signed: bytes, where: Location) -> None:
    """Raise ``signature-invalid`` where a key did not make a signature."""
    if not signature_holds(read_public_key(key.public_key)[0], signature, signed):
        raise failure(
            "signature-invalid",
            f"the signature by key {key.name!r} does not fit what it signs",
            location=where,
            hint="the statement or its signature was changed after signing",
        )


def _open(document: object, where: Location) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return the payload as it was signed and the (key id, signature) pairs of an envelope, of which there is one."""
    if not isinstance(document, dict) or document.get("payloadType") != PAYLOAD_TYPE:
        raise _no_envelope(where)
    entries = document.get("signatures")
    if not isinstance(entries, list) or not entries:
        raise _no_envelope(where)
    signatures: list[tuple[str, bytes]] = []
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("keyid"), str):
            raise _no_envelope(where)
        signatures.append((entry["keyid"], _decode(entry.get("sig"), where)))
    return _decode(document.get("payload"), where), signatures


def _no_envelope(where: Location) -> ModelOpsError:
    return failure("evidence-unparsed", "this is not a DSSE envelope with an in-toto statement", location=where)


def _decode(text: object, where: Location) -> bytes:
    """Decode base64 that is the one spelling of its bytes, so that no character of an envelope is free."""
    if not isinstance(text, str):
        raise _no_envelope(where)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _no_envelope(where) from None
    if base64.b64encode(data).decode() != text:
        raise _no_envelope(where)
    return data


def _no_statement(where: Location) -> ModelOpsError:
    return failure("evidence-unparsed", "the signed payload is not an in-toto Statement v1", location=where)


def _read_statement(payload: bytes, where: Location) -> Statement:
    document = parse_json(payload, where, "the signed payload")
    if not isinstance(document, dict) or document.get("_type") != STATEMENT:
        raise _no_statement(where)
    predicate_type, predicate, subjects = (document.get(key) for key in ("predicateType", "predicate", "subject"))
    if not isinstance(predicate_type, str) or not isinstance(predicate, dict) or not isinstance(subjects, list):
        raise _no_statement(where)
    read: list[tuple[str, Mapping[str, str]]] = []
    for subject in subjects:
        digest = subject.get("digest") if isinstance(subject, dict) else None
        if not isinstance(digest, dict) or not digest or not all(isinstance(value, str) for value in digest.values()):
            raise _no_statement(where)
        read.append((str(subject.get("name", "")), digest))
    if not read:
        raise failure("evidence-empty", "the statement is about nothing", location=where)
    return Statement(predicate_type, tuple(read), predicate, "", "", where)
