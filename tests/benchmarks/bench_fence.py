"""What the fence costs: a command that does nothing, and the fork that trains, with and without what closes around it.

Run it alone: ``python tests/benchmarks/bench_fence.py``. Processor time counts the guard and everything below it.
"""

from __future__ import annotations

import importlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from modelops.fence import Bounds, Terms
from modelops.fence.bounds import MEANS, Means
from modelops.fence.guard import start
from modelops.fence.program import run_program

ROUNDS = 21
ARGUMENTS = [sys.executable, "-S", "-E", "-c", "pass"]
WAYS: dict[str, tuple[Means, ...]] = {
    "everything": (),
    "Landlock and filter": ("namespaces", "stranger"),
    "limits alone": MEANS,
}


def used() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    return 1000 * sum(one.ru_utime + one.ru_stime for one in both)


def cost(run: Callable[[], object]) -> str:
    """Return the median wall time and the mean processor time of some runs."""
    taken, before = [], used()
    for _ in range(ROUNDS):
        began = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - began))
    processor = (used() - before) / ROUNDS
    return f"{statistics.median(taken):7.1f} ms ({min(taken):.1f} to {max(taken):.1f}), processor {processor:6.1f} ms"


def fork(bounds: Bounds) -> None:
    running = start(bounds)
    if running is None:
        os._exit(0)
    running.wait(time.monotonic() + 60)


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        print("a command that does nothing")
        print(f"  {'no fence':22}", cost(lambda: subprocess.run(ARGUMENTS, check=True, env={})))
        for name, without in WAYS.items():
            bounds = Bounds(str(folder), programs=True, terms=Terms(without=without))
            print(f"  {name:22}", cost(partial(run_program, ARGUMENTS, {"PATH": os.defpath}, bounds, folder, 60)))
        for module in ("numpy", "pandas", "pyarrow", "skops.io", "sklearn.ensemble"):
            importlib.import_module(module)
        print("the fork of a build, of a process that has imported what training needs")
        for name, without in WAYS.items():
            bounds = Bounds(str(folder), programs=False, terms=Terms(without=without))
            print(f"  {name:22}", cost(partial(fork, bounds)))


if __name__ == "__main__":
    main()
