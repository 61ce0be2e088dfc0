"""Exports: pure, deterministic, about metrics that the server really has, and without two names that meet."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from modelops import exports, plugins
from modelops.conformance.exports import CHECKS, HOSTILE, VIEW, check
from modelops.exports import Export, View
from modelops.spec.layout import dns_label
from modelops.spec.meta import Plugin
from serving.served_models import open_store, pack_model, route, running, tensor

GIVEN: Mapping[str, Mapping[str, Any]] = {
    "prometheus": {"targets": ["localhost:8080"]},
    "grafana": {},
    "argo-cd": {"repository": "https://git.example/models.git", "path": "deploy/production"},
    "flux": {"repository": "https://git.example/models.git", "path": "deploy/production"},
}


def params(module: ModuleType, key: str, **changes: Any) -> Any:
    return module.Params.model_validate_json(json.dumps({**GIVEN.get(key, {}), **changes}))


def exported(key: str, view: View = VIEW, **changes: Any) -> dict[str, str]:
    module = plugins.load("exports", key)
    return dict(module.files(params(module, key, **changes), view))


def names_in(text: str) -> set[str]:
    """Return the names of the server's own metrics in queries; recorded ones have a colon."""
    return set(re.findall(r"(?<![\w:])modelops_\w+(?=[{\[])", text))


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.__name__.removeprefix("check_"))
@pytest.mark.parametrize("key", plugins.keys("exports"))
def test_every_export_keeps(one: Callable[[Export, Mapping[str, object]], None], key: str) -> None:
    """Each check that is shipped for the authors of exports holds on each export of ours."""
    one(exports.bind(Plugin(type=key, params=dict(GIVEN[key]))).module, GIVEN[key])


@pytest.mark.parametrize(
    ("path", "what"), [("a.yaml", "two environments"), ("/a-{}.yaml", "relative"), ("../a-{}.yaml", "leads out")]
)
def test_an_export_that_breaks_a_promise_is_noticed(path: str, what: str) -> None:
    """The checks tell files that meet, and files that are written elsewhere."""
    module = ModuleType("broken")
    module.Params = plugins.load("exports", "grafana").Params  # type: ignore[attr-defined]
    module.files = lambda params, view: {path.format(view.environment): "{}\n"}  # type: ignore[attr-defined]
    with pytest.raises(AssertionError, match=what):
        check(module, {})  # type: ignore[arg-type]


@given(
    st.lists(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(/[a-z0-9]{1,20}){0,3}", fullmatch=True), unique=True)
)
def test_labels_of_dns_are_as_different_as_their_names(names: list[str]) -> None:
    """No two names get one label, labels are valid, and a label that was made is no other name's label."""
    labels = [dns_label(name, 40) for name in names]
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", label) for label in labels)
    assert dns_label(dns_label("a/b")) != dns_label("a/b")
    assert dns_label("a/b") != dns_label("a-b") == "a-b"


# Prometheus and Grafana.


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a running server says at /metrics after a few requests."""
    folder = tmp_path_factory.mktemp("served")
    store = open_store(folder / "store")
    values = np.random.default_rng(0).normal(size=(60, 2))
    rows = {"a": values[:, 0].tolist(), "b": values[:, 1].tolist()}
    signature = {"model": "a/b", "task": "binary-classification", "classes": (0, 1), "positive": 1}
    features = {"features": [(name, "number", False) for name in rows]}
    labels = (values[:, 0] > 0).astype(int).tolist()
    packed = pack_model(store, LogisticRegression(), rows, labels, signature | features)
    with running(folder / "runtime", store, {"a/b": route(("stable", 1, packed, 1.0))}) as server:
        for body in ({"inputs": [tensor("features", "FP64", [0.5, 1.0], [1, 2])]}, {"inputs": []}):
            server.ask("/v2/models/a%2Fb/infer", body)
        return server.ask("/metrics").body.decode()


@pytest.mark.parametrize("key", ["prometheus", "grafana"])
def test_queries_ask_for_what_the_server_exposes(key: str, exposed: str) -> None:
    """Every metric that a rule or a panel names is one that a running server has, and so is every label."""
    text = "\n".join(exported(key).values()).replace('\\"', '"')
    asked = names_in(text)
    assert {"modelops_requests_total", "modelops_errors_total", "modelops_request_seconds_bucket"} <= asked
    have = {line.partition("{")[0].partition(" ")[0] for line in exposed.splitlines() if not line.startswith("#")}
    # A refusal is counted from the first one on.
    assert asked <= have | {"modelops_refused_total"}
    assert 'model="a/b"' in text
    assert 'modelops_requests_total{arm="stable",model="a/b",release="1"}' in exposed


def test_rules_call_whom_the_model_belongs_to() -> None:
    """Each model's alerts carry its owner and risk, its own objective, and one absence for each arm that git names."""
    files = exported("prometheus", maximumErrorRate=0.02)
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(files["rules-production.yaml"])["groups"]}
    assert {"modelops-production/a-b", "modelops-production/a/b"} <= groups.keys()
    alerts = groups["modelops-production/fraud"]
    assert [alert["alert"] for alert in alerts] == [
        "ModelFailing",
        "ModelSlow",
        "ModelReleaseMissing",
        "ModelReleaseMissing",
    ]
    assert {alert["labels"]["risk"] for alert in alerts} == {"high"}
    # Owners are text, and labels are templates in Prometheus.
    assert all(alert["labels"]["owner"] == HOSTILE.replace("{{", '{{ "{{" }}') for alert in alerts)
    assert "> 0.02" in alerts[0]["expr"]
    assert "> 0.05" in alerts[1]["expr"]
    assert 'release="4",arm="candidate"' in alerts[3]["expr"]
    (job,) = yaml.safe_load(files["scrape-production.yaml"])["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["localhost:8080"], "labels": {"environment": "production"}}]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool (Debian: prometheus)")
