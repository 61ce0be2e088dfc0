"""What follows on a merge, by the scaffolded workflows: queues, lost and doubled news, an API that goes down."""

from __future__ import annotations

import json
import threading

import pytest

from actions_world import Event, needs_engine
from git_world import git
from github_team import Ground, Team, fine
from registry_world import needs_registry

pytestmark = [pytest.mark.slow, needs_engine, needs_registry]


def arrived(team: Team) -> None:
    """There is one release, it is stable in staging, and one pull request asks for production."""
    assert team.releases() == ["1"]
    assert team.deployment("staging") == {"stable": 1}
    assert len(team.open_pulls("Promote")) == 1
    assert len(git(team.hub.remote, "log", "--format=%s", "--grep", "^Release", "main").splitlines()) <= 1


def test_news_that_comes_twice_or_never_is_the_same_news(github_ground: Ground) -> None:
    """A lost webhook is made up for by the run of the day; said again, and again, it changes nothing."""
    team = github_ground.after("approved")
    team.merge(1, deliver=False)
    merge = team.tip()
    team.miss()
    fine(team.schedule("release.yml"))
    arrived(team)
    tip, pulls = team.tip(), len(team.hub.pulls)
    fine(team.push(merge, "grace"))
    fine(team.push(merge, "grace"))
    assert (team.tip(), len(team.hub.pulls)) == (tip, pulls)
    arrived(team)


def test_two_runs_at_once_make_one_release(github_ground: Ground) -> None:
    """A push and somebody who presses both buttons at that moment: one release, one promotion, and no red run."""
    team = github_ground.after("approved")
    team.merge(1, deliver=False)
    team.miss()
    merge, seen = team.tip(), len(team.actions.runs)
    names = ("release.yml", "reconcile.yml")
    threads = [threading.Thread(target=team.push, args=(merge, "grace"))]
    threads += [threading.Thread(target=team.dispatch, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fine(team.actions.runs[seen:])
    arrived(team)


@pytest.mark.parametrize("down", ["/git/commits", "/deployments"])
def test_an_api_that_is_gone_in_the_middle_is_made_up_for(github_ground: Ground, down: str) -> None:
    """With an hour to wait for it nobody waits: the run is red, and the next one ends as an undisturbed one."""
    team = github_ground.after("approved")
    told = json.dumps({"message": "API rate limit exceeded"}).encode()
    away = {"now": False}

    def fault(method: str, path: str, number: int) -> tuple[int, dict[str, str], bytes] | None:
        away["now"] |= method == "POST" and path.endswith(down)
        return (429, {"Retry-After": "3600"}, told) if away["now"] else None

    team.hub.fault = fault
    team.merge(1, deliver=False)
    assert "failure" in {run.conclusion for run in team.push(team.tip(), "grace")}
    team.hub.fault = lambda method, path, number: None
    team.miss()
    fine(team.schedule("release.yml"))
    arrived(team)


def test_tokens_that_end_in_the_middle_are_replaced(github_ground: Ground) -> None:
    """The App's token ends between two calls of a release; the job asks for another one."""
    team = github_ground.after("approved")
    ended: list[str] = []

    def fault(method: str, path: str, number: int) -> None:
        if method == "POST" and path.endswith("/git/commits") and not ended:
            ended.extend(team.hub.app.tokens)
            team.hub.app.tokens.clear()

    team.hub.fault = fault
    fine(team.merge(1))
    assert ended
    arrived(team)


def test_a_merge_queue_brings_what_it_tried(github_ground: Ground) -> None:
    """Both checks are written for the queue's commit; its push, a bot's, is released like a person's."""
    team = github_ground.after("approved")
    hub, pull = team.hub, team.hub.pulls[1]
    tried = team.merge_commit(1)
    branch = f"gh-readonly-queue/main/pr-1-{team.tip()}"
    git(hub.remote, "update-ref", f"refs/heads/{branch}", tried)
    group = {
        "head_sha": tried,
        "head_ref": f"refs/heads/{branch}",
        "base_sha": team.tip(),
        "base_ref": "refs/heads/main",
    }
    payload = {"action": "checks_requested", "merge_group": group, "repository": team.repository}
    payload |= {"sender": {"login": "grace", "type": "User"}}
    fine(team.actions.emit(Event("merge_group", payload, f"refs/heads/{branch}", tried)))
    assert (team.check(1, "gates", tried), team.check(1, "approvals", tried)) == ("success", "success")
    hub.merged(pull, tried, "github-merge-queue[bot]")
    git(hub.remote, "update-ref", "-d", f"refs/heads/{branch}")
    git(hub.remote, "update-ref", "-d", "refs/heads/propose-churn")
    fine(team.deliver("github-merge-queue[bot]"))
    arrived(team)


def test_a_repository_that_was_renamed_goes_on(github_ground: Ground) -> None:
    """GitHub sends on whoever asks for the old name; the branch of the pull request is gone, too."""
    team = github_ground.after("approved")
    team.merge(1, deliver=False)
    git(team.hub.remote, "update-ref", "-d", "refs/heads/propose-churn")
    team.hub.moved = True
    fine(team.deliver("grace"))
    arrived(team)


def test_a_default_branch_of_another_name_stops_the_run_of_the_day(github_ground: Ground) -> None:
    """The environment is still the old one's, and the files go on naming it: the run is red, and writes nothing.

    Where somebody has let the new name use the environment, the run says which branch is missing.
    """
    team = github_ground.after("approved")
    remote, actions = team.hub.remote, team.actions
    git(remote, "branch", "-m", "main", "trunk")
    tip = git(remote, "rev-parse", "refs/heads/trunk")
    payload = {"repository": team.repository | {"default_branch": "trunk"}, "sender": {"login": "ada", "type": "User"}}
    event, actions.branch = Event("schedule", payload, "refs/heads/trunk", tip), "trunk"
    try:
        (barred,) = actions.emit(event, "release.yml")
        actions.deploying["release"] = ["trunk"]
        (run,) = actions.emit(event, "release.yml")
    finally:
        actions.branch = "main"
    assert (barred.conclusion, run.conclusion) == ("failure", "failure")
    assert "refs/heads/trunk is not allowed to deploy to release" in barred.jobs["release"].log
    assert "error: " in run.jobs["release"].log
    assert "main" in run.jobs["release"].log.partition("error: ")[2]
    assert git(
        remote, "for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads/trunk", "refs/heads/main"
    ) == (f"trunk {tip}")
