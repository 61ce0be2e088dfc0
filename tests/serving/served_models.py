"""Real artifacts in a real store, routing tables, and servers for the tests of the data path."""

from __future__ import annotations

import dataclasses
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modelops.artifacts import Input, Predictor, Signature, columns, frame, put_artifact
from modelops.artifacts.canonical import dump_canonical
from modelops.artifacts.onnx_export import export_onnx
from modelops.artifacts.onnx_session import onnx_score
from modelops.artifacts.predictor import background_document, sklearn_score, smoke_document
from modelops.clock import Clock, wall_clock
from modelops.plugins import load
from modelops.serving import Service
from modelops.stores import Store
from waiting import PATIENCE, wait_for

JSON = {"content-type": "application/json"}


def open_store(folder: Path) -> Store:
    layout = load("stores", "oci-layout")
    store: Store = layout.open(layout.Params(path=str(folder)), folder)
    return store


def pack_model(
    store: Store,
    estimator: Any,
    rows: Mapping[str, Sequence[Any]],
    target: Sequence[Any],
    signature: dict[str, Any],
    *,
    onnx: bool = True,
) -> str:
    """Fit an estimator and store it as the build would; returns the artifact's digest."""
    features = tuple(Input(name=n, type=t, nullable=nullable) for n, t, nullable in signature.pop("features"))
    estimator.fit(frame(rows, features), np.asarray(target))
    skops, trusted = dump_canonical(estimator)
    written = Signature(features=features, target="target", engine="sklearn", trusted_types=trusted, **signature)
    converted = columns(rows, features)
    files = {"models/model.skops": skops}
    score = sklearn_score(estimator, written)
    if onnx:
        export = export_onnx(estimator, written, converted)
        assert export.data is not None, export.reason
        files["models/model.onnx"] = export.data
        written = written.model_copy(update={"engine": "onnx", "onnx_difference": export.difference})
        score = onnx_score(export.data, written)
    files["models/signature.json"] = written.dump()
    files["models/smoke.json"] = smoke_document(Predictor(written, score), converted, range(4))
    files["models/background.json"] = background_document(converted, score(converted))
    return put_artifact(store, files).digest


def route(*arms: tuple[str, int, str, float], **settings: Any) -> dict[str, Any]:
    listed = [{"name": n, "release": r, "digest": d, "weight": w} for n, r, d, w in arms]
    return {"arms": listed, "salt": "salt-1", **settings}


def write_table(path: Path, models: Mapping[str, Any], environment: str = "production", keys: Any = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps({"environment": environment, "models": models, "keys": keys}), encoding="utf-8")
    temporary.replace(path)


@dataclasses.dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass(frozen=True)
class Running:
    """A server on a port of its own."""

    folder: Path
    url: str
    grpc: str = ""
    admin: str = ""

    @property
    def table(self) -> Path:
        return self.folder / "routes.json"

    @property
    def log(self) -> Path:
        return self.folder / "predictions"

    def ask(
        self, path: str, body: Any = None, *, method: str | None = None, headers: Mapping[str, str] = JSON
    ) -> Reply:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, dict(headers), method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return Reply(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.read(), dict(error.headers))

    def status(self) -> Any:
        return self._status().json

    def _status(self) -> Reply:
        """Ask the port for operators where there is one: it tells its status before the first table as well."""
        return Running(self.folder, self.admin or self.url).ask("/modelops/status")

    def await_status(self, done: Any) -> Any:
        def there() -> Any:
            answer = self._status()
            return answer.status == 200 and done(answer.json) and answer.json

        return wait_for(there)

    def take_up(self, models: Mapping[str, Any]) -> Any:
        """Write a table and wait until it is in effect."""
        import hashlib

        write_table(self.table, models)
        wanted = "sha256:" + hashlib.sha256(self.table.read_bytes()).hexdigest()
        return self.await_status(lambda status: status["table"] == wanted)


@contextmanager
def running(
    folder: Path, store: Store, models: Mapping[str, Any] | None, clock: Clock = wall_clock, **settings: Any
) -> Iterator[Running]:
    """Serve from a thread of this process until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "routes.json"
    if models is not None:
        write_table(table, models)
    service = Service(table, store, folder / "predictions", host="127.0.0.1", port=0, clock=clock, **settings)
    thread = threading.Thread(target=service.run)
    thread.start()
    admin = f"http://127.0.0.1:{service.admin_port}" if service.admin_port is not None else ""
    server = Running(folder, f"http://127.0.0.1:{service.port}", f"127.0.0.1:{service.grpc_port}", admin)
    try:
        if models is not None:
            server.await_status(lambda status: status["table"] is not None or status["error"])
        yield server
    finally:
        service.stop()
        thread.join()


def tensor(name: str, datatype: str, data: Sequence[Any], shape: Sequence[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape or [len(data)]), "data": list(data)}
