"""What can go wrong around the loop, and what it says and does then."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from git_world import git
from reconcile.loop_world import MODEL, World

Live = Callable[[str], World]
PRODUCTION = f"models/{MODEL}/environments/production.yaml"


@pytest.mark.parametrize("what", ["the store", pytest.param("one blob", marks=pytest.mark.slow)])
def test_a_lost_store_is_rebuilt(live: Live, what: str) -> None:
    """Without its bytes a released artifact is rebuilt from git, with the same digest, and answers again."""
    world = live("promoted")
    world.reconcile()
    before = world.ask(3)
    digest = world.routes()["models"][MODEL]["arms"][0]["digest"]
    world.kill()
    store = world.root / ".modelops" / "store"
    if what == "the store":
        shutil.rmtree(store)
    else:
        blobs = store / "blobs" / "sha256"
        manifest = json.loads((blobs / digest.removeprefix("sha256:")).read_bytes())
        (blobs / manifest["layers"][0]["digest"].removeprefix("sha256:")).unlink()
    found = world.reconcile()
    assert found["done"][0].startswith(f"restored {MODEL} release 1 by rebuilding it")
    assert world.routes()["models"][MODEL]["arms"][0]["digest"] == digest
    assert [body["outputs"] for _, body in world.ask(3)] == [body["outputs"] for _, body in before]


@pytest.mark.slow
def test_what_cannot_be_rebuilt_is_said(live: Live) -> None:
    """A lost artifact whose training is not deterministic is an error that says what to do."""
    world = live("promoted")
    noisy = (
        "LogisticRegression(**parameters)",
        "LogisticRegression(C=1 + __import__('time').time_ns() % 10**6 / 10**9)",
    )
    world.change_model([noisy], "noisy")
    world.ok("release", "--yes")
    world.reconcile("staging")
    shutil.rmtree(world.root / ".modelops" / "store")
    found = world.reconcile("staging", code=4)
    assert found["conditions"][0]["reason"] == "not-reproducible"
    assert "instead of" in found["conditions"][0]["message"]
    assert world.release_answering("staging") == 2


@contextlib.contextmanager
def taken(port: int) -> Iterator[int]:
    """Be another program on a port, as soon as its killed owner has let go of it; it hangs up on whoever calls."""
    while True:
        with contextlib.suppress(OSError):
            listener = socket.create_server(("127.0.0.1", port))
            break

    def hang_up() -> None:
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()

    thread = threading.Thread(target=hang_up)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_a_taken_port_is_given_up(live: Live) -> None:
    """A freely chosen port that somebody else took meanwhile is replaced by another one."""
    world = live("promoted")
    world.reconcile()
    url = world.url()
    world.kill()
    with taken(int(url.rpartition(":")[2])):
        world.reconcile()
        assert world.url() != url
        assert world.release_answering() == 1


@pytest.mark.slow
def test_a_taken_fixed_port_is_named_and_heals(live: Live) -> None:
    """A port that the environment's file fixes is waited for: exit 4, and the next pass heals."""
    world = live("promoted")
    with taken(0) as port:
        path = "policies/environments/production.yaml"
        world.approved({path: world.show(path).replace("port: 0", f"port: {port}") + "\n"}, "Fix the port")
        found = world.reconcile(code=4)
        assert found["conditions"][0]["reason"] == "server-died"
        assert f"port {port} of 127.0.0.1 is taken" in found["conditions"][0]["message"]
        (row,) = (row for row in world.ok("status", "-o", "json").json if row["environment"] == "production")
        assert row["conditions"][0]["type"] == "Stalled"
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    assert world.url().endswith(f":{port}")


@pytest.mark.parametrize(
    "place",
    [
        "leases",
        "predictions",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("runtime", "server.json")),
    ],
)
def test_a_runtime_that_cannot_be_written(live: Live, place: str) -> None:
    """Something in the way of the runtime's files is exit 4 with the file's name; without it the next pass heals."""
    world = live("promoted")
    way = world.runtime() if place == "runtime" else world.runtime() / place
    if way.is_dir():
        shutil.rmtree(way)
    way.unlink(missing_ok=True)
    if place in ("runtime", "leases", "predictions"):
        way.write_text("a file where a folder belongs", encoding="utf-8")
    else:
        (way / "folder").mkdir(parents=True)
    before = world.tip()
    done = world.run("reconcile", "production", "--yes")
    assert done.code == 4, done.err
    assert str(way) in done.err
    assert "Traceback" not in done.err
    assert world.tip() == before
    shutil.rmtree(way) if way.is_dir() else way.unlink()
    world.reconcile()
    assert world.release_answering() == 1


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


@pytest.mark.parametrize("room", ["16k", pytest.param("256k", marks=pytest.mark.slow)])
def test_a_full_disk(live: Live, room: str) -> None:
    """A runtime on a full disk is exit 4 and loses nothing; with room again the next pass heals."""
    world = live("promoted")
    shutil.rmtree(world.runtime())
    world.runtime().mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(world.runtime())]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        fill(world.runtime() / "filler")
        done = world.run("reconcile", "production", "--yes")
        assert done.code == 4, done.err
        assert "Traceback" not in done.err
        assert "[" in done.err
    finally:
        world.stop()
        subprocess.run(["umount", "-l", str(world.runtime())], check=True)
    world.reconcile()
    assert world.release_answering() == 1


