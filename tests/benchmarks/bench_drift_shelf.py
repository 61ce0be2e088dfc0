"""PSI, Kolmogorov-Smirnov and Wasserstein of 1,000,000 rows x 60 numbers from one Parquet file, column by column.

Beside reading the file and sorting each column once, and beside pandas and scipy as their users write it. Each runs in
a process of its own, one after the other. References are summaries of 100,000 rows, made before the clock starts;
those of scipy are the rows themselves.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

REFERENCE_ROWS = 100_000


def write(path: Path, rows: int, columns: int, seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    done, writer = 0, None
    while done < rows:
        n = min(100_000, rows - done)
        part = pa.table({f"x{at:02}": rng.normal(shift * (at % 5 == 0), 1, n) for at in range(columns)})
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
        done += n
    assert writer is not None
    writer.close()


def sorting(reference: Path, window: Path) -> tuple[float, float]:
    began = time.perf_counter()
    total = 0.0
    with pq.ParquetFile(window, pre_buffer=False) as file:
        for name in file.schema_arrow.names:
            total += float(np.sort(file.read([name], use_threads=False).column(0).to_numpy())[0])
    return time.perf_counter() - began, total


def ours(reference: Path, window: Path) -> tuple[float, float]:
    from modelops import summaries
    from modelops.drift import kolmogorov_smirnov, psi, wasserstein

    table = pq.read_table(reference, pre_buffer=False)
    shelf = (psi, kolmogorov_smirnov, wasserstein)
    fitted = {
        name: [each.fit(each.Params(), summaries.summarise(table.column(name), "number")) for each in shelf]
        for name in table.column_names
    }
    del table
    began = time.perf_counter()
    total = 0.0
    with pq.ParquetFile(window, pre_buffer=False) as file:
        for name, sketches in fitted.items():
            values = file.read([name], use_threads=False).column(0)
            for each, sketch in zip(shelf, sketches, strict=True):
                total += each.score(each.Params(), sketch, each.count(sketch, values), 0.01).value
    return time.perf_counter() - began, total


def plain(reference: Path, window: Path) -> tuple[float, float]:
    import pandas as pd
    from scipy import stats

    before = pd.read_parquet(reference)
    edges = {name: np.quantile(before[name], np.linspace(0, 1, 11)[1:-1]) for name in before}
    began = time.perf_counter()
    total = 0.0
    for name, cuts in edges.items():
        first, second = before[name].to_numpy(), pd.read_parquet(window, columns=[name])[name].to_numpy()
        p, q = (np.bincount(np.searchsorted(cuts, side), minlength=10) / len(side) for side in (first, second))
        total += float(((q - p) * np.log(q / p)).sum()) + stats.ks_2samp(first, second, method="asymp").statistic
        total += stats.wasserstein_distance(first, second) / first.std()
    return time.perf_counter() - began, total


WAYS: dict[str, Callable[[Path, Path], tuple[float, float]]] = {"sorting": sorting, "ours": ours, "plain": plain}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=60)
    parser.add_argument("--only", nargs=3, metavar=("WAY", "REFERENCE", "WINDOW"))
    given = parser.parse_args()
    if given.only is not None:
        way, *paths = given.only
        seconds, total = WAYS[way](*map(Path, paths))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "total": total, "peakMiB": peak}))
        return
    with tempfile.TemporaryDirectory() as folder:
        reference, window = Path(folder, "reference.parquet"), Path(folder, "window.parquet")
        write(reference, REFERENCE_ROWS, given.columns, 0, 0.0)
        write(window, given.rows, given.columns, 1, 0.3)
        found = {}
        for way in WAYS:
            command = [sys.executable, __file__, "--only", way, str(reference), str(window)]
            runs = [json.loads(subprocess.run(command, check=True, capture_output=True).stdout) for _ in range(3)]
            found[way] = min(runs, key=lambda run: run["seconds"])
    least = found["sorting"]["seconds"]
    for way, run in found.items():
        print(f"{way:8} {run['seconds']:7.2f} s  {run['seconds'] / least:5.2f} x  {run['peakMiB']:6.0f} MiB")
    assert abs(found["ours"]["total"] / found["plain"]["total"] - 1) < 0.05, "the two measure different things"


if __name__ == "__main__":
    main()