def test_promtool_accepts_the_files(tmp_path: Path) -> None:
    """Prometheus itself reads the configuration and every rule."""
    for path, text in exported("prometheus").items():
        (tmp_path / path).write_text(text, encoding="utf-8")
    for words in (["rules", "rules-production.yaml"], ["config", "scrape-production.yaml"]):
        done = subprocess.run(["promtool", "check", *words], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout


def test_a_dashboard_has_a_row_for_each_model() -> None:
    """Panels have different ids, do not overlap, and ask the data source that was named."""
    (text,) = exported("grafana", datasource="metrics").values()
    dashboard = json.loads(text)
    panels = dashboard["panels"]
    assert [panel["title"] for panel in panels if panel["type"] == "row"] == [
        "Servers of production",
        f"a-b ({HOSTILE}, high risk)",
        f"a/b ({HOSTILE}, minimal risk)",
        f"fraud ({HOSTILE}, high risk)",
    ]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for grid in (panel["gridPos"],)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    charts = [panel for panel in panels if panel["type"] == "timeseries"]
    assert {chart["datasource"]["uid"] for chart in charts} == {"metrics"}
    assert {query["datasource"]["uid"] for chart in charts for query in chart["targets"]} == {"metrics"}
    assert len(dashboard["uid"]) <= 40
    long = json.loads(next(iter(exported("grafana", View("e" * 63, ())).values())))
    assert len(long["uid"]) <= 40


# What applies the rendered manifests.


def test_argo_cd_leaves_the_list_of_files_alone() -> None:
    """The Application applies a folder with its subfolders, without the one file in it that is no manifest."""
    (text,) = exported("argo-cd", automated=False).values()
    application = yaml.safe_load(text)
    assert application["spec"]["source"]["directory"] == {"recurse": True, "exclude": ".modelops-rendered.json"}
    assert "syncPolicy" not in application["spec"]
    (long,) = exported("argo-cd", View("e" * 63, ())).values()
    assert len(yaml.safe_load(long)["metadata"]["name"]) <= 63


def test_flux_applies_what_its_source_holds() -> None:
    """The Kustomization names the GitRepository beside it, and a secret only where one is given."""
    (text,) = exported("flux", secret="git-key").values()
    source, apply = yaml.safe_load_all(text)
    assert apply["spec"]["sourceRef"] == {"kind": source["kind"], "name": source["metadata"]["name"]}
    assert source["spec"]["secretRef"] == {"name": "git-key"}
    assert apply["spec"]["path"] == "./deploy/production"
    (bare,) = exported("flux").values()
    assert "secretRef" not in next(yaml.safe_load_all(bare))["spec"]
