"""The trust policy in force: followed along the branch's own line, where each change of it is signed by keys of before.

The first version is the root. A later one counts from the commit after the one that has it with as many signatures of
keys of the version before as that asks for; until then the version before stays in force. A version without a
``threshold`` asks for none: those that modelops 0.1.0 wrote change by approval alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import groupby
from typing import Any, Literal

from modelops.digests import digest_bytes
from modelops.errors import Exit, Location, ModelOpsError, Problem, failure
from modelops.evidence import FILE_LIMIT, Keyring, Limit, Signer, Span, key_id, limit_of, sign, statement, verify_lines
from modelops.evidence.statements import TRUST_CHANGE
from modelops.repository import Repository
from modelops.repository.dates import Dates, read_dates
from modelops.repository.line import Line
from modelops.spec.kinds.trust_policy import TrustedKey, TrustPolicySpec, own_problems
from modelops.spec.layout import MODELS, POLICIES, TRUST, TRUST_SIGNATURES
from modelops.spec.load import load_resource
from modelops.spec.yaml.text import SIZE_LIMIT

__all__ = ["Change", "TrustChain", "TrustStep", "change_at", "endorsement", "read_trust"]

How = Literal["root", "signed", "approved", "accepted"]
_PATH = TRUST.path()


@dataclass(frozen=True, slots=True)
class TrustStep:
    """A version of the trust policy that came into force: by which commit, at which place, signed by whom."""

    commit: str
    place: int
    digest: str
    policy: TrustPolicySpec
    how: How
    signed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """A version of the trust policy beside the one in force: what must sign it, who did, and what keeps it out."""

    commit: str
    digest: str
    needed: int
    signed_by: tuple[str, ...]
    problem: Problem | None


@dataclass(frozen=True)
class TrustChain:
    """Every version that came into force up to a tip, and the one that is there and does not count."""

    tip: str
    steps: tuple[TrustStep, ...]
    waiting: Change | None
    line: Line
    repository: Repository = field(repr=False)
    clock_now: datetime = field(repr=False)

    @property
    def policy(self) -> TrustPolicySpec:
        """The version that is in force."""
        return self.steps[-1].policy

    def strict_at(self, place: int) -> bool:
        """Tell whether the policy asked for signatures at a place, so that all rules judge what came in there."""
        asked = [step.policy.threshold is not None for step in self.steps if step.place <= place]
        return bool(asked) and asked[-1]

    @cached_property
    def wrong_dates(self) -> frozenset[str]:
        """The commits whose dates the policy in force calls wrong."""
        return frozenset(one.commit for one in self.policy.wrong_dates)

    @cached_property
    def dates(self) -> Dates:
        """The dates of the line, without those that the policy calls wrong."""
        return _dates(self.line, self.clock_now, self.policy)

    @cached_property
    def keyring(self) -> Keyring:
        """What counts for evidence, by where it came in."""
        line, limits = self.line, _limits(self.steps, self.line)
        spans = _spans(self.steps)
        mark = digest_bytes(
            repr(
                (self.steps[0].commit, sorted(spans.items()), sorted(limits.items()), self.policy.wrong_dates)
            ).encode()
        )
        return Keyring(spans, limits, self._came, lambda place: self.dates.of(place), line.top + 1, mark)

    def _came(self, path: str, text: bytes) -> int | None:
        """Return the place at which a text came into a file, None where no version of the line has it."""
        versions = [one for one in self.repository.line(self.tip, MODELS).versions(path) if one.blob is not None]
        if len(versions) > 1:
            contents = self.repository.blobs((str(one.blob) for one in versions), FILE_LIMIT)
            versions = [one for one in versions if _holds(contents[str(one.blob)], text)]
        return self.line.places[versions[-1].commit] if versions else None

    def name_of(self, signer: Signer) -> str:
        """Return what the policies call a key, the newest name of it first; its id where none does."""
        named = (key.name for step in reversed(self.steps) for key in step.policy.keys if key_id(key) == signer.keyid)
        return next(named, signer.keyid[:16])

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the trust policy of the tip."""
        waits = (self.waiting.problem,) if self.waiting is not None and self.waiting.problem is not None else ()
        return (*waits, *_nowhere(self.policy, self.line))


def _holds(content: bytes | int, text: bytes) -> bool:
    return isinstance(content, bytes) and (content == text or text in content.split(b"\n"))


def _dates(line: Line, now: datetime, policy: TrustPolicySpec) -> Dates:
    return read_dates(line.dates[: line.top + 1], now, {one.commit for one in policy.wrong_dates})


