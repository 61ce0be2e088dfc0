"""The export `gateway-api`: the HTTPRoute of each model, by which a gateway finds it and divides its traffic.

With `arms: together` a model is one Service whose pods divide the traffic themselves: by entity, under any strategy,
and a step of a rollout changes no route. With `arms: apart` each release has a Service, and the route has the weights,
the copies of a shadow, and where `releaseHeader` says so a way to each release by header.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from modelops.errors import Exit, failure
from modelops.exports import View
from modelops.exports._pods import Object, manifests, name_of, release_name
from modelops.exports._routes import INSTEAD, STEP, Steps, gateway_divides, routes, whole
from modelops.exports._ways import Way, http_route, match_of, service_ref
from modelops.spec.meta import ModelName, Name
from modelops.spec.routing import Route, RouteArm

__all__ = ["Params", "files"]

Backend = Annotated[str, Field(pattern=r"^[a-z]+[a-z0-9]*(-+[a-z0-9]+)*:[1-9][0-9]{0,4}$", description="SERVICE:PORT")]
Number = Annotated[str, Field(pattern=r"^[1-9][0-9]*$")]
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_|~-]{1,64}$", description="the name of a header")]


class Params(Way):
    """Which gateway it is, under which names callers ask, and what answers.

    A model is found by the path of its name under ``hostnames``, or under ``domain`` by a host name of its own; models
    with a slash in their name need that, as a route cannot match an escaped slash. ``namespace`` is that of the routes
    and of the Services.
    """

    namespace: Name = "models"
    services: Literal["kubernetes", "kserve"] = Field("kubernetes", description="target or export of the Services")
    arms: Literal["together", "apart"] = Field("together", description="whether a model or each release has a Service")
    backends: dict[ModelName, dict[Number, Backend]] = Field(
        {},
        description="apart, Services as SERVICE:PORT by model and release; those of kserve if not said",
    )
    release_header: Header | None = Field(None, description="header by which callers ask for a release apart")
    steps: Steps = Field({}, description=STEP)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.arms == "together" and (self.backends or self.release_header is not None):
            raise ValueError("backends and releaseHeader are for arms: apart; together a model has one Service")
        if self.arms == "apart" and self.services == "kubernetes" and not self.backends:
            raise ValueError("the target kubernetes has no Service for a release alone: services: kserve, or backends")
        return self


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return one HTTPRoute for each model."""
    models = {model.name: model for model in view.models}
    found: dict[str, Object] = {}
    for model, route in routes(view, view.deployable(), params.steps).items():
        if params.arms == "apart" and model in models:
            gateway_divides(models[model], route, INSTEAD)
        rules = [*_rules(params, view, model, route)]
        found[f"{view.environment}/{model}/httproute"] = http_route(
            params, params.namespace, view, model, route.step if params.arms == "apart" else 0, rules
        )
    return manifests(found)


def _rules(params: Params, view: View, model: str, route: Route) -> Iterator[Object]:
    match = match_of(params, model)
    if params.arms == "together":
        service = name_of(view.environment, model)
        service = f"{service}-predictor" if params.services == "kserve" else service
        yield {"matches": [match], "backendRefs": [service_ref(service, 80) | {"weight": 1}]}
        return
    backends = {arm.name: _backend(params, view, model, arm) for arm in route.arms}
    if params.release_header is not None:
        for arm in route.arms:
            asked = {"type": "Exact", "name": params.release_header, "value": str(arm.release)}
            yield {"matches": [match | {"headers": [asked]}], "backendRefs": [backends[arm.name] | {"weight": 1}]}
    weights = whole({arm.name: arm.weight for arm in route.arms if not arm.shadow})
    mirrors = [
        {"type": "RequestMirror", "requestMirror": {"backendRef": backends[arm.name], **_share(arm.shadow)}}
        for arm in route.arms
        if arm.shadow
    ]
    yield {
        "matches": [match],
        **({"filters": mirrors} if mirrors else {}),
        "backendRefs": [backends[name] | {"weight": weight} for name, weight in weights.items()],
    }


def _share(share: float) -> Object:
    """Return which of the requests are copied; all of them is what every gateway does that copies any."""
    if share >= 1:
        return {}
    percent = round(share * 100)
    if abs(share * 100 - percent) < 1e-9:
        return {"percent": percent}
    exact = Fraction(share).limit_denominator(1_000_000)
    return {"fraction": {"numerator": exact.numerator, "denominator": exact.denominator}}


def _backend(params: Params, view: View, model: str, arm: RouteArm) -> Object:
    named = params.backends.get(model)
    if named is None and params.services == "kserve":
        return service_ref(f"{release_name(view.environment, model, arm.release)}-predictor", 80)
    if named is None or str(arm.release) not in named:
        raise failure(
            "bad-param",
            f"backends names no Service of release {arm.release} of {model}",
            exit=Exit.USAGE,
            hint="name one as SERVICE:PORT, or take services: kserve",
        )
    service, _, port = named[str(arm.release)].rpartition(":")
    return service_ref(service, int(port))
