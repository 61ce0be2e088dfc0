"""Queries over what the server counts, shared by everything that reads Prometheus."""

from __future__ import annotations

import json

from modelops.spec.routing import LATENCY_BOUNDS

BY = "environment, model, release, arm"
SEAT = "environment, model"


def job_of(environment: str) -> str:
    """Return the job under which the servers of an environment are scraped, whatever finds them."""
    return f"modelops-{environment}"


def selector(**labels: str) -> str:
    """Return label matchers, in order, with values escaped as PromQL's strings are."""
    return "{" + ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items()) + "}"


def request_rate(where: str, window: str) -> str:
    """Return requests per second by release and arm."""
    return f"sum by ({BY}) (rate(modelops_requests_total{where}[{window}]))"


def error_ratio(where: str, window: str) -> str:
    """Return the share of requests on which a release failed; no value without requests."""
    return f"sum by ({BY}) (rate(modelops_errors_total{where}[{window}])) / ({request_rate(where, window)} > 0)"


def latency(where: str, window: str, quantile: float) -> str:
    """Return a quantile of the time of an answer, in seconds."""
    return (
        f"histogram_quantile({quantile:g}, sum by (le, {BY}) (rate(modelops_request_seconds_bucket{where}[{window}])))"
    )


def unavailable(where: str, window: str) -> str:
    """Return the share of requests for a model that were not answered: a release failed, or the server refused by 5xx.

    There is no value without requests.
    """
    refused_where = where.removesuffix("}") + ',status=~"5.."}'
    asked = f"sum by ({SEAT}) (rate(modelops_requests_total{where}[{window}]))"
    failed = f"sum by ({SEAT}) (rate(modelops_errors_total{where}[{window}]))"
    refused = f"(sum by ({SEAT}) (rate(modelops_refused_total{refused_where}[{window}])) or 0 * {asked})"
    return f"({failed} + {refused}) / (({asked} + {refused}) > 0)"


def bound(seconds: float) -> str | None:
    """Return the bound of the server's histogram at which answers within a time are counted, as it spells it.

    It is the first one that is not below the time; None where the server counts nothing so slow.
    """
    return next((str(one) for one in LATENCY_BOUNDS if one >= seconds * (1 - 1e-9)), None)


def slow(where: str, window: str, le: str) -> str:
    """Return the share of answers that took longer than a bound; no value without answers."""
    fast_where = where.removesuffix("}") + f',le="{le}"}}'
    fast = f"sum by ({SEAT}) (rate(modelops_request_seconds_bucket{fast_where}[{window}]))"
    every = f"sum by ({SEAT}) (rate(modelops_request_seconds_count{where}[{window}]))"
    return f"1 - {fast} / ({every} > 0)"
