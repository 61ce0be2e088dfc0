"""What simulation promises: the strategy's own decisions, traffic as the server would split it, and the same again."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from modelops import plugins
from modelops.rollouts.simulation import START, Run, Simulation, World, one_run, simulate
from modelops.rollouts.worlds import Crowd, Shape, Truth
from modelops.serving.assignment import assign
from modelops.strategies import Step, Traffic
from modelops.strategies._spread import spread
from strategies.test_strategies_conformance import EXAMPLES

CANARY = {
    "steps": [{"weight": 0.2, "minRequests": 200}, {"weight": 0.5, "minRequests": 400, "deadlineMinutes": 600}],
    "scores": None,
    "slow": None,
}


def canary():
    module = plugins.load("strategies", "canary")
    return module, module.Params.model_validate_json(json.dumps(CANARY))


def world(errors: float = 0.01, **more) -> World:
    settings = {"requests_per_hour": 6000.0, "every": 2.0, "until": 120.0} | more
    return World(arms={"stable": Truth(errors=0.01), "candidate": Truth(errors=errors)}, **settings)


class Recorder:
    """A strategy that writes down what it is shown, and steps when it is told to."""

    ARMS = (2, 8)

    def __init__(self, *planned: Step) -> None:
        self.planned, self.seen = list(planned), []

    def begin(self, params, arms) -> Traffic:
        return Traffic({"stable": 0.5, "candidate": 0.5})

    def next_step(self, params, progress) -> Step:
        self.seen.append(progress)
        held = Step("hold", progress.step, progress.steps[-1].traffic, "")
        return self.planned.pop(0) if self.planned else held


def recorded(*planned: Step, seed: int = 0, **more):
    recorder = Recorder(*planned)
    run = one_run(recorder, None, world(**more), np.random.SeedSequence(seed))
    return recorder.seen, run


def test_a_good_candidate_is_promoted_and_a_harmful_one_rolled_back():
    """The plan's own guards and steps decide, and the path of the weight is that of its steps."""
    _, params = canary()
    good = simulate("canary", params, world(0.01), runs=20, seed=1)
    assert good.rate("promote").count == 20
    assert all([share for _, share in run.path] == [0.2, 0.5, 1.0] for run in good.runs)
    harmful = simulate("canary", params, world(0.2), runs=20, seed=1)
    assert harmful.rate("rollback").count == 20
    assert all(run.path[-1][1] == 0.0 for run in harmful.runs)
    assert harmful.quantile("bad", 0.5) > 10 * abs(good.quantile("bad", 0.5) or 0.1)


def test_what_a_guard_held_stays_where_it_was():
    """onFailure: hold leaves the traffic to a person, who does not come: nothing moves, and harm goes on to count."""
    _, params = canary()
    found = simulate("canary", params, world(0.2, on_failure="hold"), runs=20, seed=1)
    back = simulate("canary", params, world(0.2), runs=20, seed=1)
    assert found.rate("held").count == back.rate("rollback").count == 20
    for held, rolled in zip(found.runs, back.runs, strict=True):
        assert (held.minutes, held.path) == (rolled.minutes, rolled.path[:-1])
        assert held.bad > rolled.bad
        assert held.why.startswith("a guard failed: ")
    assert sum(count for count, _ in found.waits) == 20
    _, ended, _ = found.timeline()
    assert ended["held"][-1] == 1.0
    quiet = simulate("canary", params, world(0.01, on_failure="hold"), runs=20, seed=1)
    assert quiet.rate("promote").count == 20


@pytest.mark.slow
def test_the_same_seed_is_the_same_result_in_any_number_of_processes():
    """Runs have seeds of their own, and another seed gives other runs."""
    _, params = canary()
    few = world(0.05, until=40.0)
    alone, shared = (simulate("canary", params, few, runs=80, seed=3, processes=n) for n in (1, 2))
    assert alone.runs == shared.runs
    assert simulate("canary", params, few, runs=80, seed=4, processes=1).runs != alone.runs


