"""Rendering: pure, deterministic, and accepted by the schemas of real clusters."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pydantic import ValidationError

from git_world import git
from modelops import plugins
from modelops.errors import ModelOpsError
from modelops.locks.wheel import Wheel
from modelops.spec.address import Address
from modelops.spec.kinds.access_policy import ApiKey
from modelops.spec.kinds.model import Feature, ModelData, ModelSpec
from modelops.spec.routing import Route, RouteArm, RoutingTable
from modelops.targets import Deployable

IMAGE = "registry.example/modelops@sha256:" + "a" * 64
NEWEST = int(kubernetes_validate.latest_version().split(".")[1])
VERSIONS = [f"1.{minor}" for minor in (NEWEST - 2, NEWEST - 1, NEWEST)]
MODEL = ModelSpec(
    description="Churn.",
    owner="crm & co",
    risk="limited",
    task="binary-classification",
    intended_use="Calls.",
    data=ModelData(snapshot="s", target="churned", features=(Feature(name="age", type="number"),)),
    gates=("standard",),
)


FOLDER = Address("oci-layout:/home/ada/models/.modelops/store", folder=Path("/home/ada/models/.modelops/store"))
REGISTRY = Address(
    "oci-registry://registry.example/acme/models?usernameVariable=WHO&passwordVariable=SECRET",
    ports=(443,),
    variables=("WHO", "SECRET"),
)


WHEEL = Wheel("modelops-1-py3-none-any.whl", "ab" * 32, "a test", data=b"what is installed")


def desired(keys: tuple[ApiKey, ...] | None = None, store: Address = FOLDER) -> Deployable:
    def arm(name: str, release: int, weight: float) -> RouteArm:
        return RouteArm(name=name, release=release, digest="sha256:" + str(release) * 64, weight=weight)  # type: ignore[arg-type]

    routes = {
        "crm/churn": Route(arms=(arm("stable", 1, 0.95), arm("candidate", 2, 0.05)), salt="abc", entity="customer: x"),
        "fraud-detection": Route(arms=(arm("stable", 3, 1.0),), salt="def"),
    }
    table = RoutingTable(environment="production", models=routes, keys=keys)
    lock = "numpy==2.0 --hash=sha256:ab\n"
    models = dict.fromkeys(routes, MODEL)
    return Deployable(table=table, models=models, releases={}, lock=lambda: lock, store=store, wheel=lambda: WHEEL)


def render(key: str, at: Address = FOLDER, **params: object) -> dict[str, str]:
    module = plugins.load("targets", key)
    files = module.render(module.Params.model_validate_json(json.dumps(params)), desired(store=at))
    return {path: content if isinstance(content, str) else content.decode() for path, content in files.items()}


KUBERNETES = {"image": IMAGE, "storeClaim": "artifacts"}


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_pass_the_strict_schemas(version: str) -> None:
    """Every manifest is valid for the three newest versions of Kubernetes, with no unknown field."""
    files = render("kubernetes", **KUBERNETES, ingressNamespace="gateway", logClaim="log")
    assert len(files) == 12
    for text in files.values():
        kubernetes_validate.validate(yaml.safe_load(text), version, strict=True)


def test_objects_say_owner_model_release_and_digest() -> None:
    """Labels carry what an operator filters by, annotations the full digests, and pods neither release nor digest."""
    files = render("kubernetes", **KUBERNETES)
    for text in files.values():
        metadata = yaml.safe_load(text)["metadata"]
        assert {"modelops.dev/owner", "modelops.dev/model", "modelops.dev/release", "modelops.dev/digest"} <= set(
            metadata["labels"]
        )
        assert all(
            re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", v) for v in metadata["labels"].values()
        )
        assert metadata["annotations"]["modelops.dev/stable-artifact"].startswith("sha256:")
    pod = yaml.safe_load(files["crm/churn/deployment.yaml"])["spec"]["template"]["metadata"]["labels"]
    assert not any(key.startswith("modelops.dev/") for key in pod)


@pytest.mark.parametrize("more", [{}, {"logStorage": "1Gi"}])
def test_pods_are_spread_and_bounded(more: dict[str, str]) -> None:
    """Pods of a model go to other nodes where they can, take no variables of Services, and fill no node by /tmp."""
    files = render("kubernetes", **KUBERNETES, **more)
    (text,) = (each for path, each in files.items() if re.fullmatch(r"crm/churn/(deployment|statefulset)\.yaml", path))
    workload = yaml.safe_load(text)["spec"]
    pod = workload["template"]["spec"]
    (spread,) = pod["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"]) == ("kubernetes.io/hostname", "ScheduleAnyway")
    assert spread["labelSelector"] == workload["selector"]
    assert pod["enableServiceLinks"] is False
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}} in pod["volumes"]
    (container,) = pod["containers"]
    assert [container[f"{kind}Probe"]["timeoutSeconds"] for kind in ("startup", "readiness", "liveness")] == [3, 3, 3]


def test_api_keys_are_rendered_without_the_keys() -> None:
    """Each model's table has the keys that may use it; keys named by variable come from a Secret or the shell."""
    keys = (
        ApiKey(name="app", sha256="ab" * 32, models=("fraud-detection",)),
        ApiKey(name="partner", variable="PARTNER_KEY"),
    )
    module = plugins.load("targets", "kubernetes")
    files = module.render(module.Params.model_validate_json(json.dumps(KUBERNETES)), desired(keys))
    for text in files.values():
        kubernetes_validate.validate(yaml.safe_load(text), VERSIONS[-1], strict=True)
    named = {
        model: [
            key["name"]
            for key in json.loads(yaml.safe_load(files[f"{model}/configmap.yaml"])["data"]["routes.json"])["keys"]
        ]
        for model in ("crm/churn", "fraud-detection")
    }
    assert named == {"crm/churn": ["partner"], "fraud-detection": ["app", "partner"]}
    (container,) = yaml.safe_load(files["crm/churn/deployment.yaml"])["spec"]["template"]["spec"]["containers"]
    reference = {"secretKeyRef": {"name": "modelops-api-keys", "key": "PARTNER_KEY"}}
    own = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}
    assert container["env"] == [
        {"name": "MODELOPS_LOG_NAME", "valueFrom": own},
        {"name": "PARTNER_KEY", "valueFrom": reference},
    ]
    docker = plugins.load("targets", "docker")
    compose = yaml.safe_load(docker.render(docker.Params(), desired(keys))["compose.yaml"])
    assert compose["services"]["server"]["environment"] == ["PARTNER_KEY"]


