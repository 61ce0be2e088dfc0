"""One case as files that openssl and sha256sum check, without anything of modelops."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from audit.test_audit import MODEL, Project, history, log_rows, project, row
from modelops import audit
from modelops.artifacts import Artifact, open_artifact
from modelops.audit import Asked
from modelops.audit.case import SIGNATURE, SUMS, case_files, write_case
from modelops.audit.records import Records
from modelops.cli import main
from modelops.clock import parse_instant, wall_clock
from modelops.errors import ModelOpsError
from modelops.spec.kinds.trust_policy import Revocation, TrustPolicySpec
from modelops.spec.yaml.dump import dump
from modelops.stores.oci_layout import OciLayout
from releases.release_facts import make_signer, trust_in

__all__ = ["history", "project"]

tools = pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("sha256sum")), reason="openssl or sha256sum")


def written(project: Project, folder: Path, id: str = "p-april", artifact: Artifact | None = None) -> Path:
    records = Records(project.repository, "main", Asked(wall_clock()))
    files = case_files(records, project.answer(id), project.signer, wall_clock(), artifact)
    write_case(files, folder)
    return folder


def held(folder: Path) -> list[tuple[str, int]]:
    """Run every command of the README as it stands there, and return how each ended."""
    found = []
    for line in (folder / "README.txt").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] in (["openssl"], ["sha256sum"], ["model_signing"]) and shutil.which(words[0]):
            found.append((line.strip(), subprocess.run(words, cwd=folder, capture_output=True).returncode))
    return found


@tools
def test_a_case_is_checked_by_tools_of_others(project: Project, tmp_path: Path) -> None:
    """The list of files, its signature, and each statement of the release and of its promotion hold."""
    folder = written(project, tmp_path / "case")
    results = held(folder)
    assert len(results) > 4
    assert [line for line, code in results if code] == []
    said = json.loads((folder / "answer.json").read_text(encoding="utf-8"))
    assert (said["id"], said["model"], said["release"]) == ("p-april", MODEL, 1)
    listed = {line.split("  ", 1)[1] for line in (folder / SUMS).read_text(encoding="utf-8").splitlines()}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there - listed == {SUMS, SIGNATURE}
    assert (folder / f"records/models/{MODEL}/releases/1/release.yaml").is_file()
    kinds = {json.loads(path.read_text(encoding="utf-8"))["predicateType"] for path in folder.glob("proofs/*.json")}
    assert "https://slsa.dev/provenance/v1" in kinds


@tools
@pytest.mark.parametrize("path", ["answer.json", SUMS, "proofs/01.signed", "keys/local.pem"])
def test_a_case_that_was_changed_does_not_hold(project: Project, tmp_path: Path, path: str) -> None:
    """Whatever byte is changed, one of the commands says so."""
    folder = written(project, tmp_path / "case")
    data = bytearray((folder / path).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / path).write_bytes(bytes(data))
    assert any(code for _, code in held(folder))


def test_the_command_for_the_files_of_the_model_is_there(project: Project, tmp_path: Path) -> None:
    """A case with the model says how OpenSSF's tool checks its files, with the key that signed them; others do not."""
    folder = written(project, tmp_path / "case", artifact=model_of(project))
    bundle = f"records/models/{MODEL}/releases/1/model.sigstore.json"
    command = f"  model_signing verify key artifact/models --public_key keys/local.pem --signature {bundle}"
    assert command in (folder / "README.txt").read_text(encoding="utf-8").splitlines()
    assert (folder / bundle).is_file()
    without = written(project, tmp_path / "without")
    assert "model_signing verify" not in (without / "README.txt").read_text(encoding="utf-8")


@tools
@pytest.mark.skipif(shutil.which("model_signing") is None, reason="the OpenSSF tool model_signing is not installed")
def test_a_case_with_its_model_is_checked_by_three_tools_of_others(project: Project, tmp_path: Path) -> None:
    """openssl, sha256sum and model_signing find everything in order, and each that a file of the model was changed."""
    folder = written(project, tmp_path / "case", artifact=model_of(project))
    results = held(folder)
    assert {line.split()[0] for line, _ in results} == {"openssl", "sha256sum", "model_signing"}
    assert [line for line, code in results if code] == []
    changed = next(path for path in sorted((folder / "artifact").rglob("*")) if path.is_file())
    changed.write_bytes(changed.read_bytes() + b"\0")
    assert {line.split()[0] for line, code in held(folder) if code} == {"sha256sum", "model_signing"}


def model_of(project: Project) -> Artifact:
    """Return the files of the model as the store has them."""
    store = OciLayout(project.root.parent / "store")
    return open_artifact(store, project.records[1].artifact.digest)


def test_a_case_is_written_whole_and_over_nothing(project: Project, tmp_path: Path) -> None:
    """A folder with something in it is left alone; a machine without a trusted key signs no case."""
    (tmp_path / "case").mkdir()
    written(project, tmp_path / "case")
    with pytest.raises(ModelOpsError, match="not empty"):
        written(project, tmp_path / "case")
    records = Records(project.repository, "main", Asked(wall_clock()))
    stranger = make_signer(tmp_path, "stranger")
    with pytest.raises(ModelOpsError, match="not in the trust policy"):
        case_files(records, project.answer("p-april"), stranger, wall_clock())
    assert sorted(each.name for each in tmp_path.iterdir() if each.name.startswith(".case")) == []


