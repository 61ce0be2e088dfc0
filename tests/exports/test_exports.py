"""Exports: pure, deterministic, about metrics that the server really has, and without two names that meet."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.linear_model import LogisticRegression

from modelops import exports, plugins
from modelops.clock import format_instant
from modelops.conformance.exports import CHECKS, HOSTILE, PROMISED, VIEW, check
from modelops.drift import Level, Score
from modelops.exports import Export, View
from modelops.monitoring.exposing import expose, expose_windows
from modelops.monitoring.objectives import Budget
from modelops.monitoring.report import FeatureReport, PerformanceReport, Rate, WindowReport
from modelops.monitoring.telling import Standing
from modelops.monitoring.triage import Kept, Spent
from modelops.reconcile import exposing
from modelops.reconcile.loop import Condition
from modelops.spec.kinds.monitor import Objectives
from modelops.spec.kinds.release import MetricValue
from modelops.spec.layout import SAID, dns_label
from modelops.spec.meta import Plugin
from modelops.statistics.budgets import HOURS
from serving.served_models import Running, open_store, pack_model, route, running, tensor

_WATCHED = {
    "image": "registry.example/modelops@sha256:" + "a" * 64,
    "gateway": "public",
    "domain": "models.example.com",
    "prometheus": "http://prometheus.monitoring:9090",
}
GIVEN: Mapping[str, Mapping[str, Any]] = {
    "argo-rollouts": _WATCHED,
    "external-secrets": {"store": "vault"},
    "flagger": _WATCHED,
    "gateway-api": {"gateway": "public", "domain": "models.example.com"},
    "kserve": {"image": _WATCHED["image"]},
    "prometheus": {"targets": ["localhost:8080"]},
    "grafana": {},
    "alertmanager": {},
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


@contextlib.contextmanager
def served(folder: Path) -> Iterator[Running]:
    """Run a server that has answered and refused, on the machine of a loop and a monitor that have looked."""
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
        yield server


def looked(runtime: Path, now: datetime, level: Level = "alert") -> None:
    """Write what a monitor and a pass write, by their own functions."""
    score = Score("PSI", 0.3, 0.01, 0.05, 0.1, 0.2, level, 100, 100, "so it is")
    feature = FeatureReport("a", {"psi": score}, Rate(0.1, 0.0, False))
    value = MetricValue(name="recall", value=0.8, lower=0.7, upper=0.9, level=0.95, n=40, method="wilson")
    judged = PerformanceReport("recall", "pass", value, 0.6, 0.99, 40, 100, "fine")
    report = WindowReport("a/b", now, now, 100, 0, level, (feature,), {}, judged, ())
    instant = format_instant(now)
    budget = Budget(
        promise="quality", said="right answers", target=0.8, period_days=28, bad=1, all=2, spent=2.5,
        rates=dict.fromkeys(HOURS.values(), 2.5), until=instant,
    )  # fmt: skip
    spent = Spent(month="2026-03", runs=1)
    expose_windows(runtime, [report], ["a/b"], now, {"a/b": Kept(at=instant, budgets=(budget,), spent=spent)})
    families = [
        *exposing.of_pass([Condition("a/b", "Stalled", "x", "y", "z", "t")], now.timestamp()),
        *exposing.of_keys([("local", now + timedelta(days=3))]),
        *exposing.of_telling(Standing()),
    ]
    expose(runtime, "reconcile", families)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a running server says at /metrics, with what passes on its machine said."""
    folder = tmp_path_factory.mktemp("served")
    with served(folder) as server:
        looked(folder / "runtime", datetime(2026, 3, 1, tzinfo=UTC))
        (folder / "runtime" / SAID / "torn.prom").write_text("modelops_monitor_level{model=")
        text = server.ask("/metrics").body.decode()
    assert "modelops_pass_files_unread 1.0" in text
    return text


