"""`modelops init`: repositories and models that are valid from the first minute."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelops.cli import cli
from modelops.errors import Exit, ModelOpsError
from modelops.evidence import Signer
from modelops.repository import Repository
from modelops.scaffold import files
from modelops.scaffold.files import project_folder
from modelops.scaffold.repository import example_files, example_names, repository_files
from modelops.spec.graph import Graph, build_graph
from modelops.spec.kinds import KINDS

Init = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository that init has made once, to be copied."""
    folder = tmp_path_factory.mktemp("begun") / "repository"
    assert cli.main(["init", str(folder), "--approver", "grace"], standalone_mode=False) == 0
    return folder


@pytest.fixture
def initialised(begun: Path, init: Init) -> Init:
    """Init in a folder that is a repository with policies already."""
    shutil.copytree(begun, Path.cwd(), dirs_exist_ok=True)
    return init


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Init:
    """Run init with JSON output in an empty folder called `work`."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def run(*arguments: object) -> dict[str, Any]:
        capsys.readouterr()
        code = cli.main(["init", *map(str, arguments), "-o", "json"], standalone_mode=False)
        assert code == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    return run


def graph_here() -> Graph:
    repository = Repository.discover(Path.cwd())
    return build_graph(repository.work_tree_files(("models", "policies")))


def error_of(init: Init, *arguments: object) -> ModelOpsError:
    with pytest.raises(ModelOpsError) as caught:
        init(*arguments)
    return caught.value


def test_a_new_repository_is_valid_and_complete(init: Init) -> None:
    """git, policies, workflows, lock, key and schemas are there, and every file is right."""
    found = init()
    root = Path.cwd()
    graph = graph_here()
    assert sorted(graph.environments) == ["local", "production", "staging"]
    assert {path.name for path in (root / ".github/workflows").iterdir()} == {
        "pull-request.yml", "release.yml", "reconcile.yml", "monitor.yml",
    }  # fmt: skip
    assert {path.stem for path in (root / ".modelops/schema").iterdir()} == set(KINDS)
    assert "scikit-learn==" in (root / "requirements.lock").read_text()
    assert "policies/project.yaml" in found["files"]


def test_the_key_is_private_ignored_by_git_and_trusted(init: Init) -> None:
    """The private part is readable by its owner only and never in git; the public part is in the trust policy."""
    init()
    key = Path.cwd() / ".modelops/keys/local.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    trust = graph_here().trust
    assert trust is not None
    assert trust.spec.keys[0].public_key == Signer.load(key, None).public_pem
    ignored = subprocess.run(["git", "check-ignore", "-q", str(key)], check=False)
    assert ignored.returncode == 0


def test_two_repositories_have_different_keys(init: Init, tmp_path: Path) -> None:
    """A key is made, never copied."""
    init(tmp_path / "one")
    init(tmp_path / "two")
    first, second = ((tmp_path / name / "policies/trust.yaml").read_bytes() for name in ("one", "two"))
    assert first != second


def test_approvers_are_written_down(init: Init) -> None:
    """--approver fills the group; with two people, high risk asks for both."""
    init("--approver", "grace", "--approver", "edsger")
    approvals = graph_here().approvals
    assert approvals is not None
    assert approvals.spec.groups == {"reviewers": ("grace", "edsger")}
    assert max(rule.minimum for rule in approvals.spec.rules) == 2


def test_init_inside_a_repository_uses_it(init: Init) -> None:
    """No second repository is made below an existing one; its own files stay, .gitignore gains one line."""
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    Path("README.md").write_text("mine\n")
    Path(".gitignore").write_text("*.tmp")
    Path("sub").mkdir()
    os.chdir("sub")
    found = init()
    os.chdir("..")
    assert Path(found["root"]).samefile(".")
    assert Path("README.md").read_text() == "mine\n"
    assert Path(".gitignore").read_text() == "*.tmp\n.modelops/\n"
    assert not Path("sub/.git").exists()


def test_a_second_init_is_refused(initialised: Init) -> None:
    """Once is enough, and the hint says what comes next."""
    error = error_of(initialised)
    assert (error.problems[0].code, error.exit) == ("already-initialised", Exit.NO)


def test_existing_policies_are_named_and_left_alone(init: Init) -> None:
    """Every file that is in the way is named; nothing is written, no key made."""
    for path in ("policies/trust.yaml", ".github/workflows/release.yml"):
        Path(path).parent.mkdir(parents=True)
        Path(path).write_text("mine")
    error = error_of(init)
    assert [problem.code for problem in error.problems] == ["file-exists", "file-exists"]
    assert [str(problem.location) for problem in error.problems] == [
        ".github/workflows/release.yml", "policies/trust.yaml",
    ]  # fmt: skip
    assert not Path(".modelops/keys").exists()
    assert Path("policies/trust.yaml").read_text() == "mine"


def test_files_behind_a_link_out_of_the_repository_are_not_written(init: Init, tmp_path: Path) -> None:
    """A policies folder that is a link elsewhere is refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    Path("policies").symlink_to(outside)
    assert error_of(init).problems[0].code == "outside-repository"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["tumor-diagnosis", pytest.param("diabetes-progression", marks=pytest.mark.slow)])
