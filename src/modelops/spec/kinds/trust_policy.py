"""kind: TrustPolicy — whose signatures count for what, from when until when, and who may change that."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Literal, get_args

from pydantic import Field

from modelops.clock import parse_instant
from modelops.errors import ModelOpsError, Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.meta import GitId, Name, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.TRUST

Purpose = Literal["release", "promotion", "snapshot", "rollout", "trust"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
Reason = Annotated[str, Field(min_length=1, max_length=500)]


class Revocation(Strict):
    """From where on a key's signatures no longer count: what the branch had before stays proven."""

    at: str = Field(description="a full commit id of the branch, or an ISO 8601 instant")
    reason: Reason

    @property
    def commit(self) -> str | None:
        """The last commit of the branch that may have brought evidence of the key; None where a time says it."""
        return self.at if len(self.at) in (40, 64) and not set(self.at) - set("0123456789abcdef") else None


class TrustedKey(Strict):
    """A public key (PEM, ECDSA P-256), what its signatures count for and from when until when."""

    name: Name
    public_key: str
    signs: tuple[Purpose, ...] = Field(min_length=1)
    valid_from: str | None = None
    valid_until: str | None = None
    revoked: Revocation | None = None


class WrongDate(Strict):
    """A commit of the branch whose date, and the time of whatever it brought, say nothing about others."""

    commit: GitId
    reason: Reason


class TrustPolicySpec(Strict):
    """The spec of the TrustPolicy; with a ``threshold`` it changes only by the signatures of its own keys."""

    threshold: int | None = Field(default=None, ge=1, le=64)
    keys: tuple[TrustedKey, ...] = Field(min_length=1)
    wrong_dates: tuple[WrongDate, ...] = ()

    def changed_by(self) -> tuple[TrustedKey, ...]:
        """Return the keys that may sign a change of this policy: those that are for it, where none is, all of them."""
        named = tuple(key for key in self.keys if "trust" in key.signs)
        return tuple(key for key in named or self.keys if key.revoked is None)


def problems(trust: Resource[TrustPolicySpec], around: Around) -> Iterator[Problem]:
    """Yield what is wrong with the keys; what is around them does not matter."""
    yield from own_problems(trust)


def own_problems(trust: Resource[TrustPolicySpec]) -> Iterator[Problem]:
    """Yield what is wrong with the keys of one version."""
    names: list[str] = []
    texts: dict[str, str] = {}
    for index, key in enumerate(trust.spec.keys):
        where = f"spec.keys[{index}]"
        if key.name in names:
            yield at(trust, f"{where}.name", "duplicate-name", f"two keys are named {key.name!r}", "rename one of them")
        names.append(key.name)
        if "PRIVATE KEY" in key.public_key:
            said = "this is a private key"
            hint = "revoke it: what was in git is no longer secret; put the public key here"
            yield at(trust, f"{where}.publicKey", "private-key-in-git", said, hint)
        elif (id := _key_id(key.public_key)) is None:
            said = "this is not the PEM of an ECDSA P-256 public key"
            yield at(trust, f"{where}.publicKey", "bad-key", said, "openssl pkey -in KEY.pem -pubout writes one")
        elif trust.spec.threshold is not None and (other := texts.setdefault(id, key.name)) != key.name:
            said = f"{key.name!r} is the key {other!r} under another name, and would count twice"
            yield at(trust, f"{where}.publicKey", "same-key", said, "name each key once")
        yield from _times(trust, where, key)
    able = len(trust.spec.changed_by())
    if trust.spec.threshold is not None and able < trust.spec.threshold:
        said = f"{trust.spec.threshold} keys must sign a change of this policy, and {able} can"
        hint = "lower it, or add keys that sign `trust`: nobody could change this policy again"
        yield at(trust, "spec.threshold", "threshold-unreachable", said, hint)


def _times(trust: Resource[TrustPolicySpec], where: str, key: TrustedKey) -> Iterator[Problem]:
    """Yield what is wrong with the times of a key."""
    said = {"validFrom": key.valid_from, "validUntil": key.valid_until}
    if key.revoked is not None and key.revoked.commit is None:
        said["revoked.at"] = key.revoked.at
    for name, text in said.items():
        if text is not None and not _is_instant(text):
            hint = "write 2026-04-30T12:00:00Z" + (", or the full id of a commit" if name == "revoked.at" else "")
            yield at(trust, f"{where}.{name}", "bad-instant", f"{text!r} is not an ISO 8601 date or time", hint)
            return
    if key.valid_from and key.valid_until and parse_instant(key.valid_from) >= parse_instant(key.valid_until):
        message = f"the key {key.name!r} ends at {key.valid_until}, before it begins at {key.valid_from}"
        yield at(trust, f"{where}.validUntil", "empty-window", message, "end it after it begins")


def _is_instant(text: str) -> bool:
    try:
        parse_instant(text)
    except ModelOpsError:
        return False
    return True


@cache
def _key_id(pem: str) -> str | None:
    """Return what is the same for two spellings of one public key; None for what is no key that counts."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        return None
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