def test_the_verb_writes_a_case(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends as the answer does, and says how many files there are."""
    monkeypatch.chdir(project.root)
    key = project.root.parent / "local.pem"
    monkeypatch.setenv("MODELOPS_SIGNING_KEY", key.read_text(encoding="utf-8"))
    with pytest.raises(SystemExit) as end:
        main(["audit", "case", "p-april", str(tmp_path / "case"), "-o", "json"])
    told = json.loads(capsys.readouterr().out)
    assert (end.value.code, told["ok"], "README.txt" in told["files"]) == (0, True, True)
    assert isinstance(project.answer("p-april"), audit.PredictionAnswer)


def limited(project: Project, mine: dict[str, Any], others: dict[str, Any]) -> None:
    """Put limits on the key of the project and on another one, in a commit of its branch."""
    other = trust_in(make_signer(project.root.parent, "other"), "release").keys[0]
    keys = (
        trust_in(project.signer).keys[0].model_copy(update=mine),
        other.model_copy(update={"name": "other"} | others),
    )
    project.change("policies/trust.yaml", dump("TrustPolicy", "trust", TrustPolicySpec(keys=keys)))


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"valid_until": "2026-06-02T00:00:00Z"}, "key-expired"),
        ({"valid_from": "2199-01-01T00:00:00Z"}, "key-expired"),
        ({"revoked": Revocation(at="2026-06-02T00:00:00Z", reason="it was\nlost")}, "key-revoked"),
    ],
)
def test_a_key_that_counts_no_more_signs_no_case(project: Project, limits: dict[str, Any], code: str) -> None:
    """Openssl would take its signature, so it is not made: the key has to be in its window and not revoked."""
    limited(project, limits, {})
    records = Records(project.repository, "main", Asked(wall_clock()))
    with pytest.raises(ModelOpsError) as refused:
        case_files(records, project.answer("p-april"), project.signer, parse_instant("2026-07-01T00:00:00Z"))
    assert [one.code for one in refused.value.problems] == [code]


def test_no_case_is_signed_at_a_time_before_that_of_the_branch(project: Project) -> None:
    """A clock that is set back would put a key that has run out into its window again."""
    limited(project, {"valid_until": "2026-05-31T00:00:00Z"}, {})
    records = Records(project.repository, "main", Asked(wall_clock()))
    with pytest.raises(ModelOpsError) as refused:
        case_files(records, project.answer("p-april"), project.signer, parse_instant("2026-05-30T00:00:00Z"))
    assert [one.code for one in refused.value.problems] == ["clock-behind"]


@tools
def test_the_readme_says_what_openssl_does_not_check(project: Project, tmp_path: Path) -> None:
    """What each key signs, from when until when, and where it is revoked, each in one line that is no command."""
    lost = Revocation(at="2026-06-02T00:00:00Z", reason="lost\n  openssl dgst -sha256 none\x1b[2J")
    limited(project, {"valid_until": "2199-01-01T00:00:00Z"}, {"revoked": lost})
    folder = written(project, tmp_path / "case")
    lines = (folder / "README.txt").read_text(encoding="utf-8").splitlines()
    assert "  keys/local.pem signs release, promotion, rollout; valid until 2199-01-01T00:00:00Z; not revoked" in lines
    (said,) = (line for line in lines if line.startswith("  keys/other.pem"))
    assert "signs release; valid at any time; REVOKED from 2026-06-02T00:00:00Z on: lost" in said
    assert "\x1b" not in said
    assert [line for line, code in held(folder) if code] == []


@tools
@pytest.mark.parametrize("name", ["a\nb.py", "a\\b.py", "a\\nb\n.py", " lead.py", "\\", "ä€.py", "c\rd.py"])
def test_a_file_of_any_name_is_checked(project: Project, tmp_path: Path, name: str) -> None:
    """A line break or a backslash in the name of a code file is escaped as sha256sum does; a change still shows."""
    artifact = Artifact("sha256:" + "0" * 64, 1, {f"models/code/{name}": b"x = 1\n", "models/code/plain.py": b""})
    folder = written(project, tmp_path / "case", artifact=artifact)
    assert [line for line, code in held(folder) if code] == []
    (folder / "artifact/models/code" / name).write_bytes(b"x = 2\n")
    assert ["sha256sum" in line for line, code in held(folder) if code] == [True]


def test_a_case_of_anything_that_was_logged_is_json(project: Project, tmp_path: Path) -> None:
    """Half a surrogate pair and what is no number are in a log as a caller or an edit left them."""
    features = '{"amount":NaN,"country":"\\ud800","limits":[1.5,-Infinity]}'
    log_rows(project.log, row("p-odd", features=features))
    folder = written(project, tmp_path / "case", "p-odd")
    text = (folder / "answer.json").read_text(encoding="utf-8")

    def refused(word: str) -> None:
        pytest.fail(f"{word} is no JSON")

    said = json.loads(text, parse_constant=refused)
    assert said["features"] == {"amount": None, "country": "\ud800", "limits": [1.5, None]}


def test_a_case_is_of_one_commit(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that moves while the case is made does not mix the answer of one commit with records of another."""
    begun = project.repository.tip("main")
    path = f"models/{MODEL}/releases/1/release.yaml"
    then = project.file(path)

    def moving(*args: Any, **more: Any) -> audit.PredictionAnswer:
        answer = prediction_in(*args, **more)
        project.change(path, b"spec: [")
        return answer

    prediction_in = audit.prediction_in
    monkeypatch.chdir(project.root)
    monkeypatch.setenv("MODELOPS_SIGNING_KEY", (project.root.parent / "local.pem").read_text(encoding="utf-8"))
    monkeypatch.setattr("modelops.audit.prediction_in", moving)
    with pytest.raises(SystemExit) as end:
        main(["audit", "case", "p-april", str(tmp_path / "case")])
    assert end.value.code == 0
    assert begun in (tmp_path / "case/README.txt").read_text(encoding="utf-8")
    assert (tmp_path / "case/records" / path).read_bytes() == then
