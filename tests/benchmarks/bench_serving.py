"""Requests per second, latency and memory of the server beside a FastAPI server of the same scikit-learn model.

Each server and the load generator are processes of their own; on Linux with two processors the server is pinned to the
first and the generator to the second. Run it with ``python tests/benchmarks/bench_serving.py [--seconds 2]``.
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
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

FEATURES = 30
MODES = ("off", "buffered", "acknowledged")

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


def load_main(url_port: int, connections: int, seconds: float, body_file: str) -> None:
    """Generate load from this process and print one JSON line: requests, errors and latencies in milliseconds."""
    import uvloop

    body = Path(body_file).read_bytes()
    head = "POST /v2/models/fraud/infer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    payload = f"{head}{len(body)}\r\n\r\n".encode() + body
    latencies: list[float] = []
    errors = [0]
    now = time.perf_counter

    class Client(asyncio.Protocol):
        deadline = 0.0

        def connection_made(self, transport: Any) -> None:
            self.transport = transport
            self.buffer = b""
            self.sent = now()
            transport.write(payload)

        def data_received(self, data: bytes) -> None:
            self.buffer += data
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self.buffer[:end].lower()
            at = head.index(b"content-length:") + 15
            size = int(head[at : head.find(b"\r\n", at) if b"\r\n" in head[at:] else len(head)])
            if len(self.buffer) < end + 4 + size:
                return
            received = now()
            latencies.append(received - self.sent)
            errors[0] += not head.startswith(b"http/1.1 200")
            self.buffer = b""
            if received < Client.deadline:
                self.sent = now()
                self.transport.write(payload)
            else:
                self.transport.close()
                done.release()

    done = asyncio.Semaphore(0)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        Client.deadline = now() + seconds
        for _ in range(connections):
            await loop.create_connection(Client, "127.0.0.1", url_port)
        for _ in range(connections):
            await done.acquire()

    started = now()
    uvloop.run(run())
    elapsed = now() - started
    p50, p99 = np.percentile(latencies, [50, 99]) * 1000
    rate, count = len(latencies) / elapsed, len(latencies)
    print(json.dumps({"rate": rate, "p50": p50, "p99": p99, "errors": errors[0], "count": count}))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def pinned(processor: int, command: list[str], **options: Any) -> subprocess.Popen[str]:
    process = subprocess.Popen(command, text=True, **options)
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(process.pid, {processor % (os.cpu_count() or 1)})
    return process


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


def measure(name: str, port: int, pid: int, seconds: float, body: Path) -> dict[int, dict[str, float]]:
    results = {}
    for connections in (1, 16, 64):
        command = [sys.executable, __file__, "--load", str(port), str(connections), str(seconds), str(body)]
        before = processor_seconds(pid)
        out, _ = pinned(1, command, stdout=subprocess.PIPE).communicate()
        results[connections] = r = json.loads(out)
        r["cpu"] = (processor_seconds(pid) - before) / r["count"] * 1e6
        line = f"{name:32} {connections:4} {r['rate']:10.0f} {r['p50']:9.2f} {r['p99']:9.2f} {r['cpu']:8.0f}"
        print(f"{line} {r['errors']:7}", flush=True)
    rss, pss = memory(pid)
    print(f"{name:32} memory RSS {rss:.0f} MiB, PSS {pss:.0f} MiB", flush=True)
    results[0] = {"rss": rss, "pss": pss}
    return results


def prepare(folder: Path) -> tuple[Any, str, dict[str, Path]]:
    """Train and store the model, write its skops file and the two request bodies."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

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
    estimator = GradientBoostingClassifier(n_estimators=100, max_depth=3, random_state=0)
    store = open_store(folder / "store")
    digest = pack_model(store, estimator, rows, target, signature)
    from modelops.artifacts import open_artifact

    (folder / "model.skops").write_bytes(open_artifact(store, digest).files["models/model.skops"])
    row = features[0].tolist()
    bodies = {
        "matrix": {"inputs": [tensor("features", "FP64", row, [1, FEATURES])]},
        "columns": {"inputs": [tensor(name, "FP64", [value]) for name, value in zip(rows, row, strict=True)]},
    }
    paths = {}
    for name, content in bodies.items():
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")
    return store, digest, paths


def main(seconds: float) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from serving.served_models import route, write_table

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, digest, bodies = prepare(folder)
        (folder / "baseline.py").write_text(FASTAPI, encoding="utf-8")
        print(f"{'server':32} {'conn':>4} {'req/s':>10} {'p50 ms':>9} {'p99 ms':>9} {'CPU us':>8} {'errors':>7}")
        port = free_port()
        baseline_command = [sys.executable, str(folder / "baseline.py"), str(folder / "model.skops"), str(port)]
        with server(baseline_command, port) as process:
            baseline = measure("FastAPI + scikit-learn", port, process.pid, seconds, bodies["matrix"])
        for mode in MODES:
            runtime = folder / mode
            write_table(runtime / "routes.json", {"fraud": route(("stable", 1, digest, 1.0), log=mode)})
            port = free_port()
            command = [
                sys.executable, "-m", "modelops", "serve", "bench", "--port", str(port), "--runtime", str(runtime),
                "--store", str(folder / "store"),
            ]  # fmt: skip
            with server(command, port) as process:
                found = measure(f"modelops, log {mode}", port, process.pid, seconds, bodies["matrix"])
                if mode == "buffered":
                    measure("modelops, log buffered, columns", port, process.pid, seconds, bodies["columns"])
            ratios = ", ".join(f"{c}: {found[c]['rate'] / baseline[c]['rate']:.1f}x" for c in (1, 16, 64))
            share = found[0]["rss"] / baseline[0]["rss"]
            cost = baseline[16]["cpu"] / found[16]["cpu"]
            print(f"  FastAPI's rate times, by connections {ratios}; CPU 1/{cost:.1f}; memory {share:.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--load", nargs=4, metavar=("PORT", "CONNECTIONS", "SECONDS", "BODY"))
    options = parser.parse_args()
    if options.load:
        port_text, connections_text, seconds_text, body_path = options.load
        load_main(int(port_text), int(connections_text), float(seconds_text), body_path)
    else:
        main(options.seconds)