def test_every_arm_is_rendered() -> None:
    """Arms without weight, shadows and challengers have their labels, and the servers get them as they are."""
    arms = (
        RouteArm(name="stable", release=1, digest="sha256:" + "1" * 64, weight=1.0),
        RouteArm(name="candidate", release=2, digest="sha256:" + "2" * 64, weight=0.0),
        RouteArm(name="challenger-3", release=3, digest="sha256:" + "3" * 64, weight=0.0, shadow=0.5),
    )
    table = RoutingTable(environment="production", models={"churn": Route(arms=arms, salt="abc")})
    wanted = replace(desired(), table=table, models={"churn": MODEL}, lock=lambda: "")
    module = plugins.load("targets", "kubernetes")
    files = module.render(module.Params.model_validate_json(json.dumps(KUBERNETES)), wanted)
    for text in files.values():
        kubernetes_validate.validate(yaml.safe_load(text), VERSIONS[-1], strict=True)
        metadata = yaml.safe_load(text)["metadata"]
        labels = {key: value for key, value in metadata["labels"].items() if key.startswith("modelops.dev/")}
        assert labels["modelops.dev/candidate"] == "2"
        assert labels["modelops.dev/challenger-3"] == "3"
        assert metadata["annotations"]["modelops.dev/challenger-3-artifact"] == "sha256:" + "3" * 64
    manifest = yaml.safe_load(files["churn/configmap.yaml"])
    assert RoutingTable.model_validate_json(manifest["data"]["routes.json"]) == table
    module = plugins.load("targets", "docker")
    compose = yaml.safe_load(module.render(module.Params(), wanted)["compose.yaml"])
    assert compose["services"]["server"]["labels"]["dev.modelops.challenger-3.churn"] == "3@sha256:" + "3" * 64


def test_the_config_map_holds_the_table_that_a_server_reads() -> None:
    """What the server would load from the ConfigMap is the route of that model."""
    manifest = yaml.safe_load(render("kubernetes", **KUBERNETES)["crm/churn/configmap.yaml"])
    table = RoutingTable.model_validate_json(manifest["data"]["routes.json"])
    assert table.models == {"crm/churn": desired().table.models["crm/churn"]}


