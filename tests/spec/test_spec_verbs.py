from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from git_world import git, nobodys_configuration
from modelops.cli import main
from modelops.cli.output import save
from modelops.errors import Exit, ModelOpsError
from modelops.spec.kinds import KINDS, place
from modelops.spec.yaml.document import parse
from spec_world import NAME, world

MODEL = f"models/{NAME}/model.yaml"


@pytest.fixture(scope="module", autouse=True)
def _configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with nobodys_configuration(tmp_path_factory.mktemp("git")):
        yield


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on disk with two models, in one commit, as the current folder."""
    for path, data in world(2).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "config", "user.name", "Ada")
    git(tmp_path, "config", "user.email", "ada@example.com")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def codes(out: str) -> list[str]:
    return [problem["code"] for problem in json.loads(out)["problems"]]


def test_a_valid_repository_is_ok(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line says how much was looked at, also from a folder below."""
    assert run(capsys, "validate") == (0, "22 files, 2 models: ok\n", "")
    assert run(capsys, "-C", "models", "validate")[:2] == (0, "22 files, 2 models: ok\n")


def test_problems_go_to_standard_error_with_their_place(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 3; file:line:col, dotted path, sentence, code and hint for each problem."""
    edit(folder / MODEL, "risk: limited", "risk: limitd")
    edit(folder / "policies/gates/standard.yaml", "type: metric", "type: metrik")
    code, out, err = run(capsys, "validate")
    assert (code, out) == (3, "")
    assert (
        f"error: {MODEL}:9:9: spec.risk: 'limitd' is not allowed [unknown-value]\n  hint: did you mean 'limited'?"
        in err
    )
    assert (
        "policies/gates/standard.yaml:8:27: spec.gates[0].type: 'metrik' is not one of the gates [unknown-plugin]"
        in err
    )


def test_json_carries_everything(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With -o json the problems are data on standard output, and the exit code is the same."""
    edit(folder / MODEL, "target: is_fraud", "target: fraud")
    code, out, err = run(capsys, "validate", "-o", "json")
    assert (code, err) == (3, "")
    assert json.loads(out)["problems"][0] == {
        "code": "unknown-column",
        "message": "the snapshot '2026-q1' has no column 'fraud'",
        "path": MODEL,
        "line": 16,
        "column": 13,
        "dotted": "spec.data.target",
        "hint": "did you mean 'is_fraud'?",
    }


def test_annotations_for_a_workflow(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GitHub runner each problem is an annotation at its line too."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    edit(folder / MODEL, "seed: 7", "seed: x")
    assert f"::error file={MODEL},line=31,col=11::" in run(capsys, "validate")[2]


def test_paths_narrow_what_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """PATHS check the models that they name, with the policies, and show the problems below them only."""
    edit(folder / MODEL, "seed: 7", "seed: x")
    edit(folder / "models/model-0001/model.yaml", "seed: 7", "seed: y")
    code, out, _ = run(capsys, "validate", "-o", "json", "models/model-0001")
    assert (code, [problem["path"] for problem in json.loads(out)["problems"]]) == (3, ["models/model-0001/model.yaml"])
    assert run(capsys, "validate", "policies")[0] == 0
    assert run(capsys, "validate", MODEL)[0] == 3
    assert run(capsys, "validate", "/")[0] == 2


def test_unsafe_files_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Links out of the repository, links to folders, pipes and unreadable bytes are named, each by its code."""
    outside = tmp_path_factory.mktemp("outside") / "secret.yaml"
    outside.write_text("password: hunter2\n")
    base = folder / f"models/{NAME}"
    (base / "rollout.yaml").unlink()
    (base / "rollout.yaml").symlink_to(outside)
    (base / "more").symlink_to(base / "data")
    os.mkfifo(base / "environments/pipe.yaml")
    (base / "monitor.yaml").write_bytes(b"\x00\x01\x02")
    code, out, _ = run(capsys, "validate", "-o", "json")
    assert code == 3
    assert sorted(codes(out)) == ["binary-file", "not-a-regular-file", "symlink-refused", "symlink-refused"]
    assert "hunter2" not in out


def test_a_link_inside_the_repository_is_followed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link to another file of the repository is read as that file."""
    gate = folder / "policies/gates/standard.yaml"
    gate.rename(folder / "shared.yaml")
    gate.symlink_to("../../shared.yaml")
    assert run(capsys, "validate")[0] == 0


def test_a_huge_file_is_refused_unread(folder: Path) -> None:
    """100 MB where a spec should be: exit 3 at once, in little memory."""
    with (folder / MODEL).open("wb") as file:
        file.truncate(100 << 20)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(
        [sys.executable, "-m", "modelops", "validate", MODEL], capture_output=True, text=True, check=False
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert (done.returncode, done.stdout) == (3, "")
    assert "104,857,600 bytes is more than the 1,048,576 that a spec may have [file-too-large]" in done.stderr
    assert peak <= max(before, 400 << 10)


def test_outside_of_any_repository(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that holds nothing of modelops is named with what to do."""
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "validate")
    assert code == 3
    assert "[not-a-repository]" in err


def test_since_looks_at_what_changed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only models that differ from the merge base are checked; a change of policies checks everything."""
    assert run(capsys, "validate", "--since", "HEAD")[1] == "8 files, 0 models: ok\n"
    edit(folder / MODEL, "seed: 7", "seed: 8")
    assert run(capsys, "validate", "--since", "HEAD")[1] == "15 files, 1 model: ok\n"
    git(folder, "commit", "-aqm", "Change the seed")
    assert run(capsys, "validate", "--since", "HEAD~1")[1] == "15 files, 1 model: ok\n"
    (folder / "models/model-0001/train.py").write_text("x = 1\n")
    assert run(capsys, "validate", "--since", "HEAD")[1] == "15 files, 1 model: ok\n"
    edit(folder / "policies/gates/standard.yaml", "0.85", "0.8")
    assert run(capsys, "validate", "--since", "HEAD")[1] == "22 files, 2 models: ok\n"


def test_since_finds_new_and_removed_files(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An untracked file is checked as well, and a removed one is missed by what refers to it."""
    (folder / "models/model-0001/environments/moon.yaml").write_text(
        "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: moon\nspec:\n  denied: []\n"
    )
    (folder / f"models/{NAME}/train.py").unlink()
    code, out, _ = run(capsys, "validate", "--since", "HEAD", "-o", "json")
    assert (code, sorted(codes(out))) == (3, ["unknown-entrypoint", "unknown-environment"])


def test_since_holds_immutable_files_to_their_first_bytes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A snapshot that differs from the merge base is an error, edited or removed, committed or not."""
    edit(folder / f"models/{NAME}/data/2026-q1.yaml", "reason: first snapshot", "reason: second thoughts")
    code, out, _ = run(capsys, "validate", "--since", "HEAD", "-o", "json")
    assert (code, codes(out)) == (3, ["immutable-file"])
    (folder / f"models/{NAME}/data/2026-q1.yaml").unlink()
    git(folder, "commit", "-aqm", "Remove the snapshot")
    code, out, _ = run(capsys, "validate", "--since", "HEAD~1", "-o", "json")
    assert sorted(codes(out)) == ["immutable-file", "unknown-snapshot"]


def test_since_an_unknown_revision_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A revision that git does not know is an error that names it."""
    code, _, err = run(capsys, "validate", "--since", "nowhere")
    assert code in (2, 3)
    assert "nowhere" in err


def test_schemas_accept_what_validate_accepts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file of a valid repository fits the schema of its kind; a misspelt parameter does not."""
    code, out, _ = run(capsys, "schema")
    assert (code, len(out.splitlines())) == (0, len(KINDS))
    seen = set()
    for path, data in world(1).items():
        found = place(path)
        if found is None:
            continue
        schema = json.loads((folder / f".modelops/schema/{found[0]}.json").read_text())
        Draft202012Validator.check_schema(schema)
        document = json.loads(json.dumps(parse(data, path).value))
        assert list(Draft202012Validator(schema).iter_errors(document)) == []
        document["spec"]["misspelt"] = 1
        assert list(Draft202012Validator(schema).iter_errors(document))
        seen.add(found[0])
    assert len(seen) == 11


def test_a_schema_knows_the_parameters_of_plugins(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parameters of a plugin are part of the schema, by type."""
    schema = json.loads(run(capsys, "schema", "RolloutPlan", "-o", "json")[1])["RolloutPlan"]
    document = json.loads(json.dumps(parse(world()[f"models/{NAME}/rollout.yaml"], "p").value))
    document["spec"]["strategy"]["params"]["stepz"] = []
    assert list(Draft202012Validator(schema).iter_errors(document))
    assert not (folder / ".modelops").exists()


def test_an_unknown_kind_is_a_usage_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A kind that does not exist is answered with the nearest one."""
    code, _, err = run(capsys, "schema", "Modle")
    assert code == 2
    assert "did you mean 'Model'?" in err


def test_validation_leaves_heavy_libraries_alone(folder: Path) -> None:
    """A change that names no plugin is checked without numpy, pandas, git bindings or the YAML library."""
    edit(folder / MODEL, "seed: 7", "seed: 8")
    program = (
        "import sys\nfrom modelops.cli import main\n"
        "try:\n    main(['validate', '--since', 'HEAD'])\n"
        "except SystemExit as ended:\n    assert ended.code == 0\n"
        "print(sorted({'numpy', 'pandas', 'pyarrow', 'scipy', 'sklearn', 'git', 'yaml', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["15 files, 1 model: ok", "[]"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A path of the caller's that no file can be made at is the world's fault, and says so."""
    with pytest.raises(ModelOpsError, match="cannot be written: No such file or directory") as caught:
        save(tmp_path / "nowhere" / "report.md", "text")
    assert (caught.value.problems[0].code, caught.value.exit) == ("unwritable", Exit.WORLD)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A reader sees the old or the new file, a link is followed, a pipe is written to, and nothing is left beside."""
    file, link, pipe = tmp_path / "report.md", tmp_path / "link.md", tmp_path / "pipe"
    file.write_text("old", encoding="utf-8")
    link.symlink_to(file)
    with file.open(encoding="utf-8") as reader:
        save(link, "new \udc80")
        assert reader.read() == "old"
    assert (file.read_text(encoding="utf-8"), link.is_symlink()) == ("new \\udc80", True)
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as end:
        save(pipe, "told")
        assert end.read() == b"told"
    assert pipe.is_fifo()
    assert {one.name for one in tmp_path.iterdir()} == {"report.md", "link.md", "pipe"}
