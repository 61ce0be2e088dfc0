"""One case as files that a third party checks with tools of its own: what was answered, its records, and signatures.

``sha256sum`` checks the files against a list, ``openssl`` the signature of that list and those of all statements, which
are laid out as the bytes that were signed, OpenSSF's ``model_signing`` those of a model. Nothing of modelops is needed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from modelops.artifacts import Artifact
from modelops.audit.answers import PredictionAnswer, to_dict
from modelops.audit.records import Records
from modelops.clock import format_instant
from modelops.errors import Exit, failure
from modelops.evidence import Keyring, Signer
from modelops.evidence.envelope import pae
from modelops.evidence.keyring import keyring_of
from modelops.evidence.keys import read_public_key
from modelops.markup import plain
from modelops.project.signing import require_time
from modelops.project.snapshots import seal_path
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec
from modelops.spec.layout import SNAPSHOT, TRUST, ReleaseFiles, promotion_evidence

__all__ = ["SIGNATURE", "SUMS", "case_files", "write_case"]

SUMS, SIGNATURE = "SHA256SUMS", "SHA256SUMS.sig"
_README = """\
What was answered to prediction {id}, and what proves it, exported {time} from commit {revision}.

  answer.json   the answer of the audit: inputs, result, reasons, release, approvals, and what was checked
  records/      the files of the repository that it rests on, byte by byte
  proofs/       every signed statement among them: NN.json what it says, NN.signed the bytes that were signed,
                NN.sig the signature of each key (ECDSA P-256, SHA-256, DER)
  keys/         the public keys of the trust policy, by their names there
  artifact/     the files of the model, where they were asked for; model.sigstore.json of the release signs them
                in the form of OpenSSF model signing

Nothing but the key itself has to be trusted: compare keys/{key}.pem with what its owner says. Then

  openssl dgst -sha256 -verify keys/{key}.pem -signature {signature} {sums}
  sha256sum -c {sums}
{checks}

What these commands do not check: whether a key might sign that, and then. The trust policy says it,
records/{policy}, as it is at the commit of this export:

{limits}

