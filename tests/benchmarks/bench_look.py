"""What a look at a window costs, in processor time: a quiet one, one like a stretch of the snapshot, and one like none.

Each is scored from the log's rows as ``modelops monitor`` does, and parts the snapshot's rows anew. Run as
``python tests/benchmarks/bench_look.py [COLUMNS ...]``; the least of three runs counts.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pyarrow as pa
from monitor_worlds import DAY, START, Traffic, Trained, spec, training, window

from modelops import monitoring
from modelops.spec.kinds.monitor import MonitorSpec


def flat(day: float) -> float:
    return 0.0


def weekend(day: float) -> float:
    return 1.5 * (int(day) % 7 in (5, 6))


def far(day: float) -> float:
    return 9.0


def look(stable: Trained, table: pa.Table, day: int) -> tuple[float, str]:
    """Return the seconds of a look at the rows of a day, and what it came to."""
    until, took = START + (day + 1) * DAY, []
    for _ in range(3):
        began = time.process_time()
        report = monitoring.score_window(
            MonitorSpec(window_days=1), stable.model, stable.profile, None, table, since=until - DAY, until=until,
            columns=stable.snapshot.columns, release=1,
            stretches=lambda: monitoring.stretches(stable.rows, stable.snapshot, stable.model, DAY, 200),
        )  # fmt: skip
        took.append(time.process_time() - began)
    return min(took), f"{report.level}, like {report.like}" if report.like else report.level


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("columns", nargs="*", type=int, default=[10, 60, 300])
    cases = {"quiet": (flat, flat, 3), "known": (weekend, weekend, 4), "new": (weekend, far, 9)}
    for columns in parser.parse_args().columns:
        for name, (before, now, day) in cases.items():
            traffic = Traffic(np.random.default_rng(1), before, columns, 0)
            parts = [traffic.drawn(-day, 250) for day in range(60, 0, -1)]
            stable = Trained(spec(parts[0][0]), pa.concat_tables([training(*part) for part in parts]))
            traffic.mean = now
            took, said = look(stable, window(*traffic.drawn(day, 500), truth=["0"] * 500), day)
            print(f"{columns:4} columns, {name:6} {took * 1000:8.0f} ms  {said}", flush=True)


if __name__ == "__main__":
    main()