def test_an_example_is_a_valid_model_with_its_own_snapshot(initialised: Init, name: str) -> None:
    """The example's files are those of the project, and its data is taken here and now."""
    initialised("--example", name)
    entry = graph_here().models[name]
    assert set(entry.snapshots) == {entry.model.spec.data.snapshot}
    assert entry.releases == {}
    original = project_folder() / "models" / name / "train.py"
    assert (Path("models") / name / "train.py").read_bytes() == original.read_bytes()


def test_examples_are_named() -> None:
    """The three examples of the project ship with it; another name is answered with the list."""
    assert example_names() == ("diabetes-progression", "fraud-detection", "tumor-diagnosis")


def test_an_unknown_example_is_answered_with_the_list(initialised: Init) -> None:
    """A typo costs one look."""
    error = error_of(initialised, "--example", "fraud")
    assert (error.problems[0].code, error.exit) == ("unknown-example", Exit.USAGE)
    assert "fraud-detection" in (error.problems[0].hint or "")


def write_csv(name: str, frame: pd.DataFrame, **options: object) -> Path:
    path = Path.cwd().parent / name
    frame.to_csv(path, index=False, **options)  # type: ignore[call-overload]
    return path


def people(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    score = rng.normal(size=rows).round(3)
    return pd.DataFrame(
        {
            "person_id": [f"p{number}" for number in range(rows)],
            "score": score,
            "group": rng.choice(["a", "b", "c"], rows),
            "left": np.where(score + rng.normal(size=rows) > 0, "yes", "no"),
        }
    )


def test_a_model_from_a_file_is_one_command(init: Init) -> None:
    """In an empty folder, init with a file makes repository and model, valid as a whole."""
    found = init("--model", "churn", "--data", write_csv("people.csv", people()), "--target", "left")
    assert (found["task"], found["features"]) == ("binary-classification", {"score": "number", "group": "category"})
    entry = graph_here().models["churn"]
    assert entry.model.spec.data.id == "person_id"
    snapshot = entry.snapshots["initial"].spec
    assert (snapshot.rows, snapshot.balance.keys()) == (300, {"yes", "no"})
    assert set(snapshot.profile) == {"score", "group"}


def test_data_outside_of_the_repository_are_allowed_by_name(initialised: Init) -> None:
    """Their folder is listed in the Project, as init says; a later snapshot from elsewhere is refused with the line."""
    before = Path("policies/project.yaml").read_text()
    path = write_csv("people.csv", people())
    found = initialised("--model", "churn", "--data", path, "--target", "left")
    assert Path("policies/project.yaml").read_text() == f"{before}  dataLocations: [{path.parent}/]\n"
    assert any(f"{path.parent}/ is now among the dataLocations" in step for step in found["next"])
    assert "data-location" not in {warning.code for warning in graph_here().warnings}
    take = ["data", "snapshot", "churn", "--name", "q2", "--owner", "o", "--url"]
    with pytest.raises(ModelOpsError) as caught:
        cli.main([*take, "http://127.0.0.1:9/d/people.csv"], standalone_mode=False)
    assert caught.value.exit is Exit.FILES
    assert "`dataLocations: [http://127.0.0.1:9/d/]`" in (caught.value.problems[0].hint or "")
    cli.main([*take[:-1], "--path", str(path)], standalone_mode=False)
    assert cli.main(["data", "verify", "churn", "q2"], standalone_mode=False) == 0


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda d: d, {"sep": ";", "decimal": ","}),
        (lambda d: d, {"sep": "\t"}),
        (lambda d: d, {"encoding": "utf-8-sig", "lineterminator": "\r\n"}),
        (lambda d: d.rename(columns={"score": "Größe in cm", "group": "a b"}), {}),
        (lambda d: d.assign(left=(d["left"] == "yes").astype(int)), {}),
        (lambda d: d.assign(left=d["left"] == "yes"), {}),
        (lambda d: d.assign(left=d["left"].str.upper().str[0]), {}),
        (lambda d: d.assign(left=np.arange(300) % 3), {}),
        (lambda d: d.assign(left=d["score"] * 1000), {}),
        (lambda d: d.assign(left=np.arange(300) * 17 % 4999), {}),
        (lambda d: d.assign(empty=None, constant=1, when="2024-02-29"), {}),
        (lambda d: d.assign(when=pd.date_range("2023-01-01", periods=300).strftime("%m/%d/%Y")), {}),
        (lambda d: d.assign(flag=["Yes", "No", ""] * 100, mixed=["1", "two", ""] * 100), {}),
        (lambda d: d.assign(score=d["score"].where(np.arange(300) % 2 == 0)), {}),
        (lambda d: d.assign(comment=[f"free text, with \"quotes\"\n{n}" for n in range(300)]), {}),
        (lambda d: d.assign(left=["yes"] * 6 + ["no"] * 294), {}),
        (lambda d: d.head(24), {}),
        (lambda d: d.drop(columns="person_id"), {}),
        (lambda d: pd.concat([d, pd.DataFrame(np.ones((300, 520)) * np.arange(300)[:, None] % 7)], axis=1).rename(
            columns=str), {}),
    ],
)  # fmt: skip
def test_files_of_every_sort_become_valid_models(
    initialised: Init, change: Callable[[pd.DataFrame], pd.DataFrame], options: dict[str, object]
) -> None:
    """Delimiters, encodings, labels of any spelling, gaps, dates, free text, few rows, many columns."""
    path = write_csv("strange.csv", change(people()), **options)
    initialised("--model", "strange", "--data", path, "--target", "left")
    assert set(graph_here().models) == {"strange"}


