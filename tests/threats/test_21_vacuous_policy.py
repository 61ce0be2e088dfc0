"""Vacuous policies: what looks like protection and holds nothing up is said, and silence is no pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from git_world import git
from reconcile.conftest import configuration, stages  # noqa: F401
from reconcile.loop_world import MODEL, World

GATES = "policies/gates/easy.yaml"
RULE = "policies/rules/any.yaml"


@pytest.fixture(scope="module")
def world(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> World:  # noqa: F811
    """Return a world whose model is on main and built."""
    found = stages("merged").copy(tmp_path_factory.mktemp("vacuous"))
    git(found.root, "pull", "-q", "--ff-only")
    found.ok("build", MODEL)
    return found


@pytest.fixture
def root(world: World, tmp_path: Path) -> World:
    """Return a copy that a test may write to."""
    return world.copy(tmp_path / "world")


def policy(*gates: str) -> str:
    lines = "".join(f"    - {{{gate}}}\n" for gate in gates)
    return f"apiVersion: modelops/v1\nkind: GatePolicy\nmetadata:\n  name: easy\nspec:\n  gates:\n{lines}"


def warnings(world: World, path: str) -> list[tuple[str, int, str]]:
    """Return (code, line, message) of what validate warns of in a file; the files are valid all the same."""
    done = world.run("validate", "-o", "json")
    assert done.code == 0, done.out
    found = json.loads(done.out)["warnings"]
    assert all(one["hint"] and one["column"] for one in found)
    return [(one["code"], one["line"], one["message"]) for one in found if one["path"] == path]


FREE = [
    ("name: g, type: metric, params: {metric: roc-auc, minimum: -5.0}", "0 is the least that roc-auc can be"),
    ("name: g, type: metric, params: {metric: recall, minimum: 0}", "0 is the least that recall can be"),
    ("name: g, type: metric, params: {metric: brier, maximum: 1.0}", "1 is the most that brier can be"),
    ("name: g, type: metric, params: {metric: log-loss, minimum: 0.0}", "0 is the least that log-loss can be"),
    ("name: g, type: metric, params: {metric: r2, maximum: 1}", "1 is the most that r2 can be"),
    ("name: g, type: metric, params: {metric: roc-auc, minimum: 1.5}", "it cannot pass"),
    ("name: g, type: metric, params: {metric: mae, maximum: -1.0}", "it cannot pass"),
    ("name: g, type: champion, params: {metric: roc-auc, margin: 1.0}", "no two values of roc-auc are further apart"),
    ("name: g, type: fairness, params: {metric: demographic-parity, column: country, maximum: 1.0}", "no two rates"),
    ("name: g, type: data-quality, params: {maximumLeakage: 1.0}", "maximumLeakage checks nothing"),
    ("name: g, type: drift, params: {score: {type: hellinger}, maximum: 1.0}", "hellinger is never above 1"),
    ("name: g, type: metric, params: {metric: roc-auc, minimum: 0.6}, block: []", "no verdict of it blocks"),
    ("name: g, type: metric, params: {metric: roc-auc, minimum: 0.6}, block: [inconclusive]", "lets a fail through"),
]
SOUND = [
    "name: g, type: metric, params: {metric: roc-auc, minimum: 0.6}",
    "name: g, type: metric, params: {metric: r2, minimum: -5.0}",
    "name: g, type: metric, params: {metric: bias, minimum: -5.0}",
    "name: g, type: metric, params: {metric: log-loss, maximum: 5.0}",
    "name: g, type: champion, params: {metric: mae, margin: 3.0}",
    "name: g, type: fairness, params: {metric: mae-difference, column: country, maximum: 20.0}",
    "name: g, type: drift, params: {score: {type: psi}, maximum: 1.0}",
    "name: g, type: data-quality",
]


@pytest.mark.parametrize(("gate", "said"), FREE)
def test_a_gate_that_holds_nothing_up_is_warned_of_with_its_line(root: World, gate: str, said: str):
    sound = "name: sound, type: metric, params: {metric: roc-auc, minimum: 0.6}"
    (root.root / GATES).write_text(policy(sound, gate))
    ((code, line, message),) = warnings(root, GATES)
    assert (code, line) == ("vacuous-gate", 8)
    assert said in message
    assert f"warning: {GATES}:8:" in root.ok("validate").err
    assert f"warning: {GATES}:8:" in root.ok("validate", "--since", "HEAD").err


@pytest.mark.parametrize("gate", SOUND)
def test_a_limit_that_can_decide_is_not_warned_of(root: World, gate: str):
    (root.root / GATES).write_text(policy(gate))
    assert warnings(root, GATES) == []


def test_a_policy_in_which_nothing_blocks_is_warned_of(root: World):
    """Advice is told apart from an oversight, and a policy of advice alone is warned of all the same."""
    free = "type: metric, params: {metric: roc-auc, minimum: 0.6}, block: []"
    (root.root / GATES).write_text(policy(*(f"name: g{number}, {free}" for number in range(7))))
    found = [code for code, _, _ in warnings(root, GATES)]
    assert sorted(found) == ["vacuous-gate"] * 7 + ["vacuous-policy"]
    (root.root / GATES).write_text(policy(f"name: g, {free}, advice: true"))
    assert [code for code, _, _ in warnings(root, GATES)] == ["vacuous-policy"]
    (root.root / GATES).write_text(policy("name: g, type: data-quality, advice: true"))
    assert "advice-blocks" in root.run("validate").err


@pytest.mark.parametrize(
    ("expression", "vacuous"),
    [
        ("true", True),
        ("true || resource.spec.nothing", True),
        ("resource.spec.nothing || true", True),
        ("1 < 2", True),
        ("resource.spec.owner != ''", False),
        ("!has(resource.spec.nothing) || resource.spec.nothing > 3", False),
    ],
)
def test_a_rule_that_is_true_whatever_it_sees_is_warned_of(root: World, expression: str, vacuous: bool):
    (root.root / RULE).parent.mkdir(exist_ok=True)
    (root.root / RULE).write_text(
        "apiVersion: modelops/v1\nkind: Rule\nmetadata:\n  name: any\nspec:\n  match: {kind: Model}\n"
        f'  expression: "{expression}"\n  message: M\n'
    )
    found = warnings(root, RULE)
    assert [(code, line) for code, line, _ in found] == ([("vacuous-rule", 7)] if vacuous else [])


def test_the_release_and_its_card_list_what_protects_nothing(root: World):
    """Who reads the release learns that a gate passed because nothing fails it."""
    free = "name: free, type: metric, params: {metric: roc-auc, minimum: -5.0}"
    real = "name: real, type: metric, params: {metric: roc-auc, minimum: 0.6}"
    root.merge(root.propose({GATES: policy(free, real)}, "free", "Loosen").number)
    root.change_model([("C: 1.0", "C: 0.5")], "softer")
    git(root.root, "pull", "-q", "--ff-only")
    said = "it cannot fail, as 0 is the least that roc-auc can be"
    assert f"but {said}" in root.ok("build", MODEL).out
    root.ok("release", "--yes")
    assert "toothless: " in root.show(f"models/{MODEL}/releases/1/release.yaml")
    assert said in root.show(f"models/{MODEL}/releases/1/MODEL_CARD.md")
    assert said in root.ok("audit", "release", MODEL, "1").out


@pytest.mark.parametrize(("block", "code"), [("[fail, no-data]", 1), ("[fail]", 0)])
def test_a_policy_whose_quality_gate_could_not_decide_does_not_say_passed(root: World, block: str, code: int):
    """No data about quality is a third word; whether it holds the release up is what the policy says."""
    blind = "name: blind, type: metric, params: {metric: roc-auc, minimum: 0.6, minimumRows: 100000}"
    quality = "name: quality, type: data-quality"
    (root.root / GATES).write_text(policy(f"{blind}, block: {block}", quality))
    done = root.run("build", MODEL, "--dirty")
    assert done.code == code
    assert done.out.startswith(f"{MODEL}: undecided: no gate could tell how good it is")
    assert "passed" not in done.out.partition("\n")[0]
    assert "no-data      easy/blind" in done.out