def test_requests_are_split_by_the_weights_and_fail_at_the_true_rates():
    """Over a long hold the counts that the strategy sees are those of the world."""
    seen, run = recorded(errors=0.1, until=240.0)
    stable, candidate = (seen[-1].steps[0].arm(arm) for arm in ("stable", "candidate"))
    assert run.end == "hold"
    assert run.requests == stable.requests + candidate.requests == pytest.approx(24_000, rel=0.03)
    assert candidate.requests / run.requests == pytest.approx(0.5, abs=0.02)
    assert candidate.errors / candidate.requests == pytest.approx(0.1, abs=0.02)
    assert run.bad == pytest.approx(0.09 * candidate.requests, rel=0.1)
    assert seen[-1].now == START.replace(hour=4, tzinfo=UTC)
    answered = candidate.requests - candidate.errors
    assert len(candidate.losses) == len(candidate.outcomes) == len(candidate.units) == answered


def test_labels_come_late_and_in_the_step_that_asked():
    """Before the delay no label is seen; afterwards those of a past step go on arriving in that step."""
    forward = Step("advance", 2, Traffic({"stable": 0.0, "candidate": 1.0}), "")
    hold = Step("hold", 1, Traffic({}), "")
    seen, _ = recorded(hold, hold, forward, label_delay=10.0, until=16.0, labelled=0.5)
    counts = [[len(data.arm("stable").losses) for data in progress.steps] for progress in seen]
    assert [count[0] for count in counts[:5]] == [0] * 5
    assert counts[5][0] < counts[6][0] < counts[7][0] == pytest.approx(150, rel=0.4)
    assert counts[7][1] == 0


def test_entities_stick_to_their_arm_and_move_only_into_the_arm_that_grew():
    """A repeat visit is answered by the same arm, and the units say who it was."""
    forward = Step("advance", 2, Traffic({"stable": 0.3, "candidate": 0.7}), "")
    seen, _ = recorded(*[Step("hold", 1, Traffic({}), "")] * 20, forward, entities=300, until=100.0)
    first, second = seen[-1].steps
    before = {arm: set(first.arm(arm).units) for arm in ("stable", "candidate")}
    after = {arm: set(second.arm(arm).units) for arm in ("stable", "candidate")}
    assert not before["stable"] & before["candidate"]
    assert before["candidate"] <= after["candidate"]
    assert first.arm("stable").entities == len(before["stable"])


def test_entities_are_split_like_the_server_splits_them():
    """The draw that replaces the hash gives the same shares, and as many who move when the weights change."""
    names, many = ("stable", "candidate", "challenger-5"), 20_000
    generator = np.random.default_rng(np.random.SeedSequence(2))
    crowd = Crowd(dict.fromkeys(names, Truth()), many, Shape(), generator)
    weights = [dict(zip(names, shares, strict=True)) for shares in ((0.8, 0.1, 0.1), (0.5, 0.4, 0.1))]
    drawn, hashed = [], []
    for shares in weights:
        crowd.assign(Traffic(shares))
        drawn.append([names[place] for place in crowd.chosen])
        hashed.append([assign("salt", shares.items(), str(entity)) for entity in range(many)])
    for pair in (drawn, hashed):
        for arm in names:
            assert Counter(pair[1])[arm] / many == pytest.approx(weights[1][arm], abs=0.015)
    moved = [sum(a != b for a, b in zip(*pair, strict=True)) / many for pair in (drawn, hashed)]
    assert moved[0] == pytest.approx(moved[1], abs=0.015)


def test_smoke_requests_and_shadows_are_answered():
    """A strategy that asks for smoke requests gets their result at the next look; shadows answer copies."""
    traffic = Traffic({"stable": 1.0}, {"candidate": 0.5})
    seen, _ = recorded(Step("advance", 2, traffic, ""), Step("smoke", 2, traffic, "", requests=50), errors=1.0)
    assert seen[1].smoke is None
    assert (seen[2].smoke.requests, seen[2].smoke.errors) == (50, 50)
    pairs = seen[-1].steps[1].shadows["candidate"]
    assert pairs.pairs == pairs.errors == pytest.approx(0.5 * seen[-1].steps[1].arm("stable").requests, rel=0.1)
    assert seen[-1].steps[1].arm("candidate").requests == 0


