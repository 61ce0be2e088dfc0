"""`modelops monitor`: score recent traffic and act on it."""

from __future__ import annotations

import click

from modelops.cli.output import confirm, emit, output_option, yes_option
from modelops.errors import Exit


@click.command("monitor")
@click.argument("environment")
@click.option("--model", help="Only this model.")
@yes_option
@output_option
def command(environment: str, model: str | None, yes: bool, output: str) -> int:
    """Score the recent traffic of ENVIRONMENT and open a retraining pull request when it is due.

    Exits with 1 when drift or a fallen metric was found.
    """
    from modelops import monitoring
    from modelops.reconcile.watching import watch_environment
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    confirm(f"Score {environment} and open retraining pull requests that are due?", yes)
    watched = watch_environment(workspace, environment, model)

    def text() -> str:
        parts = []
        for found in watched:
            parts.append(f"{found.model} release {found.release} in {environment}\n{monitoring.to_text(found.report)}")
            if found.decision is not None:
                parts.append(f"retraining: {found.decision.reason}")
            if found.pull is not None:
                parts.append(f"opened pull request {found.pull.number}: {found.pull.title}")
        return "\n".join(parts) or f"no monitored model is stable in {environment}"

    data = [
        {
            "model": found.model,
            "environment": environment,
            "release": found.release,
            "report": monitoring.to_json(found.report),
            "retraining": None
            if found.decision is None
            else {"fire": found.decision.fire, "reason": found.decision.reason},
            "pullRequest": found.pull.number if found.pull is not None else None,
        }
        for found in watched
    ]
    emit(output, data, text)
    return Exit.NO if any(found.report.level == "alert" for found in watched) else Exit.OK
