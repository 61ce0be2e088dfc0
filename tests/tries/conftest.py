"""One repository with a small model, of which variants are tried once for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from git_world import ADA, git, identify, nobodys_configuration
from modelops.changes.tries.trying import Tried, try_variants
from modelops.project.workspace import Workspace, open_workspace
from world.shop import TRAIN, customers, write_rows

MODEL = "churn"


@dataclass
class Place:
    """A repository of its own, with the variants that were tried in it."""

    root: Path
    environ: Mapping[str, str]
    tried: tuple[Tried, ...] = ()

    @property
    def workspace(self) -> Workspace:
        return open_workspace(self.root, self.environ)

    def run(self, *words: str, code: int = 0) -> str:
        program = [sys.executable, "-m", "modelops", *words]
        done = subprocess.run(
            program, cwd=self.root, env=dict(self.environ), capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def attempt(self, *variants: Mapping[str, object]) -> tuple[Tried, ...]:
        workspace = self.workspace
        head = workspace.repository.head()
        return try_variants(workspace, workspace.graph(head), MODEL, head, [dict(one) for one in variants], jobs=2)  # type: ignore[arg-type]


@pytest.fixture(scope="session", autouse=True)
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let git read nobody's configuration."""
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a repository in which three variants were tried: one of them is no good, one fails."""
    root = tmp_path_factory.mktemp("tries") / "shop"
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    identify(root, ADA)
    write_rows(root / "data" / "customers.csv", customers(400, 1))
    found = Place(root, {**os.environ, "NO_COLOR": "1"})
    said = ("--data", "data/customers.csv", "--target", "churned", "--approver", "grace")
    found.run("init", "--model", MODEL, *said)
    (root / "models" / MODEL / "train.py").write_text(TRAIN)
    file = root / "models" / MODEL / "model.yaml"
    lines = [
        "    parameters: {C: 1.0, max_iter: 200}" if "parameters:" in one else one
        for one in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")
    git(root, "add", "--all")
    git(root, "commit", "-q", "-m", "Begin")
    found.tried = found.attempt({}, {"C": 0.0001}, {"C": -1.0})
    return found
