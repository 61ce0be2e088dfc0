"""Who pressed the button of a job, as the job is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_world import ADA, NOON, World
from github_world import REPOSITORY, github
from modelops.errors import ModelOpsError
from modelops.forges import Opening
from modelops.forges import github as module
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
    ("server", "api", "host"),
    [
        ("", "", "github.com"),
        ("https://github.com", "https://api.github.com", "github.com"),
        ("", "https://api.github.com", "github.com"),
        ("https://git.acme.org", "https://git.acme.org/api/v3", "git.acme.org"),
        ("https://Git.acme.org:8443", "https://api.acme.org", "git.acme.org"),
        ("", "https://git.acme.org:8443/api/v3", "git.acme.org"),
        ("https://acme.ghe.com", "https://api.acme.ghe.com", "acme.ghe.com"),
        ("", "https://api.acme.ghe.com", "acme.ghe.com"),
    ],
)
def test_the_address_is_that_of_the_server(server: str, api: str, host: str) -> None:
    """An Enterprise Server gives addresses of its own, called after its pages, wherever its API is."""
    job = {"GITHUB_SERVER_URL": server, "GITHUB_API_URL": api}
    found = pressed_by({**told("Grace", "13", "grace"), **job})
    assert found is not None
    assert (found.email, found.login) == (f"13+Grace@users.noreply.{host}", "grace")


@pytest.mark.parametrize(
    ("named", "server", "found"),
    [
        (True, "", {"11", "13"}),
        (True, "https://git.acme.org", {"11", "13"}),
        (False, "https://git.acme.org", {"11", "13"}),
        (None, "https://git.acme.org", {"11", ""}),
    ],
)
def test_github_counts_whoever_pressed_it_among_those_with_a_hand_in_it(
    tmp_path: Path, named: bool | None, server: str, found: set[str]
) -> None:
    """The bot wrote, committed and pushed it; the person is found by the number of the account, by one rule of hosts.

    The API's host is another than that of the pages; the project names the API or leaves it to the job. In a job of
    another GitHub than the project's the number is of an account there, which here is nobody who may approve.
    """
    world = World(tmp_path)
    with github(world.remote) as served:
        clone = world.clone("job")
        api = served.url if named is not None else "https://api.elsewhere.example"
        environ = {"GH_TOKEN": "token-of-ada", "GITHUB_SERVER_URL": server, "GITHUB_API_URL": api}
        settings = params(served.url if named is not False else None)
        forge = module.open(settings, Opening(clone, "main", lambda: NOON, environ))
        base = clone.tip("main")
        presser = pressed_by({**told("grace", "13", "grace"), **environ})
        head = clone.commit_files(base, {"x.txt": b"1"}, with_presser("Promote", presser), ADA, NOON)
        clone.push_branch("change", head)
        pull = forge.open(title="T", body="", source="change").pull
        assert {one.id for one in forge.involved(pull, base)} == found


def params(api_url: str | None) -> module.Params:
    return module.Params(repository=REPOSITORY, api_url=api_url)
