"""What a look at the error budgets costs by the length of the history: the first look, and one that finds all kept.

A real log of 1, 3, 30 and 90 whole days is written, each day with as many answers and labels; a look is what `modelops
monitor` does for its objectives, beside one that reads all rows of the period. Run as
``python tests/benchmarks/bench_history.py [ROWS A DAY]``; the least of three runs counts, in processor time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from modelops.logs.folder import Folder
from modelops.monitoring.objectives import COLUMNS, Budget, budgets, count, hours_of
from modelops.predictions import PredictionLog, Row
from modelops.spec.kinds.monitor import LatencyObjective, Objective, Objectives, QualityObjective
from monitoring.windows import NOW, model


def written(folder: Path, days: int, rows: int) -> Folder:
    """Write a log of whole days."""
    rng = np.random.default_rng(days)
    with PredictionLog(folder, capacity=2_000_000) as log:
        for day in range(days, 0, -1):
            begin = (NOW - timedelta(days=day)).timestamp()
            scores, spent = rng.random(rows), rng.exponential(10, rows)
            times = np.sort(rng.uniform(begin, begin + 86_399, rows)).tolist()
            answers = [
                Row(
                    f"p{day}-{at}", times[at], "churn", 1, "stable", 0, "", f"c{at}", "{}", float(scores[at]),
                    str(int(scores[at] > 0.5)), 200, float(spent[at]),
                )
                for at in range(rows)
            ]  # fmt: skip
            for start in range(0, rows, 20_000):
                log.write(answers[start : start + 20_000])
    for file in folder.iterdir():
        past = file.stat().st_mtime - 60
        os.utime(file, (past, past))
    return Folder(folder)


def least(look: Callable[[], object], runs: int = 3) -> float:
    took = []
    for _ in range(runs):
        began = time.process_time()
        look()
        took.append(time.process_time() - began)
    return min(took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="?", type=int, default=20_000)
    rows = parser.parse_args().rows
    asked = Objectives(
        period_days=90, availability=Objective(target=0.99), latency=LatencyObjective(target=0.9),
        quality=QualityObjective(target=0.8),
    )  # fmt: skip
    since, base = NOW - timedelta(days=90), 0.0
    for days in (1, 3, 30, 90):
        with tempfile.TemporaryDirectory() as folder:
            log, runtime = written(Path(folder) / "predictions", days, rows), Path(folder)

            def read(begin: datetime, end: datetime, log: Folder = log) -> pa.Table:
                return log.window("churn", begin, end, columns=COLUMNS)

            def look(log: Folder = log, runtime: Path = runtime) -> tuple[Budget, ...]:
                hours = hours_of(runtime, "churn", log, asked, model(), since, NOW)
                return budgets(asked, model(), hours, read, (), None, NOW)

            def everything(log: Folder = log) -> tuple[Budget, ...]:
                hours = count(asked, model(), log.window("churn", since, NOW, columns=COLUMNS))
                return budgets(asked, model(), hours, read, (), None, NOW)

            first, whole = least(look, 1), least(everything, 1)
            assert look() == everything()
            kept = least(look)
            base = kept if days == 3 else base
            times = f"{kept / base:.2f} times that of 3 days" if base else "one day in the last three"
            print(
                f"{days:3} days of {rows:,} rows: first look {first * 1000:8.0f} ms, next look {kept * 1000:7.0f} ms "
                f"({times}), all rows read {whole * 1000:8.0f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
