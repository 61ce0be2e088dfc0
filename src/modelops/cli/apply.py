"""`modelops apply`: carry out a saved plan."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelops.cli._working import doing, working
from modelops.cli.output import confirm, note, output_option, say, tell_fence, yes_option
from modelops.errors import Exit, failure


@click.command("apply")
@click.argument("plan_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@yes_option
@output_option
@working("comparing the plan")
def command(plan_file: Path, yes: bool, output: str) -> int:
    """Carry out PLAN_FILE, made by `modelops plan ENV --out`, if it is still what would be done."""
    from modelops.cli.reconcile import show_result
    from modelops.project.workspace import open_workspace
    from modelops.reconcile.loop import plan_now, reconcile
    from modelops.views import plan as view
    from modelops.views.pull_requests import LOOP

    try:
        saved = json.loads(plan_file.read_text(encoding="utf-8"))
        environment, digest = str(saved["environment"]), str(saved["digest"])
    except (ValueError, KeyError, TypeError):
        raise failure(
            "bad-plan",
            f"{plan_file} is not a saved plan",
            exit=Exit.FILES,
            hint="make one: modelops plan ENV --out FILE",
        ) from None
    workspace = open_workspace(heard=tell_fence(), doing=doing)
    plan = plan_now(workspace, environment).plan
    if plan.digest != digest:
        raise failure(
            "plan-is-stale",
            f"{plan_file} is no longer what would be done in {environment}",
            exit=Exit.NO,
            hint=f"read the new one: modelops plan {environment} --out {plan_file}",
        )
    note(view.text(plan))
    if plan.actions:
        confirm("Carry this out?", yes)
    return show_result(reconcile(workspace, environment, LOOP, say=say), output)
