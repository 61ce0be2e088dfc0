"""What an auditor is told. Whatever could not be found is named as missing; nothing is left out in silence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelops.evidence import Making
from modelops.predictions import Flaw
from modelops.spec.kinds.promotion import Approval, PullRequestReference
from modelops.spec.kinds.release import MetricValue, VerdictRecord, WaiverUse
from modelops.spec.meta import Strict


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether a record is proven: by whose keys, or what is wrong; ``missing`` and ``refused`` both mean no."""

    status: Literal["verified", "missing", "refused"]
    keys: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is positive evidence."""
        return self.status == "verified"


@dataclass(frozen=True, slots=True)
class Unapproved:
    """A commit of the branch that nobody approved and that no reviewed change has taken on since; which rule it breaks.

    ``paths`` are the first of the files that it changed, ``files`` says of how many.
    """

    commit: str
    author: str
    time: str
    subject: str
    rule: str
    reason: str
    paths: tuple[str, ...]
    files: int


@dataclass(frozen=True, slots=True)
class Code:
    """The commit a release was built from; who and when are None where this clone lacks that commit."""

    commit: str
    tree: str
    author: str | None = None
    subject: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """The data a release was trained on; owner and what follows are None where the snapshot's file is missing.

    ``signature`` is None where it has none: made before snapshots were signed, or where no key for it was.
    """

    snapshot: str
    root: str
    rows: int
    owner: str | None = None
    upstream: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None
    signature: Trust | None = None


@dataclass(frozen=True, slots=True)
class Retirement:
    """How a model left the branch: by which commit, whose, when, and as what it goes on, if it was renamed."""

    commit: str
    author: str
    subject: str
    time: str
    successor: str | None


@dataclass(frozen=True, slots=True)
class PromotionAnswer:
    """Why an environment came to run a release, who said so, and how the rollouts it started ended.

    ``clock_given`` says that its times were given by the environment of whoever signed, as in tests and the demo.
    """

    name: str
    environment: str
    release: int
    path: str
    reason: str
    promoted_at: str
    pull_request: PullRequestReference | None
    approvals: tuple[Approval, ...]
    outcomes: tuple[Mapping[str, Any], ...]
    trust: Trust
    file: str
    clock_given: bool = False
    waivers: tuple[WaiverUse, ...] = ()


def _brought_by_proof(release: Trust, promotion: PromotionAnswer | None) -> bool:
    return release.ok and promotion is not None and promotion.trust.ok


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """A release, what it was made of, what was measured, who let it in and whether that is proven.

    ``weight`` is the column that its rows were weighted by. ``details`` are the numbers behind the verdicts by
    ``policy/gate``, from evidence that is trusted; none where it is not, or was made before they were recorded; so is
    ``made``, how the release was built. ``approval`` is the signed approval of the model's change, None where the
    evidence has none; its ``line`` says what was met on the branch up to the release. ``unapproved`` commits changed
    its files or its promotions'. ``retired`` says how its model left the branch, ``names`` what else that is or was
    called.
    """

    model: str
    release: int
    revision: str
    file: str
    artifact: str
    engine: str
    inputs: str
    build: str
    spec: str
    environment_lock: str
    seeds: Mapping[str, int]
    code: Code
    data: Data
    champion: int | None
    metrics: tuple[MetricValue, ...]
    verdicts: tuple[VerdictRecord, ...]
    details: Mapping[str, Mapping[str, Any]]
    approval: Mapping[str, Any] | None
    promotions: tuple[PromotionAnswer, ...]
    trust: Trust
    waivers: tuple[WaiverUse, ...] = ()
    retired: Retirement | None = None
    weight: str | None = None
    names: tuple[str, ...] = ()
    made: Making | None = None
    clock_given: bool = False
    unapproved: tuple[Unapproved, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether release, promotions and the signature of its data are proven, and nobody changed them unapproved."""
        signed = self.data.signature is None or self.data.signature.ok
        proven = signed and self.trust.ok and all(one.trust.ok for one in self.promotions)
        return proven and not self.unapproved


@dataclass(frozen=True, slots=True)
class Rescored:
    """What the release says now: the same, the same within the tolerance, something else, or why nothing."""

    status: Literal["equal", "close", "different", "impossible"]
    reason: str = ""
    score: float | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Reexplained:
    """The reasons that were logged, and what explaining the row once more says to them.

    ``logged`` is the object that the log has. ``equal``: every contribution is the same within the tolerance.
    ``different``: another one is told, or they do not add up. ``none``: there were none then, and ``reason`` says why.
    ``impossible``: it cannot be tried here.
    """

    status: Literal["equal", "different", "none", "impossible"]
    logged: Mapping[str, Any]
    reason: str = ""
    largest: float | None = None


