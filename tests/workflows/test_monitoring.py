"""Traffic that has moved, by the scaffolded workflows: from the schedule's look to the release that learned from it."""

from __future__ import annotations

import pytest

from actions_world import needs_engine
from git_world import git
from github_team import Ground, Team, fine
from registry_world import needs_registry

pytestmark = [pytest.mark.slow, needs_engine, needs_registry]

MONITOR = """apiVersion: modelops/v1
kind: Monitor
metadata:
  name: churn
spec:
  windowDays: 7
  minimumRequests: 100
  retraining: {sustained: 1, cooldownDays: 7, lookbackDays: 30, minimumRows: 100}
"""


def monitored(team: Team) -> str:
    """Let the hour come at which the workflow looks; return how its run ended, which is red where something alerts."""
    look, *after = team.schedule("monitor.yml")
    assert look.file == "monitor.yml"
    fine(after)
    return look.conclusion


def test_the_look_of_the_day_asks_for_a_retraining_that_is_built_reviewed_and_released(github_ground: Ground) -> None:
    """Quiet traffic asks for nothing; what moved and is labelled does once, and its merge is a release as any other."""
    team = github_ground.after("production")
    number = team.write({"models/churn/monitor.yaml": MONITOR}, "watch", "Look at a week of traffic")
    team.approve(number)
    fine(team.merge(number))
    fine(team.dispatch("reconcile.yml"))  # what ran was not kept
    assert set(team.ask(150)) == {200}
    assert (monitored(team), team.open_pulls("Retrain")) == ("success", [])
    team.label(team.answers(300, mean=4.0, seed=1))
    assert monitored(team) == "failure"
    (number,) = team.open_pulls("Retrain")
    assert (monitored(team), team.open_pulls("Retrain")) == ("failure", [number])
    pull = team.hub.pulls[number]
    changed = git(team.hub.remote, "diff", "--name-only", f"main...{pull['head']['sha']}").splitlines()
    assert {path.split("/")[2] for path in changed} == {"data", "model.yaml"}, changed
    (told,) = team.comments(number)
    assert "x (PSI" in pull["body"]
    assert team.check(number, "gates") == "success", told
    team.approve(number)
    assert team.check(number, "approvals") == "success", team.hub.runs[-4:]
    fine(team.merge(number))
    assert team.releases() == ["1", "2"]
    assert team.deployment("staging")["stable"] == 2
    assert len(team.open_pulls("Promote")) == 1
