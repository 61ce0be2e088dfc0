"""What the log says of a rollout, as the loop reads it and as a replay does."""

from __future__ import annotations

import json
import random
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelops.logs.exported import Exported
from modelops.logs.folder import Folder
from modelops.predictions import PredictionLog, Row, ShadowRow, arm_rows
from modelops.reconcile.observe import progress
from modelops.rollouts.measures import arm_data, outcomes
from modelops.rollouts.memory import read_rollout, write_rollout
from modelops.rollouts.recorded import Recorded
from modelops.rollouts.replay import changed, decide_again, dropped
from modelops.rollouts.state import (
    Decision,
    RolloutState,
    StepState,
    arms_in_order,
    course,
    decision,
    from_plain,
    seed_of,
    to_plain,
)
from modelops.rollouts.timeline import read_timeline
from modelops.rollouts.values import values_of_arms
from modelops.spec.address import Address
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec, Serving
from modelops.spec.layout import PREDICTIONS
from modelops.spec.meta import Plugin
from modelops.statistics.dispersion import Clusters
from modelops.strategies import Progress, Step, StepData, Traffic
from modelops.targets import Site

SPEC = ModelSpec(
    description="Churn.",
    owner="crm",
    risk="limited",
    task="binary-classification",
    intended_use="Calls.",
    data=ModelData(snapshot="s", target="churned", features=(Feature(name="age", type="number"),), positive="yes"),
    gates=("standard",),
    serving=Serving(latency_objective_ms=20.0),
)
START = datetime(2026, 5, 1, tzinfo=UTC)
SALT = "0123456789abcdef"
ARMS = {"stable": 1, "candidate": 2, "challenger-3": 3}
WEIGHTS = {"stable": 0.5, "candidate": 0.3, "challenger-3": 0.2}
STEP = Traffic(WEIGHTS)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def written(folder: Path, count: int = 600, *, shadow: bool = False) -> Site:
    """Return a site whose log has two steps of a rollout, one answer a second, and labels that come minutes later."""
    chance = random.Random(3)
    site = Site("production", folder, Address(f"oci-layout:{folder}"))
    with PredictionLog(folder / PREDICTIONS) as log:
        rows, labels = [], []
        for number in range(count):
            arm = "stable" if shadow else chance.choices(list(ARMS), list(WEIGHTS.values()))[0]
            failed = chance.random() < (0.2 if arm == "challenger-3" else 0.02)
            row = Row(
                id=f"{int(at(number).timestamp() * 1000):012x}{number:020x}", time=at(number).timestamp(),
                model="churn", release=ARMS[arm], arm=arm, step=1 + (number >= count // 2), salt=SALT,
                entity=f"c{chance.randrange(80)}", features="{}", score=None if failed else chance.random(),
                label=None if failed else chance.choice(["yes", "no"]), status=500 if failed else 200,
                latency_ms=chance.uniform(0, 25), propensity=1.0 if shadow else WEIGHTS[arm], row=number % 7 == 6,
                request="",
            )  # fmt: skip
            rows.append(row)
            if shadow and number % 3:
                log.append_shadow(
                    ShadowRow(row.id, row.time, "churn", 2, "candidate", row.step, SALT, row.score, row.label, 200, 30)
                )
            if chance.random() < 0.7:
                won = chance.random() < {"stable": 0.3, "candidate": 0.6, "challenger-3": 0.1}[arm]
                labels.append((row.id, "yes" if won else "no", at(number + 120).timestamp(), "churn"))
        log.write(rows)
        log.feedback(labels)
    return site


def state(traffic: Traffic = STEP, count: int = 600) -> RolloutState:
    steps = (StepState(traffic, "2026-05-01T00:00:00Z"), StepState(traffic, at(count // 2).isoformat()))
    return RolloutState(ARMS, SALT, steps)


def _plain(value: object) -> list[object]:
    """Return what a field of an arm holds: clusters are several arrays."""
    return [getattr(value, each.name) for each in fields(value)] if isinstance(value, Clusters) else [value]


def same(one: StepData, two: StepData) -> None:
    """See that two of a step hold the same numbers in the same order."""
    assert one.arms.keys() == two.arms.keys()
    for arm in one.arms:
        for field in fields(one.arms[arm]):
            left, right = (_plain(getattr(step.arms[arm], field.name)) for step in (one, two))
            assert len(left) == len(right), (arm, field.name)
            assert all(map(np.array_equal, left, right)), (arm, field.name)
    assert one.shadows.keys() == two.shadows.keys()
    for arm in one.shadows:
        for field in fields(one.shadows[arm]):
            left, right = getattr(one.shadows[arm], field.name), getattr(two.shadows[arm], field.name)
            assert np.array_equal(np.asarray(left), np.asarray(right)), (arm, field.name)


@pytest.mark.parametrize("shadow", [False, True])
def test_a_replay_sees_what_the_loop_saw(tmp_path: Path, shadow: bool) -> None:
    """At the end of the log both read the same numbers, whoever answered, labelled or copied."""
    site = written(tmp_path, shadow=shadow)
    traffic = Traffic({"stable": 1.0}, {"candidate": 1.0}) if shadow else STEP
    live = progress(Folder(site.runtime / PREDICTIONS), "churn", SPEC, state(traffic), at(10_000))
    timeline = read_timeline(Folder(site.runtime / PREDICTIONS), "churn", SPEC, SALT, tuple(ARMS))
    again = timeline.data(state(traffic).steps, 300, at(10_000).timestamp())
    for one, two in zip(live.steps, again, strict=True):
        same(one, two)
    assert live.steps[0].arms["stable"].entities > 10
    if shadow:
        pairs = live.steps[0].shadows["candidate"]
        assert (pairs.pairs, pairs.slow, pairs.agreed is not None) == (200, 200, True)
        assert pairs.dropped == live.steps[0].arms["stable"].requests - 200


def test_an_export_is_replayed_as_its_log(tmp_path: Path) -> None:
    """When the log keeps a rollout no longer, the exported files decide it again by the same numbers."""
    log = Folder(written(tmp_path / "site").runtime / PREDICTIONS)
    log.export(tmp_path / "exported", at(200_000))
    log.retain(at(3_000_000), days=1)
    whole = Folder(written(tmp_path / "again").runtime / PREDICTIONS)
    one, two = (
        read_timeline(each, "churn", SPEC, SALT, tuple(ARMS)) for each in (whole, Exported(tmp_path / "exported"))
    )
    assert {step: len(times) for step, times in two.times.items()} == {1: 300, 2: 300}
    for seconds in (60, 250):
        for left, right in zip(
            one.data(state().steps, seconds, at(seconds).timestamp()),
            two.data(state().steps, seconds, at(seconds).timestamp()),
            strict=True,
        ):
            same(left, right)
    assert dropped(log, Recorded("x", ARMS, SALT, Plugin(type="canary"), False, state().steps, (), None, "", None))
    values = [
        values_of_arms(each, "churn", SPEC, SALT, tuple(ARMS), "outcome")
        for each in (whole, Exported(tmp_path / "exported"))
    ]
    assert values[0] == values[1] != []


def test_labels_count_from_when_they_came(tmp_path: Path) -> None:
    """Two minutes in, the labels of the first answers have arrived and those of later ones have not."""
    site = written(tmp_path)
    timeline = read_timeline(Folder(site.runtime / PREDICTIONS), "churn", SPEC, SALT, tuple(ARMS))
    counts = []
    for seconds in (60, 180, 299):
        (data,) = timeline.data(state().steps[:1], seconds, at(seconds).timestamp())
        counts.append(sum(len(arm.losses) for arm in data.arms.values()))
        assert sum(arm.requests for arm in data.arms.values()) == sum(n % 7 != 6 for n in range(seconds))
    assert counts[0] == 0 < counts[1] < counts[2]


def test_each_step_is_decided_again(tmp_path: Path) -> None:
    """It tells the first look at which the strategy moves, what was decided then, and stops where it now ends."""
    site = written(tmp_path)
    timeline = read_timeline(Folder(site.runtime / PREDICTIONS), "churn", SPEC, SALT, tuple(ARMS))
    made = (
        Decision("advance", 1, "", "2026-05-01T00:05:00Z", "enough", (), "", ""),
        Decision("promote", 2, "", "2026-05-01T00:10:00Z", "better", (), "", ""),
    )
    plan = Plugin(type="canary", params={})
    recorded = Recorded(
        "x", ARMS, SALT, plan, False, state().steps, made, "succeeded", "better", "2026-05-01T00:10:00Z"
    )

    def strategy(limit: int) -> object:
        def next_step(seen: Progress) -> Step:
            asked = sum(arm.requests for arm in seen.steps[-1].arms.values())
            if asked < limit:
                return Step("hold", seen.step, STEP, f"{asked} of {limit}")
            return Step("promote" if seen.step > 1 else "advance", seen.step + 1, STEP, "enough")

        return next_step

    looks = list(decide_again(recorded, timeline, strategy(100), 25, at(10_000)))  # type: ignore[arg-type]
    assert [(each.again.action, each.again.requests, each.same) for each in looks] == [
        ("advance", 125, True),
        ("promote", 125, True),
    ]
    never = list(decide_again(recorded, timeline, strategy(9999), 25, at(10_000)))  # type: ignore[arg-type]
    assert [(each.again.action, each.same) for each in never] == [("hold", False), ("hold", False)]
    at_once = list(decide_again(recorded, timeline, lambda _: Step("keep", 1, STEP, "no"), 25, at(10_000)))
    assert [(each.again.action, each.same) for each in at_once] == [("keep", False)]


def test_what_an_arm_would_have_earned_alone(tmp_path: Path) -> None:
    """All three estimators find the arms' own rewards, whatever share of the traffic each had."""
    site = written(tmp_path, 3000)
    found = values_of_arms(Folder(site.runtime / PREDICTIONS), "churn", SPEC, SALT, tuple(ARMS), "outcome")
    assert [value.arm for value in found] == list(ARMS)
    for value, truth in zip(found, (0.3, 0.6, 0.1), strict=True):
        for estimate in (value.ips, value.snips, value.doubly_robust):
            assert estimate.lower < estimate.value < estimate.upper
            assert abs(estimate.value - truth) < 0.12, (value.arm, estimate)
    assert values_of_arms(Folder(site.runtime / PREDICTIONS), "churn", SPEC, "feed", tuple(ARMS), "outcome") == []


def test_a_rollout_is_read_back_as_it_was_written() -> None:
    """Also the order of its arms survives files that sort their keys."""
    arms = arms_in_order(1, 2, (30, 4))
    assert list(arms) == ["stable", "candidate", "challenger-4", "challenger-30"]
    step = StepState(Traffic(dict.fromkeys(arms, 0.25)), "2026-05-01T00:00:00Z")
    before = replace(
        state(), arms=arms, steps=(step,), decisions=(decision("begin", None, "it begins", (), None, START),)
    )
    again = from_plain(json.loads(json.dumps(to_plain(before), sort_keys=True)))
    assert again == before
    assert list(again.arms) == list(arms)


def test_a_rollout_of_0_1_0_is_read_by_todays_numbers() -> None:
    """That version counted steps from 0 and did not say so; today they count from 1, and what is written says so."""
    old = json.loads((Path(__file__).parent / "rollouts-0.1.0" / "churn.json").read_text(encoding="utf-8"))
    assert [each["step"] for each in old["decisions"]] == [0, 0, 1, 2]
    read = from_plain(old)
    assert read.step == len(read.steps) == 3
    assert [(each.action, each.step) for each in read.decisions] == [
        ("begin", 0), ("advance", 1), ("advance", 2), ("promote", 3),
    ]  # fmt: skip
    written = json.loads(json.dumps(to_plain(read)))
    assert written["firstStep"] == 1
    assert from_plain(written) == read
    assert from_plain({**json.loads(json.dumps(course(read))), "arms": read.arms, "salt": read.salt, "failed": ()}) == (
        replace(read, outcome=None)
    )


@pytest.mark.parametrize("step", [1, 2, 7])
def test_what_a_strategy_draws_did_not_change_with_the_numbers(step: int) -> None:
    """A rollout that 0.1.0 began draws in each step what it would have drawn there, so that it replays the same."""
    assert seed_of(SALT, step) == int(SALT, 16) + (step - 1)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("firstStep",), 2),
        (("firstStep",), "1"),
        (("steps", 0, "traffic", "weights", "candidate"), 0.9),
        (("steps", 0, "traffic", "weights", "candidate"), "1"),
        (("steps", 0, "traffic", "weights", "other"), 0.0),
        (("steps", 0, "started"), "yesterday"),
        (("steps",), []),
        (("outcome",), "win"),
        (("winner",), "challenger-9"),
        (("salt",), "salt"),
        (("arms",), {}),
    ],
)
def test_an_edited_state_counts_as_forgotten(tmp_path: Path, path: tuple[Any, ...], value: object) -> None:
    """What does not fit is no state, so that the rollout begins again; it stops neither the model nor the others."""
    site = Site("production", tmp_path, Address(f"oci-layout:{tmp_path}"))
    write_rollout(site, "churn", state())
    assert read_rollout(site, "churn") == state()
    (file,) = (tmp_path / "rollouts").iterdir()
    data = json.loads(file.read_text())
    here = data
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    file.write_text(json.dumps(data))
    assert read_rollout(site, "churn") is None


def test_a_replay_says_what_the_log_no_longer_holds(tmp_path: Path) -> None:
    """A rollout that began before the log's first day is not replayed whole."""
    site = written(tmp_path, 50)
    plan = Plugin(type="canary", params={})
    recorded = Recorded("x", ARMS, SALT, plan, False, state().steps, (), None, "", None)
    assert dropped(Folder(site.runtime / PREDICTIONS), recorded) == ""
    early = replace(recorded, steps=(replace(state().steps[0], started="2026-04-30T23:00:00Z"),))
    assert "begins on 2026-05-01, and the rollout began" in dropped(Folder(site.runtime / PREDICTIONS), early)
    assert "holds nothing" in dropped(Folder(tmp_path / "nowhere"), recorded)


def test_outcomes_by_task(tmp_path: Path) -> None:
    """The positive class is 1, a regression its value, and a class that is no number is none."""
    assert outcomes(SPEC, ["yes", "no", "true"]).tolist() == [1, 0, 0]
    assert outcomes(SPEC.model_copy(update={"task": "regression"}), ["1.5", "-2"]).tolist() == [1.5, -2]
    multi = outcomes(SPEC.model_copy(update={"task": "multiclass-classification"}), ["2", "red"])
    assert multi[0] == 2
    assert np.isnan(multi[1])
    site = written(tmp_path, 50)
    rows = arm_rows(site.runtime / PREDICTIONS, "churn", SALT, objective_ms=20)
    data = arm_data(SPEC, rows[1, "stable"])
    assert len(data.losses) == len(data.outcomes) == len(data.units)


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("alpha=0.01", {"alpha": 0.01, "steps": [{"weight": 0.3}]}),
        ("params.steps[0].weight=0.5", {"steps": [{"weight": 0.5}]}),
        ("errors.maximumRatio=2", {"steps": [{"weight": 0.3}], "errors": {"maximumRatio": 2}}),
        ("onDeadline=rollback", {"steps": [{"weight": 0.3}], "onDeadline": "rollback"}),
    ],
)
def test_parameters_are_changed_by_path(change: str, value: dict[str, object]) -> None:
    """A path names a place in the parameters; the rollout's own stay as they are."""
    before = Plugin(type="canary", params={"steps": [{"weight": 0.3}]})  # type: ignore[dict-item]
    assert changed(before, [change]).params == value
    assert before.params == {"steps": [{"weight": 0.3}]}
    assert replace(state(), outcome="keep").reason == ""
