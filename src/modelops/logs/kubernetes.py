"""The log `kubernetes`: what the pods of an environment wrote, read as one, of which a copy is kept here.

Whoever opens it copies what is new from every pod that runs. Each pod's files have names of their own, so that the copy
is the union of them all; a volume that pods share is copied once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from modelops.errors import Exit, failure
from modelops.files import unwritable
from modelops.logs._carried import DROP, EXPORT, Carried, Copy, words_of
from modelops.spec.meta import Name, Strict
from modelops.targets.kubernetes.cluster import Cluster, connected
from modelops.targets.kubernetes.inside import CONTAINER, Program, ask, started
from modelops.targets.kubernetes.names import MANAGED, PART, Owner
from modelops.targets.kubernetes.params import Params as Target

__all__ = ["Params", "open"]


class Params(Strict):
    """The environment whose pods they are, where these are, the folder of the log in a pod, and that of the copy.

    ``repository`` tells whose environment of that name it is, ``context`` names a context of the kubeconfig.
    """

    environment: Name
    namespace: Name
    path: str
    folder: str
    repository: str = ""
    context: str | None = None


def open(params: Params) -> Carried:
    """Copy what is new, and return the copy; an environment that was never run has logged nothing."""
    folder = Path(params.path)
    with connected(_target(params)) as cluster:
        try:
            for pod in _pods(cluster, params):
                _copy(cluster, params, pod.name, Copy(folder, pod.volume, (pod.name, pod.uid)))
        except OSError as error:
            raise unwritable(folder, error) from error
    return Carried(folder, f"the pods of {params.environment} in {params.namespace}", partial(_drop, params))


def _drop(params: Params, names: Sequence[str]) -> None:
    with connected(_target(params)) as cluster:
        for pod in _pods(cluster, params):
            if ask(cluster, pod.name, DROP, params.folder, *words_of(names)) is None:
                raise _not_copied(params, f"Pod {pod.name} drops nothing")


def _target(params: Params) -> Target:
    image = f"unused@sha256:{'0' * 64}"
    return Target(image=image, namespace=params.namespace, context=params.context)


@dataclass(frozen=True, slots=True)
class _Pod:
    """A pod whose server runs: its writers are named after it, by its name or its uid."""

    name: str
    uid: str
    volume: str
    """What tells its volume from any other."""


def _pods(cluster: Cluster, params: Params) -> Iterator[_Pod]:
    """Yield the pods whose server runs."""
    owner = Owner(params.environment, params.repository)
    inventory = cluster.get("ConfigMap", owner.inventory)
    if inventory is None:
        return
    # Pods say of which environment they are, and not of which project: nothing of another one's is read, nor dropped.
    owner.require(inventory)
    labels = {**MANAGED, PART: params.environment}
    claims: Mapping[str, str] | None = None
    for pod in cluster.listed("Pod", ",".join(f"{key}={value}" for key, value in sorted(labels.items()))):
        statuses = (pod.get("status") or {}).get("containerStatuses") or ()
        if not any(each["name"] == CONTAINER and "running" in (each.get("state") or {}) for each in statuses):
            continue
        claim = _claim(pod)
        if claim is not None and claims is None:
            found = cluster.listed("PersistentVolumeClaim")
            claims = {each["metadata"]["name"]: str(each["metadata"]["uid"]) for each in found}
        uid = str(pod["metadata"]["uid"])
        yield _Pod(pod["metadata"]["name"], uid, (claims or {}).get(claim, claim) if claim is not None else uid)


def _claim(pod: Mapping[str, Any]) -> str | None:
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("name") == "log":
            return (volume.get("persistentVolumeClaim") or {}).get("claimName")
    return None


def _copy(cluster: Cluster, params: Params, pod: str, copy: Copy) -> None:
    """Copy what has another mark by now, as one moment of each file."""
    opened = started(cluster, pod, EXPORT, params.folder, *words_of(copy.marks()))
    if opened is None:
        raise _not_copied(params, f"Pod {pod} runs no program now")
    with opened as stream:
        lacking = copy.take_from(Program(stream))
    if lacking is not None:
        raise _not_copied(params, f"Pod {pod}: {lacking}")


def _not_copied(params: Params, why: str) -> Exception:
    return failure(
        "log-not-copied",
        f"the log of {params.environment} in {params.namespace} cannot be copied: {why}",
        exit=Exit.WORLD,
        retryable=True,
        hint="what was copied before is kept; the next look goes on from there",
    )
