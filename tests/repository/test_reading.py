"""Reading revisions and the work tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from git_world import ADA, NOON, World, commit, git, lonely, write
from modelops.errors import Exit, ModelOpsError
from modelops.repository import Repository

FILES = {"models/a/model.yaml": "a\n", "models/a/train.py": "pass\n", "models/b/ü ber.yaml": "b\n"}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return lonely(tmp_path / "r", FILES)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return lonely(tmp_path_factory.mktemp("untouched") / "r", FILES)


def code_of(caught: pytest.ExceptionInfo[ModelOpsError]) -> str:
    return caught.value.problems[0].code


def test_paths_lists_the_files_below_a_folder_with_their_blobs(untouched: Repository) -> None:
    """A listing is by path, limited to a folder or a file, and names what git names."""
    assert list(untouched.paths("HEAD")) == ["models/a/model.yaml", "models/a/train.py", "models/b/ü ber.yaml"]
    assert list(untouched.paths("main", "models/a/")) == ["models/a/model.yaml", "models/a/train.py"]
    assert list(untouched.paths("main", "models/a/train.py")) == ["models/a/train.py"]
    assert untouched.paths("main", "models/c/") == {}
    assert untouched.paths("HEAD")["models/a/train.py"] == git(untouched.root, "rev-parse", "HEAD:models/a/train.py")


def test_a_revision_is_read_whatever_the_work_tree_says(repository: Repository) -> None:
    """Uncommitted changes and an older revision do not leak into each other."""
    before = repository.head()
    commit(repository.root, {"models/a/model.yaml": "second\n"})
    write(repository.root, {"models/a/model.yaml": "third\n"})
    assert repository.read(before, "models/a/model.yaml") == b"a\n"
    assert repository.read("HEAD", "models/a/model.yaml") == b"second\n"
    assert repository.work_tree_files()["models/a/model.yaml"] == b"third\n"


def test_read_many_returns_exact_bytes_and_the_same_blob_twice(repository: Repository) -> None:
    """Line ends, empty files and equal files come back byte for byte."""
    (repository.root / "models/crlf.yaml").write_bytes(b"a: 1\r\n\r\nb\x00")
    write(repository.root, {"models/empty.yaml": "", "models/twin.yaml": "a\n"})
    git(repository.root, "add", "--all")
    git(repository.root, "commit", "--quiet", "-m", "More")
    paths = ["models/crlf.yaml", "models/empty.yaml", "models/twin.yaml", "models/a/model.yaml"]
    assert repository.read_many("HEAD", paths) == dict(
        zip(paths, [b"a: 1\r\n\r\nb\x00", b"", b"a\n", b"a\n"], strict=True)
    )
    assert repository.read_many("HEAD", []) == {}


def test_every_missing_file_is_named(untouched: Repository) -> None:
    """Asking for several files that are not there reports each of them."""
    with pytest.raises(ModelOpsError) as caught:
        untouched.read_many("HEAD", ["models/x.yaml", "models/a/model.yaml", "models/y.yaml"])
    assert [problem.location.path for problem in caught.value.problems if problem.location] == [
        "models/x.yaml",
        "models/y.yaml",
    ]
    assert {problem.code for problem in caught.value.problems} == {"no-such-file"}
    with pytest.raises(ModelOpsError) as caught:
        untouched.read("HEAD", "models/x.yaml")
    assert code_of(caught) == "no-such-file"


def test_tree_id_names_folders_only(untouched: Repository) -> None:
    """A folder has a tree, the root too; a file and an unknown path have none."""
    assert untouched.tree_id("HEAD", "models/a") == git(untouched.root, "rev-parse", "HEAD:models/a")
    assert untouched.tree_id("HEAD", "") == git(untouched.root, "rev-parse", "HEAD^{tree}")
    assert untouched.tree_id("HEAD", "models/a/train.py") is None
    assert untouched.tree_id("HEAD", "models/none") is None


def test_a_link_inside_the_repository_is_followed_at_a_revision_and_in_the_work_tree(repository: Repository) -> None:
    """A symbolic link to a file of the same repository reads as that file, both ways of reading."""
    (repository.root / "models/b/linked.yaml").symlink_to("../a/model.yaml")
    commit(repository.root, {})
    assert repository.read("HEAD", "models/b/linked.yaml") == b"a\n"
    assert repository.work_tree_files()["models/b/linked.yaml"] == b"a\n"


@pytest.mark.parametrize("goal", ["/etc/hostname", "../../../outside.yaml", "nowhere.yaml", "loop.yaml", "../a"])
def test_a_link_that_leads_out_is_refused_at_a_revision(repository: Repository, goal: str) -> None:
    """A committed link out of the repository, to nothing, to itself or to a folder is an error that names it."""
    (repository.root / "models/b/loop.yaml").symlink_to(goal)
    commit(repository.root, {})
    with pytest.raises(ModelOpsError) as caught:
        repository.read("HEAD", "models/b/loop.yaml")
    assert code_of(caught) == "symlink-refused"
    assert caught.value.exit == Exit.FILES


def test_every_unreadable_file_of_the_work_tree_is_reported_at_once(repository: Repository, tmp_path: Path) -> None:
    """Links out, links to folders, pipes, broken links and huge files are refused without reading them."""
    folder = repository.root / "models/b"
    (tmp_path / "secret.yaml").write_text("secret: 1")
    (folder / "out.yaml").symlink_to(tmp_path / "secret.yaml")
    (folder / "inner").symlink_to("../a")
    (folder / "zero.yaml").symlink_to("/dev/zero")
    (folder / "broken.yaml").symlink_to("none.yaml")
    os.mkfifo(folder / "pipe.yaml")
    with (folder / "huge.yaml").open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(ModelOpsError) as caught:
        repository.work_tree_files()
    found = {problem.location.path: problem.code for problem in caught.value.problems if problem.location}
    assert found == {
        "models/b/out.yaml": "symlink-refused",
        "models/b/inner": "symlink-refused",
        "models/b/zero.yaml": "symlink-refused",
        "models/b/broken.yaml": "file-unreadable",
        "models/b/pipe.yaml": "not-a-regular-file",
        "models/b/huge.yaml": "file-too-large",
    }
    assert "secret: 1" not in str(caught.value)


def test_the_work_tree_gives_yaml_below_the_prefixes_only(repository: Repository) -> None:
    """Data files beside a spec are not read unless asked for; neither is what no spec lives in."""
    write(
        repository.root,
        {"policies/p.yml": "p", "docs/d.yaml": "d", "models/a/data.csv": "x", "models/.modelops/s.yaml": ""},
    )
    assert set(repository.work_tree_files()) == {"models/a/model.yaml", "models/b/ü ber.yaml", "policies/p.yml"}
    assert "models/a/data.csv" in repository.work_tree_files(["models/a"], suffixes=None)
    assert set(repository.work_tree_files(["models/a/model.yaml", "absent"])) == {"models/a/model.yaml"}


def test_a_prefix_below_a_link_is_refused(repository: Repository, tmp_path: Path) -> None:
    """Naming a folder that is reached through a link does not lead out either."""
    write(tmp_path / "outside", {"a/model.yaml": "secret"})
    (repository.root / "linked").symlink_to(tmp_path / "outside")
    for prefix in ("linked", "linked/a", "linked/a/model.yaml"):
        with pytest.raises(ModelOpsError) as caught:
            repository.work_tree_files([prefix])
        assert code_of(caught) == "symlink-refused"


def test_a_huge_file_in_git_is_refused_by_its_size(repository: Repository) -> None:
    """A blob over the limit is refused before it is read."""
    with (repository.root / "models/huge.yaml").open("wb") as file:
        file.truncate(9 << 20)
    commit(repository.root, {})
    with pytest.raises(ModelOpsError) as caught:
        repository.read_many("HEAD", ["models/huge.yaml", "models/a/model.yaml"])
    assert code_of(caught) == "file-too-large"


@pytest.mark.parametrize("path", ["../x", "-x", "/etc/passwd", "a//b", "a/./b", ".git/config", "a/.GIT/x", "a\nb", ""])
def test_paths_that_leave_the_repository_are_refused(untouched: Repository, path: str) -> None:
    """No path that looks like an option, leaves the repository or enters .git reaches git."""
    with pytest.raises(ModelOpsError) as caught:
        untouched.read("HEAD", path) if path else untouched.work_tree_files(["a/../b"])
    assert code_of(caught) == "bad-path"


@pytest.mark.parametrize("revision", ["--output=x", "-1", "", "HEAD:models", "a..b", "no-such", "0" * 40, "HEAD\nmain"])
def test_a_revision_that_is_none_is_refused(untouched: Repository, revision: str) -> None:
    """Options, ranges, paths and unknown names are not revisions."""
    with pytest.raises(ModelOpsError) as caught:
        untouched.resolve(revision)
    assert code_of(caught) == "unknown-revision"
    assert caught.value.exit == Exit.USAGE


@pytest.mark.parametrize(
    "name", ["-d", "a..b", "a b", "a~1", "a.lock", "/a", "a/", "a//b", "@{1}", ".hidden", "a/.b", ""]
)
def test_branch_names_that_git_would_misread_are_refused(untouched: Repository, name: str) -> None:
    """A branch name can be no option and nothing that git gives a meaning to."""
    with pytest.raises(ModelOpsError) as caught:
        untouched.tip(name)
    assert code_of(caught) == "bad-ref"


def test_variables_of_a_hook_do_not_redirect_what_is_read(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIT_DIR and its kind, as git sets them for hooks, are not obeyed."""
    other = lonely(tmp_path / "other", {"x": "x"})
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-index"))
    assert Repository.discover(repository.root).root == repository.root
    assert "models/a/model.yaml" in repository.paths("HEAD")
    assert repository.dirty_paths() == ()
    assert os.environ["GIT_DIR"] == str(other.root / ".git")


