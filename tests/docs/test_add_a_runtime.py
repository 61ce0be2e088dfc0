"""The page on adding a runtime: its files are taken from it, installed beside modelops, tested, typed and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from page_world import install, run

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-runtime.md").read_text(encoding="utf-8")
USE = """
from modelops import plugins
from modelops.artifacts import Input
from modelops.artifacts.parts.held import keep_model, load_model, parted
from modelops.artifacts.parts.part import Asked
from modelops.spec.schema import json_schema
from team_runtimes.cards import Card

assert "runtimes.scorecard" in json_schema("Model")["$defs"]
asked = Asked("binary-classification", (Input(name="a", type="number"),), ("no", "yes"))
model, parts = parted(Card(0.0, [1.0]), asked)
kept = keep_model(model, parts, asked)
print(kept.runtime, sorted(kept.files))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the page's files, and what an installer would write about them."""
    folder = tmp_path_factory.mktemp("team")
    cards, module, test = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    entry = re.search(r'scorecard = "(.*)"', PAGE)
    assert entry is not None
    files = {
        "src/team_runtimes/cards.py": cards,
        "src/team_runtimes/scorecard.py": module,
        "tests/test_scorecard.py": test,
        "use.py": USE,
    }
    install(folder, "team_runtimes", files, "modelops.runtimes", f"scorecard = {entry[1]}")
    return folder


def test_the_example_keeps_what_every_runtime_keeps(package: Path) -> None:
    """The page's own test passes."""
    assert "1 passed" in run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_scorecard.py")


def test_the_example_is_found_by_its_entry_point(package: Path) -> None:
    """What train returns is kept by it, and the schema of a model knows it."""
    assert run(package, "use.py").strip() == "scorecard ['models/parts/0/card.json']"


@pytest.mark.slow
def test_the_example_is_typed(package: Path) -> None:
    """Mypy holds the module to the Protocol by the assignment in the page's test."""
    run(package, "-m", "mypy", "--strict", "--ignore-missing-imports", "tests/test_scorecard.py")