@pytest.mark.parametrize("key", ["prometheus", "grafana"])
def test_queries_ask_for_what_the_server_exposes(key: str, exposed: str) -> None:
    """Every metric that a rule or a panel names is one that a running server has, and so is every label."""
    text = "\n".join(exported(key).values()).replace('\\"', '"')
    asked = names_in(text)
    assert {"modelops_requests_total", "modelops_errors_total", "modelops_request_seconds_bucket"} <= asked
    assert {"modelops_monitor_level", "modelops_reconcile_stalled"} & asked or key == "grafana"
    have = {line.partition("{")[0].partition(" ")[0] for line in exposed.splitlines() if not line.startswith("#")}
    # A refusal is counted from the first one on.
    assert asked <= have | {"modelops_refused_total"}
    assert 'model="a/b"' in text
    for le in re.findall(r'le="([^"]+)"', text):
        assert f'modelops_request_seconds_bucket{{arm="stable",le="{le}",model="a/b",release="1"}}' in exposed
    assert 'modelops_requests_total{arm="stable",model="a/b",release="1"}' in exposed


def test_rules_call_whom_the_model_belongs_to() -> None:
    """Each model's alerts carry its owner and risk, its own objective, and one absence for each arm that git names."""
    files = exported("prometheus", maximumErrorRate=0.02)
    groups = {group["name"]: group["rules"] for group in yaml.safe_load(files["rules-production.yaml"])["groups"]}
    assert {"modelops-production/a-b", "modelops-production/a/b"} <= groups.keys()
    alerts = groups["modelops-production/fraud"]
    assert [(alert["alert"], alert["labels"]["severity"]) for alert in alerts] == [
        ("ModelAvailabilityBurn", "page"),
        ("ModelAvailabilityBurn", "ticket"),
        ("ModelLatencyBurn", "page"),
        ("ModelLatencyBurn", "ticket"),
        ("ModelFailing", "ticket"),
        ("ModelSlow", "ticket"),
        ("ModelReleaseMissing", "ticket"),
        ("ModelReleaseMissing", "ticket"),
        ("ModelStalled", "ticket"),
        ("ModelWindowAlerts", "ticket"),
        ("MonitorDead", "ticket"),
        ("ModelLabelsMissing", "ticket"),
    ]
    assert {alert["labels"]["risk"] for alert in alerts} == {"high"}
    # Owners are text, and labels are templates in Prometheus.
    assert all(alert["labels"]["owner"] == HOSTILE.replace("{{", '{{ "{{" }}') for alert in alerts)
    # The factors of the workbook for 30 days: 14.4, 6, 3 and 1 times what may be missed.
    assert [limit for limit in ("0.0144", "0.006") if f"> {limit} " in alerts[0]["expr"]] == ["0.0144", "0.006"]
    assert [limit for limit in ("0.003", "0.001") if f"> {limit} " in alerts[1]["expr"]] == ["0.003", "0.001"]
    assert "> 0.02" in alerts[4]["expr"]
    assert "> 0.05" in alerts[5]["expr"]
    assert 'release="4",arm="candidate"' in alerts[7]["expr"]
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
        assert "duplicate" not in done.stderr + done.stdout


SERIES = 'environment="production",model="fraud",arm="stable",release="3"'
BURN = {"environment": "production", "model": "fraud", "risk": "high", "severity": "page"}


def unit(
    tmp_path: Path,
    series: Mapping[str, str],
    cases: Sequence[tuple[str, str, int]],
    every: str = "1m",
    of: str = 'model="fraud"',
    objectives: Objectives | None = None,
) -> None:
    """Let promtool run the rules over series and count the alerts of a name, for `fraud` mostly, at instants."""
    view = View("production", tuple(replace(one, objectives=objectives) for one in VIEW.models[2:]))
    rules = exported("prometheus", view, labelsWithin="12h", lookAfter="6h")
    (tmp_path / "rules.yaml").write_text(rules["rules-production.yaml"], encoding="utf-8")
    checks = [
        {"expr": f'count(ALERTS{{alertname="{name}",{of},alertstate="firing"}}) or vector(0)',
         "eval_time": at, "exp_samples": [{"labels": "{}", "value": count}]}
        for at, name, count in cases
    ]  # fmt: skip
    given = [{"series": name, "values": values} for name, values in series.items()]
    test = {"interval": every, "input_series": given, "promql_expr_test": checks}
    document = {"rule_files": ["rules.yaml"], "evaluation_interval": every, "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", "test.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout


needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="there is no promtool (Debian: prometheus)"
)


