"""What becomes of pull requests, by the scaffolded workflows: bad, strangers', moved and closed ones."""

from __future__ import annotations

import json
import threading

import httpx
import pytest

from actions_world import Event, JobRun, Run, needs_engine
from git_world import git
from github_team import Ground, Team, fine
from registry_world import needs_registry
from waiting import wait_for

pytestmark = [pytest.mark.slow, needs_engine, needs_registry]

TRAIN = "models/churn/train.py"


def merging(team: Team, number: int) -> httpx.Response:
    """Press the button that merges."""
    path = f"{team.hub.url}/repos/acme/models/pulls/{number}/merge"
    head = {"sha": team.hub.pulls[number]["head"]["sha"], "merge_method": "merge"}
    return httpx.put(path, headers={"Authorization": "Bearer token-of-grace"}, json=head)


def jobs(runs: list[Run], file: str) -> dict[str, JobRun]:
    return next(run for run in runs if run.file == file).jobs


def test_a_model_that_has_learned_nothing_cannot_be_merged(github_ground: Ground) -> None:
    """The gate fails where everybody sees it, the rules hold the button, and an approval does not help."""
    team = github_ground.after("production")
    text = git(team.hub.remote, "show", "main:models/churn/model.yaml") + "\n"
    number = team.write(
        {"models/churn/model.yaml": text.replace("      - {name: x, type: number}\n", "")}, "no-x", "Drop x"
    )
    assert team.check(number, "gates") == "failure"
    (said,) = team.comments(number)
    assert "better-than-chance" in said
    team.approve(number)
    refused = merging(team, number)
    assert (refused.status_code, "modelops/gates" in refused.text) == (405, True)
    assert team.releases() == ["1"]


def test_what_a_stranger_proposes_finds_nothing_to_take(github_ground: Ground) -> None:
    """From a fork the proposed code runs without a secret or a token, and its pull request is told like everybody's."""
    team = github_ground.after("production")
    text = git(team.hub.remote, "show", f"main:{TRAIN}") + "\n"
    looks = 'import os\nraise ValueError("LOOKED " + " ".join(sorted(os.environ)) + " ".join(os.environ.values()))\n'
    begins = "from __future__ import annotations\n"
    number = team.write({TRAIN: text.replace(begins, begins + looks)}, "look-around", "Look around", deliver=False)
    head = team.hub.pulls[number]["head"]
    head |= {"label": "mallory:look-around", "repo": {"id": 2, "full_name": "mallory/models", "name": "models"}}
    team.miss()
    runs = team.emit("pull_request", number, "opened", "bob", fork=True)
    report = jobs(runs, "pull-request.yml")["report"]
    assert (report.result, "LOOKED" in report.log) == ("failure", True), report.log
    secrets = [*team.actions.secrets["release"].values()]
    for name, job in jobs(runs, "pull-request.yml").items():
        for seen in job.environments:
            told = {value for value in seen.values() if "ghs_" in value or any(one in value for one in secrets)}
            assert bool(told) == (name == "fetch" and "GITHUB_TOKEN" in seen), (name, told)
        assert "***" not in job.log, "a secret was printed, which the runner masks"
    assert team.check(number, "gates") == "failure"
    assert len(team.comments(number)) == 1


TAKES = """name: pull-request
on: {on}
permissions: {{}}
jobs:
  take:
    runs-on: ubuntu-24.04
    permissions: {{contents: write}}
    environment: release
    steps:
      - run: "true"
        env: {{TAKEN: "${{{{ secrets.MODELOPS_SIGNING_KEY }}}}"}}
"""


@pytest.mark.parametrize("on", ["push", "pull_request", "pull_request_review", "workflow_dispatch"])
def test_a_workflow_of_another_branch_comes_to_no_key(github_ground: Ground, on: str) -> None:
    """Whoever may push a branch may push a workflow that names the environment: no step of it begins.

    It is called as the one that `publish.yml` follows, and leaves nothing that speaks for a pull request either.
    """
    team = github_ground.after("approved")
    actions, ref = team.actions, "refs/heads/main-2"
    git(team.work, "switch", "-q", "--create", "main-2")
    (team.work / ".github/workflows/take.yml").write_text(TAKES.format(on=on))
    git(team.work, "add", "--all")
    git(team.work, "commit", "-q", "--message", "Take it")
    git(team.work, "push", "-q", "origin", "main-2")
    tip = git(team.work, "rev-parse", "HEAD")
    payload = {"repository": team.repository, "sender": {"login": "ada", "type": "User"}}
    if on.startswith("pull"):
        ref, about = "refs/pull/9/merge", {"head": {"sha": tip, "ref": "main-2"}, "base": {"ref": "main"}}
        payload |= {"number": 9, "pull_request": about, "action": "opened"}
    event = Event(on, payload, ref, tip)
    said = json.dumps(team.hub.runs)

    def taken() -> tuple[str, bool]:
        run = next(run for run in actions.emit(event, "take.yml") if run.file == "take.yml")
        return run.conclusion, any(seen.get("TAKEN") for seen in run.jobs["take"].environments)

    assert taken() == ("failure", False)
    assert json.dumps(team.hub.runs) == said
    # It is the rule of branches alone that keeps it: without it the same workflow has the key.
    del actions.deploying["release"]
    assert taken() == ("success", True)