def test_nested_columns_of_parquet_are_left_out_with_the_reason(initialised: Init) -> None:
    """A flat copy goes into the store, and the snapshot says what it was made from."""
    path = Path.cwd().parent / "nested.parquet"
    people().assign(tags=[["x"]] * 300).to_parquet(path)
    found = initialised("--model", "churn", "--data", path, "--target", "left")
    assert "not flat" in found["left_out"]["tags"]
    source = graph_here().models["churn"].snapshots["initial"].spec.source
    assert (source.type, source.upstream) == ("store", ("nested.parquet without tags",))


def test_two_columns_of_one_name_are_refused_in_any_format(initialised: Init) -> None:
    """The name is said with what to do, also beside a nested column; no model stays behind."""
    folder = Path.cwd().parent
    (folder / "twice.csv").write_text("a,b,a\n" + "1,2,3\n" * 20)
    arrays = [pa.array([1, 2]), pa.array([1, 2]), pa.array([[1], [2]])]
    pq.write_table(pa.Table.from_arrays(arrays, names=["a", "a", "tags"]), folder / "twice.parquet")
    for name in ("twice.csv", "twice.parquet"):
        (problem,) = error_of(initialised, "--model", "bad", "--data", folder / name, "--target", "a").problems
        assert (problem.code, problem.hint) == ("duplicate-column", "rename one of them")
        assert f"of {name} are called 'a'" in problem.message
    assert not Path("models").exists()


def test_a_folder_of_files_is_one_data_set(initialised: Init) -> None:
    """Every CSV of the folder counts, and a folder below the repository is named relative to it."""
    folder = Path.cwd() / "data"
    folder.mkdir()
    people(300).head(150).to_csv(folder / "one.csv", index=False)
    people(300).tail(150).to_csv(folder / "two.csv", index=False)
    initialised("--model", "churn", "--data", folder, "--target", "left")
    snapshot = graph_here().models["churn"].snapshots["initial"].spec
    assert (snapshot.rows, snapshot.source.location) == (300, "data")


