"""`modelops pr`, as a person uses it in a clone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from git_world import ADA, BOB, World, commit, git
from modelops.cli import main

APPROVALS = """\
apiVersion: modelops/v1
kind: ApprovalPolicy
metadata:
  name: approvals
spec:
  groups:
    ml: [ada, bob, cy]
  rules:
    - change: model
      approvers: [group:ml]
    - change: policy
      approvers: [bob, cy]
      minimum: 2
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, {"policies/approvals.yaml": APPROVALS, "models/notes/readme.txt": "x"})


@pytest.fixture
def folder(world: World, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODELOPS_CLOCK", "2026-03-01T12:00:00Z")
    return world.clone("ada", ADA).root


class Run:
    """One run of the command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> None:
        with pytest.raises(SystemExit) as caught:
            main(["-C", str(folder), "pr", *arguments])
        self.code = caught.value.code
        captured = capsys.readouterr()
        self.out, self.err = captured.out, captured.err

    @property
    def data(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)


PROJECT = """\
apiVersion: modelops/v1
kind: Project
metadata:
  name: project
spec:
  branch: trunk
  remote: upstream
"""


FORGE = """\
  forge: {type: embedded, params: {branch: 5}}
"""


def test_branch_and_remote_are_the_projects(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A project may call its branch and its remote by other names."""
    world = World(tmp_path, {"policies/project.yaml": PROJECT})
    folder = world.clone("ada").root
    git(folder, "remote", "rename", "origin", "upstream")
    git(folder, "push", "--quiet", "upstream", "main:trunk")
    git(folder, "switch", "--quiet", "-c", "change")
    commit(folder, {"x": "1"})
    assert Run(capsys, folder, "create", "-o", "json").data["target"] == "trunk"


def test_a_broken_file_elsewhere_does_not_stop_its_repair(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A main branch that does not validate can still get the pull request that mends it."""
    commit(folder, {"models/a/model.yaml": "broken: ["})
    git(folder, "push", "--quiet", "origin", "main")
    propose(folder, {"models/a/model.yaml": "mended: true"})
    assert Run(capsys, folder, "create").code == 0
    assert Run(capsys, folder, "review", "1", "--approve", "--as", "bob").code == 0
    assert Run(capsys, folder, "merge", "1", "--as", "bob").code == 0
    assert git(world.remote, "show", "main:models/a/model.yaml") == "mended: true"


def propose(folder: Path, files: dict[str, str], branch: str = "change") -> None:
    git(folder, "switch", "--quiet", "-c", branch, "origin/main")
    commit(folder, files, f"Propose {branch}")


def test_from_branch_to_merge(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Create pushes the branch, someone else approves, and only then the merge goes through."""
    monkeypatch.chdir(folder)
    propose(folder, {"models/notes/readme.txt": "y"})
    created = Run(capsys, folder, "create", "--body", "Why not", "-o", "json")
    assert (created.data["number"], created.data["title"], created.data["author"]) == (1, "Propose change", "ada")
    assert "pushed change" in created.err
    assert world.tip("change") == created.data["head"]

    refused = Run(capsys, folder, "merge", "1")
    assert refused.code == 1
    assert "0 of 1 approval by group:ml; ask bob, cy [not-approved]" in refused.err
    own = Run(capsys, folder, "review", "1", "--approve")
    assert (own.code, "self-review" in own.err) == (1, True)

    bob = world.clone("bob", BOB).root
    assert Run(capsys, bob, "review", "1", "--approve", "-b", "Fine").out.startswith("bob approved #1 at ")
    shown = Run(capsys, bob, "view", "1")
    assert "approvals: enough" in shown.out
    assert "  models/notes/readme.txt" in shown.out
    assert Run(capsys, bob, "view", "1", "-o", "json").data["approved"] is True
    assert "-x\n\\ No newline" in Run(capsys, bob, "diff", "1").out

    merged = Run(capsys, bob, "merge", "1", "-o", "json")
    assert (merged.data["state"], merged.data["mergedBy"], merged.data["merge"]) == ("merged", "bob", world.tip())
    assert "(bob)" in merged.err
    again = Run(capsys, folder, "merge", "1")
    assert (again.code, again.out) == (0, f"#1 was merged by bob already, as {world.tip()[:12]}\n")


def test_an_approval_by_whoever_may_not_give_it_counts_for_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is kept, said to count for nothing with the reason, and ends with 1; so the pull request is not approved."""
    propose(folder, {"models/notes/readme.txt": "y"})
    Run(capsys, folder, "create")
    found = Run(capsys, folder, "review", "1", "--approve", "--as", "mallory")
    assert found.code == 1
    assert "counts for nothing: no rule names mallory as an approver, those named are ada, bob, cy" in found.out
    assert "approved #1" not in found.out
    assert Run(capsys, folder, "merge", "1", "--as", "mallory").code == 1
    assert Run(capsys, folder, "review", "1", "--comment", "-b", "Hm", "--as", "mallory").code == 0
    assert Run(capsys, folder, "review", "1", "--approve", "--as", "cy").code == 0


def test_an_approval_does_not_survive_a_push(world: World, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After one more commit the approval is of another head, and the merge is refused."""
    propose(folder, {"models/notes/readme.txt": "y"})
    Run(capsys, folder, "create")
    Run(capsys, folder, "review", "1", "--approve", "--as", "bob")
    commit(folder, {"models/notes/more.txt": "z"})
    git(folder, "push", "--quiet", "origin", "change")
    refused = Run(capsys, folder, "merge", "1", "--as", "cy")
    assert refused.code == 1
    assert "bob approved" in refused.err
    assert world.tip() != world.tip("change")


def test_a_change_of_the_policy_is_judged_by_the_policy_before_it(
    world: World, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lowering the bar in the pull request itself does not lower it for that pull request."""
    propose(folder, {"policies/approvals.yaml": APPROVALS.replace("minimum: 2", "minimum: 0")})
    Run(capsys, folder, "create")
    Run(capsys, folder, "review", "1", "--approve", "--as", "cy")
    refused = Run(capsys, folder, "merge", "1", "--as", "cy")
    assert refused.code == 1
    assert "policy: 1 of 2 approvals by bob, cy; ask bob" in refused.err
    assert "minimum: 2" in git(world.remote, "show", "main:policies/approvals.yaml")


def test_without_a_policy_nobody_may_approve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A base without an approval policy is a no, even if the pull request brings one."""
    folder = World(tmp_path).clone("ada").root
    propose(folder, {"policies/approvals.yaml": APPROVALS})
    Run(capsys, folder, "create", "--title", "Policy")
    Run(capsys, folder, "review", "1", "--approve", "--as", "cy")
    refused = Run(capsys, folder, "merge", "1", "--as", "cy")
    assert refused.code == 1
    assert "main has no policies/approvals.yaml" in refused.err


def test_list_comment_and_close(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists are by state; comments add up, or replace each other by key; closing is shown."""
    assert Run(capsys, folder, "list").out == "no open pull request\n"
    propose(folder, {"models/notes/readme.txt": "y"})
    Run(capsys, folder, "create", "--title", "Notes", "--label", "docs")
    Run(capsys, folder, "comment", "1", "-b", "one")
    Run(capsys, folder, "comment", "1", "-b", "two", "--as", "bob")
    Run(capsys, folder, "comment", "1", "-b", "old", "--key", "plan")
    commented = Run(capsys, folder, "comment", "1", "-b", "new", "--key", "plan", "-o", "json")
    assert [one["body"] for one in commented.data["comments"]] == ["one", "two", "new"]
    assert Run(capsys, folder, "list").out.splitlines()[1].split()[:4] == ["#1", "open", "ada", "change"]
    assert Run(capsys, folder, "close", "1").out == "closed #1 Notes (change into main, closed)\n"
    assert Run(capsys, folder, "close", "1", "--as", "bob").out == "#1 was closed by ada already\n"
    assert Run(capsys, folder, "list", "-s", "all", "-o", "json").data[0]["state"] == "closed"
    assert Run(capsys, folder, "list", "-s", "all", "-l", "docs", "-o", "json").data[0]["number"] == 1
    assert Run(capsys, folder, "list", "-s", "all", "--head", "other").out == "no pull request\n"
    assert "bob:\ntwo" in Run(capsys, folder, "view", "1").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["create"], 2, "source-is-target"),
        (["create", "--head", "none"], 3, "no-such-branch"),
        (["review", "1"], 2, "say --approve"),
        (["review", "1", "--request-changes"], 2, "needs a --body"),
        (["view", "9"], 2, "no-such-pull"),
        (["merge", "0"], 2, "0 is not in the range"),
        (["list", "--state", "new"], 2, "'new' is not one of"),
    ],
)
def test_asking_wrongly(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    """Every wrong question gets its exit code and its reason on standard error, and nothing on standard output."""
    answer = Run(capsys, folder, *arguments)
    assert (answer.code, answer.out) == (code, "")
    assert said in answer.err


def test_a_branch_that_went_two_ways_is_not_pushed_over(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Create never forces: a diverged branch is left to its owner."""
    propose(folder, {"models/notes/readme.txt": "y"})
    git(folder, "push", "--quiet", "origin", "change")
    git(folder, "commit", "--quiet", "--amend", "-m", "Rewritten")
    answer = Run(capsys, folder, "create")
    assert (answer.code, "have different commits" in answer.err) == (3, True)


def test_each_verb_said_twice_is_done_once(world: World, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Create, review and merge find their work done, from another clone too, say so, and leave one of each."""
    propose(folder, {"models/notes/readme.txt": "y"})
    first = Run(capsys, folder, "create", "-o", "json").data
    again = Run(capsys, folder, "create")
    assert (again.code, again.out) == (0, "is open already: #1 Propose change (change into main, open)\n")
    bob = world.clone("bob", BOB).root
    assert Run(capsys, bob, "review", "1", "--approve").out == f"bob approved #1 at {first['head'][:12]}\n"
    assert Run(capsys, bob, "review", "1", "--approve").out == f"bob approved #1 at {first['head'][:12]} already\n"
    assert len(Run(capsys, folder, "view", "1", "-o", "json").data["reviews"]) == 1
    assert Run(capsys, bob, "merge", "1").code == 0
    # As a merge leaves it that was killed after the push.
    git(world.remote, "update-ref", "refs/heads/change", first["head"])
    done = Run(capsys, folder, "merge", "1", "--match-head-commit", first["head"][:12])
    assert (done.code, "was merged by bob already" in done.out) == (0, True)
    assert git(world.remote, "branch", "--list", "change") == ""
    assert len(git(world.remote, "log", "--merges", "--format=%H", "main").splitlines()) == 1
    assert Run(capsys, folder, "review", "1", "--approve", "--as", "bob").code == 0


def test_what_differs_from_what_was_asked_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another title, label, head or state is not passed off as done."""
    propose(folder, {"models/notes/readme.txt": "y"})
    Run(capsys, folder, "create", "--title", "One", "--label", "red")
    assert Run(capsys, folder, "create", "--title", "One", "--label", "red").code == 0
    for words, said in ((["--title", "Two"], "the title is 'One'"), (["-l", "blue"], "no label blue")):
        answer = Run(capsys, folder, "create", *words)
        assert (answer.code, said in answer.err, "[pull-exists]" in answer.err) == (2, True, True)
    for verb in (["review", "1", "--approve", "--as", "bob"], ["merge", "1", "--as", "bob"]):
        if verb[0] == "merge":
            assert Run(capsys, folder, "review", "1", "--approve", "--as", "bob").code == 0
        answer = Run(capsys, folder, *verb, "--match-head-commit", "0000000")
        assert (answer.code, "[head-moved]" in answer.err) == (1, True)
    assert Run(capsys, folder, "close", "1").code == 0
    answer = Run(capsys, folder, "merge", "1", "--as", "bob")
    assert (answer.code, "#1 is closed (by ada) [pull-not-open]" in answer.err) == (1, True)


def test_parameters_of_the_forge_are_checked_as_everywhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong parameter in the project file is an error with its place, whichever verb opens the forge."""
    commit(folder, {"policies/project.yaml": PROJECT.replace("trunk", "main").replace("upstream", "origin") + FORGE})
    answer = Run(capsys, folder, "list")
    assert (answer.code, "policies/project.yaml:8:44: spec.forge.params.branch" in answer.err) == (3, True), answer.err


def test_a_detached_head_has_no_branch_to_propose(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence says how to get a branch."""
    git(folder, "checkout", "--quiet", "--detach")
    answer = Run(capsys, folder, "create")
    assert answer.code == 3
    assert "git switch -c" in answer.err


def test_help_imports_neither_git_nor_the_loop(folder: Path) -> None:
    """The verb's help is quick: nothing heavy is imported for it."""
    code = (
        "import sys; from modelops.cli import cli; cli.main(['pr', '--help'], standalone_mode=False);"
        "print([m for m in ('git', 'pydantic', 'modelops.repository', 'modelops.reconcile') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout.splitlines()[-1] == "[]"
