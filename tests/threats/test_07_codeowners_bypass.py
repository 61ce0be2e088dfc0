"""Threat 7: a change gets past those who must approve it, because what is shown and judged is not what is merged."""

from __future__ import annotations

import hashlib
import json
import subprocess
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forges.forge_world import forge_of
from git_world import ADA, NOON, git, lonely
from modelops.cli import show_problems
from modelops.errors import Location, ModelOpsError, Problem
from modelops.forges import Account, PullRequest
from modelops.governance.results import result_of
from modelops.markup import plain, shown, visible
from threats.proposals import APPROVALS, CODE, GATE, LINES, POLICY, SPEC, TRUST, Stage, verb

ORDERS = (("words", "policy"), ("policy", "words"))


POLICIES = {GATE: "stronger\n", APPROVALS: POLICY.replace("[barbara]", "[barbara, dan]"), TRUST: "keys: new\n"}


def crossed(stage: Stage, order: tuple[str, str]) -> PullRequest:
    """Open a branch with two merge bases, one of which hides that it takes merged changes of policies back."""
    stage.branch("policy", POLICIES, "ada")
    stage.branch("words", {SPEC: "words: more\n"}, "ada")
    git(stage.root, "switch", "--quiet", "--create", "merging", "origin/main")
    for name in ("policy", "words"):
        git(stage.root, "merge", "--quiet", "--no-ff", "-m", "Merge", name)
    git(stage.root, "push", "--quiet", "origin", "merging:main")
    stage.crossing("evil", "words", order)
    stage.commit({CODE: LINES.replace("line 3", "seed 9")})
    pull = stage.open("evil")
    assert len(stage.repository.merge_bases(stage.repository.tip("main"), pull.head)) == 2
    return pull


@pytest.mark.parametrize("order", ORDERS)
def test_crossed_histories_hide_no_change_of_a_policy(tmp_path: Path, order: tuple[str, str]) -> None:
    """Whatever the order of the parents: the policies are in view, their approvers are asked, a merge is refused."""
    stage = Stage(tmp_path)
    pull = crossed(stage, order)
    stage.approve(pull.number, "grace")
    verdict = stage.judge(pull.number)
    assert verdict.result is not None
    assert set(verdict.result.paths) == {CODE, *POLICIES}
    assert not verdict.ok
    assert "policy: 0 of 1 approval by group:risk; ask barbara" in "; ".join(verdict.reasons)
    refused = verb(stage, "pr", "merge", str(pull.number), "--as", "mallory")
    assert (refused.code, "[not-approved]" in refused.err) == (1, True)
    # The forge merges for anybody who may push; that is judged as what it did.
    assert not stage.judge(stage.merge(pull.number)).ok


def test_crossed_histories_are_shown_as_what_they_make(tmp_path: Path) -> None:
    """View and diff name the files that the merge changes and show their lines; with both approvals it is merged."""
    stage = Stage(tmp_path)
    pull = crossed(stage, ORDERS[0])
    assert "-stronger\n+minimum: 0.85" in verb(stage, "pr", "diff", str(pull.number)).out
    viewed = json.loads(verb(stage, "pr", "view", str(pull.number), "-o", "json").out)
    assert set(viewed["files"]) == {CODE, *POLICIES}
    assert {one["change"] for one in viewed["changes"]} == {"model", "policy"}
    stage.approve(pull.number, "grace", "barbara")
    done = verb(stage, "pr", "merge", str(pull.number), "--as", "mallory")
    assert done.code == 0, done.err
    assert viewed["result"]["tree"] == git(stage.root, "rev-parse", "origin/main^{tree}")


def test_a_merge_inside_of_the_branch_hides_nothing(tmp_path: Path) -> None:
    """A merge of main into the branch that quietly takes a policy back changes that policy."""
    stage = Stage(tmp_path)
    old = stage.branch("feature", {CODE: LINES + "more\n"})
    stage.proposed_and_merged("policy", {GATE: "minimum: 0.90\n"}, "barbara")
    git(stage.root, "fetch", "--quiet")
    stage.crossing("feature", old, (old, "origin/main"))
    pull = stage.open("feature")
    stage.approve(pull.number, "ada", "grace")
    verdict = stage.judge(pull.number)
    assert verdict.result is not None
    assert verdict.result.paths == (CODE, GATE)
    assert not verdict.ok


