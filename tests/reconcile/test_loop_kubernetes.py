"""The same loop on a real API server: what is applied, what differs, and what is said of what cannot be done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster_world import IMAGE, ApiServer, api_server, edit, needs_cluster
from git_world import git
from modelops.targets.kubernetes.names import name_of
from reconcile.loop_world import MODEL, World

pytestmark = [needs_cluster, pytest.mark.slow]


@dataclass
class OnCluster(World):
    """A repository whose production is applied to a cluster, in which no pod ever runs."""

    server: ApiServer
    namespace: str
    config: str

    def environ(self) -> dict[str, str]:
        return super().environ() | {"KUBECONFIG": self.config}

    def row(self, environment: str = "production") -> dict[str, Any]:
        """Return how an environment stands."""
        found: list[dict[str, Any]] = self.ok("status", "-o", "json").json
        return next(row for row in found if row["environment"] == environment)


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@pytest.fixture
def world(server: ApiServer, stages: Callable[[str], World], tmp_path: Path) -> OnCluster:
    """Return a repository with release 1 stable in production, which ran on this machine before."""
    plain = stages("second").copy(tmp_path / "world")
    made = OnCluster(plain.folder, server, server.namespace(), server.kubeconfig())
    said = {
        "image": IMAGE,
        "apply": "server-side",
        "namespace": made.namespace,
        "storeClaim": "store",
        "logStorage": "1Gi",
    }
    target = json.dumps({"type": "kubernetes", "params": {**said, "patienceSeconds": 5}})
    path = "policies/environments/production.yaml"
    made.approved({path: made.show(path).replace("{type: local, params: {port: 0}}", target) + "\n"}, "Use the cluster")
    git(made.root, "pull", "-q", "--ff-only")
    return made


def test_an_environment_is_applied_looked_at_and_told(world: OnCluster) -> None:
    """Without nodes nothing comes to answer, each verb says so, and of what was changed by hand the field."""
    before = world.row()
    assert (before["target"], before["running"], before["synced"]) == ("kubernetes", False, False)
    assert before["message"] == "nothing was applied to the cluster yet"

    done = world.run("reconcile", "production", "--yes")
    name = name_of("production", MODEL)
    assert (done.code, "[pods-late]" in done.err) == (4, True), done.err
    assert f"StatefulSet {name} has no pod that is ready" in done.err
    with world.server.cluster(world.namespace) as cluster:
        made = cluster.get("StatefulSet", name)
        assert made is not None
        labels = made["metadata"]["labels"]
        assert (labels["modelops.dev/environment"], labels["modelops.dev/release"]) == ("production", "1")

        def change(live: dict[str, Any]) -> None:
            live["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "9Gi"

        edit(cluster, "StatefulSet", name, change)
    row = world.row()
    assert (row["running"], row["synced"]) == (False, False)
    assert row["conditions"][0]["type"] == "Stalled"
    planned = world.ok("plan", "production").out
    assert "has no pod that is ready" in planned
    done = world.run("reconcile", "production", "--yes")
    assert (done.code, "[field-conflict]" in done.err, "kubectl-edit holds" in done.err) == (4, True, True), done.err

    world.ok("reconcile", "production", "--stop", "--yes")
    with world.server.cluster(world.namespace) as cluster:
        assert cluster.get("StatefulSet", name) is None
        assert cluster.get("ConfigMap", f"{name}-routes") is not None


def test_a_cluster_out_of_reach_is_one_environment_s_trouble(world: OnCluster, tmp_path: Path) -> None:
    """Status tells it in one line and shows the others; the verbs that need it exit with 4 and change nothing."""
    gone = tmp_path / "gone.kubeconfig"
    gone.write_text(Path(world.config).read_text().replace(f":{world.server.port}", ":9"))
    world.config = str(gone)
    before = world.tip()
    rows = {row["environment"]: row for row in world.ok("status", "-o", "json").json}
    assert "no Kubernetes API server answers" in json.dumps(rows["production"])
    assert "no Kubernetes API server answers" not in json.dumps(rows["staging"])
    done = world.run("reconcile", "production", "--yes")
    assert (done.code, "[cluster-unreachable]" in done.err) == (4, True), done.err
    assert world.tip() == before


def test_another_reconciler_is_waited_for(world: OnCluster) -> None:
    """While somebody in the cluster has the Lease, a pass here changes nothing and says who has it."""
    world.run("reconcile", "production", "--yes")
    with world.server.cluster(world.namespace) as cluster:
        (lease,) = cluster.listed("Lease")
        lease["spec"] |= {"holderIdentity": "reconciler-0", "leaseDurationSeconds": 3600}
        cluster.replace(lease)
    done = world.run("reconcile", "production", "--yes", "-o", "json")
    assert "another reconciler works on it: reconciler-0 in the cluster" in done.out
    assert done.json["done"] == []
