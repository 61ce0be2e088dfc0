"""Approvals: positive evidence for the exact head, or no."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from git_world import ADA, NOON, lonely
from modelops.forges import Account, PullRequest, Review
from modelops.governance.approvals import (
    ApprovalVerdict,
    Change,
    Judged,
    classify,
    judge_approvals,
    judge_pull,
    policy_at,
    risks_at,
)
from modelops.spec.kinds import Resource
from modelops.spec.kinds.approval_policy import ApprovalPolicySpec, ApprovalRule
from modelops.spec.meta import Metadata, Risk

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


def account(login: str, id: str | None = None) -> Account:
    """Return an account; unless told otherwise, its id is its login."""
    name = login.lower()
    return Account(name if id is None else id, login, name == "modelops" or name.endswith("[bot]"))


def review(login: str, state: str = "approved", commit: str = HEAD, id: str | None = None) -> Review:
    return Review(account(login, id), state, commit, "2026-03-01T12:00:00Z")  # type: ignore[arg-type]


def pull_of(
    *reviews: Review, author: str | Account = "ada", involved: tuple[str | Account, ...] = (), state: str = "open"
) -> Judged:
    by = author if isinstance(author, Account) else account(author)
    pull = PullRequest(
        number=7, title="T", body="", author=by, source="s", target="main", head=HEAD, base=OLD,
        state=state, opened_at="2026-03-01T11:00:00Z",  # type: ignore[arg-type]
    )  # fmt: skip
    people = tuple(one if isinstance(one, Account) else account(one) for one in involved)
    return Judged(pull, reviews, people)


def judge(
    policy: Resource[ApprovalPolicySpec],
    asked: Judged,
    *,
    environment: str | None = "production",
    risk: Risk | None = "high",
) -> ApprovalVerdict:
    return judge_approvals(policy, asked, change="promotion", environment=environment, risk=risk)


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
        (pull_of(review("bob"), involved=("Bob",)), [], "bob opened, wrote"),
        (pull_of(review("modelops")), [], "modelops is a machine"),
        (pull_of(review("helper[bot]")), [], "helper[bot] is a machine"),
        (pull_of(review("bob"), state="closed"), [], "#7 is closed"),
    ],
)
def test_one_approval_is_asked_for(pull: Judged, counted: list[str], said: str) -> None:
    """Which reviews count as the one approval, and what is said when none does."""
    verdict = judge(ONE_OF_TWO, pull)
    assert [approval.login for approval in verdict.counted] == counted
    assert verdict.ok == bool(counted)
    assert said in "; ".join(verdict.reasons)


TEAMS = {"team:ml": (Account("2", "bob"), Account("3", "cy"), Account("", "ghost"), Account("9", "x[bot]", True))}


@pytest.mark.parametrize(
    ("given", "counted", "said"),
    [
        (review("bob", id="2"), True, "1 of 1 approval (bob)"),
        (review("robert", id="2"), True, "1 of 1 approval (robert)"),
        (review("bob", id="7"), False, "ask bob, cy, dee"),
        (review("dee", id="4"), True, "(dee)"),
        (review("x[bot]", id="9"), False, "x[bot] is a machine"),
    ],
)
def test_who_is_in_a_team_counts_by_id(given: Review, counted: bool, said: str) -> None:
    """A member who was renamed is one, somebody who took the name is not, and whom the forge cannot tell is nobody."""
    policy = policy_of(rule("group:all", "team:ML"), all=("Dee", "team:ml"))
    asked = replace(pull_of(given, author=account("ada", "1")), teams=TEAMS)
    verdict = judge(policy, asked)
    assert (verdict.ok, said in "; ".join(verdict.reasons)) == (counted, True), verdict.reasons
    assert verdict.rules[0].approvers == ("bob", "cy", "dee", "x[bot]")


def test_a_team_that_nobody_can_tell_is_nobody() -> None:
    """Why is said, and others whom the rule names count on; a forge without teams asks nobody by them."""
    asked = replace(pull_of(review("bob")), teams={"team:gone": "nobody knows who is in team:gone: why"})
    verdict = judge(policy_of(rule("team:gone", "cy")), asked)
    assert (verdict.ok, verdict.reasons[0]) == (False, "nobody knows who is in team:gone: why")
    assert "ask cy" in verdict.reasons[-1]
    assert judge(policy_of(rule("team:gone", "bob")), asked).ok
    assert not judge(policy_of(rule("team:ml")), pull_of(review("team:ml"))).ok


def test_whoever_had_a_hand_in_it_does_not_count() -> None:
    """Authors and committers of the commits are as little approvers as the one who opened it."""
    verdict = judge(ONE_OF_TWO, pull_of(review("bob"), review("cy"), involved=("BOB",)))
    assert [approval.login for approval in verdict.counted] == ["cy"]
    assert not judge(ONE_OF_TWO, pull_of(review("bob"), involved=("bob",))).ok


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
    half = judge_pull(policy, pull_of(review("bob")), changes, {"a": "high"})
    assert not half.ok
    assert "policy: 0 of 1 approval by sec; ask sec" in half.reasons
    both = judge_pull(policy, pull_of(review("bob"), review("sec")), changes, {"a": "high"})
    assert both.ok
    assert [approval.login for approval in both.counted] == ["bob", "sec"]
    assert not judge_pull(policy, pull_of(review("bob")), [], {}).ok


MODEL = """\
apiVersion: modelops/v1
kind: Nonsense
"""


def test_facts_come_from_git(tmp_path: Path) -> None:
    """An unreadable model has no known risk; no policy is None."""
    repository = lonely(tmp_path / "r", {"models/a/model.yaml": MODEL})
    base = repository.head()
    one = repository.commit_files(base, {"x": b"1"}, "One\n\nCo-authored-by: C <cy@x.example>\n", ADA, NOON)
    assert risks_at(repository, ["a", "absent", None], base, one) == {}
    assert policy_at(repository, one) is None


IDS = policy_of(rule("bob", "id:7", "cy", minimum=2))


def test_a_login_that_changed_is_the_same_person() -> None:
    """Robert, who was bob, is still the bob that the policy names, and is counted once, by his newest decision."""
    renamed = judge(ONE_OF_TWO, pull_of(review("bob", id="7"), review("robert", id="7")))
    assert [approval.login for approval in renamed.counted] == ["robert"]
    assert not judge(IDS, pull_of(review("bob", id="9"), review("robert", id="9"))).ok
    took_back = judge(ONE_OF_TWO, pull_of(review("bob", id="7"), review("robert", "changes-requested", id="7")))
    assert not took_back.ok


def test_two_logins_of_one_id_are_one_person() -> None:
    """Two names do not make two approvals, and another name does not make the author another person."""
    assert not judge(IDS, pull_of(review("bob", id="7"), review("cy", id="7"))).ok
    assert judge(IDS, pull_of(review("bob", id="7"), review("cy", id="8"))).ok
    own = judge(ONE_OF_TWO, pull_of(review("bob", id="7"), author=account("ada", "7")))
    assert "bob opened, wrote, committed or pushed" in "; ".join(own.reasons)
    assert not judge(ONE_OF_TWO, pull_of(review("bob", id="7"), involved=(account("x", "7"),))).ok


def test_a_policy_may_name_people_by_id() -> None:
    """Whoever is called so today counts, and whoever took over the old login does not."""
    policy = policy_of(rule("id:7"))
    assert judge(policy, pull_of(review("whoever", id="7"))).ok
    assert not judge(policy, pull_of(review("id:7", id="8"))).ok
    verdict = judge(policy, pull_of(review("Whoever", id="7")))
    assert (verdict.counted[0].login, verdict.counted[0].id) == ("Whoever", "7")
    assert judge(ONE_OF_TWO, pull_of(review("bob"))).counted[0].id is None


def test_a_dismissed_decision_does_not_give_back_the_one_before_it() -> None:
    """Who approved, approved again and was dismissed has not approved."""
    verdict = judge(ONE_OF_TWO, pull_of(review("bob"), review("bob", "dismissed")))
    assert not verdict.ok
    assert "the review of bob was dismissed" in verdict.reasons


def test_whom_the_forge_cannot_tell_is_nobody_else_for_sure() -> None:
    """A deleted reviewer approves nothing; a commit by somebody unknown might be the approver's own."""
    assert not judge(policy_of(rule("ghost")), pull_of(review("ghost", id=""))).ok
    verdict = judge(ONE_OF_TWO, pull_of(review("bob"), involved=(account("x@nowhere.example", ""),)))
    assert not verdict.ok
    assert "cannot tell who x@nowhere.example is" in "; ".join(verdict.reasons)
    assert judge(policy_of(rule("bob", minimum=0)), pull_of(involved=(account("x", ""),))).ok
