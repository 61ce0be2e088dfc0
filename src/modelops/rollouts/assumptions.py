"""What a simulation assumes of a rollout's world: the traffic, the arms, and what is true of each of them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from modelops.errors import Exit, ModelOpsError, failure
from modelops.rollouts.simulation import World
from modelops.rollouts.worlds import Truth
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.spec.tree import ModelEntry

_HOURS = {"s": 1 / 3600, "m": 1 / 60, "h": 1.0, "d": 24.0}
_EFFECT = re.compile(r"(?:(?P<arm>[a-z0-9-]+):)?(?P<what>[a-z]+)=(?P<sign>[+-]?)(?P<value>\d*\.?\d+)(?P<times>x?)")


_WORLDS: dict[str, tuple[dict[str, float | str], int]] = {
    "heavy": ({"heavy": 1.5}, 1000),
    "entities": ({}, 1000),
    "bad": ({"bad": 0.05}, 1000),
    "bursts": ({"bursts": 10.0}, 0),
    "day": ({"day": 15.0}, 0),
    "outages": ({"outages": 4.0}, 0),
    "incident": ({"incident": 10.0}, 0),
    "labels": ({"labels": "flagged"}, 0),
    "novelty": ({"novelty": 24.0}, 0),
    "tails": ({"tails": 2.0}, 0),
}
"""What each kind of traffic is by default, and how many entities come again in it."""


def worlds_of(world: World, texts: tuple[str, ...]) -> list[tuple[str, World]]:
    """Return worlds by name: that of all the kinds of traffic named together, or for ``all`` one of each kind."""
    if "all" in texts:
        if len(texts) > 1:
            raise _wrong("--world all is each kind of traffic in turn, and goes with no other")
        return [("even", world), *((name, _shaped(world, (name,))) for name in _WORLDS)]
    return [(", ".join(texts), _shaped(world, texts))]


def _shaped(world: World, texts: tuple[str, ...]) -> World:
    for text in texts:
        name, given, value = text.partition("=")
        if name not in _WORLDS:
            raise _wrong(f"there is no world {text!r}; there are {', '.join(_WORLDS)}, and all")
        changes, entities = _WORLDS[name]
        if given:
            changes = {name: _value(name, value)} if name != "entities" else {}
            entities = int(_value(name, value)) if name == "entities" else entities
        shape = replace(world.shape, **changes)  # type: ignore[arg-type]
        world = replace(world, shape=shape, entities=world.entities or entities)
    return world


def _value(name: str, text: str) -> Any:
    if name == "labels":
        if text not in ("all", "flagged", "unflagged"):
            raise _wrong(f"labels={text} is none of all, flagged, unflagged")
        return text
    least = {"bursts": 1.0, "day": 1.0, "incident": 1.0, "entities": 1.0}.get(name, 0.0)
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not least <= number < 1e9:
        raise _wrong(f"{name}={text} is no number of at least {least:g}")
    return number


def expected_rate(traffic: str | None, plan: RolloutPlanSpec) -> float:
    """Return the requests per hour that were asked for, or that the plan expects."""
    if traffic is None:
        if plan.expect is None:
            raise _wrong("the plan expects no traffic: pass --traffic 600/h, or write `expect` in rollout.yaml")
        return plan.expect.requests_per_hour
    number, _, unit = traffic.partition("/")
    try:
        rate = float(number) / _HOURS[unit or "h"]
    except (ValueError, KeyError):
        raise _wrong(f"{traffic!r} is not a number of requests like 600/h") from None
    if not 0 < rate < 1e9:
        raise _wrong(f"{traffic!r} is not a traffic that can be simulated")
    return rate


def arms_of(entry: ModelEntry, environment: str | None, plan: RolloutPlanSpec) -> dict[str, Truth]:
    """Return the arms, all alike: those that an environment names, or stable and a candidate."""
    names = ["stable", "candidate"]
    if environment is not None:
        deployment = entry.deployments.get(environment)
        if deployment is None:
            known = ", ".join(entry.deployments) or "none"
            raise _wrong(f"{entry.name} has no deployment in {environment!r}; it has: {known}")
        names += [f"challenger-{release}" for release in deployment.spec.challengers]
    truth = Truth(errors=plan.expect.error_rate) if plan.expect is not None else Truth()
    return dict.fromkeys(names, truth)


def scenarios_of(world: World, effects: tuple[str, ...], plan: RolloutPlanSpec) -> list[tuple[str, World]]:
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
            raise _wrong(f"{effect!r} is not an effect like errors=2x")
        arm, what, value = found["arm"] or "candidate", found["what"], float(found["value"])
        if arm not in arms:
            raise _wrong(f"there is no arm {arm!r}; there are {', '.join(arms)}")
        base: float = getattr(stable, what)
        if found["times"]:
            value *= base
        elif found["sign"]:
            value = base + (value if found["sign"] == "+" else -value)
        if what != "shift" and not 0 <= value <= 1:
            raise _wrong(f"{effect!r} makes {what} {value:g}, and it is a share")
        arms[arm] = replace(arms[arm], **{what: value})
        if arm == "stable":
            # The others are like stable in all that nothing was said of.
            arms = {name: replace(one, **{what: value}) if one == stable else one for name, one in arms.items()}
            stable = arms["stable"]
    return replace(world, arms=arms, scores=any(one.shift for one in arms.values()))


def _wrong(said: str) -> ModelOpsError:
    return failure("bad-assumption", said, exit=Exit.USAGE, hint="see modelops rollout simulate --help")
