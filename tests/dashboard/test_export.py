"""A folder of pages: the same bytes for the same commit, links that work, replaced as a whole or not at all."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from assets.kept import MODEL
from dashboard.browser import until
from dashboard.conftest import Put
from dashboard.reading import read
from dashboard.test_pages import for_everybody, harmless
from git_world import git
from modelops.dashboard.export import MARK
from world.hostile import PRODUCTION, Hostile
from world.verbs import run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def exported(world: Hostile, folder: Path, *, at: Path | None = None) -> dict[str, bytes]:
    answer = run(at or world.root, world.environ(), "dashboard", "--export", str(folder))
    assert answer.code == 0, answer.err
    return contents(folder)


def test_the_same_commit_gives_the_same_bytes(put: Put, tmp_path: Path) -> None:
    """Neither the clone, the clock, what runs nor the place of the folder changes a byte."""
    world = put()
    first = exported(world, tmp_path / "one")
    world.at("2031-01-01T00:00:00Z")
    other = world.folder / "elsewhere" / "clone"
    git(world.folder, "clone", "-q", str(world.origin), str(other))
    second = exported(world, tmp_path / "deeper" / "two", at=other)
    assert first.keys() == second.keys()
    assert [path for path in first if first[path] != second[path]] == []
    assert str(tmp_path).encode() not in b"".join(first.values())


def test_every_link_leads_to_a_file_of_the_folder(put: Put, tmp_path: Path) -> None:
    """Pages are whole and lead to each other by relative links alone, and no question is asked of a server."""
    found = exported(put(), tmp_path / "site")
    pages = {path for path in found if path.endswith(".html")}
    assert {"index.html", "audit.html", "maturity.html", f"model/{MODEL}.html"} <= pages
    for path in pages:
        page = read(found[path].decode())
        harmless(page)
        for_everybody(page)
        for element in page.each():
            for name in ("href", "src"):
                where = urlsplit(element.attributes.get(name, ""))
                if where.path and not where.scheme:
                    there = ((tmp_path / "site" / path).parent / where.path).resolve()
                    assert str(there.relative_to((tmp_path / "site").resolve())) in found, (path, where.path)
        assert not [form for form in page.each("form") if "action" in form.attributes], path
    home = read(found["index.html"].decode())
    assert "targets were not asked" in home.text
    assert "On trial".casefold() in home.text.casefold()


@pytest.mark.slow
def test_a_folder_with_something_else_in_it_is_left_alone(put: Put, tmp_path: Path) -> None:
    """Neither a folder of somebody's files nor a file is replaced; an empty folder and an older export are."""
    world = put()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for place in (mine, mine / "thesis.txt"):
        answer = run(world.root, world.environ(), "dashboard", "--export", str(place))
        assert (answer.code, "foreign-folder" in answer.err) == (2, True), answer.err
    assert contents(mine) == {"thesis.txt": b"years of work"}
    empty = tmp_path / "empty"
    empty.mkdir()
    first = exported(world, empty)
    (empty / "left.html").write_text("of an older version")
    mark = json.loads(first[MARK])
    (empty / MARK).write_text(json.dumps({**mark, "files": [*mark["files"], "left.html"]}))
    assert exported(world, empty) == first
    assert sorted(path.name for path in tmp_path.iterdir() if "incoming" in path.name) == []


def test_what_was_put_beside_an_export_is_never_lost(put: Put, tmp_path: Path) -> None:
    """What a host of pages needs, and anybody's file, keeps the folder as it is and is named; so does a lost mark."""
    world, site = put(), tmp_path / "site"
    first = exported(world, site)
    assert set(json.loads(first[MARK])["files"]) == first.keys() - {MARK}
    (site / "CNAME").write_text("models.example.com")
    (site / "static" / "logo.svg").symlink_to(tmp_path / "logo.svg")
    git(tmp_path, "init", "-q", str(site))
    before = contents(site)
    answer = run(world.root, world.environ(), "dashboard", "--export", str(site))
    assert (answer.code, "foreign-folder" in answer.err) == (2, True), answer.err
    assert ".git/, CNAME, static/logo.svg" in answer.err
    assert contents(site) == before
    shutil.rmtree(site / ".git")
    (site / "CNAME").unlink()
    (site / "static" / "logo.svg").unlink()
    for mark in ("", "{}", '{"files": 3}'):
        (site / MARK).write_text(mark)
        answer = run(world.root, world.environ(), "dashboard", "--export", str(site))
        assert (answer.code, "and " in answer.err and "more" in answer.err) == (2, True), answer.err
    (site / MARK).write_bytes(first[MARK])
    assert exported(world, site) == first


def test_a_broken_branch_does_not_replace_what_was_good(put: Put, tmp_path: Path) -> None:
    """A repository that has nothing to show ends with a reason, and the folder stays as it was."""
    world = put()
    good = exported(world, tmp_path / "site")
    empty = tmp_path / "nothing"
    git(tmp_path, "init", "-q", "-b", "main", str(empty))
    answer = run(empty, world.environ(), "dashboard", "--export", str(tmp_path / "site"))
    assert answer.code != 0
    assert contents(tmp_path / "site") == good


@pytest.mark.slow
def test_being_killed_leaves_the_folder_as_it_was(put: Put, tmp_path: Path) -> None:
    """A kill while pages are written leaves the old ones; the next export has the new ones and leaves nothing else."""
    world = put()
    site = tmp_path / "public" / "site"
    old = exported(world, site)
    text = world.text(PRODUCTION)
    world.push("Change", {PRODUCTION: text.replace("spec:", "# later\nspec:")})
    command = [sys.executable, "-m", "modelops", "dashboard", "--export", str(site)]
    environ = {**world.environ(), "PYTHONPATH": ":".join(sys.path)}

    def half() -> list[Path]:
        return [path for path in site.parent.glob(".site.incoming-*") if (path / "index.html").exists()]

    with subprocess.Popen(command, cwd=world.root, env=environ, stderr=subprocess.DEVNULL) as process:
        until(lambda: half() or process.poll() is not None, "a page is written")
        process.send_signal(signal.SIGKILL)
        process.wait()
    if process.returncode == 0:
        pytest.skip("the export was over before it could be killed")
    assert contents(site) == old
    new = exported(world, site)
    assert new[MARK] != old[MARK]
    assert [path.name for path in site.parent.iterdir()] == ["site"]
