"""Requests per second, latency and memory of the server beside others, and requests lost in swaps of releases.

The others: an empty answer from uvicorn (the ceiling of its kind), FastAPI with the same scikit-learn model, and
MLServer with it where ``--mlserver`` names the Python of an environment that has mlserver, scikit-learn and skops. Each
server and the load generator are processes of their own; on Linux with two processors the server is pinned to the first
and the generator to the second. "CPU us" is the processor time of the server per request, the figure that other work on
the machine moves least. The open loop sends at random moments whatever the answers do, and counts latency from those
moments. Over gRPC the generator is grpcio's asyncio client, which needs more processor time than the server: compare
"CPU us" there, not the requests per second. Run it with ``python tests/benchmarks/bench_serving.py [--seconds 2]``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import deque
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

now = time.perf_counter

FEATURES = 30
MODES = ("off", "buffered", "acknowledged")
OPEN_RATE = 1000.0

HELLO = """
import sys
import uvicorn

HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"14")]


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b'{"ready":true}'})


uvicorn.run(
    app, port=int(sys.argv[2]), access_log=False, log_level="warning", lifespan="off", loop="uvloop", http="httptools",
    ws="none", date_header=False, server_header=False,
)
"""

MLSERVER = """
import asyncio
import sys
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse
from skops.io import get_untrusted_types, load


class Fraud(MLModel):
    async def load(self):
        self.model = load(sys.argv[1], trusted=get_untrusted_types(file=sys.argv[1]))
        del self.model.feature_names_in_
        return True

    async def predict(self, payload):
        rows = NumpyCodec.decode_input(payload.inputs[0])
        probability = self.model.predict_proba(rows)[:, 1]
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("probability", probability)])


async def main():
    port = int(sys.argv[2])
    settings = Settings(
        debug=False, parallel_workers=0, host="127.0.0.1", http_port=port, grpc_port=port + 1, metrics_port=port + 2
    )
    await MLServer(settings).start([ModelSettings(name="fraud", implementation=Fraud)])


asyncio.run(main())
"""

FASTAPI = """
import sys
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from skops.io import load, get_untrusted_types

model = load(sys.argv[1], trusted=get_untrusted_types(file=sys.argv[1]))
del model.feature_names_in_  # it gets arrays, and would warn about missing names on every request
app = FastAPI()


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(BaseModel):
    inputs: list[Tensor]


@app.get("/v2/health/ready")
async def ready():
    return {"ready": True}


@app.post("/v2/models/fraud/infer")
async def infer(request: Request):
    rows = np.array(request.inputs[0].data).reshape(request.inputs[0].shape)
    probability = model.predict_proba(rows)[:, 1]
    outputs = [{"name": "probability", "shape": [len(rows)], "datatype": "FP64", "data": probability.tolist()}]
    return {"model_name": "fraud", "outputs": outputs}


uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
"""


class Load:
    """Requests on a number of connections, each as soon as the one before is answered, or at random moments."""

    def __init__(self, body: bytes, seconds: float, rate: float) -> None:
        head = "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
        self.payload = f"{head}{len(body)}\r\n\r\n".encode() + body
        self.seconds, self.rate = seconds, rate
        self.latencies: list[float] = []
        self.errors = 0
        self.idle: list[Client] = []
        self.due: deque[float] = deque()
        self.open = 0

    async def run(self, port: int, connections: int) -> float:
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            await loop.create_connection(lambda: Client(self), "127.0.0.1", port)
        started = now()
        self.deadline = started + self.seconds
        if self.rate:
            await self._at_random()
        else:
            clients, self.idle = self.idle, []
            for client in clients:
                client.send(now())
        while len(self.idle) < self.open:
            await asyncio.sleep(0.005)
        return now() - started

    async def _at_random(self) -> None:
        random = np.random.default_rng(0)
        moment = now()
        while (moment := moment + random.exponential(1 / self.rate)) < self.deadline:
            while (wait := moment - now()) > 0:
                await asyncio.sleep(wait if wait > 0.002 else 0)
            if self.idle:
                self.idle.pop().send(moment)
            else:
                self.due.append(moment)

    def answered(self, client: Client, latency: float, good: bool) -> None:
        self.latencies.append(latency)
        self.errors += not good
        if self.due:
            client.send(self.due.popleft())
        elif not self.rate and now() < self.deadline:
            client.send(now())
        else:
            self.idle.append(client)


class Client(asyncio.Protocol):
    """One connection; a connection that ends is an error."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.asked: float | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.load.open += 1
        self.load.idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.load.open -= 1
        self.load.errors += 1
        if self in self.load.idle:
            self.load.idle.remove(self)

    def send(self, moment: float) -> None:
        self.asked = moment
        self.transport.write(self.load.payload)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        size = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(self.buffer) >= end + 4 + size and self.asked is not None:
            self.buffer = b""
            self.load.answered(self, now() - self.asked, head.startswith(b"http/1.1 200"))


