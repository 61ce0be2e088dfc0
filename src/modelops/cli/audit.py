"""modelops audit: who, what and when about a prediction, a release, an environment or its log, offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelops.cli._audited import drawn_of, write_report
from modelops.cli._listings import COMMANDS
from modelops.cli._logs import asked_by, exported_logs, log_option, logs_here
from modelops.cli._names import environments, models, releases
from modelops.cli._working import doing, working
from modelops.cli.output import confirm, emit, in_haste, output_option, report_option, yes_option

if TYPE_CHECKING:
    from modelops.errors import ModelOpsError


@click.group(
    help="Answer who, what and when about a prediction, a release, an environment, its log or the branch; verify all."
)
def command() -> None:
    """Group the questions; the answers come from git and the local prediction logs alone."""


@command.command("prediction")
@click.argument("id")
@log_option
@report_option
@output_option
@in_haste()
def prediction_command(id: str, exported: tuple[str, ...], report: Path | None, output: str) -> int:
    """Tell which release answered ID, what made that release and who approved it.

    It is looked for in the logs of the environments that run on this machine, and in the exports that --log names.
    """
    from modelops import audit
    from modelops.project.workspace import open_workspace
    from modelops.views.proofs import audit as view

    workspace = open_workspace()
    logs = [*logs_here(workspace), *exported_logs(workspace, exported)]
    rescorer, asked = audit.Rescorer(lambda: workspace.store), asked_by(workspace)
    answer = audit.prediction(
        *(workspace.repository, id),
        logs=logs,
        branch=workspace.branch,
        rescorer=rescorer,
        asked=asked,
    )
    emit(output, view.data(answer), lambda: view.text(answer))
    if report is not None:
        write_report(report, workspace, asked.now, answer, view.data(answer))
    return 0 if answer.ok else 1


@command.command("log")
@click.argument("name", shell_complete=environments)
@log_option
@click.option("--sample", type=click.IntRange(min=1), help="Let the releases answer so many rows once more.")
@click.option("--seed", type=click.IntRange(min=0), help="Draw the rows that were drawn with this seed.")
@report_option
@output_option
@working("going through the log")
def log_command(
    name: str, exported: tuple[str, ...], sample: int | None, seed: int | None, report: Path | None, output: str
) -> int:
    """Go through the prediction log of environment NAME: whether it is what was written, and how far it is sealed.

    With --log NAME=DIRECTORY what was exported is gone through instead. Exits with 1 when rows or files were changed,
    removed, added or exchanged; what was dropped by logDays is told and is no flaw.
    """
    import secrets

    from modelops import audit
    from modelops.errors import Exit, failure
    from modelops.project.workspace import open_workspace
    from modelops.views.proofs import prediction_log as view

    if sample and seed is None:
        # A report says how the same rows are asked for again.
        seed = click.get_current_context().params["seed"] = secrets.randbelow(1 << 32)
    workspace = open_workspace()
    here = exported_logs(workspace, exported) or logs_here(workspace)
    known = next((one for one in here if one.environment == name), None)
    if known is None:
        raise no_log(name, [one.environment for one in here])
    asked = asked_by(workspace)
    answer = audit.log(
        workspace.repository,
        known,
        branch=workspace.branch,
        sample=sample or 0,
        seed=seed or 0,
        rescorer=audit.Rescorer(lambda: workspace.store),
        asked=asked,
    )
    if exported and answer.ok and not answer.parts:
        raise failure(
            "no-export",
            f"{answer.log} holds nothing that was exported of {name!r}",
            exit=Exit.USAGE,
            hint=f"name a folder that was given to `modelops audit export {name}`",
        )
    emit(output, view.data(answer), lambda: view.text(answer))
    if report is not None:
        write_report(report, workspace, asked.now, answer, view.data(answer))
    return 0 if answer.ok else 1


@command.command("release")
@click.argument("model", shell_complete=models)
@click.argument("number", type=click.IntRange(min=1), shell_complete=releases)
@report_option
@output_option
@in_haste()
def release_command(model: str, number: int, report: Path | None, output: str) -> int:
    """Tell what release NUMBER of MODEL was made of, what was measured and who let it in."""
    from modelops import audit
    from modelops.project.workspace import open_workspace
    from modelops.views.proofs import audit as view

    workspace = open_workspace()
    asked = asked_by(workspace)
    answer = audit.release(workspace.repository, model, number, branch=workspace.branch, asked=asked)
    emit(output, view.data(answer), lambda: view.text(answer))
    if report is not None:
        write_report(report, workspace, asked.now, answer, view.data(answer), drawn_of(workspace, answer))
    return 0 if answer.ok else 1


@command.command("environment")
@click.argument("name", shell_complete=environments)
@click.option(
    "--at", "at", required=True, metavar="DATE", help="ISO 8601 date or instant; without an offset it is UTC."
)
@report_option
@output_option
@in_haste()
def environment_command(name: str, at: str, report: Path | None, output: str) -> int:
    """Tell which release of each model the environment NAME ran at a date, and who approved it."""
    from modelops import audit
    from modelops.clock import parse_instant
    from modelops.project.workspace import open_workspace
    from modelops.views.proofs import audit as view

    workspace = open_workspace()
    asked = asked_by(workspace)
    answer = audit.environment(workspace.repository, name, parse_instant(at), branch=workspace.branch, asked=asked)
    emit(output, view.data(answer), lambda: view.text(answer))
    if report is not None:
        write_report(report, workspace, asked.now, answer, view.data(answer))
    return 0 if answer.ok else 1


@command.command("trust")
@click.option(
    "--accept-root", metavar="DIGEST", help="Take the trust policy with this digest for a new root on this machine."
)
@yes_option
@output_option
@in_haste()
def trust_command(accept_root: str | None, yes: bool, output: str) -> int:
    """Tell whose signatures count, how that came to be, and which dates of the branch contradict its order.

    Exits with 1 where a version of the trust policy does not count, or dates contradict each other. Only where no key
    is left that could sign a change, a new root is accepted by its name, on each machine.
    """
    from modelops.clock import format_instant
    from modelops.project.state import accept_root as accept
    from modelops.project.workspace import open_workspace
    from modelops.views.proofs import trust as view

    workspace = open_workspace()
    if accept_root is not None:
        workspace.require_waiting(accept_root)
        confirm(f"Take {accept_root} for the trust of {workspace.branch} on this machine, signed by nobody?", yes)
        accept(workspace.state, accept_root, workspace.login, format_instant(workspace.clock()))
        workspace = open_workspace()
    chain = workspace.trust(workspace.tip())
    emit(output, view.data(chain), lambda: view.text(chain))
    return 0 if view.data(chain)["ok"] else 1


@command.command("branch")
@report_option
@output_option
@in_haste()
@working("fetching and judging the branch")
def branch_command(report: Path | None, output: str) -> int:
    """Tell what the project's branch is made of, and every commit of it that nobody approved.

    It ends with 1 while one is open. A reviewed pull request clears it, by naming it in the message of a commit.
    """
    from modelops.governance.judged import judgement
    from modelops.project.workspace import open_workspace
    from modelops.views.proofs import branch as view

    workspace = open_workspace()
    workspace.reach()
    found = judgement(workspace)
    emit(output, view.data(found), lambda: view.text(found))
    if report is not None:
        write_report(report, workspace, workspace.clock(), found, view.data(found))
    return 1 if found.open else 0


@command.command("verify")
@report_option
@output_option
@in_haste()
@working("fetching the branch")
def verify_command(report: Path | None, output: str) -> int:
    """Check everything that the branch claims again, from its first commit, and tell what does not hold.

    Every commit is judged anew, whatever this machine remembers; signatures, digests, dates, code and its ancestry, and
    files that may never change, are checked for every release, promotion and snapshot. Ends with 1 where something does
    not hold. A shallow clone is refused.
    """
    from modelops.changes.verifying import verify
    from modelops.project.workspace import open_workspace
    from modelops.views.proofs import verified as view

    workspace = open_workspace(doing=doing)
    workspace.reach()
    found = verify(workspace)
    emit(output, view.data(found), lambda: view.text(found))
    if report is not None:
        write_report(report, workspace, workspace.clock(), found, view.data(found))
    return 0 if found.ok else 1


@command.command("export")
@click.argument("name", shell_complete=environments)
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--until", metavar="DATE", help="Days before this one; by default before today.")
@output_option
def export_command(name: str, directory: Path, until: str | None, output: str) -> int:
    """Write what environment NAME has predicted into DIRECTORY: one Parquet file per model and whole day.

    Files are named model=<model>/day=<day>.parquet. A day is written again when its log has changed: labels come late.
    """
    from modelops.changes.sealing import export_log
    from modelops.clock import clock_from, parse_instant
    from modelops.project.target import all_remembered
    from modelops.project.workspace import open_workspace

    workspace = open_workspace()
    known_here = {target.place.environment: target for target in all_remembered(workspace)}
    if name not in known_here:
        raise no_log(name, list(known_here))
    moment = clock_from()() if until is None else parse_instant(until)
    written = export_log(workspace, name, known_here[name].log(), directory, moment)
    emit(output, [str(path) for path in written], lambda: "\n".join(map(str, written)) or "nothing new to write")
    return 0


for _more in COMMANDS:
    command.add_command(_more)


def no_log(name: str, known: Sequence[str]) -> ModelOpsError:
    """Return the error of an environment that has no log here."""
    from modelops.errors import Exit, failure

    message = f"there is no prediction log of {name!r} on this machine"
    return failure(
        "no-prediction-log", message, exit=Exit.USAGE, hint=f"there are logs of: {', '.join(known) or 'none'}"
    )
