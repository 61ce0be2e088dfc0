"""What to type after `init`, told once: `init` prints it, the README of a new repository holds it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modelops.errors import ModelOpsError
from modelops.scaffold.files import TEMPLATES, write_new
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site, identity
from modelops.spec.kinds.approval_policy import ApprovalPolicySpec
from modelops.spec.layout import APPROVALS, MODEL, PROJECT
from modelops.spec.load import load_resource

__all__ = ["EXAMPLE", "OTHERWISE", "Hour", "add_readme", "hour_of", "next_steps"]

EXAMPLE = "fraud-detection"
OTHERWISE = "# or from your own table: modelops init --model NAME --data FILE --target COLUMN"
README = "README.md"


@dataclass(frozen=True, slots=True)
class Hour:
    """What the commands depend on: the project's branch and remote, what was done already, and who may approve.

    ``folder`` is the project's, where they are not typed in it yet.
    """

    branch: str
    remote: str | None
    outside: Sequence[str] = ()
    begun: bool = False
    elsewhere: bool = False
    reviewer: str = "LOGIN"
    number: str = "1"
    user: str | None = None
    folder: str | None = None

    def rules(self) -> list[str]:
        """Return what puts the rules on the branch: the one commit that nobody approves, and without a model."""
        if self.begun:
            return []
        name = [f'git config user.name "{self.user}"', f"git config user.email {self.user}@example.com"]
        places = " ".join(shlex.quote(place) for place in self.outside)
        return [
            *(name if self.user is not None else []),
            *([f"git switch {self.branch}"] * self.elsewhere),
            f"git add -- . ':!models'{' ' if places else ''}{places}",
            'git commit --message "Begin with modelops"',
            *([f"git push --set-upstream {self.remote} {self.branch}"] if self.remote else []),
        ]  # fmt: skip

    def proposal(self, model: str) -> list[str]:
        """Return what brings a model by pull request to staging, and asks for production: nothing else counts."""
        since = f"{self.remote}/{self.branch}" if self.remote else self.branch
        return [
            f"git switch --create propose-{model.replace('/', '-')}",
            "git add --all",
            f'git commit --message "Propose {model}"',
            f'modelops pr create --title "Propose {model}"',
            f"modelops validate --since {since}",
            f"modelops plan --since {since}",
            f"modelops build --since {since} --pull-request {self.number}",
            f"modelops pr review {self.number} --approve --as {self.reviewer}",
            f"modelops pr merge {self.number}",
            f"git switch {self.branch}",
            *(["git pull"] if self.remote else []),
            "modelops deliver --yes",
        ]


def hour_of(site: Site) -> Hour:
    """Return what the commands depend on here."""
    home, repository = site.home, site.repository
    tip = repository.find(f"refs/heads/{home.branch}") or repository.find(f"refs/remotes/{home.remote}/{home.branch}")
    me = identity(site)[1]
    approvals: ApprovalPolicySpec = load_resource((site.root / APPROVALS.path()).read_bytes(), APPROVALS.path()).spec
    logins = [login for group in approvals.groups.values() for login in group if login.lower() != me.lower()]
    begun = tip is not None and repository.blob_id(tip, PROJECT.path()) is not None
    return Hour(
        branch=home.branch,
        remote=home.remote if home.remote in repository.remotes else None,
        outside=["/".join([".."] * len(home.folder.split("/")) + [".github"])] if _runs_outside(site) else [],
        begun=begun,
        elsewhere=tip is not None and repository.branch != home.branch,
        reviewer=logins[0] if logins else "LOGIN",
        number=_number(site) if begun else "1",
        user=me if repository.find_user() is None else None,
        folder=_folder(site.root.resolve(), Path.cwd().resolve()),
    )


def _runs_outside(site: Site) -> bool:
    """Tell whether something of the project lies outside of its folder: what the forge runs."""
    return bool(site.home.folder) and (site.repository.top / ".github").exists()


def _folder(root: Path, here: Path) -> str | None:
    """Return how a shell in one folder comes into another; None where it is there."""
    if root == here:
        return None
    return root.relative_to(here).as_posix() if root.is_relative_to(here) else str(root)


def _number(site: Site) -> str:
    """Return the number that the next pull request gets, or a word where that cannot be told without asking anybody."""
    from modelops.project.workspace import open_workspace

    if site.settings.spec.forge.type != "embedded":
        return "NUMBER"
    try:
        pulls = open_workspace(site.root, os.environ, dirty=True).forge.find(state="all")
    except ModelOpsError:
        return "NUMBER"
    return str(max((pull.number for pull in pulls), default=0) + 1)


def next_steps(result: Result, hour: Hour) -> list[str]:
    """Return what to do next, in the words of a shell: what is no command is a comment."""
    told = [f"cd {shlex.quote(hour.folder)}"] if hour.folder else []
    told += [f"# keep {result.key} safe: it signs releases and is not in git"] if result.key else []
    told += [f"# {line}" for line in result.next]
    if result.model is None:
        return [*told, *hour.rules(), f"modelops init --example {EXAMPLE}", OTHERWISE]
    return [*told, f"# read {MODEL.path(result.model)}, and correct it", *hour.rules(), *hour.proposal(result.model)]


def add_readme(site: Site, result: Result, hour: Hour) -> None:
    """Write the README of a new repository that has none: how to begin is told with its own names."""
    if (site.root / README).exists():
        return
    model = result.model or EXAMPLE
    begin = [] if result.model else [f"modelops init --example {EXAMPLE}"]
    commands = [*begin, *hour.rules(), *hour.proposal(model)]
    text = (TEMPLATES / "readme.md").read_text(encoding="utf-8")
    text = text.replace("{commands}", "\n".join(commands)).replace("{branch}", hour.branch)
    write_new(site.root, {README: text.encode()}, site.undo)
    result.files.append(README)
