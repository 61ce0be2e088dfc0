"""modelops feedback: tell a server the truth about what it predicted, from a file."""

from __future__ import annotations

import csv
import http.client
import json
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import click

from modelops.cli.output import emit, output_option, table
from modelops.errors import Exit, Location, ModelOpsError, failure

KEY_VARIABLE = "MODELOPS_API_KEY"
_BATCH = 500
_ATTEMPTS = 5
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Label:
    """One row of the file: where it stands, which prediction it is about and what is true."""

    line: int
    id: str
    label: Any


@dataclass
class Report:
    """What became of the labels; ``problems`` are those that were not taken."""

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[dict[str, Any]] = field(default_factory=list)

    def take(self, batch: Sequence[Label], items: Sequence[Any]) -> None:
        """Count a batch by what the server said about each item."""
        for label, item in zip(batch, items, strict=True):
            self.counts["labels"] += 1
            if item["accepted"]:
                self.counts["accepted"] += 1
                self.counts["replaced"] += bool(item.get("replaced"))
                continue
            self.counts["unknown" if item.get("code") == "unknown-prediction" else "refused"] += 1
            self.problems.append(
                {"line": label.line, "id": label.id, "code": item.get("code"), "error": item.get("error")}
            )

    def to_json(self) -> dict[str, Any]:
        """Return the counts, all of them, and the problems."""
        names = ("labels", "accepted", "replaced", "unknown", "refused")
        return {name: self.counts[name] for name in names} | {"problems": self.problems}

    def to_text(self) -> str:
        """Return one line of counts and the first problems."""
        c = self.counts
        text = f"{c['labels']} labels: {c['accepted']} accepted ({c['replaced']} of them replaced another label), "
        text += f"{c['unknown']} of unknown predictions, {c['refused']} refused"
        if self.problems:
            shown = [(p["line"], p["id"][:40], p["error"]) for p in self.problems[:_SHOWN]]
            text += "\n" + table(("LINE", "ID", "PROBLEM"), shown)
        if len(self.problems) > _SHOWN:
            text += f"\n… and {len(self.problems) - _SHOWN} more; --output json lists them all"
        return text


@click.command("feedback")
@click.argument("environment", metavar="ENV")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--model", help="The model that predicted; not needed where ENV serves one model.")
@click.option("--url", help="Address of the server; by default that of ENV on this machine.")
@output_option
def command(environment: str, file: Path, model: str | None, url: str | None, output: str) -> int:
    """Tell the server of ENV the true labels of its predictions.

    FILE has the columns id (of the prediction) and label: .csv, .jsonl (one object a line) or .parquet. Sending a file
    again changes nothing; another label for the same prediction replaces the first. An API key is taken from
    MODELOPS_API_KEY. Exits with 1 when a label was not accepted.
    """
    if not file.is_file():
        raise click.BadParameter(f"there is no file {file}", param_hint="FILE")
    labels = list(_read(file))
    report = Report()
    shown = sys.stderr if sys.stderr.isatty() and len(labels) > _BATCH else None
    with _Server(url or _address(environment)) as server:
        name = model or server.only_model()
        with click.progressbar(length=len(labels), label="labels", file=shown, hidden=shown is None) as bar:
            for batch in _batches(labels):
                report.take(batch, server.send(name, batch))
                bar.update(len(batch))
    emit(output, report.to_json(), report.to_text)
    return Exit.NO if report.problems else Exit.OK


def _batches(labels: Iterable[Label]) -> Iterator[list[Label]]:
    rows = iter(labels)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _address(environment: str) -> str:
    from modelops.reconcile.observe import observe_target
    from modelops.reconcile.workspace import open_workspace

    workspace = open_workspace()
    _, graph = workspace.known()
    observed = observe_target(graph, environment, workspace.site(environment))
    if observed.url is None:
        raise failure(
            "no-server",
            f"no server of {environment} answers on this machine: {observed.message}",
            exit=Exit.WORLD,
            hint=f"`modelops reconcile {environment}` starts it; --url names one elsewhere",
            retryable=True,
        )
    return observed.url


