"""The shape of the code: the budgets that keep it small enough to hold in the head."""

from __future__ import annotations

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from modelops import plugins

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "modelops"
MODULES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}
FORBIDDEN_NAMES = {"core", "common", "utils", "helpers", "base", "types", "models"}


def functions() -> Iterator[tuple[str, int]]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node.end_lineno - node.lineno + 1


def test_no_module_is_longer_than_500_lines() -> None:
    """A module that does not fit is two modules."""
    long = {
        str(path.relative_to(ROOT)): text.count("\n")
        for path in MODULES
        if (text := path.read_text()).count("\n") > 500
    }
    assert not long


def test_no_function_is_longer_than_80_lines() -> None:
    """A function fits on a screen, and most are much shorter."""
    sizes = dict(functions())
    assert not {name: size for name, size in sizes.items() if size > 80}
    assert statistics.median(sizes.values()) < 20


def test_no_package_is_a_heap() -> None:
    """Twenty files are as many as a reader takes in; a shelf may have more, as each of them is a choice of its own."""
    counts = {
        str(folder.relative_to(ROOT)): len([file for file in folder.glob("*.py") if file.name != "__init__.py"])
        for folder in {path.parent for path in MODULES}
        if folder.name not in {"cli", "kinds", *plugins.SHELVES}
    }
    assert not {folder: count for folder, count in counts.items() if count > 20}


SPELT = re.compile(
    r"^(models|policies)/.*\{|release\.yaml|\.intoto\.jsonl|MODEL_CARD\.md(?!\.jinja)|model\.sigstore\.json|(?<!dev)\.modelops(?![\w.-])"
)
"""What only spec/layout says: a path made of a folder and a name, the files of a release, the folder of the state."""


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the texts of a module with their lines, braces where a value goes in; no docstring is one."""
    within = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    within |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in within:
            yield node.lineno, node.value


def spelt(tree: ast.Module) -> list[tuple[int, str]]:
    """Return the texts that spell a path; a sentence for people may name a file."""
    return [(line, text) for line, text in texts(tree) if SPELT.search(text) and text.count(" ") < 3]


def test_paths_of_a_repository_are_spelt_in_one_module() -> None:
    """Whoever needs a path below models/ or policies/, a file of a release or the state folder asks spec/layout."""
    found = [
        f"{path.relative_to(ROOT)}:{line} {text}"
        for path, tree in TREES.items()
        if path != SOURCE / "spec" / "layout.py"
        for line, text in spelt(tree)
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        'f"models/{name}/x"', 'f"policies/{name}.yaml"', 'folder / "release.yaml"', 'path + ".intoto.jsonl"',
        'f"{folder}/evidence.intoto.jsonl"', '"MODEL_CARD.md"', '"model.sigstore.json"', 'root / ".modelops"',
        'Path(".modelops/runtime")', 'f"{root}/.modelops/keys"',
    ],
)  # fmt: skip
def test_a_spelt_path_is_seen(code: str) -> None:
    """The guard sees plain texts, the ends of paths and texts with values in them."""
    assert spelt(ast.parse(code + " == 1\nx = " + code))


def test_what_is_private_to_a_package_stays_there() -> None:
    """A module with an underscore is imported by its own package alone."""
    crossed = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.module}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("modelops.")
        for package in [node.module.partition("._")[0]]
        if "._" in node.module and f"modelops.{path.parent.relative_to(SOURCE)}".replace("/", ".") != package
    ]
    assert not crossed


def test_there_is_one_exception_type() -> None:
    """Every expected failure is a ModelOpsError with Problems."""
    defined = [
        f"{path.name}:{node.name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and any(re.search(r"(Error|Exception)$", ast.unparse(base)) for base in node.bases)
    ]
    assert defined == ["errors.py:ModelOpsError"]


def test_four_handlers_are_broad() -> None:
    """Only boundaries catch everything: of the command line, a pass of the loop, a user's function, a request apart."""
    broad = [
        str(path.relative_to(SOURCE))
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or re.search(r"\b(Base)?Exception\b", ast.unparse(node.type)))
    ]
    assert sorted(broad) == [
        "cli/__init__.py",
        "reconcile/loop.py",
        "runtimes/_function.py",
        "serving/asking/apart.py",
    ]


def unknown_authors(tree: ast.AST) -> Iterator[int]:
    """Yield where what becomes a pull request is committed as the loop itself, whom no forge with accounts knows."""
    for function in ast.walk(tree):
        calls = [each for each in ast.walk(function) if isinstance(each, ast.Call)]
        if isinstance(function, ast.FunctionDef) and any("open_pull" in ast.unparse(each.func) for each in calls):
            for call in calls:
                given = [*call.args, *(each.value for each in call.keywords)]
                if ast.unparse(call.func).endswith("commit_files") and any(
                    ast.unparse(each) == "MACHINE" for each in given
                ):
                    yield call.lineno


def test_what_is_proposed_is_written_by_whom_a_forge_knows() -> None:
    """A commit of nobody's account could be of whoever approves it, so nobody could: `Workspace.machine` is known."""
    asked = "def ask():\n    made = repository.commit_files(tip, files, 'm', WHO, now)\n    return open_pull(made)\n"
    assert list(unknown_authors(ast.parse(asked.replace("WHO", "MACHINE")))) == [2]
    assert not list(unknown_authors(ast.parse(asked.replace("WHO", "workspace.machine"))))
    assert not {str(path): lines for path, tree in TREES.items() if (lines := list(unknown_authors(tree)))}


def test_packages_are_named_for_what_they_do() -> None:
    """No package has a name that says nothing."""
    assert not FORBIDDEN_NAMES & {path.name for path in SOURCE.iterdir()}


def test_there_are_no_import_cycles_hidden_ones_counted() -> None:
    """No module reaches itself, imports inside functions included."""
    graph = grimp.build_graph("modelops", cache_dir=None)
    # A package and its own modules count as one thing here only where the package file itself imports them.
    cyclic = {
        module
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if graph.chain_exists(importer=imported, imported=module)
    }
    assert not cyclic


def test_help_loads_nothing_heavy() -> None:
    """The list of verbs is shown without git, numpy, pydantic or scikit-learn."""
    code = (
        "import sys\nfrom modelops.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"git", "numpy", "pandas", "sklearn", "pydantic", "yaml", "docker", "pyarrow"} & set(done.stderr.split())


def test_mocks_are_rare() -> None:
    """At most three mocks in a hundred tests: real git, real HTTP and real processes instead."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    mocks = sum(len(re.findall(r"\b(?:MagicMock|mock\.patch|mocker\.|monkeypatch\.setattr)\b", text)) for text in texts)
    tests = sum(len(re.findall(r"^\s*(?:async )?def test_", text, re.M)) for text in texts)
    assert mocks <= 0.03 * tests


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name != "cli"], ids=lambda path: path.stem)
def test_modules_say_what_they_are(path: Path) -> None:
    """Every module begins with a sentence about itself."""
    assert (ast.get_docstring(TREES[path]) or "").strip()


def test_no_unsafe_loading_or_shell() -> None:
    """Nothing in the package unpickles, evaluates text or starts a shell."""
    calls = {
        f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for name in [ast.unparse(node.func)]
        if name in {"eval", "pickle.load", "pickle.loads", "joblib.load", "os.system", "yaml.load", "yaml.unsafe_load"}
        or any(keyword.arg == "shell" and ast.unparse(keyword.value) == "True" for keyword in node.keywords)
    }
    assert not calls
