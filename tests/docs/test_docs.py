"""The documentation is true: links resolve, the reference is current, and what is typed can be typed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from modelops import plugins
from modelops.cli import VERBS, cli
from modelops.errors import ModelOpsError
from modelops.spec.kinds import KINDS, PLACES
from modelops.spec.load import load_resource

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
WRITTEN = [path for path in PAGES if "reference" not in path.parts]
FORBIDDEN = re.compile(
    r"(?<![\w.<])/(work|home|root|Users|tmp|opt)/|\b(pypi|pythonhosted|npmjs|crates)\.(org|io)\b|\b(TODO|FIXME|XXX)\b"
)


def name_of(path: Path) -> str:
    """Return a page's path below the repository."""
    return path.relative_to(ROOT).as_posix()


def anchor(heading: str) -> str:
    """Return the anchor that forges give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a page; headings inside code are none."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return frozenset(anchor(found) for found in re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link names a file that exists, and a heading in it."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, fragment = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        if not found.exists() or (fragment and fragment not in anchors(found)):
            broken.append(target)
    assert broken == []


def test_every_page_is_listed_in_the_index() -> None:
    """A reader of the index can reach every page that people wrote."""
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    decisions = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    listed = {(DOCS / target.partition("#")[0]).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", index)}
    listed |= {(DOCS / "decisions" / target).resolve() for target in re.findall(r"\]\(([^)\s]+)\)", decisions)}
    unlisted = [name_of(path) for path in WRITTEN if path.parent != ROOT and path not in listed]
    assert unlisted == ["docs/README.md"]


@pytest.mark.slow  # `make lint` asks the same
def test_the_generated_reference_is_current() -> None:
    """Who changes a verb, a kind, a plugin or an error writes the reference anew: python docs/generate.py."""
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_the_reference_names_every_verb_kind_and_code() -> None:
    """Nothing that a user can type, write or be told is missing; the codes are looked for in another way here."""
    page = (DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f"## modelops {verb}\n" not in page] == []
    assert [kind for kind in KINDS if not (DOCS / "reference" / "kinds" / f"{kind}.md").is_file()] == []
    errors = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    raised = {
        code
        for path in (ROOT / "src").rglob("*.py")
        for code in re.findall(r'\b(?:failure|Problem)\(\s*"([a-z0-9-]+)"', path.read_text(encoding="utf-8"))
    }
    assert len(raised) > 150
    assert sorted(code for code in raised if f"| `{code}` |" not in errors) == []


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.yaml")), ids=name_of)
def test_examples_are_valid(path: Path) -> None:
    """The committed examples of generated kinds load as what they are."""
    places = {
        "access.yaml": ("AccessPolicy", "policies/access/production.yaml"),
        "release.yaml": ("Release", "models/churn/releases/1/release.yaml"),
        "promotion.yaml": ("Promotion", "models/churn/promotions/production-1.yaml"),
    }
    kind, place = places.get(path.name) or (path.stem, PLACES[path.stem].path("churn", "production"))
    assert load_resource(path.read_bytes(), place).kind == kind


def yaml_examples() -> Iterator[tuple[str, str]]:
    """Yield the whole documents that pages show."""
    for path in WRITTEN:
        for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", path.read_text("utf-8"), flags=re.M | re.S)):
            # The page on adding a kind shows one that does not exist; a test of its own adds it.
            if block.startswith("apiVersion") and path.stem != "add-a-kind":
                yield f"{name_of(path)}-{number}", block


def place_of(kind: str, name: str) -> str:
    """Return where a shown document would lie."""
    return PLACES[kind].path(name, name)


@pytest.mark.parametrize(("where", "text"), list(yaml_examples()))
def test_documents_on_pages_are_valid(where: str, text: str) -> None:
    """Who copies a whole document from a page has a valid file, and a rollout plan that sees what it guards against."""
    kind = re.search(r"^kind: (\w+)", text, flags=re.M)
    name = re.search(r"^  name: (\S+)", text, flags=re.M)
    assert kind, where
    assert name, where
    try:
        found = load_resource(text.encode(), place_of(kind[1], name[1]))
    except ModelOpsError as error:
        pytest.fail(f"{where}: {error}")
    assert found.kind == kind[1]
    if found.kind == "RolloutPlan":
        strategy, expect = found.spec.strategy, found.spec.expect
        module = plugins.load("strategies", strategy.type)
        params = module.Params.model_validate_json(json.dumps(strategy.params))
        assert [step.what for step in module.forecast(params, expect) if not step.sees] == []


def test_every_strategy_has_an_example() -> None:
    """Who chooses a strategy finds a whole plan for each."""
    shown = {found[1] for _, text in yaml_examples() if (found := re.search(r"strategy:\n    type: (\S+)", text))}
    assert shown == set(plugins.keys("strategies"))


def typed(path: Path) -> Iterator[str]:
    """Yield the modelops commands that a page shows, and those in its text that have options or arguments."""
    text = path.read_text(encoding="utf-8")
    for block in re.findall(r"^ *```console\n(.*?)^ *```", text, flags=re.M | re.S):
        for line in block.splitlines():
            command = re.match(r"\s*\$ (.*?)(modelops .*)", line)
            if command:
                whole = command[2].partition(" | ")[0]
                yield (whole.partition(")")[0] if command[1].endswith("$(") else whole).strip()


COMMANDS = sorted({(name_of(path), command) for path in WRITTEN for command in typed(path)})


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words call and the words that are left for it."""
    command: click.Command = cli
    rest = words
    while isinstance(command, click.Group) and rest:
        context = click.Context(command, info_name=command.name)
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"there is no {rest[0]!r}"
        command, rest = inner, rest[1:]
    return command, rest


