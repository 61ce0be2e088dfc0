"""The subject of the gates: rows as read, predictions of candidate and champion, measured latency."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from modelops.artifacts import BuildRecord, columns, load_predictor, open_artifact, put_artifact
from modelops.errors import ModelOpsError, failure
from modelops.gates import PARTS
from modelops.releases.verdicts import bind_policy, judge
from modelops.spec.kinds.gate_policy import Gate, GatePolicySpec
from modelops.spec.kinds.release import CodeReference, DataReference, ReleaseSpec, VerdictRecord
from modelops.spec.load import load_resource
from modelops.spec.yaml.dump import dump
from modelops.training import judging, looks, record_digest, retrained, subject
from modelops.training.judging import LATENCY_ROWS, latency_sample
from training.building_blocks import TRAIN, Workshop, people

Built = tuple[Workshop, BuildRecord]
ABSENT = "sha256:" + "0" * 64
EVERYTHING = tuple(dict.fromkeys(PARTS.values()))


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
        rows=workshop.divided,
        store=workshop.store,
        champion=release(record),
    )(EVERYTHING)
    assert (len(found.train), len(found.test), len(found.holdout)) == (180, 60, 60)
    assert set(workshop.table.column_names) == set(found.test.columns)
    assert set(found.train["id"]).isdisjoint(found.test["id"])
    assert found.champion is not None
    assert found.champion_release == 4
    np.testing.assert_allclose(found.champion.y_score, found.holdout.y_score, atol=1e-12)
    np.testing.assert_array_equal(found.champion.y_pred, found.holdout.y_pred)
    assert found.latency.shape == (LATENCY_ROWS,)
    assert 0 < np.median(found.latency) < 1
    assert found.artifact_size == record.artifact.size
    assert found.declared_columns["amount"] == "number"


def test_a_build_is_a_look_at_the_rows_of_its_snapshot(built: Built) -> None:
    """The ledger says which snapshot tested a build, so that looks at it can be counted."""
    workshop, record = built
    assert looks(workshop.ledger, record.model, record.data_root) == {record_digest(record)}


def test_predictions_of_other_rows_are_refused(built: Built) -> None:
    """When the data behind the request gives another split than the stored predictions, nothing is judged."""
    workshop, record = built
    other = dataclasses.replace(workshop, table=people(200))
    given = subject(workshop.request(), record, rows=other.divided, store=workshop.store)
    assert len(given(("rows",)).train) == 150
    with pytest.raises(ModelOpsError, match="bad-holdout"):
        given(("predictions",))


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
        rows=workshop.divided,
        store=workshop.store,
        champion=release(other),
    )(("champion",))
    assert found.champion is None
    assert "'ja'" in found.incomparable


def test_what_no_gate_needs_is_not_computed(built: Built) -> None:
    """Latency needs no row of the training part and no champion; what is declared needs not even the data."""
    workshop, record = built
    read: list[int] = []

    def counted():
        read.append(1)
        return workshop.divided()

    gone = release(record.model_copy(update={"artifact": record.artifact.model_copy(update={"digest": ABSENT})}))
    given = subject(
        workshop.request(),
        record,
        rows=counted,
        store=workshop.store,
        champion=gone,
    )
    assert given(()).declared_columns["amount"] == "number"
    assert given(("profile",)).champion_profile is None
    assert read == []
    assert given(("latency",)).latency.shape == (LATENCY_ROWS,)
    assert len(given(("rows", "predictions")).holdout) == 60
    assert read == [1]
    assert "not in the store" in given(("champion",)).incomparable


def test_a_gate_can_ask_the_model_itself(built: Built) -> None:
    """The served artifact answers the test rows as the stored predictions say, and any other rows too."""
    workshop, record = built
    given = subject(workshop.request(), record, rows=workshop.divided, store=workshop.store)
    found = given(("rows", "predictions", "predictor"))
    answers = found.predict(found.test)
    np.testing.assert_allclose(answers.scores, found.holdout.y_score, atol=1e-6)
    np.testing.assert_array_equal(answers.labels, found.holdout.y_pred)
    assert found.predict(found.test.assign(amount=1e6)).scores.shape == (60,)
    assert len(found.predict(found.train.iloc[:7]).labels) == 7


def test_rows_of_before_and_what_features_carry_are_those_that_were_recorded(built: Built) -> None:
    """Importance is the build's; the rows of before are the snapshot's own, another one's, none, or told to be gone."""
    workshop, record = built
    same = release(record)
    other = same.model_copy(update={"data": same.data.model_copy(update={"root": ABSENT})})
    asked = {"rows": workshop.divided, "store": workshop.store}

    def given(**changes: object):
        return subject(workshop.request(), record, **asked, **changes)(("importance", "previous"))

    found = given(champion=same)
    assert found.importance == record.importance
    assert found.previous.equals(workshop.table.to_pandas())
    assert len(given(champion=other, champion_rows=lambda: people(50)).previous) == 50
    alone = given()
    assert (alone.previous, alone.unreadable) == (None, "")

    def gone():
        raise failure("not-in-store", "its files are gone")

    lost = given(champion=other, champion_rows=gone)
    assert (lost.previous, lost.unreadable) == (None, "its files are gone")