def test_a_saved_plan(live: Live, tmp_path: Path) -> None:
    """A saved plan is carried out while it is what would be done; a stale one, and what is none, are refused."""
    world = live("released")
    world.promote()
    plan = tmp_path / "plan.json"
    assert world.run("plan", "production", "--exit-code").code == 1
    world.ok("plan", "production", "--out", str(plan))
    done = world.run("apply", str(plan), "--yes")
    assert done.code == 0, done.err
    assert world.release_answering() == 1
    done = world.run("apply", str(plan), "--yes")
    assert (done.code, "[plan-is-stale]" in done.err) == (1, True)
    for text in ("{", "[]", '{"environment": "production"}'):
        plan.write_text(text, encoding="utf-8")
        done = world.run("apply", str(plan), "--yes")
        assert (done.code, "[bad-plan]" in done.err) == (3, True)
    assert world.run("plan", "--out", str(plan)).code == 2
    assert world.run("plan", "production", "--exit-code").code == 0
    assert world.run("apply", str(tmp_path / "none.json"), "--yes").code == 2


@pytest.mark.parametrize("state", ["dirty", pytest.param("detached", marks=pytest.mark.slow)])
def test_states_of_the_checkout_that_do_not_matter(live: Live, state: str) -> None:
    """Local work and a detached HEAD are left as they are; the loop works on main all the same."""
    world = live("released")
    if state == "dirty":
        (world.root / PRODUCTION).write_text("nonsense\n", encoding="utf-8")
    else:
        git(world.root, "checkout", "-q", "--detach")
    head = git(world.root, "rev-parse", "HEAD")
    world.promote()
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    assert world.release_answering() == 1
    assert git(world.root, "rev-parse", "HEAD") == head
    if state == "dirty":
        assert (world.root / PRODUCTION).read_text(encoding="utf-8") == "nonsense\n"


def test_a_shallow_clone_says_so(live: Live) -> None:
    """What history would have to answer is not guessed from a clone without it."""
    world = live("promoted")
    shallow = world.folder / "shallow"
    git(world.folder, "clone", "-q", "--depth", "1", f"file://{world.remote}", "shallow")
    shutil.copytree(world.root / ".modelops", shallow / ".modelops")
    for words in (("reconcile", "production", "--yes"), ("plan", "production")):
        done = world.run(*words, root=shallow)
        assert (done.code, "[shallow-clone]" in done.err, "git fetch --unshallow" in done.err) == (3, True, True)


def test_without_a_remote(live: Live) -> None:
    """A repository without a remote keeps its pull requests itself, and the loop is the same."""
    world = live("released")
    git(world.root, "pull", "-q", "--ff-only")
    git(world.root, "remote", "remove", "origin")
    found = world.ok("promote", MODEL, "--to", "production", "--yes", "-o", "json").json
    world.merge(found["pullRequest"])
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    assert world.release_answering() == 1
    assert git(world.root, "status", "--porcelain") == ""


def test_a_rejected_push_heals(live: Live) -> None:
    """A remote that takes no records is told of, and keeps nothing approved from being served; the records wait."""
    world = live("released")
    world.promote()
    hook = world.remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho no commits on fridays >&2\nexit 1\n")
    hook.chmod(0o755)
    before = world.tip()
    found = world.reconcile(code=4)
    assert found["conditions"][0]["reason"] == "push-rejected"
    assert "no commits on fridays" in found["conditions"][0]["message"]
    assert world.tip() == before
    assert world.release_answering() == 1
    hook.unlink()
    assert world.reconcile()["conditions"][0]["type"] == "Ready"
    assert world.release_answering() == 1


def test_two_promotions_of_one_place_conflict(live: Live) -> None:
    """Of two pull requests that set the same line, the second is refused with the file and what to do."""
    world = live("second")
    text = world.show(PRODUCTION)
    edits = [text.replace("stable: 1", f"stable: 1\n  candidate: {number}") + "\n" for number in (1, 2)]
    pulls = [world.propose({PRODUCTION: edit}, f"try-{n}", f"Try {n}").number for n, edit in enumerate(edits)]
    for number in pulls:
        world.ok("pr", "review", str(number), "--approve", "--as", "grace")
    world.ok("pr", "merge", str(pulls[1]), "--as", "grace")
    world.ok("pr", "view", str(pulls[0]))
    world.run("pr", "review", str(pulls[0]), "--approve", "--as", "grace")
    done = world.run("pr", "merge", str(pulls[0]), "--as", "grace")
    assert done.code != 0
    assert ("cannot be merged: both sides changed" in done.err, PRODUCTION in done.err) == (True, True), done.err


def test_rendering_needs_no_store(live: Live, tmp_path: Path) -> None:
    """Another runtime's files are a function of git: a machine without the artifacts writes the same bytes."""
    world = live("promoted")
    world.ok("render", "production", "-o", str(tmp_path / "out"))
    shutil.rmtree(world.root / ".modelops" / "store")
    shutil.rmtree(world.root / ".modelops" / "runtime")
    assert world.run("render", "production", "-o", str(tmp_path / "out"), "--check").code == 0
    table = json.loads((tmp_path / "out" / "routes.json").read_text())
    assert table["models"][MODEL]["arms"][0]["release"] == 1
