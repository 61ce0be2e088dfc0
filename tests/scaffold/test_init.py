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

from git_world import commit, git
from modelops.cli import cli
from modelops.errors import Exit, ModelOpsError
from modelops.evidence import Signer
from modelops.project.settings import settings_of
from modelops.project.workspace import open_workspace
from modelops.repository import Repository
from modelops.scaffold import files
from modelops.scaffold.files import project_folder
from modelops.scaffold.repository import example_files, example_names, repository_files
from modelops.spec.graph import Graph, build_graph
from modelops.spec.kinds import KINDS
from modelops.spec.load import load_resource

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
    """git, policies, lock, key and schemas are there, and every file is right; no forge is thought of."""
    found = init()
    root = Path.cwd()
    graph = graph_here()
    assert sorted(graph.environments) == ["local", "production", "staging"]
    assert not (root / ".github").exists()
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
    """No second repository is made in an existing one; its own files stay, .gitignore and .gitattributes gain lines."""
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    Path("README.md").write_text("mine\n")
    Path(".gitignore").write_text("*.tmp")
    Path(".gitattributes").write_text("*.png binary\n")
    found = init()
    assert Path(found["root"]).samefile(".")
    assert Path("README.md").read_text() == "mine\n"
    assert Path(".gitignore").read_text() == "*.tmp\n.modelops/\n"
    assert Path(".gitattributes").read_text().startswith("*.png binary\n# Snapshots and releases pin files")


def test_a_folder_of_a_larger_repository_is_a_project_of_its_own(init: Init) -> None:
    """Nothing is written outside of it but its workflows, which run in it; a second team has a project beside it."""
    subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
    git(Path.cwd(), "remote", "add", "origin", "https://github.com/acme/monorepo.git")
    top = Path.cwd()
    Path("ml/churn").mkdir(parents=True)
    for folder in ("ml/churn", "ml/risk"):
        if folder == "ml/churn":
            os.chdir(folder)
        found = init("--github", *([folder] if folder == "ml/risk" else []))
        os.chdir(top)
        assert Path(found["root"]).samefile(folder)
        assert (top / folder / ".modelops/keys/local.pem").exists()
        workflow = Path(f".github/workflows/modelops-{folder.replace('/', '-')}-release.yml").read_text()
        assert f"    working-directory: {folder}\n" in workflow
        assert f"uses: ./.github/workflows/modelops-{folder.replace('/', '-')}-reconcile.yml" in workflow
    assert sorted(path.name for path in top.iterdir()) == [".git", ".github", "ml"]
    assert not (top / "ml/churn/.git").exists()
    os.chdir("ml/churn/policies")
    assert Repository.discover(Path.cwd()).folder == "ml/churn"


@pytest.mark.parametrize("folder", ["ml/churn", "my project"])
def test_what_is_to_be_typed_next_begins_where_init_was_typed(init: Init, folder: str) -> None:
    """With a folder of a larger repository, or a new one beside nothing, the first step goes there; the rest holds."""
    if folder == "ml/churn":
        git(Path.cwd(), "init", "-q", "-b", "main")
    data = write_csv("people.csv", people())
    found = init(folder, "--model", "left", "--data", data, "--target", "left", "--approver", "grace")
    assert found["next"][0].startswith("cd ")
    typed = "\n".join(line for line in found["next"] if line.startswith(("cd ", "git ")))
    subprocess.run(["bash", "-e", "-c", typed], check=True, capture_output=True)
    root = Path.cwd() if folder == "ml/churn" else Path(folder)
    begun = git(root, "ls-tree", "-r", "--name-only", "main").splitlines()
    assert any(path.endswith("policies/project.yaml") for path in begun)
    assert not any("models/left" in path for path in begun)
    assert "models/left/model.yaml" in git(root, "ls-tree", "-r", "--name-only", "propose-left")
    assert not any(line.startswith("cd ") for line in initialise_again(init, Path(folder), data))


