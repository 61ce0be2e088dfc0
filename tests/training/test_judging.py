"""The subject of the gates: rows as read, predictions of candidate and champion, measured latency."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from modelops.artifacts import BuildRecord, open_artifact, put_artifact
from modelops.errors import ModelOpsError
from modelops.spec.delivery import CodeReference, DataReference, ReleaseSpec, VerdictRecord
from modelops.training import record_digest, subject
from modelops.training.judging import LATENCY_ROWS
from training.building_blocks import Workshop, people

Built = tuple[Workshop, BuildRecord]


def release(record: BuildRecord) -> ReleaseSpec:
    verdict = VerdictRecord(policy="p", gate="g", type="metric", verdict="pass", blocking=True, reason="ok")
    return ReleaseSpec(
        model=record.model,
        version=4,
        inputs=record.inputs,
        spec=record.spec,
        environment_lock=record.environment_lock,
        code=CodeReference(commit="0" * 40, tree="0" * 40),
        data=DataReference(snapshot=record.snapshot, root=record.data_root, rows=240),
        artifact=record.artifact,
        build=record_digest(record),
        seeds=record.seeds,
        metrics=record.metrics,
        verdicts=(verdict,),
    )


def test_gates_see_rows_predictions_and_latency(built: Built) -> None:
    """All columns as read, in the split's parts; the champion is scored on the candidate's rows."""
    workshop, record = built
    found = subject(
        workshop.request(),
        record,
        materialise=workshop.materialise,
        read=workshop.read,
        store=workshop.store,
        champion=release(record),
    )
    assert (len(found.train), len(found.test), len(found.holdout)) == (180, 60, 60)
    assert set(workshop.table.column_names) == set(found.test.columns)
    assert set(found.train["id"]).isdisjoint(found.test["id"])
    assert found.champion is not None
    assert found.champion_release == 4
    np.testing.assert_allclose(found.champion.y_score, found.holdout.y_score, atol=1e-12)
    np.testing.assert_array_equal(found.champion.y_pred, found.holdout.y_pred)
    assert found.latency.shape == (LATENCY_ROWS,)
    assert 0 < np.median(found.latency) < 0.05
    assert found.artifact_size == record.artifact.size
    assert found.declared_columns["amount"] == "number"


def test_predictions_of_other_rows_are_refused(built: Built) -> None:
    """When the data behind the request gives another split than the stored predictions, nothing is judged."""
    workshop, record = built
    other = dataclasses.replace(workshop, table=people(200))
    with pytest.raises(ModelOpsError, match="bad-holdout"):
        subject(workshop.request(), record, materialise=other.materialise, read=other.read, store=workshop.store)


def test_a_champion_of_another_kind_cannot_be_compared(built: Built) -> None:
    """A stable release that calls another label positive is no champion, and the subject says why."""
    workshop, record = built
    files = dict(open_artifact(workshop.store, record.artifact.digest).files)
    for path in ("models/signature.json", "models/smoke.json"):
        files[path] = files[path].replace(b'"yes"', b'"ja"')
    stored = put_artifact(workshop.store, files)
    other = record.model_copy(update={"artifact": record.artifact.model_copy(update={"digest": stored.digest})})
    found = subject(
        workshop.request(),
        record,
        materialise=workshop.materialise,
        read=workshop.read,
        store=workshop.store,
        champion=release(other),
    )
    assert found.champion is None
    assert "'ja'" in found.incomparable
