"""What looking at many models costs, in whole processes and in a loop that watches; beside what cannot be spared.

Run as ``python tests/benchmarks/bench_pass.py [--models N ...] [--promotions N] [--at-rest]``. Processor time counts
git's, too. The yardstick of a run is what one release takes by itself: to list it in git, to read it, and to verify it.
``--at-rest`` starts no server: for more models than this machine can serve.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from git_world import counting_git, nobodys_configuration
from modelops.evidence import check_release
from modelops.project.workspace import trusted
from modelops.reconcile import loop
from modelops.spec.layout import ReleaseFiles
from modelops.spec.load import load_resource
from modelops.views.pull_requests import LOOP
from reconcile.loop_world import MODEL, World, begin
from reconcile.many_models import many_models, promoted_often

ROUNDS = 3
VERBS = ("validate", "plan staging", "reconcile staging --yes", "status", "audit environment staging --at 2030-01-01")
RUN = """import atexit, sys
from modelops.cli import main
atexit.register(lambda: print(*[line for line in open("/proc/self/status") if "VmHWM" in line], file=sys.stderr))
main()
"""
AUDITED = f"audit release {MODEL} 1"


@dataclass(frozen=True)
class Cost:
    """What one look cost: seconds of processor, seconds of time, MiB, and processes of git where they were counted."""

    cpu: float
    wall: float
    memory: float = 0.0
    git: int | None = None


def once(world: World, words: str) -> Cost:
    """Run a verb in a process of its own; that tells itself how much memory it had, as this one's would count, too."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words.split()],
        cwd=world.root,
        env=world.environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(cpu, wall, int(done.stderr.split()[-2]) / 1024)


def best(world: World, words: str) -> Cost:
    """Return the cheapest of a few runs, and how many processes of git one takes."""
    costs = [once(world, words) for _ in range(ROUNDS)]
    with tempfile.TemporaryDirectory() as name, counting_git(Path(name)) as calls:
        once(world, words)
        git = len(calls())
    return Cost(min(one.cpu for one in costs), min(one.wall for one in costs), max(one.memory for one in costs), git)


def seconds(call: Callable[[], object], times: int) -> float:
    """Return the processor time of one call, the best of a few rounds."""
    found = float("inf")
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(times):
            call()
        found = min(found, (time.process_time() - start) / times)
    return found


def yardstick(world: World, models: int) -> float:
    """Return what one release takes by itself."""
    workspace = world.workspace()
    tip, _ = workspace.desired()
    files = ReleaseFiles(MODEL, 1)
    data = workspace.repository.read_many(tip, [files.release, files.evidence])
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["git", "ls-tree", "-r", tip], cwd=world.root, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    listed = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / models
    read = seconds(lambda: load_resource(data[files.release], files.release), 50)
    release = load_resource(data[files.release], files.release)
    verified = seconds(lambda: check_release(release, data[files.evidence], trusted(workspace, tip)), 50)
    return listed + read + verified


def watched(world: World) -> Cost:
    """Return what a pass costs in a loop that has seen this tip before."""
    workspace, costs = world.workspace(), list[Cost]()
    last = [os.times(), time.perf_counter()]

    def report(_: object) -> None:
        now, then = os.times(), last[0]
        cpu = sum(now[:4]) - sum(then[:4])
        costs.append(Cost(cpu, time.perf_counter() - last[1]))
        last[:] = [os.times(), time.perf_counter()]

    loop.watch(workspace, "staging", LOOP, 0, report, passes=ROUNDS + 2)
    steady = costs[1:]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Cost(min(one.cpu for one in steady), min(one.wall for one in steady), memory)


def show(label: str, cost: Cost, unit: float, models: int) -> None:
    """Print one row of the table."""
    git = "" if cost.git is None else str(cost.git)
    each = cost.cpu / models
    figures = f"{cost.cpu:7.2f} {cost.wall:7.2f} {cost.memory:7.0f} {git:>4} {1000 * each:9.2f} {each / unit:7.1f}"
    print(f"  {label:42} {figures}")


def measure(models: int, *, serve: bool) -> None:
    """Print the table for so many models."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        world = begin(Path(name) / "world")
        many_models(world, models)
        if serve:
            world.reconcile("staging")
        unit = yardstick(world, models)
        print(f"{models:,} models; one release by itself: {1000 * unit:.2f} ms of processor")
        print(f"  {'':42} {'cpu s':>7} {'wall s':>7} {'MiB':>7} {'git':>4} {'ms/model':>9} {'x alone':>7}")
        for words in VERBS:
            if serve or not words.startswith("reconcile"):
                show(words, best(world, words), unit, models)
        if serve:
            show("a pass of --watch at an unchanged tip", watched(world), unit, models)
        world.stop()


def measure_promotions(count: int) -> None:
    """Print what audits cost where one model was promoted so often."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        world = begin(Path(name) / "world")
        many_models(world, 3)
        few = best(world, VERBS[-1])
        promoted_often(world, MODEL, "staging", count)
        often = best(world, VERBS[-1])
        print(f"{count:,} promotions of one model: {VERBS[-1]}")
        print(f"  before {few.cpu:.2f} s of processor, {few.memory:.0f} MiB")
        print(f"  after {often.cpu:.2f} s, {often.memory:.0f} MiB")
        whole = best(world, AUDITED)
        print(f"  {AUDITED}, which verifies each of them: {whole.cpu:.2f} s, {whole.memory:.0f} MiB")


def main() -> None:
    """Measure 10, 100 and 1,000 models, or the numbers given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--promotions", type=int, default=5000)
    parser.add_argument("--at-rest", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, nobodys_configuration(Path(folder)):
        for models in given.models:
            measure(models, serve=not given.at_rest)
        if given.promotions:
            measure_promotions(given.promotions)


if __name__ == "__main__":
    main()
