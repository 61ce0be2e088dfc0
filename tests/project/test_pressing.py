"""Who pressed the button of a job, as the job is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from forges.forge_world import github_forge
from git_world import ADA, NOON, World
from github_world import github
from modelops.errors import ModelOpsError
from modelops.project.pressing import pressed_by, with_presser


def told(actor: str, number: str, again: str) -> dict[str, str]:
    return {"MODELOPS_ACTOR": actor, "MODELOPS_ACTOR_ID": number, "MODELOPS_TRIGGERING_ACTOR": again}


def test_nobody_is_named_outside_of_a_job() -> None:
    """On a person's machine git's user is who acts."""
    assert pressed_by({"GITHUB_ACTOR": "ada", "GITHUB_ACTOR_ID": "11"}) is None
    assert with_presser("Promote", None) == "Promote"


@pytest.mark.parametrize(
    ("actor", "number", "again"),
    [
        ("grace", "13", "bob"),
        ("grace", "13", ""),
        ("grace", "", "grace"),
        ("", "13", ""),
        ("grace", "0x13", "grace"),
        ("grace\n\nCo-authored-by: bob", "13", "grace"),
        ("a> <b@example.com", "13", "a> <b@example.com"),
        ("--x", "13", "--x"),
    ],
)
def test_what_is_not_whole_or_no_login_is_refused(actor: str, number: str, again: str) -> None:
    """Nothing is proposed in nobody's name, and no value becomes another line of the message."""
    with pytest.raises(ModelOpsError) as caught:
        pressed_by(told(actor, number, again))
    assert caught.value.first.code == "presser-unknown"


@pytest.mark.parametrize(
    ("server", "host"),
    [("", "github.com"), ("https://github.com", "github.com"), ("https://git.acme.org", "git.acme.org")],
)
def test_the_address_is_that_of_the_server(server: str, host: str) -> None:
    """An Enterprise Server gives addresses of its own."""
    found = pressed_by({**told("Grace", "13", "grace"), "GITHUB_SERVER_URL": server})
    assert found is not None
    assert (found.email, found.login) == (f"13+Grace@users.noreply.{host}", "grace")


def test_github_counts_whoever_pressed_it_among_those_with_a_hand_in_it(tmp_path: Path) -> None:
    """The bot wrote, committed and pushed it; the person is found by the number of the account."""
    world = World(tmp_path)
    with github(world.remote) as served:
        clone = world.clone("job")
        forge = github_forge(served, clone, "token-of-ada")
        base = clone.tip("main")
        host = forge._noreply.removeprefix("users.noreply.")
        presser = pressed_by({**told("grace", "13", "grace"), "GITHUB_SERVER_URL": f"https://{host}"})
        head = clone.commit_files(base, {"x.txt": b"1"}, with_presser("Promote", presser), ADA, NOON)
        clone.push_branch("change", head)
        pull = forge.open(title="T", body="", source="change").pull
        assert {one.id for one in forge.involved(pull, base)} == {"11", "13"}