ASKED: dict[str, dict[str, object]] = {
    "calibration": {"maximum": 0.9, "minimumRows": 30},
    "membership": {"maximum": 0.99, "minimumRows": 20},
    "monotonicity": {"directions": {"amount": "increasing"}, "maximum": 0.9, "minimumRows": 20},
    "permutation-importance": {"maximum": 0.99, "features": ["age"], "proxiesOf": ["country"]},
    "poisoning": {"minimumRows": 20},
    "robustness": {"maximum": 0.99, "fault": "missing", "share": 0.5},
    "slices": {
        "metric": "accuracy",
        "minimum": 0.05,
        "columns": ["country", "age"],
        "minimumRows": 10,
        "waive": ["country (missing)"],
    },
}


def test_every_gate_on_behaviour_judges_a_real_build(built: Built) -> None:
    """Of a trained and served artifact on its own snapshot each comes to a verdict that rests on something."""
    workshop, record = built
    before = release(record.model_copy(update={"data_root": ABSENT}))
    given = subject(
        *(workshop.request(), record),
        rows=workshop.divided,
        store=workshop.store,
        champion=before,
        champion_rows=lambda: people(300, seed=9),
    )
    specs = tuple(Gate(name=key, type=key, params=params) for key, params in ASKED.items())
    path = "policies/gates/behaviour.yaml"
    policy = load_resource(dump("GatePolicy", "behaviour", GatePolicySpec(gates=specs), path=path), path)
    found = {one.record.gate: one for one in judge(bind_policy(policy), given)}
    assert {name: one.record.verdict for name, one in found.items()} == dict.fromkeys(ASKED, "pass"), [
        one.record.reason for one in found.values()
    ]
    assert all(one.record.n and one.details for one in found.values())


def test_a_pause_of_the_machine_is_no_property_of_the_artifact(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stops one prediction in a hundred, whatever its row, is not in the timings: each row has three."""
    workshop, record = built
    predictor = load_predictor(open_artifact(workshop.store, record.artifact.digest))
    arrays = columns(workshop.table, predictor.signature.features)
    calls, now = iter(range(10**6)), [0.0]
    monkeypatch.setattr(judging, "time", SimpleNamespace(perf_counter=lambda: now[0]))

    class Interrupted:
        signature, takes_matrix = predictor.signature, False

        def predict_columns(self, single):
            now[0] += 0.02 if next(calls) % 101 == 0 else 0.001
            return predictor.predict_columns(single)

    assert np.quantile(latency_sample(Interrupted(), arrays, rows=60), 0.99) < 0.02


BY_SEED = TRAIN.replace(
    "    columns =",
    "    if seed == parameters.get('refused'):\n        raise ValueError('this seed brings no luck')\n    columns =",
).replace("random_state=seed", "subsample=0.3, random_state=seed")


def test_a_build_is_trained_again_with_another_seed(workshop: Workshop) -> None:
    """Its own seed gives its own answers, another one other ones; what fails says why; no look is counted."""
    request = workshop.request(BY_SEED, training__parameters={"refused": 5})
    record = workshop.build(request)
    counted = looks(workshop.ledger, record.model, record.data_root)
    found = subject(
        request,
        record,
        rows=workshop.divided,
        store=workshop.store,
        retrain=lambda parts, seed, seconds: retrained(request, parts, seed, seconds, scratch=workshop.root / "again"),
    )(("predictions", "retraining"))
    own, other = found.retrain(3, 60.0), found.retrain(4, 60.0)
    assert not isinstance(own, str)
    np.testing.assert_allclose(own.scores, found.holdout.y_score, atol=1e-9)
    np.testing.assert_array_equal(own.labels, found.holdout.y_pred)
    assert not isinstance(other, str)
    assert other.scores.shape == own.scores.shape
    assert np.abs(other.scores - own.scores).max() > 0.01
    assert "this seed brings no luck" in str(found.retrain(5, 60.0))
    assert looks(workshop.ledger, record.model, record.data_root) == counted
    assert list((workshop.root / "again").iterdir()) == []
