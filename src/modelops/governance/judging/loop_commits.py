"""What the loop and the verbs commit without a pull request: told from everything else by what is signed of it.

Such a commit carries the signature of a trusted key, or was made by an older version and brings evidence that one
signed. Either way it may write only what the loop writes, and say only what its evidence says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelops.errors import Exit, Location, ModelOpsError, failure
from modelops.evidence import (
    ROLLOUT_OUTCOME,
    Keyring,
    Statement,
    check_promotion,
    check_release,
    check_release_files,
    key_id,
)
from modelops.evidence.commits import signed_by
from modelops.governance.history import arms_of
from modelops.project.trust import TrustChain
from modelops.repository import Repository
from modelops.repository.objects import MAXIMUM_BYTES
from modelops.repository.steps import Step
from modelops.spec.kinds import place
from modelops.spec.kinds.deployment import DeploymentSpec
from modelops.spec.kinds.promotion import PromotionSpec
from modelops.spec.kinds.trust_policy import Purpose, TrustedKey
from modelops.spec.layout import (
    DEPLOYMENT,
    PROMOTION,
    PROMOTION_EVIDENCE,
    ReleaseFiles,
    Seat,
    promoted,
    promotions_folder,
    release_of,
)
from modelops.spec.load import load_resource

__all__ = ["Told", "is_evidence", "is_signed", "told"]

_OF_THE_LOOP: tuple[Purpose, ...] = ("release", "promotion", "rollout")
"""A key that signs none of these makes no commit of the loop: one for snapshots or for the trust policy alone."""


@dataclass(frozen=True, slots=True)
class Told:
    """Whether a commit is the loop's, by its own signature or evidence; ``wrong`` says what it oversteps."""

    signed: bool
    wrong: str | None = None

    @property
    def counts(self) -> bool:
        """Whether the loop signed it, and may."""
        return self.signed and self.wrong is None


@dataclass
class _Seen:
    """What the evidence that a commit brings says of one seat."""

    records: list[PromotionSpec] = field(default_factory=list)
    said: list[Statement] = field(default_factory=list)


@dataclass(frozen=True)
class _Commit:
    """A commit that may be the loop's, with what it takes to look at it; ``stands`` reads a file as it was judged."""

    repository: Repository
    step: Step
    trust: Keyring
    stands: Callable[[str], bytes | None]
    signed: bool

    def after(self, path: str) -> bytes | None:
        """Return the bytes of a file of the commit, None where it has none."""
        change = self.step.changes.get(path)
        id = change.after[1] if change is not None else self.repository.blob_id(self.step.id, path)
        return self.repository.blob(id)

    def before(self, path: str) -> bytes | None:
        """Return the bytes of a changed file of the commit before it."""
        return self.repository.blob(self.step.changes[path].before[1])


def told(
    repository: Repository,
    step: Step,
    data: bytes | int,
    trust: TrustChain | None,
    keyring: Keyring | None,
    stands: Callable[[str], bytes | None],
) -> Told:
    """Tell whether a commit with one parent is the loop's, and what is wrong with one that claims to be.

    ``data`` are the bytes of the commit object.
    """
    signed = isinstance(data, bytes) and trust is not None and keyring is not None and _signed(data, trust, keyring)
    foreign = [path for path in step.changes if not _written_by_the_loop(path)]
    evidence = [path for path in step.changes if is_evidence(path)]
    if keyring is None or not (signed or evidence):
        return Told(False)
    if foreign:
        return Told(signed, f"it changes {', '.join(foreign[:3])}, which the loop never does")
    try:
        _check(_Commit(repository, step, keyring, stands, signed))
    except ModelOpsError as error:
        return Told(signed, error.first.message)
    return Told(True)


def is_signed(repository: Repository, commit: str, trust: TrustChain | None, keyring: Keyring | None) -> bool:
    """Tell whether a commit carries the loop's signature, whatever it says."""
    data = repository.blobs([commit], MAXIMUM_BYTES)[commit]
    return isinstance(data, bytes) and trust is not None and keyring is not None and _signed(data, trust, keyring)


def _signed(data: bytes, trust: TrustChain, keyring: Keyring) -> bool:
    """Tell whether a key signed a commit that counts there and then, for any of what the loop commits."""
    keys = {key.public_key: key for key in trust.policy.keys if key.revoked is None}
    found = signed_by(data, keys)
    return found is not None and any(_counts(keyring, keys[found], purpose) for purpose in _OF_THE_LOOP)


def _counts(keyring: Keyring, key: TrustedKey, purpose: Purpose) -> bool:
    try:
        keyring.judge(key_id(key), purpose, b"", Location(""), "commit")
    except ModelOpsError:
        return False
    return True


def _written_by_the_loop(path: str) -> bool:
    found = place(path)
    kind = found[0] if found is not None else None
    return kind in ("Release", "Promotion", "Deployment") or promoted(path) is not None or _of_release(path) is not None


def _of_release(path: str) -> ReleaseFiles | None:
    files = release_of(path)
    return files if files is not None and path in (files.release, files.evidence, files.card, files.signature) else None


def is_evidence(path: str) -> bool:
    """Tell whether a file holds what is signed of a release or a promotion."""
    files = _of_release(path)
    return promoted(path) is not None or (files is not None and path == files.evidence)