def load_main(port: int, connections: int, seconds: float, rate: float, body_file: str) -> None:
    """Generate load from this process and print one JSON line: requests, errors and latencies in milliseconds."""
    import uvloop

    load = Load(Path(body_file).read_bytes(), seconds, rate)
    elapsed = uvloop.run(load.run(port, connections))
    p50, p99 = np.percentile(load.latencies, [50, 99]) * 1000
    count = len(load.latencies)
    print(json.dumps({"rate": count / elapsed, "p50": p50, "p99": p99, "errors": load.errors, "count": count}))


def load_grpc_main(port: int, connections: int, seconds: float, body_file: str) -> None:
    """Generate load over gRPC, each caller on its turn, and print the same line."""
    import grpc.aio

    body = Path(body_file).read_bytes()
    latencies: list[float] = []
    errors = 0

    async def caller(call: Any, deadline: float) -> None:
        nonlocal errors
        while (began := now()) < deadline:
            try:
                await call(body)
            except grpc.aio.AioRpcError:
                errors += 1
            latencies.append(now() - began)

    async def run() -> float:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            await call(body)
            started = now()
            await asyncio.gather(*(caller(call, started + seconds) for _ in range(connections)))
            return now() - started

    elapsed = asyncio.run(run())
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    count = len(latencies)
    print(json.dumps({"rate": count / elapsed, "p50": p50, "p99": p99, "errors": errors, "count": count}))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def pinned(processor: int, command: list[str], **options: Any) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, text=True, **options)
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(process.pid, {processor % (os.cpu_count() or 1)})
    return process


def unpinned(pid: int) -> bool:
    """Let every thread of a process and of what it started run anywhere; False where they were never held."""
    with suppress(AttributeError, OSError, ValueError):
        every = range(os.cpu_count() or 1)
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), every)
            for child in (task / "children").read_text(encoding="utf-8").split():
                os.sched_setaffinity(int(child), every)
        return len(every) > 1
    return False


@contextmanager
def server(command: list[str], port: int) -> Any:
    process = pinned(0, command)
    for _ in range(2400):
        with suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=1).close()
            break
        time.sleep(0.05)
    else:
        process.kill()
        raise SystemExit("the server did not start")
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def memory(pid: int) -> tuple[float, float]:
    """Return resident and proportional memory in MiB, nan where the system does not say."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        found = {line.split(":")[0]: float(line.split()[1]) / 1024 for line in lines[1:] if line.endswith("kB")}
        return found["Rss"], found["Pss"]
    return float("nan"), float("nan")


def processor_seconds(pid: int) -> float:
    """Return the processor time of a process, nan where the system does not say."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return float("nan")


