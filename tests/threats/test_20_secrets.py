"""Threat 20: a key or a token is committed, and stays in git for everybody who has the repository."""

from __future__ import annotations

import pytest

from git_world import write
from world.conftest import Put

TOKEN = "ghp_" + "a1B2" * 10
KEY = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIOmP\n-----END EC PRIVATE KEY-----\n"
AWS = "AKIA" + "Q7" * 8


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("models/churn/notes.txt", f"first\n{KEY}", 2),
        ("models/churn/train.py", f'"""Train."""\nTOKEN = "{TOKEN}"\n', 2),
        (".env", f"AWS_ACCESS_KEY_ID={AWS}\n", 1),
        ("policies/notes.yaml.txt", f"token: {TOKEN}\n", 1),
    ],
)
def test_a_secret_in_a_change_is_refused_and_not_quoted(put: Put, path: str, text: str, line: int) -> None:
    """`validate --since` names the file and line of what a pull request would bring, committed or not."""
    world = put(on_trial=False)
    world.home()
    world.git("checkout", "-q", "-b", "change")
    write(world.root, {path: text})
    ours = path.startswith(("models/", "policies/"))
    # What lies elsewhere is looked at as it was committed.
    for commit in (False, True) if ours else (True,):
        if commit:
            world.git("add", "--all", "--force")
            world.git("commit", "-q", "-m", "Change")
        ended = world.run("validate", "--since", "origin/main")
        assert (ended.code, "[secret-in-git]" in ended.err) == (3, True), ended.err
        assert f"{path}:{line}:" in ended.err
        assert not any(secret in ended.out + ended.err for secret in (TOKEN, AWS, "MHcCAQEEIOmP"))


def test_words_about_keys_are_no_secrets(put: Put) -> None:
    """What only speaks of keys, public ones and digests are left alone."""
    world = put(on_trial=False)
    world.home()
    world.git("checkout", "-q", "-b", "change")
    text = (
        "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\nghp_ is how tokens begin; AKIA too\n" + "ab" * 32
    )
    write(world.root, {"models/churn/notes.txt": text + "\n"})
    world.git("add", "--all")
    world.git("commit", "-q", "-m", "Change")
    assert "secret-in-git" not in world.run("validate", "--since", "origin/main").err
