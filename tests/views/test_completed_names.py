"""Names that a shell completes: those of git, and of them only what a shell puts into a line as it is."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from git_world import git
from modelops.cli import _names

FILES = (
    "policies/environments/staging.yaml",
    "policies/environments/$(reboot).yaml",
    "policies/environments/`id`.yaml",
    "policies/environments/a;b.yaml",
    "policies/environments/a\nplain,b.yaml",
    "policies/environments/--yes.yaml",
    "models/crm/churn/model.yaml",
    "models/$(reboot)/model.yaml",
    "models/crm/churn/releases/1/release.yaml",
    "models/crm/churn/releases/$(reboot)/release.yaml",
)


def offered(find: object, **params: str) -> list[str]:
    context = click.Context(click.Command("x"))
    context.params.update(params)
    found = find(context, click.Argument(["name"]), "")  # type: ignore[operator]
    return [one.value for one in found]


def test_no_name_is_completed_that_a_shell_would_run(tmp_path: Path) -> None:
    """Whoever pushes a branch may call a file as he likes: pressing the tabulator offers none of that."""
    git(tmp_path, "init", "-q", "-b", "main")
    for path in FILES:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("a: 1\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "-c", "user.name=ada", "-c", "user.email=ada@acme.example", "commit", "-q", "-m", "Names")
    with contextlib.chdir(tmp_path):
        assert offered(_names.environments) == ["staging"]
        assert offered(_names.models) == ["crm/churn"]
        assert offered(_names.releases, model="crm/churn") == ["1"]


def test_where_there_is_nothing_to_read_nothing_is_completed(tmp_path: Path) -> None:
    """Outside of a repository, and in one without a commit, completion is silent."""
    for make in (lambda: None, lambda: git(tmp_path, "init", "-q")):
        make()
        with contextlib.chdir(tmp_path):
            assert offered(_names.environments) == []
