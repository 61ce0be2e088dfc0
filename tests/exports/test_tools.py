"""Exports for tools that deploy: valid for the tools' own schemas, and with the traffic that modelops would give."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cel
import jsonschema
import kubernetes_validate
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modelops import plugins, strategies
from modelops.conformance.exports import TRIAL, VIEW, check, view
from modelops.conformance.strategies import Rollout
from modelops.errors import Exit, ModelOpsError
from modelops.exports import ModelView, Trial, View
from modelops.exports._judging import TIMES
from modelops.exports._routes import whole
from modelops.spec.address import Address
from modelops.spec.kinds.rollout_plan import RolloutPlanSpec
from modelops.spec.load import load_resource
from modelops.spec.meta import Plugin
from modelops.spec.routing import Route, RouteArm, RoutingTable
from modelops.strategies import Planned, Traffic
from modelops.targets.kubernetes.names import name_of, release_name
from strategies.test_strategies_conformance import EXAMPLES

SCHEMAS = json.loads((Path(__file__).parents[1] / "assets" / "crds" / "schemas.json").read_text(encoding="utf-8"))
IMAGE = "registry.example/modelops@sha256:" + "a" * 64
WATCHED = {
    "image": IMAGE,
    "gateway": "public",
    "domain": "models.example.com",
    "prometheus": "http://prometheus.monitoring:9090",
    "monitoringNamespace": "monitoring",
}
APART = {"gateway": "public", "domain": "models.example.com", "arms": "apart", "services": "kserve"}
REPOSITORY = {"repository": "https://git.example/models.git", "path": "deploy/production"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("kserve", {"image": IMAGE}),
    ("kserve", {"image": IMAGE, "arms": "apart", "version": "0.15", "ingressNamespace": "gateway"}),
    ("gateway-api", {"gateway": "public", "gatewayNamespace": "edge", "section": "https", "domain": "m.example.com"}),
    ("gateway-api", {**APART, "releaseHeader": "x-release"}),
    ("argo-rollouts", WATCHED),
    ("argo-rollouts", {**WATCHED, "minimumReplicas": 3, "maximumReplicas": 3}),
    ("flagger", WATCHED),
    ("argo-cd", {**REPOSITORY, "leaveRoutes": True}),
    ("argo-cd", {**REPOSITORY, "clusters": {"environment": "production"}}),
    ("flux", {**REPOSITORY, "leaveRoutes": True}),
    ("flux", {"repository": "oci://registry.example/deploy", "path": ".", "tag": "main", "secret": "pull"}),
    ("flux", {"repository": "oci://registry.example/deploy", "path": ".", "digest": f"sha256:{'a' * 64}"}),
    ("external-secrets", {"store": "vault"}),
    ("prometheus", {"form": "operator", "labels": {"release": "stack"}, "metricsSecret": "metrics-key"}),
]
STRATEGIES = tuple(EXAMPLES)


def made(key: str, params: Mapping[str, Any], of: View = VIEW) -> dict[str, dict[str, Any]]:
    """Return the objects of an export by their paths."""
    module = plugins.load("exports", key)
    files = module.files(module.Params.model_validate_json(json.dumps(params)), of)
    read = {path: yaml.load_all(text, yaml.CSafeLoader) for path, text in files.items()}
    return {f"{path}#{at}": one for path, found in read.items() for at, one in enumerate(found)}


def of_kind(objects: Mapping[str, dict[str, Any]], kind: str, model: str = "fraud") -> list[dict[str, Any]]:
    return [one for path, one in objects.items() if one["kind"] == kind and f"/{model}/" in path]


def rules(schema: Mapping[str, Any], node: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the rules of a schema, which the API server checks beside it, with the parts that they are about."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path, rule, node
    if isinstance(node, dict):
        for key, each in node.items():
            inner = schema.get("properties", {}).get(key, schema.get("additionalProperties"))
            if isinstance(inner, dict):
                yield from rules(inner, each, f"{path}.{key}")
    elif isinstance(node, list):
        for at, each in enumerate(node):
            yield from rules(schema.get("items", {}), each, f"{path}[{at}]")


def validate(found: dict[str, Any], version: str = "") -> None:
    """Hold an object against its schema, in which no field may be unknown, or against that of Kubernetes itself."""
    name = f"{found['apiVersion']}/{found['kind']}"
    schema = SCHEMAS.get(f"{name}@{version}", SCHEMAS.get(name))
    if schema is None:
        kubernetes_validate.validate(found, kubernetes_validate.latest_version(), strict=True)
        return
    jsonschema.Draft202012Validator(schema).validate(found)
    broken = [f"{path}: {rule}" for path, rule, node in rules(schema, found) if not cel.evaluate(rule, {"self": node})]
    assert not broken, broken
    pod = {
        "Rollout": lambda: found["spec"]["template"]["spec"],
        "ServingRuntime": lambda: {key: found["spec"][key] for key in ("containers", "volumes")},
    }.get(found["kind"])
    if pod is not None:
        # A CustomResourceDefinition says little of pods.
        labels = {"matchLabels": {"a": "b"}}
        spec = {"selector": labels, "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod()}}
        whole_ = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": spec}
        kubernetes_validate.validate(whole_, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize(("key", "params"), CASES, ids=lambda one: one if isinstance(one, str) else "-".join(one))
def test_every_object_is_valid_where_no_field_may_be_unknown(key: str, params: dict[str, Any]) -> None:
    """Objects of each tool pass its schema, and Kubernetes' own the strict one; a field too many would be refused."""
    version = "v0.15.2" if params.get("version") == "0.15" else ""
    judged = set()
    for found in made(key, params).values():
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", found["metadata"]["name"])
        theirs = f"{found['apiVersion']}/{found['kind']}" in SCHEMAS
        if not theirs and found["kind"] in judged:
            continue  # its schema is read for each, and those of models differ in names alone
        validate(found, version)
        if theirs and found["kind"] not in judged:
            with pytest.raises(jsonschema.ValidationError, match="unheardOf"):
                validate({**found, "spec": {**found["spec"], "unheardOf": 1}}, version)
        judged.add(found["kind"])
    assert judged


