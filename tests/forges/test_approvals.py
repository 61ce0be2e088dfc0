"""Approvals: positive evidence for the exact head, or no."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_world import ADA, BOB, NOON, lonely
from modelops.forges import PullRequest, Review
from modelops.reconcile.approvals import (
    ApprovalVerdict,
    Change,
    classify,
    involved_in,
    judge_approvals,
    judge_pull,
    policy_at,
    risks_at,
)
from modelops.spec.kinds import Resource
from modelops.spec.meta import Metadata, Risk
from modelops.spec.policy import ApprovalPolicySpec, ApprovalRule

HEAD, OLD = "a" * 40, "b" * 40


def policy_of(*rules: ApprovalRule, **groups: tuple[str, ...]) -> Resource[ApprovalPolicySpec]:
    spec = ApprovalPolicySpec(groups=groups, rules=rules)
    path = "policies/approvals.yaml"
    return Resource(
        "ApprovalPolicy", "approvals", None, path, Metadata(name="approvals"), spec, "sha256:" + "0" * 64, {}
    )


def rule(*approvers: str, minimum: int = 1, environments: tuple[str, ...] = ("*",), **more: object) -> ApprovalRule:
    return ApprovalRule.model_validate(
        {"change": "promotion", "approvers": approvers, "minimum": minimum, "environments": environments, **more}
    )


def review(login: str, state: str = "approved", commit: str = HEAD) -> Review:
    return Review(login, state, commit, "2026-03-01T12:00:00Z")  # type: ignore[arg-type]


def pull_of(*reviews: Review, author: str = "ada", pushers: tuple[str, ...] = (), state: str = "open") -> PullRequest:
    return PullRequest(
        number=7, title="T", body="", author=author, source="s", target="main", head=HEAD, base=OLD,
        state=state, pushers=pushers, reviews=reviews,  # type: ignore[arg-type]
    )  # fmt: skip


def judge(
    policy: Resource[ApprovalPolicySpec],
    pull: PullRequest,
    *,
    environment: str | None = "production",
    risk: Risk | None = "high",
    involved: frozenset[str] = frozenset(),
) -> ApprovalVerdict:
    return judge_approvals(policy, pull, change="promotion", environment=environment, risk=risk, involved=set(involved))


ONE_OF_TWO = policy_of(rule("group:ml", "cy"), ml=("bob", "Dee", "ada", "modelops", "helper[bot]"))


@pytest.mark.parametrize(
    ("pull", "counted", "said"),
    [
        (pull_of(review("bob")), ["bob"], "1 of 1 approval (bob)"),
        (pull_of(review("BOB")), ["BOB"], "1 of 1 approval (BOB)"),
        (pull_of(review("cy")), ["cy"], "(cy)"),
        (pull_of(review("bob", "changes-requested"), review("bob")), ["bob"], "(bob)"),
        (pull_of(review("bob"), review("bob", "commented")), ["bob"], "(bob)"),
        (pull_of(review("eve", "changes-requested"), review("bob")), ["bob"], "(bob)"),
        (pull_of(review("bob"), state="merged"), ["bob"], "(bob)"),
        (pull_of(), [], "0 of 1 approval by group:ml, cy; ask bob, cy, dee"),
        (pull_of(review("eve")), [], "0 of 1"),
        (pull_of(review("bob", commit=OLD)), [], f"bob approved {OLD[:12]}, but the head is {HEAD[:12]} now"),
        (pull_of(review("bob"), review("bob", "changes-requested")), [], "bob requested changes"),
        (pull_of(review("bob", "commented")), [], "0 of 1"),
        (pull_of(review("ada")), [], "ada opened, wrote, committed or pushed"),
        (pull_of(review("Ada"), author="ADA"), [], "ada opened"),
        (pull_of(review("bob"), pushers=("Bob",)), [], "bob opened, wrote"),
        (pull_of(review("modelops")), [], "modelops is a machine"),
        (pull_of(review("helper[bot]")), [], "helper[bot] is a machine"),
        (pull_of(review("bob"), state="closed"), [], "#7 is closed"),
    ],
)
def test_one_approval_is_asked_for(pull: PullRequest, counted: list[str], said: str) -> None:
    """Which reviews count as the one approval, and what is said when none does."""
    verdict = judge(ONE_OF_TWO, pull)
    assert [approval.login for approval in verdict.counted] == counted
    assert verdict.ok == bool(counted)
    assert said in "; ".join(verdict.reasons)


def test_whoever_had_a_hand_in_it_does_not_count() -> None:
    """Authors and committers of the commits are as little approvers as the one who opened it."""
    verdict = judge(ONE_OF_TWO, pull_of(review("bob"), review("cy")), involved=frozenset({"BOB"}))
    assert [approval.login for approval in verdict.counted] == ["cy"]
    assert not judge(ONE_OF_TWO, pull_of(review("bob")), involved=frozenset({"bob"})).ok


def test_a_request_for_changes_by_an_approver_stands() -> None:
    """Enough approvals do not outvote an approver who asked for changes, on whichever head."""
    for head in (HEAD, OLD):
        verdict = judge(ONE_OF_TWO, pull_of(review("bob"), review("dee", "changes-requested", head)))
        assert not verdict.ok
        assert "dee requested changes" in verdict.reasons


def test_every_rule_that_matches_must_be_met() -> None:
    """Two rules for one change ask both groups; one person in both counts for both but only once each."""
    both = policy_of(rule("group:ml"), rule("group:risk", minimum=2), ml=("bob", "cy"), risk=("bob", "dee"))
    assert not judge(both, pull_of(review("bob"))).ok
    assert not judge(both, pull_of(review("bob"), review("bob"))).ok
    verdict = judge(both, pull_of(review("dee"), review("bob")))
    assert verdict.ok
    assert [approval.login for approval in verdict.counted] == ["bob", "dee"]


@pytest.mark.parametrize(
    ("environment", "risk", "ok"),
    [
        ("staging", "minimal", True),
        ("staging", "high", False),
        ("production", "minimal", False),
        ("elsewhere", "minimal", False),
        ("staging", None, False),
    ],
)
def test_rules_are_picked_by_environment_and_risk(environment: str, risk: Risk | None, ok: bool) -> None:
    """No matching rule is a no, and an unknown risk must meet the rules of every risk."""
    policy = policy_of(
        rule("bob", minimum=0, environments=("staging",), risk=("minimal",)),
        rule("bob", minimum=2, environments=("staging",), risk=("high",)),
        rule("bob", environments=("production",)),
    )
    assert judge(policy, pull_of(), environment=environment, risk=risk).ok is ok


def test_no_rule_and_an_unknown_group_are_a_no_with_words() -> None:
    """Unknown is no: both reasons name what is missing."""
    nothing = judge(policy_of(rule("bob", change="model")), pull_of(review("bob")))
    assert not nothing.ok
    assert "no rule of policies/approvals.yaml" in nothing.reasons[0]
    unknown = judge(policy_of(rule("group:nobody")), pull_of(review("nobody"), review("group:nobody")))
    assert not unknown.ok
    assert "no group 'nobody'" in unknown.reasons[0]


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["models/a/environments/prod.yaml"], [Change("promotion", "a", "prod")]),
        (["models/team/a/environments/prod.yaml"], [Change("promotion", "team/a", "prod")]),
        (["models/a/model.yaml", "models/a/train.py"], [Change("model", "a")]),
        (["models/team/a/sub/features.py"], [Change("model", "team/a")]),
        (["models/unknown/x.py"], [Change("model", None)]),
        (["models/a/environments/x/prod.yaml"], [Change("model", "a")]),
        (["policies/gates/g.yaml"], [Change("policy")]),
        ([".github/workflows/release.yml", "requirements.lock"], [Change("policy")]),
        (
            ["models/a/environments/prod.yaml", "models/a/model.yaml", "policies/trust.yaml"],
            [Change("model", "a"), Change("policy"), Change("promotion", "a", "prod")],
        ),
        ([], []),
    ],
)
def test_files_say_what_kind_of_change_it_is(paths: list[str], expected: list[Change]) -> None:
    """Promotions, models and policies are told apart by place alone; everything outside models/ governs all."""
    assert list(classify(paths, ["a", "team/a", "team"])) == expected


def test_each_thing_that_is_changed_needs_its_own_approvals() -> None:
    """A promotion that smuggles in a change of the policies needs both; an empty change has nothing to approve."""
    policy = policy_of(rule("bob"), rule("sec", change="policy"))
    changes = [Change("promotion", "a", "prod"), Change("policy")]
    half = judge_pull(policy, pull_of(review("bob")), changes, {"a": "high"}, set())
    assert not half.ok
    assert "policy: 0 of 1 approval by sec; ask sec" in half.reasons
    both = judge_pull(policy, pull_of(review("bob"), review("sec")), changes, {"a": "high"}, set())
    assert both.ok
    assert [approval.login for approval in both.counted] == ["bob", "sec"]
    assert not judge_pull(policy, pull_of(review("bob")), [], {}, set()).ok


MODEL = """\
apiVersion: modelops/v1
kind: Nonsense
"""


def test_facts_come_from_git(tmp_path: Path) -> None:
    """People come from the commits of the change alone; an unreadable model has no known risk; no policy is None."""
    repository = lonely(tmp_path / "r", {"models/a/model.yaml": MODEL})
    base = repository.head()
    one = repository.commit_files(base, {"x": b"1"}, "One\n\nCo-authored-by: C <cy@x.example>\n", ADA, NOON)
    two = repository.commit_files(one, {"y": b"1"}, "Two\n", BOB, NOON)
    assert involved_in(repository, base, two) == {"ada", "bob", "cy"}
    assert involved_in(repository, one, two) == {"bob"}
    assert risks_at(repository, ["a", "absent", None], base, two) == {}
    assert policy_at(repository, two) is None
