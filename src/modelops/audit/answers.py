"""What an auditor is told. Whatever could not be found is named as missing; nothing is left out in silence."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from modelops.spec.delivery import Approval, MetricValue, PullRequestReference, VerdictRecord
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
class Code:
    """The commit a release was built from; who and when are None where this clone lacks that commit."""

    commit: str
    tree: str
    author: str | None = None
    subject: str | None = None
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Data:
    """The data a release was trained on; owner and what follows are None where the snapshot's file is missing."""

    snapshot: str
    root: str
    rows: int
    owner: str | None = None
    upstream: tuple[str, ...] = ()
    first: str | None = None
    last: str | None = None


@dataclass(frozen=True, slots=True)
class PromotionAnswer:
    """Why an environment came to run a release, who said so, and how the rollouts it started ended."""

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


def _brought_by_proof(release: Trust, promotion: PromotionAnswer | None) -> bool:
    return release.ok and promotion is not None and promotion.trust.ok


@dataclass(frozen=True, slots=True)
class ReleaseAnswer:
    """A release, what it was made of, what was measured, who let it in and whether that is proven.

    ``approval`` is the signed approval of the model's change, None where the evidence has none.
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
    approval: Mapping[str, Any] | None
    promotions: tuple[PromotionAnswer, ...]
    trust: Trust

    @property
    def ok(self) -> bool:
        """Whether the release and every promotion of it are proven."""
        return self.trust.ok and all(one.trust.ok for one in self.promotions)


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

    @property
    def ok(self) -> bool:
        """Whether the release and the promotion behind the answer are proven."""
        return _brought_by_proof(self.trust, self.promotion)


@dataclass(frozen=True, slots=True)
class ReleaseThere:
    """A release as an environment ran it; ``artifact`` is None when its file is missing."""

    release: int
    artifact: str | None
    trust: Trust
    promotion: PromotionAnswer | None

    @property
    def ok(self) -> bool:
        """Whether the release and the promotion that brought it are proven."""
        return _brought_by_proof(self.trust, self.promotion)


@dataclass(frozen=True, slots=True)
class ModelThere:
    """What an environment ran of one model, and which releases it refused to run."""

    model: str
    stable: ReleaseThere | None
    candidate: ReleaseThere | None
    denied: tuple[int, ...]
    challengers: tuple[ReleaseThere, ...] = ()

    @property
    def arms(self) -> dict[str, ReleaseThere]:
        """Everything that ran, by the arm that it was."""
        named = {"stable": self.stable, "candidate": self.candidate}
        named |= {f"challenger-{arm.release}": arm for arm in self.challengers}
        return {name: arm for name, arm in named.items() if arm is not None}


@dataclass(frozen=True, slots=True)
class EnvironmentAnswer:
    """What an environment ran at an instant, by the commit that the branch had then."""

    environment: str
    at: str
    commit: str
    committed: str
    models: tuple[ModelThere, ...]

    @property
    def ok(self) -> bool:
        """Whether everything that ran is proven."""
        return all(arm.ok for one in self.models for arm in one.arms.values())


def to_dict(answer: object) -> Any:
    """Return an answer as JSON values with the keys of the specs; ``ok`` says whether everything in it is proven."""
    if isinstance(answer, Strict):
        return answer.model_dump(mode="json", by_alias=True)
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        fields = {_camel(field.name): to_dict(getattr(answer, field.name)) for field in dataclasses.fields(answer)}
        return fields | ({"ok": answer.ok} if hasattr(answer, "ok") else {})
    if isinstance(answer, Mapping):
        return {str(key): to_dict(value) for key, value in answer.items()}
    if isinstance(answer, tuple | list):
        return [to_dict(value) for value in answer]
    return answer


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)
