"""Which keys count for what came in where: spans of the branch's line of commits, windows of time, and revocations.

A commit of the line is known by its place, counted from the root. What a key signed counts if the key was trusted at
the place where that came in, so a key that is gone by now leaves proven what it had signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from modelops.clock import format_instant, parse_instant, wall_clock
from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.evidence.keys import Signer, read_public_key
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec
from modelops.spec.layout import TRUST

_ADD = f"add its public part to {TRUST.path()}, in a reviewed change that a key of before signs, if it deserves it"


@dataclass(frozen=True, slots=True)
class Span:
    """A key as one version of the trust policy has it, and the places of the line between which that is in force."""

    key: TrustedKey
    first: int = 0
    last: int | None = None

    def holds(self, place: int) -> bool:
        """Tell whether what came in at a place is within the span."""
        return self.first <= place and (self.last is None or place <= self.last)


@dataclass(frozen=True, slots=True)
class Limit:
    """Where a revoked key ends: at a place, or at an instant; of a key without either nothing counts."""

    key: TrustedKey
    place: int | None = None
    instant: datetime | None = None

    def spares(self, place: int, time: datetime) -> bool:
        """Tell whether what came in there, at that time, is from before the end."""
        return place <= self.place if self.place is not None else self.instant is not None and time <= self.instant


@dataclass(frozen=True)
class Keyring:
    """The keys by their ids: when each was trusted, and where revoked ones end.

    ``came`` returns the place at which a text came into a file, None for what is not on the line; ``time`` the date of
    a place, which never runs backwards; ``now`` is the place of what is signed next. Two keyrings with one ``mark``
    say the same of everything.
    """

    spans: Mapping[str, tuple[Span, ...]]
    limits: Mapping[str, tuple[Limit, ...]]
    came: Callable[[str, bytes], int | None]
    time: Callable[[int], datetime]
    now: int
    mark: str = ""

    def known(self, keyid: str, where: Location) -> tuple[Span, ...]:
        """Return the spans of a key, or say that nobody ever trusted it."""
        spans = self.spans.get(keyid)
        if not spans:
            said = f"the key {keyid[:16] or 'without an id'} that signed this is not in the trust policy"
            raise failure("signature-untrusted", said, location=where, hint=_ADD)
        return spans

    def judge(self, keyid: str, wanted: str | None, text: bytes, where: Location, kind: str) -> TrustedKey:
        """Return the key that signed a text of a file, if it counted for this when the text came in.

        Codes: ``signature-untrusted``, ``key-not-in-force``, ``key-expired``, ``key-revoked``.
        """
        spans = self.known(keyid, where)
        if len(spans) == 1 and keyid not in self.limits and _unlimited(spans[0]):
            return _for_this(spans[0].key, wanted, where, kind)
        place = self.came(where.path, text)
        place = self.now if place is None else place
        return self._at(keyid, wanted, where, kind, place, self.time(place))

    def whenever(self) -> Keyring:
        """Return the keys for what lies in no commit, so that no place says when it came in: windows are left out.

        A key that was ever trusted counts, and one that was revoked does not.
        """
        free = {"valid_from": None, "valid_until": None}
        spans = {id: (Span(found[-1].key.model_copy(update=free)),) for id, found in self.spans.items()}
        return replace(self, spans=spans, came=lambda path, text: None, mark=f"{self.mark} whenever")

    def _at(self, keyid: str, wanted: str | None, where: Location, kind: str, place: int, time: datetime) -> TrustedKey:
        found = next((span for span in reversed(self.spans[keyid]) if span.holds(place)), None)
        if found is None:
            name = self.spans[keyid][-1].key.name
            said = f"the key {name!r} was not trusted when what it signed came in"
            hint = "a key counts from the commit after the one that brought it in, until the one that takes it out"
            raise failure("key-not-in-force", said, location=where, hint=hint)
        key = found.key
        limit = next((one for one in self.limits.get(keyid, ()) if not one.spares(place, time)), None)
        if limit is not None:
            revoked = limit.key.revoked
            assert revoked is not None, "a limit is that of a revoked key"
            said = f"the key {key.name!r} is revoked from {revoked.at} on, and this came in later: {revoked.reason}"
            raise failure("key-revoked", said, location=where, hint="sign it again with another key")
        _within(key, time, where)
        return _for_this(key, wanted, where, kind)

    def require(self, signer: Signer, purpose: str | None, time: datetime) -> None:
        """Raise unless a key may sign now what comes in next; the codes are those of ``judge``.

        Without a purpose it has to be one that may sign anything now: in force, within its window, not revoked.
        """
        where = Location(TRUST.path())
        if signer.keyid not in self.spans:
            said = f"the key {signer.keyid[:16]} that signs here is not in the trust policy"
            raise failure("signature-untrusted", said, exit=Exit.NO, location=where, hint=_ADD)
        try:
            wanted = purpose or self.spans[signer.keyid][-1].key.signs[0]
            self._at(signer.keyid, wanted, where, wanted, self.now, time)
        except ModelOpsError as error:
            raise ModelOpsError(*error.problems, exit=Exit.NO) from None


def keyring_of(trust: TrustPolicySpec | Keyring) -> Keyring:
    """Return the keyring of one trust policy that stands alone: it counts for everything, by the clock of this machine.

    A key that cannot be read makes the whole policy unusable.
    """
    if isinstance(trust, Keyring):
        return trust
    spans = {key_id(key): (Span(key),) for key in trust.keys}
    limits = {key_id(key): (limit_of(key, lambda commit: None),) for key in trust.keys if key.revoked is not None}
    return Keyring(spans, limits, lambda path, text: None, lambda place: wall_clock(), 0)


def key_id(key: TrustedKey) -> str:
    """Return the id of a trusted key; one that is no ECDSA P-256 key is ``key-unsupported``."""
    try:
        return read_public_key(key.public_key)[1]
    except ModelOpsError:
        raise failure(
            "key-unsupported",
            f"the trusted key {key.name!r} is not a public ECDSA P-256 key in PEM",
            location=Location(TRUST.path()),
            dotted="spec.keys",
        ) from None


def limit_of(key: TrustedKey, place: Callable[[str], int | None]) -> Limit:
    """Return where a revoked key ends; ``place`` tells that of a commit, None where it is not on the line."""
    assert key.revoked is not None, "only a revoked key ends"
    commit = key.revoked.commit
    return Limit(key, place(commit)) if commit is not None else Limit(key, None, parse_instant(key.revoked.at))


def _unlimited(span: Span) -> bool:
    key = span.key
    return span.first == 0 and span.last is None and key.valid_from is None and key.valid_until is None


def _within(key: TrustedKey, time: datetime, where: Location) -> None:
    """Raise unless a time is within the window of a key."""
    early = key.valid_from is not None and time < parse_instant(key.valid_from)
    late = key.valid_until is not None and time >= parse_instant(key.valid_until)
    if early or late:
        window = f"valid from {key.valid_from}" if early else f"valid until {key.valid_until}"
        said = f"the key {key.name!r} is {window}, and this is of {format_instant(time)}"
        raise failure("key-expired", said, location=where, hint="sign it with a key that is valid, or renew this one")


def _for_this(key: TrustedKey, wanted: str | None, where: Location, kind: str) -> TrustedKey:
    if wanted is None or wanted not in key.signs:
        raise failure(
            "signature-untrusted",
            f"the key {key.name!r} is not trusted to sign a {wanted or kind}",
            location=where,
            hint=f"it signs: {', '.join(key.signs)}",
        )
    return key