def test_a_summary_counts_ends_with_their_intervals():
    """Shares have Wilson's interval, quantiles are of decided runs, and the timeline ends where the runs do."""
    path = ((0.0, 0.1), (10.0, 0.0))
    runs = [Run("rollback", "candidate", 10.0 + n, 100 + n, 1.0, 0.0, path) for n in range(30)]
    runs += [Run("hold", "", 100.0, 1000, 5.0, 0.0, ((0.0, 0.1),))] * 10
    found = Simulation(world(), tuple(runs))
    rate = found.rate("rollback")
    expected = proportion_confint(30, 40, alpha=0.05, method="wilson")
    assert (rate.share, rate.lower, rate.upper) == pytest.approx((0.75, *expected))
    assert found.quantile("minutes", 0.5) == 24.5
    assert found.quantile("minutes", 0.5, "promote") is None
    times, ended, weight = found.timeline(11)
    assert times[-1] == 100
    assert ended["rollback"][-1] == 0.75
    assert (weight[0], weight[-1]) == pytest.approx((0.1, 0.025))
    assert found.bad_requests[0] == 2.0


@pytest.mark.parametrize("key", plugins.keys("strategies"))
def test_every_strategy_on_the_shelf_can_be_simulated(key):
    """A better candidate that fails no more is never rolled back here, and one that fails often never promoted."""
    params = plugins.load("strategies", key).Params.model_validate_json(json.dumps(EXAMPLES[key]))
    for errors, end in ((0.001, "promote"), (0.4, "rollback")):
        arms = {
            "stable": Truth(errors=0.001),
            "candidate": Truth(errors=errors, outcome=0.2 if end == "promote" else 0.1),
        }
        found = simulate(key, params, World(6000.0, arms, every=5.0, until=600.0), runs=5, seed=6)
        assert found.rate(end).count == 5


# What traffic is like.


def last_seen(shape: Shape, seed: int = 1, **more):
    """Return what the strategy saw at the last look of a hold in a world."""
    settings = {"requests_per_hour": 6000.0, "every": 10.0, "until": 360.0, "shape": shape} | more
    alike = {"stable": Truth(errors=0.02), "candidate": Truth(errors=0.02)}
    recorder = Recorder()
    one_run(recorder, None, World(arms=alike, **settings), np.random.SeedSequence(seed))
    return recorder.seen[-1].steps[0]


def test_what_gathers_in_the_world_is_seen_by_the_design_effect():
    """Independent requests gather in nothing, runs in time, entities with rates of their own by entity."""
    even, runs = (
        np.median([spread("errors", [last_seen(shape, seed)], "candidate", "stable").total for seed in range(5)])
        for shape in (Shape(), Shape(bursts=10.0))
    )
    assert 1 <= even < 2
    assert 5 < runs < 40
    people = spread("errors", [last_seen(Shape(), entities=200)], "candidate", "stable")
    assert people.by_entity > 5


@pytest.mark.parametrize(("labels", "known"), [("all", (1.0, 1.0)), ("flagged", (0.0, 1.0)), ("unflagged", (1.0, 0.0))])
def test_labels_come_for_the_answers_that_the_world_says(labels, known):
    """What is answered 1 is flagged; by answer so many have a truth."""
    of = last_seen(Shape(labels=labels)).arm("candidate").by_answer
    assert [told / said for said, told in (of["0"], of["1"])] == list(known)


def test_a_day_an_outage_and_an_incident_strike_both_arms_alike():
    """The rate of errors rises by as much in both, and nothing gathers in the difference."""
    for shape in (Shape(day=9.0), Shape(outages=30.0), Shape(incident=20.0)):
        seen = last_seen(shape, until=720.0)
        rates = [seen.arm(name).errors / seen.arm(name).requests for name in ("stable", "candidate")]
        assert rates[0] == pytest.approx(rates[1], rel=0.25)
        assert spread("errors", [seen], "candidate", "stable").by_time < 3


def test_novelty_wears_off():
    """The arm on trial has half as many good outcomes more at first, and then as many as stable."""
    alike = {"stable": Truth(outcome=0.4), "candidate": Truth(outcome=0.4)}
    recorder = Recorder()
    world = World(6000.0, alike, every=60.0, until=480.0, shape=Shape(novelty=4.0))
    one_run(recorder, None, world, np.random.SeedSequence(3))
    values = recorder.seen[-1].steps[0].arm("candidate").outcomes
    assert values[: len(values) // 2].mean() == pytest.approx(0.6, abs=0.03)
    assert values[len(values) // 2 :].mean() == pytest.approx(0.4, abs=0.03)
