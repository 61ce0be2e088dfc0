"""What git is told of a project's files: which it never takes, and that it leaves the bytes of others alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from modelops.repository.process import Git
from modelops.scaffold.result import Result
from modelops.scaffold.site import Site
from modelops.spec.layout import ATTRIBUTES, CACHE, STATE

__all__ = ["BYTES", "IGNORED", "bytes_stay", "extend", "ignore", "not_ignored"]

IGNORED = f"{STATE}/\n{CACHE}/\n.venv/\n"
BYTES = """\
# Snapshots and releases pin files byte for byte, so that git must turn no line endings, whatever core.autocrlf says.
data/** -text
models/** -text
policies/** -text
requirements.lock -text
*.csv -text
*.tsv -text
*.jsonl -text
"""


def extend(site: Site, name: str, text: str) -> None:
    """Add lines to a file of the project, which may not be there yet; its own lines stay."""
    path = site.root / name
    if not path.exists():
        site.undo.callback(path.unlink, missing_ok=True)
        path.write_text(text, encoding="utf-8")
        return
    before = path.read_bytes()
    site.undo.callback(path.write_bytes, before)
    gap = b"" if before.endswith(b"\n") or not before else b"\n"
    path.write_bytes(before + gap + text.encode())


def ignore(site: Site, result: Result) -> None:
    """Add what must never be in git to a .gitignore that was there, and whose bytes git leaves alone to the other."""
    if ".gitignore" in result.kept:
        lines = (site.root / ".gitignore").read_bytes().splitlines()
        if not any(line.strip().strip(b"/") == STATE.encode() for line in lines):
            extend(site, ".gitignore", IGNORED.splitlines()[0] + "\n")
            result.kept[result.kept.index(".gitignore")] = f".gitignore, with {STATE}/ added,"
    if ATTRIBUTES in result.kept:
        extend(site, ATTRIBUTES, BYTES)
        result.kept[result.kept.index(ATTRIBUTES)] = f"{ATTRIBUTES}, with lines for pinned bytes added,"


def not_ignored(root: Path, paths: Iterable[str]) -> list[str]:
    """Return those of some files below a folder that git would take, sorted."""
    asked = sorted(paths)
    told = Git(root).run("check-ignore", "-z", "--stdin", input="\0".join(asked).encode())
    return sorted(set(asked) - set(told.words())) if told.code in (0, 1) else []


def bytes_stay(site: Site, paths: Iterable[str]) -> None:
    """Have git leave the bytes of some files alone, where nothing says so yet; the last line that matches counts."""
    asked = "\0".join(sorted(paths)).encode()
    words = Git(site.root).run("check-attr", "-z", "--stdin", "text", input=asked).words() if asked else []
    turned = [path for path, value in zip(words[::3], words[2::3], strict=True) if value != "unset"]
    folders = {path.rpartition("/")[0] for path in turned}
    lines = [f"/{_escaped(folder)}/** -text" if folder else "" for folder in sorted(folders)]
    lines += [f"/{_escaped(path)} -text" for path in turned if "/" not in path]
    if turned:
        extend(site, ATTRIBUTES, "".join(f"{line}\n" for line in lines if line))


def _escaped(path: str) -> str:
    """Return a path as a pattern of git: what would match more than itself, or end it, matches itself only."""
    return "".join("?" if letter in ' \t"\\*[]' else letter for letter in path)