@dataclass(frozen=True, slots=True)
class RowProof:
    """What vouches for one logged answer.

    ``sealed``: its part is chained and the seal covers the row. ``chained``: no seal covers it yet, so that it was not
    edited is shown, and not that the whole part was not written anew. ``unchained``: written before logs were chained.
    ``flawed``: its part is not what was written. ``truth`` says the same of the label that arrived for it.
    """

    part: str
    row: int
    status: Literal["sealed", "chained", "unchained", "flawed"]
    truth: Literal["sealed", "chained", "unchained", "flawed"] | None
    sealed_at: str | None
    keys: tuple[str, ...]
    flaws: tuple[Flaw, ...]
    rescored: Rescored
    reexplained: Reexplained | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts the row."""
        explained = self.reexplained is None or self.reexplained.status != "different"
        return self.status != "flawed" and self.rescored.status != "different" and explained


@dataclass(frozen=True, slots=True)
class PredictionAnswer:
    """One logged answer, the release that gave it and the promotion that put that release there.

    ``made_by`` is None and ``trust`` says why when the release's file is missing; ``promotion`` None means that no
    record says why the environment ran it.
    """

    id: str
    environment: str
    log: str
    model: str
    release: int
    arm: str
    step: int
    time: str
    entity: str
    features: Mapping[str, Any]
    score: float | None
    label: str | None
    status: int
    error: str | None
    truth: str | None
    truth_time: str | None
    made_by: ReleaseAnswer | None
    promotion: PromotionAnswer | None
    trust: Trust
    proof: RowProof | None = None

    @property
    def ok(self) -> bool:
        """Whether release and promotion are proven, nobody changed them unapproved, and nothing contradicts the row."""
        approved = self.made_by is None or not self.made_by.unapproved
        return approved and _brought_by_proof(self.trust, self.promotion) and (self.proof is None or self.proof.ok)


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """A commit that set an arm, and of which no record says who let it in."""

    commit: str
    author: str
    time: str
    subject: str


@dataclass(frozen=True, slots=True)
class ReleaseThere:
    """A release as an environment ran it; ``artifact`` is None when its file is missing.

    ``unrecorded`` is the change that set it, where no record is about that; ``waived`` are the verdicts that an
    exception let through.
    """

    release: int
    artifact: str | None
    trust: Trust
    promotion: PromotionAnswer | None
    unrecorded: Unrecorded | None = None
    waived: tuple[VerdictRecord, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the release, the promotion that brought it and the change that set it are proven."""
        return _brought_by_proof(self.trust, self.promotion) and self.unrecorded is None


@dataclass(frozen=True, slots=True)
class ModelThere:
    """What an environment ran of one model, and which releases it refused to run; ``retired`` if main has it no more.

    ``unread`` says why its file could not be read; what stands then is what its newest version before that says.
    ``unapproved`` is the commit that made the file say so, where nobody approved it: it was told to, and ran what ran.
    """

    model: str
    stable: ReleaseThere | None
    candidate: ReleaseThere | None
    denied: tuple[int, ...]
    challengers: tuple[ReleaseThere, ...] = ()
    unread: str | None = None
    unapproved: Unapproved | None = None
    retired: Retirement | None = None

    @property
    def arms(self) -> dict[str, ReleaseThere]:
        """Everything that ran, by the arm that it was."""
        named = {"stable": self.stable, "candidate": self.candidate}
        named |= {f"challenger-{arm.release}": arm for arm in self.challengers}
        return {name: arm for name, arm in named.items() if arm is not None}


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A commit whose date cannot be true beside those of others, which build on it; without any it is in the future."""

    commit: str
    date: str
    others: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EnvironmentAnswer:
    """What an environment ran at an instant, by the commit that the branch had then.

    ``contradictions`` are dates of commits on which the answer depends, and of which not all can be true.
    """

    environment: str
    at: str
    commit: str
    committed: str
    models: tuple[ModelThere, ...]
    contradictions: tuple[Contradicted, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that ran is proven and approved, and when it did is not in doubt."""
        arms = all(arm.ok for one in self.models for arm in one.arms.values())
        return arms and not self.contradictions and all(one.unapproved is None for one in self.models)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A part of a log that was dropped by rule: what it held, which rule that was, and when."""

    name: str
    rows: int
    link: str
    first: float | None
    last: float | None
    kept_days: float
    dropped_at: str


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a log: how much it holds, how much of that is sealed, and since when."""

    name: str
    chained: bool
    rows: int
    sealed_rows: int
    labels: int
    sealed_labels: int
    sealed_at: str | None
    flaws: tuple[Flaw, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows that were drawn from a log and answered once more."""

    rows: int
    equal: int
    close: int
    different: tuple[tuple[str, str], ...]
    impossible: tuple[tuple[str, str], ...]
    seed: int = 0

    @property
    def ok(self) -> bool:
        """Whether no answer contradicts the log."""
        return not self.different


@dataclass(frozen=True, slots=True)
class LogAnswer:
    """What going through a log found; ``seals`` counts them and ``trust`` says who signed the newest."""

    environment: str
    log: str
    parts: tuple[Part, ...]
    flaws: tuple[Flaw, ...]
    dropped: tuple[Dropped, ...]
    seals: int
    remembered: int
    trust: Trust
    sample: Sample | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with what is there; what is not sealed, or not chained, is told and is no flaw."""
        return not self.flaws and (self.sample is None or self.sample.ok)


def to_dict(answer: object) -> Any:
    """Return an answer as JSON values with the keys of the specs; ``ok`` says whether everything in it is proven.

    A number that JSON has no word for, as a caller may have had it logged, is None.
    """
    if isinstance(answer, Strict):
        return to_dict(answer.model_dump(mode="json", by_alias=True))
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        fields = {_camel(field.name): to_dict(getattr(answer, field.name)) for field in dataclasses.fields(answer)}
        return fields | ({"ok": answer.ok} if hasattr(answer, "ok") else {})
    if isinstance(answer, Mapping):
        return {str(key): to_dict(value) for key, value in answer.items()}
    if isinstance(answer, tuple | list):
        return [to_dict(value) for value in answer]
    return None if isinstance(answer, float) and not math.isfinite(answer) else answer


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