class _Server:
    """A server's address and how to ask it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.BadParameter(f"{url!r} is not the address of a server", param_hint="--url")
        self._url = url
        self._prefix = parts.path.rstrip("/")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=60)
        key = os.environ.get(KEY_VARIABLE)
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def only_model(self) -> str:
        """Return the name of the one model that is served."""
        names = sorted({row["name"] for row in self._ask("/v2/repository/index", {})})
        if len(names) != 1:
            served = ", ".join(names) or "none"
            raise click.UsageError(f"say which model predicted with --model; served are: {served}")
        name: str = names[0]
        return name

    def send(self, model: str, batch: Sequence[Label]) -> list[Any]:
        """Send labels and return what the server says about each of them."""
        body = [{"id": label.id, "label": label.label} for label in batch]
        answer: dict[str, list[Any]] = self._ask(f"/v2/models/{quote(model)}/feedback", body)
        return answer["items"]

    def _ask(self, path: str, body: Any) -> Any:
        """Post JSON; a server that is busy is asked again after the time it names."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._connection.request("POST", self._prefix + path, json.dumps(body).encode(), self._headers)
                response = self._connection.getresponse()
                data = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._failed(f"cannot be asked: {error}", retryable=True) from None
            if response.status in (429, 503) and attempt < _ATTEMPTS:
                wait = response.getheader("Retry-After", "1")
                time.sleep(min(float(wait), 30.0) if wait.isdigit() else 1.0)
                continue
            break
        try:
            answer = json.loads(data)
            if response.status == 200:
                return answer
            said = answer["error"]
        except (ValueError, KeyError, TypeError):
            said = data[:200].decode("utf-8", "replace")
        raise self._failed(f"answers {response.status}: {said}", retryable=response.status >= 429)

    def _failed(self, reason: str, *, retryable: bool) -> ModelOpsError:
        return failure(
            "feedback-not-taken",
            f"the server {self._url} {reason}",
            exit=Exit.WORLD,
            hint="send the file again: labels that were taken do not change",
            retryable=retryable,
        )


def _read(file: Path) -> Iterator[Label]:
    match file.suffix.lower():
        case ".csv":
            rows = _csv_rows(file)
        case ".jsonl" | ".ndjson":
            rows = _json_rows(file)
        case ".parquet":
            rows = _parquet_rows(file)
        case _:
            raise click.BadParameter(f"{file} is none of .csv, .jsonl and .parquet", param_hint="FILE")
    try:
        for line, id, label in rows:
            yield _label(file, line, id, label)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _bad(file, 0, f"is not readable as text: {error}") from None


def _label(file: Path, line: int, id: object, label: object) -> Label:
    if not isinstance(id, str) or not id:
        raise _bad(file, line, f"has the id {id!r}, which is not the text of a prediction id")
    if not isinstance(label, (str, int, float)) or label == "" or (isinstance(label, float) and math.isnan(label)):
        raise _bad(file, line, f"has the label {label!r}, which is neither a text nor a number")
    return Label(line, id, label)


def _bad(file: Path, line: int, what: str) -> ModelOpsError:
    where = Location(str(file), line)
    hint = "each row has the columns id and label; nothing was sent"
    return failure("bad-feedback-file", f"{file.name} {what}", exit=Exit.FILES, location=where, hint=hint)


def _csv_rows(file: Path) -> Iterator[tuple[int, object, object]]:
    with file.open(encoding="utf-8-sig", newline="") as opened:
        reader = csv.DictReader(opened)
        if not {"id", "label"} <= set(reader.fieldnames or ()):
            raise _bad(file, 1, f"has the columns {', '.join(reader.fieldnames or ()) or 'none'}")
        for row in reader:
            yield reader.line_num, row["id"], row["label"]


def _json_rows(file: Path) -> Iterator[tuple[int, object, object]]:
    with file.open(encoding="utf-8-sig") as opened:
        for line, text in enumerate(opened, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise _bad(file, line, f"has a line that is not JSON: {error}") from None
            if not isinstance(row, dict) or not {"id", "label"} <= row.keys():
                raise _bad(file, line, "has a line without id and label")
            yield line, row["id"], row["label"]


def _parquet_rows(file: Path) -> Iterator[tuple[int, object, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            if not {"id", "label"} <= set(names):
                raise _bad(file, 0, f"has the columns {', '.join(names)}")
            line = 0
            for batch in opened.iter_batches(columns=["id", "label"]):
                for row in batch.to_pylist():
                    line += 1
                    yield line, row["id"], row["label"]
    except (pa.ArrowException, OSError) as error:
        raise _bad(file, 0, f"is not a Parquet file: {error}") from None
