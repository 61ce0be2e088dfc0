"""What a logged row costs: processor time of all threads per row, for each way of writing one, and of reading them.

Rows arrive on a running event loop at a fixed rate, as they do in a server; the cost of an idle loop that does all but
log is taken off. Run it with ``python tests/benchmarks/bench_predictions.py [--rows 40000]``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from modelops.predictions import PredictionLog, Row, arm_rows, find, read_window

FEATURES = {f"feature_{i}": i * 1.2345678 for i in range(30)}
_RATES = (5_000, 20_000)


def make_row(number: int, now: float) -> Row:
    id = f"{int(now * 1000):012x}{os.urandom(10).hex()}"
    features = orjson.dumps(FEATURES)
    entity = f"customer-{number % 10_000}"
    return Row(id, now, "fraud", 1, "stable", 1, "0123456789abcdef", entity, features, 0.25, "0", 200, 0.4)


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def arrive(rows: int, rate: float, take: Callable[[Row], object]) -> float:
    """Make rows at a rate, one tick of the loop each millisecond, and return the processor seconds spent."""
    loop = asyncio.get_running_loop()
    before, began, made = processor_seconds(), loop.time(), 0
    while made < rows:
        due = min(rows, int((loop.time() - began) * rate) + 1)
        for number in range(made, due):
            take(make_row(number, time.time()))
        made = due
        await asyncio.sleep(0.001)
    return processor_seconds() - before


def buffered(folder: Path, rows: int) -> None:
    for rate in _RATES:
        idle = asyncio.run(arrive(rows, rate, lambda row: None))
        before = processor_seconds()
        with PredictionLog(folder / f"buffered-{rate}") as log:
            asyncio.run(arrive(rows, rate, log.append))
        spent = processor_seconds() - before
        print(
            f"buffered, {rate} rows/s: {(spent - idle) / rows * 1e6:.1f} us CPU per row "
            f"(making it: {idle / rows * 1e6:.1f}), {log.stats.commits} commits"
        )


def acknowledged(folder: Path, rows: int) -> None:
    async def client(log: PredictionLog, count: int) -> None:
        for number in range(count):
            await log.append_acknowledged([make_row(number, time.time())])

    async def clients(log: PredictionLog) -> None:
        await asyncio.gather(*(client(log, rows // 16) for _ in range(16)))

    with PredictionLog(folder / "acknowledged") as log:
        before, began = processor_seconds(), time.perf_counter()
        asyncio.run(clients(log))
        spent, seconds = processor_seconds() - before, time.perf_counter() - began
    print(f"acknowledged, 16 clients: {spent / rows * 1e6:.1f} us CPU per row, {rows / seconds:.0f} rows/s")


def reading(folder: Path, rows: int) -> None:
    path = folder / "read"
    made = [make_row(number, 1.7e9 + number / 100) for number in range(rows)]
    with PredictionLog(path, capacity=rows) as log:
        before = processor_seconds()
        log.write(made)
        print(f"in bulk: {(processor_seconds() - before) / rows * 1e6:.1f} us CPU per row")
        before = processor_seconds()
        log.feedback([(row.id, "1", 1.8e9, "fraud") for row in made[::4]])
        print(f"labels in bulk: {(processor_seconds() - before) / (rows / 4) * 1e6:.1f} us CPU per label")
    for name, read in (
        ("arm_rows", lambda: arm_rows(path, "fraud", "0123456789abcdef", objective_ms=50)),
        ("read_window", lambda: read_window(path, "fraud")),
        ("read_window, labelled", lambda: read_window(path, "fraud", labelled=True)),
    ):
        before = processor_seconds()
        read()
        print(f"{name}: {(processor_seconds() - before) / rows * 1e6:.2f} us CPU per row of the log")
    before = time.perf_counter()
    find(path, made[0].id)
    print(f"find: {(time.perf_counter() - before) * 1e3:.2f} ms")


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        for part in (buffered, acknowledged, reading):
            part(Path(name), rows)
        shutil.rmtree(name, ignore_errors=True)
        Path(name).mkdir()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=40_000)
    main(parser.parse_args().rows)