@needs_promtool
def test_a_budget_that_burns_fast_is_a_page_and_one_that_burns_slowly_a_ticket(tmp_path: Path) -> None:
    """Of 600 requests a minute 2 % fail for an hour: a page. It ends with the fault, and the ticket stays."""
    requests, errors = f"modelops_requests_total{{{SERIES}}}", f"modelops_errors_total{{{SERIES}}}"
    # Two hours well, one hour with 12 of 600 failing, and well again.
    series = {requests: "0+600x600", errors: "0x120 12+12x59 720x420"}
    unit(
        tmp_path,
        series,
        [
            ("1h50m", "ModelAvailabilityBurn", 0),
            ("2h58m", "ModelAvailabilityBurn", 2),
            ("3h40m", "ModelAvailabilityBurn", 1),
        ],
    )


@needs_promtool
def test_a_budget_that_does_not_burn_alarms_nobody(tmp_path: Path) -> None:
    """Half of what may fail fails for a day, or all of a handful: nobody is woken."""
    requests, errors = f"modelops_requests_total{{{SERIES}}}", f"modelops_errors_total{{{SERIES}}}"
    unit(tmp_path, {requests: "0+6000x150", errors: "0+3x150"}, [("24h", "ModelAvailabilityBurn", 0)], "10m")
    unit(tmp_path, {requests: "0+1x150", errors: "0+1x150"}, [("24h", "ModelAvailabilityBurn", 0)], "10m")


@needs_promtool
@pytest.mark.slow
def test_what_is_promised_of_a_model_stands_in_the_place_of_the_export(tmp_path: Path) -> None:
    """At a target of 99 % ten times as much may fail; 100 ms are enough; and what the monitor measures alerts too."""
    requests, errors = f"modelops_requests_total{{{SERIES}}}", f"modelops_errors_total{{{SERIES}}}"
    for failing, count in (("12+12", 0), ("120+120", 2)):
        series = {requests: "0+600x600", errors: f"0x120 {failing}x59 720x420"}
        unit(tmp_path, series, [("2h58m", "ModelAvailabilityBurn", count)], objectives=PROMISED)
    times = {
        requests: "0+600x200",
        f"modelops_request_seconds_count{{{SERIES}}}": "0+600x200",
        f'modelops_request_seconds_bucket{{{SERIES},le="0.05"}}': "0x200",
        f'modelops_request_seconds_bucket{{{SERIES},le="0.1"}}': "0+600x200",
    }
    unit(tmp_path, times, [("3h", "ModelLatencyBurn", 0)], objectives=PROMISED)
    for objective, name, count in (("quality", "ModelQualityBurn", 2), ("freshness", "ModelFreshnessBurn", 1)):
        seat = f'environment="production",model="fraud",objective="{objective}"'
        rates = {f'modelops_objective_burn_rate{{{seat},window="{window}"}}': "0x60 15x60" for window in HOURS.values()}
        unit(tmp_path, rates, [("50m", name, 0), ("110m", name, count)], objectives=PROMISED)
        rates = dict.fromkeys(rates, "0.9x120")
        unit(tmp_path, rates, [("110m", name, 0)], objectives=PROMISED)


@needs_promtool
def test_a_server_that_refuses_burns_the_budget_too(tmp_path: Path) -> None:
    """What was answered with 503 was not answered; what a caller did wrong is not the model's."""
    requests = {f"modelops_requests_total{{{SERIES}}}": "0+600x600", f"modelops_errors_total{{{SERIES}}}": "0x600"}
    for status, count in (("503", 2), ("422", 0)):
        refused = f'modelops_refused_total{{environment="production",model="fraud",status="{status}"}}'
        unit(tmp_path, {**requests, refused: "0+60x600"}, [("3h", "ModelAvailabilityBurn", count)])


