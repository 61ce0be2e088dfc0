"""Signatures of git commits in the format of OpenSSH, which ``git verify-commit`` and every forge can read.

A commit's signature covers its tree and its parents, so that what is signed cannot be put anywhere else. It is in the
header of the commit, or, where a forge makes the commit and signs it itself, in the last line of the message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from modelops.errors import ModelOpsError
from modelops.evidence.keys import Signer, read_public_key

__all__ = ["commit_signature", "inscribed", "signed_by"]

_MAGIC = b"SSHSIG"
_NAMESPACE = b"git"
_HASH = b"sha512"
_KIND = b"ecdsa-sha2-nistp256"
_CURVE = b"nistp256"
_BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_TRAILER = "Modelops-Signature: "
"""What is in a message is signed without an author, a committer and their dates, which the forge sets."""


def commit_signature(payload: bytes, signer: Signer) -> str:
    """Return the signature of a commit object without one, in the armour that git puts into its ``gpgsig`` header."""
    encoded = _encoded(payload, signer)
    lines = [encoded[at : at + 70] for at in range(0, len(encoded), 70)]
    return "\n".join([_BEGIN, *lines, _END])


def inscribed(tree: str, parents: Sequence[str], message: str, signer: Signer) -> str:
    """Return a message that carries the signature of a tree, its parents and itself."""
    text = _without_trailer(message)[0]
    return f"{text}\n{_TRAILER}{_encoded(_content(tree, parents, text), signer)}\n"


def _encoded(payload: bytes, signer: Signer) -> str:
    r, s = decode_dss_signature(signer.sign_bytes(_signed(payload)))
    signature = _text(_KIND) + _text(_text(_integer(r)) + _text(_integer(s)))
    blob = _MAGIC + (1).to_bytes(4, "big") + _text(_public(signer.public_pem))
    blob += _text(_NAMESPACE) + _text(b"") + _text(_HASH) + _text(signature)
    return base64.b64encode(blob).decode()


def signed_by(commit: bytes, keys: Iterable[str]) -> str | None:
    """Return the PEM of the key, of some, that signed the bytes of a commit object; None where none of them did."""
    payload, armour = _split(commit)
    parts = _read(armour) if armour is not None else None
    if parts is None:
        payload, parts = _inscription(commit)
    if parts is None:
        return None
    public, signature = parts
    for pem in keys:
        try:
            key, known = read_public_key(pem)[0], _public(pem)
        except ModelOpsError:
            continue
        if known == public:
            return pem if _holds(key, signature, _signed(payload)) else None
    return None


def _holds(key: ec.EllipticCurvePublicKey, signature: tuple[int, int], data: bytes) -> bool:
    try:
        key.verify(encode_dss_signature(*signature), data, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(payload: bytes) -> bytes:
    return _MAGIC + _text(_NAMESPACE) + _text(b"") + _text(_HASH) + _text(hashlib.sha512(payload).digest())


def _public(pem: str) -> bytes:
    point = read_public_key(pem)[0].public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return _text(_KIND) + _text(_CURVE) + _text(point)


def _text(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _integer(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _split(commit: bytes) -> tuple[bytes, str | None]:
    """Return a commit object without its signature, and the signature; anything but one signature is none."""
    head, separator, body = commit.partition(b"\n\n")
    kept: list[bytes] = []
    armour: list[bytes] = []
    within = False
    for line in head.split(b"\n"):
        if line.startswith(b"gpgsig"):
            if armour or not line.startswith(b"gpgsig "):
                return commit, None
            within = True
            armour.append(line.removeprefix(b"gpgsig "))
        elif within and line.startswith(b" "):
            armour.append(line[1:])
        else:
            within = False
            kept.append(line)
    if not armour:
        return commit, None
    return b"\n".join(kept) + separator + body, b"\n".join(armour).decode("ascii", "replace")


def _inscription(commit: bytes) -> tuple[bytes, tuple[bytes, tuple[int, int]] | None]:
    """Return what a signature in the message of a commit covers, and its public key and numbers, None without one."""
    head, _, body = commit.partition(b"\n\n")
    try:
        message, trailer = _without_trailer(body.decode())
    except UnicodeDecodeError:
        return b"", None
    # The first lines of a commit are its tree and its parents; any line that looks like one of them is one.
    lines = [line.split(b" ", 1) for line in head.split(b"\n")]
    named = [
        (line[0].decode(), line[-1].decode("ascii", "replace")) for line in lines if line[0] in (b"tree", b"parent")
    ]
    if trailer is None or [name for name, _ in named[:1]] != ["tree"]:
        return b"", None
    parents = [id for name, id in named[1:]]
    return _content(named[0][1], parents, message), _parts(trailer)


def _content(tree: str, parents: Sequence[str], message: str) -> bytes:
    """Return what is signed within a message; no object of git looks like it, as it has no author."""
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), "", message]
    return "\n".join(lines).encode()


def _without_trailer(message: str) -> tuple[str, str | None]:
    """Return a message without its last line, where that is a signature, and the signature; one line end closes it."""
    text, begin, last = message.rstrip().rpartition(f"\n{_TRAILER}")
    if not begin or "\n" in last:
        return message.rstrip() + "\n", None
    return text.rstrip() + "\n", last


def _read(armour: str) -> tuple[bytes, tuple[int, int]] | None:
    """Return the public key and the two numbers of a signature of ours; None for every other."""
    lines = armour.strip().split("\n")
    if (lines[0], lines[-1]) != (_BEGIN, _END):
        return None
    return _parts("".join(lines[1:-1]))


def _parts(encoded: str) -> tuple[bytes, tuple[int, int]] | None:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    if not data.startswith(_MAGIC + (1).to_bytes(4, "big")):
        return None
    fields = _fields(data[len(_MAGIC) + 4 :])
    if fields is None or len(fields) != 5 or fields[1:4] != [_NAMESPACE, b"", _HASH]:
        return None
    signature = _fields(fields[4])
    numbers = _fields(signature[1]) if signature is not None and len(signature) == 2 else None
    if numbers is None or len(numbers) != 2 or signature is None or signature[0] != _KIND:
        return None
    return fields[0], (int.from_bytes(numbers[0], "big"), int.from_bytes(numbers[1], "big"))


def _fields(data: bytes) -> list[bytes] | None:
    """Return the length-prefixed fields that data consist of, None where they do not."""
    found: list[bytes] = []
    while data:
        size = int.from_bytes(data[:4], "big")
        if len(data) < 4 + size:
            return None
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found