def initialise_again(init: Init, folder: Path, data: Path) -> list[str]:
    """Return what is to be typed after a second model was made in a project's own folder."""
    os.chdir(folder)
    steps: list[str] = init("--model", "again", "--data", data, "--target", "left")["next"]
    return steps


def test_the_branch_and_the_remote_are_those_of_git(init: Init, tmp_path: Path) -> None:
    """What a clone calls its remote is its own affair: it types that, and the shared files name none but the usual."""
    git(tmp_path, "init", "-q", "--bare", "-b", "trunk", "theirs.git")
    Path.cwd().rmdir()
    git(tmp_path, "clone", "-q", "--origin", "upstream", "theirs.git", "work")
    os.chdir(tmp_path / "work")
    git(Path.cwd(), "remote", "set-url", "upstream", "https://github.com/acme/theirs.git")
    found = init("--github", "--approver", "grace")
    project = load_resource(Path("policies/project.yaml").read_bytes(), "policies/project.yaml").spec
    assert (project.branch, project.remote) == ("trunk", "origin")
    workflow = Path(".github/workflows/pull-request.yml").read_text()
    assert 'branches: ["trunk"]' in workflow
    assert "git remote rename" not in workflow
    assert "origin/trunk" in workflow
    assert "git push --set-upstream upstream trunk" in found["next"]
    assert "what is on `trunk` is what runs" in Path("README.md").read_text()
    git(Path.cwd(), "add", "-A")
    git(Path.cwd(), "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-qm", "Begin")
    git(Path.cwd(), "remote", "set-url", "upstream", str(tmp_path / "theirs.git"))
    git(Path.cwd(), "push", "-q", "upstream", "trunk")
    git(tmp_path, "clone", "-q", "theirs.git", "plain")
    for clone, remote in (("work", "upstream"), ("plain", "origin")):
        repository = Repository.discover(tmp_path / clone)
        settings_of(repository)
        assert repository.remote == remote


def test_bytes_of_data_stay_what_the_snapshot_pinned_whatever_git_does_to_text(init: Init, tmp_path: Path) -> None:
    """Under core.autocrlf, and beside attributes that turn text, a clone has the bytes that were pinned."""
    git(Path.cwd(), "init", "-q", "-b", "main")
    Path(".gitattributes").write_text("* text=auto eol=crlf\n")
    Path("tables").mkdir()
    people().to_csv("tables/people.txt", index=False)
    init("--model", "churn", "--data", "tables/people.txt", "--target", "left", "--missing", "none")
    git(Path.cwd(), "config", "user.name", "Ada")
    git(Path.cwd(), "config", "user.email", "ada@example.com")
    git(Path.cwd(), "add", "-A")
    git(Path.cwd(), "commit", "-q", "-m", "Begin")
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", "work", "clone")
    for path in ("tables/people.txt", "models/churn/data/initial.yaml", "requirements.lock"):
        assert (tmp_path / "clone" / path).read_bytes() == Path(path).read_bytes()
    os.chdir(tmp_path / "clone")
    assert cli.main(["data", "verify", "churn"], standalone_mode=False) == 0


def test_data_that_should_not_go_into_git_unasked_is_ignored_and_said(init: Init) -> None:
    """About persons or large: its path is ignored, with the way back; what is neither goes into git, which is said."""
    git(Path.cwd(), "init", "-q", "-b", "main")
    Path("data").mkdir()
    mails = [f"person{number}@example.com" for number in range(300)]
    people().assign(email=mails).to_csv("data/people.csv", index=False)
    people().to_csv("data/plain.csv", index=False)
    found = init("--model", "churn", "--data", "data/people.csv", "--target", "left")
    assert Path(".gitignore").read_text().splitlines()[-1] == "/data/people.csv"
    assert any("`/data/people.csv` was added to .gitignore" in each for each in found["warnings"])
    assert git(Path.cwd(), "status", "--porcelain", "data") == "?? data/"
    assert git(Path.cwd(), "ls-files", "--others", "--exclude-standard", "data") == "data/plain.csv"
    found = init("--model", "plain", "--data", "data/plain.csv", "--target", "left")
    assert any("to keep it out: echo '/data/plain.csv' >> .gitignore" in each for each in found["next"])


