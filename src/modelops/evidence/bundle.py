"""The signature file of OpenSSF model signing: a Sigstore bundle over the files of an artifact.

``model_signing verify key`` accepts what is written here. Our own verifier is stricter than that tool: no ignored
paths, one order, the name bound, all signatures valid, and no file more or less than what was signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from modelops.errors import Location, failure
from modelops.evidence.envelope import CLOCK, GIVEN, canonical, envelope, parse_json, verify_envelope
from modelops.evidence.keyring import Keyring
from modelops.evidence.keys import Signer
from modelops.evidence.statements import statement
from modelops.spec.kinds.trust_policy import TrustPolicySpec

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
MODEL_SIGNATURE = "https://model_signing/signature/v1.0"
_OURS = "modelops"


def model_bundle(name: str, files: Mapping[str, str], signer: Signer, about: Mapping[str, str] | None = None) -> bytes:
    """Return the signature file for files given as POSIX path below the model's folder → hexadecimal SHA-256.

    ``about`` are more digests to sign, which the tool passes over.
    """
    predicate = _predicate(files) | ({_OURS: dict(about)} if about else {})
    if signer.clock_given:
        predicate |= {CLOCK: GIVEN}
    content = statement(MODEL_SIGNATURE, {name: f"sha256:{_root(files)}"}, predicate)
    bundle = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": hashlib.sha256(signer.public_pem.encode()).hexdigest()},
            "tlogEntries": [],
        },
        "dsseEnvelope": envelope(canonical(content), signer),
    }
    return canonical(bundle) + b"\n"


def verify_model_bundle(
    data: bytes | None,
    trust: TrustPolicySpec | Keyring,
    name: str,
    files: Mapping[str, str],
    *,
    path: str,
    purpose: str = "release",
    about: Mapping[str, str] | None = None,
) -> str:
    """Return the key of a signature file that is a trusted signature over exactly these files under this name.

    ``about`` are the digests beside those of the files that it must hold, and no others. The codes are those of
    verify_lines and ``subject-mismatch``.
    """
    where = Location(path)
    if data is None:
        raise failure("evidence-missing", f"there is no signature file at {path}", location=where)
    document = parse_json(data, where, "the signature file")
    if not isinstance(document, dict) or document.get("mediaType") != BUNDLE_TYPE:
        raise failure("evidence-unparsed", f"{path} is not a Sigstore bundle of version 0.3", location=where)
    signed = verify_envelope(document.get("dsseEnvelope"), trust, purpose, where, data)
    if signed.predicate_type != MODEL_SIGNATURE:
        raise failure("predicate-missing", f"{path} holds no model signature", location=where)
    said = {key: value for key, value in signed.predicate.items() if key not in (_OURS, CLOCK)}
    same = signed.predicate.get(_OURS, {}) == dict(about or {}) and said == _predicate(files)
    if signed.subjects != ((name, {"sha256": _root(files)}),) or not same:
        raise failure("subject-mismatch", f"{path} does not sign exactly the files of {name}", location=where)
    return signed.key


def _predicate(files: Mapping[str, str]) -> dict[str, object]:
    return {
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": []},
        "resources": [
            {"name": path, "algorithm": "sha256", "digest": digest} for path, digest in sorted(files.items())
        ],
    }


def _root(files: Mapping[str, str]) -> str:
    """Return the tool's root: SHA-256 over the files' digests in the order of their names (which it leaves out)."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for _, digest in sorted(files.items()))).hexdigest()
