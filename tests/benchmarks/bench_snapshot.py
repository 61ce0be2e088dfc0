"""Hashing one 2 GB file and 20,000 files of 50 KB beside plain sha256, and the no-op over the 20,000.

Plain is hashlib.file_digest over the same files in the same process, caches warm, turns taken, best of three. All runs
on one thread without waiting, so CPU seconds are what an idle machine takes by the wall clock; they are held against
the limits, since other work on the machine does not change them.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from modelops import data
from modelops.spec.kinds.data_snapshot import Source

ROUNDS = 3


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Return CPU seconds and wall seconds."""
    began, used = time.perf_counter(), time.process_time()
    function()
    return time.process_time() - used, time.perf_counter() - began


def bare_walk(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.stat().st_size for entry in entries)


def plain(folder: Path) -> list[str]:
    digests = []
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests


def compare(name: str, folder: Path, root: Path) -> bool:
    source = Source(type="files", location=folder.name, owner="bench")
    cache = root / "cache"
    place = data.Place(root, root, cache)
    ours, theirs = [], []
    for _ in range(ROUNDS):
        theirs.append(timed(lambda: plain(folder)))
        shutil.rmtree(cache, ignore_errors=True)
        ours.append(timed(lambda: data.pin(source, place)))
    time.sleep(0.1)
    noop = min(timed(lambda: data.pin(source, place)) for _ in range(2 * ROUNDS))
    walk = min(timed(lambda: bare_walk(folder)) for _ in range(2 * ROUNDS))
    ratio = min(ours)[0] / min(theirs)[0]
    print(f"{name}, {bare_walk(folder) / 1e9:.2f} GB: CPU seconds (wall seconds)")
    for what, (cpu, wall) in (
        ("plain sha256", min(theirs)),
        ("snapshot", min(ours)),
        ("walk + stat", walk),
        ("no-op", noop),
    ):
        print(f"  {what:13} {cpu:.3f} ({wall:.3f})")
    print(f"  {ratio:.2f} times plain (limit 1.3), no-op {noop[0]:.3f} s (limit 0.35)")
    return ratio <= 1.3 and noop[0] <= 0.35


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full sizes, for a quick look")
    scale = parser.parse_args().scale
    with tempfile.TemporaryDirectory(prefix="bench-snapshot-") as name:
        root = Path(name)
        block = os.urandom(1 << 20)
        (root / "large").mkdir()
        with (root / "large" / "one.csv").open("wb") as file:
            for index in range(int(2000 * scale)):
                file.write(index.to_bytes(8, "big") + block[8:])
        (root / "many").mkdir()
        for index in range(int(20_000 * scale)):
            (root / "many" / f"{index:05}.csv").write_bytes(index.to_bytes(8, "big") + block[8:50_000])
        time.sleep(0.1)
        met = [compare("one large file", root / "large", root), compare("many small files", root / "many", root)]
        print("within the limits" if all(met) else "OUTSIDE the limits")
        sys.exit(not all(met))


if __name__ == "__main__":
    main()
