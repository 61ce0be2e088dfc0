"""The way to a model through a gateway: under which names it is found, as an HTTPRoute of the Gateway API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Self

from pydantic import Field, model_validator

from modelops.errors import Exit, failure
from modelops.exports import View
from modelops.exports._pods import Object, name_of
from modelops.spec.layout import dns_label
from modelops.spec.meta import Name, Strict
from modelops.targets.kubernetes.params import ObjectName

__all__ = ["Host", "Way", "host_of", "http_route", "match_of", "parent_of", "service_ref"]

Host = Annotated[str, Field(pattern=r"^(\*\.)?[a-z0-9]+([.-]+[a-z0-9]+)*$", max_length=189, description="a DNS name")]


class Way(Strict):
    """Which gateway it is, and under which names callers ask.

    A model is found by the path of its name under ``hostnames``, or under ``domain`` by a host name of its own; models
    with a slash in their name need that, as a route cannot match an escaped slash. ``gateway`` is the Gateway that the
    routes belong to.
    """

    gateway: ObjectName
    gateway_namespace: Name | None = Field(None, description="its namespace; that of the objects if not said")
    section: ObjectName | None = Field(None, description="one listener of it; all if not said")
    hostnames: tuple[Host, ...] = Field((), description="under which names all models are asked; any if not said")
    domain: Host | None = Field(None, description="what follows the name of each model in a host name of its own")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.domain is not None and self.hostnames:
            raise ValueError("domain gives each model a host name, hostnames are for all of them: name one of the two")
        if self.domain is not None and self.domain.startswith("*"):
            raise ValueError(f"domain is what follows a model's name, without the star of {self.domain}")
        return self


def parent_of(way: Way) -> Object:
    """Return the gateway; what the API server would fill in is written, so that nothing differs from git then."""
    found: Object = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": way.gateway}
    if way.gateway_namespace is not None:
        found["namespace"] = way.gateway_namespace
    if way.section is not None:
        found["sectionName"] = way.section
    return found


def host_of(way: Way, model: str) -> str | None:
    """Return the host name of a model where each has one; no two models share one."""
    return f"{dns_label(model)}.{way.domain}" if way.domain is not None else None


def match_of(way: Way, model: str) -> Object:
    """Return by which path requests are those of a model."""
    if way.domain is None and "/" in model:
        raise failure(
            "export-refused",
            f"the path of {model} has an escaped slash, which no HTTPRoute matches",
            exit=Exit.USAGE,
            hint="give each model a host name: --param domain=models.example.com",
        )
    return {"path": {"type": "PathPrefix", "value": "/" if way.domain is not None else f"/v2/models/{model}"}}


def service_ref(name: str, port: int) -> Object:
    """Return a Service as a route names it."""
    return {"group": "", "kind": "Service", "name": name, "port": port}


def http_route(way: Way, namespace: str, view: View, model: str, step: int, rules: Sequence[Object]) -> Object:
    """Return the route of a model."""
    host = host_of(way, model)
    hosts = [host] if host is not None else list(way.hostnames)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": name_of(view.environment, model),
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "modelops", "modelops.dev/environment": view.environment},
            "annotations": {"modelops.dev/model": model, **({"modelops.dev/step": str(step)} if step else {})},
        },
        "spec": {"parentRefs": [parent_of(way)], **({"hostnames": hosts} if hosts else {}), "rules": list(rules)},
    }
