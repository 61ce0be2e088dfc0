"""Machines as they are: no UTF-8, no HOME, a tight umask, few open files, and another work tree of the same clone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from git_world import git
from modelops.cli import main
from modelops.targets import Place, local
from reconcile.conftest import Live
from reconcile.loop_world import MODEL, Answer, World

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""A locale that knows no letter beyond ASCII, and a Python that takes it at its word."""
TITLE = "Größer, 日本 und ☂"


def verb(world: World, *words: str, root: Path | None = None, prefix: tuple[str, ...] = (), **environ: str) -> Answer:
    """Run a verb in a process of its own, with only the variables that are given beside PATH and the clock."""
    kept = {name: world.environ()[name] for name in ("PATH", "MODELOPS_CLOCK")}
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    done = subprocess.run(
        [*prefix, sys.executable, "-m", "modelops", *words],
        cwd=root or world.root,
        env=kept | nobody | environ,
        capture_output=True,
    )
    return Answer(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


@pytest.fixture
def strange(stages: Callable[[str], World], tmp_path: Path) -> Iterator[World]:
    """Return a world with a release in production, in a folder whose name is no ASCII."""
    world = stages("promoted").copy(tmp_path / "e-sp ace ünï 日本")
    yield world
    world.stop()


@pytest.mark.slow
def test_a_path_beyond_ascii_comes_up_without_utf8_without_home_and_with_a_tight_umask(strange: World) -> None:
    """The server is known by its folder, however each side spells it: started in one locale, seen in the other."""
    tight = ("sh", "-c", 'umask 077; exec "$@"', "sh")
    done = verb(strange, "reconcile", "production", "--yes", "-o", "json", prefix=tight, **ASCII)
    assert done.code == 0, done.err
    assert [row["type"] for row in done.json["conditions"]] == ["Ready"]
    assert stat.S_IMODE((strange.runtime() / "server.json").stat().st_mode) == 0o600
    first = strange.pid()
    for environ in (ASCII, {"LC_ALL": "C.UTF-8"}, {}):
        (row,) = (row for row in verb(strange, "status", "-o", "json", **environ).json if row["url"])
        assert row["synced"] is True
        again = verb(strange, "reconcile", "production", "--yes", "-o", "json", **environ)
        assert (again.code, again.json["done"]) == (0, []), again.err
    assert strange.pid() == first
    assert local.servers(Place("production", strange.runtime())) == [first]
    assert strange.release_answering() == 1
    saved = verb(strange, "plan", "production", "--out", str(strange.folder / "plan.json"), **ASCII)
    assert (saved.code, str(strange.folder) in saved.err) == (0, True)
    assert verb(strange, "reconcile", "production", "--stop", "--yes", **ASCII).code == 0
    assert local.servers(Place("production", strange.runtime())) == []


@pytest.mark.slow
def test_training_releasing_and_auditing_work_there(strange: World) -> None:
    """The other verbs that start processes or keep paths do so in the same folder and locale."""
    strange.change_model([("C: 1.0", "C: 0.5"), ("Who leaves.", TITLE)], "softer")
    done = verb(strange, "release", "--yes", HOME=str(strange.folder), **ASCII)
    assert done.code == 0, done.err
    assert verb(strange, "reproduce", MODEL, "2", **ASCII).code == 0
    audited = verb(strange, "audit", "release", MODEL, "2", "-o", "json", **ASCII)
    assert (audited.code, audited.json["release"]) == (0, 2), audited.err


def test_another_work_tree_looks_after_the_same_runtime(live: Live) -> None:
    """A linked work tree sees, leaves alone and stops the server that was started from the first one."""
    world = live("promoted")
    world.reconcile()
    first = world.pid()
    tree = world.folder / "tree"
    git(world.root, "worktree", "add", "-q", "--detach", str(tree))
    done = world.run("reconcile", "production", "--yes", "-o", "json", root=tree)
    assert (done.code, done.json["done"]) == (0, []), done.err
    assert local.servers(Place("production", world.runtime())) == [first]
    assert not (tree / ".modelops").exists()
    assert world.run("reconcile", "production", "--stop", "--yes", root=tree).code == 0
    assert local.servers(Place("production", world.runtime())) == []


@pytest.fixture(scope="module")
def foreign(stages: Callable[[str], World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """Return a world whose texts are in no encoding but UTF-8, with a pull request under way."""
    world = stages("promoted").copy(tmp_path_factory.mktemp("foreign") / "wörld")
    world.change_model([("Who leaves.", f"{TITLE}."), ("owner: growth", "owner: Größe")], "texts")
    git(world.root, "pull", "-q", "--ff-only")
    world.propose({"models/churn/README.md": TITLE}, "open", TITLE)
    return world


VERBS: Mapping[str, int] = {
    "validate": 0,
    "plan": 0,
    "plan production": 0,
    "status": 0,
    f"status {MODEL}": 0,
    f"rollout status {MODEL} production": 0,
    "pr list": 0,
    "pr view 4": 0,
    f"audit release {MODEL} 1": 0,
    "audit environment production --at 2030-01-01": 0,
    f"data show {MODEL}": 0,
    "monitor production --yes": 0,
    f"promote {MODEL} --to production --yes": 1,
    "render production -o größe-日本 --target docker": 0,
    "nönsense": 2,
    f"status {MODEL}-ünï": 2,
}


def printed(world: World, words: list[str], encoding: str) -> tuple[int, str]:
    """Run a verb with a standard output and error of some encoding, and return what a terminal of it shows."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict") for _ in range(2))
    code: object = 0
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(world.environ())
    try:
        with contextlib.chdir(world.root), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main(words)
    except SystemExit as end:
        code = end.code
    finally:
        os.environ.clear()
        os.environ.update(before)
    texts = []
    for stream in (out, err):
        stream.flush()
        # Who says ASCII was told nothing, and gets UTF-8.
        texts.append(stream.buffer.getvalue().decode("utf-8" if encoding == "ascii" else encoding))  # type: ignore[attr-defined]
    return int(code or 0), "".join(texts) if code else texts[0]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
@pytest.mark.parametrize("words", VERBS)
def test_every_verb_speaks_in_every_encoding(foreign: World, words: str, encoding: str) -> None:
    """No text of a model, a person or a path makes a verb fail; what the terminal has no letter for is escaped."""
    code, text = printed(foreign, words.split(), encoding)
    assert code == VERBS[words], text
    assert "defect" not in text


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("words", ["status", "pr list", "plan production", f"data show {MODEL}"])
def test_json_stays_json_in_every_encoding(foreign: World, words: str, encoding: str) -> None:
    """Data says the same in every encoding."""
    code, text = printed(foreign, [*words.split(), "-o", "json"], encoding)
    assert code == 0, text
    if words == "pr list":
        assert TITLE in [pull["title"] for pull in json.loads(text)]
    json.loads(text)


def test_a_file_name_that_is_no_text_is_printed_as_it_is(foreign: World, tmp_path: Path) -> None:
    """Bytes that no encoding reads come out as they went in."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe"))
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "modelops", "render", "production", "-o", str(folder), "--target", "docker"],
        cwd=foreign.root,
        env=foreign.environ(),
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr
    assert os.fsencode(folder) + b"/Dockerfile\n" in done.stdout


