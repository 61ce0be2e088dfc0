"""Kinds of the delivery: Deployment, RolloutPlan, Monitor, Release, Promotion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from modelops.spec.data import Count, Sketch
from modelops.spec.meta import Digest, GitId, ModelName, Name, OpenShare, Plugin, Scalar, Strict

ReleaseNumber = Annotated[int, Field(ge=1)]
VerdictWord = Literal["pass", "fail", "inconclusive", "no-data"]


class Denied(Strict):
    """A release that failed in this environment and may not return until a reviewed commit clears it."""

    release: ReleaseNumber
    reason: str


class DeploymentSpec(Strict):
    """The spec of a Deployment: which release takes the traffic and which ones are on trial.

    ``challengers`` are further releases on trial beside the candidate, for strategies that take more than two arms.
    While ``paused`` a rollout neither moves forward nor ends well; harm still sends the traffic back.
    """

    stable: ReleaseNumber | None = None
    candidate: ReleaseNumber | None = None
    challengers: Annotated[tuple[ReleaseNumber, ...], Field(max_length=6)] = ()
    paused: bool = False
    denied: tuple[Denied, ...] = ()


class Expectation(Strict):
    """What a rollout is planned for: the traffic, and the harm that its steps must be able to see.

    ``error_rate`` is that of stable, ``effect`` how many times as many errors must be noticed, ``power`` the chance
    of noticing them. A step that cannot see it before its deadline is refused, or warned about.
    """

    requests_per_hour: Annotated[float, Field(gt=0)]
    error_rate: OpenShare = 0.01
    effect: Annotated[float, Field(gt=1)] = 2.0
    power: OpenShare = 0.8
    on_too_short: Literal["refuse", "warn"] = "refuse"


class RolloutPlanSpec(Strict):
    """The spec of a RolloutPlan: one strategy, what it is planned for, and what its end does.

    ``on_failure``: ``rollback`` withdraws and denies the candidate, ``hold`` leaves the traffic as it is until a person
    acts, ``alert`` reports the failure and goes on. ``on_success``: ``commit`` makes the winner stable,
    ``pull-request`` opens one, so that a person decides.
    """

    strategy: Plugin
    expect: Expectation | None = None
    on_failure: Literal["rollback", "hold", "alert"] = "rollback"
    on_success: Literal["commit", "pull-request"] = "commit"


class Performance(Strict):
    """The metric watched on labels that have arrived; fails when its whole interval lies beyond a limit."""

    metric: str
    minimum: float | None = None
    maximum: float | None = None
    minimum_labels: Annotated[int, Field(ge=1)] = 100
    level: OpenShare = 0.95


class Retraining(Strict):
    """When the monitor opens a retraining pull request.

    ``sustained`` windows in a row must alert; none is opened within ``cooldown_days`` of the last one or while one is
    open. ``lookback_days`` of labelled rows become the new snapshot, of at least ``minimum_rows``.
    """

    sustained: Annotated[int, Field(ge=1)] = 1
    cooldown_days: Annotated[int, Field(ge=0)] = 14
    lookback_days: Annotated[int, Field(ge=1)] = 90
    minimum_rows: Annotated[int, Field(ge=1)] = 500
    keep_reference: bool = Field(default=True, description="also keep the rows that the stable release was trained on")


class MonitorSpec(Strict):
    """The spec of a Monitor: the window of the prediction log, what is scored in it, and what that triggers."""

    window_days: Annotated[float, Field(gt=0)] = 30.0
    minimum_requests: Annotated[int, Field(ge=1)] = 200
    drift: Plugin = Plugin(type="psi")
    performance: Performance | None = None
    retraining: Retraining | None = None


class ReleaseFile(Strict):
    """One file inside the artifact."""

    path: str
    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ReleaseArtifact(Strict):
    """The released bytes: an OCI image manifest over one deterministic tar.

    ``engine`` is what serves: ``onnx`` when the equality check passed (``onnx_difference`` is the largest absolute
    difference seen in it), else ``sklearn``; ``engine_reason`` says why ONNX was not used.
    """

    digest: Digest
    size: Count
    files: tuple[ReleaseFile, ...]
    engine: Literal["onnx", "sklearn"]
    onnx_difference: float | None = None
    engine_reason: str = ""


class MetricValue(Strict):
    """A measured metric with its confidence interval."""

    name: str
    value: float
    lower: float
    upper: float
    level: float
    n: Count
    method: str


class VerdictRecord(Strict):
    """What a gate found, as it is written into a release."""

    policy: str
    gate: str
    type: str
    verdict: VerdictWord
    blocking: bool
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    limit: float | None = None
    n: Count | None = None
    reason: str


class CodeReference(Strict):
    """The commit a release was built from and the git tree of the model's code."""

    commit: GitId
    tree: GitId


class DataReference(Strict):
    """The snapshot a release was trained on, by name and root digest."""

    snapshot: Name
    root: Digest
    rows: Count


class ReleaseSpec(Strict):
    """The spec of a Release: immutable; everything needed to find, verify and rebuild it."""

    model: ModelName
    version: ReleaseNumber
    inputs: Digest
    spec: Digest
    environment_lock: Digest
    code: CodeReference
    data: DataReference
    artifact: ReleaseArtifact
    build: Digest
    seeds: dict[str, int]
    parameters: dict[str, Scalar] = {}
    metrics: tuple[MetricValue, ...] = Field(min_length=1)
    verdicts: tuple[VerdictRecord, ...] = Field(min_length=1)
    champion: ReleaseNumber | None = None
    score_profile: Sketch | None = None


class PullRequestReference(Strict):
    """The merged pull request behind a promotion."""

    number: int
    author: str
    head: GitId
    head_tree: GitId
    base: GitId
    merge: GitId


class Approval(Strict):
    """One counted approval: who, when, of which exact head."""

    login: str
    commit: GitId
    submitted_at: str


class PromotionSpec(Strict):
    """The spec of a Promotion: why an environment came to run a release, and who said so."""

    model: ModelName
    environment: Name
    release: ReleaseNumber
    artifact: Digest
    evidence: Digest
    path: Literal["pull-request", "automatic", "emergency"]
    commit: GitId = Field(description="the commit that made the change")
    pull_request: PullRequestReference | None = None
    approvals: tuple[Approval, ...] = ()
    policy: Digest = Field(description="SHA-256 of the approval policy that was applied, from the base commit")
    reason: str
    promoted_at: str
