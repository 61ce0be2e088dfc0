"""The runner `kubernetes` on a real API server: what it applies, whose fields are whose, who may, who comes second."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from cluster_world import IMAGE, ApiServer, api_server, edit, needs_cluster, say
from modelops.errors import ModelOpsError
from modelops.spec.routing import RoutingTable, table_digest
from modelops.targets import Place, Site, kubernetes
from modelops.targets.kubernetes import applied
from modelops.targets.kubernetes.cluster import Cluster, is_late
from modelops.targets.kubernetes.fields import spelled
from modelops.targets.kubernetes.lease import term_of
from modelops.targets.kubernetes.names import Owner, name_of
from modelops.targets.kubernetes.objects import objects_of
from modelops.targets.kubernetes.params import Params
from modelops.targets.kubernetes.reconciler import RULES
from targets.test_render import REGISTRY, desired

pytestmark = [needs_cluster, pytest.mark.slow]

CHURN, FRAUD = "crm/churn", "fraud-detection"


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


@dataclass
class Ground:
    """An environment of its own in a namespace of its own."""

    server: ApiServer
    namespace: str
    folder: Path
    repository: str = "a project"

    def params(self, **more: object) -> Params:
        said = {"image": IMAGE, "apply": "server-side", "namespace": self.namespace, "patienceSeconds": 5, **more}
        return Params.model_validate_json(json.dumps(said))

    def place(self, environment: str = "production") -> Place:
        whole = desired(store=REGISTRY)
        return Place(
            environment,
            self.folder / environment,
            repository=lambda: self.repository,
            deployable=lambda table: replace(whole, table=table),
        )

    def site(self, environment: str = "production") -> Site:
        place = self.place(environment)
        return Site(environment, place.runtime, REGISTRY, repository=place.repository, deployable=place.deployable)

    def table(self, *models: str, environment: str = "production") -> RoutingTable:
        whole = desired().table.models
        return RoutingTable(environment=environment, models={model: whole[model] for model in models or whole})

    def apply(self, cluster: Cluster, table: RoutingTable | None = None, **more: Any) -> applied.State:
        """Apply the objects of a table, without waiting for pods, which nobody runs here."""
        table = table if table is not None else self.table()
        owner = Owner(table.environment, self.repository)
        state = applied.read_state(cluster, owner)
        given = {"overwrite": False, "term": term_of(self.params(), table.environment), **more}
        applied.apply_objects(cluster, state, table, self.wanted(cluster, table), **given)
        return applied.read_state(cluster, owner)

    def wanted(self, cluster: Cluster, table: RoutingTable, **params: object) -> list[applied.Object]:
        asked = replace(desired(store=REGISTRY), table=table)
        made = [each for model in table.models for each in objects_of(self.params(**params), asked, model).values()]
        return applied.prepared(cluster, Owner(table.environment, self.repository), made)

    def changes(self, cluster: Cluster, table: RoutingTable | None = None) -> list[str]:
        """Return what differs from git, as it is now."""
        table = table if table is not None else self.table()
        state = applied.read_state(cluster, Owner(table.environment, self.repository))
        return applied.changes(cluster, state, self.wanted(cluster, table))


@pytest.fixture
def ground(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setenv("KUBECONFIG", server.kubeconfig())
    return Ground(server, server.namespace(), tmp_path)


def versions(state: applied.State) -> dict[applied.Key, str]:
    return {key: each["metadata"]["resourceVersion"] for key, each in state.live.items()}


def test_right_after_an_apply_nothing_differs_and_a_second_one_writes_nothing(ground: Ground) -> None:
    """Everything that git calls for is there, as the API server has it, and is written once."""
    with ground.server.cluster(ground.namespace) as cluster:
        assert len(ground.changes(cluster)) == 12
        state = ground.apply(cluster)
        assert state.routes == ground.table()
        assert state.listed == {key for key in state.live if key[1] != state.owner.inventory}
        assert len(state.listed) == 12
        assert ground.changes(cluster) == []
        again = ground.apply(cluster)
        assert versions(again) == versions(state)


def test_a_plan_says_what_would_be_changed_and_changes_nothing(ground: Ground) -> None:
    """Other settings are told by field, with what is there and what will be, before they are applied."""
    with ground.server.cluster(ground.namespace) as cluster:
        before = ground.apply(cluster)
        wanted = ground.wanted(cluster, ground.table(), memory="1Gi")
        told = applied.changes(cluster, before, wanted)
        name = name_of("production", CHURN)
        where = "spec.template.spec.containers[server].resources"
        assert f"Deployment {name}: {where}.limits.memory: 512Mi -> 1Gi" in told
        assert len(told) == 4
        assert versions(applied.read_state(cluster, before.owner)) == versions(before)


def test_what_somebody_else_changed_is_out_of_sync_and_is_not_taken_back_unasked(ground: Ground) -> None:
    """The field, the manager and both values are told; it is put back where that is what the parameters say."""
    name = name_of("production", FRAUD)

    def change(live: dict[str, Any]) -> None:
        live["spec"]["template"]["spec"]["containers"][0]["image"] = "somebody/else:latest"

    with ground.server.cluster(ground.namespace) as cluster:
        ground.apply(cluster)
        edit(cluster, "Deployment", name, change)
        field = "spec.template.spec.containers[server].image"
        said = f"Deployment {name} (changed by kubectl-edit): {field}: somebody/else:latest -> {spelled(IMAGE)}"
        assert ground.changes(cluster) == [said]
        with pytest.raises(ModelOpsError) as error:
            ground.apply(cluster)
        assert error.value.first.code == "field-conflict"
        assert "kubectl-edit holds spec.template.spec.containers" in error.value.first.message
        assert name in error.value.first.message
        assert "conflicts: overwrite" in (error.value.first.hint or "")
        ground.apply(cluster, overwrite=True)
        assert ground.changes(cluster) == []


def test_the_routes_are_ours_alone(ground: Ground) -> None:
    """Whoever changes by hand who answers loses that with the next pass, without being asked."""
    name = f"{name_of('production', FRAUD)}-routes"
    with ground.server.cluster(ground.namespace) as cluster:
        ground.apply(cluster)
        edit(cluster, "ConfigMap", name, lambda live: live["data"].update({"routes.json": "{}"}))
        assert ground.changes(cluster)[0].startswith(f"ConfigMap {name} (changed by kubectl-edit): data.routes.json")
        state = ground.apply(cluster)
        assert state.routes == ground.table()
        assert ground.changes(cluster) == []


def test_what_others_add_is_theirs(ground: Ground) -> None:
    """A field that git says nothing of is no difference, and stays: a number of pods, or an injected annotation."""
    name = name_of("production", FRAUD)

    def change(live: dict[str, Any]) -> None:
        live["spec"]["replicas"] = 4
        live["metadata"]["annotations"]["example.com/injected"] = "yes"

    with ground.server.cluster(ground.namespace) as cluster:
        ground.apply(cluster)
        edit(cluster, "Deployment", name, change, manager="autoscaler")
        assert ground.changes(cluster) == []
        state = ground.apply(cluster)
        assert state.live["Deployment", name]["spec"]["replicas"] == 4


def test_only_what_was_applied_here_is_pruned(ground: Ground) -> None:
    """A model that is gone takes its objects along; what has the labels and was never applied stays."""
    with ground.server.cluster(ground.namespace) as cluster:
        state = ground.apply(cluster)
        labels = state.owner.labels
        other = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "somebody-elses", "namespace": ground.namespace, "labels": labels},
        }
        cluster.create(other)
        kept = f"{name_of('production', CHURN)}-routes"

        def disown(live: dict[str, Any]) -> None:
            for label in labels:
                del live["metadata"]["labels"][label]

        edit(cluster, "ConfigMap", kept, disown)
        assert len(ground.changes(cluster, ground.table(FRAUD))) == 5
        state = ground.apply(cluster, ground.table(FRAUD))
        names = {name for _, name in state.live}
        assert names == {
            name_of("production", FRAUD),
            f"{name_of('production', FRAUD)}-routes",
            state.owner.inventory,
            "somebody-elses",
        }
        assert cluster.get("ConfigMap", kept) is not None
        assert state.routes == ground.table(FRAUD)


def test_names_of_another_project_are_refused(ground: Ground) -> None:
    """Two projects that share a namespace and name an environment alike do not touch each other's objects."""
    with ground.server.cluster(ground.namespace) as cluster:
        before = ground.apply(cluster)
        other = replace(ground, repository="another project")
        with pytest.raises(ModelOpsError, match="production of another project") as error:
            other.apply(cluster)
        assert error.value.first.code == "name-taken"
        assert versions(applied.read_state(cluster, before.owner)) == versions(before)