@pytest.mark.parametrize(("where", "text"), COMMANDS)
def test_commands_on_pages_can_be_typed(where: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command on a page names a verb, options and arguments that exist; nothing is run."""
    monkeypatch.chdir(tmp_path)
    for name in ("plan.json", "data/customers.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("policies/gates", "models/churn"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    command, rest = resolve(shlex.split(text)[1:])
    # Parsing alone: make_context checks options, choices and missing arguments, and calls nothing.
    with command.make_context(command.name, rest) as context:
        assert context.command is command


def test_the_whole_story_takes_as_many_commands_as_it_says() -> None:
    """The page counts what it shows, in all and by chapter, and it is no more than 40."""
    text = (DOCS / "how-to" / "tell-the-whole-story.md").read_text(encoding="utf-8")
    chapters = re.findall(r"^## [^\n]*, (\d+)$(.*?)(?=^## |\Z)", text, flags=re.M | re.S)
    assert [int(said) for said, _ in chapters] == [len(re.findall(r"^\$ ", shown, flags=re.M)) for _, shown in chapters]
    total = len(re.findall(r"^\$ ", text, flags=re.M))
    assert f"{total} of them" in text
    assert sum(int(said) for said, _ in chapters) == total <= 40


def test_every_dependency_has_its_reason() -> None:
    """Nothing is added to what users must install without a sentence on why."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    reasons = (DOCS / "decisions" / "0008-dependencies.md").read_text(encoding="utf-8")
    names = [re.split(r"[<>=\[ ]", text)[0] for text in project["dependencies"]]
    assert [name for name in names if not re.search(rf"`{re.escape(name)}[`<]", reasons)] == []


def test_there_are_commands_to_check() -> None:
    """The search for commands still finds them."""
    assert len(COMMANDS) > 60
    assert {where for where, _ in COMMANDS} >= {name_of(path) for path in sorted((DOCS / "how-to").glob("*.md"))}


@pytest.mark.parametrize("path", [*PAGES, DOCS / "generate.py", DOCS / "meanings.yaml"], ids=name_of)
def test_pages_hold_nothing_of_a_machine(path: Path) -> None:
    """No page names a folder of somebody's machine, the host of a package registry, or work that is left."""
    found = [match[0] for match in FORBIDDEN.finditer(path.read_text(encoding="utf-8"))]
    assert found == []


def test_how_to_titles_are_verbs_and_match_their_files() -> None:
    """A how-to page is one task: its title is what the file is called."""
    for path in sorted((DOCS / "how-to").glob("*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert anchor(title) == path.stem, path.name
