"""The record of a build: what went in, what came out, and nothing that differs between two equal builds."""

from __future__ import annotations

from pydantic import ValidationError

from modelops.artifacts.signature import canonical_json
from modelops.errors import failure
from modelops.spec.kinds.data_snapshot import Count, Summary
from modelops.spec.kinds.model import Task
from modelops.spec.kinds.release import Baseline, Confusion, Importance, MetricValue, ReleaseArtifact, Search
from modelops.spec.meta import Digest, ModelName, Name, Scalar, Strict

__all__ = ["BuildRecord"]


class BuildRecord(Strict):
    """A build: deterministic, so that equal inputs give equal bytes on any machine of the same architecture.

    ``holdout`` is the digest of a Parquet blob with one line per test row: ``row`` (position in the snapshot),
    ``y_true`` and ``y_pred`` as in ``metrics.Predictions``, the scores (``score``, or ``score_0`` and up), and
    ``weight`` where the model has a column of weights, which the record names. ``spec`` is the digest of what in the
    model's spec changes the result, not of the whole file. Rows whose target is missing are in neither part.
    """

    model: ModelName
    inputs: Digest
    spec: Digest
    environment_lock: Digest
    code_tree: str
    snapshot: Name
    data_root: Digest
    rows_train: Count
    rows_test: Count
    rows_without_target: Count = 0
    seeds: dict[str, int]
    parameters: dict[str, Scalar]
    search: Search | None = None
    task: Task
    positive: Scalar = None
    classes: tuple[Scalar, ...] = ()
    artifact: ReleaseArtifact
    metrics: tuple[MetricValue, ...]
    score_profile: Summary | None = None
    baseline: Baseline | None = None
    confusion: Confusion | None = None
    importance: Importance | None = None
    weight: str | None = None
    holdout: Digest

    def dump(self) -> bytes:
        """Return the canonical JSON of the record; its SHA-256 is the digest of the build."""
        document = self.model_dump(mode="json", by_alias=True)
        for name in ("search", "baseline", "confusion", "importance", "weight"):
            # Records from before there was one keep their bytes.
            if document[name] is None:
                del document[name]
        for name in ("runtimes", "labels", "equality"):
            if not document["artifact"][name]:
                del document["artifact"][name]
        return canonical_json(document)

    @classmethod
    def parse(cls, data: bytes) -> BuildRecord:
        """Read a record back; anything unexpected in it is an error."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise failure("bad-build-record", f"the build record is not valid: {where}: {first['msg']}") from None
