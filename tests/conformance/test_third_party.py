"""A gate of another package, as the how-to page writes it: found by its entry point, validated, checked and judged."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from git_world import commit, git
from spec_world import world

PAGE = Path(__file__).parents[2] / "docs/how-to/add-a-gate.md"
POLICY = "policies/gates/standard.yaml"
OWN = "{name: ranks, type: metric, params: {metric: roc-auc, minimum: 0.85}}"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's package, installed as an installer lays it out."""
    folder = tmp_path_factory.mktemp("site")
    gate, test = blocks("python")
    entry = re.search(r'positive-rate = "(.*)"', blocks("toml")[0])
    assert entry is not None
    files = {
        "team_gates/__init__.py": "",
        "team_gates/positive_rate.py": gate,
        "team_gates/half.py": gate.replace("NEEDS: ", "NEED: "),
        "test_positive_rate.py": test,
        "team_gates-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: team-gates\nVersion: 1.0\n",
        "team_gates-1.0.dist-info/entry_points.txt": (
            f"[modelops.gates]\npositive-rate = {entry[1]}\nhalf = team_gates.half\ngone = team_gates.gone\n"
        ),
    }
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


def run(package: Path, folder: Path, *command: str) -> tuple[int, str]:
    environment = {**os.environ, "PYTHONPATH": str(package), "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def repository(folder: Path, gate: str) -> None:
    files = {path: data.decode() for path, data in world(1).items()}
    files[POLICY] = files[POLICY].replace(OWN, f"{OWN}\n    - {gate}")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.com")
    commit(folder, files, "Begin")


def test_the_page_s_gate_keeps_what_every_gate_keeps(package: Path) -> None:
    """The test on the page passes, in an interpreter that finds the package by its entry point."""
    code, said = run(package, package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_positive_rate.py")
    assert (code, "1 passed" in said) == (0, True), said


@pytest.mark.parametrize(
    ("gate", "code", "said"),
    [
        ("{name: few, type: positive-rate, params: {maximum: 0.4}}", 0, ""),
        ("{name: few, type: positive-rate, params: {maximum: 4}}", 3, f"{POLICY}:9:"),
        ("{name: few, type: positive-rate, params: {most: 0.4}}", 3, "'most' is not a key here"),
        ("{name: few, type: positive-rates, params: {}}", 3, "did you mean 'positive-rate'?"),
        ("{name: few, type: half, params: {maximum: 0.4}}", 3, "lacks NEEDS"),
        ("{name: few, type: gone}", 3, "cannot be imported"),
    ],
)
def test_a_policy_names_it(package: Path, tmp_path: Path, gate: str, code: int, said: str) -> None:
    """Its parameters are checked as those of any gate, and a package that is not whole is an error with its line."""
    repository(tmp_path, gate)
    ended, told = run(package, tmp_path, "-m", "modelops", "validate")
    assert (ended, said in told) == (code, True), told
    if code:
        assert f"{POLICY}:9:" in told


def test_it_judges(package: Path) -> None:
    """Bound by its key it gives a verdict with details, from what it needs alone."""
    script = (
        "import json\n"
        "from modelops import gates\n"
        "from modelops.conformance.loans import subject\n"
        "from modelops.spec.kinds.gate_policy import Gate\n"
        "bound = gates.bind(Gate(name='x', type='positive-rate', params={'maximum': 0.9}))\n"
        "found = bound.module.evaluate(bound.params, subject().only(bound.module.NEEDS))\n"
        "print(json.dumps([found.verdict, found.details]))\n"
    )
    code, said = run(package, package, "-c", script)
    assert code == 0, said
    verdict, details = json.loads(said)
    assert verdict == "pass"
    assert details["positive"] + details["negative"] == 800
