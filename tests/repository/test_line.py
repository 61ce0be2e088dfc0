"""The line of a branch says of every file what `git log` says of it, whatever was merged, removed or rewritten."""

from __future__ import annotations

import random
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from git_world import commit, counting_git, git, lonely
from modelops.clock import format_instant
from modelops.errors import ModelOpsError
from modelops.repository import Repository
from modelops.repository.line import Line

PATHS = ("models/a/environments/x.yaml", "models/a/b/environments/x.yaml", "models/ü/f:1", "models/a.yaml", "other/y")


def history(folder: Path, seed: int, count: int = 60) -> list[str]:
    """Make a repository with a history drawn by chance, merges of up to three parents and roots; return its commits."""
    chance = random.Random(seed)
    stream: list[bytes] = []
    for number in range(1, count + 1):
        parents = chance.sample(range(1, number), min(number - 1, chance.choice((0, 1, 1, 1, 1, 1, 2, 2, 3))))
        if number > 1 and chance.random() < 0.6:
            parents = [number - 1, *(parent for parent in parents if parent != number - 1)]
        stream.append(
            b"commit refs/heads/c%d\nmark :%d\ncommitter A <a@b.c> %d +0000\n" % (number, number, number * 60)
        )
        stream.append(b"data 9\nSubject:\n")
        for at, parent in enumerate(parents):
            stream.append(b"%s :%d\n" % (b"merge" if at else b"from", parent))
        for path in PATHS:
            name, draw = path.encode(), chance.random()
            if draw < 0.1:
                stream.append(b"D %s\n" % name)
            elif draw < 0.45:
                mode = chance.choice((b"100644", b"100644", b"100755", b"120000"))
                stream.append(b"M %s inline %s\ndata 1\n%d\n" % (mode, name, chance.randrange(4)))
        stream.append(b"\n")
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=b"".join(stream), check=True)
    return git(folder, "for-each-ref", "--sort=committerdate", "--format=%(objectname)").split()


def told(line: Line) -> dict[str, list[tuple[object, ...]]]:
    return {
        path: [(each.commit, each.parent, each.time, each.subject, each.blob) for each in line.versions(path)]
        for path in PATHS
    }


def logged(repository: Repository, tip: str) -> dict[str, list[tuple[object, ...]]]:
    """Return the same by one `git log` per path."""
    return {
        path: [
            (one.id, one.parents[0] if one.parents else None, one.time, one.subject, blob_of(repository, one.id, path))
            for one in repository.log(path, tip, first_parent=True)
        ]
        for path in PATHS
        if path.startswith("models/")
    } | {"other/y": []}


def blob_of(repository: Repository, commit_id: str, path: str) -> str | None:
    return repository.paths(commit_id).get(path)


@pytest.mark.parametrize("seed", range(3))
def test_a_line_says_what_the_log_says(tmp_path: Path, seed: int) -> None:
    """For histories drawn by chance, and in whatever order tips are asked for, each file has git's own versions."""
    commits = history(tmp_path / "r", seed)
    repository = Repository.discover(tmp_path / "r")
    asked = random.Random(seed).sample(commits, 12) + commits[-6:]
    for tip in asked:
        assert told(repository.line(tip, "models/")) == logged(repository, tip), tip


def test_only_what_is_new_is_read_and_nothing_twice(tmp_path: Path) -> None:
    """A tip that was seen costs no process, one that grew one, and an earlier one none; a rewritten branch is right."""
    repository = lonely(tmp_path / "r", {PATHS[0]: "0\n"})
    first = repository.head()
    later = [commit(repository.root, {PATHS[0]: f"{number}\n"}) for number in range(1, 6)]
    git(repository.root, "reset", "-q", "--hard", first)
    rewritten = commit(repository.root, {PATHS[0]: "other\n"})
    with counting_git(tmp_path) as calls:
        lengths = []
        for tip in (later[1], later[1], later[4], later[2], first, rewritten, later[4]):
            lengths.append((len(repository.line(tip, "models/").versions(PATHS[0])), len(calls())))
        repository.close()
    # The first one starts the process that knows commits, too; of the rewritten branch both the rest and the whole.
    assert [length for length, _ in lengths] == [3, 3, 6, 4, 1, 2, 6]
    starts = [count for _, count in lengths]
    assert starts[1] - starts[0] == 0
    assert starts[2] - starts[1] == 1
    assert starts[4] - starts[2] == 0
    assert starts[6] - starts[5] == 0


