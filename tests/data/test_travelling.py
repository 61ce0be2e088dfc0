"""Snapshots between machines: pushed to the project's store, pulled into a clone, and told where they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from git_world import ADA, commit, git, identify, lonely
from modelops import data
from modelops.cli import main as command
from modelops.data.travelling import push
from modelops.errors import ModelOpsError
from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Source
from modelops.spec.load import load_resource
from modelops.stores.oci_layout import OciLayout


def main(arguments: list[str]) -> int:
    """Run a verb as a shell would and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        command(arguments)
    return int(ended.value.code or 0)


PROJECT = """apiVersion: modelops/v1
kind: Project
metadata:
  name: project
spec:
  store: {{type: oci-layout, params: {{path: {store}}}}}
  forge: {{type: embedded}}
"""
ROWS = "x,y\n" + "".join(f"{n},{n % 2}\n" for n in range(50))


@dataclass
class Team:
    """Two machines that share a store and nothing else but git."""

    store: Path
    mine: Path
    folder: Path

    def clone(self) -> Path:
        """Return what a colleague has after git clone."""
        other = self.folder / "other"
        git(self.folder, "clone", "-q", str(self.mine), str(other))
        identify(other, ADA)
        return other


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    """A repository whose data are ignored by git, and one snapshot of them."""
    mine, store = tmp_path / "mine", tmp_path / "store"
    lonely(mine, {"policies/project.yaml": PROJECT.format(store=store), ".gitignore": "/raw/\n/.modelops/\n"})
    (mine / "raw").mkdir()
    for part in ("a", "b"):
        (mine / "raw" / f"{part}.csv").write_text(ROWS)
    (mine / "raw" / "c.csv").write_text(ROWS.replace("49,1", "49,0"))
    (mine / "models" / "m").mkdir(parents=True)
    monkeypatch.chdir(mine)
    taken = main(["data", "snapshot", "m", "--name", "q1", "--path", "raw", "--owner", "ada", "--target", "y"])
    assert taken == 0
    commit(mine, {})
    return Team(store, mine, tmp_path)