def test_releases_apart_of_two_environments_do_not_meet() -> None:
    """What every export keeps holds for the forms, too, in which releases have objects of their own."""
    check(plugins.load("exports", "kserve"), {"image": IMAGE, "arms": "apart"})
    check(plugins.load("exports", "gateway-api"), APART)


def test_rules_that_are_no_part_of_a_schema_are_checked_too() -> None:
    """A path with an escaped slash and a copy with two shares are refused by rules alone."""
    model, _ = tried("shadow", share=0.125)
    assert model.trial is not None
    objects = made("gateway-api", APART, seen(model, routed(model.trial.stages[0].traffic, 1)))
    (route,) = of_kind(objects, "HTTPRoute")
    (rule,) = route["spec"]["rules"]
    copy = rule["filters"][0]["requestMirror"]
    assert copy["fraction"] == {"numerator": 1, "denominator": 8}
    validate(route)
    copy["percent"] = 12
    with pytest.raises(AssertionError, match="percent"):
        validate(route)
    del copy["percent"]
    rule["matches"][0]["path"]["value"] = "/v2/models/a%2Fb"
    with pytest.raises(AssertionError, match="%2F"):
        validate(route)


def references(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield the kind and the name of what an object refers to in its own namespace."""
    if isinstance(node, list):
        for each in node:
            yield from references(each, path)
    elif isinstance(node, dict):
        for key, each in node.items():
            yield from references(each, (*path, key))
        named = {"configMap": "ConfigMap", "targetRef": "Deployment", "scaleTargetRef": node.get("kind", "")}
        named |= {"autoscalerRef": "HorizontalPodAutoscaler", "templateRef": "MetricTemplate"}
        if path and path[-1] in named and "name" in node:
            yield named[path[-1]], node["name"]
        if "templateName" in node:
            yield "AnalysisTemplate", node["templateName"]
        for key, kind in (("stableService", "Service"), ("canaryService", "Service"), ("httpRoute", "HTTPRoute")):
            if key in node:
                yield kind, node[key]
        if isinstance(node.get("runtime"), str):
            yield "ServingRuntime", node["runtime"]


@pytest.mark.parametrize(("key", "params"), CASES[:2] + CASES[4:7], ids=lambda one: one if isinstance(one, str) else "")
def test_what_an_object_names_is_among_the_objects(key: str, params: dict[str, Any]) -> None:
    """No object refers to a ConfigMap, Service, route or template that is not exported with it."""
    objects = made(key, params)
    there = {(one["kind"], one["metadata"]["name"]) for one in objects.values()}
    assert len(there) == len(objects), "two objects have one name"
    assert {each for one in objects.values() for each in references(one)} <= there


# What gets which traffic.


def tried(key: str, **changes: Any) -> tuple[ModelView, Any]:
    """Return the model `fraud` on trial by a strategy, and the strategy's parameters."""
    bound = strategies.bind(Plugin(type=key, params={**EXAMPLES[key], **changes}))
    arms = {"stable": 3, "candidate": 4}
    stages = bound.module.stages(bound.params, tuple(arms)) if isinstance(bound.module, Planned) else ()
    trial = Trial(key, bound.params, stages)
    return replace(VIEW.models[2], arms=arms, trial=trial), bound


def routed(traffic: Traffic, step: int, entity: str | None = None) -> Route:
    """Return the route of modelops' own table."""
    arms = tuple(
        RouteArm(name=name, release=release, digest=f"sha256:{release:064x}",
                 weight=traffic.weights.get(name, 0.0), shadow=traffic.shadows.get(name, 0.0))
        for name, release in (("stable", 3), ("candidate", 4))
    )  # fmt: skip
    return Route(arms=arms, salt="salt", step=step, entity=entity)


def seen(model: ModelView, route: Route, *, reconciled: bool = False) -> View:
    """Return an environment with this model alone, answered by a route."""
    base = view(models=(replace(model, trial=None),))

    def deployable() -> Any:
        found = base.deployable()
        return replace(found, table=found.table.model_copy(update={"models": {model.name: route}}))

    return View("production", (model,), deployable, reconciled)


def given_by_gateway(objects: Mapping[str, dict[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """Return the shares of the traffic, and of its copies, that an HTTPRoute gives to releases."""
    (route,) = of_kind(objects, "HTTPRoute")
    validate(route)
    rule = route["spec"]["rules"][-1]
    total = sum(each["weight"] for each in rule["backendRefs"])
    assert total in {100, 1_000, 10_000, 100_000, 1_000_000}
    weights = {each["name"]: each["weight"] / total for each in rule["backendRefs"]}
    copies = {}
    for each in rule.get("filters", ()):
        said = each["requestMirror"]
        share = said.get("percent", 100) / 100
        if "fraction" in said:
            share = said["fraction"]["numerator"] / said["fraction"]["denominator"]
        copies[said["backendRef"]["name"]] = share
    return weights, copies


@pytest.mark.parametrize("key", STRATEGIES)
def test_a_gateway_gives_what_the_routing_table_gives_or_is_refused(key: str) -> None:
    """In every step of a rollout that goes well the route's weights and copies are those of the table then."""
    model, bound = tried(key)
    first = routed(bound.module.begin(bound.params, ("stable", "candidate")), 1)
    if key == "bandit":
        with pytest.raises(ModelOpsError, match="follows what its arms"):
            made("gateway-api", APART, seen(model, first))
        return
    names = {arm.name: f"{release_name('production', 'fraud', arm.release)}-predictor" for arm in first.arms}
    run = {progress.step: progress.steps[-1].traffic for progress, _ in Rollout(bound.module, bound.params).run()}
    for step, traffic in run.items():
        table = routed(traffic, step)
        weights, copies = given_by_gateway(made("gateway-api", {**APART, "steps": {"fraud": step}}, seen(model, first)))
        assert weights == pytest.approx({names[arm.name]: arm.weight for arm in table.arms if not arm.shadow})
        assert copies == pytest.approx({names[arm.name]: arm.shadow for arm in table.arms if arm.shadow})
        # Where modelops moves the trial, the table that it has come to is what counts.
        there = given_by_gateway(made("gateway-api", APART, seen(model, table, reconciled=True)))
        assert there == (weights, copies)


@pytest.mark.parametrize("key", STRATEGIES)
def test_pods_that_divide_by_themselves_have_the_table_of_any_strategy(key: str) -> None:
    """Together the arms of a model have modelops' own table: every strategy, each entity with one arm.

    The one exception is a bandit that nobody moves.
    """
    model, bound = tried(key)
    route = routed(bound.module.begin(bound.params, ("stable", "candidate")), 1, entity="customer")
    moved = seen(model, route, reconciled=True)
    (config,) = of_kind(made("kserve", {"image": IMAGE}, moved), "ConfigMap")
    table = RoutingTable.model_validate_json(config["data"]["routes.json"])
    assert table.models == {"fraud": route}
    if key == "bandit":
        with pytest.raises(ModelOpsError, match="nobody"):
            made("kserve", {"image": IMAGE}, seen(model, route))


@pytest.mark.parametrize("key", ["argo-rollouts", "flagger"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_rollouts_and_flagger_have_the_steps_of_the_plan_or_refuse_it(key: str, strategy: str) -> None:
    """A canary has the table's weights step by step; what these tools cannot do is refused with the reason."""
    steps = [{"weight": w, "minRequests": 50, "deadlineMinutes": 60} for w in (0.05, 0.25, 0.5, 1.0)]
    model, bound = tried(strategy, **({"steps": steps, "onDeadline": "rollback"} if strategy == "canary" else {}))
    of = seen(model, routed(bound.module.begin(bound.params, ("stable", "candidate")), 1))
    if strategy != "canary":
        with pytest.raises(ModelOpsError, match=r"cannot do|follows what its arms"):
            made(key, WATCHED, of)
        return
    objects = made(key, WATCHED, of)
    run = Rollout(bound.module, bound.params).run()
    table = list(dict.fromkeys(progress.steps[-1].traffic.weights["candidate"] for progress, _ in run))
    if key == "flagger":
        (canary,) = of_kind(objects, "Canary")
        found = [weight / 100 for weight in canary["spec"]["analysis"]["stepWeights"]]
    else:
        (rollout,) = of_kind(objects, "Rollout")
        canary = rollout["spec"]["strategy"]["canary"]
        found = [step["setWeight"] / 100 for step in canary["steps"] if "setWeight" in step]
    assert found == pytest.approx(table)
    assert found == pytest.approx([0.05, 0.25, 0.5, 0.95])


@given(st.lists(st.floats(0.0001, 1), min_size=1, max_size=8))
def test_whole_weights_sum_to_what_they_are_parts_of(parts: list[float]) -> None:
    """They sum to a power of ten from 100 on, each within a millionth of its share."""
    shares = {str(at): part / math.fsum(parts) for at, part in enumerate(parts)}
    found = whole(shares)
    total = sum(found.values())
    assert total in {100, 1_000, 10_000, 100_000, 1_000_000}
    assert all(abs(found[name] / total - share) <= 1.01e-6 for name, share in shares.items())
    assert whole({"stable": 0.95, "candidate": 0.05}) == {"stable": 95, "candidate": 5}
    assert whole({"stable": 0.875, "candidate": 0.125}) == {"stable": 875, "candidate": 125}


@given(st.sets(st.tuples(st.sampled_from(["p", "p-r1", "eu"]), st.sampled_from(["a", "a/b", "a-b", "a-r1", "a/r1"]),
                         st.integers(1, 3)), min_size=2))  # fmt: skip
def test_no_two_releases_share_a_name(seats: set[tuple[str, str, int]]) -> None:
    """What holds one release alone has a name of its own, which no model has either, with room for a suffix."""
    names = {release_name(*seat) for seat in seats}
    assert len(names) == len(seats)
    assert not names & {name_of(environment, model) for environment, model, _ in seats}
    long = release_name("e" * 63, "/".join(["m" * 63] * 4), 10**9)
    assert len(f"{long}-predictor") <= 63


# What the tools cannot do.

PLAN = """apiVersion: modelops/v1
kind: RolloutPlan
metadata:
  name: fraud
spec:
  onFailure: {on_failure}
  strategy:
    type: {strategy}
    params:
{params}
"""


def planned(strategy: str, params: str, on_failure: str = "rollback") -> ModelView:
    """Return the model `fraud` on trial by a plan of a file."""
    text = PLAN.format(strategy=strategy, on_failure=on_failure, params=params)
    plan: Any = load_resource(text.encode(), "models/fraud/rollout.yaml")
    assert isinstance(plan.spec, RolloutPlanSpec)
    bound = strategies.bind(plan.spec.strategy, plan, "spec.strategy")
    stages = bound.module.stages(bound.params, ("stable", "candidate")) if isinstance(bound.module, Planned) else ()
    trial = Trial(strategy, bound.params, stages, on_failure=plan.spec.on_failure, where=plan.where)
    return replace(VIEW.models[2], trial=trial)


STEPS = "      steps: [{weight: 0.055, minRequests: 100, deadlineMinutes: 30}]\n      onDeadline: rollback\n"
REFUSED = [
    ("argo-rollouts", "canary", STEPS + "      outcome: {required: true}\n", "never sees a label", "12:27"),
    ("argo-rollouts", "canary", STEPS + "      scores: {maximumShift: 0.1}\n", "never sees a score", "12:30"),
    ("argo-rollouts", "canary", STEPS + "      errors: {requiredRatio: 2.0}\n", "one at a time", "12:31"),
    ("argo-rollouts", "canary", STEPS + "      warmupRequests: 10\n", "first answers", "12:23"),
    ("argo-rollouts", "canary", "      steps: [{weight: 0.5, minRequests: 9}, {weight: 1, minRequests: 9}]\n"
     "      holdback: 0\n", "nothing runs beside", "11:17"),
    ("argo-rollouts", "bandit", "      epochMinutes: 10\n", "follows what its arms", "8:11"),
    ("argo-rollouts", "ab-test", "      metric: outcome\n      minimumEffect: 0.1\n", "each entity once", "8:11"),
    ("flagger", "shadow", "      minPairs: 10\n", "in pairs", "8:11"),
    ("flagger", "blue-green", "      minRequests: 10\n", "holdback after smoke", "8:11"),
    ("flagger", "canary", STEPS, "whole percent", "10:24"),
    ("argo-rollouts", "canary", STEPS, "whole percent", "10:24"),
    ("flagger", "canary", STEPS.replace("onDeadline: rollback", "onDeadline: hold"), "and the plan holds", "11:19"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "strategy", "params", "said", "where"), REFUSED)
def test_what_a_tool_cannot_do_is_refused_where_it_is_asked_for(
    key: str, strategy: str, params: str, said: str, where: str
) -> None:
    """Nothing of a plan is dropped without a word: the error names the line of the plan and what can be done."""
    model = planned(strategy, params)
    stages = model.trial.stages if model.trial is not None else ()
    traffic = stages[0].traffic if stages else Traffic({"stable": 0.5, "candidate": 0.5})
    with pytest.raises(ModelOpsError, match=said) as caught:
        made(key, WATCHED, seen(model, routed(traffic, 1)))
    problem = caught.value.first
    assert (problem.code, caught.value.exit) == ("export-refused", Exit.FILES)
    assert str(problem.location) == f"models/fraud/rollout.yaml:{where}"
    assert problem.hint


@pytest.mark.parametrize("key", ["gateway-api", "kserve", "argo-rollouts", "flagger"])
def test_a_gateway_keeps_nobody_with_an_arm(key: str) -> None:
    """Where each customer is to stay with one arm, a route by weights is refused; pods that divide are not."""
    params = {"gateway-api": APART, "kserve": {"image": IMAGE, "arms": "apart"}}.get(key, WATCHED)
    route = routed(TRIAL.stages[0].traffic, 1, entity="customer")
    with pytest.raises(ModelOpsError, match="keeps each customer with one arm") as caught:
        made(key, params, seen(VIEW.models[2], route))
    assert caught.value.first.hint
    made("gateway-api", {"gateway": "public", "hostnames": ["models.example.com"]}, seen(VIEW.models[2], route))


def test_what_git_does_not_say_is_refused_as_a_parameter() -> None:
    """Steps that are not there, paths that no route matches, stores and logs that pods cannot have end with 2."""
    steps = {"image": IMAGE, "steps": {"fraud": 3}}
    cases: list[tuple[str, dict[str, Any], View, str]] = [
        ("kserve", steps, VIEW, "its plan has 2"),
        ("kserve", {**steps, "steps": {"a/b": 1}}, VIEW, "nothing is on trial"),
        ("kserve", steps, replace(VIEW, reconciled=True), "moves its trials itself"),
        ("gateway-api", {"gateway": "public"}, VIEW, "escaped slash"),
        ("gateway-api", {**APART, "backends": {"fraud": {"3": "fraud-v3:80"}}}, VIEW, "release 4 of fraud"),
        ("argo-rollouts", WATCHED, at_store(Address("oci-layout:/a", folder=Path("/a"))), "is a folder"),
        ("kserve", {"image": IMAGE}, logged("acknowledged"), "log: acknowledged"),
    ]
    for key, params, of, said in cases:
        with pytest.raises(ModelOpsError, match=said) as caught:
            made(key, params, of)
        assert caught.value.exit == Exit.USAGE
        assert caught.value.first.hint


def test_a_step_of_a_trial_that_does_not_go_on_is_refused() -> None:
    """Where stable answers alone a step that is said is not passed over; without one that is what is written."""
    still = seen(VIEW.models[2], routed(TRIAL.stages[0].traffic, 0))
    with pytest.raises(ModelOpsError, match="steps says step 1 of fraud, and its trial does not go on") as caught:
        made("kserve", {"image": IMAGE, "steps": {"fraud": 1}}, still)
    assert (caught.value.exit, caught.value.first.hint) == (Exit.USAGE, "leave fraud out of steps")
    assert made("kserve", {"image": IMAGE}, still)


def at_store(store: Address) -> View:
    return replace(VIEW, deployable=lambda: replace(VIEW.deployable(), store=store))


def logged(mode: str) -> View:
    def deployable() -> Any:
        found = VIEW.deployable()
        models = {name: route.model_copy(update={"log": mode}) for name, route in found.table.models.items()}
        return replace(found, table=found.table.model_copy(update={"models": models}))

    return replace(VIEW, deployable=deployable)


# KServe, Argo Rollouts and Flagger in particular.


def test_a_new_release_restarts_no_pod_of_kserve() -> None:
    """Together, a release changes the table that the pods watch and nothing of the InferenceService."""
    alone = replace(VIEW.models[2], arms={"stable": 3}, trial=None)
    before = made("kserve", {"image": IMAGE}, view(models=(alone,)))
    after = made("kserve", {"image": IMAGE, "steps": {"fraud": 2}})
    assert of_kind(before, "InferenceService") == of_kind(after, "InferenceService")
    assert of_kind(before, "ConfigMap") != of_kind(after, "ConfigMap")


def test_kserve_never_splits_traffic_itself() -> None:
    """Neither canary field is used, the mode is always said in the words of its version, and apart none is exposed."""
    for version, mode in (("0.15", "RawDeployment"), ("0.16", "Standard"), ("0.20", "Standard")):
        for arms in ("together", "apart"):
            for one in of_kind(made("kserve", {"image": IMAGE, "version": version, "arms": arms}), "InferenceService"):
                assert one["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == mode
                assert set(one["spec"]) == {"predictor"}
                assert "canaryTrafficPercent" not in one["spec"]["predictor"]
                assert ("networking.kserve.io/visibility" in one["metadata"]["labels"]) == (arms == "apart")


def test_argo_rollouts_judges_each_step_once() -> None:
    """After each weight it waits for the window that the queries look at, and has a template of its own for it."""
    objects = made("argo-rollouts", WATCHED)
    (rollout,) = of_kind(objects, "Rollout")
    steps = rollout["spec"]["strategy"]["canary"]["steps"]
    assert [next(iter(step)) for step in steps] == ["setWeight", "pause", "analysis"] * 2
    templates = of_kind(objects, "AnalysisTemplate")
    for pause, template in zip(steps[1::3], templates, strict=True):
        window = pause["pause"]["duration"]
        for metric in template["spec"]["metrics"]:
            query = metric["provider"]["prometheus"]["query"]
            assert set(re.findall(r"\[(\w+)\]", query)) == {window}
            assert metric["successCondition"] != metric["failureCondition"]
    # Two steps with two guards share alpha: 0.05 / 4.
    assert "result[0] >= 80" in templates[0]["spec"]["metrics"][1]["failureCondition"]
    assert templates[0]["spec"]["metrics"][0]["failureCondition"] == "false"


def test_what_happens_on_failure_is_what_the_plan_says() -> None:
    """`hold` pauses for a person, `alert` only tells, and neither is there for Flagger, which goes back."""
    params = STEPS.replace("0.055", "0.05")
    held, told = (planned("canary", params, on_failure) for on_failure in ("hold", "alert"))
    first = routed(TRIAL.stages[0].traffic, 1)
    (template,) = of_kind(made("argo-rollouts", WATCHED, seen(held, first)), "AnalysisTemplate")
    assert {metric["failureCondition"] for metric in template["spec"]["metrics"]} == {"false"}
    (rollout,) = of_kind(made("argo-rollouts", WATCHED, seen(told, first)), "Rollout")
    dry = rollout["spec"]["strategy"]["canary"]["steps"][2]["analysis"]["dryRun"]
    assert [each["metricName"] for each in dry] == ["errors", "slow"]
    with pytest.raises(ModelOpsError, match="goes back whenever") as caught:
        made("flagger", WATCHED, seen(held, first))
    assert str(caught.value.first.location) == "models/fraud/rollout.yaml:6:14"


def test_without_a_candidate_nothing_is_judged() -> None:
    """A way back is at once: no steps for Argo Rollouts, no analysis for Flagger, pods of the stable release."""
    objects = made("argo-rollouts", WATCHED)
    (rollout,) = (one for path, one in objects.items() if one["kind"] == "Rollout" and "/a/b/" in path)
    assert "steps" not in rollout["spec"]["strategy"]["canary"]
    (canary,) = (one for path, one in made("flagger", WATCHED).items() if one["kind"] == "Canary" and "/a/b/" in path)
    assert canary["spec"]["skipAnalysis"] is True
    routes = rollout["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"]
    assert routes == f"{release_name('production', 'a/b', 1)}-routes"


def test_flagger_tells_the_pods_of_two_models_apart_by_one_label() -> None:
    """Its Services select by one label alone, so no two models may have the same value of it."""
    deployments = [one for one in made("flagger", WATCHED).values() if one["kind"] == "Deployment"]
    selectors = [one["spec"]["selector"]["matchLabels"] for one in deployments]
    assert all(list(each) == ["app.kubernetes.io/name"] for each in selectors)
    assert len({each["app.kubernetes.io/name"] for each in selectors}) == len(deployments) == 3
    assert all("replicas" not in one["spec"] for one in deployments)


def test_only_what_git_names_is_fetched_as_a_secret() -> None:
    """Each variable of a key and of the store is an entry of the Secret that the pods read, under the prefix."""
    keys, store = made("external-secrets", {"store": "vault"}).values()
    assert keys["spec"]["target"]["name"] == "modelops-api-keys"
    assert keys["spec"]["data"] == [{"secretKey": "SHOP_KEY", "remoteRef": {"key": "production/SHOP_KEY"}}]
    assert [each["secretKey"] for each in store["spec"]["data"]] == ["STORE_PASSWORD"]
    (both,) = made("external-secrets", {"store": "v", "keySecret": "s", "storeSecret": "s", "prefix": ""}).values()
    assert [each["remoteRef"]["key"] for each in both["spec"]["data"]] == ["SHOP_KEY", "STORE_PASSWORD"]


def test_the_operator_has_the_rules_of_the_files_and_every_pod_of_the_environment() -> None:
    """Rules are the same in both forms, and pods of the target kubernetes are scraped under the job they ask for."""
    monitor, rule = made("prometheus", {"form": "operator", "labels": {"release": "stack"}}).values()
    files = made("prometheus", {"targets": ["localhost:8080"]})
    assert rule["spec"] == files["rules-production.yaml#0"]
    assert rule["metadata"]["labels"].items() >= {"release": "stack"}.items()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    said = {each["targetLabel"]: each["replacement"] for each in endpoint["relabelings"]}
    assert said == {"job": "modelops-production", "environment": "production"}
    kubernetes = plugins.load("targets", "kubernetes")
    files_ = kubernetes.render(kubernetes.Params(image=IMAGE, monitoring_namespace="watch"), VIEW.deployable())
    (rule,) = yaml.safe_load(files_["fraud/networkpolicy.yaml"])["spec"]["ingress"]
    watch = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "watch"}}}
    assert rule["from"] == [{"podSelector": {}}, watch]
    pod = yaml.safe_load(files_["fraud/deployment.yaml"])["spec"]["template"]["metadata"]["labels"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    assert wanted <= pod.items()
    for key, kind, params in (("argo-rollouts", "Rollout", WATCHED), ("flagger", "Deployment", WATCHED)):
        (one,) = of_kind(made(key, params), kind)
        assert wanted <= one["spec"]["template"]["metadata"]["labels"].items()
    (service,) = of_kind(made("kserve", {"image": IMAGE}), "InferenceService")
    assert wanted <= service["metadata"]["labels"].items(), "KServe gives them on to the pods"
    module = plugins.load("exports", "prometheus")
    for wrong in ({}, {"form": "operator", "targets": ("a:1",)}):
        with pytest.raises(ValueError, match="targets"):
            module.Params(**wrong)


def test_argo_cd_makes_an_application_in_each_cluster() -> None:
    """Their names are made of the digest of the cluster's name; what would be a template is refused."""
    ((path, found),) = made("argo-cd", {**REPOSITORY, "clusters": {"environment": "production"}}).items()
    assert (path, found["kind"]) == ("modelops-production.yaml#0", "ApplicationSet")
    template = found["spec"]["template"]
    assert template["metadata"]["name"] == "modelops-production-{{ .name | sha256sum | trunc 12 }}"
    assert template["spec"]["destination"] == {"server": "{{ .server }}", "namespace": "models"}
    module = plugins.load("exports", "argo-cd")
    with pytest.raises(ValueError, match="is a template"):
        module.Params(**{**REPOSITORY, "path": "{{ .name }}"}, clusters={"a": "b"})


# What Prometheus is asked.


def queries(model: ModelView = VIEW.models[2]) -> dict[str, str]:
    """Return the queries of the first step by the name of their metric."""
    (template, *_) = of_kind(made("argo-rollouts", WATCHED, seen(model, routed(TRIAL.stages[0].traffic, 1))),
                             "AnalysisTemplate")  # fmt: skip
    return {one["name"]: one["provider"]["prometheus"]["query"] for one in template["spec"]["metrics"]}


def evalue(errors: np.ndarray, others: np.ndarray, share: float, ratio: float = 1.0) -> np.ndarray:
    """Return what the queries compute, by the formula of the module's text."""
    parts = []
    for times in TIMES:
        odds = (ratio * times * share + 1 - share) / (ratio * share + 1 - share)
        parts.append(np.exp(errors * np.log(times) - (errors + others) * np.log(odds)))
    return np.mean(parts, axis=0)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool (Debian: prometheus)")
def test_prometheus_computes_the_stated_evalue(tmp_path: Path) -> None:
    """Over five minutes with 40 errors of 1,000 requests beside 190 of 19,000 the query has the formula's value.

    Without any traffic it is 0, and so are the requests, which is what holds a rollout then.
    """

    def series(name: str, release: int, step: int, more: str = "", job: str = "modelops-production") -> dict[str, str]:
        labels = f'job="{job}",environment="production",model="fraud",arm="stable",release="{release}"{more}'
        return {"series": f"{name}{{{labels}}}", "values": f"0+{step}x40"}

    # Every 15 s, so that 20 steps are five minutes.
    given_ = [
        series("modelops_requests_total", 4, 50), series("modelops_requests_total", 3, 950),
        {**series("modelops_errors_total", 4, 2), "values": "0+2x40"}, series("modelops_errors_total", 3, 10),
        series("modelops_request_seconds_count", 4, 50), series("modelops_request_seconds_count", 3, 950),
        series("modelops_request_seconds_bucket", 4, 40, ',le="0.05"'),
        series("modelops_request_seconds_bucket", 3, 940, ',le="0.05"'),
        # What somebody else scrapes, too, counts once.
        series("modelops_requests_total", 4, 50, job="twice"), series("modelops_errors_total", 4, 2, job="twice"),
    ]  # fmt: skip
    asked = queries()
    expected = {
        "requests": 1000.0,
        "errors": float(evalue(np.array(40.0), np.array(200.0), 0.05)),
        "slow": float(evalue(np.array(200.0), np.array(200.0), 0.05)),
    }
    for series_, wanted in ((given_, expected), ([], dict.fromkeys(expected, 0.0))):
        checks = [
            {"expr": f"abs(({asked[name]}) / {value or 1} - {1 if value else 0}) < bool 1e-6",
             "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": 1}]}
            for name, value in wanted.items()
        ]  # fmt: skip
        document = {"evaluation_interval": "15s", "tests": [
            {"interval": "15s", "input_series": series_, "promql_expr_test": checks}]}  # fmt: skip
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        done = subprocess.run(
            ["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize(("share", "power"), [(0.05, 0.9), (0.25, 0.99), (0.95, 0.25)])
def test_a_candidate_within_its_limit_is_sent_back_no_more_often_than_stated(share: float, power: float) -> None:
    """Of 20,000 rollouts of four steps and two guards at most 5 % fail; with four times as many errors most do.

    Beside a holdback of 5 % there is little to compare with, and a quarter does.
    """
    generator = np.random.default_rng(7)
    rollouts, steps, guards, alpha = 20_000, 4, 2, 0.05
    limit = steps * guards / alpha

    def failed(rate: float) -> float:
        requests = 4000
        mine = generator.binomial(requests, share, (rollouts, steps, guards))
        errors = generator.binomial(mine, rate)
        others = generator.binomial(requests - mine, 0.01)
        return float((evalue(errors, others, share) >= limit).any(axis=(1, 2)).mean())

    assert failed(0.01) <= alpha
    assert failed(0.04) >= power
