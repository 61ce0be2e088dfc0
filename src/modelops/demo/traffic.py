"""Traffic for the demonstration: real HTTP requests made from generated transactions, in logical time."""

from __future__ import annotations

import csv
import http.client
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

Row = dict[str, str]
_DATATYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "category": "BYTES"}
PREDICTION = "prediction_id"
"""Under this key a row remembers the id of the prediction that it was answered with."""
CLOCK_SETTLES = 0.05
"""Seconds after which every process has seen a new logical time."""


def read_months(folder: Path, first: str, last: str) -> dict[str, list[Row]]:
    """Return the rows of each month's file between two months, both included."""
    months = {}
    for path in sorted(folder.glob("*.csv")):
        if first <= path.stem <= last:
            with path.open(encoding="utf-8", newline="") as file:
                months[path.stem] = list(csv.DictReader(file))
    return months


def _value(text: str, kind: str) -> object:
    match kind:
        case "number":
            return float(text)
        case "integer":
            return int(text)
        case "boolean":
            return text == "true"
        case _:
            return text


@dataclass
class Answered:
    """What a piece of traffic got: requests, answers by status, and the ids that were answered with success."""

    requests: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    seconds: float = 0.0


@dataclass
class Traffic:
    """A client of one model: sends rows as single-row requests on one connection and labels in bulk."""

    url: str
    model: str
    features: Sequence[tuple[str, str]]
    clock: Path

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)

    def _body(self, row: Row) -> bytes:
        inputs = [
            {"name": name, "shape": [1], "datatype": _DATATYPES[kind], "data": [_value(row[name], kind)]}
            for name, kind in self.features
        ]
        request = {"id": row["transaction_id"], "parameters": {"entity_id": row["customer_id"]}, "inputs": inputs}
        return json.dumps(request).encode()

    def send(self, rows: Sequence[Row], *, pieces: int = 10) -> Answered:
        """Send rows in order; the shared clock follows the time of the transactions piece by piece."""
        answered = Answered()
        connection = self._connection()
        began = time.perf_counter()
        for piece in _pieces(rows, pieces):
            self.clock.write_text(piece[0]["occurred_at"], encoding="utf-8")
            time.sleep(CLOCK_SETTLES)
            for row in piece:
                connection.request("POST", f"/v2/models/{self.model}/infer", self._body(row))
                response = connection.getresponse()
                body = response.read()
                answered.requests += 1
                answered.statuses[response.status] = answered.statuses.get(response.status, 0) + 1
                if response.status == 200:
                    row[PREDICTION] = json.loads(body)["parameters"]["prediction_id"]
                    answered.ids.append(row[PREDICTION])
        connection.close()
        answered.seconds = time.perf_counter() - began
        return answered

    def label(self, rows: Sequence[Row], target: str) -> int:
        """Report the truth about answered rows, 500 at a time; returns how many were accepted."""
        connection = self._connection()
        accepted = 0
        known = [row for row in rows if PREDICTION in row]
        for start in range(0, len(known), 500):
            items = [{"id": row[PREDICTION], "label": int(row[target])} for row in known[start : start + 500]]
            connection.request("POST", f"/v2/models/{self.model}/feedback", json.dumps(items).encode())
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise ConnectionError(f"feedback was answered with {response.status}: {body[:200]!r}")
            accepted += json.loads(body)["accepted"]
        connection.close()
        return accepted


def _pieces(rows: Sequence[Row], count: int) -> Iterator[Sequence[Row]]:
    size = max(1, -(-len(rows) // count))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
