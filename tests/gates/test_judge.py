"""A policy is judged gate by gate, and lets through only on positive evidence."""

from __future__ import annotations

import dataclasses

import pytest

from gates.subjects import subject
from modelops.gates._run import judge, passed
from modelops.spec.delivery import VerdictRecord
from modelops.spec.policy import Gate, GatePolicySpec

GOOD = Gate(name="quality", type="metric", params={"metric": "roc-auc", "minimum": 0.6})
BAD = Gate(name="perfect", type="metric", params={"metric": "roc-auc", "minimum": 0.999})


def policy(*gates: Gate) -> GatePolicySpec:
    return GatePolicySpec(gates=gates)


def test_every_gate_is_recorded_in_order():
    """A failing gate does not hide the ones behind it."""
    records = judge("release", policy(BAD, GOOD), subject(300))
    assert [(record.gate, record.verdict, record.blocking) for record in records] == [
        ("perfect", "fail", True),
        ("quality", "pass", False),
    ]
    assert records[0].policy == "release"
    assert records[0].lower < records[0].value < records[0].limit == 0.999
    assert not passed(records)
    assert passed(records[1:])


def test_advisory_gates_do_not_block():
    """A gate whose block list leaves its verdict out is recorded and does not block."""
    advisory = BAD.model_copy(update={"block": ("no-data",)})
    records = judge("release", policy(GOOD, advisory), subject(300))
    assert passed(records)
    assert records[1].verdict == "fail"
    assert not records[1].blocking


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        (Gate(name="x", type="metrics", params={}, block=()), "'metrics' is not one of the gates"),
        (Gate(name="x", type="metric", params={"metric": "recall"}, block=()), "exactly one"),
        (Gate(name="x", type="metric", params={"metric": "rmse", "maximum": 1.0}, block=()), "not defined for"),
        (Gate(name="x", type="latency", params={"p50": 1.0}, block=()), "p50"),
    ],
)
def test_a_gate_that_cannot_run_blocks_whatever_its_list_says(gate, said):
    """Bad parameters, an unknown gate or a metric of another task is no data, recorded with the reason, and blocks."""
    records = judge("release", policy(GOOD, gate), subject(300))
    assert records[1].verdict == "no-data"
    assert said in records[1].reason
    assert records[1].blocking
    assert not passed(records)


def test_nothing_evaluated_is_a_no():
    """No record, or a policy in which nothing passed, does not let through, even beside one that passed."""
    unmeasured = Gate(
        name="tail", type="metric", params={"metric": "roc-auc", "minimum": 0.1, "minimumRows": 9999}, block=("fail",)
    )
    empty = judge("second", policy(unmeasured), subject(300))
    assert not empty[0].blocking
    assert not passed(())
    assert not passed(empty)
    assert not passed((*judge("release", policy(GOOD), subject(300)), *empty))


def test_a_first_release_needs_a_measured_pass():
    """Comparisons with a stable release that is not there pass unmeasured, which alone lets nothing through."""
    compared = policy(
        Gate(name="not-worse", type="champion", params={"metric": "roc-auc", "margin": 0.1}),
        Gate(name="data", type="drift", params={}),
    )
    first = dataclasses.replace(subject(300), champion=None, champion_release=None, champion_profile=None)
    records = judge("compared", compared, first)
    assert [(record.verdict, record.n) for record in records] == [("pass", None)] * 2
    assert not passed(records)
    assert passed((*records, *judge("release", policy(GOOD), subject(300))))


def test_parameters_come_as_yaml_has_them():
    """Lists are accepted for tuples, and a number in quotes is not a number."""
    listed = {"metric": "accuracy-difference", "column": "age", "maximum": 1, "bins": [30, 50]}
    records = judge("release", policy(Gate(name="age", type="fairness", params=listed)), subject(300))
    assert records[0].verdict == "pass"
    quoted = listed | {"maximum": "1"}
    assert (
        "maximum" in judge("release", policy(Gate(name="age", type="fairness", params=quoted)), subject(300))[0].reason
    )


def test_records_are_writable():
    """A record survives the trip through JSON, infinities left out."""
    gate = Gate(name="speed", type="latency", params={"p99Ms": 50.0})
    record = judge("release", policy(gate), subject(60, latency=subject(60).latency[:50]))[0]
    assert record.upper is None
    assert VerdictRecord.model_validate_json(record.model_dump_json(by_alias=True)) == record
