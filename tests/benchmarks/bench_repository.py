"""Reading and landing beside plain git: `python tests/benchmarks/bench_repository.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import git as gitpython

from modelops.repository import Landing, Person, Repository

FILES = 10_000
COMMITS = 5_000
WHEN = datetime(2026, 3, 1, tzinfo=UTC)
WHO = Person("Bench", "bench@example.com")


def seconds(action: Callable[[], object], runs: int = 3) -> float:
    """Return the best wall time of a few runs."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def make(folder: Path) -> Repository:
    """Make a repository of 10,000 files of 2 KB with 5,000 commits."""
    repository = Repository.create(folder)
    lines = []
    for number in range(FILES):
        path = f"models/team-{number % 50}/model-{number}/model.yaml"
        body = f"number: {number}\n" * 120
        lines.append(f"M 100644 inline {path}\ndata {len(body)}\n{body}\n")
    stream = "commit refs/heads/main\ncommitter B <b@x> 1700000000 +0000\ndata 1\nx\n" + "".join(lines)
    for number in range(COMMITS):
        body = str(number)
        stream += f"commit refs/heads/main\ncommitter B <b@x> {1700000001 + number} +0000\ndata 1\nx\n"
        stream += f"M 100644 inline policies/counter\ndata {len(body)}\n{body}\n"
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=stream.encode(), check=True)
    subprocess.run(["git", "reset", "--quiet", "--hard"], cwd=folder, check=True)
    return repository


def report(what: str, ours: float, baseline: float, named: str) -> None:
    """Print one line with the ratio."""
    print(f"{what:44} {ours * 1e3:9.1f} ms   {named:28} {baseline * 1e3:9.1f} ms   ratio {ours / baseline:6.2f}")


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as scratch:
        repository = make(Path(scratch) / "r")
        root = repository.root
        paths = list(repository.paths("HEAD", "models/"))

        def read() -> None:
            fresh = Repository.discover(root)
            fresh.read_many("HEAD", paths)

        def each() -> None:
            for path in paths[:100]:
                subprocess.run(["git", "show", f"HEAD:{path}"], cwd=root, capture_output=True, check=True)

        report("read 10,000 files at a revision", seconds(read), seconds(each, 1) * 100, "git show for each (of 100)")
        plain = seconds(lambda: [Path(root, path).read_bytes() for path in paths])
        walked = seconds(lambda: repository.work_tree_files(["models"]))
        report("read 10,000 files of the work tree, checked", walked, plain, "open and read, unchecked")

        with gitpython.Repo(root) as reader:
            theirs = seconds(
                lambda: [(c.hexsha, c.author.name, c.committed_datetime) for c in reader.iter_commits("main")], 1
            )
        report("log of 5,000 commits", seconds(repository.log), theirs, "GitPython iter_commits")

        counter = iter(range(1000))
        landing = seconds(
            lambda: repository.land("main", lambda _: Landing({f"new/{next(counter)}": b"x"}, "Add"), WHO, WHEN)
        )

        def commit() -> None:
            (root / "policies/counter").write_text(f"c{next(counter)}")
            identity = {"GIT_AUTHOR_NAME": "B", "GIT_AUTHOR_EMAIL": "b@x", "GIT_COMMITTER_NAME": "B"}
            environment = os.environ | identity | {"GIT_COMMITTER_EMAIL": "b@x"}
            command = ["git", "commit", "--quiet", "-am", "x"]
            subprocess.run(command, cwd=root, check=True, env=environment)

        report("land one commit on 10,000 files", landing, seconds(commit), "git commit -am")


if __name__ == "__main__":
    sys.exit(main())
