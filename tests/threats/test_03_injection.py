"""Threat 3: a name, a title or a value of YAML becomes a command, a path, another document or memory without end."""

from __future__ import annotations

from pathlib import Path

import pytest

from git_world import git, write
from modelops.errors import ModelOpsError
from modelops.spec.load import load_resource
from world.conftest import Put
from world.hostile import PRODUCTION, Hostile

HEAD = "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: production\n"
BOMB = (
    "".join(f"  a{n}: &a{n} [{', '.join(['*a' + str(n - 1)] * 9)}]\n" for n in range(1, 9))
    .replace("[*a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0, *a0]", "[x, x, x, x, x, x, x, x, x]")
)  # fmt: skip
DOCUMENTS = {
    "a key said twice": (HEAD + "spec:\n  stable: 1\n  stable: 3\n", "duplicate-key"),
    "an object of Python": (HEAD + "spec: !!python/object/apply:os.system [touch /tmp/own]\n", "yaml-tag"),
    "a tag of one's own": (HEAD + "spec: !run {stable: 1}\n", "yaml-tag"),
    "aliases without end": (HEAD + "spec:\n" + BOMB, "too-many-aliases"),
    "a merge key": (HEAD + "base: &base {stable: 1}\nspec:\n  <<: *base\n", "unknown-key"),
    "an unknown key": (HEAD + "spec:\n  stable: 1\n  stabel: 3\n", "unknown-key"),
    "two documents": (HEAD + "spec:\n  stable: 1\n---\n" + HEAD + "spec:\n  stable: 3\n", "multiple-documents"),
    "a number in octal": (HEAD + "spec:\n  stable: 0o1\n", "wrong-type"),
    "a number with underlines": (HEAD + "spec:\n  stable: 1_0\n", "wrong-type"),
    "no number": (HEAD + "spec:\n  stable: .nan\n", "wrong-type"),
    "another name than the path's": (HEAD.replace("production", "staging") + "spec:\n  stable: 1\n", "name-mismatch"),
    "a path for a name": (HEAD.replace("production", "../production") + "spec:\n  stable: 1\n", "name-mismatch"),
    "a name of other letters": (HEAD.replace("production", "prоduction") + "spec:\n  stable: 1\n", "name-mismatch"),
}
NAMES = (
    "$(touch own)",
    "`touch own`",
    "a; touch own",
    "a\ntouch own",
    "--upload-pack=touch own",
    "%0Atouch own",
    "{{7*7}}",
)


@pytest.mark.parametrize("case", DOCUMENTS)
def test_a_document_that_means_two_things_is_refused(case: str) -> None:
    """Each is an error with its place, and none is read as something."""
    text, code = DOCUMENTS[case]
    with pytest.raises(ModelOpsError) as caught:
        load_resource(text.encode(), PRODUCTION)
    problem = caught.value.first
    assert problem.code == code
    assert problem.location is not None
    assert problem.location.line >= 1


@pytest.fixture
def world(put: Put) -> Hostile:
    """Return a calm repository."""
    return put(on_trial=False)


def test_no_name_becomes_a_command(world: Hostile) -> None:
    """Titles, branches, models, environments and reasons that are shell, options or templates run nothing."""
    before = {*world.root.iterdir(), *world.folder.iterdir()}
    for name in NAMES:
        for words in (
            ("plan", name),
            ("status", name),
            ("audit", "release", name, "1"),
            ("audit", "environment", name),
            ("promote", name, "--to", name, "--yes"),
            ("rollback", name, "-e", name, "--yes"),
            ("pr", "create", "--title", name, "--body", name),
            ("pr", "view", name),
            ("validate", "--since", name),
        ):
            ended = world.run(*words)
            assert ended.code in (1, 2, 3, 4), (words, ended.out, ended.err)
            assert "Traceback" not in ended.err
    assert {*world.root.iterdir(), *world.folder.iterdir()} == before


def test_a_title_is_only_text(world: Hostile) -> None:
    """A pull request whose title is shell and a workflow command is opened and shown, as the text that it is."""
    world.home()
    world.git("checkout", "-q", "-b", "odd")
    write(world.root, {"models/churn/model.yaml": (world.root / "models/churn/model.yaml").read_text() + "# words\n"})
    world.git("commit", "-qam", "Odd")
    title = "$(touch own) `touch own` ::set-output name=x::y"
    number = world.ok("pr", "create", "--title", title, "-o", "json").out
    assert title.replace('"', '\\"') in number
    assert title in world.ok("pr", "list").out
    assert not list(world.folder.rglob("own"))


def test_a_link_leads_nowhere(world: Hostile, tmp_path: Path) -> None:
    """A link in the place of a spec is refused, wherever it leads; the file behind it is not shown."""
    secret = tmp_path / "secret"
    secret.write_text("token: hunter2\n")
    place = world.root / "policies" / "gates" / "linked.yaml"
    place.symlink_to(secret)
    for words in (("validate",), ("plan", "--dirty")):
        ended = world.run(*words)
        assert "symlink-refused" in ended.err
        assert "hunter2" not in ended.err + ended.out
    world.git("add", "--all")
    world.git("commit", "-qm", "Link")
    world.git("push", "-q", world.remote, "HEAD:main")
    assert git(world.root, "ls-files", "-s", "policies/gates/linked.yaml").startswith("120000")
    ended = world.run("plan", "production")
    assert "hunter2" not in ended.err + ended.out
