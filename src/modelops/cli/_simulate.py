"""`modelops rollout simulate`: run a model's rollout plan against synthetic traffic, many times, in logical time."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelops.cli.output import emit, note, output_option, save, table
from modelops.errors import Exit, failure

if TYPE_CHECKING:
    from modelops.reconcile.simulation import Simulation, Truth, World
    from modelops.spec.delivery import RolloutPlanSpec
    from modelops.spec.tree import ModelEntry

_HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}
_EFFECT = re.compile(r"(?:(?P<arm>[a-z0-9-]+):)?(?P<what>[a-z]+)=(?P<sign>[+-]?)(?P<value>\d*\.?\d+)(?P<times>x?)")
_LOOKS = 500


@click.command("simulate")
@click.argument("model")
@click.option("--environment", metavar="NAME", help="Take the arms from this environment, not stable and a candidate.")
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
@click.option("--labels", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Share that gets a label.")
@click.option("--label-delay", type=click.FloatRange(0), default=0.0, help="Hours until a label arrives.")
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Draw the result as SVG.")
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
    labels: float,
    label_delay: float,
    picture: Path | None,
    output: str,
) -> int:
    """Run the rollout plan of MODEL in the work tree against synthetic traffic, with the code that decides for real."""
    from modelops.reconcile.simulation import World
    from modelops.reconcile.workspace import model_entry, open_workspace

    entry = model_entry(open_workspace().graph(None), model)
    if entry.rollout is None:
        hint = f"write models/{model}/rollout.yaml"
        raise failure("no-rollout-plan", f"{model} has no rollout plan", exit=Exit.USAGE, hint=hint)
    plan: RolloutPlanSpec = entry.rollout.spec
    rate = _rate(traffic, plan)
    until = days * 1440
    world = World(
        requests_per_hour=rate,
        arms=_arms(entry, environment, plan),
        every=min(every or max(1.0, until / _LOOKS), until),
        until=until,
        entities=entities,
        labelled=labels,
        label_delay=label_delay * 60,
        tolerant=plan.on_failure == "alert",
    )
    found = _simulated(plan, _scenarios(world, effects, plan), runs, seed)
    if picture is not None:
        from modelops.reconcile.simulation_picture import picture as drawn

        save(picture, drawn(f"{model}: {plan.strategy.type} at {rate:g} requests an hour", found))
        note(f"drew {picture}")
    data = {
        "model": model,
        "strategy": plan.strategy.type,
        "requestsPerHour": rate,
        "everyMinutes": world.every,
        "untilMinutes": until,
        "seed": seed,
        "scenarios": [{"name": name, **simulation.to_dict()} for name, simulation in found],
    }
    head = (
        f"{model}: {plan.strategy.type}, {rate:g} requests an hour, a look every {world.every:g} minutes, {days:g} days"
    )
    emit(output, data, lambda: "\n\n".join([head, *(_as_text(name, one) for name, one in found)]))
    return Exit.OK


def _rate(traffic: str | None, plan: RolloutPlanSpec) -> float:
    """Return the requests per hour that were asked for, or that the plan expects."""
    if traffic is None:
        if plan.expect is None:
            raise click.UsageError(
                "the plan expects no traffic: pass --traffic 600/h, or write `expect` in rollout.yaml"
            )
        return plan.expect.requests_per_hour
    number, _, unit = traffic.partition("/")
    try:
        rate = float(number) / _HOURS[unit or "h"]
    except (ValueError, KeyError):
        raise click.BadParameter(
            f"{traffic!r} is not a number of requests like 600/h", param_hint="--traffic"
        ) from None
    if not 0 < rate < 1e9:
        raise click.BadParameter(f"{traffic!r} is not a traffic that can be simulated", param_hint="--traffic")
    return rate


def _arms(entry: ModelEntry, environment: str | None, plan: RolloutPlanSpec) -> dict[str, Truth]:
    """Return the arms, all alike: those that an environment names, or stable and a candidate."""
    from modelops.reconcile.simulation import Truth

    names = ["stable", "candidate"]
    if environment is not None:
        deployment = entry.deployments.get(environment)
        if deployment is None:
            known = ", ".join(entry.deployments) or "none"
            raise click.UsageError(f"{entry.name} has no deployment in {environment!r}; it has: {known}")
        names += [f"challenger-{release}" for release in deployment.spec.challengers]
    truth = Truth(errors=plan.expect.error_rate) if plan.expect is not None else Truth()
    return dict.fromkeys(names, truth)


def _scenarios(world: World, effects: tuple[str, ...], plan: RolloutPlanSpec) -> list[tuple[str, World]]:
    """Return worlds by name: the one with the effects asked for, or those without any and with the expected one."""
    if effects:
        return [(", ".join(effects), _changed(world, effects))]
    times = plan.expect.effect if plan.expect is not None else 2.0
    expected = f"errors={times:g}x"
    return [("no effect", world), (expected, _changed(world, (expected,)))]


def _changed(world: World, effects: tuple[str, ...]) -> World:
    arms = dict(world.arms)
    stable = arms["stable"]
    for effect in effects:
        found = _EFFECT.fullmatch(effect)
        if found is None or not hasattr(stable, found["what"]):
            raise click.BadParameter(f"{effect!r} is not an effect like errors=2x", param_hint="--effect")
        arm, what, value = found["arm"] or "candidate", found["what"], float(found["value"])
        if arm not in arms:
            raise click.BadParameter(f"there is no arm {arm!r}; there are {', '.join(arms)}", param_hint="--effect")
        base: float = getattr(stable, what)
        if found["times"]:
            value *= base
        elif found["sign"]:
            value = base + (value if found["sign"] == "+" else -value)
        if what != "shift" and not 0 <= value <= 1:
            raise click.BadParameter(f"{effect!r} makes {what} {value:g}, and it is a share", param_hint="--effect")
        arms[arm] = replace(arms[arm], **{what: value})
        if arm == "stable":
            # The others are like stable in all that nothing was said of.
            arms = {name: replace(one, **{what: value}) if one == stable else one for name, one in arms.items()}
            stable = arms["stable"]
    return replace(world, arms=arms, scores=any(one.shift for one in arms.values()))


def _simulated(
    plan: RolloutPlanSpec, scenarios: list[tuple[str, World]], runs: int, seed: int
) -> list[tuple[str, Simulation]]:
    from modelops import plugins
    from modelops.reconcile.simulation import simulate
    from modelops.reconcile.workspace import parameters

    params: Any = parameters(plugins.load("strategies", plan.strategy.type), plan.strategy)
    shown = sys.stderr if sys.stderr.isatty() else None
    with click.progressbar(length=runs * len(scenarios), label="simulating", file=shown, hidden=shown is None) as bar:
        return [
            (name, simulate(plan.strategy.type, params, world, runs=runs, seed=seed, tell=bar.update))
            for name, world in scenarios
        ]


def _as_text(name: str, found: Simulation) -> str:
    from modelops.reconcile.simulation import ENDS

    rows = []
    for end in ENDS:
        rate = found.rate(end)
        if rate.count or end != "keep":
            minutes, requests = found.quantile("minutes", 0.5, end), found.quantile("requests", 0.5, end)
            rows.append(
                [
                    f"  {end}",
                    f"{rate.share:.1%}",
                    f"{rate.lower:.1%} to {rate.upper:.1%}",
                    _span(minutes, found.quantile("minutes", 0.9, end)),
                    "" if requests is None else f"{requests:,.0f}",
                ]
            )
    headers = [f"{name}:", "share", "95 % interval", "time (median, 90 %)", "requests"]
    mean, late = found.bad_requests
    return (
        f"{table(headers, rows)}\n  bad requests served: {mean:.1f} on average, {late:.0f} or more in every tenth run"
    )


def _span(median: float | None, late: float | None) -> str:
    if median is None or late is None:
        return ""
    unit, word = (60, "h") if median >= 120 else (1, "min")
    return f"{median / unit:,.1f} {word}, {late / unit:,.1f} {word}"
