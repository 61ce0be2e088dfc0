"""The plan of an environment: a pure function of facts."""

from __future__ import annotations

import hashlib
from dataclasses import fields, replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelops.errors import Problem
from modelops.governance.endings import Asked, Conclude, conclusion_branch
from modelops.governance.promotions import Refusal, Unrecorded
from modelops.reconcile.actions import (
    Blocked,
    Hold,
    Judge,
    RecordPromotion,
    Restore,
    Serve,
    SetStep,
    Wait,
    describe,
    to_dict,
)
from modelops.reconcile.desired import Desired
from modelops.reconcile.facts import ModelFacts, Observed
from modelops.reconcile.plan import plan_environment, route
from modelops.rollouts.state import Decision, RolloutState, StepState
from modelops.spec.kinds.model import Serving
from modelops.spec.layout import Seat
from modelops.spec.meta import Plugin
from modelops.spec.routing import RoutingTable
from modelops.strategies import ArmData, Check, Progress, Step, StepData, Traffic
from modelops.targets import ObservedArm, Running

NOW = datetime(2026, 5, 1, tzinfo=UTC)
NONE = np.empty(0)
ARM = ArmData(100, 0, 0, NONE, NONE)


def share(candidate: float) -> Traffic:
    return Traffic({"stable": 1 - candidate, "candidate": candidate})


PROGRESS = Progress(1, NOW, NOW, (StepData(1, share(0.05), {"stable": ARM, "candidate": ARM}),))
REWRITTEN = Problem("branch-rewritten", "main was rewritten")
IDLE = Running(False, None, (), "no server was started yet")


def digest(table: RoutingTable) -> str:
    return "sha256:" + hashlib.sha256(table.model_dump_json().encode()).hexdigest()


def facts(**changes: object) -> ModelFacts:
    values: dict[str, object] = {
        "seat": Seat("churn", "production"),
        "serving": Serving(entity="customer"),
        "stable": 1,
        "candidate": None,
        "denied": (),
        "digests": {n: "sha256:" + str(n) * 64 for n in range(1, 10)},
        "begin": share(0.05),
    }
    said = {**values, **changes}
    git = {name: said.pop(name) for name in [*said] if name in {one.name for one in fields(Desired)}}
    world = {name: said.pop(name) for name in [*said] if name in {one.name for one in fields(Observed)}}
    return ModelFacts(Desired(**git), Observed(**world), **said)  # type: ignore[arg-type]


def but(found: ModelFacts, **changes: object) -> ModelFacts:
    """Return facts with some of what the world says replaced."""
    return replace(found, observed=replace(found.observed, **changes))  # type: ignore[arg-type]


def answering(*models: ModelFacts) -> Running:
    """Return a runtime that answers with the routes that the facts call for."""
    routes = {each.seat.model: found for each in models if (found := route(each)) is not None}
    table = RoutingTable(environment="production", models=routes)
    return Running(True, digest(table), ())


def entries(each: ModelFacts, observed: Running | None = None) -> list[object]:
    return list(plan_environment("production", (each,), observed or answering(each), digest).entries)


def on_trial(step: Step | None = None, **changes: object) -> ModelFacts:
    found = facts(candidate=2, progress=PROGRESS, step=step, **changes)
    steps = (StepState(share(0.05), "2026-05-01T00:00:00Z"),)
    return but(found, rollout=RolloutState({"stable": 1, "candidate": 2}, found.desired.salt, steps))


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
    assert (begin.step, begin.traffic) == (1, share(0.05))
    (serve,) = entries(on_trial(), answering(before))
    assert isinstance(serve, Serve)
    assert [arm.weight for arm in serve.table.models["churn"].arms] == [0.95, 0.05]


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Step("hold", 1, share(0.05), "12 of 200 requests"), Wait),
        (Step("advance", 2, share(0.25), "enough"), SetStep),
        (Step("promote", 4, share(1.0), "all steps passed"), Judge),
        (Step("rollback", 1, share(0.0), "errors", (Check("errors", "fail", "11 of 12"),)), Judge),
    ],
)
def test_the_strategy_decides_the_next_entry(step: Step, kind: type) -> None:
    """Each answer of a strategy leads to one entry."""
    (entry,) = entries(on_trial(step))
    assert isinstance(entry, kind)