answer.json says what modelops found of it for each record, by the commit that brought the record in.
"""


def case_files(
    records: Records, answer: PredictionAnswer, signer: Signer, now: datetime, artifact: Artifact | None = None
) -> dict[str, bytes]:
    """Return the files of a case by their path; the signer has to be a key that the trust policy lets sign now.

    Codes: ``trust-missing``, ``signature-untrusted``, ``key-not-in-force``, ``key-expired``, ``key-revoked``, and
    ``clock-behind`` at a time before that of the branch.
    """
    resource = records.load(TRUST.path())
    policy = resource.spec if resource is not None else None
    if not isinstance(policy, TrustPolicySpec):
        raise failure("trust-missing", f"there is no trust policy at {TRUST.path()}", exit=Exit.FILES)
    names = {read_public_key(key.public_key)[1]: key.name for key in policy.keys}
    if signer.keyid not in names:
        hint = "export it where a key is that policies/trust.yaml names"
        raise failure("signature-untrusted", "the key of this machine is not in the trust policy", hint=hint)
    # Where no key counts any more, a case still tells what is wrong: then the policy as it stands says who may sign.
    keyring = records.trust if isinstance(records.trust, Keyring) else keyring_of(policy)
    keyring.require(signer, None, now)
    if keyring is records.trust and records.chain is not None:
        require_time(records.chain, now)
    files: dict[str, bytes] = {"answer.json": _pretty(to_dict(answer))}
    for path in _paths(answer):
        data = records.read(path)
        if data is not None:
            files[f"records/{path}"] = data
    proofs, checks = _proofs(files, names)
    files |= proofs
    files |= {f"keys/{key.name}.pem": key.public_key.encode() for key in policy.keys}
    if artifact is not None:
        files |= {f"artifact/{path}": data for path, data in artifact.files.items()}
        checks += _of_the_model(files, answer, policy)
    files["README.txt"] = _README.format(
        id=answer.id,
        time=format_instant(now),
        revision=records.revision,
        key=names[signer.keyid],
        signature=SIGNATURE,
        sums=SUMS,
        checks="\n".join(f"  {line}" for line in checks),
        policy=TRUST.path(),
        limits="\n".join(f"  keys/{key.name}.pem {_limits(key)}" for key in policy.keys),
    ).encode()
    listed = "".join(_sum(path, files[path]) for path in sorted(files)).encode()
    return files | {SUMS: listed, SIGNATURE: signer.sign_bytes(listed)}


def _limits(key: TrustedKey) -> str:
    """Return what a key signs, from when until when, and whether it is revoked, as one line."""
    said = [f"signs {', '.join(key.signs)}"]
    said += [f"valid from {key.valid_from}"] if key.valid_from is not None else []
    said += [f"valid until {key.valid_until}"] if key.valid_until is not None else []
    if key.valid_from is None and key.valid_until is None:
        said.append("valid at any time")
    said.append("not revoked" if key.revoked is None else f"REVOKED from {key.revoked.at} on: {key.revoked.reason}")
    return plain("; ".join(said))


_ESCAPED = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r"})


def _sum(path: str, data: bytes) -> str:
    """Return the line of a file for ``sha256sum``, which marks a name with escapes by a backslash before the digest."""
    name = path.translate(_ESCAPED)
    return f"{'' if name == path else chr(92)}{hashlib.sha256(data).hexdigest()}  {name}\n"


def _paths(answer: PredictionAnswer) -> Iterator[str]:
    yield TRUST.path()
    of = ReleaseFiles(answer.model, answer.release)
    yield from (of.release, of.evidence, of.card, of.signature)
    if answer.made_by is not None:
        snapshot = answer.made_by.data.snapshot
        yield from (SNAPSHOT.path(answer.model, snapshot), seal_path(answer.model, snapshot))
    if answer.promotion is not None:
        yield from (answer.promotion.file, promotion_evidence(answer.promotion.file))


def _proofs(files: Mapping[str, bytes], names: Mapping[str, str]) -> tuple[dict[str, bytes], list[str]]:
    """Return the statements of the evidence files as openssl takes them, and the commands that check them."""
    found: dict[str, bytes] = {}
    checks: list[str] = []
    number = 0
    for path, data in sorted(files.items()):
        for line in data.splitlines() if path.endswith(".jsonl") else ():
            try:
                envelope = json.loads(line)
                payload = base64.b64decode(envelope["payload"], validate=True)
                signed = [(base64.b64decode(one["sig"]), str(one["keyid"])) for one in envelope["signatures"]]
                kind = str(envelope["payloadType"])
            except (ValueError, KeyError, TypeError, binascii.Error):
                # What cannot be read is among the records as it is, and the answer says that it proves nothing.
                continue
            number += 1
            found |= {f"proofs/{number:02}.json": payload, f"proofs/{number:02}.signed": pae(kind, payload)}
            for place, (signature, keyid) in enumerate(signed):
                name = f"proofs/{number:02}{f'-{place}' if place else ''}.sig"
                found[name] = signature
                if keyid in names:
                    key = f"keys/{names[keyid]}.pem"
                    checks.append(f"openssl dgst -sha256 -verify {key} -signature {name} proofs/{number:02}.signed")
    return found, checks


def _of_the_model(files: Mapping[str, bytes], answer: PredictionAnswer, policy: TrustPolicySpec) -> list[str]:
    """Return the command of OpenSSF model signing that checks the model's files; none where no key here signed them."""
    bundle = f"records/{ReleaseFiles(answer.model, answer.release).signature}"
    try:
        hint = json.loads(files[bundle])["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, KeyError, TypeError):
        # What cannot be read is among the records as it is.
        return []
    signed_by = [key.name for key in policy.keys if hashlib.sha256(key.public_key.encode()).hexdigest() == hint]
    return [
        f"model_signing verify key artifact/models --public_key keys/{name}.pem --signature {bundle}"
        for name in signed_by[:1]
    ]


def _pretty(value: object) -> bytes:
    """Return JSON values as a document; half a surrogate pair, which UTF-8 has no bytes for, stays escaped."""
    return (json.dumps(value, indent=2, allow_nan=False, sort_keys=True) + "\n").encode()


def write_case(files: Mapping[str, bytes], folder: Path) -> None:
    """Write a case into a folder that is not there, or is empty: all of it or nothing."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise failure("folder-not-empty", f"{folder} is there and not empty", exit=Exit.USAGE, hint="name a new folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
            whole = Path(scratch) / "case"
            for path, data in files.items():
                target = whole / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            whole.rename(folder)
    except OSError as error:
        raise failure("unwritable", f"{folder} cannot be written: {error.strerror}", exit=Exit.WORLD) from None