def few_files(world: World, *words: str) -> Answer:
    """Run a verb that may open 64 files at once."""
    return verb(world, *words, prefix=("sh", "-c", 'ulimit -n 64; exec "$@"', "sh"), LC_ALL="C.UTF-8")


def test_sixty_four_files_are_enough_for_one_model(live: Live) -> None:
    """The loop, the server and what both start come up with what a small container allows."""
    world = live("promoted")
    done = few_files(world, "reconcile", "production", "--yes", "-o", "json")
    assert (done.code, [row["type"] for row in done.json["conditions"]]) == (0, ["Ready"]), done.err


def test_too_many_open_files_are_named_with_the_way_out(tmp_path: Path) -> None:
    """Whatever runs out of descriptors, the world failed, and the hint is neither disk space nor a defect of ours."""
    code = (
        "import resource, sys\n"
        "from modelops.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))\n"
        "held = []\n"
        "try:\n"
        "    while True:\n"
        "        held.append(open('/dev/null'))\n"
        "except OSError:\n"
        "    held.pop().close()\n"
        "main(['-C', sys.argv[1], 'status'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "ulimit -n" in done.stderr


def hundred_models(world: World) -> None:
    """Deploy a hundred copies of the model to staging, all named by main."""
    names = ("model.yaml", "train.py", "rollout.yaml", "data/initial.yaml")
    files: dict[str, str | None] = {}
    for number in range(100):
        for name in names:
            text = world.show(f"models/{MODEL}/{name}") + "\n"
            if name in ("model.yaml", "rollout.yaml"):
                text = text.replace(f"name: {MODEL}", f"name: m{number:03}")
            files[f"models/m{number:03}/{name}"] = text
        files[f"models/m{number:03}/environments/staging.yaml"] = (
            "apiVersion: modelops/v1\nkind: Deployment\nmetadata:\n  name: staging\nspec:\n  stable: null\n"
        )
    world.approved(files, "A hundred models")


@pytest.mark.slow
def test_a_hundred_models_need_no_hundred_files(live: Live) -> None:
    """The number of open files does not grow with the number of models."""
    world = live("promoted")
    hundred_models(world)
    done = few_files(world, "reconcile", "staging", "--yes")
    assert done.code == 0, done.err