@pytest.mark.parametrize(("key", "params"), [("kubernetes", KUBERNETES), ("docker", {}), ("local", {})])
def test_equal_inputs_render_equal_bytes(key: str, params: dict[str, object]) -> None:
    """Rendering twice gives the same files."""
    assert render(key, **params) == render(key, **params)


@pytest.mark.parametrize(
    ("key", "params"),
    [
        ("kubernetes", {"storeClaim": "artifacts"}),
        ("kubernetes", {"image": "modelops:latest", "storeClaim": "artifacts"}),
        ("kubernetes", {**KUBERNETES, "replicas": 3}),
        ("kubernetes", {**KUBERNETES, "image": "registry.example/Models@sha256:" + "a" * 64}),
        ("kubernetes", {**KUBERNETES, "cpu": "half"}),
        ("kubernetes", {**KUBERNETES, "cpu": -1}),
        ("kubernetes", {**KUBERNETES, "cpu": 0}),
        ("kubernetes", {**KUBERNETES, "cpu": True}),
        ("kubernetes", {**KUBERNETES, "memory": "512MB"}),
        ("kubernetes", {**KUBERNETES, "memory": "512m"}),
        ("kubernetes", {**KUBERNETES, "logStorage": "0Gi"}),
        ("kubernetes", {**KUBERNETES, "minimumReplicas": 5, "maximumReplicas": 2}),
        ("kubernetes", {**KUBERNETES, "storeClaim": "My_Claim"}),
        ("docker", {"base": "python:3.12"}),
        ("docker", {"store": "$(rm -rf /)"}),
        ("local", {"port": 70000}),
    ],
)
def test_wrong_parameters_are_refused(key: str, params: dict[str, object]) -> None:
    """Missing, unpinned, unknown and unsafe parameters do not validate."""
    with pytest.raises(ValidationError):
        render(key, **params)


def test_amounts_may_be_numbers_and_names_of_objects_have_dots() -> None:
    """As in Kubernetes itself: half a core is 0.5 or 500m, and a Secret's name is one of DNS, of several labels."""
    more = {"cpu": 0.5, "memory": 536870912, "keySecret": "keys.of.models"}
    pod = kubernetes(desired(), **more)["crm/churn/deployment.yaml"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["requests"] == {"cpu": "0.5", "memory": "536870912"}


def test_the_dockerfile_is_pinned_and_unprivileged() -> None:
    """The base is pinned by digest, packages by hash, the user is not root, and there is a health check."""
    text = render("docker")["Dockerfile"]
    assert re.match(r"FROM \S+@sha256:[0-9a-f]{64} AS build\n", text)
    assert "--require-hashes" in text
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", text, re.M)
    assert re.search(r"^HEALTHCHECK ", text, re.M)


def test_the_compose_file_drops_privileges() -> None:
    """The service runs read-only, without capabilities, and is reachable from this machine only."""
    compose = yaml.safe_load(render("docker")["compose.yaml"])
    server = compose["services"]["server"]
    assert (server["read_only"], server["cap_drop"]) == (True, ["ALL"])
    assert server["ports"] == ["127.0.0.1:8080:8080"]
    assert server["labels"]["dev.modelops.candidate.crm/churn"] == "2@sha256:" + "2" * 64


def test_a_store_that_is_a_folder_is_mounted_and_its_place_here_is_in_no_file() -> None:
    """Container and pod read the mounted folder by an address of their own."""
    docker, kubernetes = render("docker", at=FOLDER), render("kubernetes", at=FOLDER, **KUBERNETES)
    assert "/home/ada" not in "".join([*docker.values(), *kubernetes.values()])
    server = yaml.safe_load(docker["compose.yaml"])["services"]["server"]
    assert "--store oci-layout:/srv/modelops/store" in " ".join(server["command"])
    store = {"type": "bind", "source": "./store", "target": "/srv/modelops/store", "read_only": True}
    assert store in server["volumes"]
    pod = yaml.safe_load(kubernetes["crm/churn/deployment.yaml"])["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"][-2:] == ["--store", "oci-layout:/srv/store"]
    assert {"name": "store", "persistentVolumeClaim": {"claimName": "artifacts", "readOnly": True}} in pod["volumes"]
    assert "egress" not in yaml.safe_load(kubernetes["crm/churn/networkpolicy.yaml"])["spec"]


def test_a_store_that_is_reached_by_network_is_passed_on_by_its_address() -> None:
    """Nothing is mounted; credentials come from the shell or a Secret; what leaves goes to names and the store."""
    docker = render("docker", at=REGISTRY)
    server = yaml.safe_load(docker["compose.yaml"])["services"]["server"]
    assert f"--store {REGISTRY.text}" in " ".join(server["command"])
    assert [volume["target"] for volume in server["volumes"]] == ["/srv/modelops/routes", "/var/lib/modelops"]
    assert server["environment"] == ["WHO", "SECRET"]
    kubernetes = render("kubernetes", at=REGISTRY, image=IMAGE, storeSecret="pull")
    for text in kubernetes.values():
        kubernetes_validate.validate(yaml.safe_load(text), VERSIONS[-1], strict=True)
    pod = yaml.safe_load(kubernetes["crm/churn/deployment.yaml"])["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][-2:] == ["--store", REGISTRY.text]
    assert {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "pull", "key": "SECRET"}}} in container["env"]
    assert "store" not in {volume["name"] for volume in pod["volumes"] + container["volumeMounts"]}
    egress = yaml.safe_load(kubernetes["crm/churn/networkpolicy.yaml"])["spec"]["egress"]
    assert {port["port"] for rule in egress for port in rule["ports"]} == {53, 443}


