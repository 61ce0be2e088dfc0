"""Where the verbs look for logged predictions, and how a question to the branch is asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli.output import note

if TYPE_CHECKING:
    from modelops.audit import Asked, KnownLog
    from modelops.logs import Log
    from modelops.project.workspace import Workspace

__all__ = ["asked_by", "exported_log", "exported_logs", "log_option", "logs_here"]

log_option = click.option(
    "--log",
    "exported",
    multiple=True,
    metavar="ENV=DIRECTORY",
    help="Also look in what `audit export ENV DIRECTORY` wrote; repeatable.",
)


def exported_log(path: str) -> Log:
    """Open what `audit export` wrote into a folder."""
    from modelops import logs
    from modelops.spec.meta import Plugin

    bound = logs.bind(Plugin(type="exported", params={"path": path}))
    return bound.module.open(bound.params)


def exported_logs(workspace: Workspace, given: Sequence[str]) -> list[KnownLog]:
    """Open the exports that were named, each with its environment and the seals that were exported with it."""
    from modelops.changes.sealing import known_log
    from modelops.predictions.carried import seals_beside

    opened: list[KnownLog] = []
    for text in given:
        environment, separator, path = text.partition("=")
        if not separator:
            raise click.BadParameter(f"{text!r} is not ENV=DIRECTORY", param_hint="--log")
        opened.append(known_log(workspace, environment, exported_log(path), seals_beside(Path(path))))
    return opened


def logs_here(workspace: Workspace) -> list[KnownLog]:
    """Open the logs of all environments that ever ran on this machine."""
    from modelops.changes.sealing import known_log
    from modelops.project.target import all_remembered

    targets = all_remembered(workspace)
    return [known_log(workspace, target.place.environment, target.log()) for target in targets]


def asked_by(workspace: Workspace) -> Asked:
    """Return when a question is asked, and how the branch that answers it stands."""
    from modelops.audit import Asked
    from modelops.governance.judged import unapproved_commits
    from modelops.project.state import accepted_roots

    # What nobody approved is known before it is asked whose keys count.
    unapproved = unapproved_commits(workspace)
    for problem in workspace.trust_problems():
        note(str(problem))
    accepted = accepted_roots(workspace.state, workspace.environ)
    return Asked(workspace.clock(), accepted, unapproved, workspace.standing(workspace.tip()).unapproved)