@pytest.mark.parametrize(
    ("text", "arguments", "code"),
    [
        ("a,b\n1,2\n", ("--target", "c"), "unknown-column"),
        ("a,a\n1,2\n", ("--target", "a"), "duplicate-column"),
        ("a,b\n" + "1,2\n" * 30, ("--target", "b"), "target-constant"),
        ("a,b\n" + "1,\n" * 30, ("--target", "b"), "target-missing"),
        ("a,b\n" + "1,2\n" * 3 + "1,3\n", ("--target", "b"), "no-rows"),
        ("a,b\n" + "1,2\n1,3\n" * 30, ("--target", "b"), "no-features"),
        ("a,b\n1,2\n1,2,3\n", ("--target", "b"), "ragged-row"),
        ("", ("--target", "b"), "data-empty"),
    ],
)
def test_unusable_data_is_refused_and_leaves_no_model(
    initialised: Init, text: str, arguments: tuple[str, ...], code: str
) -> None:
    """The reason is said by its code; no half model stays behind."""
    path = Path.cwd().parent / "bad.csv"
    path.write_text(text)
    error = error_of(initialised, "--model", "bad", "--data", path, *arguments)
    assert (error.problems[0].code, error.exit) == (code, Exit.FILES)
    assert not Path("models").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model", "bad", "--data", "bad.csv", "--target", "b"),
        ("--model", "Bad Name", "--data", "bad.csv", "--target", "b"),
        ("--example", "no-such-example"),
        ("new/folder", "--model", "bad", "--data", "bad.csv", "--target", "b"),
    ],
)
def test_a_first_init_that_fails_leaves_the_folder_as_it_was(init: Init, arguments: tuple[str, ...]) -> None:
    """No git, no policies, no key, no folder; a file that was there has its bytes; and a second try can succeed."""
    Path("bad.csv").write_text("a,b\n" + "1,2\n" * 30)
    Path(".gitignore").write_text("*.tmp")
    with pytest.raises((ModelOpsError, click.ClickException)):
        init(*arguments)
    assert sorted(path.name for path in Path.cwd().iterdir()) == [".gitignore", "bad.csv"]
    assert Path(".gitignore").read_text() == "*.tmp"
    init()


def test_a_failure_in_a_repository_of_others_takes_back_only_its_own(init: Init) -> None:
    """In a repository without policies, git and its files stay."""
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    Path("policies").mkdir()
    Path("policies/notes.txt").write_text("mine")
    Path("bad.csv").write_text("")
    error_of(init, "--model", "bad", "--data", "bad.csv", "--target", "b")
    assert sorted(path.name for path in Path.cwd().iterdir()) == [".git", "bad.csv", "policies"]
    assert [path.name for path in Path("policies").iterdir()] == ["notes.txt"]


def test_a_missing_file_is_named(initialised: Init) -> None:
    """A path that does not exist is an error of its own."""
    assert (
        error_of(initialised, "--model", "m", "--data", "nowhere.csv", "--target", "x").problems[0].code
        == "data-missing"
    )


def test_an_existing_model_is_never_overwritten(initialised: Init) -> None:
    """The second model of a name is refused before any work is done."""
    path = write_csv("people.csv", people())
    initialised("--model", "churn", "--data", path, "--target", "left")
    before = Path("models/churn/model.yaml").read_bytes()
    error = error_of(initialised, "--model", "churn", "--data", path, "--target", "score")
    assert (error.problems[0].code, error.exit) == ("file-exists", Exit.NO)
    assert Path("models/churn/model.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ("--model", "churn"),
        ("--data", "x.csv"),
        ("--model", "Churn Model", "--data", "x.csv", "--target", "y"),
        ("--model", "../escape", "--data", "x.csv", "--target", "y"),
        ("--example", "fraud-detection", "--model", "churn"),
        ("--model", "m", "--data", "x.csv", "--target", "y", "--risk", "none"),
    ],
)
def test_wrong_usage_is_said(init: Init, arguments: tuple[str, ...]) -> None:
    """Options that do not belong together, and names that are none, are usage errors."""
    with pytest.raises(click.UsageError):
        init(*arguments)


def test_scaffolding_works_without_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an installed wheel the packaged copies are used."""
    before = example_files("tumor-diagnosis")
    packaged = tmp_path / "project"
    for part in ("policies", ".github/workflows", "models/tumor-diagnosis"):
        shutil.copytree(project_folder() / part, packaged / part)
    monkeypatch.setattr(files, "PACKAGED", packaged)
    assert example_names() == ("tumor-diagnosis",)
    assert example_files("tumor-diagnosis") == before
    assert "policies/gates/standard.yaml" in repository_files("", ("grace",))