def _approved(stage: Stage) -> PullRequest:
    stage.branch("feature", {CODE: LINES.replace("line 3", "seed 9")})
    pull = stage.open("feature")
    stage.pushed({SPEC: "words: more\n"})
    stage.approve(pull.number, "ada")
    assert stage.judge(pull.number).ok
    return stage.get(pull.number)


def _merge_by_hand(stage: Stage, pull: PullRequest, files: dict[str, str | bytes | None], *parents: str) -> str:
    made = stage.repository.merged(stage.repository.tip("main"), pull.head)
    git(stage.root, "switch", "--quiet", "--detach", made)
    tree = stage.commit(files, "grace") if files else made
    options = [part for parent in parents or ("origin/main", pull.head) for part in ("-p", parent)]
    return git(stage.root, "commit-tree", f"{tree}^{{tree}}", *options, "-m", "Merge pull request")


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Return a world in which main has moved on, and pull request 1 has the approvals that it needs."""
    stage = Stage(tmp_path_factory.mktemp("approved"))
    assert _approved(stage).number == 1
    return stage


EXTRAS: tuple[dict[str, str | bytes | None], ...] = (
    {GATE: "minimum: 0.1\n"},
    {CODE: LINES + "backdoor\n"},
    {"models/churn/more.py": "x"},
    {SPEC: "words: few\n"},
)


@pytest.mark.parametrize("files", EXTRAS)
def test_a_merge_that_holds_more_than_merging_makes_is_refused_by_its_paths(
    approved: Stage, files: dict[str, str | bytes | None]
) -> None:
    """A merge made by hand with anything else in it, or without what the target had, was shown to nobody."""
    pull = approved.get(1)
    verdict = approved.judge(approved.by_hand(pull, _merge_by_hand(approved, pull, files)))
    assert not verdict.ok
    assert next(iter(files)) in verdict.reasons[0]
    assert "which nobody was shown" in verdict.reasons[0]


def test_a_merge_by_hand_that_is_what_merging_makes_counts(approved: Stage) -> None:
    """A merge commit, a squash and a rebase have the same tree, and are judged alike: no less and no more."""
    pull = approved.get(1)
    for parents in ((), ("origin/main",)):
        assert approved.judge(approved.by_hand(pull, _merge_by_hand(approved, pull, {}, *parents))).ok
    git(approved.root, "switch", "--quiet", "--detach", pull.head)
    git(approved.root, "rebase", "--quiet", "origin/main")
    assert approved.judge(approved.by_hand(pull, git(approved.root, "rev-parse", "HEAD"))).ok


def test_a_conflict_that_somebody_resolved_in_the_merge_is_refused(tmp_path: Path) -> None:
    """What conflicts cannot be approved, before the merge and after it, and the files are named."""
    stage = Stage(tmp_path)
    stage.branch("feature", {GATE: "minimum: 0.80\n"})
    pull = stage.open("feature")
    stage.approve(pull.number, "barbara")
    stage.pushed({GATE: "minimum: 0.95\n"})
    verdict = stage.judge(pull.number)
    assert not verdict.ok
    assert f"cannot be merged: both sides changed {GATE}" in verdict.reasons[0]
    stage.approve(pull.number, "barbara")
    assert not stage.judge(pull.number).ok
    for verb_ in ("merge", "diff"):
        answer = verb(stage, "pr", verb_, str(pull.number))
        assert (answer.code, GATE in answer.err) == (1, True)
    assert "NOT TO BE APPROVED" in verb(stage, "pr", "view", str(pull.number)).out
    git(stage.root, "switch", "--quiet", "--detach", "origin/main")
    tree = stage.commit({GATE: "minimum: 0.80\n"})
    made = git(stage.root, "commit-tree", f"{tree}^{{tree}}", "-p", "origin/main", "-p", pull.head, "-m", "Merge")
    after = stage.judge(stage.by_hand(stage.get(pull.number), made))
    assert not after.ok
    assert f"merged by hand, as {made[:12]}" in after.reasons[0]


def test_a_head_without_a_change_or_a_common_history_is_no_proposal(tmp_path: Path) -> None:
    """What main has already changes nothing; a history of its own cannot be merged."""
    stage = Stage(tmp_path)
    stage.branch("feature", {CODE: "x\n"})
    pull = stage.open("feature")
    git(stage.root, "push", "--quiet", "origin", "feature:main")
    verdict = stage.judge(pull.number)
    assert (verdict.ok, verdict.reasons) == (False, (f"pull request #{pull.number} changes no file",))
    stranger = git(stage.root, "commit-tree", "HEAD^{tree}", "-m", "Stranger")
    git(stage.root, "push", "--quiet", "--force", "origin", f"{stranger}:refs/heads/feature")
    verdict = stage.judge(pull.number)
    assert not verdict.ok
    assert "have no commit in common" in verdict.reasons[0]


def test_every_kind_of_change_needs_its_own_approvals(tmp_path: Path) -> None:
    """A model, a promotion, a policy and the lock in one pull request ask everybody whom each of them alone asks."""
    stage = Stage(tmp_path)
    lock, seat = "requirements.lock", "models/churn/environments/prod.yaml"
    stage.branch("all", {CODE: "x\n", seat: "stable: 1\n", GATE: "minimum: 0\n", lock: "numpy==2\n"})
    pull = stage.open("all")
    stage.approve(pull.number, "grace")
    assert not stage.judge(pull.number).ok
    assert {one.kind for one in stage.judge(pull.number).changes} == {"model", "promotion", "policy"}
    stage.approve(pull.number, "barbara")
    assert stage.judge(pull.number).ok


ATTRIBUTES = (
    "* -diff",
    "* binary",
    "* -text -diff linguist-generated",
    "* diff=hide",
    "* filter=hide text eol=crlf",
    "*.py working-tree-encoding=UTF-16",
    "* export-ignore merge=ours",
)


def test_no_attribute_hides_a_line(tmp_path: Path) -> None:
    """Neither those of the pull request, nor of the clone or its user with programs of their own, change the diff."""
    folders = {f"models/churn/part{number}": attributes for number, attributes in enumerate(ATTRIBUTES)}
    stage = Stage(tmp_path, {f"{folder}/a.py": LINES for folder in folders})
    for setting in ("diff.hide.textconv", "diff.external", "filter.hide.clean", "diff.hide.command"):
        git(stage.root, "config", setting, "true")
    (stage.root / ".git/info").mkdir(exist_ok=True)
    (stage.root / ".git/info/attributes").write_text("*.py -diff diff=hide\n")
    git(stage.root, "switch", "--quiet", "--create", "feature", "origin/main")
    # Written past the filters, so that the bytes are what they are.
    text = LINES.replace("line 3\n", "steal()\n")
    files = {f"{folder}/a.py": text.encode() for folder in folders}
    files |= {f"{folder}/.gitattributes": f"{attributes}\n".encode() for folder, attributes in folders.items()}
    repository = stage.repository
    head = repository.commit_files(repository.tip("main"), files, "Hide", ADA, NOON)
    repository.push_branch("feature", head)
    pull = forge_of(repository, "mallory").open(title="Hide", body="", source="feature").pull
    shown = verb(stage, "pr", "diff", str(pull.number)).out
    assert shown.count("-line 3\n+steal()") == len(ATTRIBUTES)


def test_no_attribute_decides_what_a_merge_holds(tmp_path: Path) -> None:
    """A conflict is one for everybody: no merge driver of the repository or of one clone resolves it in secret."""
    drivers = ("union", "ours", "hide")
    attributes = "".join(f"policies/{driver}.txt merge={driver}\n" for driver in drivers)
    files = {f"policies/{driver}.txt": "0.85\n" for driver in drivers}
    stage = Stage(tmp_path, {".gitattributes": attributes, **files})
    git(stage.root, "config", "merge.hide.driver", "true")
    git(stage.root, "config", "merge.default", "hide")
    stage.branch("feature", dict.fromkeys(files, "0.80\n"))
    pull = stage.open("feature")
    stage.pushed(dict.fromkeys(files, "0.95\n"))
    assert stage.judge(pull.number).reasons[0].endswith(f"both sides changed {', '.join(sorted(files))}")
    with pytest.raises(ModelOpsError) as caught:
        stage.merge(pull.number)
    assert caught.value.first.code == "merge-conflict"


def test_a_change_of_a_submodule_or_of_a_mode_is_seen(tmp_path: Path) -> None:
    """Neither .gitmodules nor a setting keeps a submodule out; links and modes are told in words."""
    stage = Stage(tmp_path)
    git(stage.root, "config", "diff.ignoreSubmodules", "all")
    git(stage.root, "switch", "--quiet", "--create", "feature", "origin/main")
    (stage.root / ".gitmodules").write_text('[submodule "lib"]\n\tpath = models/churn/lib\n\turl = x\n\tignore = all\n')
    (stage.root / CODE).chmod(0o755)
    (stage.root / "models/churn/link").symlink_to("../../policies/trust.yaml")
    git(stage.root, "add", "--all")
    git(stage.root, "update-index", "--add", "--cacheinfo", f"160000,{stage.world.first},models/churn/lib")
    git(stage.root, "commit", "--quiet", "-m", "Add")
    pull = stage.open("feature")
    verdict = stage.judge(pull.number)
    assert verdict.result is not None
    assert set(verdict.result.paths) == {".gitmodules", CODE, "models/churn/lib", "models/churn/link"}
    shown = verb(stage, "pr", "diff", str(pull.number)).out
    assert "added models/churn/lib, a submodule" in shown
    assert f"+Subproject commit {stage.world.first}" in shown
    assert "added models/churn/link, a symbolic link" in shown
    assert "+../../policies/trust.yaml" in shown
    assert f"changed {CODE}, a file becomes an executable file" in shown


def test_what_is_not_text_is_named_with_size_and_digest(tmp_path: Path) -> None:
    """A binary file and one that is too large are named before all text; a null byte makes no code binary."""
    stage = Stage(tmp_path)
    binary, large = bytes(range(256)) * 40, b"x = 1\n" * 100_000
    files = {"models/churn/a.bin": binary, "models/churn/big.py": large, CODE: b"# \x00\x01\nsteal()\n"}
    stage.branch("feature", files)
    pull = stage.open("feature")
    shown = verb(stage, "pr", "diff", str(pull.number)).out
    for data in (binary, large):
        assert f"{len(data):,} bytes, sha256:{hashlib.sha256(data).hexdigest()}" in shown.partition("diff --git")[0]
    assert "added models/churn/a.bin, NOT SHOWN below" in shown
    assert "+# <U+0000><U+0001>\n+steal()" in shown
    told = json.loads(verb(stage, "pr", "diff", str(pull.number), "-o", "json").out)
    assert [one["hidden"] for one in told["files"]] == ["binary", "large", None]


def test_a_rename_is_shown_with_all_that_it_brings(tmp_path: Path) -> None:
    """What was moved where it runs is shown whole, as it may never have been looked at where it lay."""
    stage = Stage(tmp_path, {"notes/idea.txt": LINES + "steal()\n"})
    stage.branch("feature", {"notes/idea.txt": None, "models/churn/extra.py": LINES + "steal()\n"})
    pull = stage.open("feature")
    shown = verb(stage, "pr", "diff", str(pull.number)).out
    assert "added models/churn/extra.py, renamed from notes/idea.txt" in shown
    assert "+steal()" in shown
    assert "-steal()" in shown


HIDDEN = {
    "override": "\u202e",
    "isolate": "\u2066",
    "mark": "\u200f",
    "arabic": "\u061c",
    "width": "\u200b",
    "joiner": "\u200d",
    "tag": "\U000e0041",
    "filler": "\u3164",
    "escape": "\x1b",
    "return": "\r",
    "separator": "\u2028",
    "no-break": "\u00a0",
}


def test_no_character_hides_what_code_says(tmp_path: Path) -> None:
    """Each is told by its name in a line and in the name of a file, and none reaches the terminal."""
    stage = Stage(tmp_path)
    code = "".join(f"if admin{each}:  # {each} check\n" for each in HIDDEN.values())
    names = {f"models/churn/a{each}b.py": "x\n" for each in HIDDEN.values()}
    stage.branch("feature", {CODE: code, **names})
    pull = stage.open("feature")
    diff = verb(stage, "pr", "diff", str(pull.number)).out
    view = verb(stage, "pr", "view", str(pull.number)).out
    listed = verb(stage, "pr", "diff", str(pull.number), "-o", "json").out
    for name, each in HIDDEN.items():
        said = f"<U+{ord(each):04X}>"
        assert f"+if admin{said}:  # {said} check\n" in diff, name
        for text in (diff, view, listed):
            assert each not in text or name == "no-break", name


def test_foreign_words_are_no_commands_of_a_runner(tmp_path: Path) -> None:
    """Bodies, reviews and files with lines that a workflow's runner would obey are shown as text."""
    stage = Stage(tmp_path)
    body = "Why\n::add-mask::secret\n  ::stop-commands::x\nx ##[group]y\u202e"
    stage.branch("feature", {CODE: "::add-mask::x\n" + LINES})
    git(stage.root, "push", "--quiet", "origin", "feature")
    opened = verb(stage, "pr", "create", "--body", body, "--title", "::error::Title", "--as", "mallory")
    assert opened.code == 0, opened.err
    refused = verb(stage, "pr", "review", "1", "--approve", "--as", "::warning::me")
    assert refused.code == 2
    texts = [opened.out, refused.err]
    texts += [
        verb(stage, "pr", *words).out for words in (("view", "1"), ("list",), ("diff", "1"), ("list", "-o", "json"))
    ]
    for line in "\n".join(texts).splitlines():
        assert not line.lstrip("+- ").startswith("::"), line
        assert "##[" not in line


