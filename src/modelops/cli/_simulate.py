"""`modelops rollout simulate`: run a model's rollout plan against synthetic traffic, many times, in logical time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelops.cli._names import environments, models
from modelops.cli.output import as_json, emit, note, output_option, report_option, save
from modelops.errors import Exit, failure
from modelops.spec.layout import ROLLOUT

if TYPE_CHECKING:
    from modelops.rollouts.simulation import Simulation, World
    from modelops.spec.kinds import Resource
    from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
    from modelops.views.reports.simulated import Simulated

_LOOKS = 500


@click.command("simulate")
@click.argument("model", shell_complete=models)
@click.option(
    "--environment",
    metavar="NAME",
    help="Take the arms from this environment, not stable and a candidate.",
    shell_complete=environments,
)
@click.option(
    "--effect",
    "effects",
    multiple=True,
    metavar="[ARM:]WHAT=VALUE",
    help="What is true of an arm, by default the candidate: errors=2x, slow=+0.01, outcome=0.12; also loss, shift and "
    "agreement. Without any, no effect and the expected one are simulated.",
)
@click.option("--traffic", metavar="N/h", help="Requests per hour (or /s, /m, /d); by default what the plan expects.")
@click.option("--runs", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="How many rollouts.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The same seed, the same result.")
@click.option("--days", type=click.FloatRange(0, min_open=True), default=7.0, show_default=True, help="Until when.")
@click.option("--every", type=click.FloatRange(0, min_open=True), help="Minutes between looks; 500 looks by default.")
@click.option("--entities", type=click.IntRange(0), default=0, help="So many come again and again; 0: nobody does.")
@click.option(
    "--world",
    "worlds",
    multiple=True,
    metavar="KIND[=VALUE]",
    help="What traffic is like: heavy, entities, bad, bursts, day, outages, incident, labels, novelty, tails; or all.",
)
@click.option("--labels", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share that gets a label.")
@click.option("--label-delay", type=click.FloatRange(0), default=0.0, help="Hours until a label arrives.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the result as SVG.")
@report_option
@output_option
def command(
    model: str,
    environment: str | None,
    effects: tuple[str, ...],
    traffic: str | None,
    runs: int,
    seed: int,
    days: float,
    every: float | None,
    entities: int,
    worlds: tuple[str, ...],
    labels: float,
    label_delay: float,
    picture: Path | None,
    report: Path | None,
    output: str,
) -> int:
    """Run the rollout plan of MODEL in the work tree against synthetic traffic, with the code that decides for real."""
    from modelops.project.workspace import model_entry, open_workspace
    from modelops.rollouts.assumptions import arms_of, expected_rate, scenarios_of, worlds_of
    from modelops.rollouts.forecasts import forecasts
    from modelops.rollouts.simulation import World
    from modelops.views.reports.simulated import Simulated
    from modelops.views.trials import simulation as view

    graph = open_workspace().graph(None)
    entry = model_entry(graph, model)
    if entry.rollout is None:
        hint = f"write {ROLLOUT.path(model)}"
        raise failure("no-rollout-plan", f"{model} has no rollout plan", exit=Exit.USAGE, hint=hint)
    plan: RolloutPlanSpec = entry.rollout.spec
    until = days * 1440
    world = World(
        requests_per_hour=expected_rate(traffic, plan),
        arms=arms_of(entry, environment, plan),
        every=min(every or max(1.0, until / _LOOKS), until),
        until=until,
        entities=entities,
        labelled=labels,
        label_delay=label_delay * 60,
        on_failure=plan.on_failure,
    )
    scenarios = [
        (f"{kind}: {name}" if kind else name, one)
        for kind, of_kind in worlds_of(world, worlds)
        for name, one in (scenarios_of(of_kind, effects, plan) if worlds != ("all",) else [("no effect", of_kind)])
    ]
    found = _simulated(entry.rollout, scenarios, runs, seed)
    if picture is not None:
        from modelops.views.trials.picture import picture as drawn

        title = f"{model}: {plan.strategy.type} at {world.requests_per_hour:g} requests an hour"
        save(picture, drawn(title, found))
        note(f"drew {picture}")
    told = Simulated(model, plan, world, seed, found, forecasts(graph, [model]))
    if report is not None:
        save(report, _written(report, told))
        note(f"wrote {report}")
    emit(output, _data(told), lambda: view.text(model, plan, world, found, told.planned))
    return Exit.OK


def _data(told: Simulated) -> dict[str, Any]:
    from modelops.views.trials import simulation as view

    return view.data(told.model, told.plan, told.world, told.seed, told.found, told.planned)


def _written(path: Path, told: Simulated) -> str:
    """Return the report in the form that the file's ending asks for."""
    match path.suffix.lower():
        case ".json":
            return as_json(_data(told)) + "\n"
        case ".md":
            from modelops.views.reports.simulated import markdown

            return markdown(told)
        case _:
            from modelops.dashboard.reports import simulated

            return simulated(told)


def _simulated(
    file: Resource[RolloutPlanSpec], scenarios: list[tuple[str, World]], runs: int, seed: int
) -> list[tuple[str, Simulation]]:
    from modelops import strategies
    from modelops.rollouts.simulation import simulate

    plan = file.spec
    params = strategies.bind(plan.strategy, file, "spec.strategy").params
    shown = sys.stderr if sys.stderr.isatty() else None
    with click.progressbar(length=runs * len(scenarios), label="simulating", file=shown, hidden=shown is None) as bar:
        return [
            (name, simulate(plan.strategy.type, params, world, runs=runs, seed=seed, tell=bar.update))
            for name, world in scenarios
        ]
