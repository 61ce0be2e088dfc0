"""One git answers for a repository as long as it is open: in threads, forks and interrupts, and never wrongly."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from git_world import ADA, NOON, World, commit, counting_git, git, lonely
from modelops.errors import ModelOpsError
from modelops.repository import Repository
from modelops.repository.process import Git
from modelops.repository.reader import Reader
from waiting import PATIENCE, wait_for

FILES = {f"models/m{n}/model.yaml": f"model {n}\n" * (n + 1) for n in range(200)}
LINUX = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors and processes are read from /proc")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return lonely(tmp_path / "r", FILES)


def readers_of(root: Path) -> list[int]:
    """Return the ids of the processes that read objects of a clone, those that have ended and wait included."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if b"cat-file" in (folder / "cmdline").read_bytes() and (folder / "cwd").readlink() == root:
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def read_all(repository: Repository) -> bool:
    return repository.read_many("HEAD", FILES) == {path: text.encode() for path, text in FILES.items()}


def test_one_process_answers_whatever_is_asked(repository: Repository, tmp_path: Path) -> None:
    """Revisions, branches, trees and the bytes of any number of files need one process beside the listing."""
    with counting_git(tmp_path) as calls:
        opened = Repository.discover(repository.root)
        for _ in range(3):
            assert opened.head() == opened.tip("main") == opened.resolve("HEAD")
            assert opened.find_tip("nobody") is None
            assert read_all(opened)
            assert opened.read("HEAD", "models/m7/model.yaml") == FILES["models/m7/model.yaml"].encode()
            assert opened.tree_id("HEAD", "models/m7")
        opened.close()
    assert [call.split(" -c ")[-1].split()[1] for call in calls()] == ["rev-parse", "remote", "cat-file", "ls-tree"]


def test_what_others_write_is_seen(tmp_path: Path) -> None:
    """Commits, moved and deleted branches, packed refs and repacked objects of other processes count at once."""
    world = World(tmp_path)
    mine = world.clone("mine")
    assert mine.tip("main") == world.first
    other = world.clone("other")
    for number in range(3):
        pushed = commit(other.root, {"models/a/model.yaml": f"a: {number}\n"})
        git(other.root, "push", "-q", "origin", "HEAD")
        mine.fetch()
        assert mine.tip("main") == pushed
        assert mine.read(pushed, "models/a/model.yaml") == f"a: {number}\n".encode()
        git(mine.root, "pack-refs", "--all")
        git(mine.root, "repack", "-a", "-d", "-q")
        git(mine.root, "prune-packed")
    git(mine.root, "update-ref", "-d", "refs/remotes/origin/main")
    assert mine.find_tip("main") is None
    local = commit(mine.root, {"models/b/model.yaml": "b: 1\n"})
    assert mine.head() == local
    assert mine.read("HEAD", "models/b/model.yaml") == b"b: 1\n"


def test_objects_of_an_alternate_that_was_added_later_are_found(repository: Repository, tmp_path: Path) -> None:
    """What a new alternate holds is not missing, although the process began before."""
    other = lonely(tmp_path / "other", {"x": "from elsewhere\n"})
    blob = other.paths("HEAD")["x"]
    assert repository.read("HEAD", "models/m1/model.yaml")
    alternates = repository.root / ".git/objects/info/alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text(f"{other.root}/.git/objects\n")
    assert repository.blobs([blob], 100) == {blob: b"from elsewhere\n"}


@LINUX
def test_a_process_that_was_killed_is_replaced(repository: Repository) -> None:
    """Killing git between two questions costs nothing but a new process."""
    for _ in range(3):
        assert repository.head()
        for process in readers_of(repository.root):
            os.kill(process, signal.SIGKILL)
        assert read_all(repository)
    assert len(readers_of(repository.root)) == 1


@LINUX
def test_a_closed_or_forgotten_repository_leaves_nothing(repository: Repository) -> None:
    """No process, no zombie and no descriptor stays, however a repository ends; after close it answers again."""
    repository.head()
    repository.close()
    gc.collect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(10):
        opened = Repository.discover(repository.root)
        assert opened.head()
        if number % 2:
            opened.close()
        del opened
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert readers_of(repository.root) == []
    assert repository.head()


def test_threads_get_their_own_answers(repository: Repository) -> None:
    """Many threads that ask at once never see each other's answers."""

    def ask(number: int) -> bool:
        path = f"models/m{number % 200}/model.yaml"
        (found,) = reader.contents([blobs[path]], 1 << 20).values()
        return found is not None and found.data == FILES[path].encode()

    reader, blobs = Reader(Git(repository.root)), repository.paths("HEAD")
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(2000)))
    reader.close()


@LINUX
def test_a_forked_child_has_its_own_process(repository: Repository) -> None:
    """A child reads without disturbing its parent, and does not keep the parent's git alive."""
    assert read_all(repository)
    (parents,) = readers_of(repository.root)
    into, out = os.pipe()
    child = os.fork()
    if child == 0:
        right = read_all(Repository.discover(repository.root)) and repository.resolve("HEAD~0") is not None
        gc.collect()
        os._exit(0 if right and os.read(into, 1) else 1)
    assert repository.read("HEAD", "models/m3/model.yaml") == FILES["models/m3/model.yaml"].encode()
    wait_for(lambda: len(readers_of(repository.root)) > 1)
    repository.close()
    assert parents not in readers_of(repository.root)
    os.write(out, b"x")
    os.close(into)
    os.close(out)
    assert os.waitpid(child, 0)[1] == 0
    wait_for(lambda: readers_of(repository.root) == [])


