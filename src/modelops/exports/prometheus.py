"""The export `prometheus`: whom to scrape, what to record, and when to call somebody.

Each alert has a severity, page or ticket. What is promised of a model, that requests are answered and in time, has an
error budget; it alerts by burn rates over two windows at once, as the site reliability workbook of Google does, so that
an alert comes early where much burns and ends soon after it does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, model_validator

from modelops.exports import ModelView, View
from modelops.exports._promql import (
    BY,
    SEAT,
    bound,
    error_ratio,
    job_of,
    latency,
    request_rate,
    selector,
    slow,
    unavailable,
)
from modelops.spec.layout import dns_label
from modelops.spec.meta import Name, OpenShare, Strict
from modelops.statistics.budgets import HOURS, PAIRS, factor
from modelops.targets.kubernetes.names import ENVIRONMENT, MANAGED, PART
from modelops.targets.kubernetes.params import ObjectName

__all__ = ["Params", "files"]

RATE = "environment_model_release_arm:modelops_requests:rate5m"
ERRORS = "environment_model_release_arm:modelops_errors:ratio_rate5m"
LATENCY = "environment_model_release_arm:modelops_request_seconds:quantile_rate5m"
UNAVAILABLE = "environment_model:modelops_unavailable:ratio_rate"
SLOW = "environment_model:modelops_slow:ratio_rate"
_WINDOW = "5m"
WINDOWS = tuple(HOURS.values())
BUDGET = "modelops_objective_burn_rate"
"""What the monitor says of what it measures itself, by objective and window."""

Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*(s|m|h|d)$", description="a number with s, m, h or d")]
Address = Annotated[str, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$", description="HOST:PORT")]


class Params(Strict):
    """Where the servers answer, what is promised, and what counts as trouble.

    ``targets`` are the addresses of the environment's servers. ``availability`` is the share of requests that have to
    be answered, ``fastEnough`` the share that has to be within the model's own latency objective, over ``periodDays``;
    what may be missed is the budget. What a monitor's ``objectives`` promise of a model stands in the place of these.
    An arm is in trouble when, for as long as ``after``, more than
    ``maximumErrorRate`` of its requests fail, or the ``quantile`` of its times is above the objective. With fewer than
    ``minimumRequestsPerSecond`` nobody is alarmed. ``missingAfter`` is how long a release that git names may be absent,
    ``silentAfter`` and ``lookAfter`` how long the loop and the monitor may be silent, ``labelsWithin`` how late the
    first label may be, and ``keyEndsWithin`` how early people hear of a key that ends.

    With ``form: operator`` what is written are objects of the Prometheus operator: the pods of the target kubernetes
    take the place of ``targets``. ``namespace`` is that of the pods and of these objects.
    """

    form: Literal["files", "operator"] = "files"
    targets: tuple[Address, ...] = ()
    namespace: Name = "models"
    labels: dict[str, str] = Field({}, description="labels by which an operator's Prometheus chooses its objects")
    metrics_secret: ObjectName | None = Field(
        None, description="the Secret whose entry `key` is an API key with the scope admin, where access is limited"
    )
    scheme: Literal["http", "https"] = "http"
    interval: Duration = "15s"
    availability: OpenShare = 0.999
    fast_enough: OpenShare = 0.99
    period_days: Annotated[int, Field(ge=7, le=90)] = 30
    maximum_error_rate: OpenShare = 0.01
    quantile: OpenShare = 0.99
    minimum_requests_per_second: Annotated[float, Field(ge=0)] = 0.1
    after: Duration = "10m"
    missing_after: Duration = "30m"
    silent_after: Duration = "2h"
    look_after: Duration = "2d"
    labels_within: Duration = "7d"
    key_ends_within: Duration = "14d"

    @model_validator(mode="after")
    def _whom(self) -> Self:
        if (self.form == "files") != bool(self.targets):
            raise ValueError(
                "targets are the addresses of the servers, HOST:PORT" if self.form == "files"
                else "the operator finds the pods by their labels: leave targets out"
            )  # fmt: skip
        return self


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return what to scrape and the rules; both name the environment, so that several can lie side by side."""
    name = view.environment
    rules = _rules(params, view)
    if params.form == "operator":
        found = {"podmonitor": _pod_monitor(params, name), "prometheusrule": _rule_object(params, name, rules)}
        return {f"{name}/{kind}.yaml": _dump(made) for kind, made in found.items()}
    scrape = {
        "scrape_configs": [
            {
                "job_name": job_of(name),
                "scheme": params.scheme,
                "metrics_path": "/metrics",
                "scrape_interval": params.interval,
                "static_configs": [{"targets": list(params.targets), "labels": {"environment": name}}],
            }
        ]
    }
    return {f"scrape-{name}.yaml": _dump(scrape), f"rules-{name}.yaml": _dump(rules)}


