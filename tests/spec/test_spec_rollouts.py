"""Rollout plans that cannot do what they say are refused at the line that says it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modelops.spec.graph import build_graph
from modelops.spec.rollouts import strategies_for
from modelops.spec.sweep import sweep
from spec.test_spec_graph import FOLDER, told
from spec_world import world

PLAN = f"{FOLDER}/rollout.yaml"
STAGING = f"{FOLDER}/environments/staging.yaml"
HEAD = "apiVersion: modelops/v1\nkind: RolloutPlan\nmetadata:\n  name: model-0000\nspec:\n"
EXPECT = "  expect: {requestsPerHour: 600.0, errorRate: 0.01, effect: 2.0}\n"


def canary(steps: str, more: str = "", expect: str = "") -> str:
    return f"{HEAD}{expect}  strategy:\n    type: canary\n    params:\n{more}      steps:\n{steps}"


def plan(text: str, changes: dict[str, str] | None = None) -> dict[str, bytes]:
    return world(changes={PLAN: text} | (changes or {}))


def arms(spec: str) -> dict[str, str]:
    """Return a deployment, and releases 1 to 3 of which nothing but their number is known."""
    release = "apiVersion: modelops/v1\nkind: Release\nmetadata:\n  name: '{0}'\nspec: {{}}\n"
    files = {f"{FOLDER}/releases/{number}/release.yaml": release.format(number) for number in (1, 2, 3)}
    return files | {STAGING: f"apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: staging\nspec:\n{spec}"}


SOON = "        - {weight: 0.05, minRequests: 200}\n        - {weight: 0.5, minRequests: 200, deadlineMinutes: 60.0}\n"


def test_a_step_that_cannot_see_in_time_is_refused_at_its_line() -> None:
    """The step of which the deadline comes too early is named, with what it needs; the others are not."""
    files = plan(canary(SOON, expect=EXPECT))
    assert told(files) == [("step-too-short", f"{PLAN}:12:11", "spec.strategy.params.steps[1]")]
    (problem,) = build_graph(files).refused
    assert "step 2 needs" in problem.message
    assert "600 requests an hour" in problem.message
    assert "onTooShort: warn" in (problem.hint or "")


def test_a_plan_may_ask_for_a_warning_instead() -> None:
    """With onTooShort: warn the plan stands, and says what it cannot see."""
    expect = EXPECT.replace("}", ", onTooShort: warn}")
    files = plan(canary(SOON, expect=expect))
    graph = build_graph(files)
    told = {(found.code, str(found.location)) for found in graph.warnings}
    assert told == {("step-too-short", f"{PLAN}:12:11"), ("effect-often-missed", f"{PLAN}:10:7")}
    swept = sweep([path for path in files if path.endswith(".yaml")], files.__getitem__)
    assert sorted(map(str, swept.warnings)) == sorted(map(str, graph.warnings))


def test_a_plan_that_expects_nothing_is_not_asked_what_it_sees() -> None:
    """Without `expect` there is no traffic to plan with."""
    assert build_graph(plan(canary(SOON))).warnings == ()


REFUSED = [
    pytest.param(
        canary("        - {weight: 0.05, minRequests: 5000, deadlineMinutes: 5.0}\n", expect=EXPECT),
        {"step-too-short"},
        "11:11",
        id="its own minimum of requests never comes before the deadline",
    ),
    pytest.param(
        canary(
            "        - {weight: 0.1, minRequests: 9}\n        - {weight: 1.0, minRequests: 9}\n",
            "      holdback: 0\n",
            EXPECT,
        ),
        {"effect-never-seen"},
        "13:11",
        id="at full weight without a holdback after too short a past",
    ),
    pytest.param(
        canary(
            "        - {weight: 0.1, minRequests: 9}\n",
            more="      errors: {minimumDifference: 0.02}\n",
            expect=EXPECT,
        ),
        {"effect-never-seen"},
        "12:11",
        id="an effect below what counts as harm",
    ),
    pytest.param(
        canary("        - {weight: 0.1, minRequests: 9}\n", more="      errors: null\n", expect=EXPECT),
        {"effect-never-seen"},
        "12:11",
        id="an effect that no guard looks at",
    ),
    pytest.param(
        canary("        - {weight: 0.5, minRequests: 9}\n        - {weight: 0.2, minRequests: 9}\n"),
        {"bad-value"},
        None,
        id="weights that fall",
    ),
    pytest.param(
        f"{HEAD}  strategy: {{type: ab-test, params: {{metric: outcome, minimumEffect: 0.01, "
        "weights: {stable: 0.5, candidate: 0.6}}}\n",
        {"bad-value"},
        None,
        id="weights that do not sum to 1",
    ),
    pytest.param(
        f"{HEAD}  strategy: {{type: canary, params: {{steps: []}}}}\n",
        {"bad-value"},
        None,
        id="no step at all",
    ),
    pytest.param(
        canary(
            "        - {weight: 0.5, minRequests: 9}\n",
            more="      errors: null\n      outcome: null\n      slow: null\n",
        ),
        {"bad-value"},
        "9:7",
        id="no guard that could fail",
    ),
    pytest.param(
        canary("        - {weight: 0.5, minRequests: 9}\n", expect="  expect: {effect: 2.0}\n"),
        {"missing-key"},
        None,
        id="an effect without traffic",
    ),
    pytest.param(
        f"{HEAD}  strategy: {{type: ab-test, params: {{metric: charm, minimumEffect: 0.01}}}}\n",
        {"unknown-value"},
        None,
        id="an unknown metric",
    ),
]


@pytest.mark.parametrize(("text", "codes", "place"), REFUSED)
def test_a_plan_that_cannot_do_what_it_says_is_refused(text: str, codes: set[str], place: str | None) -> None:
    """Each is an error in the rollout plan, at its place."""
    found = told(plan(text))
    assert {code for code, _, _ in found} == codes
    assert all(where.startswith(PLAN) for _, where, _ in found)
    if place is not None:
        assert found[0][1] == f"{PLAN}:{place}"


def test_a_model_with_side_effects_has_no_shadow() -> None:
    """Copies of requests would do something in the world; the strategy is refused where it is chosen."""
    files = plan(f"{HEAD}  strategy: {{type: shadow, params: {{minPairs: 100}}}}\n")
    build_graph(files)
    model = f"{FOLDER}/model.yaml"
    files[model] = files[model].replace(b"    log: buffered\n", b"    log: buffered\n    sideEffects: true\n")
    assert told(files) == [("strategy-refused", f"{PLAN}:6:20", "spec.strategy.type")]


def test_a_change_of_the_model_alone_asks_its_plan_again() -> None:
    """The plan is checked with the model also where only the model's file is among those that changed."""
    files, model = plan(f"{HEAD}  strategy: {{type: shadow, params: {{minPairs: 100}}}}\n"), f"{FOLDER}/model.yaml"
    files[model] = files[model].replace(b"    log: buffered\n", b"    log: buffered\n    sideEffects: true\n")
    specs = [path for path in files if path.endswith(".yaml")]
    swept = sweep(specs, files.__getitem__, only=frozenset({model}))
    assert [problem.code for problem in swept.problems] == ["strategy-refused"]


