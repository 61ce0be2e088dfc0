"""A policy is judged gate by gate, and lets through only on positive evidence."""

from __future__ import annotations

import dataclasses
import json
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.conformance.loans import subject
from modelops.errors import ModelOpsError, Problem
from modelops.evidence.details import recorded
from modelops.gates import Subject
from modelops.metrics import measure_all
from modelops.releases.chance import chance
from modelops.releases.verdicts import Policy, bind_policy, disagreements, judge, let_through, outcome, passed
from modelops.spec.kinds.gate_policy import Gate, GatePolicySpec
from modelops.spec.kinds.release import VerdictRecord
from modelops.spec.load import load_resource
from modelops.spec.yaml.dump import dump

GOOD = Gate(name="quality", type="metric", params={"metric": "roc-auc", "minimum": 0.6})
BAD = Gate(name="perfect", type="metric", params={"metric": "roc-auc", "minimum": 0.999})


def policy(*gates: Gate, name: str = "release") -> Policy:
    path = f"policies/gates/{name}.yaml"
    return bind_policy(load_resource(dump("GatePolicy", name, GatePolicySpec(gates=gates), path=path), path))


def verdicts(asked: Policy, whole: Subject) -> tuple[VerdictRecord, ...]:
    return tuple(found.record for found in judge(asked, whole.only))


def test_every_gate_is_recorded_in_order():
    """A failing gate does not hide the ones behind it."""
    records = verdicts(policy(BAD, GOOD), subject(300))
    assert [(record.gate, record.verdict, record.blocking) for record in records] == [
        ("perfect", "fail", True),
        ("quality", "pass", False),
    ]
    assert records[0].policy == "release"
    assert records[0].lower < records[0].value < records[0].limit == 0.999
    assert not passed(records)
    assert passed(records[1:])


def test_a_gate_and_the_build_report_one_value_of_a_metric():
    """The number of a gate is that of the build where both are of the same labels; another one is told."""
    whole = subject(300)
    strict = Gate(name="strict", type="metric", params={"metric": "recall", "minimum": 0.1, "threshold": 0.9})
    asked = policy(GOOD, strict)
    found = judge(asked, whole.only)
    honest = measure_all(whole.holdout, seed=whole.seed, names=("roc-auc", "recall"))
    assert disagreements(asked, found, honest) == ()
    forged = tuple(metric.model_copy(update={"value": 0.999}) for metric in honest)
    (said,) = disagreements(asked, found, forged)
    assert said.startswith("roc-auc is 0.999 of ")
    assert "for the gate quality" in said


def test_advisory_gates_do_not_block():
    """A gate whose block list leaves its verdict out is recorded and does not block."""
    advisory = BAD.model_copy(update={"block": ("no-data",)})
    records = verdicts(policy(GOOD, advisory), subject(300))
    assert passed(records)
    assert records[1].verdict == "fail"
    assert not records[1].blocking


def test_a_gate_that_cannot_run_blocks_whatever_its_list_says():
    """A metric of another task is no data, recorded with the reason, and blocks."""
    gate = Gate(name="x", type="metric", params={"metric": "rmse", "maximum": 1.0}, block=())
    records = verdicts(policy(GOOD, gate), subject(300))
    assert records[1].verdict == "no-data"
    assert "not defined for" in records[1].reason
    assert records[1].blocking
    assert not passed(records)


def test_a_policy_that_cannot_be_read_judges_nothing():
    """Every unknown gate and wrong parameter of a policy is told at once with its line, before any gate runs."""
    wrong = (
        Gate(name="a", type="metrics", params={}, block=()),
        Gate(name="b", type="metric", params={"metric": "recall"}, block=()),
        Gate(name="c", type="latency", params={"p50": 1.0}, block=()),
        Gate(name="d", type="fairness", params={"metric": "accuracy-difference", "column": "age", "maximum": "1"}),
        Gate(name="e", type="fairness", params={"metric": "mae-difference", "column": "age", "minimum_group": 3}),
    )
    with pytest.raises(ModelOpsError) as caught:
        policy(GOOD, *wrong)
    told = {problem.dotted: str(problem) for problem in caught.value.problems}
    assert "'metrics' is not one of the gates" in told["spec.gates[1].type"]
    assert "exactly one" in told["spec.gates[2].params"]
    assert "'p50' is not a key here" in told["spec.gates[3].params.p50"]
    assert "'1' is not a number" in told["spec.gates[4].params.maximum"]
    assert "keys are camelCase" in told["spec.gates[5].params.minimum_group"]
    assert all(problem.location and problem.location.line > 5 for problem in caught.value.problems)
    assert caught.value.exit == 3


def test_nothing_evaluated_is_a_no():
    """No record, or a policy in which nothing passed, does not let through, even beside one that passed."""
    unmeasured = Gate(
        name="tail", type="metric", params={"metric": "roc-auc", "minimum": 0.1, "minimumRows": 9999}, block=("fail",)
    )
    empty = verdicts(policy(unmeasured, name="second"), subject(300))
    assert not empty[0].blocking
    assert not passed(())
    assert not passed(empty)
    assert not passed((*verdicts(policy(GOOD), subject(300)), *empty))


def test_a_first_release_needs_a_measured_pass():
    """Comparisons with a stable release that is not there pass unmeasured, which alone lets nothing through."""
    compared = policy(
        Gate(name="not-worse", type="champion", params={"metric": "roc-auc", "margin": 0.1}),
        Gate(name="data", type="drift", params={}),
        name="compared",
    )
    first = dataclasses.replace(subject(300), champion=None, champion_release=None, champion_profile=None)
    records = verdicts(compared, first)
    assert [(record.verdict, record.n) for record in records] == [("pass", None)] * 2
    assert not passed(records)
    assert passed((*records, *verdicts(policy(GOOD), subject(300))))