def test_a_failed_candidate_loses_its_traffic_before_the_commit() -> None:
    """After a rollback is decided the table without the candidate comes first, the commit second."""
    decided = on_trial()
    assert decided.observed.rollout is not None
    decided = but(decided, rollout=replace(decided.observed.rollout, outcome="rollback"))
    (serve,) = entries(decided, answering(on_trial()))
    assert isinstance(serve, Serve)
    assert [arm.release for arm in serve.table.models["churn"].arms] == [1]
    (conclude,) = entries(decided)
    assert isinstance(conclude, Conclude)
    assert conclude.outcome == "rollback"


def test_a_plan_that_holds_on_failure_blocks_instead_of_rolling_back() -> None:
    """onFailure: hold leaves the traffic where it is, and the failure stays whatever a later look sees of it."""
    failed = on_trial(Step("rollback", 1, share(0.0), "errors"), on_failure="hold")
    (entry,) = entries(failed)
    assert (type(entry), entry.reason) == (Hold, "release 2 failed: errors")
    check = {"name": "errors", "arm": "candidate", "verdict": "fail", "reason": "errors"}
    made = Decision("hold", 1, "2026-05-01T00:00:00Z", "2026-05-01T00:10:00Z", entry.reason, (check,), "", "")
    later = on_trial(Step("advance", 2, share(0.25), "no evidence of harm"), on_failure="hold")
    assert later.observed.rollout is not None
    later = but(later, rollout=replace(later.observed.rollout, decisions=(made,)))
    (held,) = entries(later)
    assert (type(held), held.code) == (Blocked, "rollout-held")
    assert "release 2 failed: errors" in held.reason
    back = replace(later, desired=replace(later.desired, on_failure="rollback"))
    assert [(entry.outcome, entry.failed) for entry in entries(back)] == [("rollback", ("candidate",))]
    alerted = replace(later, desired=replace(later.desired, on_failure="alert"))
    assert [type(entry) for entry in entries(alerted)] == [SetStep]


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
    assert len({facts(**change).desired.salt for change in changes}) == len(changes)
    assert facts(candidate=2).desired.salt == facts(candidate=2, denied=(4,)).desired.salt


def not_loading(each: ModelFacts, release: int, role: str) -> Running:
    """Return a runtime that could not load a release; it keeps the routes it had unless it had none."""
    arm = ObservedArm("churn", role, release, each.desired.digests[release], False, "an operator is missing")
    first = each.desired.stable is None or role == "stable"
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
    stuck = facts(seat=Seat("ads", "production"), candidate=2, unrecorded=(Unrecorded("candidate", 2, "c" * 40),))
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
    if each.desired.unrecorded and found is not None and each.desired.candidate is not None:
        assert all(arm.name != "candidate" for arm in found.arms)


CHALLENGED = Traffic({"stable": 0.5, "candidate": 0.25, "challenger-3": 0.25})


def challenged(step: Step | None = None, **changes: object) -> ModelFacts:
    """Return a rollout with a challenger, in its first step."""
    found = facts(candidate=2, challengers=(3,), begin=CHALLENGED, progress=PROGRESS, step=step, **changes)
    state = RolloutState(dict(found.desired.arms), found.desired.salt, (StepState(CHALLENGED, "2026-05-01T00:00:00Z"),))
    return but(found, rollout=state)