CHALLENGERS = [
    ("  stable: 1\n  candidate: 2\n  challengers: [9]\n", "unknown-release", "spec.challengers[0]"),
    ("  stable: 1\n  candidate: 2\n  challengers: [3, 3]\n", "duplicate-arm", "spec.challengers[1]"),
    ("  stable: 1\n  candidate: 2\n  challengers: [2]\n", "duplicate-arm", "spec.challengers[0]"),
    ("  stable: 1\n  challengers: [3]\n", "missing-candidate", "spec.challengers[0]"),
    (
        "  stable: 1\n  candidate: 2\n  challengers: [3]\n  denied: [{release: 3, reason: it failed}]\n",
        "denied-release",
        "spec.challengers[0]",
    ),
]


@pytest.mark.parametrize(("spec", "code", "dotted"), CHALLENGERS)
def test_challengers_are_other_releases_beside_a_candidate(spec: str, code: str, dotted: str) -> None:
    """A challenger exists, is not denied, has no arm yet and stands beside a candidate."""
    ab_test = f"{HEAD}  strategy: {{type: ab-test, params: {{metric: outcome, minimumEffect: 0.01}}}}\n"
    found = told(plan(ab_test, arms(spec)))
    assert (code, dotted) in {(one, path) for one, _, path in found}
    assert all(str(where).startswith(f"{STAGING}:") for one, where, _ in found if one == code)


def test_more_arms_than_the_strategy_takes_are_refused() -> None:
    """A canary has two arms; the first challenger is one too many."""
    spec = "  stable: 1\n  candidate: 2\n  challengers: [3]\n"
    files = plan(canary("        - {weight: 0.5, minRequests: 9}\n"), arms(spec))
    found = [one for one in told(files) if one[0] == "too-many-arms"]
    assert found == [("too-many-arms", f"{STAGING}:8:17", "spec.challengers[0]")]
    assert strategies_for(3) == ("ab-test", "bandit")
    assert strategies_for(99) == ()


def test_weights_that_name_other_arms_are_refused_where_the_arms_are() -> None:
    """The split of an experiment names every arm of the deployment, and no other."""
    weights = "{stable: 0.5, candidate: 0.3, challenger-3: 0.2}"
    ab_test = (
        f"{HEAD}  strategy: {{type: ab-test, params: {{metric: outcome, minimumEffect: 0.1, weights: {weights}}}}}\n"
    )
    found = told(plan(ab_test, arms("  stable: 1\n  candidate: 2\n")))
    assert ("rollout-arms", f"{STAGING}:7:14", "spec.candidate") in found
    codes = {code for code, _, _ in told(plan(ab_test, arms("  stable: 1\n  candidate: 2\n  challengers: [3]\n")))}
    assert "rollout-arms" not in codes


def test_numbers_are_not_crunched_for_plans_that_expect_nothing() -> None:
    """Checking a thousand ordinary plans imports no special functions."""
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from spec_world import world\n"
        "from modelops.spec.graph import build_graph\n"
        "build_graph(world())\n"
        "print([name for name in sys.modules if name.startswith('scipy.')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "scipy.special" not in done.stdout
