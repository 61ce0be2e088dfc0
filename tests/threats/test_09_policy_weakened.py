"""Threat 9: a change loosens in one stroke the policy that would refuse it."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_world import git
from spec_world import MODEL, NAME, world
from threats.proposals import APPROVALS, CODE, GATE, POLICY, Stage, verb

RULE = "policies/rules/owner.yaml"
SPEC = f"models/{NAME}/model.yaml"
ORPHAN = MODEL.replace("owner: payments-risk", "owner: nobody")
OWNER = world()[RULE].decode()
RISKY = OWNER.replace("match: {kind: Model}", "match: {kind: Model, risk: [limited, high]}")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Return a valid repository with one model and a rule that models have owners."""
    return Stage(tmp_path, {path: data.decode() for path, data in world().items()}, alone=True)


WEAKER: dict[str, dict[str, str | bytes | None]] = {
    "deleted": {RULE: None},
    "always true": {RULE: OWNER.replace('resource.spec.owner != "nobody"', "true")},
    "a warning": {RULE: OWNER.replace("  message:", "  severity: warning\n  message:")},
    "about another kind": {RULE: OWNER.replace("{kind: Model}", "{kind: Monitor}")},
    "about another risk": {RULE: OWNER.replace("{kind: Model}", "{kind: Model, risk: [high]}")},
    "another in its place": {
        RULE: None,
        "policies/rules/new.yaml": OWNER.replace("name: owner", "name: new").replace('"nobody"', '"none"'),
    },
}


@pytest.mark.parametrize("weaker", WEAKER.values(), ids=WEAKER.keys())
def test_a_change_is_judged_by_the_rules_before_it(stage: Stage, weaker: dict[str, str | bytes | None]) -> None:
    """Whatever it does to the rule that it breaks: validate says which rule of the base it breaks, and where."""
    stage.branch("feature", {SPEC: ORPHAN, **weaker})
    answer = verb(stage, "validate", "--since", "origin/main")
    assert answer.code == 3, answer.out
    assert f"{SPEC}:7:3: spec: A model has an owner. [rule-failed]" in answer.err
    assert f"the rule is {RULE}" in answer.err
    assert "which judges this change as it was before it" in answer.err


def test_a_plan_of_a_change_is_judged_by_the_rules_before_it(stage: Stage) -> None:
    """What the pull request's report is made from refuses it too."""
    stage.branch("feature", {SPEC: ORPHAN, RULE: None})
    for words in (("plan", "--since", "origin/main"), ("build", "--since", "origin/main")):
        answer = verb(stage, *words)
        assert (answer.code, "[rule-failed]" in answer.err) == (3, True), answer.err


def test_a_change_that_breaks_nothing_may_change_rules(stage: Stage) -> None:
    """A rule may go, and one that everything broke may be mended, as long as the change itself breaks none."""
    stage.branch("gone", {RULE: None})
    assert verb(stage, "validate", "--since", "origin/main").code == 0
    git(stage.root, "switch", "--quiet", "--detach", "origin/main")
    made = stage.commit({RULE: OWNER.replace('"nobody"', '"payments-risk"')})
    git(stage.root, "push", "--quiet", "origin", f"{made}:refs/heads/main")
    stage.branch("mended", {RULE: OWNER})
    assert verb(stage, "validate", "--since", "origin/main").code == 0


def test_no_model_lowers_the_risk_that_a_rule_asks_for(tmp_path: Path) -> None:
    """A rule of a risk tier judges a change that leaves that tier."""
    files = {path: data.decode() for path, data in world(changes={RULE: RISKY}).items()}
    stage = Stage(tmp_path, files, alone=True)
    stage.branch("feature", {SPEC: ORPHAN.replace("risk: limited", "risk: minimal")})
    answer = verb(stage, "validate", "--since", "origin/main")
    assert (answer.code, "[rule-failed]" in answer.err) == (3, True)


def test_a_rule_that_main_got_meanwhile_judges_what_merging_makes(stage: Stage) -> None:
    """A branch that was sound when it left main is held against what main has now, in the files as merged."""
    stricter = OWNER.replace("name: owner", "name: words").replace('!= "nobody"', '== "others"')
    stage.branch("feature", {SPEC: MODEL.replace("payments-risk", "payments")})
    assert verb(stage, "validate", "--since", "origin/main").code == 0
    stage.pushed({"policies/rules/words.yaml": stricter})
    git(stage.root, "switch", "--quiet", "feature")
    answer = verb(stage, "validate", "--since", "origin/main")
    assert (answer.code, "[rule-failed]" in answer.err) == (3, True)
    assert verb(stage, "validate").code == 0


