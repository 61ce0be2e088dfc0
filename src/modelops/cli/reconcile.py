"""`modelops reconcile`: make an environment match git."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from modelops.cli.output import confirm, emit, note, output_option, table, yes_option

if TYPE_CHECKING:
    from modelops.reconcile.loop import Result
    from modelops.reconcile.plan import Plan


def show_result(result: Result, output: str) -> int:
    """Print what a run of the loop did and how every model stands."""
    from modelops.cli import show_problems

    show_problems(result.problems)
    data = {
        "environment": result.plan.environment,
        "done": list(result.done),
        "conditions": [asdict(condition) for condition in result.conditions],
        "plan": result.plan.to_dict(),
    }

    def text() -> str:
        rows = [(c.model, c.type, c.reason, c.message) for c in result.conditions]
        lines = [
            *result.done,
            table(("MODEL", "CONDITION", "REASON", "MESSAGE"), rows) if rows else "no model is deployed here",
        ]
        return "\n".join(lines)

    emit(output, data, text)
    return int(result.exit)


@click.command("reconcile")
@click.argument("environment")
@click.option("--watch", is_flag=True, help="Go on until interrupted.")
@click.option(
    "--interval", type=click.FloatRange(min=0.1), default=10.0, show_default=True, help="Seconds between passes."
)
@click.option("--stop", is_flag=True, help="End the environment's runtime instead; the next reconciliation starts it.")
@yes_option
@output_option
def command(environment: str, watch: bool, interval: float, stop: bool, yes: bool, output: str) -> int:
    """Make ENVIRONMENT match git."""
    from modelops.cli import show_problems
    from modelops.errors import Problem
    from modelops.reconcile import loop
    from modelops.reconcile.observe import target_of
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    if stop:
        _, graph = workspace.desired()
        module, _ = target_of(graph, environment)
        confirm(f"Stop what runs {environment} on this machine?", yes)
        module.stop(workspace.site(environment))
        note(f"{environment} is stopped; modelops reconcile {environment} starts it again")
        return 0

    def agree(plan: Plan) -> None:
        note(plan.explain())
        if plan.actions:
            confirm("Carry this out?", yes)

    if not watch:
        return show_result(loop.reconcile(workspace, environment, say=note, agree=agree), output)
    agree(loop.plan_now(workspace, environment).plan)

    def report(found: loop.Result | Problem) -> None:
        if isinstance(found, Problem):
            show_problems([found])
        elif found.done or found.problems:
            show_result(found, output)

    loop.watch(workspace, environment, interval, report)
    return 0