@needs_promtool
def test_slow_answers_burn_the_budget_of_time(tmp_path: Path) -> None:
    """A fifth of the answers takes longer than the objective of 50 ms: a page and a ticket."""
    seconds = f'modelops_request_seconds_bucket{{{SERIES},le="0.05"}}'
    series = {
        f"modelops_requests_total{{{SERIES}}}": "0+600x200",
        f"modelops_request_seconds_count{{{SERIES}}}": "0+600x200",
    }
    unit(tmp_path, {**series, seconds: "0+480x200"}, [("3h", "ModelLatencyBurn", 2)])
    unit(tmp_path, {**series, seconds: "0+598x200"}, [("3h", "ModelLatencyBurn", 0)])


@needs_promtool
def test_what_the_loop_and_the_monitor_say_alerts(tmp_path: Path) -> None:
    """A window that alerts, a seat that stalls, a monitor that is silent and labels that do not come are tickets.

    A server that no label has reached since it started says nothing of labels at all.
    """
    seat = 'environment="production",model="fraud"'
    series = {
        f'modelops_monitor_level{{{seat},level="alert"}}': "0x5 1x200",
        f"modelops_reconcile_stalled{{{seat}}}": "1x200",
        f"modelops_monitor_last_look_timestamp_seconds{{{seat}}}": "0x200",
        f"modelops_requests_total{{{SERIES}}}": "0+60x200",
        f'modelops_feedback_total{{{seat},outcome="accepted"}}': "0x200",
    }
    cases = [
        ("40m", "ModelWindowAlerts", 0), ("90m", "ModelWindowAlerts", 1), ("5m", "ModelStalled", 0),
        ("40m", "ModelStalled", 1), ("5h", "MonitorDead", 0), ("7h", "MonitorDead", 1),
        ("11h", "ModelLabelsMissing", 0), ("25h", "ModelLabelsMissing", 1),
    ]  # fmt: skip
    unit(tmp_path, series, cases, "10m")
    del series[f'modelops_feedback_total{{{seat},outcome="accepted"}}']
    unit(tmp_path, series, [one for one in cases if one[1] == "ModelLabelsMissing"], "10m")
    series[f'modelops_feedback_total{{{seat},outcome="accepted"}}'] = "0+1x200"
    unit(tmp_path, series, [("25h", "ModelLabelsMissing", 0)], "10m")


@needs_promtool
def test_one_server_of_several_that_is_down_wakes_nobody(tmp_path: Path) -> None:
    """It is a ticket with its address; when none answers, or none is known, it is a page."""
    one, other = (f'up{{job="modelops-production",environment="production",instance="{name}:80"}}' for name in "ab")
    series = {one: "1x10 0x90", other: "1x50 0x50"}
    page, ticket = (f'severity="{severity}"' for severity in ("page", "ticket"))
    unit(tmp_path, series, [("40m", "ModelServerDown", 0), ("90m", "ModelServerDown", 1)], of=page)
    tickets = [("5m", "ModelServerDown", 0), ("40m", "ModelServerDown", 1), ("90m", "ModelServerDown", 2)]
    unit(tmp_path, series, tickets, of=ticket)
    unit(tmp_path, {}, [("40m", "ModelServerDown", 1)], of=page)


def test_alertmanager_tells_each_owner_by_severity() -> None:
    """Each owner has a receiver for pages and one for tickets, whose URL is in a file; the rest is the operators'."""
    (text,) = exported("alertmanager", directory="/etc/urls").values()
    document = yaml.safe_load(text)
    (page, _, *others) = document["route"]["routes"]
    assert 'severity="page"' in page["matchers"]
    assert len(others) == 2
    assert {one["name"] for one in document["receivers"]} == {
        "nobody", *(one["receiver"] for one in document["route"]["routes"]),
    }  # fmt: skip
    (slack,) = next(one for one in document["receivers"] if one["name"] == "operators-page")["slack_configs"]
    assert slack["api_url_file"] == "/etc/urls/operators-page.url"
    (webhook,) = yaml.safe_load(next(iter(exported("alertmanager", form="webhook").values())))["receivers"][1][
        "webhook_configs"
    ]
    assert webhook["url_file"].endswith(".url")


