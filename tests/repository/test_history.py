"""History: who changed what, what was there then, and which merge brought it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import git as gitpython
import pytest

from git_world import ADA, BOB, NOON, commit, git, lonely
from modelops.errors import ModelOpsError
from modelops.repository import Person, Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return lonely(tmp_path / "r", {"models/a/model.yaml": "1\n", "models/b/model.yaml": "1\n"})


def chain(repository: Repository, count: int) -> list[str]:
    """Make commits one hour apart on main; each changes model a, every second one model b too."""
    commits = [repository.head()]
    for number in range(count):
        files: dict[str, bytes | None] = {"models/a/model.yaml": f"a{number}\n".encode()}
        if number % 2:
            files["models/b/model.yaml"] = f"b{number}\n".encode()
        person = BOB if number % 2 else ADA
        when = NOON + timedelta(hours=number)
        commits.append(repository.commit_files(commits[-1], files, f"Change {number}\n\nWhy.\n", person, when))
    git(repository.root, "reset", "--quiet", "--hard", commits[-1])
    return commits


def test_the_log_says_the_same_as_another_reader_of_git(repository: Repository) -> None:
    """Every field of every commit equals what GitPython reads from the same objects."""
    chain(repository, 5)
    with gitpython.Repo(repository.root) as reader:
        theirs = {
            c.hexsha: {
                "tree": c.tree.hexsha,
                "parents": tuple(parent.hexsha for parent in c.parents),
                "author": Person(c.author.name or "", c.author.email or ""),
                "authored": c.authored_datetime,
                "committer": Person(c.committer.name or "", c.committer.email or ""),
                "time": c.committed_datetime,
                "subject": c.summary,
            }
            for c in reader.iter_commits("main")
        }
    ours = repository.log()
    for commit_info in ours:
        for field, value in theirs[commit_info.id].items():
            assert getattr(commit_info, field) == value
    assert [commit_info.id for commit_info in ours] == list(theirs)
    assert len(ours) == 6


def test_the_log_is_limited_by_path_range_and_number(repository: Repository) -> None:
    """A path, a range, excluded commits and a limit each narrow the log."""
    ids = chain(repository, 5)
    assert [c.id for c in repository.log("models/b")] == [ids[4], ids[2], ids[0]]
    assert [c.id for c in repository.log(["models/b/model.yaml", "none"], limit=1)] == [ids[4]]
    assert [c.id for c in repository.log(None, f"{ids[2]}..{ids[4]}")] == [ids[4], ids[3]]
    assert [c.id for c in repository.log(revision=ids[2], excluding=[ids[1]])] == [ids[2]]
    assert repository.log("models/none") == ()


def test_co_authors_are_people_of_a_commit(repository: Repository) -> None:
    """The trailer that names more authors is read, and only in the last paragraph."""
    commit(
        repository.root,
        {"x": "1"},
        "Pair\n\nCo-authored-by: Not Me <no@example.com> said prose.\nMore prose here, and more of it.\n\n"
        "Co-authored-by: Bob <bob@example.com>\nCo-authored-by: Cy <7+cy@users.noreply.example>",
    )
    info = repository.commit("HEAD")
    assert info.subject == "Pair"
    assert info.people == (ADA, BOB, Person("Cy", "7+cy@users.noreply.example"))


@pytest.mark.parametrize(
    ("email", "login"),
    [
        ("Ada@example.com", "ada"),
        ("7+cy@users.noreply.example", "cy"),
        ("cy+news@example.com", "cy+news"),
        ("odd", "odd"),
    ],
)
def test_a_login_is_what_stands_before_the_at(email: str, login: str) -> None:
    """Logins are compared in lower case; a forge's number before the plus is dropped."""
    assert Person("X", email).login == login


def test_changed_paths_are_sorted_and_a_rename_is_two(repository: Repository) -> None:
    """Added, changed, removed and renamed files all appear, under both names."""
    base = repository.head()
    git(repository.root, "mv", "models/b/model.yaml", "models/b/renamed.yaml")
    head = commit(repository.root, {"models/a/model.yaml": "2\n", "ä.txt": "new"})
    expected = ("models/a/model.yaml", "models/b/model.yaml", "models/b/renamed.yaml", "ä.txt")
    assert repository.changed_paths(base, head) == expected
    assert repository.changed_paths(head, head) == ()
    assert b"-1\n+2\n" in b"".join(repository.compare(base, head).texts)


def test_commits_without_common_history_have_no_merge_base(repository: Repository) -> None:
    """Two roots have nothing in common, and the message says so."""
    stranger = repository.commit_files(None, {"x": b"y"}, "Other root\n", ADA, NOON)
    with pytest.raises(ModelOpsError) as caught:
        repository.merge_bases("main", stranger)
    assert caught.value.problems[0].code == "no-common-history"
    assert not repository.is_ancestor(stranger, "main")


def test_the_merge_that_brought_a_commit_is_found(repository: Repository) -> None:
    """Commits of a branch were brought by its merge; commits on the line itself by themselves; others by nothing."""
    base = repository.head()
    one = repository.commit_files(base, {"one": b"1"}, "One\n", ADA, NOON)
    two = repository.commit_files(one, {"two": b"2"}, "Two\n", ADA, NOON)
    direct = repository.commit_files(base, {"direct": b"3"}, "Direct\n", BOB, NOON)
    merge = repository.merge_commits(direct, two, "Merge\n", BOB, NOON)
    after = repository.commit_files(merge, {"after": b"4"}, "After\n", BOB, NOON)
    aside = repository.commit_files(base, {"aside": b"5"}, "Aside\n", BOB, NOON)
    brought = {id: repository.brought_by(id, after) for id in (base, one, two, direct, merge, after, aside)}
    assert brought == {
        base: base, one: merge, two: merge, direct: direct, merge: merge, after: after, aside: None
    }  # fmt: skip
    assert repository.log(None, after, first_parent=True)[1].parents == (direct, two)
