"""One case as files that openssl and sha256sum check, without anything of modelops."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from audit.test_audit import MODEL, Project, history, project
from modelops import audit
from modelops.audit import Asked
from modelops.audit.case import SIGNATURE, SUMS, case_files, write_case
from modelops.audit.records import Records
from modelops.cli import main
from modelops.clock import wall_clock
from modelops.errors import ModelOpsError
from releases.release_facts import make_signer

__all__ = ["history", "project"]

tools = pytest.mark.skipif(not (shutil.which("openssl") and shutil.which("sha256sum")), reason="openssl or sha256sum")


def written(project: Project, folder: Path) -> Path:
    records = Records(project.repository, "main", Asked(wall_clock()))
    files = case_files(records, project.answer("p-april"), project.signer, wall_clock())
    write_case(files, folder)
    return folder


def held(folder: Path) -> list[tuple[str, int]]:
    """Run every command of the README as it stands there, and return how each ended."""
    found = []
    for line in (folder / "README.txt").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] in (["openssl"], ["sha256sum"]):
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
