"""Hashing one 2 GB file and 20,000 files of 50 KB beside plain sha256, and the no-op over the 20,000.

Plain is hashlib.file_digest over the same files in the same process, caches warm, turns taken, best of three.
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
from modelops.spec.data import Source

ROUNDS = 3


def timed(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


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
    noop = min(timed(lambda: data.pin(source, place)) for _ in range(ROUNDS))
    ratio = min(ours) / min(theirs)
    size = sum(path.stat().st_size for path in folder.iterdir()) / 1e9
    print(f"{name}: {size:.2f} GB, plain sha256 {min(theirs):.2f} s, snapshot {min(ours):.2f} s,", end=" ")
    print(f"{ratio:.2f} times (limit 1.3); no-op {noop:.3f} s")
    return ratio <= 1.3 and noop <= 0.35


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
