"""The page on adding a kind: its one file is put into a copy of the package, and what it promises follows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from git_world import commit, git, nobodys_configuration
from spec_world import world

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "add-a-kind.md").read_text(encoding="utf-8")
CONTACT = "policies/contacts/growth.yaml"


def block(before: str, language: str) -> str:
    """Return the first block of a language after some words of the page."""
    found = re.search(rf"{re.escape(before)}.*?```{language}\n(.*?)```", PAGE, re.S)
    assert found is not None, before
    return found[1]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the package and of its pages with the one file of the page added."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("src", "docs", "models", "policies", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    path = "src/modelops/spec/kinds/contact.py"
    (folder / path).write_text(block(f"`{path}`:", "python"), encoding="utf-8")
    return folder


def run(package: Path, folder: Path, *words: str) -> tuple[int, str]:
    environ = {"PYTHONPATH": str(package / "src"), "PATH": "/usr/bin:/bin", "NO_COLOR": "1", "HOME": str(folder)}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environ, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def repository(folder: Path, contact: str) -> None:
    files = {path: data.decode() for path, data in world(1).items()} | {CONTACT: contact}
    with nobodys_configuration(folder.parent):
        git(folder, "init", "-q", "-b", "main")
        git(folder, "config", "user.name", "Ada")
        git(folder, "config", "user.email", "ada@example.com")
        commit(folder, files, "Begin")


@pytest.mark.parametrize(
    ("good", "bad", "line", "said"),
    [
        ("", "", 0, ""),
        ("[local]", "[lokal]", 7, "did you mean 'local'?"),
        ('"08-18"', '"8 to 18"', 8, "[bad-value]"),
        ("urlVariable", "urlVarable", 9, "'urlVarable' is not a key here"),
        ("type: webhook", "type: webhok", 9, "did you mean 'webhook'?"),
        ("duties:", "duty:", 6, "'duty' is not a key here"),
        ("name: growth", "name: grow", 4, "[name-mismatch]"),
    ],
)
def test_the_kind_is_validated_with_its_lines(
    package: Path, tmp_path: Path, good: str, bad: str, line: int, said: str
) -> None:
    """Values, plugins deep in the spec and names of other files are checked, each with file and line."""
    text = block("A file of it", "yaml")
    assert good in text
    repository(tmp_path, text.replace(good, bad) if good else text)
    code, told = run(package, tmp_path, "-m", "modelops", "validate")
    assert code == (3 if bad else 0), told
    assert said in told
    assert not line or f"{CONTACT}:{line}:" in told, told


def test_the_place_is_known(package: Path, tmp_path: Path) -> None:
    """A file beside all places is told the new place among the others."""
    repository(tmp_path, block("A file of it", "yaml"))
    (tmp_path / "policies" / "contact.yaml").write_text("kind: Contact\n")
    code, told = run(package, tmp_path, "-m", "modelops", "validate")
    assert (code, "policies/contacts/<name>.yaml" in told) == (3, True), told


@pytest.mark.slow
def test_schema_page_and_graph_have_it(package: Path, tmp_path: Path) -> None:
    """The JSON Schema holds the parameters of plugins, the reference a page, and the graph the resources."""
    repository(tmp_path, block("A file of it", "yaml"))
    code, told = run(package, tmp_path, "-m", "modelops", "schema", "Contact", "-o", "json")
    assert code == 0, told
    schema = json.loads(told)["Contact"]
    choices = schema["$defs"]["Duty"]["properties"]["reach"]["oneOf"]
    assert {choice["title"] for choice in choices} >= {"file", "webhook"}
    code, told = run(package, tmp_path, "-c", block("finds its files by name", "python"))
    assert (code, told) == (0, "growth 08-18\n")
    code, told = run(package, package, "docs/generate.py")
    assert (code, "docs/reference/kinds/Contact.md" in told) == (0, True), told
    page = (package / "docs" / "reference" / "kinds" / "Contact.md").read_text(encoding="utf-8")
    assert "How the team that owns models is reached." in page
    assert "`policies/contacts/<name>.yaml`" in page
    assert "From hour to hour, UTC." in page


def test_a_wrong_file_of_it_stalls_nobody(package: Path, tmp_path: Path) -> None:
    """The kind says so itself: what needs nothing of it goes on, and what is wrong is still told."""
    repository(tmp_path, block("A file of it", "yaml").replace("[local]", "[lokal]"))
    script = (
        "from modelops.project.workspace import open_workspace\n"
        "_, graph = open_workspace().known()\n"
        "print([*graph.stalled], graph.troubles('model-0000', 'local'))\n"
    )
    assert run(package, tmp_path, "-c", script) == (0, f"['{CONTACT}'] ()\n")
