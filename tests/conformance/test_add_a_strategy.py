"""The page on adding a strategy: its files are taken from it, installed beside modelops, tested and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from page_world import install, run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-strategy.md"
_FILE = re.compile(r"`((?:src/|tests/)?[\w/]+\.(?:py|toml))`:\n\n```\w+\n(.*?)```", re.S)
USE = """
from modelops import strategies
from modelops.spec.load import load_resource
from modelops.spec.schema import json_schema

path = "models/m/rollout.yaml"
text = "apiVersion: modelops/v1\\nkind: RolloutPlan\\nmetadata: {name: m}\\nspec:\\n" + open("use.yaml").read()
plan = load_resource(text.encode(), path)
bound = strategies.bind(plan.spec.strategy, plan, "spec.strategy")
assert "strategies.even" in json_schema("RolloutPlan")["$defs"]
(forecast,) = bound.module.forecast(bound.params, plan.spec.expect)
print(bound.key, bound.params.min_requests, forecast.sees)
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the page's files, and what an installer would write about them."""
    folder = tmp_path_factory.mktemp("team")
    text = PAGE.read_text(encoding="utf-8")
    files = dict(_FILE.findall(text))
    assert {*files} == {"src/team_strategies/even.py", "pyproject.toml", "tests/test_even.py"}
    points = re.search(r'entry-points\."(.*?)"\]\n(\w+) = "(.*?)"', files["pyproject.toml"])
    assert points is not None
    found = re.search(r"```yaml\n(.*?)```", text, re.S)
    assert found is not None
    install(folder, "team_strategies", {**files, "use.yaml": found[1]}, points[1], f"{points[2]} = {points[3]}")
    return folder


def test_the_example_keeps_what_every_strategy_keeps(package: Path) -> None:
    """The page's own test passes."""
    assert "1 passed" in run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_even.py")


def test_the_example_is_found_by_its_entry_point(package: Path) -> None:
    """A rollout plan that names it is valid, and its forecast sees the harm that the plan on the page names."""
    (package / "use.py").write_text(USE, encoding="utf-8")
    assert run(package, "use.py").splitlines() == ["even 2000 True"]


@pytest.mark.slow
def test_the_example_is_typed(package: Path) -> None:
    """Mypy holds the module to the Protocol by the assignment in the page's test."""
    run(package, "-m", "mypy", "--strict", "--ignore-missing-imports", "tests/test_even.py")
