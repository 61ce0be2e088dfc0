"""`modelops plan`: show what would be done."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelops.cli.output import emit, note, output_option, save, table
from modelops.errors import Exit


@click.command("plan")
@click.argument("environment", required=False)
@click.option("--since", metavar="REV", help="Only what changed since the merge base with this revision.")
@click.option("--dirty", is_flag=True, help="Read the work tree instead of the last commit.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for `modelops apply`.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when there is something to do.")
@output_option
def command(
    environment: str | None, since: str | None, dirty: bool, out: Path | None, exit_code: bool, output: str
) -> int:
    """Show what would be done for ENVIRONMENT, or for the models of this commit when none is named."""
    from modelops.reconcile.forecasts import HEADERS, forecasts_of_change, forecasts_of_environment
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    if environment is not None:
        if since or dirty:
            raise click.UsageError("--since and --dirty are about models; an environment is planned from the branch")
        from modelops.reconcile.loop import plan_now

        plan = plan_now(workspace, environment).plan
        planned = forecasts_of_environment(workspace, environment)
    else:
        from modelops.reconcile.proposal import plan_change

        plan = plan_change(workspace, since=since, dirty=dirty)
        planned = forecasts_of_change(workspace, plan.entries, since=since, dirty=dirty)
    if out is not None:
        if environment is None:
            raise click.UsageError("--out needs an environment: only its plan can be applied")
        document = {"digest": plan.digest, **plan.to_dict()}
        save(out, json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        note(f"saved {out}: carry it out with modelops apply {out}")
    data = {"digest": plan.digest, **plan.to_dict(), "forecasts": [one.to_dict() for one in planned]}
    rows = [row for one in planned for row in one.rows()]
    emit(output, data, lambda: "\n\n".join([plan.explain(), *([table(HEADERS, rows)] if rows else [])]))
    if plan.refused:
        return Exit.NO
    return Exit.NO if exit_code and plan.actions else Exit.OK