def test_what_was_approved_is_not_what_was_pushed_after_it(github_ground: Ground) -> None:
    """A head that was pushed over after the approval has to be approved again; closing it changes nothing."""
    team = github_ground.after("approved")
    assert team.check(1, "approvals") == "success"
    git(team.work, "commit", "-q", "--amend", "--message", "Propose something else", "--allow-empty")
    git(team.work, "push", "-q", "--force", "origin", "propose-churn")
    team.deliver("ada")
    assert team.check(1, "gates") == "success"
    assert team.check(1, "approvals") != "success"
    assert merging(team, 1).status_code == 405
    # Closed and opened again it is what it was, and says so once.
    team.call("PATCH", "/pulls/1", "ada", state="closed")
    assert team.emit("pull_request", 1, "closed", "ada") == []
    team.call("PATCH", "/pulls/1", "ada", state="open")
    fine(team.emit("pull_request", 1, "reopened", "ada"))
    assert len(team.comments(1)) == 1
    team.approve(1)
    assert team.check(1, "approvals") == "success"


def test_a_newer_push_ends_the_run_of_the_one_before_it(github_ground: Ground) -> None:
    """Nobody is told of a run that was ended, and one comment is left, of the newest head."""
    team = github_ground.after("proposed")
    seen = len(team.actions.runs)
    git(team.work, "commit", "-q", "--allow-empty", "--message", "First thought")
    git(team.work, "push", "-q", "origin", "propose-churn")
    first = threading.Thread(target=team.deliver, args=("ada",))
    first.start()
    started = lambda: any("report" in run.jobs and run.process is not None for run in team.actions.runs[seen:])  # noqa: E731
    wait_for(started)
    git(team.work, "commit", "-q", "--allow-empty", "--message", "Second thought")
    git(team.work, "push", "-q", "origin", "propose-churn")
    team.deliver("ada")
    first.join()
    ended, *_ = (run for run in team.actions.runs[seen:] if run.file == "pull-request.yml")
    assert ended.conclusion == "cancelled"
    assert team.check(1, "gates") == "success"
    assert len(team.comments(1)) == 1


def test_a_pull_request_larger_than_github_tells_of_is_told_whole(github_ground: Ground) -> None:
    """Of 251 commits GitHub names the people of 250: somebody is not known, which is said, and a squash mends it."""
    team = github_ground.after("production")
    git(team.work, "switch", "-q", "main")
    git(team.work, "pull", "-q", "--ff-only")
    git(team.work, "switch", "-q", "--create", "large")
    base = git(team.work, "rev-parse", "main")
    notes = {f"notes/{'long-' * 30}{number:03}.md": f"{number}\n" for number in range(301)}
    for path, text in notes.items():
        (team.work / path).parent.mkdir(parents=True, exist_ok=True)
        (team.work / path).write_text(text)
    code = team.work / TRAIN
    code.write_text(code.read_text() + "# Reviewed.\n")
    for number in range(250):
        git(team.work, "commit", "-q", "--allow-empty", "--message", f"Step {number}")
    number = team.propose("large", "Many steps")
    (said,) = team.comments(number)
    assert len(said) < 65_536
    assert (team.check(number, "gates"), team.check(number, "approvals")) == ("success", "None"), said
    team.approve(number)
    assert team.check(number, "approvals") == "None"
    (said,) = team.comments(number)
    assert "whoever wrote more than 250 commits" in said
    assert merging(team, number).status_code == 405
    git(team.work, "reset", "-q", "--soft", base)
    git(team.work, "commit", "-q", "--message", "Many steps in one")
    git(team.work, "push", "-q", "--force", "origin", "large")
    team.deliver()
    team.approve(number)
    assert (team.check(number, "approvals"), len(team.comments(number))) == ("success", 1)
    fine(team.merge(number))
    assert git(team.hub.remote, "ls-tree", "-r", "--name-only", "main", "notes").count("\n") == 300
