"""kind: Deployment — which release takes the traffic of an environment and which ones are on trial."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from modelops.errors import Problem
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.meta import MOST_ARMS, ReleaseNumber, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.DEPLOYMENT


class Denied(Strict):
    """A release that failed in this environment and may not return until a reviewed commit clears it."""

    release: ReleaseNumber
    reason: str


class DeploymentSpec(Strict):
    """The spec of a Deployment: which release takes the traffic and which ones are on trial.

    ``challengers`` are further releases on trial beside the candidate, for strategies that take more than two arms.
    While ``paused`` a rollout neither moves forward nor ends well; harm still sends the traffic back.
    """

    stable: ReleaseNumber | None = None
    candidate: ReleaseNumber | None = None
    challengers: Annotated[tuple[ReleaseNumber, ...], Field(max_length=MOST_ARMS - 2)] = ()
    paused: bool = False
    denied: tuple[Denied, ...] = ()


def problems(deployment: Resource[DeploymentSpec], around: Around) -> Iterator[Problem]:
    """Yield what is wrong with the environment and the releases that a deployment names."""
    spec, folder = deployment.spec, around.folder
    if not around.known.has("Environment", None, deployment.name):
        hint = nearest(deployment.name, around.known.all("Environment"), "environments")
        said = f"there is no environment {deployment.name!r}"
        yield at(deployment, "metadata.name", "unknown-environment", said, hint)
    denied = {item.release for item in spec.denied}
    named = [("spec.stable", spec.stable), ("spec.candidate", spec.candidate)]
    named += [(f"spec.challengers[{index}]", number) for index, number in enumerate(spec.challengers)]
    named += [(f"spec.denied[{index}].release", item.release) for index, item in enumerate(spec.denied)]
    for dotted, number in named:
        if number is None:
            continue
        if not around.known.has("Release", folder.name, str(number)):
            yield at(deployment, dotted, "unknown-release", f"there is no release {number}", around.release_hint())
        elif not dotted.startswith("spec.denied") and number in denied:
            said = f"release {number} is on the deny list of this environment"
            hint = "it failed here; clear its entry under `denied` in a reviewed change first"
            yield at(deployment, dotted, "denied-release", said, hint)
    if spec.candidate is not None and spec.candidate == spec.stable:
        said = f"release {spec.candidate} is stable already"
        yield at(deployment, "spec.candidate", "candidate-is-stable", said, "remove `candidate`")
    if spec.candidate is not None and not around.known.has("RolloutPlan", folder.name, folder.name):
        said = "a candidate needs a rollout plan"
        yield at(deployment, "spec.candidate", "missing-rollout", said, f"add {layout.ROLLOUT.path(folder.name)}")
    yield from _challenger_problems(deployment)


def _challenger_problems(deployment: Resource[DeploymentSpec]) -> Iterator[Problem]:
    spec = deployment.spec
    taken: set[int | None] = {spec.stable, spec.candidate}
    for index, number in enumerate(spec.challengers):
        where = f"spec.challengers[{index}]"
        if index == 0 and spec.candidate is None:
            hint = "challengers are on trial beside a candidate: name the first of them `candidate`"
            yield at(deployment, where, "missing-candidate", "there are challengers and no candidate", hint)
        if number in taken:
            said = f"release {number} has an arm already"
            yield at(deployment, where, "duplicate-arm", said, "name each release once")
        taken.add(number)
