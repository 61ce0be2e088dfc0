"""What tools that judge by what Prometheus finds are told of pods, the way to them, and of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic import Field

from modelops.exports import ModelView, View
from modelops.exports._judging import Url
from modelops.exports._pods import Object, Pods, manifests
from modelops.exports._routes import routes
from modelops.exports._ways import Way
from modelops.spec.routing import Route
from modelops.targets import Deployable

__all__ = ["Watched", "files_of"]


class Watched(Pods, Way):
    """What pods run, which gateway leads to them, and which Prometheus is asked.

    It has to be told of the environment by the export prometheus: its pods are asked for under that job.
    """

    prometheus: Url = Field(description="address of Prometheus within the cluster")
    minimum_minutes: float = Field(5.0, ge=1, description="how long a step lasts at least, so as to be seen")


def files_of(
    view: View, make: Callable[[Deployable, ModelView | None, str, Route], Mapping[str, Object]]
) -> Mapping[str, str]:
    """Return what is made for each model, in its folder; its trial is in the first step, as the tool moves it."""
    deployable = view.deployable()
    models = {model.name: model for model in view.models}
    found: dict[str, Object] = {}
    for model, route in routes(view, deployable, {}).items():
        made = make(deployable, models.get(model), model, route)
        found |= {f"{view.environment}/{model}/{path}": each for path, each in made.items()}
    return manifests(found)