def test_settings_of_the_user_do_not_change_a_line(tmp_path: Path) -> None:
    """Neither how a person likes to see logs nor a subject that looks like something else is taken for history."""
    repository = lonely(tmp_path / "r", {PATHS[0]: "0\n"})
    commit(repository.root, {PATHS[0]: "1\n"}, ":100644 100644 0 0 M")
    before = told(Repository.discover(repository.root).line("HEAD", "models/"))
    for key, value in {
        "log.showRoot": "false",
        "log.follow": "true",
        "log.diffMerges": "off",
        "log.showSignature": "true",
        "log.decorate": "full",
        "diff.renames": "copies",
        "diff.noprefix": "true",
        "core.abbrev": "5",
        "color.ui": "always",
        "format.pretty": "oneline",
    }.items():
        git(repository.root, "config", key, value)
    assert told(Repository.discover(repository.root).line("HEAD", "models/")) == before
    assert [version[3] for version in before[PATHS[0]]] == [":100644 100644 0 0 M", "Begin"]


def test_a_shallow_clone_has_no_line(tmp_path: Path) -> None:
    """What lacks a part of history is not taken for the whole."""
    repository = lonely(tmp_path / "r", {PATHS[0]: "0\n"})
    commit(repository.root, {PATHS[0]: "1\n"})
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repository.root}", "shallow")
    with pytest.raises(ModelOpsError) as caught:
        Repository.discover(tmp_path / "shallow").line("HEAD", "models/")
    assert caught.value.problems[0].code == "shallow-clone"


def test_older_versions_come_newest_first(tmp_path: Path) -> None:
    """What a file held before its present version: bytes, or None where it was removed; a file of no folder, too."""
    repository = lonely(tmp_path / "r", {"lock": "0\n", "policies/project.yaml": "0\n"})
    for text in ("1\n", None, "2\n"):
        for path in ("lock", "policies/project.yaml"):
            if text is None:
                (repository.root / path).unlink()
            else:
                (repository.root / path).parent.mkdir(exist_ok=True)
                (repository.root / path).write_text(text)
        commit(repository.root, {})
    for path in ("lock", "policies/project.yaml"):
        assert list(repository.older("HEAD", path)) == [None, b"1\n", b"0\n"]
    assert list(repository.older("HEAD", "models/none")) == []


def test_answers_about_two_commits_are_asked_for_once(tmp_path: Path) -> None:
    """Merge bases, ancestors, changed paths and bringing merges cost a process the first time only."""
    repository = lonely(tmp_path / "r", {"a": "0\n"})
    one, other = repository.head(), commit(repository.root, {"a": "1\n"})
    questions = (
        lambda: repository.merge_bases(one, other),
        lambda: repository.merged(one, other),
        lambda: repository.differences(one, other),
        lambda: repository.is_ancestor(other, one),
        lambda: repository.changed_paths(one, other),
        lambda: repository.brought_by(one, other),
    )
    first = [ask() for ask in questions]
    with counting_git(tmp_path) as calls:
        assert [ask() for ask in questions] == first == [(one,), other, first[2], False, ("a",), one]
        assert calls() == []


@pytest.mark.parametrize("date", ["300000000000", "99999999999999999999999", "-5", "-300000000000", ""])
def test_a_date_that_no_calendar_has_stops_nobody(tmp_path: Path, date: str) -> None:
    """The commit is read with the nearest date, by the line and by the log."""
    repository = lonely(tmp_path / "r", {"models/a.yaml": "1"})
    text = git(repository.root, "cat-file", "commit", "HEAD")
    head, _, _ = text.partition("\nauthor")
    made = f"{head}\nauthor A <a@b.c> {date} +0000\ncommitter A <a@b.c> {date} +0000\n\nFar\n"
    answer = subprocess.run(
        ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        **{"cwd": repository.root, "input": made.encode(), "capture_output": True, "check": True},
    )
    git(repository.root, "update-ref", "refs/heads/main", answer.stdout.decode().strip())
    (one,) = repository.log(None, "main", first_parent=True)
    (version,) = repository.line("main", "models").versions("models/a.yaml")
    assert one.time == version.time == one.authored
    assert one.time.year in (1970, 9000)
    assert format_instant(one.time + timedelta(days=300))