def test_what_somebody_made_by_hand_under_our_name_is_refused(ground: Ground) -> None:
    """An object that nobody labelled as ours is not taken over."""
    name = name_of("production", FRAUD)
    ports = [{"port": 80, "protocol": "TCP"}]
    made = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"ports": ports}}
    with ground.server.cluster(ground.namespace) as cluster:
        cluster.create(made)
        with pytest.raises(ModelOpsError, match=f"Service {name} .* is of somebody else"):
            ground.apply(cluster)
        assert cluster.get("ConfigMap", Owner("production", ground.repository).inventory) is None


def test_what_was_rendered_and_applied_by_others_is_taken_over(ground: Ground) -> None:
    """An environment that was rendered so far goes on under the same names when modelops applies it itself."""
    asked = replace(desired(store=REGISTRY), table=ground.table(FRAUD))
    with ground.server.cluster(ground.namespace) as cluster:
        for each in objects_of(ground.params(), asked, FRAUD).values():
            cluster.create(cluster.fitted(each))
        ground.apply(cluster, ground.table(FRAUD))
        assert ground.changes(cluster, ground.table(FRAUD)) == []


@pytest.mark.parametrize("writes", range(1, 16))
def test_whoever_is_killed_in_between_leaves_what_the_next_pass_goes_on_from(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """After any number of writes, one more apply ends in the same state: nothing is left over, nothing is missing."""
    send, done = Cluster._send, 0

    def counted(self: Cluster, method: str, path: str, body: Any, query: Any, *rest: Any) -> Any:
        nonlocal done
        if method != "GET" and "dryRun" not in {**query, **(body or {})}:
            done += 1
            if done > writes:
                raise KeyboardInterrupt
        return send(self, method, path, body, query, *rest)

    with ground.server.cluster(ground.namespace) as cluster:
        ground.apply(cluster, ground.table(CHURN))
        with monkeypatch.context() as patched, contextlib.suppress(KeyboardInterrupt):
            patched.setattr(Cluster, "_send", counted)
            ground.apply(cluster, ground.table(FRAUD))
        state = ground.apply(cluster, ground.table(FRAUD))
        assert state.routes == ground.table(FRAUD)
        assert {key for key in state.live if key[1] != state.owner.inventory} == state.listed
        assert len(state.listed) == 6
        assert ground.changes(cluster, ground.table(FRAUD)) == []


def quota(cluster: Cluster, **hard: str) -> None:
    """Limit a namespace, and say what is used of it, as its controller would."""
    path = f"/api/v1/namespaces/{cluster.namespace}/resourcequotas"
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}, "spec": {"hard": hard}}
    made = cluster.ask_raw("POST", path, body)
    made["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    cluster.ask_raw("PUT", f"{path}/small/status", made)


def test_a_quota_is_told_and_nothing_is_half_written(ground: Ground) -> None:
    """The object and the quota are named, and all of it is as before."""
    with ground.server.cluster(ground.namespace) as cluster:
        quota(cluster, services="0")
        with pytest.raises(ModelOpsError) as error:
            ground.apply(cluster)
        assert error.value.first.code == "quota-exceeded"
        assert f"Service {name_of('production', CHURN)}" in error.value.first.message
        assert "exceeded quota: small" in error.value.first.message
        assert (error.value.exit, error.value.retryable) == (4, True)
        assert applied.read_state(cluster, Owner("production", ground.repository)).inventory is None
        assert [each["metadata"]["name"] for each in cluster.listed("Deployment")] == []


def test_who_may_not_is_told_the_verb_and_the_resource(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API server's word about rights is passed on, with what to do."""
    monkeypatch.setenv("KUBECONFIG", ground.server.kubeconfig("nobody"))
    with pytest.raises(ModelOpsError) as error:
        kubernetes.observe(ground.params(), ground.place())
    assert error.value.first.code == "cluster-forbidden"
    assert 'User "nobody" cannot get resource "configmaps"' in error.value.first.message
    assert f"Role of {ground.namespace}" in (error.value.first.hint or "")


def test_a_namespace_that_is_not_there_is_told(ground: Ground) -> None:
    """What is missing is the namespace, and how it is made is said."""
    params = ground.params(namespace="nowhere")
    with pytest.raises(ModelOpsError, match='namespaces "nowhere" not found') as error:
        kubernetes.apply(params, ground.site(), ground.table())
    assert error.value.first.code == "namespace-missing"
    assert "kubectl create namespace nowhere" in (error.value.first.hint or "")


def test_an_api_server_that_is_gone_is_told_and_is_no_end(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nobody answers at an address that is named; it is an error to be tried again."""
    gone = Path(ground.server.kubeconfig()).read_text().replace(f":{ground.server.port}", ":9")
    (tmp_path / "gone").write_text(gone)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "gone"))
    for ask in (kubernetes.observe, kubernetes.endpoint, kubernetes.stop):
        with pytest.raises(ModelOpsError, match=r"no Kubernetes API server answers at https://127\.0\.0\.1:9") as error:
            ask(ground.params(), ground.place())
        assert (error.value.first.code, error.value.exit, error.value.retryable) == ("cluster-unreachable", 4, True)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "missing"))
    with pytest.raises(ModelOpsError) as error:
        kubernetes.observe(ground.params(), ground.place())
    assert error.value.first.code == "no-kubeconfig"


def test_what_cannot_be_changed_is_told(ground: Ground) -> None:
    """An immutable field is named, with the way out."""
    with ground.server.cluster(ground.namespace) as cluster:
        ground.apply(cluster)
        wanted = ground.wanted(cluster, ground.table())
        deployment = next(each for each in wanted if each["kind"] == "Deployment")
        labels = {**deployment["spec"]["selector"]["matchLabels"], "more": "x"}
        template = {**deployment["spec"]["template"], "metadata": {"labels": labels}}
        spec = {**deployment["spec"], "selector": {"matchLabels": labels}, "template": template}
        with pytest.raises(ModelOpsError, match=r"spec\.selector.*field is immutable") as error:
            cluster.apply({**deployment, "spec": spec}, dry=True)
        assert "--cascade=orphan" in (error.value.first.hint or "")


def workload_pod(cluster: Cluster, ground: Ground, status: dict[str, Any]) -> None:
    """Let a pod of a model be there, and its node or the scheduler say how it stands."""
    labels = {
        "app.kubernetes.io/managed-by": "modelops",
        "app.kubernetes.io/part-of": "production",
        "app.kubernetes.io/instance": name_of("production", FRAUD),
    }
    container = {"name": "server", "image": IMAGE}
    cluster.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "one", "labels": labels},
            "spec": {"containers": [container], "automountServiceAccountToken": False},
        }
    )
    say(cluster, "Pod", "one", status)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
                ]
            },
            "unschedulable",
            "Pod one has no node: 0/3 nodes",
        ),
        (
            {
                "containerStatuses": [
                    {
                        "name": "server",
                        "image": "r.example/m",
                        "imageID": "",
                        "ready": False,
                        "restartCount": 0,
                        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}},
                    }
                ]
            },
            "image-not-pulled",
            "Pod one cannot have the image r.example/m: ImagePullBackOff: Back-off",
        ),
    ],
)
def test_pods_that_cannot_run_are_told_and_looked_at_again(
    ground: Ground, status: dict[str, Any], code: str, said: str
) -> None:
    """What is wrong is told by object and reason, now and as out of sync; the next pass looks at it again."""
    table = ground.table(FRAUD)
    name = name_of("production", FRAUD)
    with ground.server.cluster(ground.namespace) as cluster:
        ground.apply(cluster, table)
        generation = cluster.get("Deployment", name)["metadata"]["generation"]  # type: ignore[index]
        counts = {"replicas": 1, "updatedReplicas": 1, "readyReplicas": 0, "unavailableReplicas": 1}
        say(cluster, "Deployment", name, {"observedGeneration": generation, **counts})
        workload_pod(cluster, ground, status)
        observed = kubernetes.observe(ground.params(), ground.place())
        assert (observed.running, observed.table, observed.routes) == (False, None, table)
        assert observed.message == said
        assert observed.changed == (said,)
        with pytest.raises(ModelOpsError) as error:
            kubernetes.apply(ground.params(), ground.site(), table)
        assert (error.value.first.code, error.value.first.message) == (code, said)
        assert (error.value.exit, error.value.retryable) == (4, True)


def test_a_generation_that_nobody_has_looked_at_is_not_there_yet(ground: Ground) -> None:
    """Without a controller nothing comes to be, and that is what is said after the time that was given."""
    with pytest.raises(ModelOpsError) as error:
        kubernetes.apply(ground.params(), ground.site(), ground.table(FRAUD))
    assert (error.value.first.code, error.value.retryable) == ("pods-late", True)
    assert f"Deployment {name_of('production', FRAUD)} has no pod that is ready" in error.value.first.message
    observed = kubernetes.observe(ground.params(), ground.place())
    assert observed.changed == (
        f"Deployment {name_of('production', FRAUD)}: its controller has not looked at generation 1 yet",
    )


def test_an_environment_without_models_runs_and_stops(ground: Ground) -> None:
    """Observed, applied, stopped and applied again, with no pod to wait for; what it was given is remembered."""
    params, site = ground.params(), ground.site("staging")
    empty = RoutingTable(environment="staging", models={})
    never = kubernetes.observe(params, ground.place("staging"))
    assert (never.running, never.table, never.routes) == (False, None, None)
    assert kubernetes.endpoint(params, site) is None
    kubernetes.stop(params, site)
    assert kubernetes.apply(params, site, empty).table == table_digest(empty)
    assert kubernetes.endpoint(params, site) is not None
    kubernetes.stop(params, site)
    stopped = kubernetes.observe(params, site)
    assert (stopped.running, stopped.table, stopped.routes, stopped.message) == (False, None, empty, "it was stopped")
    assert kubernetes.apply(params, site, empty).running


def test_what_is_stopped_keeps_its_routes_and_its_address(ground: Ground) -> None:
    """Pods go; the table, the Service and its address stay, and an apply brings all of it back."""
    with ground.server.cluster(ground.namespace) as cluster:
        before = ground.apply(cluster)
        kubernetes.stop(ground.params(), ground.place())
        state = applied.read_state(cluster, before.owner)
        assert {kind for kind, _ in state.listed} == {"ConfigMap", "Service", "NetworkPolicy"}
        assert cluster.listed("Deployment") == []
        assert (state.stopped, state.routes) == (True, ground.table())
        name = name_of("production", FRAUD)
        address = state.live["Service", name]["spec"]["clusterIP"]
        state = ground.apply(cluster)
        assert not state.stopped
        assert state.live["Service", name]["spec"]["clusterIP"] == address
        assert ground.changes(cluster) == []


def test_how_far_a_rollout_came_is_kept_in_the_cluster(ground: Ground) -> None:
    """What one machine remembers another one recalls; what is forgotten is gone."""
    params, place = ground.params(), ground.place()
    assert kubernetes.recall(params, place, CHURN) is None
    kubernetes.remember(params, place, CHURN, b"one")
    kubernetes.remember(params, place, CHURN, b"two")
    assert kubernetes.recall(params, replace(place, runtime=ground.folder / "elsewhere"), CHURN) == b"two"
    assert kubernetes.recall(params, place, FRAUD) is None
    kubernetes.remember(params, place, CHURN, None)
    kubernetes.remember(params, place, CHURN, None)
    assert kubernetes.recall(params, place, CHURN) is None


def test_what_somebody_else_remembered_since_is_not_written_over(ground: Ground) -> None:
    """Whoever decides by what was read a while ago is refused when it has changed meanwhile."""
    params, place = ground.params(), ground.place()
    kubernetes.remember(params, place, CHURN, b"one")
    name = f"{name_of('production', CHURN)}-rollout"
    with ground.server.cluster(ground.namespace) as cluster:
        edit(cluster, "ConfigMap", name, lambda live: live["data"].update({"rollout.json": "other"}), "modelops")
    with pytest.raises(ModelOpsError) as error:
        kubernetes.remember(params, place, CHURN, b"two")
    assert error.value.first.code == "changed-meanwhile"
    assert kubernetes.recall(params, place, CHURN) == b"other"
    kubernetes.remember(params, place, CHURN, b"two")
    assert kubernetes.recall(params, place, CHURN) == b"two"


def test_the_second_reconciler_is_told_who_the_first_one_is(ground: Ground) -> None:
    """One at a time has an environment, whatever machine it is on; given back it is free at once."""
    params, place = ground.params(), ground.place()
    elsewhere = replace(place, runtime=ground.folder / "elsewhere")
    with kubernetes.reserved(params, place) as nobody:
        assert nobody is None
        term = term_of(params, "production")
        assert term is not None
        with kubernetes.reserved(params, elsewhere) as holder:
            assert holder is not None
            assert term.holder in holder
        # Another environment is another Lease.
        with kubernetes.reserved(params, ground.place("staging")) as nobody:
            assert nobody is None
    assert term_of(params, "production") is None
    with kubernetes.reserved(params, elsewhere) as nobody:
        assert nobody is None


def test_a_reconciler_that_died_is_followed_and_can_write_no_more(ground: Ground) -> None:
    """Its Lease runs out by the clock of who comes next alone; what it read before then fits nothing any more."""
    params, place = ground.params(), ground.place()
    owner = Owner("production", ground.repository)
    with ground.server.cluster(ground.namespace) as cluster:
        ground.apply(cluster)
        kubernetes.remember(params, place, CHURN, b"one")
        with kubernetes.reserved(params, place):
            lease = cluster.get("Lease", owner.lease)
        assert lease is not None
        # It was killed while it held the Lease; its clock was a day ahead.
        lease["spec"] |= {
            "holderIdentity": "dead",
            "leaseDurationSeconds": 1,
            "renewTime": "2099-01-01T00:00:00.000000Z",
        }
        lease["metadata"].pop("resourceVersion")
        live = cluster.get("Lease", owner.lease)
        assert live is not None
        cluster.replace({**lease, "metadata": live["metadata"]})
        kubernetes.recall(params, place, CHURN)
        stale = applied.read_state(cluster, owner)
        with kubernetes.reserved(params, place) as holder:
            assert holder is not None
            assert "dead" in holder
        seen = place.runtime / "cluster-lease.json"
        said = json.loads(seen.read_text())
        seen.write_text(json.dumps({**said, "time": time.time() - 5}))
        with kubernetes.reserved(params, place) as nobody:
            assert nobody is None
        for write in (
            lambda: applied.apply_objects(
                cluster,
                stale,
                ground.table(FRAUD),
                ground.wanted(cluster, ground.table(FRAUD)),
                overwrite=False,
                term=None,
            ),
            lambda: kubernetes.remember(params, place, CHURN, b"stale"),
        ):
            with pytest.raises(ModelOpsError) as error:
                write()
            assert is_late(error.value)
        assert applied.read_state(cluster, owner).routes == ground.table()
        assert kubernetes.recall(params, place, CHURN) == b"one"


def test_a_lease_that_was_lost_stops_what_would_be_written(ground: Ground) -> None:
    """Whoever was too slow to renew it writes nothing more, before the API server has to say so."""
    params = ground.params()
    with ground.server.cluster(ground.namespace) as cluster:
        before = ground.apply(cluster)
        with kubernetes.reserved(params, ground.place()):
            term = term_of(params, "production")
            assert term is not None
            term.until = 0.0
            with pytest.raises(ModelOpsError) as error:
                ground.apply(cluster, ground.table(FRAUD))
            assert error.value.first.code == "lease-lost"
            with pytest.raises(ModelOpsError, match="lease-lost"):
                kubernetes.remember(params, ground.place(), CHURN, b"one")
        assert applied.read_state(cluster, before.owner).routes == ground.table()


def bound(cluster: Cluster) -> None:
    """Give the user `reconciler` the rendered Role, in this namespace."""
    group = "rbac.authorization.k8s.io"
    path = f"/apis/{group}/v1/namespaces/{cluster.namespace}"
    name = {"name": "reconciler"}
    cluster.ask_raw(
        "POST", f"{path}/roles", {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": name, "rules": RULES}
    )
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": name,
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "reconciler"},
        "subjects": [{"kind": "Group", "apiGroup": group, "name": "reconcilers"}],
    }
    cluster.ask_raw("POST", f"{path}/rolebindings", binding)


def may(cluster: Cluster, namespace: str, verb: str, group: str, resource: str) -> bool:
    """Ask the API server whether whoever asks may do something."""
    resource, _, sub = resource.partition("/")
    asked = {"namespace": namespace, "verb": verb, "group": group, "resource": resource, "subresource": sub}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    return bool(cluster.ask_raw("POST", path, body)["status"]["allowed"])


def test_the_rendered_role_is_enough_and_no_more(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """With it a pass does all that it does; whatever else is asked for is refused by the API server."""
    with ground.server.cluster(ground.namespace) as admin:
        bound(admin)
    elsewhere = ground.server.namespace()
    monkeypatch.setenv("KUBECONFIG", ground.server.kubeconfig("reconciler"))
    params, place = ground.params(), ground.place()
    with ground.server.cluster(ground.namespace, "reconciler") as cluster:
        with kubernetes.reserved(params, place) as nobody:
            assert nobody is None
            ground.apply(cluster)
            ground.apply(cluster, ground.table(FRAUD))
            kubernetes.recall(params, place, CHURN)
            kubernetes.remember(params, place, CHURN, b"one")
            kubernetes.remember(params, place, CHURN, None)
            assert kubernetes.observe(params, place).routes == ground.table(FRAUD)
        kubernetes.stop(params, place)
        own = {(rule["apiGroups"][0], resource): rule["verbs"] for rule in RULES for resource in rule["resources"]}
        every = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
        for (group, resource), verbs in own.items():
            allowed = {verb for verb in every if may(cluster, ground.namespace, verb, group, resource)}
            assert allowed == set(verbs), f"{resource}: {allowed}"
            assert not any(may(cluster, elsewhere, verb, group, resource) for verb in every)
        for group, resource in [
            ("", "secrets"),
            ("", "serviceaccounts"),
            ("", "nodes"),
            ("", "namespaces"),
            ("", "pods/log"),
            ("", "pods/portforward"),
            ("apps", "daemonsets"),
            ("batch", "jobs"),
            ("rbac.authorization.k8s.io", "roles"),
            ("rbac.authorization.k8s.io", "rolebindings"),
            ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ]:
            assert not any(may(cluster, ground.namespace, verb, group, resource) for verb in every), resource
        with pytest.raises(ModelOpsError, match='cannot list resource "secrets"'):
            cluster.ask_raw("GET", f"/api/v1/namespaces/{ground.namespace}/secrets")
        with pytest.raises(ModelOpsError, match=f'in the namespace "{elsewhere}"'):
            cluster.ask_raw("GET", f"/api/v1/namespaces/{elsewhere}/configmaps")
