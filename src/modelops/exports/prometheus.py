"""The export `prometheus`: whom to scrape, what to record, and when to call somebody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from modelops.exports import ModelView, View
from modelops.exports._promql import BY, error_ratio, latency, request_rate, selector
from modelops.spec.meta import OpenShare, Strict

__all__ = ["Params", "files"]

RATE = "environment_model_release_arm:modelops_requests:rate5m"
ERRORS = "environment_model_release_arm:modelops_errors:ratio_rate5m"
LATENCY = "environment_model_release_arm:modelops_request_seconds:quantile_rate5m"
_WINDOW = "5m"

Duration = Annotated[str, Field(pattern=r"^[1-9][0-9]*(s|m|h|d)$", description="a number with s, m, h or d")]
Address = Annotated[str, Field(pattern=r"^[^\s/]+:[0-9]{1,5}$", description="HOST:PORT")]


class Params(Strict):
    """Where the servers answer, and what counts as trouble.

    ``targets`` are the addresses of the environment's servers. A model is in trouble when, for as long as ``after``,
    more than ``maximumErrorRate`` of an arm's requests fail, or the ``quantile`` of its times is above the model's own
    latency objective; arms with fewer than ``minimumRequestsPerSecond`` alarm nobody. ``missingAfter`` is how long a
    release that git names may be absent.
    """

    targets: tuple[Address, ...] = Field(min_length=1)
    scheme: Literal["http", "https"] = "http"
    interval: Duration = "15s"
    maximum_error_rate: OpenShare = 0.01
    quantile: OpenShare = 0.99
    minimum_requests_per_second: Annotated[float, Field(ge=0)] = 0.1
    after: Duration = "10m"
    missing_after: Duration = "30m"


def files(params: Params, view: View) -> Mapping[str, str]:
    """Return a scrape configuration and the rules; both name the environment, so that several can lie side by side."""
    name = view.environment
    scrape = {
        "scrape_configs": [
            {
                "job_name": _job(name),
                "scheme": params.scheme,
                "metrics_path": "/metrics",
                "scrape_interval": params.interval,
                "static_configs": [{"targets": list(params.targets), "labels": {"environment": name}}],
            }
        ]
    }
    rules = {
        "groups": [
            {"name": f"{_job(name)}-recorded", "rules": list(_recorded(params, name))},
            {"name": f"{_job(name)}-server", "rules": list(_server_alerts(params, name))},
            *(
                {"name": f"{_job(name)}/{model.name}", "rules": list(_model_alerts(params, name, model))}
                for model in view.models
            ),
        ]
    }
    return {f"scrape-{name}.yaml": _dump(scrape), f"rules-{name}.yaml": _dump(rules)}


def _job(environment: str) -> str:
    return f"modelops-{environment}"


def _dump(document: Mapping[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)


def _recorded(params: Params, environment: str) -> Iterator[dict[str, str]]:
    where = selector(environment=environment)
    yield {"record": RATE, "expr": request_rate(where, _WINDOW)}
    yield {"record": ERRORS, "expr": error_ratio(where, _WINDOW)}
    yield {"record": LATENCY, "expr": latency(where, _WINDOW, params.quantile)}


def _server_alerts(params: Params, environment: str) -> Iterator[dict[str, Any]]:
    where = selector(environment=environment)
    down = selector(job=_job(environment))
    yield _alert(
        "ModelServerDown", f"up{down} == 0 or absent(up{down})", params.after, {"environment": environment},
        f"no server of {environment} answers Prometheus",
    )  # fmt: skip
    yield _alert(
        "RoutingTableRefused", f"max by (environment) (modelops_routing_table_error{where}) == 1", params.after, {},
        f"a server of {environment} refuses its newest routing table and goes on with the one before",
    )  # fmt: skip
    lost = f"sum by (environment) (increase(modelops_log_dropped_total{where}[15m])) > 0"
    yield _alert(
        "PredictionsNotLogged", lost, None, {}, f"predictions of {environment} were not logged: the disk refused"
    )


def _model_alerts(params: Params, environment: str, model: ModelView) -> Iterator[dict[str, Any]]:
    """Yield what is said of one model; owner and risk are labels, so that they decide who is called and how."""
    where = selector(environment=environment, model=model.name)
    labels = {"owner": _literal(model.owner), "risk": model.risk}
    busy = f"and on ({BY}) {RATE}{where} >= {params.minimum_requests_per_second:g}"
    seconds = model.latency_objective_ms / 1000
    which = f"{model.name} in {environment}, release {{{{ $labels.release }}}} ({{{{ $labels.arm }}}})"
    yield _alert(
        "ModelFailing", f"{ERRORS}{where} > {params.maximum_error_rate:g} {busy}", params.after, labels,
        f"{which}: more than {params.maximum_error_rate:.2%} of the requests fail",
    )  # fmt: skip
    yield _alert(
        "ModelSlow", f"{LATENCY}{where} > {seconds:g} {busy}", params.after, labels,
        f"{which}: slower than its objective of {model.latency_objective_ms:g} ms",
    )  # fmt: skip
    for arm, release in model.arms.items():
        wanted = selector(environment=environment, model=model.name, release=str(release), arm=arm)
        yield _alert(
            "ModelReleaseMissing", f"absent(modelops_requests_total{wanted})", params.missing_after, labels,
            f"git names release {release} of {model.name} as {arm} in {environment}, and no server has it loaded",
        )  # fmt: skip


def _alert(name: str, expression: str, after: str | None, labels: Mapping[str, str], said: str) -> dict[str, Any]:
    rule: dict[str, Any] = {"alert": name, "expr": expression}
    rule |= {"for": after} if after is not None else {}
    rule |= {"labels": dict(labels)} if labels else {}
    return rule | {"annotations": {"summary": said}}


def _literal(text: str) -> str:
    """Return a text that Prometheus' templates leave as it is."""
    return text.replace("{{", '{{ "{{" }}')