def loaded(port: int, connections: int, seconds: float, rate: float, body: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--load", str(port), str(connections), str(seconds), str(rate), str(body)]
    return pinned(1, command, stdout=subprocess.PIPE)


def measure_grpc(name: str, port: int, pid: int, seconds: float, body: Path) -> dict[int, dict[str, float]]:
    """Measure calls over gRPC as requests are measured, but for the open loop."""
    results = {}
    for connections in (1, 16, 64):
        before = processor_seconds(pid)
        command = [sys.executable, __file__, "--load-grpc", str(port), str(connections), str(seconds), str(body)]
        r = json.loads(pinned(1, command, stdout=subprocess.PIPE).communicate()[0])
        r["cpu"] = (processor_seconds(pid) - before) / r["count"] * 1e6
        results[connections] = r
        line = f"{name:32} {connections:>4} {r['rate']:10.0f} {r['p50']:9.2f} {r['p99']:9.2f} {r['cpu']:8.0f}"
        print(f"{line} {r['errors']:7}", flush=True)
    return results


def measure(name: str, port: int, pid: int, seconds: float, body: Path) -> dict[int, dict[str, float]]:
    results = {}
    for connections, rate in ((1, 0.0), (16, 0.0), (64, 0.0), (64, OPEN_RATE)):
        before = processor_seconds(pid)
        out, _ = loaded(port, connections, seconds, rate, body).communicate()
        r = json.loads(out)
        r["cpu"] = (processor_seconds(pid) - before) / r["count"] * 1e6
        if not rate:
            results[connections] = r
        shown = "open" if rate else str(connections)
        line = f"{name:32} {shown:>4} {r['rate']:10.0f} {r['p50']:9.2f} {r['p99']:9.2f} {r['cpu']:8.0f}"
        print(f"{line} {r['errors']:7}", flush=True)
    rss, pss = memory(pid)
    print(f"{name:32} memory RSS {rss:.0f} MiB, PSS {pss:.0f} MiB", flush=True)
    results[0] = {"rss": rss, "pss": pss}
    return results


def swap(port: int, tables: list[dict[str, Any]], runtime: Path, seconds: float, body: Path) -> None:
    """Replace the release four times under load, and say what was lost."""
    from serving.served_models import write_table

    status = f"http://127.0.0.1:{port}/modelops/status"
    process = loaded(port, 16, seconds + 4, 0.0, body)
    for turn in (1, 0, 1, 0):
        time.sleep(seconds / 4)
        write_table(runtime / "routes.json", tables[turn])
        wanted = tables[turn]["fraud"]["arms"][0]["release"]
        for _ in range(400):
            time.sleep(0.02)
            with urllib.request.urlopen(status, timeout=10) as answer:
                if [arm["release"] for arm in json.load(answer)["arms"]] == [wanted]:
                    break
        else:
            raise SystemExit("a table was not taken up")
    r = json.loads(process.communicate()[0])
    print(f"  four swaps under load: {r['count']} answers, {r['errors']} lost, p99 {r['p99']:.2f} ms", flush=True)


def beside(port: int, seconds: float, body: Path, rows: list[float], where: str) -> None:
    """Say what becomes of requests of one row while another caller sends batches, one behind the other."""
    from serving.served_models import tensor

    def single() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(loaded(port, 1, seconds * 2, 0.0, body).communicate()[0])
        return found

    count = 10_000
    shape = [count, FEATURES]
    batch = json.dumps({"inputs": [tensor("features", "FP64", (rows * count)[: count * FEATURES], shape)]})
    data, url = batch.encode(), f"http://127.0.0.1:{port}/v2/models/fraud/infer"
    alone = single()
    stop, sent = threading.Event(), []

    def send() -> None:
        while not stop.is_set():
            try:
                with urllib.request.urlopen(urllib.request.Request(url, data), timeout=60) as answer:
                    sent.append(answer.status)
            except urllib.error.HTTPError as error:
                sent.append(error.code)
                error.close()
                time.sleep(0.1)

    sender = threading.Thread(target=send)
    sender.start()
    crowded = single()
    stop.set()
    sender.join()
    print(
        f"  single rows, server on {where}: p99 {alone['p99']:.2f} ms alone, {crowded['p99']:.2f} ms beside batches of "
        f"{count} rows ({crowded['p99'] - alone['p99']:+.2f} ms; {sent.count(200)} of {len(sent)} answered), "
        f"p50 {alone['p50']:.2f} and {crowded['p50']:.2f}",
        flush=True,
    )


def prepare(folder: Path) -> tuple[list[str], dict[str, Path]]:
    """Train and store two releases, write the first one's skops file and the two request bodies."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

    from modelops.artifacts import open_artifact
    from serving.served_models import open_store, pack_model, tensor

    features, target = make_classification(5000, FEATURES, n_informative=12, random_state=0)
    rows = {f"f{i}": features[:, i].tolist() for i in range(FEATURES)}
    signature = {
        "model": "fraud",
        "task": "binary-classification",
        "features": [(name, "number", False) for name in rows],
        "classes": (0, 1),
        "positive": 1,
    }
    store = open_store(folder / "store")
    digests = []
    for seed in (0, 1):
        estimator = GradientBoostingClassifier(n_estimators=100, max_depth=3, subsample=0.9, random_state=seed)
        digests.append(pack_model(store, estimator, rows, target, dict(signature)))
    (folder / "model.skops").write_bytes(open_artifact(store, digests[0]).files["models/model.skops"])
    row = features[0].tolist()
    bodies = {
        "matrix": {"inputs": [tensor("features", "FP64", row, [1, FEATURES])]},
        "columns": {"inputs": [tensor(name, "FP64", [value]) for name, value in zip(rows, row, strict=True)]},
    }
    paths = {}
    for name, content in bodies.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    paths["message"] = folder / "message.bin"
    paths["message"].write_bytes(message_of(row))
    return digests, paths


def message_of(row: list[float]) -> bytes:
    """Return the same request as a message of gRPC with raw contents."""
    from modelops.serving.rpc.messages import message

    asked = message("inference.ModelInferRequest")(model_name="fraud")
    asked.inputs.add(name="features", datatype="FP64", shape=[1, len(row)])
    asked.raw_input_contents.append(np.array(row, "<f8").tobytes())
    body: bytes = asked.SerializeToString()
    return body


def compare(found: dict[int, dict[str, float]], others: dict[str, dict[int, dict[str, float]]]) -> None:
    for title, other in others.items():
        ratios = ", ".join(f"{found[c]['rate'] / other[c]['rate']:.2f} at {c}" for c in (1, 16, 64))
        cpu, size = found[16]["cpu"] / other[16]["cpu"], found[0]["rss"] / other[0]["rss"]
        print(f"  its share of {title}: requests/s {ratios}; CPU {cpu:.2f}; memory {size:.2f}", flush=True)


def main(seconds: float, mlserver: str | None) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from serving.served_models import route, write_table

    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        digests, bodies = prepare(folder)
        print(f"{'server':32} {'conn':>4} {'req/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'CPU us':>8} {'errors':>7}")
        others = {"uvicorn, empty answer": (sys.executable, HELLO), "FastAPI + scikit-learn": (sys.executable, FASTAPI)}
        if mlserver:
            others["MLServer + scikit-learn"] = (mlserver, MLSERVER)
        results = {}
        for title, (python, script) in others.items():
            (folder / "other.py").write_text(script, encoding="utf-8")
            port = free_port()
            with server([python, str(folder / "other.py"), str(folder / "model.skops"), str(port)], port) as process:
                results[title] = measure(title, port, process.pid, seconds, bodies["matrix"])
        for mode in MODES:
            runtime = folder / mode
            tables = [{"fraud": route(("stable", n, digest, 1.0), log=mode)} for n, digest in enumerate(digests, 1)]
            write_table(runtime / "routes.json", tables[0])
            port, grpc_port = free_port(), free_port()
            command = [
                sys.executable, "-m", "modelops", "serve", "bench", "--port", str(port), "--runtime", str(runtime),
                "--store", str(folder / "store"), "--grpc-port", str(grpc_port),
            ]  # fmt: skip
            with server(command, port) as process:
                found = measure(f"modelops, log {mode}", port, process.pid, seconds, bodies["matrix"])
                if mode == "buffered":
                    measure("modelops, log buffered, columns", port, process.pid, seconds, bodies["columns"])
                title, message = f"modelops, log {mode}, gRPC", bodies["message"]
                calls = measure_grpc(title, grpc_port, process.pid, seconds, message)
                ratios = ", ".join(f"{calls[c]['cpu'] / found[c]['cpu']:.2f} at {c}" for c in (1, 16, 64))
                print(f"  CPU over gRPC in times that over HTTP: {ratios}", flush=True)
                swap(port, tables, runtime, seconds, bodies["matrix"])
                row = np.random.default_rng(0).normal(size=FEATURES).tolist()
                beside(port, seconds, bodies["matrix"], row, "one processor")
                if unpinned(process.pid):
                    beside(port, seconds, bodies["matrix"], row, "all processors")
            compare(found, results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--mlserver", metavar="PYTHON")
    parser.add_argument("--load", nargs=5, metavar=("PORT", "CONNECTIONS", "SECONDS", "RATE", "BODY"))
    parser.add_argument("--load-grpc", nargs=4, metavar=("PORT", "CONNECTIONS", "SECONDS", "BODY"))
    options = parser.parse_args()
    if options.load_grpc:
        port_text, connections_text, seconds_text, body_path = options.load_grpc
        load_grpc_main(int(port_text), int(connections_text), float(seconds_text), body_path)
    elif options.load:
        port_text, connections_text, seconds_text, rate_text, body_path = options.load
        load_main(int(port_text), int(connections_text), float(seconds_text), float(rate_text), body_path)
    else:
        main(options.seconds, options.mlserver)
