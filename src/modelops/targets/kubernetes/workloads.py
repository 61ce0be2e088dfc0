"""How a workload and its pods stand, by the rules of the field: what is reached, and what keeps it from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

__all__ = ["Trouble", "is_ready", "rolling", "trouble_of"]

Live = Mapping[str, Any]
_NO_IMAGE = ("ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_NO_CONTAINER = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps pods from answering that will not pass by waiting alone: a code, a sentence, and what to do."""

    code: str
    message: str
    hint: str


def rolling(workload: Live) -> str:
    """Return what is left to do of a change of a workload, as a sentence; empty where it is done."""
    kind, name = workload["kind"], workload["metadata"]["name"]
    status, spec = workload.get("status") or {}, workload["spec"]
    generation = workload["metadata"].get("generation", 0)
    if status.get("observedGeneration", 0) < generation:
        return f"{kind} {name}: its controller has not looked at generation {generation} yet"
    wanted = spec.get("replicas", 1)
    if kind == "StatefulSet":
        # What it has once it is rolled out counts as current, and no longer as updated.
        same = status.get("currentRevision") == status.get("updateRevision")
        updated = status.get("replicas", 0) if same else status.get("updatedReplicas", 0)
        old = 0 if same else status.get("replicas", 0) - updated
    else:
        updated = status.get("updatedReplicas", 0)
        old = status.get("replicas", 0) - updated
    if updated < wanted:
        return f"{kind} {name}: {updated} of {wanted} pods are of its newest generation"
    return f"{kind} {name}: {old} older pods are still there" if old > 0 else ""


def is_ready(pod: Live) -> bool:
    """Tell whether a pod takes requests and goes on doing so."""
    if pod["metadata"].get("deletionTimestamp"):
        return False
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in _conditions(pod))


def _conditions(live: Live) -> Sequence[Live]:
    return list((live.get("status") or {}).get("conditions") or ())


def trouble_of(workload: Live, pods: Sequence[Live]) -> Trouble | None:
    """Return what keeps the pods of a workload from running, None where nothing is known that does."""
    return next(chain(_refused(workload), *map(_of_pod, pods)), None)


def _refused(workload: Live) -> Iterator[Trouble]:
    """Yield why the API server takes no more pods of it."""
    namespace = workload["metadata"]["namespace"]
    for each in _conditions(workload):
        if each.get("type") == "ReplicaFailure" and each.get("status") == "True":
            what = f"{workload['kind']} {workload['metadata']['name']} gets no pod: {each.get('message') or ''}"
            if "exceeded quota" in what:
                yield Trouble("quota-exceeded", what, f"kubectl describe quota --namespace {namespace}")
            else:
                yield Trouble("pod-refused", what, "the API server's words say what it wants of a pod")


def _of_pod(pod: Live) -> Iterator[Trouble]:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    if pod["metadata"].get("deletionTimestamp"):
        return
    look = f"kubectl describe pod {name} --namespace {namespace}"
    for each in _conditions(pod):
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            what = f"Pod {name} has no node: {each.get('message') or each.get('reason')}"
            yield Trouble("unschedulable", what, f"add nodes, or ask for less: cpu, memory, logStorage; {look}")
    status = pod.get("status") or {}
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        waiting = (each.get("state") or {}).get("waiting") or {}
        why = str(waiting.get("reason") or "")
        said = f"{why}: {waiting['message']}" if waiting.get("message") else why
        if why in _NO_IMAGE:
            what = f"Pod {name} cannot have the image {each.get('image')}: {said}"
            yield Trouble("image-not-pulled", what, f"the nodes need a way to it, and its credentials; {look}")
        elif why in _NO_CONTAINER:
            yield Trouble("pod-not-started", f"Pod {name} cannot be started: {said}", look)
        elif why == "CrashLoopBackOff":
            ended = (each.get("lastState") or {}).get("terminated") or {}
            how = f"{ended.get('reason') or 'it ended'} with {ended.get('exitCode')}" if ended else said
            logs = f"kubectl logs {name} --previous --namespace {namespace}"
            yield Trouble("pod-crashes", f"Pod {name} ends again and again: {how}", logs)