def test_an_eviction_keeps_the_salt_and_denies_at_the_end() -> None:
    """Taking an arm out moves only its own entities; the release is denied when the rollout ends, whoever wins."""
    without = Traffic({"stable": 0.5, "candidate": 0.5, "challenger-3": 0.0})
    before = challenged(Step("advance", 2, without, "release 3 fails", failed=("challenger-3",)))
    (move,) = entries(before)
    assert isinstance(move, SetStep)
    assert before.observed.rollout is not None
    steps = (*before.observed.rollout.steps, StepState(without, "2026-05-01T01:00:00Z"))
    after = but(before, rollout=replace(before.observed.rollout, steps=steps))
    routes = route(before), route(after)
    assert routes[0] is not None
    assert routes[1] is not None
    assert routes[0].salt == routes[1].salt
    assert [arm.weight for arm in routes[1].arms] == [0.5, 0.5, 0.0]
    ends = but(after, step=Step("promote", 2, without, "better", failed=("challenger-3",)))
    (judge,) = entries(ends)
    assert isinstance(judge, Judge)
    assert (judge.winner, judge.failed) == ("candidate", ("challenger-3",))


def test_an_eviction_is_left_to_a_person_where_the_plan_holds() -> None:
    """With onFailure: hold no traffic moves when an arm of several fails."""
    without = Traffic({"stable": 0.5, "candidate": 0.5, "challenger-3": 0.0})
    step = Step("advance", 2, without, "release 3 fails", failed=("challenger-3",))
    (held,) = entries(challenged(step, on_failure="hold"))
    assert isinstance(held, Hold)
    assert "release 3 failed" in held.reason


@pytest.mark.parametrize("paused", [False, True])
def test_an_arm_that_fails_while_a_person_is_asked_is_taken_out(paused: bool) -> None:
    """The rollout goes on without it, and the pull request is another one."""
    without = Traffic({"stable": 0.5, "candidate": 0.5, "challenger-3": 0.0})
    step = Step("advance", 2, without, "release 3 fails", failed=("challenger-3",))
    before = challenged(step, on_success="pull-request", asked=Asked(7, "open"), paused=paused)
    assert before.observed.rollout is not None
    asked = replace(before.observed.rollout, outcome="promote", winner="challenger-3")
    (move,) = entries(but(before, rollout=asked))
    assert isinstance(move, SetStep)
    after = replace(asked, steps=(*asked.steps, StepState(without, "2026-05-01T01:00:00Z")))
    branches = {conclusion_branch(Seat("churn", "production"), asked.salt, state) for state in (asked, after)}
    assert len(branches) == 2


def test_a_paused_success_waits_for_the_runtime() -> None:
    """A pause is said also while the runtime does not answer with the present routes."""
    decided = on_trial(paused=True)
    assert decided.observed.rollout is not None
    found = but(decided, rollout=replace(decided.observed.rollout, outcome="promote"))
    assert [type(entry) for entry in entries(found, IDLE)] == [Serve, Wait]


def test_a_shadow_is_loaded_and_answers_nobody() -> None:
    """Its route has no weight and the share of copies."""
    shadow = Traffic({"stable": 1.0}, {"candidate": 0.5})
    found = on_trial()
    assert found.observed.rollout is not None
    found = but(found, rollout=replace(found.observed.rollout, steps=(StepState(shadow, "2026-05-01T00:00:00Z"),)))
    table = route(found)
    assert table is not None
    assert [(arm.name, arm.weight, arm.shadow) for arm in table.arms] == [("stable", 1.0, 0.0), ("candidate", 0.0, 0.5)]


def test_a_pause_keeps_a_decided_success_waiting() -> None:
    """Whatever is decided, a paused rollout neither begins, nor moves on, nor ends well."""
    steps = [Step(word, 2, share(0.1), "enough") for word in ("advance", "promote", "keep", "smoke")]  # type: ignore[arg-type]
    decided = on_trial(Step("hold", 1, share(0.05), "more"), paused=True)
    assert decided.observed.rollout is not None
    waiting = [on_trial(step, paused=True) for step in steps]
    waiting += [
        but(decided, rollout=replace(decided.observed.rollout, outcome="promote")),
        facts(candidate=2, paused=True),
    ]
    waiting += [facts(stable=None, candidate=2, paused=True), facts(candidate=2, direct=True, paused=True)]
    for each in waiting:
        (entry,) = entries(each)
        assert isinstance(entry, Wait)
        assert "paused" in entry.reason


