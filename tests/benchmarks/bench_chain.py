"""What chaining costs: processor time per logged row beside the same writer without links, and of going through a log.

Both write the same rows in turn, in transactions of one size, several times; the least of each counts. Run it with
``python tests/benchmarks/bench_chain.py [--rows 40000] [--batch 64]``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import orjson

from modelops.predictions import Row, writer
from modelops.predictions.chain import answer_digest, link
from modelops.predictions.verify import examine_file, grown
from modelops.predictions.writer import SEGMENT_BYTES, Writer

FEATURES = orjson.dumps({f"feature_{i}": i * 1.2345678 for i in range(30)})
ROUNDS = 5


def rows(count: int, of: int) -> list[Row]:
    now = 1.7e9
    return [
        Row(
            f"{int(now * 1000):012x}{of:04x}{number:016x}", now, "fraud", 1, "stable", 1, "0123456789abcdef",
            f"customer-{number % 10_000}", FEATURES, 0.25, "0", 200, 0.4,
        )
        for number in range(count)
    ]  # fmt: skip


def written(folder: Path, made: Sequence[Row], batch: int) -> float:
    """Write rows and return the processor seconds that it took."""
    files = Writer(folder, SEGMENT_BYTES)
    before = time.process_time()
    for start in range(0, len(made), batch):
        files.insert(made[start : start + batch], ())
    spent = time.process_time() - before
    files.close()
    return spent


def without_links(work: Callable[[], float]) -> float:
    """Measure the writer with hashing taken out; the links that it stores are all the same."""
    nothing = bytes(32)
    writer.answer_digest, writer.link = (lambda *_: nothing), (lambda *_: nothing)  # type: ignore[assignment]
    try:
        return work()
    finally:
        writer.answer_digest, writer.link = answer_digest, link  # type: ignore[assignment]


def main(count: int, batch: int) -> None:
    plain, chained = [], []
    with tempfile.TemporaryDirectory() as name:
        for at in range(ROUNDS):
            made = rows(count, at)
            plain.append(without_links(lambda: written(Path(name) / f"plain-{at}", made, batch)))  # noqa: B023
            chained.append(written(Path(name) / f"chained-{at}", made, batch))
        bare, with_links = min(plain) / count * 1e6, min(chained) / count * 1e6
        print(
            f"rows in transactions of {batch}: {bare:.2f} us CPU per row without hashes, {with_links:.2f} with them: "
            f"{with_links - bare:.2f} us, {with_links / bare:.2f} times"
        )
        (file,) = (Path(name) / "chained-0").glob("*.sqlite")
        before = time.process_time()
        found = examine_file(file)
        print(f"going through: {(time.process_time() - before) / found.rows * 1e6:.2f} us CPU per row")
        before = time.process_time()
        grown(file, found.mark)
        print(f"looking whether a file has grown: {(time.process_time() - before) * 1e3:.2f} ms")
        print(f"bytes per row: {file.stat().st_size / count:.0f}, {32 / file.stat().st_size * count:.1%} of them links")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    main(options.rows, options.batch)