def test_a_child_forked_while_a_thread_reads_can_read(repository: Repository) -> None:
    """The lock that a thread of the parent holds at the fork does not stop the child."""
    stop = threading.Event()
    blobs = repository.paths("HEAD")
    reader = Reader(Git(repository.root))

    def busy() -> None:
        while not stop.is_set():
            reader.find(blobs.values())

    thread = threading.Thread(target=busy)
    thread.start()
    codes = []
    for _ in range(5):
        child = os.fork()
        if child == 0:
            signal.alarm(int(PATIENCE))
            os._exit(0 if len(reader.contents(blobs.values(), 1 << 20)) == len(set(blobs.values())) else 1)
        codes.append(os.waitpid(child, 0)[1])
    stop.set()
    thread.join()
    reader.close()
    assert codes == [0] * 5


# A process that an interrupt meets while it begins is forgotten; it ends with its pipes.
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_an_interrupt_in_the_middle_leaves_no_answer_behind(repository: Repository) -> None:
    """After an exception at any moment of a question the next one gets its own answer."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    ids = list(dict.fromkeys(repository.paths("HEAD").values()))
    reader = Reader(Git(repository.root))
    before = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for number in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + number * 0.0002)
                while True:
                    reader.find(ids)
            except KeyboardInterrupt:
                interrupted += 1
            assert [found.id for found in reader.find(ids) if found] == ids
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        reader.close()
        gc.collect()
    assert interrupted == 60


@LINUX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_git_ends_with_its_master(repository: Repository, number: signal.Signals) -> None:
    """However the program ends, by the terminal's interrupt to the whole group too, git ends with it."""
    code = (
        "import signal, sys, time\nfrom modelops.repository import Repository\n"
        # In a job in the background the shell has the interrupt ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "opened = Repository.discover()\nprint(opened.head(), flush=True)\ntime.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=repository.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    assert len(readers_of(repository.root)) == 1
    os.killpg(process.pid, number)
    process.wait(PATIENCE)
    process.stdout.close()
    wait_for(lambda: readers_of(repository.root) == [])


def test_a_huge_blob_stops_nobody_else(repository: Repository) -> None:
    """A blob over the limit is told by its size and never read; what is asked together with it is answered."""
    with (repository.root / "huge").open("wb") as file:
        file.truncate(40 << 20)
    commit(repository.root, {"small": "small\n"})
    paths = repository.paths("HEAD")
    asked = [paths["small"], paths["huge"], paths["models/m0/model.yaml"]]
    for _ in range(2):
        found = repository.blobs(asked, 1000)
        assert found == {asked[0]: b"small\n", asked[1]: 40 << 20, asked[2]: b"model 0\n"}


def test_names_that_nothing_bears_are_no_answers_to_others(repository: Repository) -> None:
    """Missing, ambiguous and odd names are None at their own place."""
    reader = Reader(Git(repository.root))
    found = reader.find(["HEAD", "nobody", "x missing", "0" * 40, "HEAD^{tree}", "HEAD:models/m1/model.yaml", "HEAD~9"])
    assert [one.type if one else None for one in found] == ["commit", None, None, None, "tree", "blob", None]
    reader.close()


def test_a_partial_clone_fetches_what_it_lacks(tmp_path: Path) -> None:
    """Blobs that a partial clone left out come from its remote, as with any git command."""
    world = World(tmp_path, {f"models/m{n}/model.yaml": f"{n}\n" for n in range(5)})
    git(world.remote, "config", "uploadpack.allowFilter", "true")
    git(world.remote, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{world.remote}", "partial")
    partial = Repository.discover(tmp_path / "partial")
    assert partial.read_many(partial.tip("main"), ["models/m1/model.yaml", "models/m4/model.yaml"]) == {
        "models/m1/model.yaml": b"1\n",
        "models/m4/model.yaml": b"4\n",
    }


def test_a_repository_that_git_refuses_says_so(repository: Repository) -> None:
    """What git itself cannot read is the error that git gives, not an end of file."""
    blob = repository.paths("HEAD")["models/m5/model.yaml"]
    place = repository.root / ".git/objects" / blob[:2] / blob[2:]
    place.chmod(0o644)
    place.write_bytes(b"not a git object")
    with pytest.raises(ModelOpsError) as caught:
        repository.read("HEAD", "models/m5/model.yaml")
    assert caught.value.problems[0].code in ("git-failed", "object-missing")
    assert blob in str(caught.value)
    assert repository.read("HEAD", "models/m6/model.yaml") == FILES["models/m6/model.yaml"].encode()


def test_the_tree_of_files_is_the_one_that_git_makes(repository: Repository) -> None:
    """Nested folders, and names that git sorts by their slash, give git's own tree; nothing is written for it."""
    files = {"a/x.py": b"1", "a.b": b"", "a-b/c/d": b"\0\n", "ab": "ü".encode(), "ü/é": b"2"}
    made = repository.commit_files(None, files, "Root\n", ADA, NOON)
    assert repository.tree_of(files) == repository.tree_id(made, "")
    assert repository.tree_of({}) == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