def test_harm_overrules_a_success_that_waits_for_a_person() -> None:
    """While the pull request is open the judge goes on."""
    harm = on_trial(Step("rollback", 1, share(0.0), "errors", failed=("candidate",)), on_success="pull-request")
    assert harm.observed.rollout is not None
    waits = but(harm, rollout=replace(harm.observed.rollout, outcome="promote"), asked=Asked(7, "open"))
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
    found = on_trial(Step("hold", 1, share(0.05), "more"), on_success="pull-request", asked=asked)
    assert found.observed.rollout is not None
    (entry,) = entries(but(found, rollout=replace(found.observed.rollout, outcome="promote")))
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
    forward = Step("advance", 2, share(0.25), "enough")
    (held,) = entries(on_trial(forward, paused=True))
    assert isinstance(held, Wait)
    (moved,) = entries(on_trial(replace(forward, failed=("challenger-3",)), paused=True))
    assert isinstance(moved, SetStep)


def table_of(each: ModelFacts) -> dict[int, float] | None:
    found = route(each)
    return {arm.release: arm.weight for arm in found.arms} if found is not None else None


@pytest.mark.parametrize("stay", [{"frozen": True, "troubles": (REWRITTEN,)}, {"held_by": "process 7"}])
def test_a_denied_stable_release_gives_way_to_the_one_that_git_names(stay: dict[str, object]) -> None:
    """Frozen or held, what runs loses what is denied; only a release that may run takes its place."""
    running = route(facts(stable=2))
    assert table_of(facts(stable=2, running=running, **stay)) == {2: 1.0}
    back = facts(stable=1, denied=(2,), running=running, **stay)
    assert table_of(back) == {1: 1.0}
    assert not any(isinstance(entry, Blocked) and entry.code == "denied-still-runs" for entry in entries(back))
    for bar in (
        {"lost": (1,)},
        {"refusals": (Refusal("stable", "unapproved", "nobody", "ask"),)},
        {"unrecorded": (Unrecorded("stable", 1, "c" * 40, False),)},
        {"stable": None},
    ):
        kept = facts(**{"stable": 1, "denied": (2,), "running": running, **stay, **bar})
        assert table_of(kept) == {2: 1.0}
        assert "denied-still-runs" in [entry.code for entry in entries(kept) if isinstance(entry, Blocked)]


def test_a_held_model_loses_only_what_is_denied() -> None:
    """A trial that another reconciler runs goes on as it is, until its release is withdrawn."""
    running = route(on_trial())
    assert table_of(on_trial(held_by="process 7", running=running)) == {1: 0.95, 2: 0.05}
    assert table_of(facts(denied=(2,), held_by="process 7", running=running)) == {1: 1.0}


def test_a_way_back_waits_for_no_preparation() -> None:
    """What is denied or withdrawn goes before another model's record and rebuild; that model's routes wait for them."""
    before, other = on_trial(), facts(seat=Seat("other", "production"), stable=3)
    running, theirs = route(before), route(other)
    next_ = facts(seat=Seat("other", "production"), stable=4, running=theirs, lost=(4,))
    for denied in ((2,), ()):
        back = facts(denied=denied, running=running)
        serve, restore = plan_environment("production", (back, next_), answering(before, other), digest).entries
        assert isinstance(serve, Serve)
        assert isinstance(restore, Restore)
        assert {name: [arm.release for arm in one.arms] for name, one in serve.table.models.items()} == {
            "churn": [1],
            "other": [3],
        }
        after = Running(True, serve.digest, ())
        done = but(back, running=serve.table.models["churn"])
        assert [type(one) for one in plan_environment("production", (done, next_), after, digest).entries] == [Restore]


def test_what_goes_forward_waits_for_preparation() -> None:
    """A new stable release, or the next step of a trial, is put up with everything that is being prepared."""
    lost = facts(
        seat=Seat("other", "production"),
        stable=4,
        running=route(facts(seat=Seat("other", "production"), stable=3)),
        lost=(4,),
    )
    for forward in (facts(stable=2, running=route(facts())), but(on_trial(), running=route(facts()))):
        found = plan_environment("production", (forward, lost), Running(True, "sha256:" + "0" * 64, ()), digest)
        assert not any(isinstance(entry, Serve) for entry in found.entries)