def _nowhere(policy: TrustPolicySpec, line: Line) -> Iterator[Problem]:
    """Yield what a policy says of commits that the branch does not have."""
    said = [(key.name, key.revoked.commit) for key in policy.keys if key.revoked is not None]
    for name, commit in said:
        if commit is not None and commit not in line.places:
            message = (
                f"the key {name!r} is revoked at {commit[:12]}, which is no commit of the branch: nothing of it counts"
            )
            hint = "name the last good commit of the branch's own line (git log --first-parent), or a time"
            yield Problem("revoked-nowhere", message, Location(_PATH), "spec.keys", hint)


def read_trust(
    repository: Repository,
    tip: str,
    now: datetime,
    accepted: Collection[str] = (),
    unapproved: Collection[str] = (),
) -> TrustChain | None:
    """Return the trust along the line of a tip; None where no commit of it has a trust policy that can be read.

    ``accepted`` are the digests of versions that this machine was told to take for a new root; what ``unapproved``
    commits brought does not count.
    """
    line = repository.line(tip, POLICIES)
    steps: list[TrustStep] = []
    waiting: Change | None = None
    for commit, files in _events(repository, line):
        if commit in unapproved:
            continue
        data = files.get(_PATH)
        digest = digest_bytes(data) if data is not None else ""
        if steps and digest == steps[-1].digest:
            waiting = None
            continue
        change = _judge(commit, data, digest, files.get(TRUST_SIGNATURES), steps, line, now)
        policy = _policy(data)
        step = _step(change, policy, steps, line.places[commit], accepted)
        waiting = change if step is None else None
        steps += [step] if step is not None else []
    return TrustChain(line.tip, tuple(steps), waiting, line, repository, now) if steps else None


def _events(repository: Repository, line: Line) -> Iterator[tuple[str, Mapping[str, bytes]]]:
    """Yield each commit of the line that changed the policy or its signatures, oldest first, with both as they were."""
    every = [(line.places[one.commit], path, one) for path in (_PATH, TRUST_SIGNATURES) for one in line.versions(path)]
    contents = repository.blobs((one.blob for _, _, one in every if one.blob is not None), FILE_LIMIT)
    files: dict[str, bytes] = {}
    for _, group in groupby(sorted(every, key=lambda one: one[0]), key=lambda one: one[0]):
        for _, path, version in group:
            content = contents[version.blob] if version.blob is not None else None
            files.pop(path, None)
            files |= {path: content} if isinstance(content, bytes) else {}
        yield version.commit, dict(files)


def _policy(data: bytes | None) -> TrustPolicySpec | None:
    """Return a version of the policy, None where it is not right."""
    return None if _wrong(data) else load_resource(data or b"", _PATH).spec


def _wrong(data: bytes | None) -> tuple[Problem, ...]:
    """Return what is wrong with a version by itself."""
    if data is None:
        return (Problem("trust-missing", f"{_PATH} was removed", Location(_PATH), hint="bring it back"),)
    if len(data) > SIZE_LIMIT:
        return (Problem("too-large", f"{_PATH} is larger than {SIZE_LIMIT} bytes", Location(_PATH)),)
    try:
        return tuple(own_problems(load_resource(data, _PATH)))
    except ModelOpsError as error:
        return error.problems


def _step(
    change: Change, policy: TrustPolicySpec | None, before: Sequence[TrustStep], place: int, accepted: Collection[str]
) -> TrustStep | None:
    """Return the change as one that came into force, None where it did not."""
    if policy is None:
        return None
    how: How = "root" if not before else "approved" if before[-1].policy.threshold is None else "signed"
    if change.digest in accepted and change.problem is not None:
        how = "accepted"
    elif change.problem is not None:
        return None
    return TrustStep(change.commit, place, change.digest, policy, how, change.signed_by)


def _judge(
    commit: str,
    data: bytes | None,
    digest: str,
    signatures: bytes | None,
    before: Sequence[TrustStep],
    line: Line,
    now: datetime,
    proposed: bool = False,
) -> Change:
    """Judge a version that is there at a commit, or proposed on top of it, by the one in force before it."""
    wrong = _wrong(data)
    needed = before[-1].policy.threshold or 0 if before else 0
    signed = _signers(signatures, digest, before, line, line.places[commit], now) if needed and not wrong else ()
    stands = f"that of {before[-1].commit[:10]} stays in force" if before else ""
    if wrong:
        what = f"the proposed {_PATH}" if proposed else f"{_PATH} of {commit[:10]}"
        said = f"{what} is wrong, so {stands}: {wrong[0].message}" if before else wrong[0].message
        return Change(commit, digest, needed, (), replace(wrong[0], message=said))
    if len(signed) >= needed:
        return Change(commit, digest, needed, signed, None)
    what = f"the proposed change of {_PATH}" if proposed else f"the change of {_PATH} in {commit[:10]}"
    names = f" ({', '.join(signed)})" if signed else ""
    problem = Problem(
        "trust-not-signed",
        f"{what} does not count: {len(signed)} of {needed} keys that were trusted before signed it{names}; {stands}",
        Location(_PATH),
        hint="sign it on its branch with a key of before: modelops pr endorse" + ("" if proposed else "; or revert it"),
    )
    return Change(commit, digest, needed, signed, problem)