def _rules(params: Params, view: View) -> dict[str, Any]:
    name = view.environment
    groups = [
        ("recorded", [*_recorded(params, name), *_ratios(view)]),
        ("server", [*_server_alerts(params, name), *_pass_alerts(params, name)]),
    ]
    return {
        "groups": [
            *({"name": f"{job_of(name)}-{what}", "rules": some} for what, some in groups),
            *({"name": f"{job_of(name)}/{one.name}", "rules": [*_of_model(params, name, one)]} for one in view.models),
        ]
    }


def _metadata(params: Params, environment: str) -> dict[str, Any]:
    return {
        "name": dns_label(job_of(environment)),
        "namespace": params.namespace,
        "labels": {**params.labels, **MANAGED, ENVIRONMENT: environment},
    }


def _rule_object(params: Params, environment: str, rules: Mapping[str, Any]) -> dict[str, Any]:
    metadata = _metadata(params, environment)
    return {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": metadata, "spec": rules}


def _pod_monitor(params: Params, environment: str) -> dict[str, Any]:
    """Return what makes the operator scrape every pod of an environment, under the job that the rules ask for."""
    said = {"job": job_of(environment), "environment": environment}
    access = {}
    if params.metrics_secret is not None:
        access = {"authorization": {"type": "Bearer", "credentials": {"name": params.metrics_secret, "key": "key"}}}
    endpoint = {
        "port": "http",
        "path": "/metrics",
        "scheme": params.scheme,
        "interval": params.interval,
        "relabelings": [
            {"action": "replace", "targetLabel": label, "replacement": value} for label, value in said.items()
        ],
        **access,
    }
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": _metadata(params, environment),
        "spec": {"selector": {"matchLabels": {**MANAGED, PART: environment}}, "podMetricsEndpoints": [endpoint]},
    }


