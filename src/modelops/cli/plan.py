"""`modelops plan`: show what would be done."""

from __future__ import annotations

import json
from pathlib import Path

import click

from modelops.cli._names import environments
from modelops.cli.output import emit, in_haste, note, output_option, save
from modelops.errors import Exit


@click.command("plan")
@click.argument("environment", required=False, shell_complete=environments)
@click.option("--since", metavar="REV", help="Only what merging this into REV changes, judged by the rules there too.")
@click.option("--dirty", is_flag=True, help="Read the work tree instead of the last commit.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for `modelops apply`.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 when there is something to do.")
@output_option
@in_haste()
def command(
    environment: str | None, since: str | None, dirty: bool, out: Path | None, exit_code: bool, output: str
) -> int:
    """Show what would be done for ENVIRONMENT, or for the models of this commit when none is named."""
    from modelops.governance.judged import course_of
    from modelops.governance.waivers import standings
    from modelops.metrics.aims import aims_of
    from modelops.monitoring.feedback.declared import declared_labels
    from modelops.project.workspace import open_workspace
    from modelops.rollouts.forecasts import forecasts, on_trial_in
    from modelops.spec.layout import POLICIES
    from modelops.views import plan as view
    from modelops.views.proofs.branch import open_lines

    workspace = open_workspace(dirty=dirty)
    if environment is not None:
        if since or dirty:
            raise click.UsageError("--since and --dirty are about models; an environment is planned from the branch")
        from modelops.reconcile.loop import plan_now

        plan = plan_now(workspace, environment).plan
        tip, graph = workspace.known()
        deployed = [name for name, entry in graph.models.items() if environment in entry.deployments]
        excepted = standings(workspace, graph, tip, deployed)
        planned = forecasts(graph, on_trial_in(graph, environment))
        declared = declared_labels(graph, deployed)
        meant = aims_of(graph, deployed, workspace.clock())
        # What blocks a model is in the plan; of a policy that no model here waits for, nothing else would tell.
        held = [
            one for one in course_of(workspace, tip).in_force if any(path.startswith(POLICIES) for path in one.files)
        ]
        for line in [] if plan.refused else open_lines(held):
            note(line)
    else:
        from modelops.reconcile import proposed

        plan = proposed.plan_change(workspace, since=since, dirty=dirty)
        planned = proposed.forecasts_of_change(workspace, plan.entries, since=since, dirty=dirty)
        excepted = proposed.waivers_of_change(workspace, plan.entries, since=since, dirty=dirty)
        declared = proposed.labels_of_change(workspace, plan.entries, since=since, dirty=dirty)
        meant = proposed.aims_of_change(workspace, plan.entries, since=since, dirty=dirty)
    for problem in workspace.trust_problems():
        note(str(problem))
    if out is not None:
        if environment is None:
            raise click.UsageError("--out needs an environment: only its plan can be applied")
        save(out, json.dumps(view.saved(plan), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
        note(f"saved {out}: carry it out with modelops apply {out}")
    told = (plan, planned, excepted, declared, meant)
    emit(output, view.data(*told), lambda: view.text(*told))
    if plan.refused:
        return plan.exit
    return Exit.NO if exit_code and plan.changes else Exit.OK