def test_a_folder_without_a_claim_is_refused_for_a_cluster() -> None:
    """A pod that could never find its artifacts is not rendered."""
    with pytest.raises(ModelOpsError, match="storeClaim") as error:
        render("kubernetes", at=FOLDER, image=IMAGE)
    assert error.value.problems[0].code == "store-claim-missing"
    assert error.value.exit == 2


def test_grpc_and_origins_are_what_the_target_says() -> None:
    """Both are off by default; where they are asked for, the port is reachable and the server is told of it."""
    assert "grpc" not in "".join([*render("docker").values(), *render("kubernetes", **KUBERNETES).values()])
    docker = render("docker", grpcPort=9001, corsOrigins=["https://app.example"])
    assert "EXPOSE 8080 8081\n" in docker["Dockerfile"]
    server = yaml.safe_load(docker["compose.yaml"])["services"]["server"]
    assert "--grpc-port 8081 --cors https://app.example" in " ".join(server["command"])
    assert server["ports"] == ["127.0.0.1:8080:8080", "127.0.0.1:9001:8081"]
    kubernetes = render("kubernetes", **KUBERNETES, grpc=True, corsOrigins=["*"])
    for text in kubernetes.values():
        kubernetes_validate.validate(yaml.safe_load(text), VERSIONS[-1], strict=True)
    (container,) = yaml.safe_load(kubernetes["crm/churn/deployment.yaml"])["spec"]["template"]["spec"]["containers"]
    assert [each["containerPort"] for each in container["ports"]] == [8080, 8081]
    assert "--grpc-port 8081 --cors * " in " ".join(container["args"])
    service = yaml.safe_load(kubernetes["crm/churn/service.yaml"])["spec"]["ports"]
    assert [(each["name"], each["port"]) for each in service] == [("http", 80), ("grpc", 8081)]
    ingress = yaml.safe_load(kubernetes["crm/churn/networkpolicy.yaml"])["spec"]["ingress"][0]["ports"]
    assert [each["port"] for each in ingress] == [8080, 8081]
    module = plugins.load("targets", "local")
    with pytest.raises(ValidationError):
        module.Params.model_validate_json('{"corsOrigins": ["app.example"]}')


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("staging", "a/b"), ("staging", "a-b")),
        (("staging", "a"), ("production", "a")),
        (("b-staging", "a"), ("staging", "a-b")),
        (("staging", "m-2024"), ("staging", "2024")),
        (("staging", "a--b"), ("staging", "a/b")),
        (("staging", "x" * 60 + "/a"), ("staging", "x" * 60 + "/b")),
        (("s" * 63, "churn"), ("s" * 62 + "t", "churn")),
    ],
)
def test_no_two_models_and_no_two_environments_share_an_object(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Whatever models and environments are called, their objects and the pods that they select are their own."""
    module = plugins.load("targets", "kubernetes")
    params = module.Params.model_validate_json(json.dumps(KUBERNETES))
    stable = RouteArm(name="stable", release=1, digest="sha256:" + "1" * 64, weight=1.0)
    objects, selectors = [], []
    for environment, model in (one, other):
        table = RoutingTable(environment=environment, models={model: Route(arms=(stable,), salt="abc")})
        wanted = Deployable(
            table=table, models={model: MODEL}, releases={}, lock=lambda: "", store=FOLDER, wheel=lambda: WHEEL
        )
        for path, text in module.render(params, wanted).items():
            made = yaml.safe_load(text)
            kubernetes_validate.validate(made, VERSIONS[-1], strict=True)
            assert path.startswith(f"{model}/")
            assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", made["metadata"]["name"])
            assert made["metadata"]["annotations"]["modelops.dev/model"] == model
            objects.append((made["kind"], made["metadata"]["name"]))
            if made["kind"] == "Deployment":
                selectors.append(made["spec"]["selector"]["matchLabels"])
    assert len(set(objects)) == len(objects) == 12
    assert selectors[0] != selectors[1]


def test_an_image_installs_modelops_by_its_hash_alone() -> None:
    """The wheel goes along, or is fetched from where this one came from; the name is asked of no package index."""
    files = render("docker")
    assert files["modelops.txt"] == f"./wheels/{WHEEL.name} --hash=sha256:{WHEEL.sha256}\n"
    assert files[f"wheels/{WHEEL.name}"] == "what is installed"
    installs = [line for line in files["Dockerfile"].splitlines() if '"install"' in line]
    assert ["modelops.txt" in line for line in installs] == [False, True]
    assert all('"--require-hashes"' in line for line in installs)
    assert ['"--no-index"' in line for line in installs] == [False, True]
    assert "COPY wheels/ wheels/\n" in files["Dockerfile"]
    module = plugins.load("targets", "docker")
    fetched = Wheel(WHEEL.name, WHEEL.sha256, "a test", url="https://example.com/modelops.whl")
    files = module.render(module.Params(), replace(desired(), wheel=lambda: fetched))
    assert files["modelops.txt"].startswith("modelops @ https://example.com/modelops.whl --hash=sha256:abab")
    assert "wheels" not in files["Dockerfile"]
    assert not any(path.startswith("wheels/") for path in files)


def test_another_lock_or_another_modelops_is_another_image() -> None:
    """A compose that has built an image keeps it as long as the name is the same."""
    module = plugins.load("targets", "docker")
    other = Wheel(WHEEL.name, "cd" * 32, "a test", data=b"")
    asked = (
        desired(),
        replace(desired(), lock=lambda: "numpy==3\n"),
        replace(desired(), wheel=lambda: other),
        desired(),
    )
    one, lock, wheel, again = (
        yaml.safe_load(module.render(module.Params(), each)["compose.yaml"])["services"]["server"]["image"]
        for each in asked
    )
    assert len({one, lock, wheel}) == 3
    assert one == again


def acknowledged() -> Deployable:
    """Return one model that is answered only once its row is on disk."""
    asked = desired()
    route = asked.table.models["crm/churn"].model_copy(update={"log": "acknowledged"})
    return replace(asked, table=asked.table.model_copy(update={"models": {"crm/churn": route}}))


def kubernetes(asked: Deployable, **params: object) -> dict[str, dict[str, Any]]:
    """Return the objects of an environment by their files, each as the strict schema has it."""
    module = plugins.load("targets", "kubernetes")
    files = module.render(module.Params.model_validate_json(json.dumps({**KUBERNETES, **params})), asked)
    objects = {path: yaml.safe_load(text) for path, text in files.items()}
    for made in objects.values():
        kubernetes_validate.validate(made, VERSIONS[-1], strict=True)
    return objects


def test_a_row_that_is_acknowledged_is_on_a_disk_that_outlives_its_pod() -> None:
    """A log that goes with its pod is refused; each pod has a volume of its own, or all share one that stays."""
    with pytest.raises(ModelOpsError, match="crm/churn has log: acknowledged") as error:
        kubernetes(acknowledged())
    assert (error.value.first.code, error.value.exit) == ("log-not-kept", 2)
    assert "deployment" in " ".join(kubernetes(acknowledged(), logClaim="shared"))
    objects = kubernetes(acknowledged(), logStorage="5Gi", logStorageClass="fast")
    made = objects["crm/churn/statefulset.yaml"]
    assert "crm/churn/deployment.yaml" not in objects
    (claim,) = made["spec"]["volumeClaimTemplates"]
    assert (claim["spec"]["resources"]["requests"], claim["spec"]["storageClassName"]) == ({"storage": "5Gi"}, "fast")
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/var/lib/modelops"} in container["volumeMounts"]
    assert "log" not in {volume["name"] for volume in made["spec"]["template"]["spec"]["volumes"]}
    # A pod that comes again goes on in the files of its volume; files of other pods have other names.
    assert container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
    assert made["spec"]["serviceName"] == objects["crm/churn/service.yaml"]["metadata"]["name"]
    assert objects["crm/churn/horizontalpodautoscaler.yaml"]["spec"]["scaleTargetRef"]["kind"] == "StatefulSet"


@pytest.mark.parametrize("replicas", [1, 3])
def test_a_fixed_number_of_pods_has_no_autoscaler_and_can_be_drained(replicas: int) -> None:
    """The number is in the workload, and one pod at a time may go, also where it is the only one."""
    objects = kubernetes(desired(), minimumReplicas=replicas, maximumReplicas=replicas)
    assert "crm/churn/horizontalpodautoscaler.yaml" not in objects
    assert objects["crm/churn/deployment.yaml"]["spec"]["replicas"] == replicas
    assert objects["crm/churn/poddisruptionbudget.yaml"]["spec"]["maxUnavailable"] == 1
    # Of one pod the next is up before the old one goes.
    rolled = objects["crm/churn/deployment.yaml"]["spec"]["strategy"]["rollingUpdate"]
    assert rolled == {"maxSurge": 1, "maxUnavailable": 0}


def test_an_autoscaler_alone_says_how_many_pods_there_are() -> None:
    """A number in the workload would be fought over."""
    objects = kubernetes(desired())
    assert "replicas" not in objects["crm/churn/deployment.yaml"]["spec"]
    scaler = objects["crm/churn/horizontalpodautoscaler.yaml"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)


def test_a_pod_that_ends_takes_connections_until_nobody_sends_it_any() -> None:
    """The time that it is given is longer than what it waits for balancers and then gives its requests."""
    pod = kubernetes(desired())["crm/churn/deployment.yaml"]["spec"]["template"]["spec"]
    words = pod["containers"][0]["args"]
    notice = int(words[words.index("--notice") + 1])
    assert notice >= 5
    assert pod["terminationGracePeriodSeconds"] >= notice + 40


def test_a_reconciler_may_do_what_it_does_in_one_namespace_and_no_more() -> None:
    """No wildcard, no Secret, no object of the cluster; its pod clones by steps that can be done again."""
    asked = {"image": IMAGE, "repository": "git@example.com:acme/models.git", "deployKeySecret": "deploy-key"}
    objects = kubernetes(desired(), reconciler={**asked, "secret": "signing"})
    role = objects["_reconciler/role.yaml"]
    assert (role["kind"], role["metadata"]["namespace"]) == ("Role", "models")
    told = json.dumps(role["rules"])
    assert "*" not in told
    assert "secrets" not in told
    assert "roles" not in told
    (subject,) = objects["_reconciler/rolebinding.yaml"]["subjects"]
    assert (subject["name"], subject["namespace"]) == (role["metadata"]["name"], "models")
    made = objects["_reconciler/statefulset.yaml"]["spec"]
    pod = made["template"]["spec"]
    assert pod["serviceAccountName"] == role["metadata"]["name"]
    assert made["replicas"] == 1
    assert pod["containers"][0]["command"][3:6] == ["reconcile", "production", "--watch"]
    assert pod["containers"][0]["envFrom"] == [{"secretRef": {"name": "signing"}}]


def test_the_steps_by_which_a_reconciler_clones_can_be_done_again(tmp_path: Path) -> None:
    """A pod that starts anew brings the checkout of the one before up to date."""
    upstream, work = tmp_path / "upstream", tmp_path / "work"
    identity = ("-c", "user.name=ada", "-c", "user.email=ada@acme.example")
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(upstream))
    objects = kubernetes(desired(), reconciler={"image": IMAGE, "repository": "https://git.example/models.git"})
    steps = objects["_reconciler/statefulset.yaml"]["spec"]["template"]["spec"]["initContainers"]
    for number in (1, 2):
        (upstream / "file").write_text(str(number))
        git(upstream, "add", "file")
        git(upstream, *identity, "commit", "--quiet", "-m", str(number))
        for step in steps:
            words = [word.replace("/work/repository", str(work)) for word in step["command"][1:]]
            git(tmp_path, *(word.replace("https://git.example/models.git", str(upstream)) for word in words))
        assert (work / "file").read_text() == str(number)
    assert git(work, "rev-parse", "HEAD") == git(upstream, "rev-parse", "main")
