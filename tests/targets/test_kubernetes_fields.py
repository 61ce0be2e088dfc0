"""Who holds which field, how two states differ, and how a workload stands: what an API server says, read right."""

from __future__ import annotations

from typing import Any

import pytest

from modelops.targets.kubernetes.fields import differences, holders, is_as_applied, lost, marked
from modelops.targets.kubernetes.workloads import rolling, trouble_of

WANTED: dict[str, Any] = marked(
    {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "models", "labels": {"app.kubernetes.io/name": "modelops"}},
        "spec": {
            "template": {
                "spec": {
                    "containers": [
                        {
                            "name": "server",
                            "image": "one",
                            "args": ["serve", "staging"],
                            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
                            "securityContext": {"capabilities": {"drop": ["ALL"]}},
                        }
                    ],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                }
            }
        },
    }
)
CONTAINER: dict[str, Any] = {
    ".": {},
    "f:name": {},
    "f:image": {},
    "f:args": {},
    "f:ports": {
        'k:{"containerPort":8080,"protocol":"TCP"}': {".": {}, "f:name": {}, "f:containerPort": {}, "f:protocol": {}}
    },
    "f:securityContext": {"f:capabilities": {"f:drop": {}}},
}


def live(container: dict[str, Any], other: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the object as an API server has it, with what modelops holds of the container, and another manager."""

    def of(fields: dict[str, Any]) -> dict[str, Any]:
        return {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"server"}': fields}}}}}

    ours = of(container)
    ours["f:spec"]["f:template"]["f:spec"]["f:volumes"] = {
        'k:{"name":"tmp"}': {".": {}, "f:name": {}, "f:emptyDir": {}}
    }
    ours["f:metadata"] = {
        "f:labels": {"f:app.kubernetes.io/name": {}},
        "f:annotations": {"f:modelops.dev/spec": {}},
    }
    held = [{"manager": "modelops", "operation": "Apply", "fieldsV1": ours}]
    if other is not None:
        held.append({"manager": "kubectl-edit", "operation": "Update", "fieldsV1": of(other)})
    return {**WANTED, "metadata": {**WANTED["metadata"], "managedFields": held}}


def test_what_was_applied_and_is_held_stands() -> None:
    """No further question is asked of an object that nobody has touched."""
    assert lost(WANTED, live(CONTAINER)) == []
    assert is_as_applied(WANTED, live(CONTAINER))


@pytest.mark.parametrize(
    ("path", "without"),
    [
        ("image", {key: each for key, each in CONTAINER.items() if key != "f:image"}),
        ("args", {key: each for key, each in CONTAINER.items() if key != "f:args"}),
        ("ports[http]", {**CONTAINER, "f:ports": {'k:{"containerPort":9,"protocol":"TCP"}': {}}}),
        ("securityContext.capabilities.drop", {**CONTAINER, "f:securityContext": {"f:capabilities": {"f:add": {}}}}),
    ],
)
def test_a_field_that_another_manager_took_is_told_by_its_path(path: str, without: dict[str, Any]) -> None:
    """Whoever changes a value takes the field away, which the API server writes down: so it is seen, and who it was."""
    field = path.partition(".")[0].partition("[")[0]
    found = live(without, {f"f:{field}": CONTAINER[f"f:{field}"]})
    where = f"spec.template.spec.containers[server].{path}"
    assert lost(WANTED, found) == [where]
    assert not is_as_applied(WANTED, found)
    assert holders(found, [f"spec.template.spec.containers[server].{field}"]) == ["kubectl-edit"]


def test_another_rendering_is_noticed_by_its_digest() -> None:
    """What git wants otherwise now has another digest than what was applied."""
    other = marked({**WANTED, "spec": {**WANTED["spec"], "replicas": 3}})
    assert not is_as_applied(other, live(CONTAINER))


def test_differences_are_of_values_and_by_name() -> None:
    """Items of lists are told by their names, and what the API server writes by itself is none."""
    one = live(CONTAINER)
    other = {**one, "metadata": {**one["metadata"], "resourceVersion": "9", "generation": 4}, "status": {"replicas": 2}}
    assert differences(one, other) == []
    container = {**WANTED["spec"]["template"]["spec"]["containers"][0], "image": "two", "tty": True}
    other = {**one, "spec": {"template": {"spec": {**one["spec"]["template"]["spec"], "containers": [container]}}}}
    path = "spec.template.spec.containers[server]"
    assert differences(one, other) == [f"{path}.image: one -> two", f"{path}.tty: nothing -> true"]


def deployment(**status: Any) -> dict[str, Any]:
    return {
        "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "models", "generation": 2},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, **status},
    }


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({}, ""),
        ({"observedGeneration": 1}, "Deployment a: its controller has not looked at generation 2 yet"),
        ({"updatedReplicas": 1}, "Deployment a: 1 of 2 pods are of its newest generation"),
        ({"replicas": 3}, "Deployment a: 1 older pods are still there"),
    ],
)
def test_a_change_of_a_workload_is_over_when_its_controller_says_so_of_this_generation(
    status: dict[str, Any], said: str
) -> None:
    """Numbers of the generation before count for nothing."""
    assert rolling(deployment(**status)) == said


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"replicas": 2, "currentRevision": "a-1", "updateRevision": "a-1", "currentReplicas": 2}, ""),
        (
            {"replicas": 2, "currentRevision": "a-1", "updateRevision": "a-2", "updatedReplicas": 1},
            "StatefulSet a: 1 of 2 pods are of its newest generation",
        ),
    ],
)
def test_a_set_is_rolled_out_when_its_revisions_are_one(status: dict[str, Any], said: str) -> None:
    """Its pods are counted as current, no longer as updated, once all are."""
    found = {**deployment(), "kind": "StatefulSet", "status": {"observedGeneration": 2, **status}}
    assert rolling(found) == said


def pod(waiting: dict[str, Any] | None = None, last: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    state = {"waiting": waiting} if waiting is not None else {"running": {}}
    container = {"name": "server", "image": "r.example/m@sha256:ab", "state": state, "lastState": last or {}}
    return {
        "metadata": {"name": "a-1", "namespace": "models"},
        "status": {"containerStatuses": [container], **more},
    }


QUOTA = 'pods "a-1" is forbidden: exceeded quota: small, requested: pods=1, used: pods=1, limited: pods=1'


@pytest.mark.parametrize(
    ("workload", "pods", "code", "said"),
    [
        (
            deployment(),
            [pod({"reason": "ImagePullBackOff", "message": "Back-off pulling image"})],
            "image-not-pulled",
            "Pod a-1 cannot have the image r.example/m@sha256:ab: ImagePullBackOff: Back-off pulling image",
        ),
        (
            deployment(),
            [
                pod(
                    conditions=[
                        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
                    ]
                )
            ],
            "unschedulable",
            "Pod a-1 has no node: 0/1 nodes",
        ),
        (
            deployment(),
            [pod({"reason": "CrashLoopBackOff"}, {"terminated": {"reason": "OOMKilled", "exitCode": 137}})],
            "pod-crashes",
            "Pod a-1 ends again and again: OOMKilled with 137",
        ),
        (
            deployment(),
            [pod({"reason": "CreateContainerConfigError", "message": 'secret "keys" not found'})],
            "pod-not-started",
            'Pod a-1 cannot be started: CreateContainerConfigError: secret "keys" not found',
        ),
        (
            deployment(
                conditions=[
                    {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA},
                ]
            ),
            [],
            "quota-exceeded",
            f"Deployment a gets no pod: {QUOTA}",
        ),
    ],
)
def test_what_keeps_pods_from_answering_is_told_with_its_object(
    workload: dict[str, Any], pods: list[dict[str, Any]], code: str, said: str
) -> None:
    """Each has a code, names the object and the cluster's own reason, and says what to do."""
    found = trouble_of(workload, pods)
    assert found is not None
    assert (found.code, found.message) == (code, said)
    assert "kubectl" in found.hint
    assert trouble_of(deployment(), [pod()]) is None


def test_what_ends_anyway_is_no_trouble() -> None:
    """A pod that is being removed may say what it wants."""
    leaving = pod({"reason": "ImagePullBackOff"})
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert trouble_of(deployment(), [leaving]) is None