def test_parameters_come_as_yaml_has_them():
    """Lists are accepted for tuples."""
    listed = {"metric": "accuracy-difference", "column": "age", "maximum": 1, "bins": [30, 50]}
    records = verdicts(policy(Gate(name="age", type="fairness", params=listed)), subject(300))
    assert records[0].verdict == "pass"


def test_records_are_writable():
    """A record survives the trip through JSON, infinities left out."""
    gate = Gate(name="speed", type="latency", params={"p99Ms": 50.0})
    record = verdicts(policy(gate), subject(60, latency=subject(60).latency[:50]))[0]
    assert record.upper is None
    assert VerdictRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record


def test_a_policy_computes_what_its_gates_name_and_nothing_else():
    """What no gate needs is never asked for, and a part that cannot be had ends the judgement: it is no verdict."""
    asked: list[tuple[str, ...]] = []

    def subject_of(needs):
        asked.append(tuple(needs))
        if "latency" in needs:
            raise ModelOpsError(Problem("digest-mismatch", "the artifact has other bytes"))
        return subject(300).only(needs)

    judge(policy(GOOD, BAD), subject_of)
    assert asked == [("predictions",), ("predictions",)]
    speed = Gate(name="speed", type="latency", params={"p99Ms": 50.0}, block=())
    with pytest.raises(ModelOpsError, match="other bytes"):
        judge(policy(GOOD, speed), subject_of)


def test_what_a_gate_measured_stays_beside_its_verdict():
    """The details are kept by policy and gate, as plain JSON."""
    fair = Gate(name="fair", type="fairness", params={"metric": "accuracy-difference", "column": "sex", "maximum": 1})
    (found,) = judge(policy(fair), subject(300).only)
    assert found.key == "release/fair"
    assert [row["group"] for row in found.details["groups"]] == ["f", "m"]
    assert json.loads(json.dumps(found.details, allow_nan=False)) == found.details


def depth(value: object) -> int:
    """Return how many mappings and lists lie in each other."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=6),
    max_leaves=60,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=6))
def test_details_are_finite_bounded_and_stable(details):
    """Whatever a gate writes is recorded as JSON that no second reading changes, or refused with a reason."""
    deep = depth(details) > 6
    with pytest.raises(ModelOpsError, match="bad-details") if deep else nullcontext():
        plain = recorded(details)
    if deep:
        return
    text = json.dumps(plain, sort_keys=True, allow_nan=False)
    assert recorded(json.loads(text)) == plain


def test_many_details_are_cut_and_counted():
    """A thousand features leave as many as fit, the first ones, and the number of those left out; arrays are lists."""
    features = [{"feature": f"column_{at:04}", "psi": 1 / (at + 1), "critical": 0.1} for at in range(1000)]
    plain = recorded({"features": features, "values": np.arange(3.0), "worst": np.float64("nan")})
    assert plain["features"][0] == features[0]
    assert len(plain["features"]) + plain["featuresLeftOut"] == 1000
    assert (plain["values"], plain["worst"]) == ([0.0, 1.0, 2.0], None)
    assert len(json.dumps(plain)) < 17_000 < len(json.dumps(features))
    with pytest.raises(ModelOpsError, match="bad-details"):
        recorded({"when": {1, 2}})


def test_what_gates_leave_to_chance_is_stated():
    """The largest error of one strict gate, the sum for all that can fail, and the looks times the first."""
    crossed = {"metric": "equalized-odds", "columns": ["sex", "age"], "maximum": 0.5}
    lenient = Gate(name="x", type="metric", params={"metric": "recall", "minimum": 0.1}, block=("fail", "no-data"))
    advice = GOOD.model_copy(update={"name": "told", "block": ()})
    drift = Gate(name="drift", type="drift", params={"significance": 0.01})
    asked = policy(GOOD, Gate(name="fair", type="fairness", params=crossed), lenient, advice, drift)
    found = chance([asked], looks=3)
    assert (found.strict, found.lenient, found.looks) == (2, 2, 3)
    assert (found.passes, found.best) == (pytest.approx(0.05), pytest.approx(0.15))
    assert found.fails == pytest.approx(0.025 + 0.05 + 0.025 + 0.01)
    alone = chance([policy(Gate(name="data", type="data-quality", params={}))])
    assert (alone.strict, alone.passes, alone.best) == (0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("gates", "word"),
    [
        ((GOOD,), "passed"),
        ((GOOD.model_copy(update={"params": {"metric": "roc-auc", "minimum": 0.0}}),), "undecided"),
        ((BAD.model_copy(update={"block": ()}), Gate(name="data", type="data-quality", params={})), "undecided"),
        ((BAD,), "failed"),
    ],
)
def test_only_a_gate_that_can_fail_decides(gates, word):
    """A limit that every model meets, and a failure that holds nothing up, say nothing of how good a model is."""
    assert outcome(verdicts(policy(*gates), subject(300))) == word


def test_what_a_policy_lets_by_is_told():
    """No data and failures that do not block are no passes, and are named."""
    unmeasured = {"metric": "recall", "minimum": 0.1, "minimumRows": 9999}
    tail = Gate(name="tail", type="metric", params=unmeasured, block=("fail",))
    records = verdicts(policy(GOOD, tail), subject(300))
    assert outcome(records) == "passed"
    assert [(one.gate, one.verdict) for one in let_through(records)] == [("tail", "no-data")]
