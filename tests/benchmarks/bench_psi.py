"""PSI of 1,000,000 rows x 60 columns beside a pandas version of the same, both from one Parquet file.

The pandas version is written as its users would write it well: only the column that is scored is read, numbers are cut
at the same precomputed edges, categories are counted with value_counts. Both run in a process of their own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

NUMBERS, CATEGORIES, REFERENCE_ROWS = 45, 15, 100_000


def batch(rng: np.random.Generator, n: int, shift: float) -> pa.RecordBatch:
    columns = {f"x{index:02}": pa.array(rng.normal(shift * (index % 5 == 0), 1, n)) for index in range(NUMBERS)}
    names = np.array([f"value-{index}" for index in range(20)])
    for index in range(CATEGORIES):
        columns[f"c{index:02}"] = pa.array(names[rng.integers(0, 12 + (index % 5 == 0) * 8, n)])
    return pa.RecordBatch.from_pydict(columns)


def write(path: Path, rows: int, seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    done, writer = 0, None
    while done < rows:
        part = batch(rng, min(100_000, rows - done), shift)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_batch(part)
        done += part.num_rows
    assert writer is not None
    writer.close()


def ours(reference: Path, window: Path) -> tuple[float, float, dict[str, float]]:
    from modelops import summaries
    from modelops.drift import psi

    params = psi.Params()
    began = time.perf_counter()
    table = pq.read_table(reference, pre_buffer=False)
    profile = {
        name: psi.fit(params, summaries.summarise(table.column(name), "category" if name.startswith("c") else "number"))
        for name in table.column_names
    }
    del table
    fitted = time.perf_counter()
    counted = {}
    words = [name for name in profile if name.startswith("c")]
    with pq.ParquetFile(window, read_dictionary=words, pre_buffer=False) as file:
        for part in file.iter_batches(batch_size=1 << 16):
            for name, sketch in profile.items():
                found = psi.count(sketch, pa.chunked_array([part.column(name)]))
                counted[name] = psi.merge(counted[name], found) if name in counted else found
    scores = {name: psi.score(params, profile[name], counted[name], params.significance).value for name in profile}
    return fitted - began, time.perf_counter() - fitted, scores


def pandas_version(reference: Path, window: Path) -> tuple[float, float, dict[str, float]]:
    import pandas as pd

    began = time.perf_counter()
    names = pq.read_schema(reference).names
    edges, expected = {}, {}
    for name in names:
        column = pd.read_parquet(reference, columns=[name])[name]
        if name.startswith("c"):
            expected[name] = column.value_counts(normalize=True)
        else:
            inner = column.quantile(np.arange(1, 10) / 10).to_numpy()
            edges[name] = np.array([-np.inf, *inner, np.inf])
            expected[name] = pd.cut(column, edges[name], labels=False).value_counts(normalize=True)
    fitted = time.perf_counter()
    scores = {}
    for name in names:
        column = pd.read_parquet(window, columns=[name])[name]
        values = column if name.startswith("c") else pd.cut(column, edges[name], labels=False)
        both = pd.concat([expected[name], values.value_counts(normalize=True)], axis=1, keys=["p", "q"])
        both = both.fillna(0.0).clip(lower=1e-4)
        scores[name] = float(((both["q"] - both["p"]) * np.log(both["q"] / both["p"])).sum())
    return fitted - began, time.perf_counter() - fitted, scores


def run(which: str, folder: Path) -> dict[str, object]:
    command = [sys.executable, __file__, "--only", which, "--folder", str(folder)]
    answer: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=["ours", "pandas"])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.only:
        function = ours if options.only == "ours" else pandas_version
        fit, score, scores = function(options.folder / "reference.parquet", options.folder / "window.parquet")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"fit": fit, "score": score, "scores": scores, "mib": peak}))
        return
    with tempfile.TemporaryDirectory(prefix="bench-psi-") as name:
        folder = Path(name)
        write(folder / "reference.parquet", REFERENCE_ROWS, 0, 0.0)
        write(folder / "window.parquet", options.rows, 1, 0.5)
        best: dict[str, dict[str, object]] = {}
        for _ in range(2):
            for which in ("pandas", "ours"):
                found = run(which, folder)
                if which not in best or found["score"] < best[which]["score"]:  # type: ignore[operator]
                    best[which] = found
        theirs, own = best["pandas"], best["ours"]
        gap = max(abs(theirs["scores"][key] - own["scores"][key]) for key in own["scores"])  # type: ignore[index]
        print(f"PSI of {options.rows:,} rows x {NUMBERS + CATEGORIES} columns, from Parquet, best of 2")
        for which, found in best.items():
            print(f"  {which:7} fit {found['fit']:.2f} s, score {found['score']:.2f} s, peak {found['mib']:.0f} MiB")
        ratio = theirs["score"] / own["score"]  # type: ignore[operator]
        print(f"  {ratio:.1f} times as fast (limit 3), scores at most {gap:.4f} apart")
        met = ratio >= 3 and own["mib"] < 500  # type: ignore[operator]
        print("  within the limits" if met else "  OUTSIDE the limits")
        sys.exit(not met)


if __name__ == "__main__":
    main()
