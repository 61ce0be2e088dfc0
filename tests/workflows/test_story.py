"""The story of a team on GitHub: what `init --github` wrote runs, step by step, from a proposal to production."""

from __future__ import annotations

import pytest

from actions_world import needs_engine
from github_team import Ground, fine
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
