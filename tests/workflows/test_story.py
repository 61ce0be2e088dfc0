"""The story of a team on GitHub: what `init --github` wrote runs, step by step, from a proposal to production."""

from __future__ import annotations

import re

import pytest

from actions_world import needs_engine
from github_team import PAGE, Ground, commands_of_the_page, fine
from registry_world import needs_registry

pytestmark = [pytest.mark.slow, needs_engine, needs_registry]


def test_a_proposal_is_told_of_once_and_checked_twice(github_ground: Ground) -> None:
    """One comment, kept up to date; the gates pass; the approvals follow the reviews."""
    team = github_ground.after("proposed")
    fine(team.actions.runs)
    (said,) = team.comments(1)
    assert "churn" in said
    assert (team.check(1, "gates"), team.check(1, "approvals") in ("None", "none")) == ("success", True)
    team.approve(1)
    assert team.check(1, "approvals") == "success"
    (now,) = team.comments(1)
    assert now != said


def test_a_merge_becomes_a_release_in_staging_and_asks_for_production(github_ground: Ground) -> None:
    """A release that is signed and in the registry, staging by a commit, and a pull request that the loop opens."""
    team = github_ground.after("staging")
    assert team.releases() == ["1"]
    assert team.deployment("staging")["stable"] == 1
    (promotion,) = team.open_pulls("Promote")
    assert team.hub.pulls[promotion]["user"]["type"] == "Bot"
    assert (team.check(promotion, "gates"), len(team.comments(promotion))) == ("neutral", 1)


def test_the_review_of_a_promotion_brings_production(github_ground: Ground) -> None:
    """The first release has nothing to be compared with, so it takes production whole."""
    team = github_ground.after("production")
    assert team.deployment("production")["stable"] == 1
    assert team.shown("production")[-1][0] == "success"


def test_what_the_page_says_it_costs_is_what_it_costs(github_ground: Ground) -> None:
    """Jobs are counted exactly; of requests the page says some more, as a fault or a newer answer asks for another."""
    team = github_ground.after("production")
    with team.costing("day"):
        fine([*team.schedule("release.yml"), *team.schedule("monitor.yml")])
    told = re.findall(r"^\| .+ \| (\d+) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    found = [team.costs[what] for what in ("proposed", "approved", "staging", "production", "day")]
    for what, cost in team.costs.items():
        print(f"{what}: {cost.jobs} jobs, {cost.calls} requests, {cost.seconds:.0f} s ({cost.processor:.0f} s of work)")
    assert [int(jobs) for jobs, _ in told] == [cost.jobs for cost in found]
    assert all(cost.calls <= int(most) <= 1.25 * cost.calls for (_, most), cost in zip(told, found, strict=True)), found


def test_every_command_of_the_page_is_typed(github_ground: Ground) -> None:
    """From an empty repository to a proposal in their order, and what is typed where there is no App."""
    team = github_ground.after("proposed")
    assert team.typed == commands_of_the_page()
    assert set(team.actions.secrets["release"]) == {"MODELOPS_SIGNING_KEY", "MODELOPS_APP_PRIVATE_KEY"}
    assert team.actions.variables == {"MODELOPS_APP_ID": "4711", "MODELOPS_RUNNER": "self-hosted"}
    assert team.hub.rules is not None
    for command in commands_of_the_page(whole=True)[len(team.typed) :]:
        team.type(command)
    assert team.hub.settings["/actions/permissions/workflow"]["can_approve_pull_request_reviews"] == "true"
