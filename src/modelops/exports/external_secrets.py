"""The export `external-secrets`: what fetches the secrets that an environment names from where they are kept.

git names variables: those of API keys in the access policy, those of the store's credentials. The External Secrets
Operator fetches the value of each, by the key `prefix` and its name, into the Secrets that the pods read. No value is
ever here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import yaml
from pydantic import Field

from modelops.exports import View
from modelops.spec.layout import dns_label
from modelops.spec.meta import Name, Strict
from modelops.targets.kubernetes.params import ObjectName

__all__ = ["Params", "files"]

Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*(s|m|h)$", description="a number with s, m or h")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./-]{0,200}$", description="the beginning of a key")]


class Params(Strict):
    """Where the values are kept, and where they go.

    ``store`` is the SecretStore or ClusterSecretStore that knows where. ``namespace`` is that of the Secrets.
    ``keySecret`` is the Secret with the API keys, as the target kubernetes names it. ``storeSecret`` is the Secret with
    the credentials of the store, as the target kubernetes names it.
    """

    store: ObjectName
    store_kind: Literal["SecretStore", "ClusterSecretStore"] = Field("ClusterSecretStore", description="which it is")
    prefix: Key | None = Field(
        None, description="what keys begin with, before the name of a variable; the environment and a slash if not said"
    )
    namespace: Name = "models"
    key_secret: ObjectName = "modelops-api-keys"  # noqa: S105 - the name of a Secret
    store_secret: ObjectName = "modelops-store"  # noqa: S105 - the name of a Secret
    refresh: Duration = Field("1h", description="how often values are fetched again")


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return an ExternalSecret for each Secret that has entries."""
    found = {}
    for secret, variables in _secrets(params, view):
        if not variables:
            continue
        made = _object(params, view, secret, variables)
        path = f"{view.environment}/{secret}.yaml"
        found[path] = yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=1000)
    return found


def _secrets(params: Params, view: View) -> Iterator[tuple[str, list[str]]]:
    deployable = view.deployable()
    keys = sorted({key.variable for key in deployable.table.keys or () if key.variable is not None})
    store = sorted(set(deployable.store.variables))
    if params.key_secret == params.store_secret:
        yield params.key_secret, sorted({*keys, *store})
        return
    yield params.key_secret, keys
    yield params.store_secret, store


def _object(params: Params, view: View, secret: str, variables: list[str]) -> dict[str, object]:
    prefix = params.prefix if params.prefix is not None else f"{view.environment}/"
    return {
        "apiVersion": "external-secrets.io/v1",
        "kind": "ExternalSecret",
        "metadata": {
            "name": dns_label(f"{secret}-{view.environment}"),
            "namespace": params.namespace,
            "labels": {"app.kubernetes.io/managed-by": "modelops", "modelops.dev/environment": view.environment},
        },
        "spec": {
            "refreshInterval": params.refresh,
            "secretStoreRef": {"kind": params.store_kind, "name": params.store},
            "target": {"name": secret, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
            "data": [{"secretKey": each, "remoteRef": {"key": f"{prefix}{each}"}} for each in variables],
        },
    }