def _check(commit: _Commit) -> None:
    seen: dict[Seat, _Seen] = {}
    releases: dict[ReleaseFiles, None] = {}
    for path, change in commit.step.changes.items():
        if change.after[0] not in ("100644", "100755"):
            raise _overstep(f"it takes {path} away")
        found, files = place(path), _of_release(path)
        if files is not None:
            releases[files] = None
        if (files is not None or (found is not None and found[0] == "Promotion")) and change.before[1]:
            raise _overstep(f"it changes {path}, which is never changed")
        if promoted(path) is not None or (found is not None and found[0] == "Promotion"):
            _promotion(commit, path, seen)
    for release in releases:
        _release(commit, release)
    for path in commit.step.changes:
        seat = DEPLOYMENT.parse(path)
        if seat is not None:
            where = Seat(str(seat[0]), seat[1])
            _deployment(commit, where, seen.get(where, _Seen()))


def _release(commit: _Commit, files: ReleaseFiles) -> None:
    data = commit.after(files.release) or b""
    resource = load_resource(data, files.release)
    statements = check_release(resource, commit.after(files.evidence), commit.trust)
    card, signature = commit.after(files.card), commit.after(files.signature)
    # Before there were model cards nobody signed one.
    if card is not None or signature is not None:
        check_release_files(resource, statements, commit.trust, card=card, signature=signature)


def _promotion(commit: _Commit, path: str, seen: dict[Seat, _Seen]) -> None:
    """Note what a record, or what is added to its evidence, says; a record and its evidence are looked at once."""
    found = PROMOTION_EVIDENCE.parse(path) or PROMOTION.parse(path)
    assert found is not None, "it is the record or its evidence"
    model, name = str(found[0]), found[1]
    record, evidence = PROMOTION.path(model, name), PROMOTION_EVIDENCE.path(model, name)
    if path == record and evidence in commit.step.changes:
        return
    resource = load_resource(commit.after(record) or b"", record)
    now = commit.after(evidence)
    then = commit.before(evidence) if evidence in commit.step.changes else now
    then = then or b""
    if now is None or not now.startswith(then):
        raise _overstep(f"it rewrites {evidence}")
    statements = check_promotion(resource, now, commit.trust)
    fresh = statements[len(then.splitlines()) :]
    if not commit.signed:
        _said_before(commit, model, name, now[len(then) :])
    here = seen.setdefault(Seat(model, name.rpartition("-")[0]), _Seen())
    here.said += [one for one in fresh if one.predicate_type == ROLLOUT_OUTCOME]
    if record in commit.step.changes:
        here.records.append(resource.spec)


def _said_before(commit: _Commit, model: str, name: str, added: bytes) -> None:
    """Refuse what was signed for another record, and put where it speaks for this one."""
    parent = commit.step.parent
    environment = name.rpartition("-")[0]
    lines = set(added.splitlines())
    paths = commit.repository.paths(parent, promotions_folder(model)) if parent is not None and lines else {}
    others = [path for path in paths if promoted(path) == (model, environment)]
    for data in commit.repository.blobs((paths[path] for path in others), MAXIMUM_BYTES).values():
        if isinstance(data, bytes) and lines & set(data.splitlines()):
            raise _overstep(
                f"what it adds to {PROMOTION_EVIDENCE.path(model, name)} was signed before, of something else"
            )


def _deployment(commit: _Commit, seat: Seat, seen: _Seen) -> None:
    """Refuse what the file of an environment says beyond what the evidence in the same commit does."""
    path = seat.deployment
    then, now = _spec(commit.stands(path), path), _spec(commit.after(path), path)
    if then is None or now is None:
        raise _overstep(f"{path} is not there, or cannot be read")
    before, after = arms_of(then), arms_of(now)
    denied = {one.release for one in then.denied}
    if not {one.release for one in now.denied} >= denied:
        raise _overstep(f"it clears a release that {path} denies")
    words: dict[int, set[Any]] = {}
    # What comes through a pull request counts by its approvals alone, and those are judged with its merge.
    for one in (each for each in seen.said if each.predicate.get("through", "commit") == "commit"):
        words.setdefault(int(one.predicate["candidate"]), set()).add(one.predicate.get("outcome"))
    named = {record.release for record in seen.records}
    for arm, release in after.items():
        if before.get(arm) == release or release in before.values():
            continue
        if release not in named:
            raise _overstep(f"it names release {release} {arm} in {seat.environment}, and signs no record of that")
    if now.stable != then.stable and now.stable not in named and "succeeded" not in words.get(now.stable or 0, ()):
        raise _overstep(f"it makes release {now.stable} stable in {seat.environment}, and nothing it brings says why")
    gone = set(before.values()) - set(after.values())
    untold = sorted(release for release in gone if release not in words and release != then.stable)
    if untold and not commit.signed:
        raise _overstep(f"it takes release {untold[0]} off trial in {seat.environment}, and nothing it brings says why")
    resumed = then.paused and not now.paused and now.candidate is not None
    if resumed and not any("resumed" in some for some in words.values()):
        raise _overstep(f"it resumes the rollout of {seat}, and nothing it brings says who did")
    rest = {"stable": None, "candidate": None, "challengers": (), "paused": False, "denied": ()}
    if then.model_copy(update=rest) != now.model_copy(update=rest):
        raise _overstep(f"it changes more of {path} than releases")


def _spec(data: bytes | None, path: str) -> DeploymentSpec | None:
    if data is None:
        return None
    spec: DeploymentSpec = load_resource(data, path).spec
    return spec


def _overstep(why: str) -> ModelOpsError:
    return failure("loop-overstepped", why, exit=Exit.NO)
