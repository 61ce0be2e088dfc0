"""Queries over what the server counts, shared by everything that reads Prometheus."""

from __future__ import annotations

import json

BY = "environment, model, release, arm"


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
