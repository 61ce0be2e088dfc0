"""kind: Project — where bytes, pull requests and keys live."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from modelops.errors import Problem
from modelops.fence import Promise
from modelops.spec import layout
from modelops.spec.around import Around
from modelops.spec.explain import nearest
from modelops.spec.kinds.trust_policy import Purpose
from modelops.spec.meta import Name, Plugin, Shelf, Strict
from modelops.spec.resource import Resource, at

PLACE = layout.PROJECT


class SigningKey(Strict):
    """Which key of the trust policy signs, and the variable that may hold its private part instead of a local file."""

    key: Name
    variable: str | None = None


class Signing(Strict):
    """Which keys sign: one for everything, and others for some purposes."""

    key: Name = "local"
    variable: str = "MODELOPS_SIGNING_KEY"
    purposes: dict[Purpose, SigningKey] = {}
    simulated_clock: bool = False

    def of(self, purpose: Purpose) -> SigningKey:
        """Return the key that signs for a purpose."""
        return self.purposes.get(purpose) or SigningKey(key=self.key, variable=self.variable)


class Fence(Strict):
    """What must hold around code of the repository on every machine that builds; one that cannot keep it refuses."""

    require: tuple[Promise, ...] = ()


class ProjectSpec(Strict):
    """The spec of the Project: where bytes, pull requests and keys live."""

    store: Annotated[Plugin, Shelf("stores")] = Plugin(type="oci-layout")
    forge: Annotated[Plugin, Shelf("forges")] = Plugin(type="embedded")
    signing: Signing = Signing()
    fence: Fence = Fence()
    branch: str = "main"
    remote: str = "origin"
    data_locations: tuple[Annotated[str, Field(pattern=r"^(/|[A-Za-z][A-Za-z0-9+.-]*://)")], ...] = ()


def problems(project: Resource[ProjectSpec], around: Around) -> Iterator[Problem]:
    """Yield what is wrong between the project and the trust policy."""
    trust = around.policies.of("TrustPolicy").get("trust")
    signing = project.spec.signing
    named = {"spec.signing.key": signing.key}
    named |= {f"spec.signing.purposes.{purpose}.key": one.key for purpose, one in signing.purposes.items()}
    names = [key.name for key in trust.spec.keys] if trust is not None else [*named.values()]
    for where, key_name in named.items():
        if key_name not in names:
            said = f"the trust policy has no key {key_name!r}"
            yield at(project, where, "unknown-key-name", said, nearest(key_name, names, "keys"))
