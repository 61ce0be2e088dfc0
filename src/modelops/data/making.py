"""Which files of a model's folder make or hold its data: training, which must not know the test rows, gets none."""

from __future__ import annotations

import ast
import hashlib
import posixpath
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping

from modelops.spec.kinds.data_snapshot import DataSnapshotSpec, Source
from modelops.spec.layout import model_folder

__all__ = ["named_by", "of_command", "withheld"]

_WORD = re.compile(r"[\w./-]+")


def withheld(
    model: str, entrypoint: str, snapshots: Mapping[str, DataSnapshotSpec], code: Mapping[str, bytes]
) -> dict[str, str]:
    """Return the code files that training does not get, each with the reason, as the end of a sentence.

    They are the files of each snapshot's command, the files that a snapshot pins in the folder itself, and copies of
    them. The entrypoint is among them only where a command names it.
    """
    found: dict[str, str] = {}
    digests = {hashlib.sha256(data).hexdigest(): path for path, data in code.items()}
    for name, spec in sorted(snapshots.items()):
        for path, why in of_command(spec.source, code, entrypoint).items():
            found.setdefault(path, f"makes the data of the snapshot {name}{why}")
        for file in spec.files:
            if file.sha256 in digests:
                found.setdefault(digests[file.sha256], f"holds rows of the snapshot {name}")
            place = posixpath.normpath(f"{spec.source.location or ''}/{file.path}")
            own = place.removeprefix(model_folder(model))
            if spec.source.type == "files" and own != place and own in code:
                found.setdefault(own, f"holds rows of the snapshot {name}")
    return dict(sorted(found.items()))


def of_command(source: Source, code: Mapping[str, bytes], entrypoint: str = "") -> dict[str, str]:
    """Return the files that a command is made of, each with how that is known: named, listed, or used by one of them.

    A source that lists its files has no others; without a list, what its files import or name belongs to them.
    """
    if source.type != "command":
        return {}
    found = dict.fromkeys(named_by(source.command, code), "")
    listed = [path for path in code if any(_listed(path, entry) for entry in source.files)]
    found |= dict.fromkeys(listed, "")
    if source.files:
        return found
    waiting = list(found)
    while waiting:
        user = waiting.pop()
        for path in _used_by(user, code):
            if path not in found and path != entrypoint:
                found[path] = f", as {user} uses it"
                waiting.append(path)
    return found


def named_by(command: Iterable[str], code: Iterable[str]) -> list[str]:
    """Return the files that the words of a command name: by path, or as a module after ``-m``."""
    paths, found, module = set(code), [], False
    for word in command:
        candidates = _modules("", word) if module else (posixpath.normpath(part) for part in _WORD.findall(word))
        found += [path for path in candidates if path in paths]
        module = word == "-m"
    return list(dict.fromkeys(found))


def _listed(path: str, entry: str) -> bool:
    return path == entry.rstrip("/") or path.startswith(entry.rstrip("/") + "/")


def _used_by(user: str, code: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the files that one file imports, or names in a text of its own."""
    folder = posixpath.dirname(user)
    text = code[user].decode("utf-8", "replace")
    words: Iterable[str] = _WORD.findall(text)
    if user.endswith(".py"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(text)
        except (SyntaxError, ValueError):
            tree = ast.Module([], [])
        words = [one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        for name in _imported(tree):
            yield from (path for path in _modules(folder, name) if path in code)
    for word in words:
        for path in {posixpath.normpath(posixpath.join(folder, word)), posixpath.normpath(word)} if word else ():
            if path in code:
                yield path


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield start
            between = "." if node.module else ""
            yield from (f"{start}{between}{alias.name}" for alias in node.names)


def _modules(folder: str, name: str) -> list[str]:
    """Return the files that a module, or a package around it, may lie in."""
    dots = len(name) - len(name.lstrip("."))
    places = {folder, ""}
    if dots:
        places = {posixpath.normpath(posixpath.join(folder, *[".."] * (dots - 1)))}
    parts = [part for part in name.split(".") if part]
    found = []
    for place in sorted(places):
        for count in range(len(parts), 0, -1):
            path = posixpath.normpath(posixpath.join(place, *parts[:count]))
            found += [f"{path}.py", f"{path}/__init__.py", f"{path}/__main__.py"]
    return found