def test_the_words_of_an_error_are_no_commands_of_a_runner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training code may say anything when it fails, over many lines: the only command is the annotation itself."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    words = "boom\n::add-mask::x\r\n  ::error file=policies/trust.yaml::hi\n##[error]y\x1b[2J\u202e"
    show_problems([Problem("training-failed", words, Location("a,line=9::b.py", 3, 1), hint=words)])
    said = capsys.readouterr().err
    commands = [line for line in said.splitlines() if line.lstrip().startswith("::")]
    assert len(commands) == 1
    assert commands[0].startswith("::error file=a%2Cline=9%3A%3Ab.py,line=3,col=1::boom%0A::add-mask")
    assert "##[" not in said
    assert "\x1b" not in said
    assert "<U+202E>" in said


def test_names_of_people_and_branches_do_not_pose_as_others(tmp_path: Path) -> None:
    """A login with letters that are not seen is no login here; in what another forge says it is told by its name."""
    stage = Stage(tmp_path)
    stage.branch("feature", {CODE: "x\n"})
    stage.open("feature")
    refused = verb(stage, "pr", "review", "1", "--approve", "--as", "gra\u200bce")
    assert (refused.code, "[bad-login]" in refused.err, "\u200b" in refused.err) == (2, True, False)


SEEN_BEFORE_NUMBERS = set("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")


