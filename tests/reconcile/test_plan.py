"""The plan of an environment: a pure function of facts."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.errors import Location
from modelops.reconcile.actions import (
    Blocked,
    Conclude,
    Judge,
    RecordPromotion,
    Restore,
    Serve,
    SetStep,
    Wait,
    describe,
    to_dict,
)
from modelops.reconcile.concluding import conclusion_branch
from modelops.reconcile.plan import (
    Asked,
    ModelFacts,
    Refusal,
    Unrecorded,
    plan_environment,
    route,
    salt,
)
from modelops.reconcile.rollout import RolloutState, StepState
from modelops.spec.meta import Plugin
from modelops.spec.model import Serving
from modelops.spec.routing import RoutingTable
from modelops.strategies import ArmData, Check, Progress, Segment, Step, Traffic
from modelops.targets import Observed, ObservedArm

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NONE = np.empty(0)
ARM = ArmData(100, 0, 0, NONE, NONE)


def share(candidate: float) -> Traffic:
    return Traffic({"stable": 1 - candidate, "candidate": candidate})


PROGRESS = Progress(0, NOW, NOW, (Segment(0, share(0.05), {"stable": ARM, "candidate": ARM}),))
IDLE = Observed(False, None, None, (), "no server was started yet")


def digest(table: RoutingTable) -> str:
    return "sha256:" + hashlib.sha256(table.model_dump_json().encode()).hexdigest()


def facts(**changes: object) -> ModelFacts:
    values: dict[str, object] = {
        "model": "churn",
        "environment": "production",
        "where": Location("models/churn/environments/production.yaml", 6, 3),
        "serving": Serving(entity="customer"),
        "stable": 1,
        "candidate": None,
        "denied": (),
        "digests": {n: "sha256:" + str(n) * 64 for n in range(1, 10)},
        "begin": share(0.05),
    }
    return ModelFacts(**{**values, **changes})  # type: ignore[arg-type]


def answering(*models: ModelFacts) -> Observed:
    """Return a runtime that answers with the routes that the facts call for."""
    routes = {each.model: found for each in models if (found := route(each)) is not None}
    table = RoutingTable(environment="production", models=routes)
    return Observed(True, "http://127.0.0.1:1", digest(table), ())


def entries(each: ModelFacts, observed: Observed | None = None) -> list[object]:
    return list(plan_environment("production", (each,), observed or answering(each), digest).entries)


def on_trial(step: Step | None = None, **changes: object) -> ModelFacts:
    found = facts(candidate=2, progress=PROGRESS, next_step=lambda progress: step, **changes)
    steps = (StepState(share(0.05), "2026-05-01T00:00:00Z"),)
    return replace(found, rollout=RolloutState({"stable": 1, "candidate": 2}, salt(found), steps))


def test_nothing_to_do_when_the_world_matches_git() -> None:
    """A runtime that answers with the stable release needs no action."""
    assert entries(facts()) == []


def test_nothing_deployed_needs_no_server() -> None:
    """An environment without releases starts nothing."""
    assert entries(facts(stable=None), IDLE) == []


def test_a_dead_runtime_is_started() -> None:
    """The stable release is served when nothing answers."""
    (entry,) = entries(facts(), IDLE)
    assert isinstance(entry, Serve)
    assert [(arm.name, arm.release, arm.weight) for arm in entry.table.models["churn"].arms] == [("stable", 1, 1.0)]


def test_a_first_release_becomes_stable_once_it_answers() -> None:
    """Without a stable release the candidate is served first and concluded after it answers."""
    first = facts(stable=None, candidate=1)
    (serve,) = entries(first, IDLE)
    assert isinstance(serve, Serve)
    (conclude,) = entries(first)
    assert isinstance(conclude, Conclude)
    assert (conclude.outcome, conclude.release, conclude.arms) == ("promote", 1, {"candidate": 1})


def test_a_candidate_gets_no_traffic_before_its_rollout_begins() -> None:
    """The first entry of a rollout remembers the step; only then does the table change."""
    before = facts(candidate=2)
    (begin,) = entries(before)
    assert isinstance(begin, SetStep)
    assert (begin.step, begin.traffic) == (0, share(0.05))
    (serve,) = entries(on_trial(), answering(before))
    assert isinstance(serve, Serve)
    assert [arm.weight for arm in serve.table.models["churn"].arms] == [0.95, 0.05]


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Step("hold", 0, share(0.05), "12 of 200 requests"), Wait),
        (Step("advance", 1, share(0.25), "enough"), SetStep),
        (Step("promote", 3, share(1.0), "all steps passed"), Judge),
        (Step("rollback", 0, share(0.0), "errors", (Check("errors", "fail", "11 of 12"),)), Judge),
    ],
)
def test_the_strategy_decides_the_next_entry(step: Step, kind: type) -> None:
    """Each answer of a strategy leads to one entry."""
    (entry,) = entries(on_trial(step))
    assert isinstance(entry, kind)


def test_a_failed_candidate_loses_its_traffic_before_the_commit() -> None:
    """After a rollback is decided the table without the candidate comes first, the commit second."""
    decided = on_trial()
    assert decided.rollout is not None
    decided = replace(decided, rollout=replace(decided.rollout, outcome="rollback"))
    (serve,) = entries(decided, answering(on_trial()))
    assert isinstance(serve, Serve)
    assert [arm.release for arm in serve.table.models["churn"].arms] == [1]
    (conclude,) = entries(decided)
    assert isinstance(conclude, Conclude)
    assert conclude.outcome == "rollback"


def test_a_plan_that_holds_on_failure_blocks_instead_of_rolling_back() -> None:
    """onFailure: hold leaves the traffic where it is and says what to do."""
    (entry,) = entries(on_trial(Step("rollback", 0, share(0.0), "errors"), on_failure="hold"))
    assert isinstance(entry, Blocked)
    assert entry.code == "rollout-held"


def test_a_direct_environment_takes_the_candidate_once_it_answers() -> None:
    """rollout: direct needs no traffic."""
    direct = facts(candidate=2, direct=True)
    (entry,) = entries(direct)
    assert isinstance(entry, Conclude)
    assert (entry.arms, entry.release, entry.outcome) == ({"stable": 1, "candidate": 2}, 2, "promote")


@pytest.mark.parametrize("kind", ["refused", "unrecorded", "lost"])
def test_a_candidate_that_may_not_run_gets_no_traffic(kind: str) -> None:
    """Refused, unrecorded and lost candidates leave the stable release alone in the table."""
    trouble: dict[str, object] = {
        "refused": {"refusals": (Refusal("candidate", "gates-not-passed", "a gate failed", "promote another"),)},
        "unrecorded": {"unrecorded": (Unrecorded("candidate", 2, "c" * 40),)},
        "lost": {"lost": (2,)},
    }[kind]
    found = facts(candidate=2, **trouble)
    wanted = {"refused": Blocked, "unrecorded": RecordPromotion, "lost": Restore}[kind]
    (entry,) = entries(found)
    assert isinstance(entry, wanted)
    assert [arm.release for arm in route(found).arms] == [1]  # type: ignore[union-attr]


def test_a_refused_stable_release_leaves_what_runs_alone() -> None:
    """Nothing is taken down and nothing unproven is put up."""
    running = route(facts(stable=1))
    bad = facts(stable=2, running=running, refusals=(Refusal("stable", "signature-invalid", "x", "y"),))
    assert route(bad) == running
    assert [type(entry) for entry in entries(bad, answering(facts(stable=1)))] == [Blocked]


def test_a_model_held_by_another_reconciler_waits_and_freezes_the_table() -> None:
    """The shared routing table is not written while another reconciler works on one of its models."""
    held = entries(facts(held_by="process 7 on here"), IDLE)
    assert [type(entry) for entry in held] == [Wait]


def test_a_rollout_never_shares_a_salt() -> None:
    """Arms, how often they were named and the plan count; what is denied beside them restarts nothing."""
    plan = Plugin(type="canary", params={"steps": []})
    other = Plugin(type="canary", params={"steps": [], "alpha": 0.01})
    changes: list[dict[str, object]] = [{}, {"candidate": 2}, {"candidate": 3}, {"candidate": 2, "challengers": (3,)}]
    changes += [{"candidate": 2, "times": 1}, {"candidate": 2, "strategy": plan}, {"candidate": 2, "strategy": other}]
    assert len({salt(facts(**change)) for change in changes}) == len(changes)
    assert salt(facts(candidate=2)) == salt(facts(candidate=2, denied=(4,)))


def not_loading(each: ModelFacts, release: int, role: str) -> Observed:
    """Return a runtime that could not load a release; it keeps the routes it had unless it had none."""
    arm = ObservedArm("churn", role, release, each.digests[release], False, "an operator is missing")
    first = each.stable is None or role == "stable"
    return replace(answering(each if first else facts()), arms=(arm,))


def test_a_candidate_that_does_not_load_is_rolled_back() -> None:
    """A candidate that the runtime cannot load loses its trial; with onFailure: hold a person decides."""
    trial = on_trial()
    serve, judge = entries(trial, not_loading(trial, 2, "candidate"))
    assert isinstance(serve, Serve)
    assert isinstance(judge, Judge)
    assert (judge.outcome, judge.reason) == ("rollback", "the runtime cannot load release 2: an operator is missing")
    held = on_trial(on_failure="hold")
    assert [type(entry) for entry in entries(held, not_loading(held, 2, "candidate"))] == [Serve, Blocked]


@pytest.mark.parametrize("changes", [{"stable": None, "candidate": 2}, {"candidate": 2, "direct": True}])
def test_what_does_not_load_does_not_become_stable(changes: dict[str, object]) -> None:
    """Without traffic to judge by, a release that does not answer its smoke rows is not concluded."""
    first = facts(**changes)
    (entry,) = [one for one in entries(first, not_loading(first, 2, "candidate")) if not isinstance(one, Serve)]
    assert isinstance(entry, Blocked)
    assert entry.code == "release-not-loaded"


def test_a_stable_release_that_does_not_load_is_said() -> None:
    """A runtime that came up without the stable release is not ready."""
    (entry,) = entries(facts(), not_loading(facts(), 1, "stable"))
    assert isinstance(entry, Blocked)
    assert (entry.code, "modelops rollback churn" in entry.hint) == ("release-not-loaded", True)


def test_a_stuck_model_holds_up_no_other() -> None:
    """What could not be prepared for one model leaves the runtime to the others."""
    stuck = facts(model="ads", candidate=2, unrecorded=(Unrecorded("candidate", 2, "c" * 40),))
    waiting = plan_environment("production", (stuck, facts()), IDLE, digest)
    assert [type(entry) for entry in waiting.entries] == [RecordPromotion]
    going = plan_environment("production", (stuck, facts()), IDLE, digest, {"ads"})
    assert [type(entry) for entry in going.entries] == [RecordPromotion, Serve]


def test_nothing_is_restored_for_what_may_not_run() -> None:
    """A refused candidate whose artifact is lost is not rebuilt."""
    refusal = Refusal("candidate", "approval-missing", "nobody approved", "ask somebody")
    assert [type(entry) for entry in entries(facts(candidate=2, lost=(2,), refusals=(refusal,)))] == [Blocked]


FACTS = st.builds(
    facts,
    stable=st.one_of(st.none(), st.integers(1, 9)),
    candidate=st.one_of(st.none(), st.integers(1, 9)),
    denied=st.lists(st.integers(1, 9), max_size=2, unique=True).map(tuple),
    lost=st.lists(st.integers(1, 9), max_size=1).map(tuple),
    direct=st.booleans(),
    unrecorded=st.sampled_from([(), (Unrecorded("candidate", 2, "c" * 40),)]),
)


@given(FACTS)
def test_equal_facts_give_equal_plan_bytes(each: ModelFacts) -> None:
    """Planning twice gives the same digest, and every entry can be told and written down."""
    one = plan_environment("production", (each,), IDLE, digest)
    two = plan_environment("production", (each,), IDLE, digest)
    assert one.digest == two.digest
    assert all(describe(entry) and to_dict(entry)["action"] for entry in one.entries)


@given(FACTS)
def test_an_unrecorded_candidate_is_never_in_the_table(each: ModelFacts) -> None:
    """No facts whatever route traffic to a candidate whose promotion is not recorded."""
    found = route(each)
    if each.unrecorded and found is not None and each.candidate is not None:
        assert all(arm.name != "candidate" for arm in found.arms)


CHALLENGED = Traffic({"stable": 0.5, "candidate": 0.25, "challenger-3": 0.25})


def challenged(step: Step | None = None, **changes: object) -> ModelFacts:
    """Return a rollout with a challenger, in its first step."""
    found = facts(
        candidate=2, challengers=(3,), begin=CHALLENGED, progress=PROGRESS, next_step=lambda _: step, **changes
    )
    state = RolloutState(dict(found.arms), salt(found), (StepState(CHALLENGED, "2026-05-01T00:00:00Z"),))
    return replace(found, rollout=state)


def test_an_eviction_keeps_the_salt_and_denies_at_the_end() -> None:
    """Taking an arm out moves only its own entities; the release is denied when the rollout ends, whoever wins."""
    without = Traffic({"stable": 0.5, "candidate": 0.5, "challenger-3": 0.0})
    before = challenged(Step("advance", 1, without, "release 3 fails", failed=("challenger-3",)))
    (move,) = entries(before)
    assert isinstance(move, SetStep)
    assert before.rollout is not None
    steps = (*before.rollout.steps, StepState(without, "2026-05-01T01:00:00Z"))
    after = replace(before, rollout=replace(before.rollout, steps=steps))
    routes = route(before), route(after)
    assert routes[0] is not None
    assert routes[1] is not None
    assert routes[0].salt == routes[1].salt
    assert [arm.weight for arm in routes[1].arms] == [0.5, 0.5, 0.0]
    ends = replace(after, next_step=lambda _: Step("promote", 1, without, "better", failed=("challenger-3",)))
    (judge,) = entries(ends)
    assert isinstance(judge, Judge)
    assert (judge.winner, judge.failed) == ("candidate", ("challenger-3",))


def test_an_eviction_is_left_to_a_person_where_the_plan_holds() -> None:
    """With onFailure: hold no traffic moves when an arm of several fails."""
    without = Traffic({"stable": 0.5, "candidate": 0.5, "challenger-3": 0.0})
    step = Step("advance", 1, without, "release 3 fails", failed=("challenger-3",))
    (held,) = entries(challenged(step, on_failure="hold"))
    assert isinstance(held, Blocked)
    assert "release 3 failed" in held.reason


@pytest.mark.parametrize("paused", [False, True])
def test_an_arm_that_fails_while_a_person_is_asked_is_taken_out(paused: bool) -> None:
    """The rollout goes on without it, and the pull request is another one."""
    without = Traffic({"stable": 0.5, "candidate": 0.5, "challenger-3": 0.0})
    step = Step("advance", 1, without, "release 3 fails", failed=("challenger-3",))
    before = challenged(step, on_success="pull-request", asked=Asked(7, "open"), paused=paused)
    assert before.rollout is not None
    asked = replace(before.rollout, outcome="promote", winner="challenger-3")
    (move,) = entries(replace(before, rollout=asked))
    assert isinstance(move, SetStep)
    after = replace(asked, steps=(*asked.steps, StepState(without, "2026-05-01T01:00:00Z")))
    branches = {conclusion_branch("churn", "production", asked.salt, state) for state in (asked, after)}
    assert len(branches) == 2


def test_a_paused_success_waits_for_the_runtime() -> None:
    """A pause is said also while the runtime does not answer with the present routes."""
    decided = on_trial(paused=True)
    assert decided.rollout is not None
    found = replace(decided, rollout=replace(decided.rollout, outcome="promote"))
    assert [type(entry) for entry in entries(found, IDLE)] == [Serve, Wait]


def test_a_shadow_is_loaded_and_answers_nobody() -> None:
    """Its route has no weight and the share of copies."""
    shadow = Traffic({"stable": 1.0}, {"candidate": 0.5})
    found = on_trial()
    assert found.rollout is not None
    found = replace(found, rollout=replace(found.rollout, steps=(StepState(shadow, "2026-05-01T00:00:00Z"),)))
    table = route(found)
    assert table is not None
    assert [(arm.name, arm.weight, arm.shadow) for arm in table.arms] == [("stable", 1.0, 0.0), ("candidate", 0.0, 0.5)]


def test_a_pause_keeps_a_decided_success_waiting() -> None:
    """Whatever is decided, a paused rollout neither begins, nor moves on, nor ends well."""
    steps = [Step(word, 1, share(0.1), "enough") for word in ("advance", "promote", "keep", "smoke")]  # type: ignore[arg-type]
    decided = on_trial(Step("hold", 0, share(0.05), "more"), paused=True)
    assert decided.rollout is not None
    waiting = [on_trial(step, paused=True) for step in steps]
    waiting += [replace(decided, rollout=replace(decided.rollout, outcome="promote")), facts(candidate=2, paused=True)]
    waiting += [facts(stable=None, candidate=2, paused=True), facts(candidate=2, direct=True, paused=True)]
    for each in waiting:
        (entry,) = entries(each)
        assert isinstance(entry, Wait)
        assert "paused" in entry.reason


def test_harm_overrules_a_success_that_waits_for_a_person() -> None:
    """While the pull request is open the judge goes on."""
    harm = on_trial(Step("rollback", 0, share(0.0), "errors", failed=("candidate",)), on_success="pull-request")
    assert harm.rollout is not None
    waits = replace(harm, rollout=replace(harm.rollout, outcome="promote"), asked=Asked(7, "open"))
    (entry,) = entries(waits)
    assert isinstance(entry, Judge)
    assert (entry.outcome, entry.failed) == ("rollback", ("candidate",))


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (None, Conclude),
        (Asked(7, "open"), Wait),
        (Asked(7, "open", stale=True), Conclude),
        (Asked(7, "merged"), Wait),
        (Asked(0, "unknown"), Wait),
        (Asked(7, "closed"), Blocked),
    ],
)
def test_a_success_asks_once(asked: Asked | None, kind: type) -> None:
    """One pull request, written again only when it could no longer be merged."""
    found = on_trial(Step("hold", 0, share(0.05), "more"), on_success="pull-request", asked=asked)
    assert found.rollout is not None
    (entry,) = entries(replace(found, rollout=replace(found.rollout, outcome="promote")))
    assert isinstance(entry, kind)
    assert not isinstance(entry, Conclude) or entry.asks


def test_what_was_denied_leaves_even_while_stable_cannot_be_put_up() -> None:
    """The routes that run go on without the withdrawn candidate."""
    running = route(on_trial())
    aborted = facts(denied=(2,), running=running, lost=(1,))
    found = route(aborted)
    assert found is not None
    assert [(arm.name, arm.weight) for arm in found.arms] == [("stable", 1.0)]


def test_a_paused_rollout_still_drops_an_arm_that_harms() -> None:
    """Pausing holds what goes forward, not what gets users out of harm's way."""
    forward = Step("advance", 1, share(0.25), "enough")
    (held,) = entries(on_trial(forward, paused=True))
    assert isinstance(held, Wait)
    (moved,) = entries(on_trial(replace(forward, failed=("challenger-3",)), paused=True))
    assert isinstance(moved, SetStep)
