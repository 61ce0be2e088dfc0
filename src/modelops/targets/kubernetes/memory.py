"""How far rollouts came, kept in the cluster beside what they are about: one ConfigMap for each model on trial."""

from __future__ import annotations

from modelops.errors import ModelOpsError
from modelops.targets import Place
from modelops.targets.kubernetes.cluster import connected, is_gone
from modelops.targets.kubernetes.lease import term_of
from modelops.targets.kubernetes.names import MODEL, TERM, Owner, name_of
from modelops.targets.kubernetes.params import Params

__all__ = ["recall", "remember"]

_FILE = "rollout.json"
_read: dict[tuple[str, str, str], str | None] = {}
"""The version of each ConfigMap as this process read or wrote it last: only that one is replaced."""


def _name(place: Place, model: str) -> str:
    return f"{name_of(place.environment, model)}-rollout"


def recall(params: Params, place: Place, model: str) -> bytes | None:
    """Return what was remembered of a model's rollout, None where nothing was."""
    name = _name(place, model)
    with connected(params) as cluster:
        live = cluster.get("ConfigMap", name)
    if live is not None:
        Owner(place.environment, place.repository()).require(live)
    _read[params.context or "", params.namespace, name] = (
        str(live["metadata"]["resourceVersion"]) if live is not None else None
    )
    return str((live.get("data") or {}).get(_FILE, "")).encode() if live is not None else None


def remember(params: Params, place: Place, model: str, data: bytes | None) -> None:
    """Keep what is to be remembered, or forget it; never in place of what another reconciler has written since."""
    name = _name(place, model)
    key = params.context or "", params.namespace, name
    owner, term = Owner(place.environment, place.repository()), term_of(params, place.environment)
    if term is not None:
        term.check()
    if key not in _read:
        recall(params, place, model)
    version = _read.pop(key)
    with connected(params) as cluster:
        if data is None:
            live = cluster.get("ConfigMap", name) if version is not None else None
            if live is not None:
                live["metadata"]["resourceVersion"] = version
                cluster.delete(live)
            return
        metadata: dict[str, object] = {
            "name": name,
            "namespace": params.namespace,
            "labels": owner.labels,
            "annotations": {MODEL: model, **({TERM: str(term.number)} if term is not None else {})},
        }
        made: dict[str, object] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        made["data"] = {_FILE: data.decode()}
        if version is None:
            kept = cluster.create(made)
        else:
            metadata["resourceVersion"] = version
            try:
                kept = cluster.replace(made)
            except ModelOpsError as error:
                if not is_gone(error):
                    raise
                # Somebody removed it: what is known here is all that is known.
                del metadata["resourceVersion"]
                kept = cluster.create(made)
    _read[key] = str(kept["metadata"]["resourceVersion"])