@given(st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Cs", "L", "P"])))
def test_nothing_is_printed_that_is_not_seen(text: str) -> None:
    """Whatever a word of somebody says, what is printed of it has a shape on the screen and breaks no line."""
    for said in (plain(text), visible(text.replace("\n", "").replace("\t", "")), *shown(text).split("\n")):
        for each in said.replace("\t", ""):
            hidden = unicodedata.category(each) in ("Cc", "Cf", "Zl", "Zp", "Cs")
            assert not hidden or each in SEEN_BEFORE_NUMBERS or "\U00013430" <= each <= "\U0001343f", hex(ord(each))
        assert not said.lstrip("+- ").startswith("::")


TREES = st.lists(st.integers(0, 2), min_size=3, max_size=3)
HISTORY = st.lists(st.tuples(TREES, st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=6)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(HISTORY)
def test_what_is_judged_is_what_a_merge_changes(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[list[int], int, int]]
) -> None:
    """For any small history, crossed or not: the paths judged are those in which git's own merge differs from main."""
    root = tmp_path_factory.mktemp("history") / "r"
    repository = lonely(root, {"a": "0\n", "b": "0\n", "c": "0\n"})
    commits = [repository.head()]
    for number, (contents, one, other) in enumerate(history):
        parents = dict.fromkeys((commits[one % len(commits)], commits[other % len(commits)]))
        entries = "".join(
            f"100644 blob {_blob(root, text)}\t{name}\n" for name, text in zip("abc", contents, strict=True)
        )
        tree = subprocess.run(["git", "mktree"], cwd=root, input=entries, text=True, capture_output=True, check=True)
        options = [part for parent in parents for part in ("-p", parent)]
        commits.append(git(root, "commit-tree", tree.stdout.strip(), *options, "-m", str(number)))
    base, head = commits[-2], commits[-1]
    git(root, "checkout", "--quiet", "--detach", base)
    done = subprocess.run(
        ["git", "merge", "--quiet", "--no-ff", "-m", "m", head], cwd=root, capture_output=True, check=False
    )
    ada = Account("ada", "ada")
    pull = PullRequest(1, "T", "", ada, "s", "main", head, base, "open", "2026-03-01T12:00:00Z")
    result = result_of(repository, pull, base)
    if done.returncode:
        assert result.trouble is not None
        assert result.commit is None
    else:
        assert result.trouble is None
        assert list(result.paths) == git(root, "diff", "--name-only", "--no-renames", base, "HEAD").split()
        assert result.tree == git(root, "rev-parse", "HEAD^{tree}")


def _blob(root: Path, number: int) -> str:
    return subprocess.run(
        ["git", "hash-object", "-w", "--stdin"],
        cwd=root,
        input=f"{number}\n",
        text=True,
        capture_output=True,
        check=True,
    ).stdout.strip()