def status(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    capsys.readouterr()
    assert main(["data", "status", "--output", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    return found


def test_a_clone_gets_what_was_pushed(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Data that git ignores are told to be here alone, travel by the store, and are put back where they lay."""
    assert status(capsys)["travels"] is False
    assert main(["data", "status"]) == 0
    assert "modelops data push m q1" in capsys.readouterr().out
    assert main(["data", "push", "m", "q1"]) == 0
    # Two of the three files are the same bytes.
    assert "m q1: 2 files sent" in capsys.readouterr().out
    assert main(["data", "push", "m", "--all"]) == 0
    assert "the store has all 3 files already" in capsys.readouterr().out

    other = team.clone()
    monkeypatch.chdir(other)
    assert status(capsys) | {"files": 3, "source": "missing", "inStore": 3, "cached": False} == status(capsys)
    assert main(["data", "verify", "m", "q1"]) == 1
    assert main(["data", "pull", "m", "q1"]) == 0
    assert "put back raw/a.csv" in capsys.readouterr().out
    assert main(["data", "verify", "m", "q1"]) == 0
    assert (other / "raw" / "c.csv").read_bytes() == (team.mine / "raw" / "c.csv").read_bytes()


def test_in_git_is_what_a_clone_would_have(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    """Not what lies in the work tree: what is lost or changed there is in git all the same, and comes back from it."""
    git(team.mine, "add", "--force", "raw")
    git(team.mine, "commit", "-q", "-m", "Keep the data")
    assert (status(capsys)["source"], status(capsys)["inGit"]) == ("there", True)
    (team.mine / "raw" / "a.csv").unlink()
    (team.mine / "raw" / "c.csv").write_text("changed\n")
    assert (status(capsys)["source"], status(capsys)["inGit"], status(capsys)["travels"]) == ("changed", True, True)
    assert main(["data", "status"]) == 0
    said = capsys.readouterr().out
    assert "data push" not in said
    assert "git checkout -- raw/a.csv raw/c.csv\n" in said
    git(team.mine, "commit", "-q", "-a", "-m", "Lose the data")
    assert status(capsys)["inGit"] is False
    git(team.mine, "checkout", "-q", "HEAD~", "--", "raw")
    assert (status(capsys)["source"], status(capsys)["inGit"]) == ("there", False)


def test_what_lies_there_already_stays(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that somebody changed is named and kept; the pinned bytes are in the cache all the same."""
    assert main(["data", "push", "m", "q1"]) == 0
    other = team.clone()
    (other / "raw").mkdir()
    (other / "raw" / "a.csv").write_text("mine\n")
    monkeypatch.chdir(other)
    capsys.readouterr()
    assert main(["data", "pull", "m", "q1"]) == 1
    said = capsys.readouterr()
    assert "raw/a.csv is truncated" in said.err
    assert (other / "raw" / "a.csv").read_text() == "mine\n"
    assert (other / "raw" / "b.csv").read_text() == ROWS


def test_a_link_leads_nobody_outside(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the folder of the source is a link, nothing is written through it."""
    assert main(["data", "push", "m", "q1"]) == 0
    other = team.clone()
    (team.folder / "outside").mkdir()
    (other / "raw").symlink_to(team.folder / "outside")
    monkeypatch.chdir(other)
    assert main(["data", "pull", "m", "q1"]) == 3
    assert "[data-location]" in capsys.readouterr().err
    assert list((team.folder / "outside").iterdir()) == []


def test_without_a_push_the_missing_file_is_named(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clone that can get the files nowhere is told which."""
    monkeypatch.chdir(team.clone())
    assert main(["data", "pull", "m", "q1"]) == 3
    assert "raw/a.csv" in capsys.readouterr().err
    assert main(["data", "pull", "m", "q1", "--all"]) == 2
    assert main(["data", "push", "m", "q9"]) == 2
    assert "snapshots here: q1" in capsys.readouterr().err


def _spec(team: Team) -> DataSnapshotSpec:
    path = "models/m/data/q1.yaml"
    spec: DataSnapshotSpec = load_resource((team.mine / path).read_bytes(), path).spec
    return spec


def test_a_push_goes_on_where_it_was(team: Team) -> None:
    """Of a push that was broken off only the rest is sent, and before it ends nothing says that it is whole."""
    spec, store = _spec(team), OciLayout(team.store)
    store.put_file(team.mine / "raw" / "a.csv")
    assert len(store.references()) == 0
    pushed = push(store, team.mine / "raw", spec.root, spec.files)
    assert (pushed.sent, pushed.there) == (1, 2)
    assert len(store.references()) == 1


def test_one_file_is_one_file(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    """What is said of a single file is said in the singular."""
    taken = main(["data", "snapshot", "m", "--name", "one", "--path", "raw/a.csv", "--owner", "ada", "--target", "y"])
    assert taken == 0
    capsys.readouterr()
    for said in ("m one: 1 file sent", "m one: the store has 1 file already"):
        assert main(["data", "push", "m", "one"]) == 0
        assert said in capsys.readouterr().out
    assert main(["data", "pull", "m", "one"]) == 0
    assert "m one: 1 file verified" in capsys.readouterr().out


def test_a_file_that_changes_while_it_is_sent_is_refused(team: Team) -> None:
    """What goes under a snapshot's name is what it pinned."""
    spec, store = _spec(team), OciLayout(team.store)
    (team.mine / "raw" / "c.csv").write_text("x,y\n")
    with pytest.raises(ModelOpsError, match="data-changed"):
        push(store, team.mine / "raw", spec.root, spec.files)
    assert len(store.references()) == 0


@pytest.mark.parametrize("loss", ["gone", "changed", "truncated"])
def test_the_store_makes_good_what_the_source_has_lost(team: Team, loss: str) -> None:
    """A build gets the pinned bytes although the source does not have them any more; verify names the loss."""
    spec, store = _spec(team), OciLayout(team.store)
    push(store, team.mine / "raw", spec.root, spec.files)
    file = team.mine / "raw" / "c.csv"
    content = file.read_bytes()
    {
        "gone": file.unlink,
        "changed": lambda: file.write_bytes(content[::-1]),
        "truncated": lambda: file.write_bytes(b"x"),
    }[loss]()
    places = {
        "repository_root": team.mine,
        "model_folder": team.mine / "models" / "m",
        "cache": team.folder / "cache",
        "store": store,
    }
    folder = data.materialise(spec, **places)
    assert (folder / "c.csv").read_bytes() == content
    assert len(data.verify(spec, **places)) == 1


def test_what_a_command_wrote_comes_from_the_store(team: Team) -> None:
    """A command is not run again where its files were pushed."""
    spec, store = _spec(team), OciLayout(team.store)
    push(store, team.mine / "raw", spec.root, spec.files)
    made = spec.model_copy(update={"source": Source(type="command", command=("false", "{output}"), owner="ada")})
    places = {"repository_root": team.mine, "model_folder": team.mine / "models" / "m", "cache": team.folder / "cache"}
    assert (data.materialise(made, **places, store=store) / "a.csv").read_text() == ROWS


def test_snapshots_share_their_files_in_the_cache(team: Team) -> None:
    """Two snapshots with the same file have it once on the disk; one that was damaged there is never believed."""
    spec, cache = _spec(team), team.folder / "cache"
    places = {"repository_root": team.mine, "model_folder": team.mine / "models" / "m", "cache": cache}
    first = data.materialise(spec, **places)
    smaller, other = (
        spec.model_copy(update={"files": files, "root": data.root_of(files)})
        for files in (spec.files[:1], (spec.files[0], spec.files[2]))
    )
    assert (data.materialise(other, **places) / "c.csv").stat().st_ino == (first / "c.csv").stat().st_ino
    (first / "a.csv").chmod(0o644)
    (first / "a.csv").write_text("damaged")
    second = data.materialise(smaller, **places)
    assert (second / "a.csv").read_text() == ROWS
    assert (data.materialise(spec, **places) / "b.csv").read_text() == ROWS