def test_replacement_objects_are_ignored(repository: Repository) -> None:
    """`git replace` changes what people see locally, not what modelops reads."""
    real = git(repository.root, "rev-parse", "HEAD:models/a/model.yaml")
    (repository.root / "fake").write_text("fake\n")
    fake = git(repository.root, "hash-object", "-w", "fake")
    git(repository.root, "replace", real, fake)
    assert git(repository.root, "show", "HEAD:models/a/model.yaml") == "fake"
    assert repository.read("HEAD", "models/a/model.yaml") == b"a\n"


def test_a_folder_inside_is_enough_to_find_the_repository(untouched: Repository) -> None:
    """Discovery walks up, as git does."""
    assert Repository.discover(untouched.root / "models" / "a").root == untouched.root


def test_an_object_that_is_gone_is_named(repository: Repository) -> None:
    """A damaged clone is the world's failure, with the object's id."""
    blob = repository.paths("HEAD")["models/a/model.yaml"]
    (repository.root / ".git/objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ModelOpsError) as caught:
        repository.read("HEAD", "models/a/model.yaml")
    assert code_of(caught) == "object-missing"
    assert caught.value.exit == Exit.WORLD
    assert blob in str(caught.value)


def test_a_tag_does_not_stand_for_a_branch(tmp_path: Path) -> None:
    """Whoever may push a tag gives it any name; the remote's branch is meant, then this clone's, with any suffix."""
    world = World(tmp_path)
    clone = world.clone("ada")
    main = clone.tip("main")
    other = clone.commit_files(main, {"x.txt": b"1"}, "Other", ADA, NOON)
    third = clone.commit_files(other, {"y.txt": b"1"}, "Third", ADA, NOON)
    for name in ("main", "origin/main", "HEAD", "refs/heads/main", main):
        git(clone.root, "update-ref", f"refs/tags/{name}", other)
    for name in (
        "main",
        "origin/main",
        "HEAD",
        "origin",
        "refs/heads/main",
        "refs/remotes/origin/main",
        main,
        "main^0",
    ):
        assert clone.resolve(name) == main, name
    assert clone.branch == "main"
    git(clone.root, "update-ref", "refs/heads/origin/main", third)
    assert clone.resolve("origin/main") == main
    git(clone.root, "switch", "--quiet", "--detach")
    git(clone.root, "update-ref", "-d", "refs/heads/main")
    assert clone.resolve("main") == main
    assert clone.branch is None
    git(clone.root, "update-ref", "refs/tags/v1", other)
    assert clone.resolve("v1") == other
    assert clone.resolve("v1~1") == main


@pytest.mark.parametrize("kind", ["heads", "tags", "remotes/origin"])
def test_a_name_that_begins_the_id_of_a_commit_is_refused(repository: Repository, kind: str) -> None:
    """Neither of the two that it may mean is taken for the other."""
    head = repository.head()
    other = repository.commit_files(head, {"x.txt": b"1"}, "Other", repository.user(), NOON)
    short = head[:12]
    assert repository.resolve(short) == head
    git(repository.root, "update-ref", f"refs/{kind}/{short}", other)
    name = f"origin/{short}" if kind.startswith("remotes") else short
    if kind.startswith("remotes"):
        assert (repository.resolve(name), repository.resolve(short)) == (other, head)
        return
    with pytest.raises(ModelOpsError, match="begins with") as caught:
        repository.resolve(name)
    assert code_of(caught) == "unknown-revision"