def test_crossed_histories_are_validated_and_planned_as_what_they_make(stage: Stage) -> None:
    """Two merge bases are no reason to fail: the files that merging changes are looked at, with what they hold then."""
    broken = world()[GATE].decode().replace("kind: GatePolicy", "kind: GatePolice")
    stage.branch("policy", {GATE: world()[GATE].decode() + "# stronger\n"}, "ada")
    stage.branch("words", {SPEC: MODEL + "# more words\n"}, "ada")
    git(stage.root, "switch", "--quiet", "--create", "merging", "origin/main")
    for name in ("policy", "words"):
        git(stage.root, "merge", "--quiet", "--no-ff", "-m", "Merge", name)
    git(stage.root, "push", "--quiet", "origin", "merging:main")
    stage.repository.fetch()
    for order in (("policy", "words"), ("words", "policy")):
        stage.crossing("evil", "words", order)
        assert len(stage.repository.merge_bases("origin/main", "HEAD")) == 2
        for words in (("validate",), ("plan",)):
            answer = verb(stage, *words, "--since", "origin/main")
            assert (answer.code, "merge bases" in answer.err) == (0, False), answer.err
        stage.commit({GATE: broken})
        answer = verb(stage, "validate", "--since", "origin/main")
        assert (answer.code, GATE in answer.err) == (3, True)


def test_a_conflict_is_told_beside_everything_else(stage: Stage) -> None:
    """What cannot be merged cannot be judged as merged: that is one problem, and those of the files are told too."""
    stage.branch("feature", {SPEC: ORPHAN})
    stage.pushed({SPEC: MODEL.replace("payments-risk", "others")})
    git(stage.root, "switch", "--quiet", "feature")
    answer = verb(stage, "validate", "--since", "origin/main")
    assert answer.code == 3
    assert f"both sides changed {SPEC} [merge-conflict]" in answer.err
    assert "[rule-failed]" in answer.err
    planned = verb(stage, "plan", "--since", "origin/main")
    assert (planned.code, "[merge-conflict]" in planned.err) == (3, True)


def test_what_is_not_committed_yet_is_validated_on_top(stage: Stage) -> None:
    """A file of the work tree counts as it stands there, what main changed meanwhile as main has it."""
    stage.branch("feature", {f"models/{NAME}/notes.md": "x\n"})
    stage.pushed({f"models/{NAME}/monitor.yaml": None})
    git(stage.root, "switch", "--quiet", "feature")
    assert verb(stage, "validate", "--since", "origin/main").code == 0
    (stage.root / SPEC).write_text(ORPHAN)
    answer = verb(stage, "validate", "--since", "origin/main")
    assert (answer.code, "[rule-failed]" in answer.err) == (3, True)


LOOSER = {
    "fewer": POLICY.replace("    - change: policy\n", "    - change: policy\n      minimum: 0\n"),
    "the author": POLICY.replace("[barbara]", "[barbara, mallory, grace]"),
    "no expiry": POLICY,
    "gone": None,
}


@pytest.mark.parametrize("looser", LOOSER.values(), ids=LOOSER.keys())
def test_a_change_is_judged_by_the_approvals_before_it(tmp_path: Path, looser: str | None) -> None:
    """Who may approve a change of who may approve is said by the base; who is let in by it is not asked."""
    stage = Stage(tmp_path, {APPROVALS: POLICY.replace("  groups:", "  expiresDays: 3\n  groups:")})
    stage.branch("feature", {APPROVALS: looser, CODE: "x\n"})
    pull = stage.open("feature")
    stage.approve(pull.number, "grace")
    verdict = stage.judge(pull.number)
    assert not verdict.ok
    assert "policy: 0 of 1 approval by group:risk; ask barbara" in verdict.reasons
    assert not stage.judge(stage.merge(pull.number)).ok


def test_a_gate_that_a_change_deletes_or_loosens_asks_the_policys_approvers(tmp_path: Path) -> None:
    """A model with a looser gate, or without the one that it had, needs both approvals."""
    for number, gate in enumerate(("minimum: 0.1\n", None)):
        stage = Stage(tmp_path / str(number))
        stage.branch("feature", {GATE: gate, CODE: "x\n"})
        pull = stage.open("feature")
        stage.approve(pull.number, "grace")
        assert not stage.judge(pull.number).ok
        stage.approve(pull.number, "barbara")
        assert stage.judge(pull.number).ok


HIDDEN = {
    "override": ("\u202e", 3),
    "isolate": ("\u2067", 3),
    "mark": ("\u200f", 0),
    "width": ("\u200b", 0),
}


@pytest.mark.parametrize(("character", "code"), HIDDEN.values(), ids=HIDDEN.keys())
def test_what_turns_the_direction_of_text_is_no_spec_and_no_code(stage: Stage, character: str, code: int) -> None:
    """Such a character is an error with its place in both; others that are not seen are warned of."""
    spec = MODEL.replace("Probability that", f"Probability {character}that")
    stage.branch("feature", {SPEC: spec, f"models/{NAME}/train.py": f"x = 1  # {character} x\n"})
    for words in (("validate",), ("validate", "--since", "origin/main")):
        answer = verb(stage, *words)
        assert answer.code == code, answer.err
        for place in (f"{SPEC}:7:", f"models/{NAME}/train.py:1:10"):
            assert f"{'error' if code else 'warning'}: {place}" in answer.err
        assert character not in answer.err
