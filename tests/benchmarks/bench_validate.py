"""Validating many models, in whole processes: all of them cold, and one changed model; beside importing the parsers.

Run as ``python tests/benchmarks/bench_validate.py [MODELS ...]``. Bytecode is compiled first, as an installation does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from spec_world import world

ROUNDS = 5
IMPORTS = "import click, yaml, pydantic; from pydantic import BaseModel"


def timed(arguments: list[str], folder: Path, environment: dict[str, str]) -> tuple[float, float, str]:
    """Return the best wall time and processor time of a few runs, in seconds, and what the last one printed."""
    best_wall = best_cpu = float("inf")
    for _ in range(ROUNDS):
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=True)
        wall, after = time.perf_counter() - start, os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        best_wall, best_cpu = min(best_wall, wall), min(best_cpu, cpu)
    return best_wall, best_cpu, done.stdout.strip()


def git(folder: Path, *arguments: str) -> None:
    """Run git with an identity of its own."""
    who = [
        "-c",
        "user.name=Bench",
        "-c",
        "user.email=bench@example.com",
        "-c",
        "gc.auto=0",
        "-c",
        "maintenance.auto=false",
    ]
    subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True)


def measure(models: int, environment: dict[str, str]) -> None:
    """Print the figures for so many models."""
    python = sys.executable
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for path, data in world(models).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "add", "-A")
        git(folder, "commit", "-q", "-m", "Begin")
        base, base_cpu, _ = timed([python, "-c", IMPORTS], folder, environment)
        print(
            f"{models:,} models: importing click, yaml and pydantic alone {base:.2f} s ({base_cpu:.2f} s of processor)"
        )
        show("cold", timed([python, "-m", "modelops", "validate"], folder, environment), base)
        changed = folder / "models/model-0007/model.yaml"
        changed.write_bytes(changed.read_bytes().replace(b"threshold: 0.3", b"threshold: 0.4"))
        show(
            "one-model diff",
            timed([python, "-m", "modelops", "validate", "--since", "HEAD"], folder, environment),
            base,
        )


def show(label: str, measured: tuple[float, float, str], base: float) -> None:
    """Print one line of figures."""
    wall, cpu, said = measured
    print(f"  {label:15} {wall:6.2f} s wall, {cpu:6.2f} s of processor, {wall / base:5.1f} x the imports: {said}")


def main() -> None:
    """Measure 1,000 and 10,000 models, or the numbers given."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as cache:
        environment["PYTHONPYCACHEPREFIX"] = cache
        for models in [int(argument) for argument in sys.argv[1:]] or [1000, 10_000]:
            measure(models, environment)


if __name__ == "__main__":
    main()
