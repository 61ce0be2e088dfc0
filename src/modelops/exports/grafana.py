"""The export `grafana`: a dashboard of an environment, a row of panels for each model, and one of each model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from modelops.exports import ModelView, View
from modelops.exports._promql import bound, error_ratio, latency, request_rate, selector, slow, unavailable
from modelops.spec.layout import dns_label, slug
from modelops.spec.meta import OpenShare, Strict

__all__ = ["Params", "files"]

Object = dict[str, Any]
_WINDOW = "$__rate_interval"
_UID = 40  # characters that Grafana allows
_WIDTH, _HEIGHT = 8, 8


class Params(Strict):
    """Which data source answers, and which quantile of the times is drawn.

    ``datasource`` is the uid of a Prometheus data source in Grafana.
    """

    datasource: str = "prometheus"
    quantile: OpenShare = 0.99


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return the dashboards; a uid depends on names alone, so that a new version replaces the old one."""
    name = view.environment
    rows = [_server(params, name), *(_model(params, view, one) for one in view.models)]
    found = {f"modelops-{name}.json": _dashboard(f"Models in {name}", f"modelops-{name}", [name], rows)}
    for model in view.models:
        rows = [part(params, view, model) for part in (_model, _promises, _budgets, _watched)]
        title, key = f"{model.name} in {name}", f"modelops-{name}/{model.name}"
        path = f"modelops-{name}/{slug(model.name)}.json"
        found[path] = _dashboard(title, key, [name, model.name], [row for row in rows if row[1]])
    return found


def _dashboard(title: str, key: str, tags: list[str], rows: list[tuple[str, list[Object]]]) -> str:
    dashboard = {
        "uid": dns_label(key, _UID),
        "title": title,
        "tags": ["modelops", *tags],
        "schemaVersion": 39,
        "editable": False,
        "refresh": "1m",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "utc",
        "templating": {"list": []},
        "annotations": {"list": []},
        "panels": list(_panels(rows)),
    }
    return json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"


def _panels(rows: list[tuple[str, list[Object]]]) -> Iterator[Object]:
    """Yield rows from top to bottom, each with its panels from left to right."""
    ids, top = count(1), 0
    for title, panels in rows:
        place = {"h": 1, "w": 3 * _WIDTH, "x": 0, "y": top}
        yield {"id": next(ids), "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        for column, panel in enumerate(panels):
            grid = {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": top + 1}
            yield {"id": next(ids), **panel, "gridPos": grid}
        top += 1 + _HEIGHT


def _server(params: Params, environment: str) -> tuple[str, list[Object]]:
    where = selector(environment=environment)
    log = [
        (f"sum(rate(modelops_log_written_total{where}[{_WINDOW}]))", "written"),
        (f"sum(rate(modelops_log_dropped_total{where}[{_WINDOW}]))", "lost"),
    ]
    refused = [(f"sum by (model, status) (rate(modelops_refused_total{where}[{_WINDOW}]))", "{{model}} {{status}}")]
    tables = [(f"max(modelops_routing_table_error{where})", "newest table refused")]
    return f"Servers of {environment}", [
        _chart(params, "Requests refused, by status", refused, "reqps"),
        _chart(params, "Rows of the prediction log", log, "rowsps"),
        _chart(params, "Routing table", tables, "short"),
    ]


def _model(params: Params, view: View, model: ModelView) -> tuple[str, list[Object]]:
    where = selector(environment=view.environment, model=model.name)
    legend = "{{arm}}, release {{release}}"
    objective = model.latency_objective_ms / 1000
    slow = [(latency(where, _WINDOW, params.quantile), legend)]
    return f"{model.name} ({model.owner}, {model.risk} risk)", [
        _chart(params, "Requests", [(request_rate(where, _WINDOW), legend)], "reqps", model.description),
        _chart(params, "Share of failed requests", [(error_ratio(where, _WINDOW), legend)], "percentunit"),
        _chart(params, f"Quantile {params.quantile:g} of the time of an answer", slow, "s", limit=objective),
    ]


def _promises(params: Params, view: View, model: ModelView) -> tuple[str, list[Object]]:
    """Return how much is missed of what is promised, as recorded by the rules of the export `prometheus`."""
    where = selector(environment=view.environment, model=model.name)
    le = bound(model.promised_ms / 1000)

    def windows(ratio: Callable[[str], str]) -> list[tuple[str, str]]:
        return [(ratio(window), window) for window in ("1h", "6h", "3d")]

    panels = [
        _chart(params, "Not answered", windows(lambda window: unavailable(where, window)), "percentunit"),
    ]
    if le is not None:
        title = f"Slower than {float(le) * 1000:g} ms"
        panels.append(_chart(params, title, windows(lambda window: slow(where, window, le)), "percentunit"))
    return "What is promised", panels


def _budgets(params: Params, view: View, model: ModelView) -> tuple[str, list[Object]]:
    """Return the error budgets as the monitor measures them, where something is promised."""
    if model.objectives is None:
        return "Error budgets", []
    where = selector(environment=view.environment, model=model.name)
    slow = selector(environment=view.environment, model=model.name, window="3d")
    left = [(f"max by (objective) (modelops_objective_budget_left_ratio{where})", "{{objective}}")]
    rate = [(f"max by (objective) (modelops_objective_burn_rate{slow})", "{{objective}}")]
    incidents = [(f"max by (event) (modelops_incidents_open{where})", "{{event}}")]
    return "Error budgets", [
        _chart(params, f"Part that is left of {model.objectives.period_days} days", left, "percentunit"),
        _chart(params, "Burn rate over 3 days", rate, "none", limit=1.0),
        _chart(params, "Open incidents", incidents, "short"),
    ]


def _watched(params: Params, view: View, model: ModelView) -> tuple[str, list[Object]]:
    """Return what the monitor finds, where there is one."""
    where = selector(environment=view.environment, model=model.name)
    strength = f"topk(10, max by (feature) (modelops_monitor_feature_strength{where}))"
    quality = [
        (f"max by (metric) (modelops_monitor_{name}{where})", f"{{{{metric}}}}{what}")
        for name, what in (
            ("performance", ""),
            ("performance_lower", ", lower end"),
            ("performance_upper", ", upper end"),
            ("performance_minimum", ", least"),
        )
    ]
    labels = [(f"max(modelops_monitor_labelled_ratio{where})", "of the last window")]
    panels = [_chart(params, "Drift, in units of the limit", [(strength, "{{feature}}")], "none", limit=1.0)]
    if model.judged:
        panels += [
            _chart(params, "Performance on the labels that came", quality, "none"),
            _chart(params, "Share of answers with a label", labels, "percentunit"),
        ]
    return "What the monitor finds", panels if model.monitored else []


def _chart(
    params: Params,
    title: str,
    queries: list[tuple[str, str]],
    unit: str,
    description: str = "",
    limit: float | None = None,
) -> Object:
    source = {"type": "prometheus", "uid": params.datasource}
    steps: list[Object] = [{"color": "green", "value": None}]
    steps += [{"color": "red", "value": limit}] if limit is not None else []
    custom = {"thresholdsStyle": {"mode": "line" if limit is not None else "off"}}
    return {
        "type": "timeseries",
        "title": title,
        "description": description,
        "datasource": source,
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "min": 0,
                "custom": custom,
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": {
            "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": source, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(queries)
        ],
    }
