"""Smoke requests: rows of the candidate's snapshot, sent to the candidate and to stable before any user is."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any
from urllib.parse import quote, urlsplit

from modelops.artifacts.frame import columns
from modelops.changes.building import materialiser, reader
from modelops.errors import Exit, ModelOpsError, failure
from modelops.project.target import target_of
from modelops.project.workspace import Workspace, model_entry
from modelops.spec.graph import Graph
from modelops.spec.kinds.model import Feature
from modelops.spec.layout import Seat
from modelops.strategies import SMOKE_TRIES, Smoke

TIMEOUT_SECONDS = 30.0
KEY_VARIABLE = "MODELOPS_API_KEY"
"""Where the key is that smoke requests present to a server which wants one."""


def smoke(workspace: Workspace, graph: Graph, seat: Seat, arms: Mapping[str, int], requests: int) -> Smoke:
    """Send the same rows to the candidate and to stable by version, and count what fails and what is slow.

    The rows are spread evenly over the snapshot that the candidate was trained on. A snapshot that cannot be had here
    leaves no requests, and the reason.
    """
    target = target_of(workspace, graph, seat.environment)
    url = target.endpoint(seat.model)
    if url is None or not target.observe().running:
        raise failure("not-running", f"{seat.environment} is not running", exit=Exit.WORLD, retryable=True)
    spec = model_entry(graph, seat.model).model.spec
    try:
        bodies = _bodies(workspace, graph, seat.model, arms["candidate"], requests)
    except ModelOpsError as error:
        return Smoke(0, 0, 0, 0, 0, f"the snapshot's rows cannot be had here: {error.first.message}")
    objective = spec.serving.latency_objective_ms / 1000
    key = workspace.environ.get(KEY_VARIABLE)
    try:
        errors, slow = _sent(url, seat.model, arms["candidate"], bodies, objective, key)
        stable_errors, stable_slow = _sent(url, seat.model, arms["stable"], bodies, objective, key)
    except PermissionError:
        return Smoke(0, 0, 0, 0, 0, f"the server wants an API key for infer: set {KEY_VARIABLE} where reconcile runs")
    return Smoke(len(bodies), errors, stable_errors, slow, stable_slow)


def _bodies(workspace: Workspace, graph: Graph, model: str, release: int, requests: int) -> list[bytes]:
    code = model_entry(graph, model).releases[release].spec.code.commit
    entry = model_entry(workspace.graph(code), model)
    snapshot = entry.snapshots[entry.model.spec.data.snapshot]
    table = reader(snapshot)(materialiser(workspace, graph, model, snapshot, code)())
    count = min(requests, table.num_rows)
    features = entry.model.spec.data.features
    arrays = columns(table.take([at * table.num_rows // count for at in range(count)]), features)
    return [_body(features, [arrays[feature.name][row] for feature in features]) for row in range(count)]


def _body(features: Sequence[Feature], values: Sequence[Any]) -> bytes:
    inputs = []
    for feature, value in zip(features, values, strict=True):
        text = feature.type == "category"
        missing = not value if text else math.isnan(value)
        data = None if missing else str(value) if text else float(value)
        inputs.append(
            {"name": feature.name, "shape": [1], "datatype": "BYTES" if text else "FP64", "data": [data]},
        )
    return json.dumps({"inputs": inputs}).encode()


def _sent(
    url: str, model: str, release: int, bodies: Sequence[bytes], objective: float, key: str | None
) -> tuple[int, int]:
    """Return how many rows could not be answered and how many answers were slow, the first tries counting.

    A row that fails is sent again, so that a failure by chance is not taken for a row that the release cannot answer.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
    path = f"/v2/models/{quote(model, safe='')}/versions/{release}/infer"
    headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})
    errors, slow = 0, 0
    with contextlib.closing(connection):
        for body in bodies:
            began = perf_counter()
            answered = _answered(connection, path, body, headers)
            slow += perf_counter() - began > objective
            errors += not (answered or any(_answered(connection, path, body, headers) for _ in range(SMOKE_TRIES - 1)))
    return errors, slow


def _answered(connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Send one row; a server that wants another key raises PermissionError."""
    try:
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        # A closed connection is opened again by the next request.
        connection.close()
        return False
    if response.status in (401, 403):
        raise PermissionError
    return response.status == 200
