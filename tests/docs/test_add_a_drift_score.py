"""The page on adding a drift score: its files are taken from it, installed beside modelops, tested and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from page_world import install, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-drift-score.md"
_FILE = re.compile(r"`((?:src/|tests/)?[\w/]+\.(?:py|toml))`:\n\n```\w+\n(.*?)```", re.S)
USE = """
import pyarrow as pa
from modelops import drift, plugins, summaries
from modelops.spec.load import load_resource
from modelops.spec.schema import json_schema

path = "models/m/monitor.yaml"
text = "apiVersion: modelops/v1\\nkind: Monitor\\nmetadata: {name: m}\\nspec:\\n" + open("use.yaml").read()
monitor = load_resource(text.encode(), path)
bound = [drift.bind(plugin, monitor) for plugin in monitor.spec.drift]
assert "drift.kuiper" in json_schema("Monitor")["$defs"]
values = pa.chunked_array([pa.array([float(number) for number in range(1000)])])
for one in bound:
    sketch = one.module.fit(one.params, summaries.summarise(values, "number"))
    print(one.key, one.params.alert, one.module.score(one.params, sketch, sketch, 0.01).level)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the page's files, and what an installer would write about them."""
    folder = tmp_path_factory.mktemp("team")
    text = PAGE.read_text(encoding="utf-8")
    files = dict(_FILE.findall(text))
    assert {*files} == {"src/team_drift/kuiper.py", "pyproject.toml", "tests/test_kuiper.py"}
    points = re.search(r'entry-points\."(.*?)"\]\n(\w+) = "(.*?)"', files["pyproject.toml"])
    assert points is not None
    found = re.search(r"```yaml\n(.*?)```", text, re.S)
    assert found is not None
    install(folder, "team_drift", {**files, "use.yaml": found[1]}, points[1], f"{points[2]} = {points[3]}")
    return folder


def test_the_example_keeps_what_every_score_keeps(package: Path) -> None:
    """The page's own test passes."""
    assert "1 passed" in run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_kuiper.py")


def test_the_example_is_found_by_its_entry_point(package: Path) -> None:
    """A monitor that names it beside another score is valid, and both of them score."""
    (package / "use.py").write_text(USE, encoding="utf-8")
    assert run(package, "use.py").splitlines() == ["psi 0.25 none", "kuiper 0.3 none"]


@pytest.mark.slow
def test_the_example_is_typed(package: Path) -> None:
    """Mypy holds the module to the Protocol by the assignment in the page's test."""
    run(package, "-m", "mypy", "--strict", "--ignore-missing-imports", "tests/test_kuiper.py")
