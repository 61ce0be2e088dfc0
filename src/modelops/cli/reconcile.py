"""`modelops reconcile`: make an environment match git."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelops.cli._names import environments
from modelops.cli._server import KEY_VARIABLE
from modelops.cli._working import doing, working
from modelops.cli.output import confirm, emit, in_haste, note, output_option, say, tell_fence, yes_option

if TYPE_CHECKING:
    from datetime import datetime

    from modelops.project.workspace import Workspace
    from modelops.reconcile.loop import Result
    from modelops.reconcile.plan import Plan


def show_result(result: Result, output: str) -> int:
    """Print what a run of the loop did and how every model stands."""
    from modelops.cli import show_problems
    from modelops.views import reconciliation as view

    show_problems(result.problems)
    emit(output, view.data(result), lambda: view.text(result))
    return int(result.exit)


def _show_calls(workspace: Workspace, result: Result) -> None:
    """Say how the models are asked that a run of the loop has changed something about."""
    from modelops.project.target import target_of
    from modelops.releases.card import example_record
    from modelops.views import reconciliation as view

    name = result.plan.environment
    ready = [condition.model for condition in result.conditions if condition.type == "Ready"]
    if not result.done or not ready:
        return
    _, graph = workspace.known()
    target = target_of(workspace, graph, name)
    key = KEY_VARIABLE if graph.environments[name].spec.access is not None else ""
    for model in ready:
        entry = graph.models[model]
        release = entry.releases.get(entry.deployments[name].spec.stable or 0)
        snapshot = entry.snapshots.get(release.spec.data.snapshot) if release is not None else None
        url = target.endpoint(model) if snapshot is not None else None
        if snapshot is not None and url is not None:
            note(view.call(url, model, example_record(entry.model.spec, snapshot.spec), key))


def tell(workspace: Workspace, result: Result, began: datetime) -> None:
    """Say how the models are asked, and tell whoever wants to hear of what a pass did."""
    from modelops.cli import show_problems
    from modelops.reconcile.alerting import tell_of_pass
    from modelops.reconcile.exposing import expose_pass

    _show_calls(workspace, result)
    show_problems((*tell_of_pass(workspace, result, began), *expose_pass(workspace, result)))


@click.command("reconcile")
@click.argument("environment", shell_complete=environments)
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds between passes."
)
@click.option("--stop", is_flag=True, help="End the environment's runtime instead; the next reconciliation starts it.")
@click.option("--accept-rewritten", is_flag=True, help="Go on although the branch lost what was reconciled before.")
@yes_option
@output_option
def command(
    environment: str, watch: bool, interval: float, stop: bool, accept_rewritten: bool, yes: bool, output: str
) -> int:
    """Make ENVIRONMENT match git."""
    from modelops.cli import show_problems
    from modelops.errors import Problem
    from modelops.project.workspace import open_workspace
    from modelops.reconcile import loop
    from modelops.reconcile.alerting import tell_of_pass
    from modelops.reconcile.exposing import expose_pass
    from modelops.reconcile.mark import set_mark
    from modelops.views import plan as view
    from modelops.views.pull_requests import LOOP

    workspace = open_workspace(heard=tell_fence(), doing=doing)
    if stop:
        confirm(f"Stop what runs {environment} on this machine?", yes)
        loop.stop(workspace, environment)
        note(f"{environment} is stopped; modelops reconcile {environment} starts it again")
        return 0
    if accept_rewritten:
        confirm(f"Go on by what {workspace.branch} says now, although what was reconciled is gone from it?", yes)
        set_mark(workspace, environment, workspace.desired()[0])

    def agree(plan: Plan) -> None:
        note(view.text(plan))
        if plan.actions:
            confirm("Carry this out?", yes)

    show_problems(workspace.trust_problems())
    began = workspace.clock()
    if not watch:
        with in_haste(), working(f"looking at {environment}"):
            result = loop.reconcile(workspace, environment, LOOP, say=say, agree=agree)
        code = show_result(result, output)
        tell(workspace, result, began)
        return code
    agree(loop.plan_now(workspace, environment).plan)

    def report(found: loop.Result | Problem) -> None:
        if isinstance(found, Problem):
            show_problems([found])
            return
        if found.done or found.problems:
            show_result(found, output)
        show_problems((*tell_of_pass(workspace, found, began), *expose_pass(workspace, found)))

    loop.watch(workspace, environment, LOOP, interval, report, say=say)
    return 0