def _signers(
    signatures: bytes | None, digest: str, before: Sequence[TrustStep], line: Line, place: int, now: datetime
) -> tuple[str, ...]:
    """Return the names of the keys of the version in force that signed its successor, each key once."""
    last = before[-1]
    able = {key_id(key): key for key in last.policy.changed_by()}
    limits = _limits(before, line)
    spans = {id: (Span(key.model_copy(update={"signs": ("trust",)})),) for id, key in able.items()}
    dates = (
        _dates(line, now, last.policy)
        if limits or any(key.valid_from or key.valid_until for key in able.values())
        else None
    )
    ring = Keyring(spans, limits, lambda path, text: place, lambda at: dates.of(at) if dates else now, place)
    found: dict[str, str] = {}
    for text in (signatures or b"").splitlines(keepends=True):
        try:
            (said,) = verify_lines(text, ring, "trust", path=TRUST_SIGNATURES)
        except ModelOpsError:
            continue
        mine = said.predicate.get("previous") == last.digest and said.predicate.get("number") == len(before) + 1
        if mine and said.predicate_type == TRUST_CHANGE and said.is_about(digest):
            found[said.keyid] = able[said.keyid].name
    return tuple(sorted(found.values()))


def _spans(steps: Sequence[TrustStep]) -> dict[str, tuple[Span, ...]]:
    """Return between which places each key was trusted; what comes in with a change is judged as before it."""
    spans: dict[str, list[Span]] = {}
    for at, step in enumerate(steps):
        # What changed by approval alone never was judged by place: there a key vouches for what it signed before, too.
        lenient = at == 0 or steps[at - 1].policy.threshold is None
        closed = {id: replace(found[-1], last=step.place) for id, found in spans.items() if found[-1].last is None}
        for id, span in closed.items():
            spans[id][-1] = span
        for key in step.policy.keys:
            id, found = key_id(key), spans.setdefault(key_id(key), [])
            if id in closed and _same_terms(closed[id].key, key):
                found[-1] = replace(closed[id], last=None)
            else:
                found.append(Span(key, 0 if lenient else step.place + 1))
    return {id: tuple(found) for id, found in spans.items()}


def _same_terms(one: TrustedKey, other: TrustedKey) -> bool:
    """Tell whether two versions of a key count for the same; where it is revoked is looked up elsewhere."""
    return one.model_copy(update={"revoked": None}) == other.model_copy(update={"revoked": None})


def _limits(steps: Sequence[TrustStep], line: Line) -> dict[str, tuple[Limit, ...]]:
    """Return where revoked keys end; what a version in force has revoked stays so, whatever a later one says."""
    found: dict[str, tuple[Limit, ...]] = {}

    def place(commit: str) -> int | None:
        at = line.places.get(commit)
        return at if at is not None and at <= line.top else None

    for step in steps:
        for key in step.policy.keys:
            if key.revoked is not None:
                limit = limit_of(key, place)
                known = found.get(key_id(key), ())
                found[key_id(key)] = known if limit in known else (*known, limit)
    return found


def change_at(chain: TrustChain, data: bytes, signatures: bytes | None) -> Change | None:
    """Judge what a branch would bring beside what its target has; None where that is in force already."""
    digest = digest_bytes(data)
    if digest == chain.steps[-1].digest:
        return None
    return _judge(chain.tip, data, digest, signatures, chain.steps, chain.line, chain.clock_now, proposed=True)


def endorsement(chain: TrustChain, data: bytes, signer: Signer, login: str, at: str) -> bytes:
    """Return the signed line that lets a key of the version in force vouch for another version."""
    digest, last = digest_bytes(data), chain.steps[-1]
    able = {key_id(key): key for key in last.policy.changed_by()}
    if signer.keyid not in able:
        raise failure(
            "key-not-in-force",
            f"the key {signer.keyid[:16]} that signs here is none of those that may sign a change of {_PATH} now",
            exit=Exit.NO,
            location=Location(_PATH),
            hint=f"these may: {', '.join(sorted(key.name for key in able.values())) or 'none'}",
        )
    spans = {id: (Span(key.model_copy(update={"signs": ("trust",)})),) for id, key in able.items()}
    replace(chain.keyring, spans=spans).require(signer, "trust", chain.clock_now)
    predicate: dict[str, Any] = {"previous": last.digest, "number": len(chain.steps) + 1, "by": login, "at": at}
    return sign(statement(TRUST_CHANGE, {_PATH: digest}, predicate), signer)