@pytest.mark.skipif(shutil.which("amtool") is None, reason="there is no amtool (Debian: prometheus-alertmanager)")
@pytest.mark.parametrize("owner", ["payments-risk", HOSTILE, "a\\b", "Zoë | (x)", "operators"])
def test_amtool_finds_the_way_of_each_alert(tmp_path: Path, owner: str) -> None:
    """Alertmanager's own tool reads the file, and routes alerts to their owners, whatever they are called."""
    models = tuple(replace(model, owner=owner) for model in VIEW.models)
    (text,) = exported("alertmanager", View("production", models)).values()
    (tmp_path / "am.yaml").write_text(text, encoding="utf-8")
    name = dns_label(owner, 50)
    for labels, receiver in (
        ({"owner": owner, "severity": "page"}, f"{name}-page"),
        ({"owner": owner, "severity": "ticket"}, f"{name}-ticket"),
        ({"owner": "somebody else", "severity": "page"}, "nobody"),
        ({"severity": "page"}, "operators-page"),
    ):
        given = [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in labels.items()]
        words = ["amtool", "config", "routes", "test", "--config.file=am.yaml", 'environment="production"', *given]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.strip()) == (0, receiver), done.stderr + text


def test_a_dashboard_has_a_row_for_each_model() -> None:
    """Panels have different ids, do not overlap, and ask the data source that was named."""
    files = exported("grafana", datasource="metrics")
    dashboard = json.loads(files["modelops-production.json"])
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
    # What Grafana's schema of a time series asks for, and its own editor writes.
    for options in (panel["options"] for panel in panels if panel["type"] == "timeseries"):
        assert set(options) == {"legend", "tooltip"}
        assert set(options["legend"]) == {"calcs", "displayMode", "placement", "showLegend"}
        assert set(options["tooltip"]) == {"mode", "sort"}
    long = json.loads(next(iter(exported("grafana", View("e" * 63, ())).values())))
    assert len(long["uid"]) <= 40


def test_each_model_has_a_dashboard_of_its_own() -> None:
    """It has what is promised and what the monitor finds, under a uid and a path that no other one has."""
    files = exported("grafana")
    assert {"modelops-production/a-b.json", "modelops-production/a__b.json"} <= files.keys()
    dashboards = [json.loads(text) for text in files.values()]
    assert len({one["uid"] for one in dashboards}) == len({one["title"] for one in dashboards}) == len(files) == 4
    rows = [
        one["title"] for one in json.loads(files["modelops-production/fraud.json"])["panels"] if one["type"] == "row"
    ]
    assert rows[1:] == ["What is promised", "What the monitor finds"]


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


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("argo-cd", {"repository": ""}),
        ("argo-cd", {"repository": "models"}),
        ("argo-cd", {"path": "/deploy"}),
        ("argo-cd", {"path": "deploy/../.."}),
        ("argo-cd", {"revision": ""}),
        ("argo-cd", {"server": "cluster"}),
        ("argo-cd", {"project": "My Project"}),
        ("flux", {"path": "../deploy"}),
        ("flux", {"branch": "a branch"}),
        ("kserve", {"minimumReplicas": 5, "maximumReplicas": 2}),
        ("kserve", {"memory": "512MB"}),
    ],
)
def test_what_the_other_tool_could_not_take_is_refused(key: str, wrong: dict[str, Any]) -> None:
    """Where the manifests lie and how many pods there are is checked here, not by a controller an hour later."""
    params = plugins.load("exports", key).Params
    right = GIVEN[key]
    params.model_validate_json(json.dumps(right))
    with pytest.raises(ValidationError):
        params.model_validate_json(json.dumps({**right, **wrong}))
