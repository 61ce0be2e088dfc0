"""Releases that are tried on a part of the traffic, by the scaffolded workflows: to their end, and back again."""

from __future__ import annotations

import pytest

from actions_world import needs_engine
from git_world import git
from github_team import Ground, Team, fine
from github_world import ACCOUNTS
from registry_world import needs_registry

pytestmark = [pytest.mark.slow, needs_engine, needs_registry]


def reconciled(team: Team) -> None:
    """Press the button that reconciles."""
    fine(team.dispatch("reconcile.yml"))


def test_a_second_release_is_tried_on_a_quarter_and_then_has_all(github_ground: Ground) -> None:
    """A squashed proposal and a rebased promotion: a canary that GitHub shows, stable by a commit, and a way back."""
    team = github_ground.after("on trial")
    assert (team.releases(), team.deployment("staging")["stable"]) == (["1", "2"], 2)
    assert team.deployment("production") == {"stable": 1, "candidate": 2}
    state, words = team.shown("production")[-1]
    assert (state, "25" in words) == ("in_progress", True), words
    reconciled(team)  # what ran was not kept
    assert set(team.ask(300)) == {200}
    reconciled(team)
    assert team.deployment("production") == {"stable": 1, "candidate": 2}
    assert set(team.ask(100)) == {200}
    reconciled(team)
    assert team.deployment("production")["stable"] == 2
    assert "candidate" not in team.deployment("production")
    assert team.shown("production")[-1][0] == "success"
    # Whoever reverts the end of the trial wants the release before it, by review as everything else.
    git(team.work, "switch", "-q", "main")
    git(team.work, "pull", "-q", "--ff-only")
    git(team.work, "switch", "-q", "--create", "back")
    git(team.work, "revert", "--no-edit", "HEAD")
    number = team.propose("back", "Go back to release 1")
    team.approve(number)
    fine(team.merge(number))
    assert team.deployment("production")["stable"] == 1
    assert set(team.ask(5)) == {200}


def test_a_release_that_fails_in_traffic_is_taken_back_by_the_judge(github_ground: Ground) -> None:
    """All gates pass, as no row has the kind that it cannot answer; its errors beside stable end the trial."""
    team = github_ground.after("on trial")
    reconciled(team)  # what ran was not kept
    assert 500 in team.ask(300, kind="c")
    reconciled(team)
    left = team.deployment("production")
    assert (left["stable"], "candidate" in left, [one["release"] for one in left["denied"]]) == (1, False, [2])
    assert "withdrawn" in git(team.hub.remote, "log", "-1", "--format=%s", "main")


@pytest.mark.parametrize("presser", ["ada", "grace"])
def test_a_button_asks_for_the_way_back_in_the_name_of_who_pressed_it(github_ground: Ground, presser: str) -> None:
    """The pull request is a bot's; whoever pressed the button has a hand in it, so that somebody else approves it."""
    team = github_ground.after("on trial")
    why = {"model": "churn", "environment": "production", "reason": 'it answers "c" with an error; $(exit 1)'}
    fine(team.dispatch("rollback.yml", presser, **why))
    (number,) = team.open_pulls("Roll")
    pull = team.hub.pulls[number]
    message = git(team.hub.remote, "log", "-1", "--format=%B", pull["head"]["sha"])
    told = f"Co-authored-by: {presser} <{ACCOUNTS[presser]['id']}+{presser}@users.noreply.github.com>"
    assert (pull["user"]["type"], told in message, why["reason"] in pull["body"]) == ("Bot", True, True)
    team.approve(number)
    assert (team.check(number, "approvals") == "success") == (presser != "grace")
    if presser == "grace":
        return
    fine(team.merge(number))
    left = team.deployment("production")
    assert (left["stable"], "candidate" in left, [one["release"] for one in left["denied"]]) == (1, False, [2])
