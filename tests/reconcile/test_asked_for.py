"""What buttons and schedules ask for by pull request: promotions that are due, and the way back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from git_world import git
from reconcile.loop_world import MODEL, World

Live = Callable[[str], World]


def test_a_promotion_is_asked_for_once_it_is_due_and_not_again_once_refused(live: Live) -> None:
    """What is stable before is proposed, once; closing that is a no, until a person names the release."""
    world = live("second")
    asked = ("promote", "--to", "production", "--due", "--yes", "-o", "json")
    (one,) = world.ok(*asked).json
    assert (one["release"], one["already"]) == (2, False)
    (again,) = world.ok(*asked).json
    assert (again["pullRequest"], again["already"]) == (one["pullRequest"], True)
    world.ok("pr", "close", str(one["pullRequest"]))
    assert world.ok(*asked).json == []
    named = world.ok("promote", MODEL, "--to", "production", "--yes", "-o", "json").json
    assert named["pullRequest"] != one["pullRequest"]


def test_what_is_there_already_or_nowhere_before_is_not_due(live: Live) -> None:
    """Production has staging's release, and nothing comes before staging; a model beside --due is a mistake."""
    world = live("promoted")
    for environment in ("production", "staging"):
        assert world.ok("promote", "--to", environment, "--due", "--yes", "-o", "json").json == []
    assert world.run("promote", MODEL, "--to", "production", "--due", "--yes").code == 2
    assert world.run("promote", "--to", "production", "--yes").code == 2
    assert world.run("promote", "--to", "nowhere", "--due", "--yes").code == 2


def test_a_rollback_can_be_asked_for_by_pull_request(live: Live) -> None:
    """Nothing changes until it is merged; then the release before answers, and the one that left is denied."""
    world = live("second")
    asked = ("rollback", MODEL, "-e", "staging", "--reason", "it harms", "--propose", "--yes", "-o", "json")
    before = world.tip()
    number = world.ok(*asked).json["pullRequest"]
    assert world.ok(*asked).json["pullRequest"] == number
    assert world.tip() == before
    world.ok("pr", "review", str(number), "--approve", "--as", "grace")
    world.ok("pr", "merge", str(number))
    world.reconcile("staging")
    there = world.deployment("staging")
    assert there["stable"] == 1
    assert [one["release"] for one in there["denied"]] == [2]
    assert world.ok("promote", "--to", "production", "--due", "--yes", "-o", "json").json == []


def test_whoever_presses_the_button_has_a_hand_in_what_it_proposes(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit names the person as an author too, a rollback who decided; a run that others repeat is refused."""
    world = live("second")
    told = {**world.environ(), "MODELOPS_ACTOR": "Grace", "MODELOPS_ACTOR_ID": "13", "MODELOPS_TRIGGERING_ACTOR": "bob"}
    monkeypatch.setattr(world, "environ", lambda: told)
    rollback = ("rollback", MODEL, "-e", "staging", "--reason", "it harms", "--propose", "--yes", "-o", "json")
    promote = ("promote", MODEL, "--to", "production", "--yes", "-o", "json")
    for asked in (rollback, promote):
        refused = world.run(*asked)
        assert (refused.code, "bob" in refused.err, "presser-unknown" in refused.err) == (1, True, True), refused.err
    told["MODELOPS_TRIGGERING_ACTOR"] = "Grace"
    for asked in (rollback, promote):
        pull = world.workspace().forge.get(world.ok(*asked).json["pullRequest"])
        message = git(world.root, "show", "-s", "--format=%B", pull.head)
        assert message.endswith("\n\nCo-authored-by: Grace <13+Grace@users.noreply.github.com>")
        assert ("grace: it harms" in pull.body) == (asked is rollback)