def _dump(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


def _recorded(params: Params, environment: str) -> Iterator[dict[str, str]]:
    where = selector(environment=environment)
    yield {"record": RATE, "expr": request_rate(where, _WINDOW)}
    yield {"record": ERRORS, "expr": error_ratio(where, _WINDOW)}
    yield {"record": LATENCY, "expr": latency(where, _WINDOW, params.quantile)}


def _ratios(view: View) -> Iterator[dict[str, Any]]:
    """Yield what is missed of what is promised over each window; of times, of each model at its own objective."""
    every = selector(environment=view.environment)
    for window in WINDOWS:
        yield {"record": f"{UNAVAILABLE}{window}", "expr": unavailable(every, window)}
    for model in view.models:
        where, le = selector(environment=view.environment, model=model.name), bound(model.promised_ms / 1000)
        for window in WINDOWS if le is not None else ():
            said = {"record": f"{SLOW}{window}", "expr": slow(where, window, le or "")}
            yield said | {"labels": {"environment": view.environment, "model": model.name}}


def _server_alerts(params: Params, environment: str) -> Iterator[dict[str, Any]]:
    where = selector(environment=environment)
    down = selector(job=job_of(environment))
    yield _alert(
        "ModelServerDown", f"max by (environment) (up{down}) == 0 or absent(up{down})", params.after,
        {"environment": environment, "severity": "page"}, f"no server of {environment} answers Prometheus",
    )  # fmt: skip
    yield _alert(
        "ModelServerDown", f"up{down} == 0", params.after, {"environment": environment, "severity": "ticket"},
        f"the server {{{{ $labels.instance }}}} of {environment} does not answer Prometheus",
    )  # fmt: skip
    yield _alert(
        "RoutingTableRefused", f"max by (environment) (modelops_routing_table_error{where}) == 1", params.after,
        {"severity": "ticket"},
        f"a server of {environment} refuses its newest routing table and goes on with the one before",
    )  # fmt: skip
    lost = f"sum by (environment) (increase(modelops_log_dropped_total{where}[15m])) > 0"
    yield _alert(
        "PredictionsNotLogged", lost, None, {"severity": "ticket"},
        f"predictions of {environment} were not logged: the disk refused",
    )  # fmt: skip


def _pass_alerts(params: Params, environment: str) -> Iterator[dict[str, Any]]:
    """Yield what is said of the loop, by what its passes write where they and a server share a machine."""
    where, ticket = selector(environment=environment), {"severity": "ticket"}
    silent = f"time() - max by (environment) (modelops_reconcile_last_pass_timestamp_seconds{where})"
    yield _alert(
        "ReconcilerDead", f"{silent} > {_seconds(params.silent_after)}", None, ticket,
        f"nothing reconciled {environment} for more than {params.silent_after}",
    )  # fmt: skip
    yield _alert(
        "AlertsUndelivered", f"max by (environment) (modelops_alerts_failing_ways{where}) > 0", "1h", ticket,
        f"a way by which people are told of {environment} takes nothing: modelops status says which",
    )  # fmt: skip
    left = f"min by (environment, signing_key) (modelops_key_expiry_timestamp_seconds{where}) - time()"
    yield _alert(
        "SigningKeyEnds", f"{left} < {_seconds(params.key_ends_within)}", None, ticket,
        f"the key {{{{ $labels.signing_key }}}} signs nothing in {params.key_ends_within}, or already",
    )  # fmt: skip


def _of_model(params: Params, environment: str, model: ModelView) -> Iterator[dict[str, Any]]:
    """Yield what is said of one model; owner and risk are labels, so that they decide who is called and how."""
    where = selector(environment=environment, model=model.name)
    owned = {"environment": environment, "model": model.name, "owner": _literal(model.owner), "risk": model.risk}
    ticket = owned | {"severity": "ticket"}
    busy = f"and on ({BY}) {RATE}{where} >= {params.minimum_requests_per_second:g}"
    seconds = model.latency_objective_ms / 1000
    which = f"{model.name} in {environment}, release {{{{ $labels.release }}}} ({{{{ $labels.arm }}}})"
    yield from _burns(params, environment, model, owned)
    yield _alert(
        "ModelFailing", f"{ERRORS}{where} > {params.maximum_error_rate:g} {busy}", params.after, ticket,
        f"{which}: more than {params.maximum_error_rate:.2%} of the requests fail",
    )  # fmt: skip
    yield _alert(
        "ModelSlow", f"{LATENCY}{where} > {seconds:g} {busy}", params.after, ticket,
        f"{which}: slower than its objective of {model.latency_objective_ms:g} ms",
    )  # fmt: skip
    for arm, release in model.arms.items():
        wanted = selector(environment=environment, model=model.name, release=str(release), arm=arm)
        yield _alert(
            "ModelReleaseMissing", f"absent(modelops_requests_total{wanted})", params.missing_after,
            {**ticket, "release": str(release), "arm": arm},
            f"git names release {release} of {model.name} as {arm} in {environment}, and no server has it loaded",
        )  # fmt: skip
    yield _alert(
        "ModelStalled", f"max by ({SEAT}) (modelops_reconcile_stalled{where}) == 1", params.after, ticket,
        f"{model.name} in {environment} cannot go on: modelops status says why",
    )  # fmt: skip
    if model.monitored:
        yield from _watched(params, environment, model, ticket)


@dataclass(frozen=True, slots=True)
class _Promise:
    """What is promised of a model in the words of Prometheus: what is missed over a window, and what may be."""

    name: str
    ratio: str
    budget: float
    days: int
    said: str


def _promises(params: Params, model: ModelView) -> Iterator[_Promise]:
    """Yield what the server's own metrics tell of: the model's objectives, or else those of the export."""
    asked = model.objectives
    days = asked.period_days if asked is not None else params.period_days
    available = asked.availability if asked is not None else None
    target = available.target if available is not None else params.availability
    yield _Promise("Availability", UNAVAILABLE, 1 - target, days, "that requests are answered")
    le = bound(model.promised_ms / 1000)
    if le is not None:
        fast = asked.latency if asked is not None else None
        target = fast.target if fast is not None else params.fast_enough
        yield _Promise("Latency", SLOW, 1 - target, days, f"that answers come within {float(le) * 1000:g} ms")


def _burns(params: Params, environment: str, model: ModelView, owned: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the alerts of budgets that burn, for each severity one that asks both pairs of windows."""
    where = selector(environment=environment, model=model.name)
    for promise in _promises(params, model):
        for severity, pairs in PAIRS.items():
            conditions = []
            for pair in pairs:
                limit = factor(pair, promise.days * 24) * promise.budget
                # More than all cannot be missed: such a pair never alerts.
                both = (f"{promise.ratio}{HOURS[hours]}{where} > {limit:.6g}" for hours in (pair.long, pair.short))
                conditions.append(f"({' and '.join(both)})")
            asked = f"sum by ({SEAT}) ({RATE}{where}) >= {params.minimum_requests_per_second:g}"
            yield _burn(environment, model, promise.name, promise.days, promise.said, severity, owned,
                        f"({' or '.join(conditions)}) and on ({SEAT}) {asked}")  # fmt: skip
    yield from _measured_burns(environment, model, owned)


def _measured_burns(environment: str, model: ModelView, owned: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the alerts of what only the monitor can measure: its burn rates, held against the same factors."""
    promised = model.objectives
    if promised is None:
        return
    for name, there, said in (
        ("freshness", promised.freshness, "that the release is new enough"),
        ("quality", promised.quality, "that answers are right"),
    ):
        for severity, pairs in PAIRS.items():
            if there is None or (name == "freshness" and severity == "page"):
                continue
            conditions = []
            for pair in pairs:
                limit = factor(pair, promised.period_days * 24)
                rates = (
                    f"max by ({SEAT}) ({BUDGET}{_measured(environment, model, name, HOURS[hours])}) > {limit:.6g}"
                    for hours in (pair.long, pair.short)
                )
                conditions.append(f"({' and '.join(rates)})")
            yield _burn(environment, model, name.capitalize(), promised.period_days, said, severity, owned,
                        " or ".join(conditions))  # fmt: skip


def _measured(environment: str, model: ModelView, objective: str, window: str) -> str:
    return selector(environment=environment, model=model.name, objective=objective, window=window)


def _burn(
    environment: str,
    model: ModelView,
    name: str,
    days: int,
    promise: str,
    severity: str,
    owned: Mapping[str, str],
    expression: str,
) -> dict[str, Any]:
    said = f"{model.name} in {environment}: the budget of {days} days, {promise}, burns"
    return _alert(
        f"Model{name}Burn", expression, None, {**owned, "severity": severity},
        f"{said} {'fast' if severity == 'page' else 'slowly'}",
    )  # fmt: skip


def _watched(params: Params, environment: str, model: ModelView, ticket: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield what is said by what the monitor writes, and of labels that do not come."""
    where, seat = selector(environment=environment, model=model.name), f"{model.name} in {environment}"
    alert = selector(environment=environment, model=model.name, level="alert")
    yield _alert(
        "ModelWindowAlerts", f"max by ({SEAT}) (modelops_monitor_level{alert}) == 1", None, ticket,
        f"the last window of {seat} alerts: modelops monitor {environment} --model {model.name} shows why",
    )  # fmt: skip
    silent = f"time() - max by ({SEAT}) (modelops_monitor_last_look_timestamp_seconds{where})"
    yield _alert(
        "MonitorDead", f"{silent} > {_seconds(params.look_after)}", None, ticket,
        f"nobody looked at {seat} for more than {params.look_after}",
    )  # fmt: skip
    if model.judged:
        accepted = selector(environment=environment, model=model.name, outcome="accepted")
        asked = f"sum by ({SEAT}) (increase(modelops_requests_total{where}[{params.labels_within}]))"
        # A server that no label ever reached has no series of labels.
        came = f"(sum by ({SEAT}) (increase(modelops_feedback_total{accepted}[{params.labels_within}])) or 0 * {asked})"
        yield _alert(
            "ModelLabelsMissing", f"{came} == 0 and on ({SEAT}) {asked} > 0", params.labels_within, ticket,
            f"no label of {seat} came in {params.labels_within}, so that nobody knows how good it is",
        )  # fmt: skip


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[duration[-1]]


def _alert(name: str, expression: str, after: str | None, labels: Mapping[str, str], said: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": name, "expr": expression}
    rule |= {"for": after} if after is not None else {}
    rule |= {"labels": dict(labels)} if labels else {}
    return rule | {"annotations": {"summary": said}}


def _literal(text: str) -> str:
    """Return a text that Prometheus' templates leave as it is."""
    return text.replace("{{", '{{ "{{" }}')
