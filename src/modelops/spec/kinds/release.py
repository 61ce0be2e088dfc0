"""kind: Release — an immutable, signed, numbered version of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.kinds.data_snapshot import Count, Summary
from modelops.spec.layout import ReleaseFiles
from modelops.spec.meta import Digest, GitId, ModelName, Name, ReleaseNumber, Scalar, Strict, VerdictWord
from modelops.spec.resource import Resource, at

PLACE = layout.RELEASE
IMMUTABLE = True


class ReleaseFile(Strict):
    """One file inside the artifact."""

    path: str
    size: Count
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


Engine = Name
"""What serves: ``onnx``, ``sklearn``, or the runtime of a model that neither of them can."""


class Compared(Strict):
    """Rows of one kind on which the served form was compared with the model itself.

    ``difference`` is the largest of a score, absolute below 1 and relative above; ``labels`` counts other labels.
    """

    rows_of: str
    rows: Count
    difference: float
    labels: Count = 0


class ReleaseArtifact(Strict):
    """The released bytes: an OCI image manifest over one deterministic tar.

    ``engine`` is what serves: ``onnx`` when the equality check passed (``onnx_difference`` is the largest absolute
    difference seen in it), else ``sklearn``, or the model's own runtime; ``engine_reason`` says why ONNX was not used.
    ``runtimes`` are those whose libraries the model needs, ``labels`` says where its labels are not those of its own
    ``predict``, and ``equality`` is the table of the check.
    """

    digest: Digest
    size: Count
    files: tuple[ReleaseFile, ...]
    engine: Engine
    onnx_difference: float | None = None
    engine_reason: str = ""
    runtimes: tuple[Name, ...] = ()
    labels: str = ""
    equality: tuple[Compared, ...] = ()


class Search(Strict):
    """What a search over parameters found; what is served is the best estimator, fitted on all training rows.

    ``mean`` and ``deviation`` are those of the best candidate's score over the splits, ``worst`` is the lowest mean.
    """

    by: str
    candidates: Count
    splits: Count
    scoring: str
    best: dict[str, Scalar]
    mean: float | None = None
    deviation: float | None = None
    worst: float | None = None


class MetricValue(Strict):
    """A measured metric with its confidence interval.

    ``n`` counts rows; where they have weights, ``effective`` is of how many equally weighted ones they are worth.
    """

    name: str
    value: float
    lower: float
    upper: float
    level: float
    n: Count
    method: str
    effective: Annotated[float, Field(gt=0)] | None = None

    @model_serializer(mode="wrap")
    def _said(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is said of weighted rows alone: what was written of others keeps its bytes."""
        found: dict[str, Any] = plain(self)
        return found if self.effective is not None else {key: at for key, at in found.items() if key != "effective"}

    @property
    def rests_on(self) -> int:
        """How many rows it rests on: of weighted ones only as many as they are worth."""
        return self.n if self.effective is None else max(1, int(self.effective))


class Baseline(Strict):
    """What knowing nothing is worth.

    ``answer`` is what every test row was given, the most frequent class of the training rows or their mean; ``metrics``
    what that scores, without those that it leaves undefined.
    """

    answer: Scalar
    metrics: dict[str, float]


class Confusion(Strict):
    """How many test rows of each class were taken for each: a row for the truth, a column for the answer.

    They are in the order of the classes, of a binary task the negative first; ``threshold`` is the score from which the
    positive one is answered.
    """

    threshold: float | None = None
    counts: tuple[tuple[Count, ...], ...]


class FeatureImportance(Strict):
    """How much the loss of a test row rises on average when a feature's values change places, and the standard error.

    It may be below zero, by chance or because the feature misleads.
    """

    name: str
    value: float
    error: Annotated[float, Field(ge=0)]


class Importance(Strict):
    """Which features carry the model, by permutation on the test rows; the largest first.

    Features that have one value in the test rows are not listed: nothing is known of them. Features that say the same
    share what they are worth.
    """

    loss: Literal["log-loss", "squared-loss"]
    rows: Count
    features: tuple[FeatureImportance, ...] = ()


class WaiverUse(Strict):
    """A waiver that something relied on: the exact file, the commit that brought it, and who granted it."""

    name: Name
    of: str = Field(description="what it is an exception from: POLICY/GATE, or the rule")
    digest: Digest
    commit: GitId
    expires: str
    granted_by: tuple[str, ...]
    reason: str
    environments: tuple[str, ...] = ("*",)


class VerdictRecord(Strict):
    """What a gate found, as it is written into a release.

    ``blocking`` says that the policy lets a release through only without it; ``waiver`` that an exception was granted:
    the verdict stays what it is. ``toothless`` says why this gate holds nothing up whatever it finds.
    """

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
    waiver: WaiverUse | None = None
    toothless: str = ""

    @property
    def waived(self) -> bool:
        """Whether it would hold the release up, had nobody granted an exception."""
        return self.blocking and self.waiver is not None

    @property
    def holds(self) -> bool:
        """Whether it holds the release up."""
        return self.blocking and self.waiver is None


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
    search: Search | None = None
    metrics: tuple[MetricValue, ...] = Field(min_length=1)
    verdicts: tuple[VerdictRecord, ...] = Field(min_length=1)
    champion: ReleaseNumber | None = None
    score_profile: Summary | None = None
    baseline: Baseline | None = None
    confusion: Confusion | None = None
    importance: Importance | None = None
    weight: str | None = Field(default=None, description="the column that rows were weighted by")
    waivers: tuple[WaiverUse, ...] = Field(default=(), description="the exceptions from rules that it was released by")


def problems(release: Resource[ReleaseSpec], around: Around) -> Iterator[Problem]:
    """Yield what a release says about its model, snapshot and files that does not hold."""
    spec, folder = release.spec, around.folder
    if str(spec.version) != release.name:
        said = f"version {spec.version} lies in the folder of release {release.name}"
        yield at(release, "spec.version", "name-mismatch", said, "releases are written by modelops release")
    if spec.model != folder.name:
        hint = f"releases stay under the name they were made under: leave {spec.model}'s behind, and say "
        hint += f"`formerly: [{spec.model}]` in model.yaml, so that they go on being proven"
        yield at(release, "spec.model", "name-mismatch", f"{spec.model!r} is another model", hint)
    snapshot = folder.of("DataSnapshot").get(spec.data.snapshot)
    if snapshot is not None and snapshot.spec.root != spec.data.root:
        said = f"the snapshot {snapshot.name!r} has another root digest than this release was trained on"
        yield at(
            release, "spec.data.root", "digest-mismatch", said, "snapshots are immutable: restore it, take a new one"
        )
    elif snapshot is None and not around.known.has("DataSnapshot", folder.name, spec.data.snapshot):
        said = f"there is no snapshot {spec.data.snapshot!r}"
        hint = "the snapshot of a release must stay: restore it from git"
        yield at(release, "spec.data.snapshot", "unknown-snapshot", said, hint)
    if spec.champion is not None and not around.known.has("Release", folder.name, str(spec.champion)):
        said = f"there is no release {spec.champion}"
        yield at(release, "spec.champion", "unknown-release", said, around.release_hint())
    if around.known.paths is not None:
        files = ReleaseFiles(folder.name, release.name)
        for path in (files.evidence, files.card):
            if path not in around.known.paths:
                said = f"{path.rpartition('/')[2]} is missing beside the release"
                yield at(release, "", "missing-file", said, "restore it from git: a release is signed as a whole")