def test_a_second_init_is_refused(initialised: Init) -> None:
    """Once is enough, and the hint says what comes next."""
    error = error_of(initialised)
    assert (error.problems[0].code, error.exit) == ("already-initialised", Exit.NO)


def test_existing_policies_are_named_and_left_alone(init: Init) -> None:
    """Every file that is in the way is named; nothing is written, no key made."""
    for path in ("policies/trust.yaml", "policies/environments/staging.yaml"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("mine")
    error = error_of(init)
    assert [problem.code for problem in error.problems] == ["file-exists", "file-exists"]
    assert [str(problem.location) for problem in error.problems] == [
        "policies/environments/staging.yaml", "policies/trust.yaml",
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


def test_a_snapshot_is_taken_under_names_that_files_may_have(initialised: Init) -> None:
    """Anything else is refused before something is written: no reader would take it, or it would lie elsewhere."""
    path = write_csv("people.csv", people())
    initialised("--model", "churn", "--data", path, "--target", "left")
    before = {file for file in Path.cwd().rglob("*") if file.is_file()}
    for model, name in (("churn", "Q 2"), ("churn", "../q2"), ("../policies", "q2"), ("churn", "")):
        take = ["data", "snapshot", model, "--name", name, "--owner", "o", "--path", str(path)]
        with pytest.raises(ModelOpsError, match="is not a name") as caught:
            cli.main(take, standalone_mode=False)
        assert caught.value.exit is Exit.USAGE
        assert {file for file in Path.cwd().rglob("*") if file.is_file()} == before


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
    """The file is pinned as it is, and the snapshot says what of it is not read."""
    path = Path.cwd().parent / "nested.parquet"
    people().assign(tags=[["x"]] * 300).to_parquet(path)
    found = initialised("--model", "churn", "--data", path, "--target", "left")
    assert "not flat" in found["left_out"]["tags"]
    snapshot = graph_here().models["churn"].snapshots["initial"].spec
    assert (snapshot.source.type, [*snapshot.unread]) == ("files", ["tags"])


def german(rows: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    weight = rng.integers(200, 9000, rows)
    return pd.DataFrame(
        {
            "Kunde": [f"K-{number:05d}" for number in range(rows)],
            "Gewicht": [f"{each:,}".replace(",", ".") for each in weight],
            "Preis": [f"{each:.2f}".replace(".", ",") for each in rng.uniform(1, 90, rows)],
            "Region": rng.choice(["NA", "EU", "Süd"], rows),
            "Neu": rng.choice(["ja", "nein"], rows),
            "Seit": [f"{1 + row % 28}. März {2015 + row % 9}" for row in range(rows)],
            "Alter": np.where(np.arange(rows) % 20 == 0, -999, 20 + np.arange(rows) % 50),
            "teuer": np.where(weight + rng.normal(0, 2000, rows) > 4500, "Ja", "Nein"),
        }
    )


def test_what_was_decided_about_a_file_is_said_with_counts_and_can_be_overridden(initialised: Init) -> None:
    """A line per decision: encoding, marks of numbers, words for yes and missing, dates, stand-ins, roles."""
    path = Path.cwd().parent / "kunden.csv"
    german().to_csv(path, sep=";", index=False, encoding="cp1252")
    asked = ("--exclude", "Preis", "--feature", "Seit")
    found = initialised("--model", "one", "--data", path, "--target", "teuer", *asked)
    read = found["read"]
    assert "cp1252" in read["kunden.csv"]
    assert "groups thousands (300 rows)" in read["Gewicht"]
    assert "true where it says ja, false where it says nein (300 rows)" in read["Neu"]
    assert "dates written as %d. %b %Y (300 rows)" in read["Seit"]
    assert "missing where it says 'NA'" in read["Region"]
    assert "say --missing Alter=-999" in read["Alter"]
    assert "identifies a row" in read["Kunde"]
    assert (found["left_out"], found["features"]["Seit"]) == ({"Preis": "excluded"}, "datetime")
    other = initialised(
        "--model", "two", "--data", path, "--target", "teuer", "--missing", "Region=", "--missing", "Alter=-999",
        "--id", "Region", "--feature", "Kunde",
    )  # fmt: skip
    assert "groups the rows" in other["read"]["Region"]
    assert "missing where it says '-999' (15 rows)" in other["read"]["Alter"]
    assert other["features"]["Kunde"] == "category"
    columns = {column.name: column for column in graph_here().models["two"].snapshots["initial"].spec.columns}
    assert (columns["Region"].missing, columns["Alter"].missing) == (0, 15)
    assert graph_here().models["two"].model.spec.training.split.type == "hash"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--time", "Region"), "bad-time"),
        (("--feature", "Neu:colour"), "bad-feature"),
        (("--exclude", "Preise"), "unknown-column"),
        (("--id", "teuer"), None),
        (("--encoding", "klingon"), "unknown-encoding"),
        (("--exclude", "teuer"), "bad-exclude"),
        (("--feature", "Neu", "--exclude", "Neu"), "bad-exclude"),
        (("--missing", "Altr=-999"), "unknown-column"),
        (("--sheet", "Kunden"), "unknown-sheet"),
        (("--positive", "4711", "--target", "Alter"), "bad-positive"),
        (("--missing", "Region=Mars"), "bad-missing"),
        (("--decimal", "."), "bad-decimal"),
        (("--weight", "Region"), "bad-weight"),
        (("--weight", "teuer"), "bad-weight"),
        (("--weight", "Alter", "--exclude", "Alter"), "bad-weight"),
        (("--weight", "Altr"), "unknown-column"),
    ],
)
def test_what_is_asked_of_columns_is_checked_against_the_data(
    initialised: Init, arguments: tuple[str, ...], code: str | None
) -> None:
    """A time without order, a type that is none, a name that no column has: said, and nothing is written."""
    path = Path.cwd().parent / "kunden.csv"
    german().to_csv(path, sep=";", index=False, encoding="cp1252")
    error = error_of(initialised, "--model", "bad", "--data", path, "--target", "teuer", *arguments)
    assert error.first.code == (code or "bad-id")
    assert arguments[1].partition(":")[0] in error.first.message or "colour" in error.first.message
    assert error.exit == (Exit.FILES if {"Preise", "Altr"} & set(arguments) else Exit.USAGE)
    assert not Path("models").exists()


def test_the_format_of_a_table_makes_no_other_model(initialised: Init) -> None:
    """A CSV file and a Parquet file of the same rows give the same features, split and gates."""
    data = german().assign(Gewicht=lambda d: d["Gewicht"].str.replace(".", "").astype(int))
    folder = Path.cwd().parent
    data.to_csv(folder / "a.csv", index=False)
    data.to_parquet(folder / "a.parquet")
    for end in ("csv", "parquet"):
        initialised("--model", end, "--data", folder / f"a.{end}", "--target", "teuer")
    one, other = (graph_here().models[end] for end in ("csv", "parquet"))
    assert one.model.spec.data == other.model.spec.data
    assert one.model.spec.training == other.model.spec.training
    assert one.snapshots["initial"].spec.columns == other.snapshots["initial"].spec.columns
    assert one.snapshots["initial"].spec.profile == other.snapshots["initial"].spec.profile


def test_rows_that_belong_together_are_on_one_side(initialised: Init) -> None:
    """Copies of rows by their features, rows of one thing by its identifier, a series by its time."""
    rng = np.random.default_rng(9)
    base = pd.DataFrame(rng.normal(size=(150, 2)).round(3), columns=["a", "b"]).assign(y=rng.integers(0, 2, 150))
    copies = pd.concat([base] * 8, ignore_index=True).sample(frac=1, random_state=1)
    visits = copies.assign(a=rng.normal(size=1200), visitor_id=rng.integers(0, 200, 1200))
    series = base.assign(day=pd.date_range("2024-01-01", periods=150), a=rng.normal(size=150))
    found = {}
    for name, data in {"copies": copies, "visits": visits, "series": series}.items():
        initialised("--model", name, "--data", write_csv(f"{name}.csv", data), "--target", "y")
        spec = graph_here().models[name].model.spec
        found[name] = (spec.training.split.type, spec.training.split.equal_rows, spec.data.id, spec.data.time)
    assert found == {
        "copies": ("random", "together", None, None),
        "visits": ("hash", None, "visitor_id", None),
        "series": ("time", None, None, "day"),
    }
    path = "policies/gates/copies.yaml"
    (gate,) = (one for one in load_resource(Path(path).read_bytes(), path).spec.gates if one.name == "data-quality")
    assert "maximumLeakage" not in gate.params


def test_a_column_of_weights_is_no_feature_and_reaches_the_training_code(initialised: Init) -> None:
    """It is checked, described, written into the model, read as numbers, and what train.py gives to its last step."""
    weight = np.where(np.arange(300) % 3 == 0, 0, 1)
    path = write_csv("people.csv", people().assign(survey_weight=weight))
    said = initialised("--model", "w", "--data", path, "--target", "left", "--weight", "survey_weight")
    assert "from 0 to 1; 100 rows count for nothing" in said["read"]["survey_weight"]
    assert "survey_weight" not in said["features"]
    entry = graph_here().models["w"]
    assert entry.model.spec.data.weight == "survey_weight"
    columns = {column.name: column.type for column in entry.snapshots["initial"].spec.columns}
    assert columns["survey_weight"] == "number"
    assert "tune_threshold" not in entry.model.spec.training.parameters
    assert "model__sample_weight=sample_weight" in Path("models/w/train.py").read_text()
    assert entry.monitor is not None
    assert entry.monitor.spec.retraining is None, "neither requests nor labels bring a weight"
    assert "labels bring no weight" in Path("models/w/monitor.yaml").read_text()


def test_weights_that_leave_nothing_of_a_class_are_refused(initialised: Init) -> None:
    """Before anything is written: nobody learns a class of which no row counts."""
    path = write_csv("people.csv", people().assign(w=lambda d: (d["left"] == d["left"].iloc[0]).astype(int)))
    error = error_of(initialised, "--model", "w", "--data", path, "--target", "left", "--weight", "w")
    assert (error.first.code, error.exit) == ("bad-weight", Exit.USAGE)
    assert "0 in all rows whose left is" in error.first.message
    assert not Path("models").exists()


def test_the_rate_of_requests_is_that_of_the_column_of_time(initialised: Init) -> None:
    """Found or named, within one day or not, it counts to the second; numbers are an order and tell no rate."""
    seen = pd.date_range("2024-03-01T08:00:00", periods=300, freq="36s", tz="UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
    path = write_csv("times.csv", people().drop(columns="person_id").assign(seen=seen, year=np.arange(300) // 6))
    spans = []
    for model, named in (("found", ()), ("named", ("--time", "seen"))):
        said = initialised("--model", model, "--data", path, "--target", "left", "--exclude", "year", *named)
        assert "times run from 2024-03-01" in said["read"]["seen"]
        entry = graph_here().models[model]
        assert entry.rollout is not None
        assert entry.rollout.spec.expect is not None
        assert (entry.model.spec.data.time, entry.rollout.spec.expect.requests_per_hour) == ("seen", 100)
        assert "as the rows of the data came" in Path(f"models/{model}/rollout.yaml").read_text()
        spans.append(entry.snapshots["initial"].spec.time_span)
    assert spans[0] == spans[1]
    found = initialised("--model", "years", "--data", path, "--target", "left", "--time", "year")
    assert "are no dates" in found["read"]["year"]
    assert "nobody knows it yet" in Path("models/years/rollout.yaml").read_text()


def test_rows_without_a_label_are_counted(initialised: Init) -> None:
    """How many teach nothing is said beside the target, before all other columns; where all have one, nothing is."""
    some = people().assign(left=lambda d: d["left"].where(d.index % 10 > 0))
    found = initialised("--model", "some", "--data", write_csv("some.csv", some), "--target", "left")
    assert "30 of 300 rows have no left and are left out" in found["read"]["left"]
    assert next(iter(found["read"])) == "left"
    found = initialised("--model", "all", "--data", write_csv("all.csv", people()), "--target", "left")
    assert "left out" not in found["read"]["left"]


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


def test_a_word_that_is_half_as_frequent_as_a_label_may_be_one(initialised: Init) -> None:
    """None beside Low and High is asked about, and said to be a label it is one; a few missing labels are none."""
    path = Path.cwd().parent / "grades.csv"
    words = ["Low", "High", "None"]
    rows = [f"{number},{number * 7 % 13},{words[number * 5 % 11 % 3]}" for number in range(300)]
    path.write_text("\n".join(["k,a,grade", *rows]) + "\n")
    words_of = ("--model", "grades", "--data", path, "--target", "grade")
    (problem,) = error_of(initialised, *words_of).problems
    assert problem.code == "target-unusable"
    assert "'None' in" in problem.message
    assert problem.hint == "say --missing grade= for a label, --missing grade=None for none"
    assert not Path("models").exists()
    initialised(*words_of, "--missing", "grade=")
    assert set(graph_here().models["grades"].snapshots["initial"].spec.balance) == set(words)
    path.write_text(path.read_text().replace("None", "Low") + "300,1,None\n" * 3)
    initialised("--model", "few", *words_of[2:])
    assert set(graph_here().models["few"].snapshots["initial"].spec.balance) == {"Low", "High"}


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
    with pytest.raises((click.UsageError, ModelOpsError)) as caught:
        init(*arguments)
    assert isinstance(caught.value, click.UsageError) or caught.value.exit == Exit.USAGE


def test_scaffolding_works_without_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an installed wheel the packaged copies are used."""
    before = example_files("tumor-diagnosis")
    packaged = tmp_path / "project"
    for part in ("policies", ".github/workflows", "models/tumor-diagnosis"):
        shutil.copytree(project_folder() / part, packaged / part)
    shutil.copy(project_folder() / "requirements.lock", packaged)
    monkeypatch.setattr(files, "PACKAGED", packaged)
    assert example_names() == ("tumor-diagnosis",)
    assert example_files("tumor-diagnosis") == before
    assert "policies/gates/standard.yaml" in repository_files("", ("grace",))


def test_a_linked_work_tree_has_its_key_and_cache_where_its_clone_has_them(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Init and snapshots in a linked work tree write what every verb reads: the one state folder of the clone."""
    git(Path.cwd(), "init", "-q", "-b", "main")
    git(Path.cwd(), "config", "user.name", "Ada")
    git(Path.cwd(), "config", "user.email", "ada@example.com")
    commit(Path.cwd(), {"readme": "x\n"}, "Begin")
    git(Path.cwd(), "worktree", "add", "-q", "-b", "models", str(tmp_path / "linked"))
    main_tree, linked = Path.cwd(), tmp_path / "linked"
    monkeypatch.chdir(linked)
    init("--example", "fraud-detection", "--approver", "grace")
    public = load_resource((linked / "policies/trust.yaml").read_bytes(), "policies/trust.yaml").spec.keys[0]
    workspace = open_workspace(linked, {}, dirty=True)
    assert workspace.signer.public_pem == public.public_key
    assert workspace.state == main_tree / ".modelops"
    assert [path.name for path in (linked / ".modelops").iterdir()] == ["schema"], "editors read the schema beside it"
    assert git(main_tree, "status", "--porcelain") == "", "the key would be committed in the other work tree"
    assert cli.main(["data", "verify", "fraud-detection"], standalone_mode=False) == 0
    assert [path.name for path in (linked / ".modelops").iterdir()] == ["schema"]
